"""Prophesee RAW: the words of external triggers, with the time that the words before them tell.

A pass of its own: the kernels that decode events only count these words, and so lose no time on them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import FALLING, RISING, TriggerPacket, trigger_packet
from ..kernel_cache import kernel
from .evt_words import COUNTS, TIME_HIGH, TRIGGER, advance

_BLOCK = 1 << 20  # bytes read at once
_TIME_LOW = 6  # of EVT 3.0


def triggers_of(
    path: Path, start: int, word: np.dtype, column: int | None, find: Callable[..., Any], base_us: int
) -> Iterator[TriggerPacket]:
    """Triggers of the words from byte `start` on. `column`: which of two numbers has a word's type; None: it is one."""
    state, counts = np.array([-1, base_us, 0], np.int64), np.zeros(COUNTS, np.int64)
    count = _BLOCK // word.itemsize
    with open(path, "rb") as file:
        file.seek(start)
        while len(words := np.fromfile(file, word, count)):
            whole = words if column is None else words[: len(words) // 2 * 2].reshape(-1, 2)[:, column].copy()
            kinds = whole >> whole.dtype.type(8 * whole.itemsize - 4)
            found = np.empty((np.count_nonzero(kinds == TRIGGER), 3), np.int64)
            n = find(whole, state, found, counts)
            if n:
                yield trigger_packet(found[:n, 0], np.where(found[:n, 1] == 1, RISING, FALLING), found[:n, 2])


@kernel
def triggers_of_evt2(words, state, found, counts):
    """Words of 32 bits: t = high << 6 | bits 22-27, rising bit 0, channel bits 8-12. Before any time: left out."""
    high, base, n = state[0], state[1], 0
    for i in range(words.shape[0]):
        word = np.int64(words[i])
        kind = word >> 28
        if kind == TIME_HIGH:
            high, base = advance(high, base, (word & 0x0FFF_FFFF) << 6, np.int64(1) << 34, counts)
        elif kind == TRIGGER and high >= 0:
            found[n, 0] = high + (word >> 22 & 0x3F)
            found[n, 1], found[n, 2] = word & 1, word >> 8 & 0x1F
            n += 1
    state[0], state[1] = high, base
    return n


@kernel
def triggers_of_evt3(words, state, found, counts):
    """Words of 16 bits: t as for events, rising bit 0, channel bits 8-11. Those before any time: left out."""
    high, base, low, n = state[0], state[1], state[2], 0
    for i in range(words.shape[0]):
        word = np.int64(words[i])
        kind = word >> 12
        if kind == TIME_HIGH:
            before = high
            high, base = advance(high, base, (word & 0xFFF) << 12, np.int64(1) << 24, counts)
            if high != before:
                low = np.int64(0)
        elif kind == _TIME_LOW:
            low = word & 0xFFF
        elif kind == TRIGGER and high >= 0:
            found[n, 0] = high + low
            found[n, 1], found[n, 2] = word & 1, word >> 8 & 0xF
            n += 1
    state[0], state[1], state[2] = high, base, low
    return n
