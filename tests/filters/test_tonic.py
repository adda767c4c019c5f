"""The same events as tonic's filters leave, but for the beginning of a stream, where tonic's memory is not empty."""

import warnings

import numpy as np
import pytest

from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.filters import filter_events
from dvs_run.pipeline.filters.background import Background
from dvs_run.pipeline.filters.refractory import Refractory

from ..naive import filters as naive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what tonic imports
    transforms = pytest.importorskip("tonic.transforms", exc_type=ImportError)

SENSOR = SensorSize(16, 12)


def both(theirs, ours, first_us):
    events = naive.random_events(3_000, SENSOR, 400_000, seed=2)
    events["t"] += first_us
    return theirs(events), filter_events(events, SENSOR, [ours])[0]


@pytest.mark.parametrize("period_us", [300, 20_000])
def test_refractory_since_any_is_tonics(period_us):
    theirs, ours = both(transforms.RefractoryPeriod(period_us), Refractory(period_us=period_us, since="any"), 1)
    assert 0 < len(ours) < 3_000
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("window_us", [100, 5_000])
def test_background_of_four_neighbours_is_tonics_once_its_memory_is_true(window_us):
    theirs, ours = both(transforms.Denoise(window_us), Background(window_us=window_us, neighbours=4), window_us)
    assert 0 < len(ours) < 3_000
    assert np.array_equal(ours, theirs)


def test_tonic_lets_the_first_window_of_a_stream_pass_unfiltered():
    theirs, ours = both(transforms.Denoise(50_000), Background(window_us=50_000, neighbours=4), 0)
    assert len(ours) < len(theirs)
    assert np.array_equal(ours[ours["t"] >= 50_000], theirs[theirs["t"] >= 50_000])
