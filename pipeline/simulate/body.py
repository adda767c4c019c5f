"""From directions of limbs to capsules in the picture: forward kinematics, perspective, order of depth."""

import numpy as np

from .moves import LEFT, RIGHT, Motion
from .people import Person, Place
from .raster import ALBEDO, COLUMNS, CONTRAST, PHASE, R0, R1, STRIPES, X0, X1, Y0, Y1

_FIELD_M = 1.5  # width of the picture at a distance of _NOMINAL_M
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
    cloth = who.shirt, who.stripes_per_m * 0.75, who.stripe_contrast
    half, thick = who.shoulder_m, 0.55 * who.trunk_m
    belt = -0.52

    def at(right: float, up: float, forward: float) -> np.ndarray:
        return _fixed(motion, who, right, up, forward)

    for side in (-1, 1):  # legs, then the trunk in three columns: flat in front, round at the flanks
        shapes.add(at(0.1 * side, belt - 0.05, -0.25), at(0.11 * side, -1.1, -0.25), 0.105, 0.09, who.trousers)
        flank = side * (who.trunk_m - thick)
        shapes.add(at(1.1 * flank, -thick, -0.15), at(flank, belt - 0.06, -0.16), thick, thick, *cloth)
    shapes.add(at(0, -thick, -0.13), at(0, belt - 0.06, -0.14), 1.05 * thick, 1.05 * thick, *cloth)
    shapes.add(at(-half, -0.02, -0.1), at(half, -0.02, -0.1), who.limb_m, who.limb_m, who.shirt, 3, 0.05)
    shapes.add(at(0, 0, -0.1), at(0, who.neck_m, -0.09), 0.055, 0.048, 0.85 * who.skin)
    _head(shapes, at(0, who.neck_m, -0.06), motion, who)


def _head(shapes: _Shapes, chin: np.ndarray, motion: Motion, who: Person) -> None:
    size, nod = who.head_m, np.zeros((len(motion.sway), 3))
    nod[:, :2] = motion.head
    jaw, crown = chin + [0, 0.75 * size, 0] + nod, chin + [0, 1.5 * size, -0.01] + 1.2 * nod
    hair = crown + [0, 0.25 * size, -0.02]
    shapes.add(hair, hair + [0, -0.35 * size, -0.01], size * 0.96, size, who.hair)
    shapes.add(jaw, crown, size * 0.76, size * 0.86, who.skin)
    for eye in (-0.36, 0.36):
        socket = crown + [eye * size, -0.2 * size, 0.06] + 0.3 * nod
        shapes.add(socket - [0.008, 0, 0], socket + [0.008, 0, 0], 0.009, 0.009, 0.35 * who.skin)
    mouth = jaw + [0, -0.2 * size, 0.06] + 0.2 * nod
    shapes.add(mouth - [0.018, 0, 0], mouth + [0.018, 0, 0], 0.006, 0.006, 0.55 * who.skin)


def _arm(shapes: _Shapes, motion: Motion, who: Person, arm: int) -> None:
    mirror = np.array([-1.0 if arm == RIGHT else 1.0, 1.0, 1.0])
    shoulder = _fixed(motion, who, mirror[0] * who.shoulder_m, -0.02, 0.0)
    elbow = shoulder + who.upper_arm_m * motion.upper[:, arm] * mirror
    wrist = elbow + who.forearm_m * motion.fore[:, arm] * mirror
    thick = who.limb_m
    cloth = who.shirt, who.stripes_per_m * who.upper_arm_m, who.stripe_contrast
    shapes.add(shoulder, elbow, thick, 0.82 * thick, *cloth)
    cuff = elbow + who.sleeve * (wrist - elbow)
    at_cuff = (0.82 - 0.27 * who.sleeve) * thick
    if who.sleeve > 0:
        shapes.add(elbow, cuff, 0.82 * thick, at_cuff + 0.004, *cloth)
    if who.sleeve < 1:
        shapes.add(cuff, wrist, at_cuff, 0.55 * thick, who.skin)
    _hand(shapes, wrist, motion.hand[:, arm] * mirror, motion.spread[:, arm, None], mirror[0], who)


def _hand(
    shapes: _Shapes, wrist: np.ndarray, along: np.ndarray, spread: np.ndarray, mirror: float, who: Person
) -> None:
    """A palm and five fingers, fanned out in the plane of the picture by `spread`: 0 closed, 1 wide open."""
    across = np.stack([along[:, 1], -along[:, 0], np.zeros(len(along))], -1) * mirror  # to the thumb of an open palm
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 0.3)
    size = who.hand_m
    palm = wrist + 0.48 * size * along
    shapes.add(wrist + 0.1 * size * along, palm, 0.16 * size, 0.23 * size, who.skin)
    for angle, length in ((-0.4, 0.40), (-0.13, 0.47), (0.13, 0.47), (0.4, 0.42), (1.1, 0.30)):
        turn = angle * (0.35 + 0.65 * spread)
        root = palm + size * (0.22 * np.sin(angle) * across + 0.05 * along)
        tip = root + length * size * (np.cos(turn) * along + np.sin(turn) * across)
        shapes.add(root, tip, 0.055 * size, 0.045 * size, who.skin * (0.94 if length == 0.47 else 1.0))
