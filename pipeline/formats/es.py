"""Event Stream (.es), versions 1 and 2: streams of a DVS or an ATIS, in which only the time between events is stored.

Version 2 spends five bytes on an event, version 1 three. Bytes of overflow stretch the time, bytes of reset mean
nothing. Rows are counted from the bottom. Of an ATIS the changes are read, its exposure measurements are counted;
streams of colours, displays and generic data are refused by name. Time begins at 0: files tell no other.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EventError, RecordingError
from ..events import SensorSize
from ..kernel_cache import kernel
from .evt_words import SPECIAL
from .extent import sensor_of
from .prophesee import SENSORS
from .recording import ReadOptions, Source
from .words import WordSource
from .write import RecordingWriter

MARK = b"Event Stream"
DVS, ATIS = "DVS events", "ATIS events"
_TYPES = {
    1: (DVS, ATIS, "an asynchronous display", "colour events", "generic events"),
    2: ("generic events", DVS, ATIS, "an asynchronous display", "colour events"),
}
_LONGEST_GAP_US = 1 << 32  # an overflow byte stands for 127 µs: a gap of an hour would be 28 million of them


class EventStream(WordSource):
    """One Event Stream file of a DVS or an ATIS."""

    container = "es"
    word = np.dtype(np.uint8)
    constants = (1,)  # the height

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        version, kind, stated = self._read_header(path)
        self.details = {"version": version, "stream": kind}
        self._kernel = {("1", DVS): decode_1_dvs, ("1", ATIS): decode_1_atis, ("2", DVS): decode_2_dvs}.get(
            (version[0], kind), decode_2_atis
        )
        self.first_state = (0, 0)  # from row 0 downwards, until the height is known
        known = options.sensor or stated
        if known is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = known or sensor_of(self, path, SENSORS[0], SENSORS)
        self.first_state = (0, self.sensor.height if options.sensor is None or stated is None else stated.height)

    def _read_header(self, path: Path) -> tuple[str, str, SensorSize | None]:
        """The version, the kind of stream, and the sensor (version 1 does not tell it)."""
        with open(path, "rb") as file:
            head = file.read(20)
        if not head.startswith(MARK):
            raise RecordingError(f"{path}: is no Event Stream file (it begins with {head[:12].hex(' ')})", path, 0)
        version = head[12] if len(head) > 12 else -1
        self.start = {1: 15, 2: 20}.get(version, len(head) + 1)
        if len(head) < self.start and version in (-1, 1, 2) and not self._is_generic(head, version):
            raise RecordingError(f"{path}: the file ends within its header ({len(head)} bytes)", path, len(head))
        if version not in _TYPES:
            raise RecordingError(f"{path}: Event Stream version {version} is not supported, only 1 and 2", path, 12)
        at = self.start - (1 if version == 1 else 5)
        kind = _TYPES[version][head[at]] if head[at] < 5 else f"unknown data (type {head[at]})"
        if kind not in (DVS, ATIS):
            raise RecordingError(f"{path}: an Event Stream of {kind}, want {DVS} or {ATIS}", path, at)
        width, height = int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little")
        if version == 2 and not (width and height):
            raise RecordingError(f"{path}: its header says that the sensor is {width}x{height}; damage", path, 16)
        text = f"{version}.{head[13]}"
        return text, kind, SensorSize(width, height) if version == 2 else None

    @staticmethod
    def _is_generic(head: bytes, version: int) -> bool:
        return version == 2 and len(head) > 15 and head[15] not in (1, 2)

    @property
    def decode(self) -> Callable[..., Any]:
        return self._kernel

    def _of(self, length: int) -> str:
        return f"an event ({length} of {3 if self.start == 15 else 5} bytes)"


@kernel(inline="always")
def place(events, kept, t, x, y, on, height):
    """One event, its row counted from the top; 65535 where that is above it. `height` 0: rows as they stand."""
    if height:
        y = height - 1 - y
        if y < 0:
            y = np.int64(65_535)
    events[kept]["t"] = t
    events[kept]["x"] = x
    events[kept]["y"] = y
    events[kept]["p"] = on


@kernel
def decode_2_dvs(data, state, events, counts):
    """Bit 0 of the first byte: p, bits 1-7: µs since the event before; x, y of 16 bits. 255: 127 µs more, 254: none."""
    size, room = data.shape[0], events.shape[0]
    t, height = state[0], state[1]
    kept = i = 0
    while i < size and kept < room:
        first = np.int64(data[i])
        if first >= 254:
            t += 127 * (first & 1)
            i += 1
            continue
        if i + 5 > size:
            break
        t += first >> 1
        x, y = np.int64(data[i + 1]) | np.int64(data[i + 2]) << 8, np.int64(data[i + 3]) | np.int64(data[i + 4]) << 8
        place(events, kept, t, x, y, first & 1 != 0, height)
        kept += 1
        i += 5
    state[0] = t
    return i, kept


@kernel
def decode_2_atis(data, state, events, counts):
    """Bit 0: exposure, bit 1: p, bits 2-7: µs since the event before; x, y of 16 bits. 252 + n: n times 63 µs more."""
    size, room = data.shape[0], events.shape[0]
    t, height = state[0], state[1]
    kept = i = 0
    while i < size and kept < room:
        first = np.int64(data[i])
        if first >= 252:
            t += 63 * (first & 3)
            i += 1
            continue
        if i + 5 > size:
            break
        t += first >> 2
        if first & 1:
            counts[SPECIAL] += 1
        else:
            x, y = (
                np.int64(data[i + 1]) | np.int64(data[i + 2]) << 8,
                np.int64(data[i + 3]) | np.int64(data[i + 4]) << 8,
            )
            place(events, kept, t, x, y, first & 2 != 0, height)
            kept += 1
        i += 5
    state[0] = t
    return i, kept


@kernel
def decode_1_dvs(data, state, events, counts):
    """24 bits: 4 of µs since the event before, 10 of x, 9 of y, p. First 4 set: 4 times 15 µs more."""
    size, room = data.shape[0], events.shape[0]
    t, height = state[0], state[1]
    kept = i = 0
    while i < size and kept < room:
        first = np.int64(data[i])
        if first & 15 == 15:
            t += 15 * (first >> 4)
            i += 1
            continue
        if i + 3 > size:
            break
        word = first | np.int64(data[i + 1]) << 8 | np.int64(data[i + 2]) << 16
        t += word & 15
        place(events, kept, t, word >> 4 & 0x3FF, word >> 14 & 0x1FF, word >> 23 != 0, height)
        kept += 1
        i += 3
    state[0] = t
    return i, kept


@kernel
def decode_1_atis(data, state, events, counts):
    """24 bits: 5 of µs since the event before, 9 of x, 8 of y, exposure, p. First 5 set: 3 times 31 µs more."""
    size, room = data.shape[0], events.shape[0]
    t, height = state[0], state[1]
    kept = i = 0
    while i < size and kept < room:
        first = np.int64(data[i])
        if first & 31 == 31:
            t += 31 * (first >> 5)
            i += 1
            continue
        if i + 3 > size:
            break
        word = first | np.int64(data[i + 1]) << 8 | np.int64(data[i + 2]) << 16
        t += word & 31
        if word >> 22 & 1:
            counts[SPECIAL] += 1
        else:
            place(events, kept, t, word >> 5 & 0x1FF, word >> 14 & 0xFF, word >> 23 != 0, height)
            kept += 1
        i += 3
    state[0] = t
    return i, kept


class EsWriter(RecordingWriter):
    """Event Stream 2.0 of a DVS."""

    def _begin(self) -> None:
        size = np.array([self.sensor.width, self.sensor.height], "<u2").tobytes()
        self._file.write(MARK + bytes([2, 0, 0, 1]) + size)

    def _write(self, events: np.ndarray) -> None:
        before = self._last_us or 0
        steps = np.diff(events["t"], prepend=before)
        far = np.flatnonzero((steps < 0) | (steps >= _LONGEST_GAP_US))
        if len(far):
            raise EventError(
                f".es counts time from 0 and stores steps below 2^32 µs, not one of {steps[far[0]]} µs; "
                "subtract the time of the first event"
            )
        data = np.empty(5 * len(events) + int((steps // 127).sum()), np.uint8)
        encode(events, before, self.sensor.height, data)
        self._file.write(data.tobytes())


@kernel
def encode(events, before, height, data):
    """The bytes of sorted events."""
    n = 0
    for i in range(events.shape[0]):
        step = events[i]["t"] - before
        before = events[i]["t"]
        while step >= 127:
            data[n] = 255
            step -= 127
            n += 1
        x, y = np.int64(events[i]["x"]), height - 1 - np.int64(events[i]["y"])
        data[n] = step << 1 | np.int64(events[i]["p"])
        data[n + 1], data[n + 2] = x & 255, x >> 8
        data[n + 3], data[n + 4] = y & 255, y >> 8
        n += 5


def open_es(path: Path, options: ReadOptions) -> Source:
    return EventStream(path, options)
