"""Lenses: where a pixel would lie if the lens did not bend, from a calibration. Written in NumPy, computed once.

The calibration is OpenCV's: a camera matrix (fx, fy, cx, cy in pixels, the centre of pixel (0, 0) being at 0, 0) and
coefficients of distortion, which map an ideal point to where the lens puts it. The map that events need is its inverse,
which has no closed form: it is found by Newton's method and checked by going forth again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..events import SensorSize

STEPS, CLOSE = 30, 1e-9  # Newton steps at most; a point is found when it comes back this close, in focal lengths
Model = Literal["pinhole", "fisheye"]


@dataclass(frozen=True)
class Lens:
    """A calibration. Lengths in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...]  # pinhole: k1 k2 p1 p2 [k3 [k4 k5 k6]]; fisheye: k1 k2 k3 k4
    model: Model = "pinhole"


def undistorted_points(lens: Lens, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ideal pixel coordinates (float64) of pixels x, y; nan where the lens model reaches no ideal point."""
    u = (np.asarray(x, float) - lens.cx) / lens.fx
    v = (np.asarray(y, float) - lens.cy) / lens.fy
    a, b = _invert_fisheye(lens.distortion, u, v) if lens.model == "fisheye" else _invert(lens.distortion, u, v)
    return a * lens.fx + lens.cx, b * lens.fy + lens.cy


@functools.lru_cache(maxsize=4)
def undistortion_table(lens: Lens, sensor: SensorSize) -> np.ndarray:
    """int32 (height, width, 2): the pixel (x, y) nearest to the ideal place of each; -1, -1: none. Do not write."""
    rows, columns = np.mgrid[: sensor.height, : sensor.width]
    x, y = undistorted_points(lens, columns, rows)
    with np.errstate(invalid="ignore"):
        nearest = np.stack([np.floor(x + 0.5), np.floor(y + 0.5)], axis=-1)
        inside = np.all((nearest >= 0) & (nearest < [sensor.width, sensor.height]), axis=-1, keepdims=True)
    return np.where(inside, nearest, -1).astype(np.int32)


def distort(coefficients: tuple[float, ...], a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brown and Conrady, with r^2 = a^2 + b^2 and g = (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6):

    u = a g + 2 p1 a b + p2 (r^2 + 2 a^2),   v = b g + p1 (r^2 + 2 b^2) + 2 p2 a b
    """
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *[0.0] * (8 - len(coefficients)))
    s = a * a + b * b
    g = (1 + s * (k1 + s * (k2 + s * k3))) / (1 + s * (k4 + s * (k5 + s * k6)))
    return a * g + 2 * p1 * a * b + p2 * (s + 2 * a * a), b * g + p1 * (s + 2 * b * b) + 2 * p2 * a * b


def _invert(k: tuple[float, ...], u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton in two dimensions, for each point until it comes back; nan where it does not, or only past a fold."""
    a, b = u.flatten(), v.flatten()
    moving = np.arange(a.size)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            at_u, at_v = distort(k, a[moving], b[moving])
            off_u, off_v = at_u - u.flat[moving], at_v - v.flat[moving]
            far = ~(np.hypot(off_u, off_v) < CLOSE)
            moving, off_u, off_v = moving[far], off_u[far], off_v[far]
            if not moving.size:
                break
            ua, va, ub, vb = _slopes(k, a[moving], b[moving])
            determinant = ua * vb - ub * va
            a[moving] -= (vb * off_u - ub * off_v) / determinant
            b[moving] -= (ua * off_v - va * off_u) / determinant
        a[moving] = b[moving] = np.nan
        a[np.hypot(a, b) >= _fold(lambda r: distort(k[:2] + (0.0, 0.0) + k[4:], r, np.zeros_like(r))[0], a, b)] = np.nan
    return a.reshape(u.shape), np.where(np.isnan(a), np.nan, b).reshape(u.shape)


def _slopes(k: tuple[float, ...], a: np.ndarray, b: np.ndarray, h: float = 1e-6) -> tuple[np.ndarray, ...]:
    """du/da, dv/da, du/db, dv/db by central differences."""
    (u1, v1), (u0, v0) = distort(k, a + h, b), distort(k, a - h, b)
    (u3, v3), (u2, v2) = distort(k, a, b + h), distort(k, a, b - h)
    return (u1 - u0) / (2 * h), (v1 - v0) / (2 * h), (u3 - u2) / (2 * h), (v3 - v2) / (2 * h)


def _fold(bent: Callable[[np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray) -> float:
    """The distance from the centre at which the lens model stops growing: beyond it the polynomial means nothing."""
    radii = np.linspace(0.0, np.nanmax(np.hypot(a, b), initial=1.0), 4096)
    falls = np.flatnonzero(np.diff(bent(radii)) <= 0)
    return float(radii[falls[0]]) if falls.size else np.inf


def _invert_fisheye(k: tuple[float, ...], u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kannala and Brandt: the lens puts a ray at angle q from the axis at q (1 + k1 q^2 + k2 q^4 + k3 q^6 + k4 q^8)."""
    k1, k2, k3, k4 = k

    def bent(q: np.ndarray) -> np.ndarray:
        s = q * q
        return q * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4))))

    radius = np.hypot(u, v)
    q = radius.copy()
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            s = q * q
            q -= (bent(q) - radius) / (1 + s * (3 * k1 + s * (5 * k2 + s * (7 * k3 + s * 9 * k4))))
        found = (np.abs(bent(q) - radius) < CLOSE) & (q >= 0) & (q < np.pi / 2)
        found &= q < _fold(bent, q, np.zeros_like(q))
        scale = np.where(radius > 0, np.tan(q) / radius, 1.0)
    return np.where(found, u * scale, np.nan), np.where(found, v * scale, np.nan)
