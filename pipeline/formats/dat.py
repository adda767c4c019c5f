"""Prophesee DAT: a header, two bytes (type and size of an event), then events of 8 bytes, little-endian.

Version 2 has 14 bits for x and for y; version 1, of the ATIS, has 9 and 8. Both types of brightness changes, 2D (0)
and CD (12), are read; other types are refused by name. Times are 32-bit µs and are unwrapped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EventError, RecordingError
from ..kernel_cache import kernel
from . import guard
from .evt_words import LARGEST, LEAST, MOST_X, MOST_Y
from .extent import sensor_of
from .prophesee import DAT_TYPES, SENSORS, BasedWriter, open_header
from .recording import ReadOptions, Source
from .words import WordSource

PERIOD_US = 1 << 32
_CHANGES = (0x00, 0x0C)


class Dat(WordSource):
    """One DAT file."""

    container = "dat"
    clock_period_us = PERIOD_US
    word, columns = np.dtype("<u4"), 2

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        header = open_header(path, "dat")
        self.start = header.start
        if header.start:  # without one, the oldest files have no type either
            self.start += self._read_type(path, header.start)
        version = header.fields.get("version", "1")
        self._old = not version.startswith("2")
        self.first_state = (header.base_us,)
        self.details = {"version": version if header.start else "1, without a header"}
        if header.camera:
            self.details["camera"] = header.camera
        known = options.sensor or header.sensor or (SENSORS[0] if self._old else None)
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
        return decode_1 if self._old else decode_2


@kernel
def decode_2(words, state, events, counts):
    """t = word 0; word 1: x bits 0-13, y 14-27, p 28-31. `state`: what is added to t."""
    count, base = min(words.shape[0], events.shape[0]), state[0]
    last, largest = base + np.int64(words[0, 0]), np.uint64(0)  # a step back is a large one without a sign
    most_x = most_y = np.uint32(0)
    for i in range(count):
        a = words[i, 1]
        t, x, y = base + np.int64(words[i, 0]), a & np.uint32(0x3FFF), a >> np.uint32(14) & np.uint32(0x3FFF)
        largest = max(largest, np.uint64(t - last))
        most_x, most_y = max(most_x, x), max(most_y, y)
        last = t
        events[i]["t"] = t
        events[i]["x"] = x
        events[i]["y"] = y
        events[i]["p"] = a >> np.uint32(28) != 0
    counts[LEAST], counts[LARGEST] = np.int64(largest), np.int64(largest)
    counts[MOST_X], counts[MOST_Y] = most_x, most_y
    return count, count


@kernel
def decode_1(words, state, events, counts):
    """t = word 0; word 1: x bits 0-8, y 9-16, p 17."""
    count, base = min(words.shape[0], events.shape[0]), state[0]
    for i in range(count):
        a = words[i, 1]
        events[i]["t"] = base + np.int64(words[i, 0])
        events[i]["x"] = a & np.uint32(0x1FF)
        events[i]["y"] = a >> np.uint32(9) & np.uint32(0xFF)
        events[i]["p"] = a >> np.uint32(17) & np.uint32(1) != 0
    return count, count


class DatWriter(BasedWriter):
    """DAT, version 2, CD events. A recording without a gap of a minute at an overflow of its 32-bit clock."""

    largest_side = 1 << 14
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
