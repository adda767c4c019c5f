"""Write AEDAT 4: packets as they come, the packet table at the end. A writer that dies leaves a readable prefix.

Written by hand: the peers' writers are in packages several times the size of this project's. The packages that compress
(extra `compress`) are imported only where they are asked for.
"""

import contextlib
import functools
import struct
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize
from . import aedat4_layout as layout
from .aedat4_streams import EVENTS, Stream
from .write import RecordingWriter

_LONGEST_US = 10_000  # a packet lasts no longer, as with cameras: what is cut off or damaged later is no more than one
_MOST_EVENTS = 10_000  # in a packet, the same


class Aedat4Writer(RecordingWriter):
    """One stream of events, number 0."""

    largest_side = 32_767  # coordinates are signed 16-bit
    codecs = ("none", "lz4", "zstd")

    def __init__(self, path: Path, sensor: SensorSize, compression: str | None) -> None:
        self._compress: Any = _COMPRESS[compression](path) if compression in _COMPRESS else bytes
        self._packets = array("q")  # five numbers each: where its content begins, size, events, first and last µs
        super().__init__(path, sensor, compression)

    def _begin(self) -> None:
        codec = layout.CODECS.index(self.compression)
        self._position = self._file.write(layout.header({0: Stream(EVENTS, self.sensor)}, codec, "dvs_run"))

    def _write(self, events: np.ndarray) -> None:
        start = 0
        while start < len(events):
            late = int(np.searchsorted(events["t"], events["t"][start] + _LONGEST_US))
            piece = events[start : min(late, start + _MOST_EVENTS)]
            start += len(piece)
            payload = self._compress(layout.event_packet(piece))
            whole = layout.PACKET_HEADER.pack(0, len(payload)) + payload
            self._put(whole)  # at once: a process killed between two writes leaves whole packets
            first, last = int(piece["t"][0]), int(piece["t"][-1])
            content = self._position + layout.PACKET_HEADER.size
            self._packets.extend((content, len(payload), len(piece), first, last))
            self._position += len(whole)

    def _put(self, packet: bytes) -> None:
        """A whole packet or nothing of it: also what a full disk leaves is readable to its end."""
        try:
            self._file.write(packet)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._position)
                self._file.seek(self._position)
            raise

    def _finish(self) -> None:
        packets = np.array(self._packets, np.int64).reshape(-1, 5)
        rows = np.zeros(len(packets), layout.TABLE_ROW)
        for column, name in enumerate(("byte_offset", "size", "events", "t_first_us", "t_last_us")):
            rows[name] = packets[:, column]
        self._file.write(self._compress(layout.packet_table(rows)))
        self._file.seek(layout.TABLE_POSITION_AT)
        self._file.write(struct.pack("<q", self._position))


def _zstd(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise _missing(path, "zstd", "zstandard") from None
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress


def _lz4(path: Path) -> Any:
    try:
        import lz4.frame
    except ImportError:
        raise _missing(path, "lz4", "lz4") from None
    return functools.partial(lz4.frame.compress, content_checksum=True)


def _missing(path: Path, compression: str, package: str) -> RecordingError:
    way = "pip install 'dvs-run[compress]'); or write without"
    return RecordingError(f"{path}: compression {compression} needs the package {package} ({way}", path)


_COMPRESS = {"zstd": _zstd, "lz4": _lz4}
