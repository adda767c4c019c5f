"""Counts per polarity and pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline import EVENT_DTYPE, EventError, SensorSize, as_events
from dvs_run.pipeline.binning import bin_events, to_frame

from .. import naive

SENSOR = SensorSize(9, 5)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_binning_counts_each_event_once(n, seed):
    events = naive.random_training_events(n, SENSOR, 1000, seed)
    before = events.copy()
    binned = bin_events(events, SENSOR, 0, 1000)
    assert np.array_equal(to_frame(binned, (2, 5, 9)), naive.bin_events(events, SENSOR))
    assert np.array_equal(binned.cells, np.unique(binned.cells))
    assert binned.counts.sum() == n
    assert np.array_equal(events, before)


@pytest.mark.parametrize(("x", "y"), [(9, 0), (0, 5), (65535, 65535)])
def test_an_event_outside_the_sensor_is_refused(x, y):
    stray = np.array([(0, 1, 1, True), (1, x, y, False)], EVENT_DTYPE)
    with pytest.raises(EventError, match=f"event 1 at x={x}, y={y} lies outside the 9x5 sensor"):
        bin_events(stray, SENSOR, 0, 1000)


def test_arrays_of_other_libraries_are_seen_as_events_without_a_copy():
    theirs = np.zeros(3, [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "i1")])
    theirs["polarity"] = 1
    ours = as_events(theirs)
    assert ours["p"].all()
    assert np.shares_memory(ours, theirs)


@pytest.mark.parametrize("dtype", ["<i8", [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<i4")]])
def test_other_layouts_are_refused(dtype):
    with pytest.raises(EventError, match="want packed 13-byte records"):
        as_events(np.zeros(2, dtype))
    with pytest.raises(EventError, match="want EVENT_DTYPE"):
        bin_events(np.zeros(2, dtype), SENSOR, 0, 1)
