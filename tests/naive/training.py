"""Augmentations of events and frames of counts, event by event. The fast ones: pipeline/train."""

import math

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE


def random_training_events(n, sensor, duration_us, seed):
    """n events in order of time within [0, duration_us)."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n))
    events["x"], events["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    events["p"] = rng.random(n) < 0.5
    return events


def move_events(events, sensor, matrix):
    """Each event to the pixel nearest to matrix @ (x, y, 1); those that leave the sensor are gone."""
    moved = []
    for t, x, y, p in events.tolist():
        column = math.floor(matrix[0][0] * x + matrix[0][1] * y + matrix[0][2] + 0.5)
        row = math.floor(matrix[1][0] * x + matrix[1][1] * y + matrix[1][2] + 0.5)
        if 0 <= column < sensor.width and 0 <= row < sensor.height:
            moved.append((t, column, row, p))
    return moved


def mean_count_frame(events, sensor, slices):
    frame = np.zeros((2, sensor.height, sensor.width))
    for _, x, y, p in events.tolist():
        frame[int(p), y, x] += 1
    return (frame / slices).astype(np.float32)
