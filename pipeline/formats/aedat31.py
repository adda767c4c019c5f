"""AEDAT 3.1, as cAER writes and as the DVS128 Gesture set is stored: packets of little-endian events.

A packet holds one kind of event; only polarity events are read, those that the file marks as valid. Time is 31 bits
in the event and the count of its overflows in the packet's header.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..errors import EventError, RecordingError
from ..events import EVENT_DTYPE, SensorSize
from ..extras import Extra
from ..kernel_cache import kernel
from .aedat31_extras import MAX_BYTES, extras_of
from .extent import sensor_of
from .source import Batch, Place, Reading, ReadOptions, Source
from .write import RecordingWriter

_END = b"#!END-HEADER"
_LONGEST_HEADER = 1 << 20
_HEADER = struct.Struct("<hhiiiiii")
_POLARITY = 1
_LARGEST_SIDE = 32_767  # coordinates have 15 bits
_CAMERAS = (  # (pattern of the Source line, size)
    (r"DVS128|DAVIS128", SensorSize(128, 128)),
    (r"DAVIS240", SensorSize(240, 180)),
    (r"DAVIS346", SensorSize(346, 260)),
    (r"DAVIS640|DVS640|DVXPLORER(?!.*(LITE|MINI))", SensorSize(640, 480)),
    (r"DVXPLORER.*LITE", SensorSize(320, 240)),
)


class PacketHeader(NamedTuple):
    """The 28 bytes before each packet."""

    kind: int
    source: int
    size: int  # bytes of an event
    time_at: int  # where in an event its time is
    overflows: int  # of the 31-bit time
    capacity: int  # events for which there was room
    number: int  # events
    valid: int  # events not marked as invalid

    def is_plausible(self) -> bool:
        return (
            0 <= self.kind < 1024
            and self.source >= 0
            and 0 < self.size <= 1 << 26
            and 0 <= self.time_at < self.size
            and self.overflows >= 0
            and 0 <= self.valid <= self.number <= self.capacity
        )


class Aedat31(Source):
    """One AEDAT 3.1 file."""

    container = "aedat31"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        with open(path, "rb") as file:
            self._start, camera = read_header(file, path)
        self.details = {"camera": camera or "not named"}
        known = _size_of(camera)
        if known is None and options.sensor is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = options.sensor or known or sensor_of(self, path, least=SensorSize(128, 128))

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        return not place.state and place.byte_offset >= self._start

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """A place is where a packet begins; after all but the last batch of a packet there is none."""
        with open(self._path, "rb") as file:
            for header, position, length in self._packets(file, place, reading):
                if header.kind != _POLARITY:
                    reading.defects["other_packets"] += 1
                elif header.size != 8 or header.time_at != 4:
                    what = f"polarity events of {header.size} bytes with time at {header.time_at}, want 8 and 4"
                    reading.report(what, position, last=False)
                else:
                    following = Place(position + _HEADER.size + length)
                    yield from _with_place(_events(file, header, position, length, reading), following)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        with open(self._path, "rb") as file:
            for header, position, length in self._packets(file, None, reading):
                if header.kind == _POLARITY:
                    continue
                held = min(length, os.fstat(file.fileno()).st_size - position - _HEADER.size)
                file.seek(position + _HEADER.size)
                try:
                    if held > MAX_BYTES:
                        raise ValueError(f"it has {held:,} bytes, want at most {MAX_BYTES:,}")
                    found = extras_of(header.kind, header.size, header.overflows, file.read(held))
                except ValueError as error:
                    reading.report(f"a packet of type {header.kind} is broken: {error}", position, last=False)
                else:
                    yield from found

    def _packets(
        self, file: BinaryIO, place: Place | None, reading: Reading
    ) -> Iterator[tuple[PacketHeader, int, int]]:
        """Header, first byte and length of each packet; a last one that the file's end cuts comes before its fault."""
        size = os.fstat(file.fileno()).st_size
        position = place.byte_offset if place else self._start
        if position == size == self._start:
            reading.report("the file ends after its header, without packets", position)
        while position < size:
            file.seek(position)
            header = _packet_header(file, position, reading)
            length = header.size * _events_stored(file, header, position, size)
            yield header, position, length
            if position + _HEADER.size + length > size:
                left = size - position - _HEADER.size
                reading.report(f"the file ends within a packet ({left} of {length} bytes)", position)
            position += _HEADER.size + length


def _with_place(batches: Iterator[Batch], following: Place) -> Iterator[tuple[Batch, Place | None]]:
    """The batches of a packet; a reading can begin after the last of them."""
    last = next(batches, None)
    for batch in batches:
        if last is not None:
            yield last, None
        last = batch
    if last is not None:
        yield last, following


def read_header(file: BinaryIO, path: Path) -> tuple[int, str]:
    """Where the packets begin, and the camera that the Source line names ("": none)."""
    start = file.read(_LONGEST_HEADER)
    end = start.find(_END)
    line_end = start.find(b"\n", end)
    if end < 0 or line_end < 0:
        raise RecordingError(f"{path}: damaged AEDAT 3.1 file: its header has no end", path, len(start))
    packing = _value(rb"Format", start[:end])
    if packing.upper() not in ("", "RAW"):
        raise RecordingError(
            f"{path}: an AEDAT 3.1 file whose packets are packed as {packing!r}, want RAW; let the program that "
            "recorded it write it anew as RAW",
            path,
            0,
        )
    return line_end + 1, _value(rb"Source \d+", start[:end])


