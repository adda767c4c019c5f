"""The events of an AEDAT 4 file from any packet on, a window of many packets at a time (aedat4_kernels.py).

What is not compressed and what LZ4 has compressed is unpacked there; what ZSTD has, by the package `zstandard` (extra
`compress`). Without it the package `aedat` reads such files, slower (aedat4_decoder.py).
"""

import os
from collections.abc import Iterator
from io import FileIO
from typing import Any

import numpy as np

from ..events import EVENT_DTYPE, SensorSize
from . import aedat4_kernels as kernels
from . import aedat4_layout as layout
from .guard import is_steady
from .lz4_frames import SLACK, TOO_SMALL
from .source import Batch, Place, Reading

BLOCKS = {"none": 1 << 19, "lz4": 1 << 18, "zstd": 1 << 18}  # bytes read at once: events for about one batch
CONTENT = 1 << 18  # bytes of an unpacked packet, to begin with
ROOM, PACKETS = 1 << 16, 8  # events of a batch, at most; and no more than so many of the caller's packets have
LARGEST = 1 << 28  # bytes of a packet, also unpacked: a second of the fastest camera
_HEAD = layout.PACKET_HEADER


def can_unpack(codec: int) -> bool:
    """Whether packets of this compression can be unpacked without the package `aedat`."""
    return not layout.CODECS[codec].startswith("zstd") or unpacker() is not None


