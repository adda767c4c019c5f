"""Change labelled events at random in the ways that a camera and a person change them, so that a small set goes far.

A `Transform` is one draw: it is shared by all windows of one recording, because it stands for another camera position,
another mirror image, another speed. What is random from window to window (dropped and added events) is drawn when it is
applied. Nothing here knows of torch; times are stretched by windows.py, which knows the windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..events import EVENT_DTYPE, SensorSize


@dataclass(frozen=True)
class Augmentation:
    """How far each random change may go; all zero: none at all."""

    shift: float = 0.0  # pixels, each way
    scale: float = 0.0  # 0.1: the scene is drawn 0.9 to 1.1 times as large, about the sensor's centre
    rotation: float = 0.0  # degrees, each way
    stretch: float = 0.0  # 0.2: motion is 1/1.2 to 1.2 times as fast
    drop: float = 0.0  # up to this share of the events is lost
    flip: float = 0.0  # probability of a mirror image (left and right swapped)
    flip_labels: Mapping[str, str] = field(default_factory=dict)  # in the mirror image, this label becomes that one
    polarity_flip: float = 0.0  # probability that brighter and darker are swapped
    noise_hz: float = 0.0  # up to this many stray events per pixel and second
    hot_pixels: int = 0  # up to so many pixels ...
    hot_pixel_hz: float = 200.0  # ... that fire at up to this rate


@dataclass(frozen=True)
class Transform:
    """One draw: where an event at (x, y) goes, which label it then has, and how much is lost and added."""

    matrix: np.ndarray  # float64 (2, 3): (x', y') = matrix @ (x, y, 1)
    speed: float  # above 1: motion is faster than recorded
    mirrored: bool
    swap_polarity: bool
    keep: float  # share of the events that stays
    noise_hz: float  # stray events per pixel and second
    hot: tuple[tuple[int, int, bool, float], ...]  # x, y, polarity, events per second

    def apply(self, events: np.ndarray, sensor: SensorSize, duration_us: int, rng: np.random.Generator) -> np.ndarray:
        """The changed events of a window of `duration_us` that begins at time 0; their order in time is not kept."""
        if self.keep < 1:
            events = events[rng.random(len(events)) < self.keep]
        x, y = events["x"].astype(np.float64), events["y"].astype(np.float64)
        columns = np.floor(self.matrix[0, 0] * x + self.matrix[0, 1] * y + self.matrix[0, 2] + 0.5)
        rows = np.floor(self.matrix[1, 0] * x + self.matrix[1, 1] * y + self.matrix[1, 2] + 0.5)
        inside = (columns >= 0) & (columns < sensor.width) & (rows >= 0) & (rows < sensor.height)
        changed = np.empty(int(np.count_nonzero(inside)), EVENT_DTYPE)
        changed["t"], changed["x"], changed["y"] = events["t"][inside], columns[inside], rows[inside]
        changed["p"] = events["p"][inside] ^ self.swap_polarity
        added = self._stray_events(sensor, duration_us, rng)
        return np.concatenate([changed, added]) if len(added) else changed

    def _stray_events(self, sensor: SensorSize, duration_us: int, rng: np.random.Generator) -> np.ndarray:
        seconds = duration_us * 1e-6
        noise = rng.poisson(self.noise_hz * sensor.width * sensor.height * seconds) if self.noise_hz else 0
        bursts = [rng.poisson(rate * seconds) for *_, rate in self.hot]
        added = np.empty(noise + sum(bursts), EVENT_DTYPE)
        added["t"] = rng.integers(0, max(duration_us, 1), len(added))
        added["x"][:noise] = rng.integers(0, sensor.width, noise)
        added["y"][:noise] = rng.integers(0, sensor.height, noise)
        added["p"][:noise] = rng.random(noise) < 0.5
        start = noise
        for (x, y, p, _), count in zip(self.hot, bursts, strict=True):
            added["x"][start : start + count], added["y"][start : start + count] = x, y
            added["p"][start : start + count] = p
            start += count
        return added


def draw(augmentation: Augmentation, sensor: SensorSize, rng: np.random.Generator) -> Transform:
    """One random Transform; what is set to zero stays as recorded."""
    mirrored = bool(rng.random() < augmentation.flip)
    angle = np.deg2rad(rng.uniform(-1, 1) * augmentation.rotation)
    scale = 1 + rng.uniform(-1, 1) * augmentation.scale
    shift = rng.uniform(-1, 1, 2) * augmentation.shift
    centre = np.array([(sensor.width - 1) / 2, (sensor.height - 1) / 2])
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    offset = centre + shift - linear @ centre
    hot = tuple(
        (
            int(rng.integers(sensor.width)),
            int(rng.integers(sensor.height)),
            bool(rng.random() < 0.5),
            float(rng.uniform(0, augmentation.hot_pixel_hz)),
        )
        for _ in range(rng.integers(augmentation.hot_pixels + 1))
    )
    return Transform(
        matrix=np.column_stack([linear, offset]),
        speed=float((1 + augmentation.stretch) ** rng.uniform(-1, 1)),
        mirrored=mirrored,
        swap_polarity=bool(rng.random() < augmentation.polarity_flip),
        keep=float(1 - rng.uniform(0, augmentation.drop)),
        noise_hz=float(rng.uniform(0, augmentation.noise_hz)),
        hot=hot,
    )


def mirrored_labels(labels: Sequence[str], flip_labels: Mapping[str, str]) -> np.ndarray:
    """Index of the label that each label becomes in the mirror image, int64 (labels,); pairs hold both ways."""
    both = {**{value: key for key, value in flip_labels.items()}, **flip_labels}
    return np.array([labels.index(both.get(label, label)) for label in labels], np.int64)
