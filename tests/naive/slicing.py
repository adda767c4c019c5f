"""Events cut into slices and counted per cell, one event at a time. The fast ones: pipeline/slicer.py, binning.py."""

import numpy as np


def slice_by_time(events, window_us, origin_us=None):
    """[(start, stop, events of it)] of every window from the origin to the last event."""
    if len(events) == 0:
        return []
    start = int(events["t"][0]) if origin_us is None else origin_us
    slices = []
    while start <= int(events["t"][-1]):
        inside = (events["t"] >= start) & (events["t"] < start + window_us)
        slices.append((start, start + window_us, events[inside]))
        start += window_us
    return slices


def bin_events(events, sensor):
    grid = np.zeros((2, sensor.height, sensor.width), int)
    for _, x, y, p in events.tolist():
        grid[int(p), y, x] += 1
    return grid
