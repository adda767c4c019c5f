"""How arms move in each gesture: directions of the arm's segments over time.

An arm's own coordinates are outward (away from the body's middle), up, and forward (to the camera), so that a left and
a right arm share one description; body.py mirrors them. Clockwise is as seen in the picture, that is, by the camera.

Each gesture has styles, chosen by the person's habits, and is varied by the recording's own draw: pace, amplitude,
phase, and a slow wandering of all of them.
"""

from dataclasses import dataclass

import numpy as np

from .people import Person

Draw = np.random.Generator
RIGHT, LEFT = 0, 1  # the subject's own; the right arm is at the left of the picture


@dataclass
class Motion:
    """Where everything points at T times. Unit vectors (outward, up, forward), arm 0 is the subject's right."""

    upper: np.ndarray  # float64[T, 2, 3] upper arm, shoulder to elbow
    fore: np.ndarray  # float64[T, 2, 3] forearm, elbow to wrist
    hand: np.ndarray  # float64[T, 2, 3] wrist to fingertips
    sway: np.ndarray  # float64[T, 3] trunk: metres right (in the picture), metres up, lean in rad
    head: np.ndarray  # float64[T, 2] head relative to the trunk: metres right, metres up
    spread: np.ndarray  # float64[T, 2] how far the fingers are apart, 0 closed, 1 wide


def mix(one: Motion, other: Motion, share: np.ndarray) -> Motion:
    """From `one` (share 0) to `other` (share 1). Arms on their way pass in front of the body, and keep their length."""
    w = share[:, None]
    arms = []
    for a, b in ((one.upper, other.upper), (one.fore, other.fore), (one.hand, other.hand)):
        v = (1 - w[..., None]) * a + w[..., None] * b + (w * (1 - w))[..., None] * np.array([0.5, 0.0, 0.8])
        arms.append(v / np.linalg.norm(v, axis=-1, keepdims=True))
    rest_of = [
        (1 - w) * a + w * b for a, b in ((one.sway, other.sway), (one.head, other.head), (one.spread, other.spread))
    ]
    return Motion(*arms, *rest_of)


def wander(t: np.ndarray, draw: Draw, hz: float = 0.4) -> np.ndarray:
    """Slow smooth noise over time, about -1 to 1."""
    total = np.zeros_like(t)
    for share in (0.6, 0.35, 0.25):
        total += share * np.sin(2 * np.pi * (hz * draw.uniform(0.3, 1.8) * t + draw.random()))
    return total


def beat(t: np.ndarray, hz: float, draw: Draw) -> np.ndarray:
    """A rhythm's phase in rad: nearly regular, from a random start."""
    return 2 * np.pi * (hz * t + draw.random()) + 0.25 * wander(t, draw)


