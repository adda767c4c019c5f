"""Write AEDAT 4: packets as they come, the packet table at the end. A writer that dies leaves a readable prefix.

Written by hand: the peers' writers are in packages several times the size of this project's. Compression `zstd`
needs the package zstandard (extra `compress`), which is imported only then; LZ4 is read but not written.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize
from . import aedat4_layout as layout
from .write import RecordingWriter

_LONGEST_US = 10_000  # a packet lasts no longer, as with cameras: what is cut off or damaged later is no more than one
_MOST_EVENTS = 10_000  # in a packet, the same


class Aedat4Writer(RecordingWriter):
    """One stream of events, number 0."""

    largest_side = 32_767  # coordinates are signed 16-bit
    codecs = ("none", "zstd")

    def __init__(self, path: Path, sensor: SensorSize, compression: str | None) -> None:
        self._compress: Any = _zstd(path) if compression == "zstd" else bytes
        self._packets: list[
            tuple[int, int, int, int, int]
        ] = []  # where its content begins, size, events, first and last µs
        super().__init__(path, sensor, compression)

    def _begin(self) -> None:
        codec = layout.CODECS.index(self.compression)
        self._position = self._file.write(layout.header(self.sensor, codec, "dvs_run"))

    def _write(self, events: np.ndarray) -> None:
        start = 0
        while start < len(events):
            late = int(np.searchsorted(events["t"], events["t"][start] + _LONGEST_US))
            piece = events[start : min(late, start + _MOST_EVENTS)]
            start += len(piece)
            payload = self._compress(layout.event_packet(piece))
            whole = layout.PACKET_HEADER.pack(0, len(payload)) + payload
            self._file.write(whole)  # at once: a process killed between two writes leaves whole packets
            first, last = int(piece["t"][0]), int(piece["t"][-1])
            content = self._position + layout.PACKET_HEADER.size
            self._packets.append((content, len(payload), len(piece), first, last))
            self._position += len(whole)

    def _finish(self) -> None:
        rows = np.zeros(len(self._packets), layout.TABLE_ROW)
        for i, (byte_offset, size, count, first, last) in enumerate(self._packets):
            rows[i] = (0, 0, size, byte_offset, count, first, last)
        self._file.write(self._compress(layout.packet_table(rows)))
        self._file.seek(layout.TABLE_POSITION_AT)
        self._file.write(struct.pack("<q", self._position))


def _zstd(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise RecordingError(
            f"{path}: compression zstd needs the package zstandard (pip install 'dvs-run[compress]'); or write without",
            path,
        ) from None
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress
