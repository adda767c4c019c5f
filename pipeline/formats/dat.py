"""Prophesee DAT: a header, two bytes (type and size of an event), then events of 8 bytes, little-endian.

Version 2 has 14 bits for x and for y; version 1, of the ATIS, has 9 and 8. Both types of brightness changes, 2D (0)
and CD (12), are read; other types are refused by name. Times are 32-bit µs and are unwrapped.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EventError, RecordingError
from ..kernel_cache import kernel
from . import guard
from .evt_words import LARGEST, LEAST, MOST_X, MOST_Y
from .extent import sensor_of
from .prophesee import DAT_TYPES, SENSORS, BasedWriter, open_header
from .source import Reading, ReadOptions, Source
from .words import BLOCK, WordSource

PERIOD_US = 1 << 32
_CHANGES = (0x00, 0x0C)
_BITS = {False: (14, 14, 4), True: (9, 8, 1)}  # of x, y and p; True: version 1
_TIME = np.uint64(0xFFFF_FFFF)
_PAIRED = np.dtype([("t", "<i8"), ("xy", "<u4"), ("p", "?")])  # EVENT_DTYPE in three stores


class Dat(WordSource):
    """One DAT file."""

    container = "dat"
    clock_period_us = PERIOD_US
    word = np.dtype("<u8")
    constants = (1, 2, 3)

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        header = open_header(path, "dat")
        self.start = header.start
        if header.start:  # without one, the oldest files have no type either
            self.start += self._read_type(path, header.start)
        stated = header.sensor
        is_large = stated is not None and (stated.width > 1 << _BITS[True][0] or stated.height > 1 << _BITS[True][1])
        version = header.fields.get("version", "2, by the size of its sensor" if is_large else "1")
        old = not version.startswith("2")
        self.first_state = (header.base_us, *_BITS[old])
        self.details = {"version": version if header.start else "1, without a header"}
        if header.camera:
            self.details["camera"] = header.camera
        known = options.sensor or stated or (SENSORS[0] if old else None)
        if known is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = known or sensor_of(self, path, SENSORS[0], SENSORS)

    @staticmethod
    def _read_type(path: Path, start: int) -> int:
        with open(path, "rb") as file:
            file.seek(start)
            told = file.read(2)
        if len(told) < 2:
            raise RecordingError(f"{path}: the file ends within its header, before the type of its events", path, start)
        kind, size = told
        if kind not in _CHANGES:
            what = DAT_TYPES.get(kind, "something unknown")
            raise RecordingError(f"{path}: a DAT file of {what} (type {kind}), want changes: type 0 or 12", path, start)
        if size != 8:
            raise RecordingError(f"{path}: a DAT file with events of {size} bytes, want 8", path, start)
        return 2

    @property
    def decode(self) -> Callable[..., Any]:
        return decode

    def extents(self, reading: Reading) -> Iterator[tuple[int, int]]:
        """Four times as fast as to decode the events."""
        words = np.empty(BLOCK // 8, self.word)
        with open(self._path, "rb", buffering=0) as file:
            file.seek(self.start)
            while got := file.readinto(words.data):
                yield extent(words[: got // 8], *self.first_state[1:3])


def decode(words: np.ndarray, state: np.ndarray, events: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """As WordSource says. `state`: what is added to times, and how many bits x, y and p have, from bit 32 on."""
    found: tuple[int, int] = unpack(words, state, events.view(_PAIRED), counts)
    return found


@kernel
def unpack(words, state, events, counts):
    """t = base + bits 0-31, then x, y and p. What guard.extremes would find is found in loops that become vectors."""
    count, base, x_bits, y_bits, p_bits = min(words.shape[0], events.shape[0]), state[0], state[1], state[2], state[3]
    counts[LEAST], counts[LARGEST] = steps(words[:count])
    counts[MOST_X], counts[MOST_Y] = extent(words[:count], x_bits, y_bits)
    x_mask, y_mask, p_mask = (
        np.uint64((1 << x_bits) - 1),
        np.uint64((1 << y_bits) - 1 << 16),
        np.uint64((1 << p_bits) - 1),
    )
    y_at, p_at = np.uint64(32 + x_bits - 16), np.uint64(32 + x_bits + y_bits)
    for i in range(count):
        word = words[i]
        events[i]["t"] = base + np.int64(word & _TIME)
        events[i]["xy"] = np.uint32(word >> np.uint64(32) & x_mask | word >> y_at & y_mask)
        events[i]["p"] = word >> p_at & p_mask != 0
    return count, count


@kernel
def steps(words):
    """The smallest and the largest step of time, or 0."""
    least = largest = np.int64(0)
    for i in range(words.shape[0] - 1):
        step = np.int64(words[i + 1] & _TIME) - np.int64(words[i] & _TIME)
        least, largest = min(least, step), max(largest, step)
    return least, largest


@kernel
def extent(words, x_bits, y_bits):
    """The largest x and y. Shifted to where nothing is above them, they need no mask for each word."""
    x_up, y_up = np.uint32(32 - x_bits), np.uint32(32 - x_bits - y_bits)
    x = y = np.uint32(0)
    for i in range(words.shape[0]):
        word = np.uint32(words[i] >> np.uint64(32))
        x, y = max(x, np.uint32(word << x_up)), max(y, np.uint32(word << y_up))
    return np.int64(x >> x_up), np.int64(y >> np.uint32(32 - y_bits))


class DatWriter(BasedWriter):
    """DAT, version 2, CD events. A recording without a gap of a minute at an overflow of its 32-bit clock."""

    largest_side = 8192  # of 14 bits: what its reader takes for a size (prophesee.py)
    period_us = PERIOD_US
    head_end = b"\x0c\x08"

    def head_lines(self) -> tuple[str, ...]:
        size = f"Height {self.sensor.height}", f"Width {self.sensor.width}"
        return ("Data file containing CD events.", "Version 2", *size)

    def _words(self, events: np.ndarray) -> np.ndarray:
        times = events["t"]
        before = np.concatenate([times[:1] if self._last_us is None else [self._last_us], times[:-1]])
        far = np.flatnonzero((before >> 32 != times >> 32) & (times - before > guard.WRAP_GAP_US))
        if len(far):
            raise EventError(
                f"DAT counts 2^32 µs, and cannot hold the gap from {before[far[0]]} to {times[far[0]]} µs at an "
                "overflow of that; write EVT3 or AEDAT 4 instead"
            )
        words = np.empty((len(events), 2), "<u4")
        words[:, 0] = times & (PERIOD_US - 1)
        words[:, 1] = events["x"].astype(np.uint32) | events["y"].astype(np.uint32) << 14
        words[:, 1] |= events["p"].astype(np.uint32) << 28
        return words


def open_dat(path: Path, options: ReadOptions) -> Source:
    return Dat(path, options)
