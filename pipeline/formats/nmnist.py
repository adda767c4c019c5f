"""The .bin files of N-MNIST and N-Caltech101: five bytes an event, no header, no mark to know them by.

x, y, then one bit of polarity and 23 bits of time in µs, big-endian. A row 240 is no event but an overflow of the time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import EventError
from ..events import EVENT_DTYPE
from ..kernel_cache import kernel
from .extent import sensor_of
from .source import Batch, Place, Reading, ReadOptions, Source
from .write import RecordingWriter

OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13


class Nmnist(Source):
    """One N-MNIST or N-Caltech101 file."""

    container = "nmnist"
    clock_period_us = 1 << 23

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self.details = {} if options.sensor else {"sensor": "not stated; the smallest known one that holds all events"}
        self.sensor = options.sensor or sensor_of(self, path)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        at = place.byte_offset
        return len(place.state) == 1 and 0 <= at <= self._path.stat().st_size and at % 5 == 0

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        position, state = place or Place(0, (0,))
        overflow = np.array(state, np.int64)
        with open(self._path, "rb") as file:
            file.seek(position)
            while data := file.read(5 * reading.options.packet_events):
                records = np.frombuffer(data[: len(data) // 5 * 5], np.uint8).reshape(-1, 5)
                events = np.empty(len(records), EVENT_DTYPE)
                kept = decode(records, overflow, events)
                reading.defects["special_words"] += len(records) - kept
                begin, position = position, position + records.nbytes
                if kept:
                    yield Batch(events[:kept], begin), Place(position, tuple(overflow.tolist()))
                if len(data) % 5:
                    reading.report(f"the file ends within an event ({len(data) % 5} of 5 bytes)", position)
        if not position:
            reading.report("the file is empty", 0)


@kernel
def decode(records, overflow, events):
    """t = overflow + (b2 & 127) << 16 | b3 << 8 | b4; each record with y = 240 adds 2^13 to `overflow` instead."""
    kept = 0
    for i in range(records.shape[0]):
        if records[i, 1] == OVERFLOW_ROW:
            overflow[0] += OVERFLOW_US
            continue
        high, middle, low = np.int64(records[i, 2] & 127), np.int64(records[i, 3]), np.int64(records[i, 4])
        events[kept]["t"] = overflow[0] + (high << 16 | middle << 8 | low)
        events[kept]["x"] = records[i, 0]
        events[kept]["y"] = records[i, 1]
        events[kept]["p"] = records[i, 2] >= 128
        kept += 1
    return kept


class NmnistWriter(RecordingWriter):
    """N-MNIST's layout: up to 240x240 pixels and 8.38 s."""

    largest_side = OVERFLOW_ROW

    def _begin(self) -> None:
        pass

    def _write(self, events: np.ndarray) -> None:
        if events["t"][0] < 0 or events["t"][-1] >= 1 << 23:
            raise EventError(f"N-MNIST files count time from 0 to 2^23 µs, not {events['t'][0]} .. {events['t'][-1]}")
        records = np.empty((len(events), 5), np.uint8)
        records[:, 0], records[:, 1] = events["x"], events["y"]
        records[:, 2] = events["p"].astype(np.int64) << 7 | events["t"] >> 16
        records[:, 3], records[:, 4] = events["t"] >> 8 & 255, events["t"] & 255
        self._file.write(records.tobytes())


def open_nmnist(path: Path, options: ReadOptions) -> Source:
    return Nmnist(path, options)
