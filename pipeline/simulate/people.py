"""Who stands before the camera and in what light: everything that stays the same during a recording.

A person and a place are drawn from a seed each, so that a test can hold back people and lightings from training.
Lengths are metres; intensities are those of pixel.py (white = 255).
"""

from dataclasses import dataclass

import numpy as np

from .pixel import PixelSettings


@dataclass(frozen=True)
class Person:
    """A body, its clothes, where it stands and how it tends to move."""

    upper_arm_m: float  # shoulder to elbow
    forearm_m: float  # elbow to wrist
    hand_m: float  # wrist to fingertips
    shoulder_m: float  # half the distance between the shoulders
    trunk_m: float  # half the width of the trunk
    limb_m: float  # radius of the upper arm at the shoulder
    head_m: float  # radius of the head
    neck_m: float  # shoulder line to chin
    stands_m: tuple[float, float]  # of the shoulder line's middle from the optical axis: right, up
    distance_m: float  # from the camera
    skin: float  # intensity under full light
    hair: float
    shirt: float
    trousers: float
    sleeve: float  # share of the forearm that the sleeve covers, 0..1
    stripes_per_m: float  # of the shirt; folds where few
    stripe_contrast: float
    tempo: float  # times the usual speed
    reach: float  # times the usual amplitude
    restless: float  # idle movement, times the usual
    habits: int  # seed of how this person performs each gesture


@dataclass(frozen=True)
class Place:
    """Background, light, and the camera that stands there."""

    background: np.ndarray  # float32[128, 128]
    light: np.ndarray  # unit vector towards the light: right, down, to the camera
    ambient: float  # share of the light that has no direction
    level: float  # brightness of the room, 1 = nominal
    drift: float  # slow changes of the level, as a share
    flicker: float  # amplitude of mains flicker, as a share
    flicker_hz: float
    roll_rad: float  # tilt of the camera
    pixels: PixelSettings


def person(seed: int) -> Person:
    """The person of this seed; the same seed is always the same person."""
    draw = np.random.default_rng([seed, 11])
    size = draw.uniform(0.88, 1.1)
    skin = draw.uniform(70, 190)
    shirt = float(draw.choice([draw.uniform(12, 45), draw.uniform(45, 120), draw.uniform(120, 240)]))
    striped = draw.random() < 0.3
    return Person(
        upper_arm_m=size * draw.uniform(0.27, 0.32),
        forearm_m=size * draw.uniform(0.235, 0.275),
        hand_m=size * draw.uniform(0.155, 0.19),
        shoulder_m=size * draw.uniform(0.165, 0.215),
        trunk_m=size * draw.uniform(0.14, 0.2),
        limb_m=size * draw.uniform(0.042, 0.062),
        head_m=size * draw.uniform(0.085, 0.1),
        neck_m=size * draw.uniform(0.05, 0.09),
        stands_m=(draw.uniform(-0.07, 0.07), draw.uniform(0.1, 0.24)),
        distance_m=draw.uniform(1.55, 2.15),
        skin=skin,
        hair=draw.uniform(10, 60) if draw.random() < 0.75 else draw.uniform(90, 200),
        shirt=shirt,
        trousers=draw.uniform(15, 120),
        sleeve=float(draw.choice([0.0, 0.0, 0.5, 1.0, 1.0])),
        stripes_per_m=draw.uniform(14, 30) if striped else draw.uniform(4, 9),
        stripe_contrast=draw.uniform(0.2, 0.4) if striped else draw.uniform(0.06, 0.2),
        tempo=draw.uniform(0.8, 1.25),
        reach=draw.uniform(0.8, 1.15),
        restless=draw.uniform(0.3, 1.6),
        habits=int(draw.integers(1 << 31)),
    )


def place(seed: int, side: int = 128) -> Place:
    """The place of this seed: a wall with things before it, lit in some way, and how the camera is set there."""
    draw = np.random.default_rng([seed, 22])
    light = np.array([draw.normal(0, 0.6), -abs(draw.normal(0.5, 0.4)), draw.uniform(0.4, 1.0)])
    threshold = draw.uniform(0.11, 0.22)
    level = float(np.exp(draw.uniform(np.log(0.35), np.log(1.3))))
    return Place(
        background=_background(draw, side),
        light=light / np.linalg.norm(light),
        ambient=draw.uniform(0.35, 0.75),
        level=level,
        drift=draw.uniform(0, 0.06),
        flicker=draw.uniform(0, 0.03) if draw.random() < 0.5 else 0.0,
        flicker_hz=float(draw.choice([100.0, 120.0])),
        roll_rad=draw.normal(0, 0.04),
        pixels=PixelSettings(
            threshold_on=threshold,
            threshold_off=threshold * draw.uniform(0.85, 1.2),
            threshold_mismatch=draw.uniform(0.05, 0.15),
            cutoff_hz=draw.uniform(100, 500),
            refractory_us=draw.uniform(300, 1500),
            leak_hz=draw.uniform(0.02, 0.25),
            shot_noise_hz=np.exp(draw.uniform(np.log(0.1), np.log(2.0))),
            hot_pixels=draw.uniform(0, 0.001),
        ),
    )


def _background(draw: np.random.Generator, side: int) -> np.ndarray:
    """A wall: two gradients, a few rectangles (door, shelf, poster), fine texture."""
    y, x = np.mgrid[0:side, 0:side] / side
    wall = draw.uniform(50, 220) * (1 + draw.uniform(-0.4, 0.4) * (x - 0.5) + draw.uniform(-0.4, 0.4) * (y - 0.5))
    for _ in range(draw.integers(0, 7)):
        left, top = draw.uniform(-0.2, 0.9, 2)
        wide, high = draw.uniform(0.08, 0.6, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        wall[inside] *= draw.uniform(0.4, 1.5)
    coarse = draw.normal(0, 1, (side // 8 + 2, side // 8 + 2))
    wall *= 1 + draw.uniform(0, 0.08) * np.kron(coarse, np.ones((8, 8)))[:side, :side]
    wall *= 1 + draw.uniform(0, 0.03) * draw.normal(0, 1, (side, side))
    for _ in range(draw.integers(1, 3)):  # the lens does not draw to the pixel
        wall = (wall + np.roll(wall, 1, 0) + np.roll(wall, 1, 1) + np.roll(wall, (1, 1), (0, 1))) / 4
    return np.clip(wall, 8, 250).astype(np.float32)
