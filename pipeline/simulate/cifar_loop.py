"""An image moved along the repeated closed loop of CIFAR10-DVS (Li et al. 2017) before a 128x128 DVS.

The image, enlarged to fill the view, runs round a diamond, 200 ms a loop, 6 loops. No recording of that set could be
had here: path and pixels follow its description, and are fitted to nothing.
"""

import numpy as np

from ..errors import EventError
from ..events import SensorSize
from .pixel import Camera, PixelSettings
from .raster import slide

SENSOR = SensorSize(128, 128)
LOOP_US = 200_000
LOOPS = 6
FRAME_US = 2_500
EXCURSION = 3.5  # pixels from the middle to each corner of the diamond
BLACK, WHITE = 20.0, 200.0  # intensity of the screen's darkest and brightest

PIXELS = PixelSettings(threshold_on=0.15, threshold_off=0.15, refractory_us=1_000.0, cutoff_hz=200.0)


def simulate_cifar_loop(image: np.ndarray, seed: int, loops: int = LOOPS, pixels: PixelSettings = PIXELS) -> np.ndarray:
    """Events (EVENT_DTYPE, sorted, t from 0) of `image`, (h, w) or (h, w, 3), 0..255, on its way round the loop."""
    return Camera(SENSOR, pixels, seed).push(*cifar_loop_frames(image, seed, loops))


def cifar_loop_frames(image: np.ndarray, seed: int, loops: int = LOOPS) -> tuple[np.ndarray, np.ndarray]:
    """What the pixels see: times int64[n] in µs, frames float32[n, 128, 128]. `seed` says where the loop begins."""
    picture = np.asarray(image, np.float32)
    if picture.ndim == 3 and picture.shape[2] == 3:
        picture = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    if picture.ndim != 2 or min(picture.shape) < 2:
        raise EventError(f"image has shape {np.shape(image)}, want (height, width) or (height, width, 3)")
    if not (picture.min() >= 0 and picture.max() <= 255.01):
        raise EventError(f"image has values from {picture.min()} to {picture.max()}, want 0 (black) to 255 (white)")
    if loops < 1:
        raise EventError(f"loops is {loops}, want at least 1")
    margin = int(np.ceil(EXCURSION)) + 1
    picture = np.pad(_enlarged(picture, SENSOR.height, SENSOR.width), margin, mode="edge")
    times = np.arange(0, loops * LOOP_US + 1, FRAME_US)
    right, down = _diamond(times / LOOP_US + np.random.default_rng([seed, 66]).random())
    frames = np.empty((len(times), SENSOR.height, SENSOR.width), np.float32)
    slide(BLACK + (WHITE - BLACK) / 255 * picture, right - margin, down - margin, np.float32(BLACK), frames)
    return times, frames


def _diamond(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right and down (pixels) after so many turns: straight sides, each a quarter turn, at constant speed."""
    corners = np.array([(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]) * EXCURSION
    at = 4 * (turns % 1.0)
    return np.interp(at, np.arange(5), corners[:, 0]), np.interp(at, np.arange(5), corners[:, 1])


def _enlarged(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture resampled to height x width, bilinear between the centres of its pixels."""
    for axis, size in ((0, height), (1, width)):
        have = picture.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * have / size - 0.5, 0, have - 1)
        low = np.minimum(at.astype(int), have - 2)
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        picture = np.take(picture, low, axis) * (1 - share) + np.take(picture, low + 1, axis) * share
    return np.ascontiguousarray(picture, np.float32)
