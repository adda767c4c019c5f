"""AEDAT 4, as the DV software writes: events of one stream, frames, motion samples and triggers.

Events are decoded by kernels of our own, many packets at a time (aedat4_windows.py); frames, motion samples and
triggers by the package `aedat` (aedat4_decoder.py). It trusts the sizes in the file, so each packet is first looked at
from outside: does it fit the file, which stream is it of, where does it begin? Packets of any other kind, as bounding
boxes, are counted and passed over. Times are those of the file: µs of the Unix epoch.
"""

import os
from collections import Counter
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np

from ..errors import EventError, RecordingError
from ..events import SensorSize
from ..extras import Extra
from . import aedat4_layout as layout
from . import guard
from .aedat4_decoder import Packets, events_of
from .aedat4_extras import extra_of
from .aedat4_streams import EVENTS, FRAMES, MOTION, TRIGGERS
from .aedat4_table import read_table
from .aedat4_windows import Windows, can_unpack
from .extent import sensor_of
from .source import Batch, Mark, Place, Reading, ReadOptions, Source

_LARGEST = SensorSize(65_535, 65_535)  # until it is known: its coordinates as they stand
_EXTRAS = (FRAMES, MOTION, TRIGGERS)


class Aedat4(Source):
    """One AEDAT 4 file."""

    container = "aedat4"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._header = layout.parse_header(file)
        except ValueError as error:
            raise RecordingError(f"{path}: damaged AEDAT 4 file: {error}", path, 0) from None
        self.codec = layout.CODECS[self._header.codec].removesuffix("_high")
        self._streams = self._header.streams
        self._stream = self._choose(options.stream_id)
        kinds = (f"{number}: {stream.name}" for number, stream in self._streams.items())
        self.details = {"streams": ", ".join(kinds), "stream read": str(self._stream)}
        self.sensor = _LARGEST
        known = options.sensor or self._streams[self._stream].sensor
        if known is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = known or sensor_of(self, path)

    def _choose(self, wanted: int | str | None) -> int:
        of_events = [number for number, stream in self._streams.items() if stream.kind == EVENTS]
        if not of_events:
            kinds = ", ".join(sorted({stream.name for stream in self._streams.values()}))
            raise RecordingError(f"{self._path}: holds no stream of events, only {kinds}", self._path)
        if wanted is not None and wanted not in of_events:
            numbers = ", ".join(map(str, of_events))
            raise RecordingError(
                f"{self._path}: stream {wanted} holds no events; those with events are {numbers}", self._path
            )
        return of_events[0] if wanted is None else int(wanted)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        """Whether a packet begins there, as far as its header tells."""
        if place.state or place.byte_offset < self._header.first_packet:
            return False
        with open(self._path, "rb", buffering=0) as file:
            file.seek(place.byte_offset)
            head = file.read(layout.PACKET_HEADER.size)
        return len(head) == layout.PACKET_HEADER.size and layout.PACKET_HEADER.unpack(head)[0] in self._streams

    def landmarks(self) -> list[Mark]:
        with open(self._path, "rb") as file:
            rows = read_table(file, self._header, self._stream)
        before = np.concatenate([rows["t_first_us"][:1], rows["t_last_us"][:-1]])
        counts = np.concatenate([[0], np.cumsum(rows["events"])])
        clock = guard.new_state().tolist()
        clock[guard.STARTED] = 1
        marks = []
        for at, first_us, last_us, count in zip(
            (rows["byte_offset"] - layout.PACKET_HEADER.size).tolist(),
            rows["t_first_us"].tolist(),
            before.tolist(),
            counts.tolist(),
            strict=False,
        ):
            clock[guard.LAST] = last_us
            marks.append(Mark(Place(at), first_us, tuple(clock), count, Counter()))
        return marks

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        start = place.byte_offset if place else self._header.first_packet
        if not can_unpack(self._header.codec):
            yield from self._decoded_by_package(reading, start)
            return
        others = (number for number in self._streams if number != self._stream)
        with open(self._path, "rb", buffering=0) as file:
            windows = Windows(file, self._header, (self._stream, *others), self.sensor)
            yield from windows.batches(reading, start)
            _check_end(file, self._header, reading, windows.position)

    def _decoded_by_package(self, reading: Reading, start: int) -> Iterator[tuple[Batch, Place | None]]:
        with open(self._path, "rb", buffering=0) as file:
            packets = Packets(file, self._header.codec, {self._stream: self._streams[self._stream]})
            for byte_offset, stream, following in _walk(file, self._header, reading, start):
                if stream in self._streams and stream != self._stream:
                    reading.defects["other_packets"] += 1
                    continue
                try:
                    if stream != self._stream:
                        raise RuntimeError("the file's header names no such stream")
                    events = events_of(packets.at(byte_offset))
                except (RuntimeError, EventError) as error:
                    reading.report(f"a packet of stream {stream} cannot be decoded ({error})", byte_offset, last=False)
                    continue
                if len(events):
                    yield Batch(events, byte_offset), Place(following)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        wanted = {number: stream for number, stream in self._streams.items() if stream.kind in _EXTRAS}
        with open(self._path, "rb", buffering=0) as file:
            packets = Packets(file, self._header.codec, wanted)
            for byte_offset, stream, _ in _walk(file, self._header, reading, self._header.first_packet):
                if stream not in wanted:
                    continue
                try:
                    extra = extra_of(packets.at(byte_offset))
                except (RuntimeError, KeyError, ValueError) as error:
                    what = f"a packet of stream {stream} cannot be decoded ({error})"
                    reading.report(what, byte_offset, last=False)
                    continue
                if extra is not None:
                    yield extra


def _walk(file: FileIO, header: layout.Header, reading: Reading, position: int) -> Iterator[tuple[int, int, int]]:
    """Where each whole packet begins, its stream, where the next begins, up to the packet table or the file's end."""
    size = os.fstat(file.fileno()).st_size
    while position < size and position != header.table_position:
        file.seek(position)
        head = file.read(layout.PACKET_HEADER.size)
        if len(head) < layout.PACKET_HEADER.size:
            reading.report(f"the file ends within a packet's header ({len(head)} of 8 bytes)", position)
        stream, length = layout.PACKET_HEADER.unpack(head)
        if position + 8 + length > size:
            left = size - position - 8
            reading.report(f"the file ends within a packet ({left} of {length} bytes)", position)
        yield position, stream, position + 8 + length
        position += 8 + length
    _check_end(file, header, reading, position)


def _check_end(file: FileIO, header: layout.Header, reading: Reading, position: int) -> None:
    """What follows the last packet, which ends at `position`: the packet table, or nothing."""
    size = os.fstat(file.fileno()).st_size
    closed = header.table_position >= 0
    if closed:
        file.seek(position)
        start = file.read(4)
        table = int.from_bytes(start, "little") if header.codec == 0 else 0  # compressed, its size is not to be seen
        if position != header.table_position:
            reading.report("the file ends before its packet table", position)
        if len(start) < 4 or position + 4 + table > size:
            reading.report("the file ends within its packet table, after all of its packets", position)
    if not closed:
        reading.defects["not_closed"] = 1
        if position == header.first_packet:
            reading.report("the file ends after its header, without events", position)


def open_aedat4(path: Path, options: ReadOptions) -> Source:
    return Aedat4(path, options)
