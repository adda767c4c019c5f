"""The eleven classes of DVS128 Gesture, performed by a simulated upper body before a simulated 128x128 camera.

Stable for training code:

    simulate_gesture(label_index, seed, person, lighting, duration_us, start_us=0) -> events   (sorted, t from 0)
    CLASSES                                                                                     (names, in label order)

`person` and `lighting` are seeds: hold some back for testing. `right` is the subject's right arm, at the left of
the picture. Clockwise is as the camera sees it. Who and where is people.py's, how the arms move moves.py's and
invented.py's, what pixels make of it pixel.py's.
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
_PIECE = 400  # frames planned at a time: a recording of any length needs the same memory

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
    frames = gesture_frames(label_index, seed, person, lighting, duration_us, start_us)
    return np.concatenate([np.empty(0, EVENT_DTYPE), *film(frames, seed, lighting)])


def film(frames: Iterator[tuple[np.ndarray, np.ndarray]], seed: int, lighting: int) -> Iterator[np.ndarray]:
    """The events of rendered frames from time 0 on, as the camera at this place gives them."""
    camera = Camera(SENSOR, place_of(lighting).pixels, seed)
    for times, stack in frames:
        events = camera.push(times, stack)
        yield events if times[0] > 0 else events[np.searchsorted(events["t"], 0) :]


def gesture_frames(
    label_index: int, seed: int, person: int, lighting: int, duration_us: int, start_us: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames behind simulate_gesture: stacks of (times int64[n], float32[n, 128, 128]), valid until the next.

    They begin WARM_UP_US before time 0.
    """
    if not 0 <= label_index < len(CLASSES):
        raise EventError(f"gesture class {label_index} is unknown, want 0 to {len(CLASSES) - 1}")
    perform_at = partial(perform, label_index, seed, person)
    yield from render(lambda t: perform_at(t + start_us * 1e-6), duration_us, seed, person, lighting)


def perform(label_index: int, seed: int, person: int, t: np.ndarray) -> Motion:
    """How the body moves at the times `t` (seconds)."""
    who = person_of(person)
    habit = np.random.default_rng([who.habits, label_index])
    if CLASSES[label_index] == "other":
        habit = np.random.default_rng([who.habits, label_index, seed])  # a new one each time
    draw = np.random.default_rng([seed, label_index])
    return _MOVES[CLASSES[label_index]](t, who, habit, draw)


def render(
    motion_at: Callable[[np.ndarray], Motion], duration_us: int, seed: int, person: int, lighting: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw any motion (given times in seconds) before the background of `lighting`, in stacks of frames."""
    if duration_us < FRAME_US:
        raise EventError(f"duration is {duration_us} µs, want at least {FRAME_US}")
    who, where = person_of(person), place_of(lighting)
    all_times = np.append(np.arange(-WARM_UP_US, duration_us, FRAME_US), duration_us)
    frames = np.empty((_STACK, SENSOR.height, SENSOR.width), np.float32)
    for begin in range(0, len(all_times), _PIECE):
        times = all_times[begin : begin + _PIECE]
        seconds, draw = times * 1e-6, np.random.default_rng([seed, 33])  # the same light in every piece
        gain = where.level * (1 + where.drift * moves.wander(seconds, draw, 0.25))
        gain *= 1 + where.flicker * np.sin(2 * np.pi * (where.flicker_hz * seconds + draw.random()))
        shapes = capsules(motion_at(seconds), who, where, SENSOR.width)
        for k in range(0, len(times), _STACK):
            part = slice(k, min(k + _STACK, len(times)))
            stack = frames[: part.stop - k]
            draw_capsules(where.background, shapes[part], where.light, where.ambient, gain[part], stack)
            yield times[part], stack


@lru_cache(maxsize=256)
def person_of(seed: int) -> Person:
    """people.person, remembered."""
    return person(seed)


@lru_cache(maxsize=256)
def place_of(seed: int) -> Place:
    """people.place, remembered."""
    return place(seed)
