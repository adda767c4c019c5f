"""Windows of recordings, shown to a CNN as mean counts and to networks slice by slice; see calibration/events.py."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...binning import bin_events
from ...stream import BinnedSlice, CurrentSlice
from ..calibration.events import EventWindows
from ..calibration.inputs import Inputs
from ..verdict.validation import Coding

MOST_KEPT = 1 << 28  # counts


class Windows:
    """A Validation of windows, for networks whose input has a channel for every delay (no Delay)."""

    coding: Coding = "events"

    def __init__(self, windows: EventWindows, timesteps: int) -> None:
        self._windows, self.n, self.timesteps = windows, len(windows), min(timesteps, windows.slices)
        self._kept: np.ndarray | None = None

    def windows(self, chosen: np.ndarray) -> Iterator[tuple[float, Tensor]]:
        yield 1.0, torch.from_numpy(self._windows.subset(chosen).frames())

    def steps(self, chosen: np.ndarray) -> Iterator[Tensor]:
        counts = self._counts(chosen)
        for step in range(self.timesteps):
            yield torch.from_numpy(counts[:, step].astype(np.float32))

    def _counts(self, chosen: np.ndarray) -> np.ndarray:
        """Of some windows; all are kept as bytes where these fit, as every candidate sees the same."""
        cells = 2 * len(self._windows.delays_us) * self._windows.sensor.height * self._windows.sensor.width
        if self.n * self._windows.slices * cells > MOST_KEPT:
            return self._windows.subset(chosen).counts()
        if self._kept is None:
            parts = [self._windows.counts(index, index + 1) for index in range(self.n)]
            self._kept = np.concatenate([np.minimum(part, 255).astype(np.uint8) for part in parts])
            if any(part.max() > 255 for part in parts):
                self._kept = np.concatenate(parts)
        return self._kept[chosen]

    def pieces(self, index: int) -> Iterator[BinnedSlice | CurrentSlice]:
        counts, length = self._windows.counts(index, index + 1)[0], self._windows.timestep_us
        for step in range(self.timesteps):
            grid = counts[step].reshape(-1)
            cells = np.flatnonzero(grid).astype(np.int32)
            yield BinnedSlice(step * length, (step + 1) * length, cells, grid[cells].astype(np.int32))


def as_shown(data: Inputs | EventWindows) -> Tensor | list[list[BinnedSlice]]:
    """Data as stages.measure_stages takes it."""
    return as_slices(data) if isinstance(data, EventWindows) else torch.from_numpy(data.values)


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
