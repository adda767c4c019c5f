"""Windows of recordings, shown slice by slice and chosen on."""

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import import_cnn
from dvs_run.pipeline.convert.calibration import EventWindows
from dvs_run.pipeline.convert.search import choose, in_parts
from dvs_run.pipeline.convert.search.candidates import VARIED
from dvs_run.pipeline.convert.search.windows_shown import Windows, as_slices
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize


def windows(n=40, slices=4, delays=(0,), before=0):
    """Windows of 1 ms slices on 8x8 pixels, events more often on one side, at two speeds, two windows a recording."""
    random = np.random.default_rng(3)
    made, targets = [], random.integers(0, 2, n)
    for target in targets:
        events = np.zeros(random.integers(30, 60), EVENT_DTYPE)
        events["t"] = np.sort(random.integers(-before, slices * 1000, len(events)))
        events["x"] = random.integers(0, 8, len(events)) // 2 + 4 * (random.random(len(events)) < (0.2, 0.8)[target])
        events["y"], events["p"] = random.integers(0, 8, len(events)), random.random(len(events)) < 0.5
        made.append(events)
    speeds = np.tile([1.0, 2.0], n // 2)
    return EventWindows(
        tuple(made), speeds, targets, ("a", "b"), np.arange(n) // 2, SensorSize(8, 8), 1000, slices, delays
    )


def test_windows_are_shown_as_their_counts_slice_by_slice():
    data = windows()
    shown, chosen = Windows(data, 3), np.array([5, 0, 7])
    steps = list(shown.steps(chosen))
    assert len(steps) == 3
    counts = data.counts()
    for step, values in enumerate(steps):
        assert np.array_equal(values.numpy(), counts[chosen, step])
    for step, piece in enumerate(shown.pieces(5)):
        grid = np.zeros(2 * 8 * 8, int)
        grid[piece.cells] = piece.counts
        assert np.array_equal(grid.reshape(2, 8, 8), counts[5, step])
    ((weight, frames),) = shown.windows(chosen)
    assert weight == 1
    assert np.array_equal(frames.numpy(), data.frames()[chosen])


def test_slices_for_a_network_with_delays_begin_before_the_window():
    data = windows(delays=(0, 2000), before=2000)
    for events, pieces, counts in zip(data.events, as_slices(data), data.counts(), strict=True):
        assert len(pieces) == 6
        assert sum(int(piece.counts.sum()) for piece in pieces) == len(events)
        for step in range(4):
            for group, at in ((0, step + 2), (1, step)):  # now, and two slices earlier
                grid = np.zeros(2 * 8 * 8)
                grid[pieces[at].cells] = pieces[at].counts
                assert np.array_equal(grid.reshape(2, 8, 8), counts[step, 2 * group : 2 * group + 2])


def test_recordings_are_chosen_on_in_sensor_time_with_those_of_one_recording_together():
    data = windows()
    parts = in_parts(data, choosing=True, least=5)
    groups = [set(part.groups.tolist()) for part in (parts.calibration, parts.choice, parts.verdict)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    cnn = import_cnn(model.eval(), (2, 8, 8))
    options = {"timestep_us": 1000, "seconds": None, "fixed": {*VARIED, "correction"}}
    chosen = choose(cnn, parts.calibration, parts.choice, ["a", "b"], "3ms", **options)
    assert chosen.knee.timesteps <= 3
    assert chosen.knee.cost == 1000.0 * chosen.knee.timesteps
    longer = choose(cnn, parts.calibration, parts.choice, ["a", "b"], "9ms", **options)
    assert "windows are 4 ms long" in longer.notes[-1]
    with pytest.raises(ConversionError, match="0.5 ms is shorter than one timestep of 1 ms"):
        choose(cnn, parts.calibration, parts.choice, ["a", "b"], "500us", **options)
