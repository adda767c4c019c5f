"""Gestures for the class `other`: many, and none of them one of the ten named ones."""

import numpy as np

from .moves import LEFT, RIGHT, Draw, Motion, _points, _reach_arm, _set_arm, beat, rest, towards
from .people import Person


def other(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """One of the gestures below, by the person's habits."""
    return INVENTED[int(habit.integers(len(INVENTED)))](t, who, habit, draw)


def _pace(t: np.ndarray, who: Person, habit: Draw, draw: Draw, slow: float, fast: float) -> np.ndarray:
    return beat(t, habit.uniform(slow, fast) * who.tempo * draw.uniform(0.85, 1.15), draw)


def flap(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Straight arms up and down at both sides, like wings."""
    motion = rest(t, who, draw)
    phase = _pace(t, who, habit, draw, 0.6, 1.4)
    angle = np.radians(habit.uniform(-10, 15)) + np.radians(habit.uniform(30, 50)) * who.reach * np.sin(phase)
    for arm in (RIGHT, LEFT):
        late = angle - 0.2 * np.cos(phase)
        _set_arm(motion, arm, towards(np.cos(angle), np.sin(angle), 0.1), towards(np.cos(late), np.sin(late), 0.1))
    return motion


def punch(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Fists to the camera in turn, from a boxer's guard."""
    motion = rest(t, who, draw)
    phase = _pace(t, who, habit, draw, 0.7, 1.5)
    full = who.upper_arm_m + who.forearm_m
    for arm, turn in ((RIGHT, 0.0), (LEFT, np.pi)):
        out = np.maximum(0, np.sin(phase + turn)) ** 2
        target = _points(-0.05 - 0.08 * out, -0.02 + 0.03 * out, 0.16 + (0.95 * full - 0.16) * out)
        _reach_arm(motion, arm, who, target, (0.5, -1.0, 0.0))
    motion.sway[:, 2] += np.radians(4) * np.sin(phase)
    return motion


def overhead(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Both arms overhead, swaying together from side to side."""
    motion = rest(t, who, draw)
    lean = np.radians(habit.uniform(20, 35)) * who.reach * np.sin(_pace(t, who, habit, draw, 0.5, 1.1))
    for arm, side in ((RIGHT, -1), (LEFT, 1)):
        aside = np.radians(habit.uniform(8, 20)) + side * lean
        _set_arm(motion, arm, towards(np.sin(aside), np.cos(aside), 0.1), towards(np.sin(aside), np.cos(aside), 0.1))
    motion.sway[:, 2] += 0.25 * lean
    return motion


def both_circles(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Both arms in circles at once, mirrored."""
    motion = rest(t, who, draw)
    phase = _pace(t, who, habit, draw, 0.7, 1.3) * (1 if habit.random() < 0.5 else -1)
    full = who.upper_arm_m + who.forearm_m
    radius = habit.uniform(0.35, 0.6) * full * who.reach
    for arm in (RIGHT, LEFT):
        target = _points(0.35 * full + radius * np.sin(phase), radius * np.cos(phase), 0.4 * full)
        _reach_arm(motion, arm, who, target, (1.0, -0.8, -0.1))
    return motion


def push(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Both palms pushed to the camera and drawn back together."""
    motion = rest(t, who, draw)
    out = 0.5 - 0.5 * np.cos(_pace(t, who, habit, draw, 0.6, 1.2))
    full, height = who.upper_arm_m + who.forearm_m, habit.uniform(-0.1, 0.05)
    for arm in (RIGHT, LEFT):
        target = _points(0.02 + 0.06 * out, height + 0.05 * out, 0.12 + (0.95 * full - 0.12) * out)
        _reach_arm(motion, arm, who, target, (0.8, -1.0, 0.0))
        motion.hand[:, arm] = towards(0.0, 1.0, 0.3)
    return motion


def swim(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Breast stroke: hands together ahead, out to the sides, back to the chest."""
    motion = rest(t, who, draw)
    phase = _pace(t, who, habit, draw, 0.5, 0.9)
    full = who.upper_arm_m + who.forearm_m
    ahead = full * (0.55 + 0.35 * np.cos(phase))
    spread = (0.28 - 0.3 * np.cos(phase + 0.9)) * who.reach * full
    for arm in (RIGHT, LEFT):
        target = _points(spread - 0.5 * who.shoulder_m, -0.1 + 0.06 * np.sin(phase), ahead)
        _reach_arm(motion, arm, who, target, (1.0, -0.5, 0.0))
    return motion


def nod(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """The head alone: nodding or shaking; or the whole body bobbing."""
    motion = rest(t, who, draw)
    swing = np.sin(_pace(t, who, habit, draw, 0.9, 1.8))
    kind = habit.integers(3)
    if kind == 0:
        motion.head[:, 1] += 0.03 * who.reach * swing
    elif kind == 1:
        motion.head[:, 0] += 0.035 * who.reach * swing
    motion.sway[:, 0 if kind == 1 else 1] += (0.05 if kind == 2 else 0.012) * who.reach * swing
    return motion


def lean(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Hands on the hips, the trunk leaning from side to side."""
    motion = rest(t, who, draw)
    swing = np.sin(_pace(t, who, habit, draw, 0.5, 1.0))
    motion.sway[:, 2] += np.radians(habit.uniform(8, 14)) * who.reach * swing
    motion.sway[:, 0] += 0.05 * swing
    for arm in (RIGHT, LEFT):
        _set_arm(motion, arm, towards(0.75, -0.7, -0.1), towards(-0.75, -0.65, 0.25))
    return motion


def salute(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """One hand from the side up to the brow and down again."""
    motion = rest(t, who, draw)
    arm = int(habit.integers(2))
    up = 0.5 - 0.5 * np.cos(_pace(t, who, habit, draw, 0.35, 0.7))
    high = np.array([-0.03, 0.2, 0.12]) + [0.0, who.neck_m, 0.0]
    low = np.array([0.1, -0.95 * (who.upper_arm_m + who.forearm_m), 0.08])
    middle = np.array([0.3, -0.2, 0.25])  # the hand swings out on its way
    target = np.outer((1 - up) ** 2, low) + np.outer(2 * up * (1 - up), middle) + np.outer(up**2, high)
    _reach_arm(motion, arm, who, target, (1.0, -0.4, 0.1))
    return motion


def conduct(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Both hands beat time like a conductor's: down, in, out, up, mirrored."""
    motion = rest(t, who, draw)
    phase = _pace(t, who, habit, draw, 0.5, 0.9)
    for arm in (RIGHT, LEFT):
        out = 0.12 + 0.12 * who.reach * np.sin(phase)
        up = 0.02 + 0.14 * who.reach * np.sin(2 * phase + 0.6)
        _reach_arm(motion, arm, who, _points(out, up, 0.32), (0.8, -1.0, 0.0))
    return motion


def cross(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Straight arms crossed before the body and flung wide again."""
    motion = rest(t, who, draw)
    open_ = 0.5 - 0.5 * np.cos(_pace(t, who, habit, draw, 0.5, 1.0))
    full, height = who.upper_arm_m + who.forearm_m, habit.uniform(-0.35, 0.05)
    for arm in (RIGHT, LEFT):
        angle = np.radians(-35 + 110 * open_)
        target = _points(0.9 * full * np.sin(angle), height + 0.1 * open_, 0.9 * full * np.cos(angle) + 0.05)
        _reach_arm(motion, arm, who, target, (0.6, -1.0, 0.0))
    return motion


def shrug(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """Shoulders up, palms turned out at the sides, and down again."""
    motion = rest(t, who, draw)
    up = 0.5 - 0.5 * np.cos(_pace(t, who, habit, draw, 0.5, 1.0))
    motion.sway[:, 1] += 0.035 * up * who.reach
    motion.head[:, 1] -= 0.03 * up * who.reach
    for arm in (RIGHT, LEFT):
        _set_arm(motion, arm, towards(0.25, -1.0, 0.05), towards(0.3 + 0.9 * up, -0.6 + 0.5 * up, 0.6))
    return motion


def figure_eight(t: np.ndarray, who: Person, habit: Draw, draw: Draw) -> Motion:
    """One hand writes a large lying eight in the air before the chest."""
    motion = rest(t, who, draw)
    arm, phase = int(habit.integers(2)), _pace(t, who, habit, draw, 0.5, 0.9)
    out = -0.12 + 0.26 * who.reach * np.sin(phase)
    _reach_arm(motion, arm, who, _points(out, 0.15 * who.reach * np.sin(2 * phase), 0.36), (1.0, -0.8, 0.0))
    return motion


INVENTED = (
    flap, punch, overhead, both_circles, push, swim, nod, lean, salute, conduct, cross, shrug, figure_eight,
)  # fmt: skip