def towards(*parts: np.ndarray | float) -> np.ndarray:
    """Unit vectors float64[T, 3] from (outward, up, forward), broadcast against each other."""
    vector = np.stack(np.broadcast_arrays(*np.atleast_1d(*parts)), -1).astype(np.float64)
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def reach(target: np.ndarray, pole: np.ndarray, upper_m: float, fore_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions of upper arm and forearm with the wrist at `target` (from the shoulder), the elbow towards `pole`."""
    distance = np.linalg.norm(target, axis=-1, keepdims=True)
    axis = target / np.maximum(distance, 1e-9)
    distance = np.clip(distance, abs(upper_m - fore_m) + 0.02, 0.999 * (upper_m + fore_m))
    side = pole - (pole * axis).sum(-1, keepdims=True) * axis
    side = side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    cosine = (upper_m**2 + distance**2 - fore_m**2) / (2 * upper_m * distance)
    upper = cosine * axis + np.sqrt(np.maximum(0, 1 - cosine**2)) * side
    return upper, (distance * axis - upper_m * upper) / fore_m


def rest(t: np.ndarray, who: Person, draw: Draw) -> Motion:
    """Arms hang, more or less still; the body sways a little."""
    idle = 0.05 * who.restless
    upper, fore = np.empty((len(t), 2, 3)), np.empty((len(t), 2, 3))
    for arm in (RIGHT, LEFT):
        out, bend = draw.uniform(0.08, 0.22), draw.uniform(0.05, 0.3)
        upper[:, arm] = towards(out + idle * wander(t, draw), -1.0, idle * wander(t, draw))
        fore[:, arm] = towards(out * 0.4 + idle * wander(t, draw), -1.0, bend + idle * wander(t, draw))
    sway = np.stack([scale * who.restless * wander(t, draw, 0.3) for scale in (0.012, 0.003, 0.015)], -1)
    head = np.stack([scale * who.restless * wander(t, draw, 0.35) for scale in (0.008, 0.006)], -1)
    return Motion(upper, fore, fore.copy(), sway, head, np.tile(draw.uniform(0, 0.5, 2), (len(t), 1)))


def _set_arm(motion: Motion, arm: int, upper: np.ndarray, fore: np.ndarray, hand: np.ndarray | None = None) -> None:
    motion.upper[:, arm], motion.fore[:, arm] = upper, fore
    motion.hand[:, arm] = fore if hand is None else hand


def _reach_arm(motion: Motion, arm: int, who: Person, target: np.ndarray, pole: tuple[float, float, float]) -> None:
    _set_arm(motion, arm, *reach(target, np.array(pole), who.upper_arm_m, who.forearm_m))


def _points(*parts: np.ndarray | float) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*np.atleast_1d(*parts)), -1).astype(np.float64)


def clap(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Both hands before the chest; the palms meet in the middle and part again."""
    motion = rest(t, who, draw)
    phase = beat(t, habit.uniform(1.4, 2.8) * who.tempo * draw.uniform(0.85, 1.15), draw)
    widest = habit.uniform(0.16, 0.3) * who.reach * (1 + 0.15 * wander(t, draw))
    gap = 0.035 + widest * np.abs(np.sin(phase / 2)) ** 0.9  # half the distance of the wrists; sharp where they meet
    height, ahead = habit.uniform(-0.28, -0.05), habit.uniform(0.24, 0.36)
    middle = 0.02 * wander(t, draw)
    lift = 0.015 * np.sin(phase / 2 + draw.uniform(0, 6)) + 0.015 * wander(t, draw)
    for arm, side in ((RIGHT, -1), (LEFT, 1)):
        target = _points(gap + side * middle - who.shoulder_m, height + lift, ahead)
        _reach_arm(motion, arm, who, target, (0.45, -1, -0.2))
        motion.hand[:, arm] = towards(-0.25, habit.uniform(0.5, 1.2), 0.6)
    return motion


def wave(t: np.ndarray, who: Person, habit: Draw, draw: Draw, arm: int) -> Motion:
    """One forearm raised, swinging from side to side about the elbow, the hand a little behind."""
    motion = rest(t, who, draw)
    phase = beat(t, habit.uniform(1.1, 2.4) * who.tempo * draw.uniform(0.85, 1.15), draw)
    swing = np.radians(habit.uniform(20, 38)) * who.reach * (1 + 0.15 * wander(t, draw))
    lean = np.radians(habit.uniform(-10, 14)) + 0.06 * wander(t, draw)
    lift = habit.uniform(-0.75, 0.15)
    upper = towards(habit.uniform(0.35, 0.85), lift + 0.05 * np.sin(phase), habit.uniform(0.1, 0.4))
    angle, follow = lean + swing * np.sin(phase), habit.uniform(0.1, 0.5) * swing
    fore = towards(np.sin(angle), np.cos(angle), 0.2)
    late = angle + follow * np.sin(phase - 0.9)
    _set_arm(motion, arm, upper, fore, towards(np.sin(late), np.cos(late), 0.15))
    motion.spread[:, arm] = habit.uniform(0.5, 1.0)
    return motion


def circle(t: np.ndarray, who: Person, habit: Draw, draw: Draw, arm: int, clockwise: bool) -> Motion:
    """One arm draws large circles in the plane of the picture."""
    motion = rest(t, who, draw)
    phase = beat(t, habit.uniform(0.7, 1.5) * who.tempo * draw.uniform(0.85, 1.15), draw)
    full = who.upper_arm_m + who.forearm_m
    radius = full * habit.uniform(0.42, 0.72) * who.reach * (1 + 0.1 * wander(t, draw))
    radius = np.minimum(radius, 0.8 * full)
    outward = 1.0 if clockwise == (arm == LEFT) else -1.0  # which way the hand goes at the top
    squeeze = habit.uniform(0.8, 1.0)
    centre = (habit.uniform(0.1, 0.3) * full, habit.uniform(-0.25, 0.15) * full)
    target = _points(
        centre[0] + outward * squeeze * radius * np.sin(phase) + 0.02 * wander(t, draw),
        centre[1] + radius * np.cos(phase) + 0.02 * wander(t, draw),
        full * habit.uniform(0.35, 0.6),
    )
    _reach_arm(motion, arm, who, target, (1.0, -0.8, -0.1))
    return motion


def roll(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Forearms level before the chest, turning about each other."""
    motion = rest(t, who, draw)
    phase = beat(t, habit.uniform(1.0, 2.0) * who.tempo * draw.uniform(0.85, 1.15), draw)
    phase = phase * (1 if habit.random() < 0.7 else -1)  # away from the body at the top, or towards it
    radius = habit.uniform(0.09, 0.15) * who.reach * (1 + 0.12 * wander(t, draw))
    height, ahead = habit.uniform(-0.25, -0.08), habit.uniform(0.24, 0.32)
    across = habit.uniform(0.02, 0.1)
    for arm, turn in ((RIGHT, 0.0), (LEFT, np.pi)):
        up, forward = radius * np.cos(phase + turn), radius * np.sin(phase + turn)
        target = _points(-who.shoulder_m - across + 0.02 * wander(t, draw), height + up, ahead + forward)
        upper, fore = reach(target, np.array((1.0, -0.35, 0.15)), who.upper_arm_m, who.forearm_m)
        _set_arm(motion, arm, upper, fore, towards(-1.0, 0.25 * np.cos(phase + turn), 0.1))
    return motion


def drums(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Forearms to the front, beating down in turn."""
    motion = rest(t, who, draw)
    phase = beat(t, habit.uniform(1.3, 2.6) * who.tempo * draw.uniform(0.85, 1.15), draw)
    for arm, turn in ((RIGHT, 0.0), (LEFT, np.pi)):
        own = phase + turn
        stroke = np.sin(own + 0.5 * np.sin(own))  # slow up, fast down
        lift = np.radians(habit.uniform(28, 42)) * who.reach * (1 + 0.15 * wander(t, draw))
        pitch = np.radians(habit.uniform(-5, 25)) + lift * stroke
        aside = habit.uniform(-0.3, 0.25) + 0.25 * wander(t, draw, 0.5)  # from one drum to another
        upper = towards(habit.uniform(0.15, 0.4), -1.0, 0.3 + 0.15 * stroke)
        fore = towards(aside, np.sin(pitch), np.cos(pitch))
        flick = pitch + 0.5 * lift * np.sin(own - 0.6)
        _set_arm(motion, arm, upper, fore, towards(aside, np.sin(flick), np.cos(flick)))
    motion.head[:, 1] += 0.008 * who.reach * np.sin(phase)
    return motion


def guitar(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """One hand out along the neck of a guitar that is not there, the other strumming before the belly."""
    motion = rest(t, who, draw)
    strum, fret = (LEFT, RIGHT) if habit.random() < 0.12 else (RIGHT, LEFT)  # few are left-handed
    phase = beat(t, habit.uniform(1.8, 3.6) * who.tempo * draw.uniform(0.85, 1.15), draw)
    size = habit.uniform(0.09, 0.15) * who.reach * (1 + 0.25 * wander(t, draw, 0.8))
    across, low = habit.uniform(-0.02, 0.08), habit.uniform(-0.42, -0.3)
    down = size * np.sin(phase)
    target = _points(-who.shoulder_m - across + 0.35 * down, low + down, 0.24 + 0.02 * wander(t, draw))
    _reach_arm(motion, strum, who, target, (1.0, -0.3, 0.1))
    motion.hand[:, strum] = towards(-1.0, -0.5 + 5 * down, 0.3)
    slide = 0.09 * wander(t, draw, 0.9)  # along the neck, between chords
    fingers = 0.008 * np.sin(beat(t, 5.0, draw))
    far, high = habit.uniform(0.16, 0.28), habit.uniform(-0.2, -0.02)
    target = _points(far + slide, high + 0.4 * slide + fingers, 0.3)
    _reach_arm(motion, fret, who, target, (0.5, -1.0, 0.0))
    motion.hand[:, fret] = towards(-0.2, 1.0, 0.3)
    motion.sway[:, 2] += np.radians(2.5) * who.reach * np.sin(phase / 2)
    motion.head[:, 1] += 0.012 * who.reach * np.sin(phase / 2 + 1)
    return motion
