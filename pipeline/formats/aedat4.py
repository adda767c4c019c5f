"""AEDAT 4, as the DV software writes: events of one stream, frames, motion samples and triggers.

Events are decoded by kernels of our own, many packets at a time (aedat4_windows.py); whatever else a file holds, by the
package `aedat` (aedat4_decoder.py). It trusts the sizes in the file, so each packet is first looked at from outside:
does it fit the file, which stream is it of, where does it begin? Times are those of the file: µs of the Unix epoch.
"""

import os
from collections import Counter
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EventError, RecordingError
from ..events import SensorSize
from ..extras import Extra
from . import aedat4_layout as layout
from . import guard
from .aedat4_decoder import Beginning, Middle, decoder
from .aedat4_extras import extra_of
from .aedat4_table import read_table
from .aedat4_windows import Windows, can_unpack
from .source import Batch, Mark, Place, Reading, ReadOptions, Source


class Aedat4(Source):
    """One AEDAT 4 file."""

    container = "aedat4"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._header = layout.parse_header(file)
            streams = decoder(path).id_to_stream()
        except ValueError as error:
            raise RecordingError(f"{path}: damaged AEDAT 4 file: {error}", path, 0) from None
        self.codec = layout.CODECS[self._header.codec].removesuffix("_high")
        self._streams: dict[int, dict[str, Any]] = dict(sorted(streams.items()))
        self._stream = self._choose(options.stream_id)
        stated = self._streams[self._stream]
        if options.sensor is None and (not stated["width"] or not stated["height"]):
            raise RecordingError(
                f"{path}: stream {self._stream} states a sensor of {stated['width']}x{stated['height']} pixels; "
                "say which it is with `sensor`",
                path,
            )
        self.sensor = options.sensor or SensorSize(stated["width"], stated["height"])
        kinds = (f"{number}: {stream['type']}" for number, stream in self._streams.items())
        self.details = {"streams": ", ".join(kinds), "stream read": str(self._stream)}

    def _choose(self, wanted: int | str | None) -> int:
        of_events = [number for number, stream in self._streams.items() if stream["type"] == "events"]
        if not of_events:
            kinds = ", ".join(sorted({stream["type"] for stream in self._streams.values()}))
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
            is_middle = start != self._header.first_packet
            packets = Middle(file, self._header.codec, self.sensor) if is_middle else Beginning(decoder(self._path))
            for byte_offset, stream, following in _walk(file, self._header, reading, start):
                ours = stream == self._stream
                if not ours:
                    reading.defects["other_packets"] += 1
                try:
                    events = packets.events(byte_offset, ours)
                except StopIteration:
                    reading.report("the packets end before the packet table says so", byte_offset)
                    return
                except (RuntimeError, EventError, KeyError) as error:
                    if ours or stream not in self._streams:
                        reading.report(
                            f"a packet of stream {stream} cannot be decoded ({error})", byte_offset, last=False
                        )
                    else:  # of no interest here
                        reading.defects["other_unreadable"] += 1
                    continue
                if events is not None and len(events):
                    yield Batch(events, byte_offset), Place(following)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        with open(self._path, "rb", buffering=0) as file:
            packets = Beginning(decoder(self._path))
            for byte_offset, stream, _ in _walk(file, self._header, reading, self._header.first_packet):
                ours = self._streams.get(stream, {}).get("type") not in (None, "events")
                try:
                    extra = extra_of(packets.next())
                except StopIteration:
                    return
                except (RuntimeError, KeyError, ValueError) as error:
                    if ours:
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
