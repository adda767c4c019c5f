"""What the kernels of files of words share: the places of their counts, the clock of words of time."""

import numpy as np

from ..kernel_cache import kernel

# Places in the counts that a kernel fills. The last four, of the fastest kernels only: guard.extremes of the call.
SPECIAL, TRIGGERS, UNPLACED, WRAPS, UNKNOWN, UNKNOWN_TYPES, LEAST, LARGEST, MOST_X, MOST_Y = range(10)
COUNTS = 10
NO_TIME = -1  # no word of time yet
TIME_HIGH, TRIGGER, OTHERS = 0x8, 0xA, 0xE  # types of words in all of EVT; 0xF: OTHERS goes on


@kernel(inline="always")
def advance(high, base, raw, period, counts):
    """The time of a word of time with overflows, and what they add up to: a step back by half a period or more is one.

    `raw` is the word's own time, `high` that of the word before, with overflows.
    """
    now = base + raw
    if high >= 0 and now <= high - period // 2:
        counts[WRAPS] += 1
        base += period
        now += period
    return now, base


@kernel(inline="always")
def count_other(kind, counts):
    """A word that is no event and no time."""
    if kind == TRIGGER:
        counts[TRIGGERS] += 1
    elif kind >= OTHERS:
        counts[SPECIAL] += 1
    else:
        counts[UNKNOWN] += 1
        counts[UNKNOWN_TYPES] |= np.int64(1) << np.int64(kind)
