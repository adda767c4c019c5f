"""Prophesee RAW, EVT 2.0: words of 32 bits that name their type in their upper four bits.

A word of time gives the upper 28 of 34 bits, each event the lower 6. Triggers and other words that are no events are
counted. Times overflow after 4.77 hours and are unwrapped where the words of time step back by half of that or more.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import Extra
from ..kernel_cache import kernel
from .evt_triggers import triggers_of, triggers_of_evt2
from .evt_words import (
    LARGEST,
    LEAST,
    MOST_X,
    MOST_Y,
    NO_TIME,
    TIME_HIGH,
    UNPLACED,
    advance,
    count_other,
)
from .prophesee import BasedWriter, Header, RawSource
from .source import Reading, ReadOptions, Source

PERIOD_US = 1 << 34
ON = 0x1  # the type of an event of more light; 0x0: of less


class Evt2(RawSource):
    """One EVT 2.0 file."""

    container = "evt2"
    word = np.dtype("<u4")

    def prepare(self, header: Header) -> None:
        self.first_state = (NO_TIME, header.base_us)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        return triggers_of(self._path, self.start, self.word, None, triggers_of_evt2, self.first_state[1])

    @property
    def decode(self) -> Callable[..., Any]:
        return decode


@kernel
def decode(words, state, events, counts):
    """Type bits 28-31. Events: t = high << 6 | bits 22-27, x bits 11-21, y bits 0-10, p the type.

    `state`: the time of the last TIME_HIGH in µs, with overflows (-1: none yet), and what is added at each overflow.
    """
    room = events.shape[0]
    high, base = state[0], state[1]
    kept = used = 0
    last, least, largest = high, np.int64(0), np.int64(0)
    most_x = most_y = np.uint32(0)
    for i in range(words.shape[0]):
        if kept == room:
            break
        used += 1
        word = words[i]
        kind = word >> np.uint32(28)
        if kind <= ON:
            if high < 0:
                counts[UNPLACED] += 1
                continue
            t = high + np.int64(word >> np.uint32(22) & np.uint32(0x3F))
            x, y = word >> np.uint32(11) & np.uint32(0x7FF), word & np.uint32(0x7FF)
            least = min(least, t - last)
            most_x, most_y = max(most_x, x), max(most_y, y)
            last = t
            events[kept]["t"] = t
            events[kept]["x"] = x
            events[kept]["y"] = y
            events[kept]["p"] = kind == ON
            kept += 1
        elif kind == TIME_HIGH:
            high, base = advance(high, base, np.int64(word & np.uint32(0x0FFF_FFFF)) << 6, PERIOD_US, counts)
            largest = max(largest, high + 64 - last)  # at least the step of the event that follows
        else:
            count_other(kind, counts)
    state[0], state[1] = high, base
    counts[LEAST], counts[LARGEST], counts[MOST_X], counts[MOST_Y] = least, largest, most_x, most_y
    return used, kept


class Evt2Writer(BasedWriter):
    """EVT 2.0. Each call of `write` begins with a word of time, so that a reader can begin there."""

    largest_side = 2048
    period_us = PERIOD_US

    def head_lines(self) -> tuple[str, ...]:
        width, height = self.sensor.width, self.sensor.height
        return ("evt 2.0", f"format EVT2;height={height};width={width}", f"geometry {width}x{height}")

    def _words(self, events: np.ndarray) -> np.ndarray:
        high = events["t"] >> 6
        new = np.diff(high, prepend=high[0] - 1) != 0  # before which events a word of time stands
        at = np.arange(len(events)) + np.cumsum(new)
        words = np.empty(len(events) + np.count_nonzero(new), "<u4")
        low, x, y = (events["t"] & 63).astype(np.uint32), events["x"].astype(np.uint32), events["y"].astype(np.uint32)
        words[at] = events["p"].astype(np.uint32) << 28 | low << 22 | x << 11 | y
        words[at[new] - 1] = TIME_HIGH << 28 | (high[new] & 0x0FFF_FFFF).astype(np.uint32)
        return words


def open_evt2(path: Path, options: ReadOptions) -> Source:
    return Evt2(path, options)
