"""Turn one frame image into the input of a spiking network: Poisson spikes, or a constant current.

Both yield one slice per timestep and know no labels and no networks. Rueckauer et al. 2017 have both.
"""

from collections.abc import Iterator

import numpy as np

from .errors import EventError
from .stream import BinnedSlice, CurrentSlice, Image


class PoissonEncoder:
    """Every cell spikes independently in every timestep, with probability rate_per_step * pixel.

    pixel is 0..1, so rate_per_step (0 < r <= 1, spikes per timestep of a white pixel) is the firing rate of white: at
    timestep_us = 1000 and rate_per_step = 0.5 a white pixel fires at 500 Hz. A network whose weights were made for
    constant current sees input that is rate_per_step as strong; `convert` divides the first weights by it.
    """

    def __init__(self, timesteps: int, timestep_us: int = 1000, rate_per_step: float = 1.0, seed: int = 0) -> None:
        _check_clock(timesteps, timestep_us)
        if not 0.0 < rate_per_step <= 1.0:
            raise EventError(f"rate_per_step is {rate_per_step}, want above 0 and at most 1 spike per timestep")
        self.timesteps, self.timestep_us = timesteps, timestep_us
        self.rate_per_step, self.seed = rate_per_step, seed

    def encode(self, image: Image, index: int = 0) -> Iterator[BinnedSlice]:
        """The timesteps of image number `index`; the same seed, index and pixels always give the same spikes."""
        pixels = _checked_pixels(image).reshape(-1)
        bright = np.flatnonzero(pixels > 0).astype(np.int32)
        probability = pixels[bright].astype(np.float64) * self.rate_per_step
        random = np.random.Generator(np.random.PCG64([self.seed, index]))
        for step in range(self.timesteps):
            cells = bright[random.random(len(bright)) < probability]
            start = step * self.timestep_us
            yield BinnedSlice(start, start + self.timestep_us, cells, np.ones(len(cells), np.int32))


class CurrentEncoder:
    """Every cell injects its pixel value as current in every timestep; the engine computes the first layer once."""

    def __init__(self, timesteps: int, timestep_us: int = 1000) -> None:
        _check_clock(timesteps, timestep_us)
        self.timesteps, self.timestep_us = timesteps, timestep_us

    def encode(self, image: Image, index: int = 0) -> Iterator[CurrentSlice]:
        """The timesteps of one image. `index` is there so that both encoders are called alike."""
        values = _checked_pixels(image)
        for step in range(self.timesteps):
            yield CurrentSlice(step * self.timestep_us, (step + 1) * self.timestep_us, values)


def _check_clock(timesteps: int, timestep_us: int) -> None:
    if timesteps < 1 or timestep_us < 1:
        raise EventError(f"timesteps is {timesteps} and timestep_us {timestep_us}, want both at least 1")


def _checked_pixels(image: Image) -> np.ndarray:
    pixels = image.pixels
    if pixels.ndim != 3 or pixels.dtype != np.float32:
        raise EventError(f"image is {pixels.dtype}{pixels.shape}, want float32 (channel, height, width)")
    if not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
        raise EventError(f"pixels lie in {pixels.min()}..{pixels.max()}, want 0..1; divide 8-bit images by 255")
    return pixels
