"""Prophesee RAW, EVT 3.0: words of 16 bits that each change a part of what is known: time, row, column, polarity.

Time is 24 bits in two words, of 12 upper and 12 lower bits, and overflows every 16.8 s. What is right here: an upper
half that steps back by half of its range or more is an overflow; a lower half that steps back is none (taking it for
one makes time run two to six times too fast); a new upper half sets the lower one to zero until it is told. A vector
is up to 12 or 8 neighbouring pixels. Triggers and other words that are no events are counted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import Extra
from ..kernel_cache import kernel
from .evt_triggers import triggers_of, triggers_of_evt3
from .evt_words import NO_TIME, SPECIAL, TIME_HIGH, UNPLACED, advance, count_other
from .prophesee import BasedWriter, Header, RawSource
from .source import Reading, ReadOptions, Source

PERIOD_US = 1 << 24
ADDR_Y, OTHER_Y, ADDR_X, BASE_X, VECTOR_12, VECTOR_8, TIME_LOW, CONTINUED_4 = range(8)
NONE = -1  # a row or column that is not yet told
OTHER = -2  # the row of something else, as exposures of the Gen 3 ATIS
_FAR = 1 << 14  # columns beyond all sensors: vectors without end do not come around


class Evt3(RawSource):
    """One EVT 3.0 file."""

    container = "evt3"
    word = np.dtype("<u2")

    def prepare(self, header: Header) -> None:
        self.first_state = (NO_TIME, header.base_us, 0, NONE, NONE, 0)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        return triggers_of(self._path, self.start, self.word, None, triggers_of_evt3, self.first_state[1])

    @property
    def decode(self) -> Callable[..., Any]:
        return decode


@kernel
def decode(words, state, events, counts):
    """Type bits 12-15: row, single event, start of vectors, vectors of 12 and 8, lower and upper half of the time.

    `state`: upper half in µs with overflows, sum of the overflows, lower half, y, the x and polarity of vectors.
    """
    room = events.shape[0] - 12
    high, base, low, y, x, on = state[0], state[1], state[2], state[3], state[4], state[5]
    kept = used = 0
    for i in range(words.shape[0]):
        if kept > room:
            break
        used += 1
        word = np.int64(words[i])
        kind = word >> 12
        if kind == ADDR_X:
            if y >= 0 and high >= 0:
                events[kept]["t"] = high + low
                events[kept]["x"] = word & 0x7FF
                events[kept]["y"] = y
                events[kept]["p"] = word & 0x800 != 0
                kept += 1
            else:
                counts[SPECIAL if y == OTHER else UNPLACED] += 1
        elif kind == ADDR_Y:
            y = word & 0x7FF
        elif kind == TIME_LOW:
            low = word & 0xFFF
        elif kind == BASE_X:
            x, on = word & 0x7FF, word & 0x800
        elif kind in (VECTOR_12, VECTOR_8):
            first, bits = kept, word & (0xFFF if kind == VECTOR_12 else 0xFF)
            column = x
            while bits:
                if bits & 1:
                    events[kept]["t"] = high + low
                    events[kept]["x"] = column
                    events[kept]["y"] = y
                    events[kept]["p"] = on != 0
                    kept += 1
                bits >>= 1
                column += 1
            if y < 0 or x < 0 or high < 0:
                counts[SPECIAL if y == OTHER else UNPLACED] += kept - first
                kept = first
            else:
                x = min(x + (12 if kind == VECTOR_12 else 8), _FAR)
        elif kind == TIME_HIGH:
            before = high
            high, base = advance(high, base, (word & 0xFFF) << 12, PERIOD_US, counts)
            if high != before:
                low = np.int64(0)
        elif kind == OTHER_Y:
            y = np.int64(OTHER)
            counts[SPECIAL] += 1
        elif kind == CONTINUED_4:
            counts[SPECIAL] += 1
        else:
            count_other(kind, counts)
    state[0], state[1], state[2], state[3], state[4], state[5] = high, base, low, y, x, on
    return used, kept


class Evt3Writer(BasedWriter):
    """EVT 3.0, one word an event. Each call of `write` begins with the time and the row; a reader can begin there."""

    largest_side = 2048
    period_us = PERIOD_US

    def head_lines(self) -> tuple[str, ...]:
        width, height = self.sensor.width, self.sensor.height
        return ("evt 3.0", f"format EVT3;height={height};width={width}", f"geometry {width}x{height}")

    def _words(self, events: np.ndarray) -> np.ndarray:
        high = events["t"] >> 12
        before = int(high[0]) if self._last_us is None else self._last_us >> 12
        silent = int((np.diff(high, prepend=before) >> 11).sum())  # words of time that gaps of 8 s need
        words = np.empty(4 * len(events) + silent, "<u2")
        return words[: encode(events, before, words)]


@kernel
def encode(events, before, words):
    """The words of sorted events; returns how many. `before`: the upper half of the last time written.

    The upper half never steps by more than half of its range, so that a reader counts every overflow.
    """
    n = 0
    low, y = np.int64(-1), np.int64(-1)
    for i in range(events.shape[0]):
        t, row = events[i]["t"], np.int64(events[i]["y"])
        while i == 0 or before != t >> 12:
            before = min(before + 2048, t >> 12)
            words[n] = TIME_HIGH << 12 | before & 0xFFF
            low = np.int64(-1)
            n += 1
            if before == t >> 12:
                break
        if t & 0xFFF != low:
            low = t & 0xFFF
            words[n] = TIME_LOW << 12 | low
            n += 1
        if row != y:
            y = row
            words[n] = ADDR_Y << 12 | y
            n += 1
        words[n] = ADDR_X << 12 | (np.int64(events[i]["p"]) << 11) | np.int64(events[i]["x"])
        n += 1
    return n


def open_evt3(path: Path, options: ReadOptions) -> Source:
    return Evt3(path, options)
