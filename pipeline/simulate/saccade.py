"""An image moved by the three saccades of N-MNIST before a 34x34 ATIS (Orchard et al. 2015).

Stable for training code:

    simulate_saccade(image, seed) -> events      (28x28 uint8 or 0..255, bright on dark; sorted, t from 0, about 310 ms)

Path, timing and pixels were fitted to the 800 training recordings in use here, never to the test recordings.
"""

from dataclasses import replace

import numpy as np

from ..errors import EventError
from ..events import SensorSize
from .pixel import Camera, PixelSettings
from .raster import slide

SENSOR = SensorSize(34, 34)
DURATION_US = 310_000
FRAME_US = 3_000

# The image's corner begins at FIRST_CORNER (pixels right, down) and is moved five times: the three saccades, and
# the two corrections that the motor makes before the second and the third.
FIRST_CORNER = (0.05, 1.0)
MOVES = (  # begins at ms, lasts ms, ends at pixels right, down
    (6.0, 81.0, 2.0, 6.45),
    (94.0, 28.0, 2.35, 6.25),
    (108.0, 82.0, 5.25, 1.75),
    (188.0, 30.0, 5.6, 1.4),
    (218.0, 78.0, 0.75, 1.25),
)
BLACK, WHITE = 40.0, 200.0  # intensity of the screen's darkest and brightest

PIXELS = PixelSettings(
    threshold_on=0.22,
    threshold_off=0.22,
    threshold_mismatch=0.12,
    cutoff_hz=220.0,
    refractory_us=900.0,
    leak_hz=0.15,
    shot_noise_hz=0.3,
    hot_pixels=0.0,
)


def simulate_saccade(image: np.ndarray, seed: int, pixels: PixelSettings = PIXELS) -> np.ndarray:
    """Events (EVENT_DTYPE, sorted, t from 0) of `image` (up to 28x28, 0..255), seen by the moving camera."""
    scale = float(np.exp(np.random.default_rng([seed, 55]).normal(0, 0.08)))  # recordings differ more than pixels tell
    thresholds = {"threshold_on": scale * pixels.threshold_on, "threshold_off": scale * pixels.threshold_off}
    return Camera(SENSOR, replace(pixels, **thresholds), seed).push(*saccade_frames(image, seed))


def saccade_frames(image: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the pixels see: times int64[n] in µs, frames float32[n, 34, 34]. `seed` varies motor and mounting."""
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
    place = np.tile(np.array(FIRST_CORNER) + draw.normal(0, 0.15, 2), (len(t_ms), 1))
    late = draw.normal(0, 2.0)
    before = np.array(FIRST_CORNER)
    for begin, last, *end in MOVES:
        u = np.clip((t_ms - begin - late) / last, 0, 1)
        place += np.outer(u * u * u * (10 + u * (6 * u - 15)), end - before)  # least jerk
        before = np.array(end)
    for axis in (0, 1):
        place[:, axis] += 0.05 * np.sin(2 * np.pi * (draw.uniform(8, 25) * 1e-3 * t_ms + draw.random()))
    return place[:, 0].copy(), place[:, 1].copy()