def _value(key: bytes, header: bytes) -> str:
    """What the first line of this key says; "": there is none."""
    line = re.search(rb"^#[ \t]*" + key + rb":[ \t]*([^\r\n]*)", header, re.MULTILINE)
    return line[1].decode("utf-8", "replace").strip()[:200] if line else ""


def _size_of(camera: str) -> SensorSize | None:
    for pattern, size in _CAMERAS:
        if re.search(pattern, camera, re.IGNORECASE):
            return size
    stated = re.search(r"\b(\d{1,5})x(\d{1,5})\b", camera)  # as our own writer states it
    sides = [int(side) for side in stated.groups()] if stated else [0]
    return SensorSize(*sides) if all(1 <= side <= _LARGEST_SIDE for side in sides) else None


def _packet_header(file: BinaryIO, position: int, reading: Reading) -> PacketHeader:
    data = file.read(_HEADER.size)
    if len(data) < _HEADER.size:
        reading.report(f"the file ends within a packet's header ({len(data)} of {_HEADER.size} bytes)", position)
    header = PacketHeader(*_HEADER.unpack(data))
    if not header.is_plausible():
        reading.report(f"damaged packet header {tuple(header)}; where the next packet begins is unknown", position)
    return header


def _events_stored(file: BinaryIO, header: PacketHeader, position: int, size: int) -> int:
    """How many events follow: `number`, as every logger writes, or `capacity`, if only that leads to a next packet."""
    if header.number == header.capacity:
        return header.number
    for count in (header.number, header.capacity):
        following = position + _HEADER.size + header.size * count
        if following == size:
            return count
        file.seek(following)
        data = file.read(_HEADER.size)
        if len(data) == _HEADER.size and PacketHeader(*_HEADER.unpack(data)).is_plausible():
            return count
    return header.number


def _events(file: BinaryIO, header: PacketHeader, position: int, length: int, reading: Reading) -> Iterator[Batch]:
    """The valid events of one polarity packet, as many of them as the file holds."""
    file.seek(position + _HEADER.size)
    left = min(length, header.number * header.size)
    while left:
        data = file.read(min(left, 8 * reading.options.packet_events))
        words = np.frombuffer(data[: len(data) // 8 * 8], "<u4").reshape(-1, 2)
        if not len(words):
            return
        left -= len(data)
        events = np.empty(len(words), EVENT_DTYPE)
        kept = decode(words, header.overflows << 31, events)
        reading.defects["invalid_events"] += len(words) - kept
        if kept:
            yield Batch(events[:kept], position)


@kernel
def decode(words, base, events):
    """Bit 0 of a first word: valid, 1: polarity, 2-16: y, 17-31: x; t = base + second word. Keeps the valid ones."""
    kept = 0
    for i in range(words.shape[0]):
        data = words[i, 0]
        if data & np.uint32(1):
            events[kept]["t"] = base + np.int64(np.int32(words[i, 1]))
            events[kept]["x"] = data >> np.uint32(17)
            events[kept]["y"] = data >> np.uint32(2) & np.uint32(0x7FFF)
            events[kept]["p"] = (data >> np.uint32(1) & np.uint32(1)) == 1
            kept += 1
    return kept


class Aedat31Writer(RecordingWriter):
    """AEDAT 3.1 with polarity packets only, as the DVS128 Gesture set is stored."""

    largest_side = _LARGEST_SIDE
    _NAMES = {(128, 128): "DVS128", (240, 180): "DAVIS240C", (346, 260): "DAVIS346", (640, 480): "DAVIS640"}

    def _begin(self) -> None:
        camera = self._NAMES.get((self.sensor.width, self.sensor.height), f"dvs_run {self.sensor}")
        lines = ("!AER-DAT3.1", "Format: RAW", f"Source 1: {camera}", "!END-HEADER")
        self._file.write("".join(f"#{line}\r\n" for line in lines).encode())

    def _write(self, events: np.ndarray) -> None:
        if events["t"][0] < 0 or events["t"][-1] >= 1 << 62:
            raise EventError(f"AEDAT 3.1 counts time from 0 to 2^62 µs, not {events['t'][0]} .. {events['t'][-1]}")
        overflows = events["t"] >> 31
        starts = [0, *(np.flatnonzero(np.diff(overflows)) + 1).tolist(), len(events)]
        for start, stop in zip(starts, starts[1:], strict=False):
            piece = events[start:stop]
            words = np.empty((len(piece), 2), "<u4")
            words[:, 0] = 1 | piece["p"].astype(np.uint32) << 1 | piece["y"].astype(np.uint32) << 2
            words[:, 0] |= piece["x"].astype(np.uint32) << 17
            words[:, 1] = piece["t"] & 0x7FFF_FFFF
            count = len(piece)
            head = _HEADER.pack(_POLARITY, 1, 8, 4, int(overflows[start]), count, count, count)
            self._file.write(head + words.tobytes())


def open_aedat31(path: Path, options: ReadOptions) -> Source:
    return Aedat31(path, options)