def unpacker() -> Any:
    """What unpacks ZSTD; None: its package is not installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard.ZstdDecompressor()


class Windows:
    """The packets of a file from a place on, to its packet table or its end. `position`: all before it are read."""

    def __init__(self, file: FileIO, header: layout.Header, streams: tuple[int, ...], sensor: SensorSize) -> None:
        """`streams`: the number of the one that is read, then those of the others in the file."""
        self.position = header.first_packet
        self._file, self._sensor = file, sensor
        self._streams = np.array(streams, np.int64)
        self._codec = layout.CODECS[header.codec].removesuffix("_high")
        self._data = _buffer(BLOCKS[self._codec])
        self._content = _buffer(CONTENT if self._codec != "none" else 0)
        self._zstd: Any = unpacker() if self._codec == "zstd" else None
        self._filled = 0  # bytes of `data` that are of the file, from `position` on
        self._size = os.fstat(file.fileno()).st_size
        self._end = header.table_position

    def batches(self, reading: Reading, position: int) -> Iterator[tuple[Batch, Place]]:
        """From the packet at `position` on. What is wrong between the last packet and the file's end, others say."""
        self.position, self._filled = position, 0
        usual = room = min(ROOM, PACKETS * reading.options.packet_events)
        self._file.seek(position)
        if not position <= self._end <= self._size:
            self._end = self._size
        while self.position < self._end:
            self._filled += self._file.readinto(self._data.data[self._filled : -SLACK]) or 0
            if self._filled < len(self._data) - SLACK:  # the file's end, also if it has become shorter since
                self._size = self.position + self._filled
                self._end = min(self._end, self._size)
            size = min(self._filled, self._end - self.position)
            events = np.empty(room, EVENT_DTYPE)
            counts = np.zeros(kernels.COUNTS, np.int64)
            used, kept, why = self._take(size, events.view(kernels.PAIRED), counts)
            if counts[kernels.OTHERS]:
                reading.defects["other_packets"] += int(counts[kernels.OTHERS])
            if kept:
                found = counts[kernels.LEAST : kernels.WANTED].tolist()
                steady = is_steady(found, self._sensor.width, self._sensor.height)
                yield Batch(events[:kept], self.position, steady), Place(self.position + used)
            self._advance(used)
            room = max(usual, int(counts[kernels.WANTED])) if why == kernels.NO_EVENT_ROOM else usual
            if why == kernels.NO_CONTENT_ROOM:
                self._enlarge_content(int(counts[kernels.WANTED]), reading)
            elif why == kernels.INCOMPLETE and not used:
                self._enlarge_data(size, reading)
            elif why in (kernels.DAMAGED, kernels.UNKNOWN):
                self._pass_over(why, reading)

    def _take(self, size: int, events: np.ndarray, counts: np.ndarray) -> tuple[int, int, int]:
        if self._codec == "zstd":
            return self._take_zstd(size, events, counts)
        codec = kernels.LZ4 if self._codec == "lz4" else kernels.NONE
        taken: tuple[int, int, int] = kernels.take(
            self._data, size, self._streams, codec, self._content, events, counts
        )
        return taken

    def _take_zstd(self, size: int, events: np.ndarray, counts: np.ndarray) -> tuple[int, int, int]:
        """What kernels.take does."""
        at = kept = added = 0
        ours, *others = self._streams.tolist()
        while at + _HEAD.size <= size:
            number, length = _HEAD.unpack_from(self._data.data, at)
            if at + _HEAD.size + length > size:
                break
            if number == ours:
                if kept and kept + added > len(events):  # nor will the next one fit, which is not unpacked in vain
                    return at, kept, kernels.FULL
                unpacked = self._unpack_zstd(at + _HEAD.size, length)
                if unpacked > len(self._content) - SLACK:
                    counts[kernels.WANTED] = 2 * unpacked
                    return at, kept, kernels.NO_CONTENT_ROOM
                added = kernels.add(self._content, 0, unpacked, events, kept, counts)
                if added < 0:
                    full = kernels.FULL if kept else kernels.NO_EVENT_ROOM
                    return at, kept, full if added == TOO_SMALL else kernels.DAMAGED
                kept += added
            elif number in others:
                counts[kernels.OTHERS] += 1
            else:
                return at, kept, kernels.UNKNOWN
            at += _HEAD.size + length
        return at, kept, kernels.TAKEN if at == size else kernels.INCOMPLETE

    def _unpack_zstd(self, at: int, length: int) -> int:
        """Unpack these bytes of the window to `content`; how many they become. More than there is room: too many."""
        import zstandard

        room = self._content.data[:-SLACK]
        try:
            unpacked: int = self._zstd.stream_reader(self._data.data[at : at + length]).readinto(room)
        except zstandard.ZstdError:
            return 0  # which no packet is
        return unpacked if unpacked < len(room) else unpacked + SLACK

    def _advance(self, used: int) -> None:
        """`used` bytes of the window are done with."""
        left = self._filled - used
        self._data[: max(left, 0)] = self._data[used : used + max(left, 0)]
        self._filled, self.position = max(left, 0), self.position + used
        if left < 0:  # a packet is passed over that is not wholly in the window
            self._file.seek(self.position)

    def _enlarge_data(self, size: int, reading: Reading) -> None:
        """The packet that begins the window is not wholly in it: a larger window, or it is not wholly in the file."""
        length = _HEAD.unpack_from(self._data.data)[1] if size >= _HEAD.size else 0
        if self.position + _HEAD.size + length > self._end or size < _HEAD.size:
            if self._end < self._size:
                self._end = self._size  # the packet table is not where the header says: there are packets
            elif size < _HEAD.size:
                reading.report(f"the file ends within a packet's header ({size} of 8 bytes)", self.position)
            else:
                left = self._end - self.position - _HEAD.size
                reading.report(f"the file ends within a packet ({left} of {length} bytes)", self.position)
        elif length > LARGEST:
            reading.report(f"a packet of {length} bytes, want at most {LARGEST}", self.position)
        else:
            data = _buffer(max(_HEAD.size + length, len(self._data)))
            data[: self._filled] = self._data[: self._filled]
            self._data = data

    def _enlarge_content(self, wanted: int, reading: Reading) -> None:
        if wanted > 2 * LARGEST:
            reading.report(f"a packet that unpacks to more than {LARGEST} bytes", self.position)
        self._content = _buffer(wanted)

    def _pass_over(self, why: int, reading: Reading) -> None:
        """A packet that is damaged, or of a stream that the file does not name."""
        number, length = _HEAD.unpack_from(self._data.data)
        what = "its content is damaged" if why == kernels.DAMAGED else "the file's header names no such stream"
        reading.report(f"a packet of stream {number} cannot be decoded ({what})", self.position, last=False)
        self._advance(_HEAD.size + length)


def _buffer(size: int) -> np.ndarray:
    """So many bytes, and those over which copies may run."""
    return np.empty(size + SLACK, np.uint8)
