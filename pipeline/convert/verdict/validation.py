"""Labelled data that no choice was made on, as the CNN, the clocked network and the engine each want to see it.

Images are shown as constant current or as Poisson spikes (the same spikes to the clocked network and to the engine);
recordings as the time slices they were cut into, of which the CNN sees the mean count, window by window. What is
measured on them is stages.py's matter.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ...encode import PoissonEncoder
from ...errors import ConversionError
from ...network import Delay, Network
from ...stream import BinnedSlice, CurrentSlice, Image

Coding = Literal["constant", "poisson", "events"]
STEP_US = 1000  # of a timestep where the network has no clock; nothing depends on it


class Validation(Protocol):
    """n labelled samples of `timesteps` timesteps each. `chosen` are indexes of samples, int64 (n,)."""

    n: int
    timesteps: int
    coding: Coding

    def windows(self, chosen: np.ndarray) -> Iterator[tuple[float, Tensor]]:
        """What the CNN sees of these samples: (weight, inputs (n, channel, height, width)); the weights add to 1."""
        ...

    def steps(self, chosen: np.ndarray) -> Iterator[Tensor]:
        """The input of every timestep of these samples, (n, channel, height, width)."""
        ...

    def pieces(self, index: int) -> Iterator[BinnedSlice | CurrentSlice]:
        """The same for one sample, as the engine takes it."""
        ...


class Images:
    """Images (n, channel, height, width), as the CNN wants them. Poisson spikes need values of 0..1."""

    def __init__(self, images: Tensor, network: Network, timesteps: int, coding: Coding, seed: int = 0) -> None:
        if images.ndim != 4 or tuple(images.shape[1:]) != network.input_shape or not len(images):
            raise ConversionError(
                f"validation inputs have shape {tuple(images.shape)}, the network wants (n, "
                f"{', '.join(map(str, network.input_shape))}) with n of a few hundred or more"
            )
        self.images = images.detach().cpu().float()
        if not torch.isfinite(self.images).all():
            raise ConversionError("validation inputs hold infinite or undefined values; leave those out")
        self.n, self.timesteps, self.coding = len(images), timesteps, coding
        self._scale = float(network.provenance.get("input_scale", 1.0))
        self._step_us = network.timestep_us or STEP_US
        if coding == "poisson":
            low, high = float(self.images.min()), float(self.images.max())
            if low < 0 or high > 1:
                raise ConversionError(
                    f"validation inputs lie in {low:g}..{high:g}, which no spike probability can stand for; want 0..1, "
                    "or show them as constant current"
                )
            self._encoder = PoissonEncoder(timesteps, self._step_us, self._scale, seed)

    def windows(self, chosen: np.ndarray) -> Iterator[tuple[float, Tensor]]:
        yield 1.0, self.images[chosen]

    def steps(self, chosen: np.ndarray) -> Iterator[Tensor]:
        if self.coding == "constant":
            current = self.images[chosen] * self._scale
            for _ in range(self.timesteps):
                yield current
            return
        shown = [self.pieces(index) for index in chosen.tolist()]
        for _ in range(self.timesteps):
            yield _dense([next(pieces) for pieces in shown], tuple(self.images.shape[1:]))  # type: ignore[misc]

    def pieces(self, index: int) -> Iterator[BinnedSlice | CurrentSlice]:
        if self.coding == "poisson":
            yield from self._encoder.encode(Image(self.images[index].numpy()), index)
            return
        values = (self.images[index] * self._scale).numpy()
        for step in range(self.timesteps):
            yield CurrentSlice(step * self._step_us, (step + 1) * self._step_us, values)


class Recordings:
    """Recordings, each a sequence of BinnedSlice without gaps; the first `timesteps` slices of each are shown.

    The CNN sees the mean count per slice of every state window (of all slices where the network has none), as it does
    in training; its outputs are weighted by the share of the readout's window that each of them fills.
    """

    coding: Coding = "events"

    def __init__(self, recordings: Sequence[Sequence[BinnedSlice]], network: Network, timesteps: int) -> None:
        if network.timestep_us is None:
            raise ConversionError("the network was made for images, it has no timestep_us; validate it on images")
        if not len(recordings):
            raise ConversionError("there are no validation recordings; want at least a few hundred samples")
        for index, pieces in enumerate(recordings):
            if len(pieces) < timesteps:
                raise ConversionError(
                    f"validation recording {index} has {len(pieces)} slices, want at least {timesteps}; ask for fewer "
                    "timesteps, or leave it out"
                )
        self._recordings, self.n, self.timesteps = recordings, len(recordings), timesteps
        first = network.layers[0]
        delays_us = first.delays_us if isinstance(first, Delay) else (0,)
        self._shape = network.input_shape
        self._delays = [delay // network.timestep_us for delay in delays_us]
        window_us, readout_us = network.state_window_us, network.readout.window_us
        self._window = timesteps if window_us is None else max(1, window_us // network.timestep_us)
        self._judged = max(1, timesteps - network.readout.start_step)  # the last so many timesteps
        if readout_us is not None:
            self._judged = min(self._judged, readout_us // network.timestep_us)

    def windows(self, chosen: np.ndarray) -> Iterator[tuple[float, Tensor]]:
        for start in range(0, self.timesteps, self._window):
            stop = min(start + self._window, self.timesteps)
            judged = stop - max(start, self.timesteps - self._judged)
            if judged > 0:
                groups = [self._mean(chosen, start - delay, stop - delay, stop - start) for delay in self._delays]
                yield judged / self._judged, torch.cat(groups, 1)

    def steps(self, chosen: np.ndarray) -> Iterator[Tensor]:
        for step in range(self.timesteps):
            yield _dense([self._recordings[index][step] for index in chosen.tolist()], self._shape)

    def pieces(self, index: int) -> Iterator[BinnedSlice | CurrentSlice]:
        yield from self._recordings[index][: self.timesteps]

    def _mean(self, chosen: np.ndarray, start: int, stop: int, length: int) -> Tensor:
        """Mean counts of slices [start, stop), those before the beginning being empty: (n, channel, height, width)."""
        total = torch.zeros(len(chosen), *self._shape)
        for step in range(max(start, 0), max(stop, 0)):
            total += _dense([self._recordings[index][step] for index in chosen.tolist()], self._shape)
        return total / length


def _dense(pieces: Sequence[BinnedSlice], shape: tuple[int, ...]) -> Tensor:
    """Counts (n, channel, height, width) of one slice of each of n samples."""
    grid = np.zeros((len(pieces), int(np.prod(shape))), np.float32)
    for row, piece in zip(grid, pieces, strict=True):
        row[piece.cells] = piece.counts
    return torch.from_numpy(grid.reshape(len(pieces), *shape))
