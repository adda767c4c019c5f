"""Digits drawn from strokes, in the frame of MNIST: 28x28, within a 20x20 box, centre of mass in the middle.

They are our own, so that samples can be shipped; they are far more alike than handwriting is, and prove no accuracy.
"""

import numpy as np

from ..errors import EventError
from .raster import ALBEDO, COLUMNS, R0, R1, X0, X1, Y0, Y1, draw_capsule

SIDE, BOX = 28, 20
_FRONTAL = np.array([0.0, 0.0, 1.0])

# Strokes through points (right, down) of the unit square; a curve runs smoothly through them, a line has corners.
_ZERO = (
    "curve",
    [(0.5, 0), (0.14, 0.2), (0.05, 0.55), (0.3, 0.97), (0.72, 0.9), (0.95, 0.45), (0.8, 0.08), (0.46, 0.01)],
)
_EIGHT = [
    (0.8, 0.14),
    (0.5, 0),
    (0.2, 0.18),
    (0.45, 0.44),
    (0.85, 0.72),
    (0.5, 1),
    (0.15, 0.76),
    (0.5, 0.46),
    (0.82, 0.2),
]
_NINE = [(0.82, 0.2), (0.5, 0), (0.16, 0.22), (0.42, 0.48), (0.82, 0.24), (0.8, 0.6), (0.7, 1)]
_STROKES: tuple[tuple[tuple[str, list[tuple[float, float]]], ...], ...] = (
    (_ZERO,),
    (("line", [(0.5, 0), (0.48, 0.5), (0.46, 1)]),),
    (
        ("curve", [(0.12, 0.24), (0.45, 0), (0.84, 0.22), (0.62, 0.58), (0.08, 0.96)]),
        ("curve", [(0.08, 0.96), (0.5, 0.9), (0.95, 0.96)]),
    ),
    (
        ("curve", [(0.14, 0.1), (0.52, 0), (0.82, 0.2), (0.42, 0.46)]),
        ("curve", [(0.42, 0.46), (0.88, 0.66), (0.6, 0.98), (0.1, 0.9)]),
    ),
    (("line", [(0.22, 0), (0.12, 0.55), (0.9, 0.52)]), ("line", [(0.72, 0.05), (0.68, 0.5), (0.66, 1)])),
    (
        ("line", [(0.86, 0.02), (0.3, 0.04), (0.22, 0.44)]),
        ("curve", [(0.22, 0.44), (0.6, 0.38), (0.84, 0.68), (0.55, 0.98), (0.1, 0.9)]),
    ),
    (("curve", [(0.68, 0), (0.28, 0.4), (0.16, 0.78), (0.45, 1), (0.8, 0.8), (0.55, 0.56), (0.2, 0.72)]),),
    (("line", [(0.1, 0.06), (0.88, 0.04), (0.58, 0.5), (0.4, 1)]),),
    (("curve", _EIGHT),),
    (("curve", _NINE),),
)


def draw_digit(digit: int, seed: int) -> np.ndarray:
    """uint8 (28, 28): `digit` 0 to 9 in white on black, its slant, width, stroke and proportions by `seed`."""
    if not 0 <= digit <= 9:
        raise EventError(f"digit {digit} cannot be drawn, want 0 to 9")
    draw = np.random.default_rng([seed, digit, 77])
    slant, turn, wide = draw.uniform(0.0, 0.3), draw.normal(0, 0.06), draw.uniform(0.6, 0.85)
    radius = draw.uniform(0.9, 1.4)
    shape = np.array([[wide, -slant], [0.0, 1.0]])
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    strokes = []
    for kind, points in _STROKES[digit]:
        jittered = np.array(points) + draw.normal(0, 0.018, (len(points), 2))
        path = _smooth(jittered) if kind == "curve" else jittered
        strokes.append(path @ (rotate @ shape).T)
    inked = np.concatenate(strokes)
    low, high = inked.min(0), inked.max(0)
    scale = (BOX - 2 * radius) / (high - low).max()
    frame = _ink([(path - low) * scale for path in strokes], radius)
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def _ink(strokes: list[np.ndarray], radius: float) -> np.ndarray:
    """The strokes (from 0, pixels) drawn twice: to find the centre of mass, then with that in the middle."""
    middle = np.array([SIDE / 2, SIDE / 2])
    offset = middle - np.concatenate(strokes).mean(0)
    frame = np.zeros((SIDE, SIDE))
    for _ in range(2):
        frame = np.zeros((SIDE, SIDE))
        for path in strokes:
            for a, b in zip(path[:-1] + offset, path[1:] + offset, strict=True):
                capsule = np.zeros(COLUMNS)
                capsule[[X0, Y0, X1, Y1, R0, R1, ALBEDO]] = *a, *b, radius, radius, 255
                draw_capsule(capsule, _FRONTAL, 1.0, 1.0, frame)
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        centre = np.array([(frame * x).sum(), (frame * y).sum()]) / frame.sum()
        offset = offset + (SIDE - 1) / 2 - centre
    return frame


def _smooth(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through the points."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    u = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * (b - c) + d - a) * u**3))
    return np.concatenate([*parts, points[-1:]])
