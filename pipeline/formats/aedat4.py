"""AEDAT 4, as the DV software writes: events of one stream, read through the `aedat` package.

`aedat` decodes; what it leaves out is done here. It trusts the sizes in the file, so each packet is first looked at
from outside: does it fit the file, which stream is it of, where does it begin? And it raises RuntimeError, or a Rust
panic (a BaseException), for all that goes wrong, which becomes RecordingError. Times are those of the file: µs of
the Unix epoch.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from ..errors import EventError, RecordingError
from ..events import SensorSize, as_events
from . import aedat4_layout as layout
from .recording import Batch, Reading, ReadOptions, Source


class Aedat4(Source):
    """One AEDAT 4 file."""

    container = "aedat4"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._header = layout.parse_header(file)
            streams = _decoder(path).id_to_stream()
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

    def _choose(self, wanted: int | None) -> int:
        of_events = [number for number, stream in self._streams.items() if stream["type"] == "events"]
        if not of_events:
            kinds = ", ".join(sorted({stream["type"] for stream in self._streams.values()}))
            raise RecordingError(f"{self._path}: holds no stream of events, only {kinds}", self._path)
        if wanted is not None and wanted not in of_events:
            numbers = ", ".join(map(str, of_events))
            raise RecordingError(
                f"{self._path}: stream {wanted} holds no events; those with events are {numbers}", self._path
            )
        return of_events[0] if wanted is None else wanted

    def batches(self, reading: Reading) -> Iterator[Batch]:
        decoder = _decoder(self._path)
        with open(self._path, "rb", buffering=0) as file:
            for byte_offset, stream in _walk(file, self._header, reading):
                ours = stream == self._stream
                if not ours:
                    reading.defects["other_packets"] += 1
                try:
                    packet = _quiet(next, decoder)
                    events = as_events(packet["events"]) if ours else None
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
                if events is not None:
                    yield Batch(events, byte_offset)


def _walk(file: FileIO, header: layout.Header, reading: Reading) -> Iterator[tuple[int, int]]:
    """Where each whole packet begins and which stream it is of, up to the packet table or the file's end."""
    size = os.fstat(file.fileno()).st_size
    position = header.first_packet
    closed = header.table_position >= 0
    while position < size and position != header.table_position:
        file.seek(position)
        head = file.read(layout.PACKET_HEADER.size)
        if len(head) < layout.PACKET_HEADER.size:
            reading.report(f"the file ends within a packet's header ({len(head)} of 8 bytes)", position)
        stream, length = layout.PACKET_HEADER.unpack(head)
        if position + 8 + length > size:
            left = size - position - 8
            reading.report(f"the file ends within a packet ({left} of {length} bytes)", position)
        yield position, stream
        position += 8 + length
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


def _decoder(path: Path) -> Any:
    import aedat

    try:
        return _quiet(aedat.Decoder, str(path))
    except RuntimeError as error:
        raise RecordingError(f"{path}: damaged or unknown kind of AEDAT 4 file: {error}", path) from None


def _quiet(call: Any, argument: Any) -> Any:
    """Call into `aedat`; a Rust panic, which no `except Exception` catches, becomes RuntimeError."""
    try:
        return call(argument)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(f"the decoder gave up: {error}") from None
        raise


def open_aedat4(path: Path, options: ReadOptions) -> Source:
    return Aedat4(path, options)
