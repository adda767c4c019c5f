"""An image moved by the three saccades of N-MNIST before a 34x34 ATIS (Orchard et al. 2015).

Stable for training code:

    simulate_saccade(image, seed) -> events      (28x28 uint8 or 0..255, bright on dark; sorted, t from 0, about 310 ms)

Path, timing and pixels were fitted to the 800 training recordings in use here, never to the test recordings.
"""

import numpy as np

from ..errors import EventError
from ..events import SensorSize
from .pixel import Camera, PixelSettings
from .raster import slide

SENSOR = SensorSize(34, 34)
DURATION_US = 310_000
FRAME_US = 2_000

# Where the 28x28 image's corner lies: at first, and after each saccade (pixels right, pixels down).
CORNERS = np.array([(0.05, 1.0), (2.0, 6.4), (5.6, 1.3), (0.6, 1.25)])
STARTS_MS = np.array([2.0, 104.0, 218.0])  # when each saccade begins
LASTS_MS = np.array([80.0, 84.0, 76.0])
BLACK, WHITE = 25.0, 200.0  # intensity of the screen's darkest and brightest

PIXELS = PixelSettings(
    threshold_on=0.24,
    threshold_off=0.24,
    threshold_mismatch=0.12,
    cutoff_hz=250.0,
    refractory_us=1_900.0,
    leak_hz=0.15,
    shot_noise_hz=0.25,
    hot_pixels=0.0,
)


def simulate_saccade(image: np.ndarray, seed: int, pixels: PixelSettings = PIXELS) -> np.ndarray:
    """Events (EVENT_DTYPE, sorted, t from 0) of `image` (height, width up to 28x28, 0..255) shown to the moving camera."""
    camera = Camera(SENSOR, pixels, seed)
    return camera.push(*saccade_frames(image, seed))


def saccade_frames(image: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the pixels see: times int64[n] in µs and frames float32[n, 34, 34]. `seed` varies motor and mounting a little."""
    picture = np.asarray(image, np.float32)
    if picture.ndim != 2 or not picture.size or max(picture.shape) > 28:
        raise EventError(f"image has shape {picture.shape}, want (height, width) of at most 28x28")
    if not (picture.min() >= 0 and picture.max() <= 255):
        raise EventError(f"image has values from {picture.min()} to {picture.max()}, want 0 (black) to 255 (white)")
    picture = BLACK + (WHITE - BLACK) / 255 * picture
    times = np.arange(0, DURATION_US + 1, FRAME_US)
    left, top = _path(times * 1e-3, np.random.default_rng([seed, 44]))
    frames = np.empty((len(times), SENSOR.height, SENSOR.width), np.float32)
    slide(np.ascontiguousarray(picture), left, top, np.float32(BLACK), frames)
    return times, frames


def _path(t_ms: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The image's corner over time: three movements of smooth start and end, with a tremor."""
    corners = CORNERS + draw.normal(0, 0.15, CORNERS.shape)
    starts = STARTS_MS + draw.normal(0, 2.0, 3)
    place = np.tile(corners[0], (len(t_ms), 1))
    for begin, last, step in zip(starts, LASTS_MS, np.diff(corners, axis=0), strict=True):
        u = np.clip((t_ms - begin) / last, 0, 1)
        place += np.outer(u * u * u * (10 + u * (6 * u - 15)), step)  # least jerk
    for axis in (0, 1):
        place[:, axis] += 0.05 * np.sin(2 * np.pi * (draw.uniform(8, 25) * 1e-3 * t_ms + draw.random()))
    return place[:, 0].copy(), place[:, 1].copy()
