"""AEDAT 4 over a connection, as DV's network output and dv-processing's NetworkWriter send it: bytes in, events out.

It is the file without its first line and its packet table: a header with its size, then packets. `aedat` reads files
only, so each packet is shown to it as a file of its own in memory, behind a header of our own: less than half a
millisecond a packet, of which a camera makes a hundred a second, whatever the compression; and a packet that cannot be
decoded costs no other.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from ..errors import EventError, RecordingError
from ..events import SensorSize
from . import aedat4_layout as layout
from .aedat4_decoder import decoder, events_of, header_for, next_of
from .aedat4_streams import EVENTS

LARGEST_PACKET = 64 << 20  # bytes; one that claims more is none


class Aedat4Stream:
    """One connection. Feed it what comes; it keeps what is not whole yet. RecordingError: this is no AEDAT 4."""

    def __init__(self, name: str) -> None:
        self._name = Path(name)
        self._bytes = bytearray()
        self._head: bytes | None = None  # magic line and header of our own, once the sender's is whole
        self._stream = -1  # number of the stream of events
        self.sensor: SensorSize | None = None  # once the header has come
        self.others = 0  # packets of other streams
        self.unreadable = 0  # packets that could not be decoded
        self._file = _memory_file()

    def feed(self, data: bytes) -> Iterator[np.ndarray]:
        """Events (EVENT_DTYPE, nothing checked) of every packet that is whole now."""
        self._bytes += data
        if self._head is None and not self._take_header():
            return
        while len(self._bytes) >= layout.PACKET_HEADER.size:
            stream, size = layout.PACKET_HEADER.unpack_from(self._bytes)
            if size > LARGEST_PACKET:
                raise RecordingError(
                    f"{self._name}: a packet claims {size} bytes, more than {LARGEST_PACKET}", self._name
                )
            whole = layout.PACKET_HEADER.size + size
            if len(self._bytes) < whole:
                return
            packet = bytes(self._bytes[:whole])
            del self._bytes[:whole]
            if stream != self._stream:
                self.others += 1
            elif (events := self._decoded(packet)) is not None:
                yield events

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1

    def _take_header(self) -> bool:
        """Whether the header is there; raises RecordingError if it never will be."""
        begins = layout.MAGIC[: len(self._bytes)]
        with_magic = bool(self._bytes) and self._bytes[: len(begins)] == begins
        start = len(layout.MAGIC) if with_magic else 0
        if len(self._bytes) < start + 4:
            return False
        size = int.from_bytes(self._bytes[start : start + 4], "little")
        if size > layout.MAX_HEADER:
            raise RecordingError(
                f"{self._name}: what came is no header of AEDAT 4 (it would have {size} bytes)", self._name
            )
        if len(self._bytes) < start + 4 + size:
            return False
        self._head = self._open(layout.MAGIC + bytes(self._bytes[start : start + 4 + size]))
        del self._bytes[: start + 4 + size]
        return True

    def _open(self, head: bytes) -> bytes:
        """A header for the stream of events alone; RecordingError if there is none, or not of which sensor."""
        try:
            header = layout.parse_header(BytesIO(head))
        except ValueError as error:
            raise RecordingError(f"{self._name}: what came is no AEDAT 4: {error}", self._name) from None
        of_events = [number for number, stream in header.streams.items() if stream.kind == EVENTS]
        if not of_events:
            kinds = ", ".join(sorted({stream.name for stream in header.streams.values()}))
            raise RecordingError(f"{self._name}: sends no events, only {kinds}; choose another output", self._name)
        self._stream = of_events[0]
        stream = header.streams[self._stream]
        if stream.sensor is None:
            raise RecordingError(
                f"{self._name}: its header states no sensor (sizeX and sizeY of stream {self._stream})", self._name
            )
        self.sensor = stream.sensor
        return header_for(header.codec, {self._stream: stream})

    def _decoded(self, packet: bytes) -> np.ndarray | None:
        assert self._head is not None
        try:
            return events_of(next_of(decoder(self._shown(self._head + packet))))
        except (RuntimeError, EventError, RecordingError):
            self.unreadable += 1
            return None

    def _shown(self, content: bytes) -> Path:
        """A path at which this content can be read, until the next call."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)
        return Path(f"/dev/fd/{self._file}")


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("aedat4")
    number, path = tempfile.mkstemp(suffix=".aedat4")
    os.unlink(path)
    return number
