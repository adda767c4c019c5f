"""The eleven classes of DVS128 Gesture, performed by a simulated upper body before a simulated 128x128 camera.

Stable for training code:

    simulate_gesture(label_index, seed, person, lighting, duration_us, start_us=0) -> events   (sorted, t from 0)
    CLASSES                                                                                     (names, in label order)

`person` and `lighting` are seeds: hold some back for testing. The real set's word order holds: `right` is the subject's
right arm, at the left of the picture. Clockwise is as the camera sees it. Who and where is people.py's, how the arms move
moves.py's and invented.py's, what pixels make of it pixel.py's.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import numpy as np

from ..errors import EventError
from ..events import EVENT_DTYPE, SensorSize
from . import moves
from .body import capsules
from .invented import other
from .moves import LEFT, RIGHT, Draw, Motion
from .people import Person, Place, person, place
from .pixel import Camera
from .raster import draw_capsules

SENSOR = SensorSize(128, 128)
WARM_UP_US = 50_000  # the camera looks this long before the recording begins
FRAME_US = 2_500  # hands move less than about a pixel in this time
_STACK = 8  # frames rendered at a time: stays in the cache

_MOVES: dict[str, Callable[[np.ndarray, Person, Draw, Draw], Motion]] = {
    "hand_clapping": moves.clap,
    "right_hand_wave": partial(moves.wave, arm=RIGHT),
    "left_hand_wave": partial(moves.wave, arm=LEFT),
    "right_arm_clockwise": partial(moves.circle, arm=RIGHT, clockwise=True),
    "right_arm_counter_clockwise": partial(moves.circle, arm=RIGHT, clockwise=False),
    "left_arm_clockwise": partial(moves.circle, arm=LEFT, clockwise=True),
    "left_arm_counter_clockwise": partial(moves.circle, arm=LEFT, clockwise=False),
    "arm_roll": moves.roll,
    "air_drums": moves.drums,
    "air_guitar": moves.guitar,
    "other": other,
}
CLASSES = tuple(_MOVES)


def simulate_gesture(
    label_index: int, seed: int, person: int, lighting: int, duration_us: int, start_us: int = 0
) -> np.ndarray:
    """Events (EVENT_DTYPE, sorted, t from 0) of one performance of class `label_index` of CLASSES.

    The performance goes on for ever; the camera opens at its time `start_us`. `seed` decides pace, phase, amplitude and
    noise; `person` the body, clothes, stand and habits; `lighting` the background, the light and the pixels.
    """
    where = _place(lighting)
    camera = Camera(SENSOR, where.pixels, seed)
    found = [
        camera.push(times, frames)
        for times, frames in gesture_frames(label_index, seed, person, lighting, duration_us, start_us)
    ]
    events = np.concatenate([np.empty(0, EVENT_DTYPE), *found])
    return events[np.searchsorted(events["t"], 0) :]


def gesture_frames(
    label_index: int, seed: int, person: int, lighting: int, duration_us: int, start_us: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames behind simulate_gesture: stacks of (times int64[n], float32[n, 128, 128]), valid until the next.

    They begin WARM_UP_US before time 0.
    """
    if not 0 <= label_index < len(CLASSES):
        raise EventError(f"gesture class {label_index} is unknown, want 0 to {len(CLASSES) - 1}")
    if duration_us < FRAME_US:
        raise EventError(f"duration is {duration_us} µs, want at least {FRAME_US}")
    who, where = _person(person), _place(lighting)
    times = np.append(np.arange(-WARM_UP_US, duration_us, FRAME_US), duration_us)
    motion = perform(label_index, seed, person, (times + start_us) * 1e-6)
    yield from render(times, motion, who, where, np.random.default_rng([seed, 33]))


def perform(label_index: int, seed: int, person: int, t: np.ndarray) -> Motion:
    """How the body moves at the times `t` (seconds)."""
    who = _person(person)
    habit = np.random.default_rng([who.habits, label_index])
    if CLASSES[label_index] == "other":
        habit = np.random.default_rng([who.habits, label_index, seed])  # a new one each time
    draw = np.random.default_rng([seed, label_index])
    return _MOVES[CLASSES[label_index]](t, who, habit, draw)


def render(
    times: np.ndarray, motion: Motion, who: Person, where: Place, draw: Draw
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a motion before its background, in stacks of frames."""
    seconds = times * 1e-6
    gain = where.level * (1 + where.drift * moves.wander(seconds, draw, 0.25))
    gain *= 1 + where.flicker * np.sin(2 * np.pi * (where.flicker_hz * seconds + draw.random()))
    shapes = capsules(motion, who, where, SENSOR.width)
    frames = np.empty((_STACK, SENSOR.height, SENSOR.width), np.float32)
    for k in range(0, len(times), _STACK):
        part = slice(k, min(k + _STACK, len(times)))
        stack = frames[: part.stop - k]
        draw_capsules(where.background, shapes[part], where.light, where.ambient, gain[part], stack)
        yield times[part], stack


@lru_cache(maxsize=256)
def _person(seed: int) -> Person:
    return person(seed)


@lru_cache(maxsize=256)
def _place(seed: int) -> Place:
    return place(seed)
