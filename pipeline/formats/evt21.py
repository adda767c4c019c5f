"""Prophesee RAW, EVT 2.1: words of 64 bits, each up to 32 neighbouring pixels of one polarity.

The upper half of a word is a word of EVT 2.0, the lower half says which of the pixels from its x on changed. The IMX636
sends the two halves exchanged; which of the two a file has, its header says, or else its words of time.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import Extra
from ..kernel_cache import kernel
from .evt2 import ON, PERIOD_US
from .evt_triggers import triggers_of, triggers_of_evt2
from .evt_words import NO_TIME, TIME_HIGH, UNPLACED, advance, count_other
from .prophesee import SAMPLE, BasedWriter, Header, RawSource, is_swapped
from .source import Reading, ReadOptions, Source
from .words import whole_words


class Evt21(RawSource):
    """One EVT 2.1 file."""

    container = "evt21"
    word, columns = np.dtype("<u4"), 2
    constants = (2,)  # which half is the upper one

    def prepare(self, header: Header) -> None:
        swapped = is_swapped(whole_words(self._path, self.start, 8, SAMPLE), header)
        self.details["layout"] = "halves of words exchanged" if swapped else "little-endian"
        self.first_state = (NO_TIME, header.base_us, 0 if swapped else 1)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        return triggers_of(
            self._path, self.start, self.word, self.first_state[2], triggers_of_evt2, self.first_state[1]
        )

    @property
    def decode(self) -> Callable[..., Any]:
        return decode


@kernel
def decode(words, state, events, counts):
    """Events (x + k, y) for each bit k that is set in the half `valid`, with t, x, y, p of the other as in EVT 2.0.

    `state`: as in EVT 2.0, and which of the two 32-bit words is the upper half.
    """
    room = events.shape[0] - 32
    high, base, at = state[0], state[1], state[2]
    kept = used = 0
    for i in range(words.shape[0]):
        if kept > room:
            break
        used += 1
        upper, valid = words[i, at], words[i, 1 - at]
        kind = upper >> np.uint32(28)
        if kind <= ON:
            t = high + np.int64(upper >> np.uint32(22) & np.uint32(0x3F))
            x, y = upper >> np.uint32(11) & np.uint32(0x7FF), upper & np.uint32(0x7FF)
            first = kept
            while valid:
                if valid & np.uint32(1):
                    events[kept]["t"] = t
                    events[kept]["x"] = x
                    events[kept]["y"] = y
                    events[kept]["p"] = kind == ON
                    kept += 1
                valid >>= np.uint32(1)
                x += np.uint32(1)
            if high < 0:
                counts[UNPLACED] += kept - first
                kept = first
        elif kind == TIME_HIGH:
            high, base = advance(high, base, np.int64(upper & np.uint32(0x0FFF_FFFF)) << 6, PERIOD_US, counts)
        else:
            count_other(kind, counts)
    state[0], state[1] = high, base
    return used, kept


class Evt21Writer(BasedWriter):
    """EVT 2.1, little-endian. Events of one time, row and polarity that are next to each other share a word."""

    largest_side = 2048
    period_us = PERIOD_US

    def head_lines(self) -> tuple[str, ...]:
        width, height = self.sensor.width, self.sensor.height
        form = f"format EVT21;endianness=little;height={height};width={width}"
        return ("evt 2.1", form, f"geometry {width}x{height}")

    def _words(self, events: np.ndarray) -> np.ndarray:
        words = np.empty((2 * len(events), 2), "<u4")
        return words[: encode(events, words)]


@kernel
def encode(events, words):
    """The words of sorted events; returns how many. An event joins the word before it if it is to the right there."""
    n = -1
    last, high = np.uint32(0), np.int64(-1)
    for i in range(events.shape[0]):
        t, x = events[i]["t"], np.uint32(events[i]["x"])
        if t >> 6 != high:
            high = t >> 6
            n += 1
            words[n, 0], words[n, 1] = 0, np.uint32(TIME_HIGH << 28) | np.uint32(high & 0x0FFF_FFFF)
        start = words[n, 1] >> np.uint32(11) & np.uint32(0x7FF)
        head = (
            np.uint32(events[i]["p"]) << np.uint32(28) | np.uint32(t & 63) << np.uint32(22) | np.uint32(events[i]["y"])
        )
        joins = words[n, 0] != 0 and words[n, 1] == (head | start << np.uint32(11)) and last < x < start + np.uint32(32)
        if not joins:
            n += 1
            start = x
            words[n, 0], words[n, 1] = 0, head | x << np.uint32(11)
        words[n, 0] |= np.uint32(1) << (x - start)
        last = x
    return n + 1


def open_evt21(path: Path, options: ReadOptions) -> Source:
    return Evt21(path, options)
