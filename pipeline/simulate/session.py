"""Several gestures in a row by one person, with pauses in which the arms go down: like a recording of DVS128 Gesture.

spans(labels, each_us, pause_us) -> what is shown when
simulate_session(spans, seed, person, lighting) -> events, array by array
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import EventError
from ..stream import LabelSpan
from .gesture import CLASSES, FRAME_US, film, perform, person_of, render
from .moves import Motion, mix, rest

RAMP_S = 0.4  # from rest into a gesture before its span begins, and back after it has ended
LEAD_US = 500_000  # rest before the first span and after the last


def spans(labels: Sequence[str], each_us: int, pause_us: int = 1_000_000) -> tuple[LabelSpan, ...]:
    """Each label shown for `each_us`, one after the other. Raises EventError for a label that is no gesture."""
    for label in labels:
        if label not in CLASSES:
            raise EventError(f"there is no gesture {label!r}; known are {', '.join(CLASSES)}")
    if each_us < FRAME_US or pause_us < 0:
        raise EventError(f"gestures of {each_us} µs with pauses of {pause_us} µs, want at least {FRAME_US} and 0")
    starts = [LEAD_US + k * (each_us + pause_us) for k in range(len(labels))]
    return tuple(LabelSpan(label, start, start + each_us) for label, start in zip(labels, starts, strict=True))


def simulate_session(shown: Sequence[LabelSpan], seed: int, person: int, lighting: int) -> Iterator[np.ndarray]:
    """Events (EVENT_DTYPE, sorted, t from 0) of all spans and the pauses between, in arrays of about 20 ms."""
    if not shown:
        raise EventError("a session of no gestures; name at least one")
    duration_us = shown[-1].t_stop_us + LEAD_US

    def motion_at(t: np.ndarray) -> Motion:
        motion = rest(t, person_of(person), np.random.default_rng([seed, 99]))
        for number, span in enumerate(shown):
            begin, end = span.t_start_us * 1e-6, span.t_stop_us * 1e-6
            share = np.clip(np.minimum(t - (begin - RAMP_S), end + RAMP_S - t) / RAMP_S, 0, 1)
            if share.any():
                gesture = perform(CLASSES.index(span.label), seed + number, person, t)
                motion = mix(motion, gesture, share * share * (3 - 2 * share))
        return motion

    return film(render(motion_at, duration_us, seed, person, lighting), seed, lighting)
