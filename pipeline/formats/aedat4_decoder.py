"""The door to the package `aedat`: the packets of an AEDAT 4 file from its beginning, or from any place in it.

`aedat` raises RuntimeError, or a Rust panic (a BaseException), for all that goes wrong; here it is RuntimeError. It
reads a file by name from its beginning only; to begin elsewhere, the packets from there on are put, a megabyte at a
time, behind a header of our own into a temporary file.
"""

import tempfile
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize, as_events
from . import aedat4_layout as layout

_WINDOW = 1 << 20  # bytes of packets that are put behind a header at once


class Beginning:
    """All packets of a file, of every stream, in its order."""

    def __init__(self, packets: Any) -> None:
        self._packets = packets

    def events(self, byte_offset: int, ours: bool) -> np.ndarray | None:
        """Events of the next packet; None: it is of another stream. StopIteration at the end of all packets."""
        packet = self.next()
        return as_events(packet["events"]) if ours else None

    def next(self) -> dict[str, Any]:
        """The next packet as `aedat` gives it. StopIteration at the end of all packets."""
        packet: dict[str, Any] = _quiet(next, self._packets)
        return packet


class Middle:
    """The packets of one stream from any place on."""

    def __init__(self, file: FileIO, codec: int, sensor: SensorSize) -> None:
        self._file = file
        self._header = layout.header(sensor, codec, "dvs_run")
        self._packets: Any = None
        self._end = 0  # first byte after the packets that have been put behind the header

    def events(self, byte_offset: int, ours: bool) -> np.ndarray | None:
        """Events of the packet that begins there; None: it is of another stream."""
        if not ours:
            return None
        if self._packets is None or byte_offset >= self._end:
            self._fill(byte_offset)
        try:
            return as_events(_quiet(next, self._packets)["events"])
        except BaseException:
            self._packets = None  # after an error it would go on by luck only
            raise

    def _fill(self, byte_offset: int) -> None:
        """Put whole packets of one stream, from there on, behind a header, as packets of stream 0."""
        self._file.seek(byte_offset)
        data = self._file.read(_WINDOW)
        stream, length = layout.PACKET_HEADER.unpack_from(data)
        if 8 + length > len(data):
            data += self._file.read(8 + length - len(data))
        parts, at = [self._header], 0
        while at + 8 <= len(data):
            number, length = layout.PACKET_HEADER.unpack_from(data, at)
            if at + 8 + length > len(data):
                break
            if number == stream:
                parts += [layout.PACKET_HEADER.pack(0, length), data[at + 8 : at + 8 + length]]
            at += 8 + length
        with tempfile.NamedTemporaryFile(suffix=".aedat4", buffering=0) as window:
            window.write(b"".join(parts))
            self._packets = decoder(Path(window.name))  # has opened it
        self._end = byte_offset + at


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
