"""Windows of recordings, shown to a CNN as mean counts and to networks slice by slice; see calibration_events.py."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...binning import bin_events
from ...stream import BinnedSlice, CurrentSlice
from ..calibration_events import EventWindows
from ..validation import Coding


class Windows:
    """A Validation (validation.py) of windows, for networks whose input has a channel for every delay (no Delay)."""

    coding: Coding = "events"

    def __init__(self, windows: EventWindows, timesteps: int) -> None:
        self._windows, self.n, self.timesteps = windows, len(windows), min(timesteps, windows.slices)

    def windows(self, chosen: np.ndarray) -> Iterator[tuple[float, Tensor]]:
        yield 1.0, torch.from_numpy(self._windows.subset(chosen).frames())

    def steps(self, chosen: np.ndarray) -> Iterator[Tensor]:
        counts = torch.from_numpy(self._windows.subset(chosen).counts())
        for step in range(self.timesteps):
            yield counts[:, step]

    def pieces(self, index: int) -> Iterator[BinnedSlice | CurrentSlice]:
        counts, length = self._windows.counts(index, index + 1)[0], self._windows.timestep_us
        for step in range(self.timesteps):
            grid = counts[step].reshape(-1)
            cells = np.flatnonzero(grid).astype(np.int32)
            yield BinnedSlice(step * length, (step + 1) * length, cells, grid[cells].astype(np.int32))


def as_slices(windows: EventWindows) -> list[list[BinnedSlice]]:
    """Each window as the slices that a network with its own Delay takes: from what came before it, to its end."""
    step_us, early = windows.timestep_us, max(windows.delays_us) // windows.timestep_us
    found = []
    for events in windows.events:
        pieces = []
        times = np.ascontiguousarray(events["t"])
        for step in range(-early, windows.slices):
            first, last = np.searchsorted(times, (step * step_us, (step + 1) * step_us))
            start_us = (step + early) * step_us
            pieces.append(bin_events(events[first:last], windows.sensor, start_us, start_us + step_us))
        found.append(pieces)
    return found
