"""One set of inputs in parts that keep out of each other's way: to calibrate on, to choose on, to judge on.

Scales are measured on the first part, methods compared on the second, the verdict is on the third, which no choice was
made on. Where there is too little for that, the parts are fewer, and a note says what the verdict is worth then.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ...errors import ConversionError, counted
from ..calibration.inputs import Splittable, split

LEAST = 50  # samples (of recordings: windows) that a part must have to be worth the name
MOST_CALIBRATION = 1000  # more change no percentile that matters
MOST_CHOICE = 500
MOST_VERDICT = 1000

Data = TypeVar("Data", bound=Splittable)


@dataclass(frozen=True)
class Parts(Generic[Data]):
    """Disjoint, equal images and windows of one recording in one part; or the same where a note says so."""

    calibration: Data
    choice: Data | None  # None: nothing is chosen
    verdict: Data
    notes: tuple[str, ...] = ()


def in_parts(
    data: Data, choosing: bool, validation: Data | None = None, least: int = LEAST, seed: int = 0
) -> Parts[Data]:
    """Divide `data`; `validation` is the part for the verdict where the caller has one.

    choosing  whether methods are to be compared, which takes a part of its own

    Raises ConversionError where there is not enough to compare methods on.
    """
    verdict, notes, rest = validation, [], data
    groups = len(np.unique(data.groups))
    if verdict is None and groups >= (3 if choosing else 2) * least:
        rest, verdict = split(data, 0.34 if choosing else 0.5, seed)
    if not choosing:
        if verdict is None:
            notes.append(
                f"{counted(groups, 'input')} are too few to keep some for the verdict: it is on the very inputs that "
                "the scales were measured on, and may flatter; give others with --validation"
            )
        return Parts(
            drawn(rest, MOST_CALIBRATION, seed), None, drawn(verdict or rest, MOST_VERDICT, seed), tuple(notes)
        )
    if len(np.unique(rest.groups)) < 2:
        raise ConversionError(
            f"{counted(groups, 'input')} cannot be divided to choose a method on; give a few hundred, or leave "
            "--budget out"
        )
    calibration, choice = split(rest, 0.5, seed + 1)
    if verdict is None:
        notes.append(
            f"{counted(groups, 'input')} are too few to keep some for the verdict: it is on the inputs that the method "
            "was chosen on, and flatters; give others with --validation"
        )
    return Parts(
        drawn(calibration, MOST_CALIBRATION, seed),
        drawn(choice, MOST_CHOICE, seed),
        drawn(verdict or choice, MOST_VERDICT, seed),
        tuple(notes),
    )


def drawn(data: Data, most: int, seed: int) -> Data:
    """At most so many samples, at random, in their order."""
    n = len(data.groups)
    if n <= most:
        return data
    return data.subset(np.sort(np.random.default_rng(seed).choice(n, most, replace=False)))
