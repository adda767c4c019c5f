"""From directions of limbs to capsules in the picture: forward kinematics, perspective, order of depth."""

import numpy as np

from .moves import LEFT, RIGHT, Motion
from .people import Person, Place
from .raster import ALBEDO, COLUMNS, CONTRAST, PHASE, R0, R1, STRIPES, X0, X1, Y0, Y1

_FIELD_M = 1.55  # width of the picture at a distance of _NOMINAL_M
_NOMINAL_M = 1.8


class _Shapes:
    """Collects capsules in space: ends float64[T, 3] (right, up, to the camera), radii in metres."""

    def __init__(self) -> None:
        self.ends: list[tuple[np.ndarray, np.ndarray]] = []
        self.rest: list[tuple[float, float, float, float, float, float]] = []

    def add(
        self, a: np.ndarray, b: np.ndarray, radius_a: float, radius_b: float, albedo: float,
        stripes: float = 0.0, contrast: float = 0.0, phase: float = 0.0,
    ) -> None:  # fmt: skip
        self.ends.append((a, b))
        self.rest.append((radius_a, radius_b, albedo, stripes, phase, contrast))


def capsules(motion: Motion, who: Person, where: Place, side: int = 128) -> np.ndarray:
    """float64[T, N, COLUMNS]: the body at T times, farthest part first, as raster.draw_capsules wants it."""
    shapes = _Shapes()
    _trunk(shapes, motion, who)
    for arm in (RIGHT, LEFT):
        _arm(shapes, motion, who, arm)
    steps, count = len(motion.sway), len(shapes.ends)
    out = np.zeros((steps, count, COLUMNS))
    depth = np.empty((steps, count))
    focal = side / _FIELD_M * _NOMINAL_M
    cosine, sine = np.cos(where.roll_rad), np.sin(where.roll_rad)
    for n, ((a, b), numbers) in enumerate(zip(shapes.ends, shapes.rest, strict=True)):
        for end, x, y, r, radius in ((a, X0, Y0, R0, numbers[0]), (b, X1, Y1, R1, numbers[1])):
            scale = focal / np.maximum(who.distance_m - end[:, 2], 0.3)
            right, down = end[:, 0] * scale, -end[:, 1] * scale
            out[:, n, x] = side / 2 + cosine * right - sine * down
            out[:, n, y] = side / 2 + sine * right + cosine * down
            out[:, n, r] = radius * scale
        out[:, n, ALBEDO], out[:, n, STRIPES], out[:, n, PHASE], out[:, n, CONTRAST] = numbers[2:]
        depth[:, n] = (a[:, 2] + b[:, 2]) / 2
    order = np.argsort(depth, axis=1, kind="stable")
    return np.take_along_axis(out, order[:, :, None], axis=1)


def _lean(points: np.ndarray, motion: Motion, who: Person) -> np.ndarray:
    """Points of the trunk (..., right, up, forward; hips are half a metre under the shoulders) after sway and lean."""
    angle, hips = motion.sway[:, 2], -0.5
    right, up = points[:, 0], points[:, 1] - hips
    moved = points.copy()
    moved[:, 0] = np.cos(angle) * right + np.sin(angle) * up + motion.sway[:, 0] + who.stands_m[0]
    moved[:, 1] = np.cos(angle) * up - np.sin(angle) * right + hips + motion.sway[:, 1] + who.stands_m[1]
    return moved


def _fixed(motion: Motion, who: Person, right: float, up: float, forward: float) -> np.ndarray:
    return _lean(np.tile(np.array([right, up, forward]), (len(motion.sway), 1)), motion, who)


def _trunk(shapes: _Shapes, motion: Motion, who: Person) -> None:
    cloth = (who.stripes_per_m * 0.5, who.stripe_contrast)
    half, chest = who.shoulder_m, who.trunk_m
    at = lambda right, up, forward=-0.12: _fixed(motion, who, right, up, forward)  # noqa: E731
    hips = at(0, -0.62, -0.14)
    shapes.add(at(-0.09, -0.62, -0.2), at(-0.1, -1.0, -0.2), 0.1, 0.09, who.trousers)
    shapes.add(at(0.09, -0.62, -0.2), at(0.1, -1.0, -0.2), 0.1, 0.09, who.trousers)
    shapes.add(at(0, -chest * 0.8), hips, chest, chest * 0.92, who.shirt, *cloth)
    shapes.add(at(-half + 0.01, -0.02, -0.1), at(half - 0.01, -0.02, -0.1), who.limb_m, who.limb_m, who.shirt, 3, 0.05)
    shapes.add(at(0, 0, -0.1), at(0, who.neck_m, -0.09), 0.05, 0.048, 0.85 * who.skin)
    nod = np.zeros((len(motion.sway), 3))
    nod[:, :2] = motion.head
    chin, crown = (
        at(0, who.neck_m + 0.8 * who.head_m, -0.06) + nod,
        at(0, who.neck_m + 1.5 * who.head_m, -0.07) + 1.2 * nod,
    )
    hair = crown + [0, 0.28 * who.head_m, -0.02]
    shapes.add(hair, hair + [0, -0.2 * who.head_m, -0.01], who.head_m * 0.98, who.head_m, who.hair)
    shapes.add(chin, crown, who.head_m * 0.8, who.head_m * 0.88, who.skin)
    for eye in (-0.35, 0.35):
        place = crown + [eye * who.head_m, -0.25 * who.head_m, 0.06]
        shapes.add(place, place + [0.01, 0, 0], 0.011, 0.011, 0.3 * who.skin)
    mouth = chin + [-0.02, -0.15 * who.head_m, 0.06]
    shapes.add(mouth, mouth + [0.04, 0, 0], 0.007, 0.007, 0.5 * who.skin)


def _arm(shapes: _Shapes, motion: Motion, who: Person, arm: int) -> None:
    mirror = np.array([-1.0 if arm == RIGHT else 1.0, 1.0, 1.0])
    shoulder = _fixed(motion, who, mirror[0] * who.shoulder_m, -0.02, -0.1)
    shoulder[:, 2] += 0.1
    elbow = shoulder + who.upper_arm_m * motion.upper[:, arm] * mirror
    wrist = elbow + who.forearm_m * motion.fore[:, arm] * mirror
    hand = motion.hand[:, arm] * mirror
    palm, tips = wrist + 0.5 * who.hand_m * hand, wrist + 0.92 * who.hand_m * hand
    thick = who.limb_m
    cloth = who.shirt, who.stripes_per_m * who.upper_arm_m, who.stripe_contrast
    shapes.add(shoulder, elbow, thick, 0.82 * thick, *cloth)
    cuff = elbow + who.sleeve * (wrist - elbow)
    at_cuff = (0.82 - 0.27 * who.sleeve) * thick
    if who.sleeve > 0:
        shapes.add(elbow, cuff, 0.82 * thick, at_cuff + 0.004, *cloth)
    if who.sleeve < 1:
        shapes.add(cuff, wrist, at_cuff, 0.55 * thick, who.skin)
    shapes.add(wrist, palm, 0.03, 0.043, who.skin)
    shapes.add(palm, tips, 0.041, 0.024, who.skin, 3, 0.25)
