"""The door to the package `aedat`: single packets of an AEDAT 4 file, where we have no decoder of our own.

`aedat` raises RuntimeError, or a Rust panic (a BaseException), for all that goes wrong; here it is RuntimeError. It
reads a file by name from its beginning only, and none that has a stream of a kind that it does not know. So packets of
the streams that are wanted are put, a megabyte of the file at a time, behind a header of our own into a temporary file.
"""

import tempfile
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize, as_events
from . import aedat4_layout as layout
from .aedat4_streams import Stream

_WINDOW = 1 << 20  # bytes of packets that are put behind a header at once
_ANY_SENSOR = SensorSize(1, 1)  # `aedat` wants one stated, and does not look at it


class Packets:
    """The packets of some streams of a file, each from where it begins. They are asked for in the file's order."""

    def __init__(self, file: FileIO, codec: int, streams: Mapping[int, Stream]) -> None:
        self._file = file
        self._streams = streams
        self._header = header_for(codec, streams)
        self._packets: Any = None
        self._end = 0  # first byte after the packets that have been put behind the header

    def at(self, byte_offset: int) -> dict[str, Any]:
        """The packet that begins there, as `aedat` gives it. RuntimeError if it cannot be decoded."""
        if self._packets is None or byte_offset >= self._end:
            self._fill(byte_offset)
        try:
            return next_of(self._packets)
        except BaseException:
            self._packets = None  # after an error it would go on by luck only
            raise

    def _fill(self, byte_offset: int) -> None:
        """Put whole packets, from there on, behind a header."""
        self._file.seek(byte_offset)
        data = self._file.read(_WINDOW)
        _, length = layout.PACKET_HEADER.unpack_from(data)
        if 8 + length > len(data):
            data += self._file.read(8 + length - len(data))
        parts, at = [self._header], 0
        while at + 8 <= len(data):
            number, length = layout.PACKET_HEADER.unpack_from(data, at)
            if at + 8 + length > len(data):
                break
            if number in self._streams:
                parts.append(data[at : at + 8 + length])
            at += 8 + length
        with tempfile.NamedTemporaryFile(suffix=".aedat4", buffering=0) as window:
            window.write(b"".join(parts))
            self._packets = decoder(Path(window.name))  # has opened it
        self._end = byte_offset + at


def header_for(codec: int, streams: Mapping[int, Stream]) -> bytes:
    """A header that `aedat` takes, of streams that it knows."""
    return layout.header({number: Stream(stream.kind, _ANY_SENSOR) for number, stream in streams.items()}, codec, "")


def next_of(packets: Any) -> dict[str, Any]:
    """The next packet of an `aedat.Decoder`. RuntimeError if there is none, or it cannot be decoded."""
    try:
        packet: dict[str, Any] = _quiet(next, packets)
    except StopIteration:
        raise RuntimeError("the decoder finds no packet") from None
    return packet


def events_of(packet: dict[str, Any]) -> np.ndarray:
    """EVENT_DTYPE. RuntimeError if it holds no events."""
    if "events" not in packet:
        raise RuntimeError("it holds no events")
    return as_events(packet["events"])


def decoder(path: Path) -> Any:
    """An `aedat.Decoder` of a file; RecordingError if it is none."""
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
