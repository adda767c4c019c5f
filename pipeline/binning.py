"""Bin the events of one time slice into a sparse grid of counts.

Cutting the stream into slices is slicer.py's work; nothing here keeps state between slices.
"""

import numpy as np

from .errors import EventError
from .events import EVENT_DTYPE, SensorSize
from .kernel_cache import kernel
from .stream import BinnedSlice


def bin_events(events: np.ndarray, sensor: SensorSize, t_start_us: int, t_stop_us: int) -> BinnedSlice:
    """Count the events of one slice per polarity and pixel.

    `events` (EVENT_DTYPE, sorted by `t`, all within [t_start_us, t_stop_us)) is read, never written.
    Raises EventError if an event lies outside the sensor.
    """
    if events.dtype != EVENT_DTYPE:
        raise EventError(
            f"events have dtype {events.dtype}, want EVENT_DTYPE; "
            "read them through formats.open_recording, or use events.as_events"
        )
    cells = np.empty(len(events), np.int32)
    outside = _cells(events, sensor.width, sensor.height, cells)
    if outside >= 0:
        x, y = events["x"][outside], events["y"][outside]
        raise EventError(
            f"event {outside} at x={x}, y={y} lies outside the {sensor} sensor; "
            "is `sensor:` in the config that of the recording?"
        )
    cells.sort()
    n = _run_lengths(cells, counts := np.empty(len(cells), np.int32))
    return BinnedSlice(t_start_us, t_stop_us, cells[:n].copy(), counts[:n].copy())


def to_frame(binned: BinnedSlice, shape: tuple[int, int, int]) -> np.ndarray:
    """The counts as a dense frame, int32 (polarity, height, width)."""
    frame = np.zeros(shape, np.int32)
    frame.reshape(-1)[binned.cells] = binned.counts
    return frame


@kernel
def _cells(events, width, height, cells):
    """cells[i] = (p * height + y) * width + x of event i; returns the first index outside the sensor, or -1."""
    for i in range(events.shape[0]):
        x, y, p = events[i]["x"], events[i]["y"], events[i]["p"]
        if x >= width or y >= height:
            return i
        cells[i] = (np.int64(p) * height + np.int64(y)) * width + np.int64(x)
    return -1


@kernel
def _run_lengths(cells, counts):
    """Sorted cells become distinct ones in place, counts[k] says how often; returns how many are distinct."""
    n = 0
    for i in range(cells.shape[0]):
        if i > 0 and cells[i] == cells[n - 1]:
            counts[n - 1] += 1
        else:
            cells[n] = cells[i]
            counts[n] = 1
            n += 1
    return n
