"""Write events to a recording as they come; which container, the suffix of its name says.

Everything is checked here, once: order of time, bounds of the sensor. How the bytes lie is each container's own file.
"""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np

from ..errors import EventError, RecordingError
from ..events import EVENT_DTYPE, SensorSize, as_events

FARTHEST_US = 1 << 60  # either way; text beyond is no time to its reader, and 2^61 is damage to all (guard.py)


class RecordingWriter(ABC):
    """A recording in the making. Use it in a `with`, or close it."""

    largest_side = 65_535  # pixels that the container's coordinates can count; open_writer refuses larger sensors
    codecs: tuple[str, ...] = ("none",)  # the first is the default

    def __init__(self, path: Path, sensor: SensorSize, compression: str | None) -> None:
        self.path = path
        self.sensor = sensor
        self.compression = compression or self.codecs[0]
        self.events_written = 0
        self._last_us: int | None = None
        if self.compression not in self.codecs:
            raise RecordingError(
                f"{path}: compression {self.compression!r} is not one of this container's: {', '.join(self.codecs)}",
                path,
            )
        self._file = self._create()
        try:
            self._begin()
        except OSError as error:
            self._file.close()
            raise RecordingError(f"{path}: cannot be written: {error.strerror or error}", path) from error
        except BaseException:
            self._file.close()
            raise

    def write(self, events: np.ndarray) -> None:
        """Add events (EVENT_DTYPE, sorted by t, none before those already written). EventError if they are not so."""
        if self._file.closed:
            raise RecordingError(f"{self.path}: is closed, nothing more can be written", self.path)
        events = as_events(events)
        if not len(events):
            return
        _check(events, self._last_us, self.sensor)
        try:
            self._write(events)
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be written: {error.strerror or error}", self.path) from error
        self._last_us = int(events["t"][-1])
        self.events_written += len(events)

    def sync(self) -> None:
        """Wait until the disk has what was written: it outlives a loss of power then."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be written: {error.strerror or error}", self.path) from error

    def close(self) -> None:
        """Finish the file. Closing twice does no harm."""
        if self._file.closed:
            return
        try:
            self._finish()
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be written: {error.strerror or error}", self.path) from error
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _create(self) -> BinaryIO:
        """The file, unbuffered: what has been written outlives the process that wrote it."""
        try:
            return cast(BinaryIO, _WholeWrites(self.path, "w"))
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be created: {error.strerror or error}", self.path) from error

    @abstractmethod
    def _begin(self) -> None:
        """Write the header."""

    @abstractmethod
    def _write(self, events: np.ndarray) -> None:
        """Write some events, which are in order and within the sensor."""

    def _finish(self) -> None:  # noqa: B027  most containers have nothing at their end
        """Write what stands at the end."""


class _WholeWrites(io.FileIO):
    """An unbuffered file of which a write is whole or raises; a plain one may write a part and say so."""

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        while left:
            left = left[super().write(left) :]
        return memoryview(data).nbytes


def _check(events: np.ndarray, last_us: int | None, sensor: SensorSize) -> None:
    times = events["t"]
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        i = int(back[0]) + 1
        raise EventError(f"event {i} at t={times[i]} lies before its predecessor at t={times[i - 1]}; sort by t first")
    if last_us is not None and times[0] < last_us:
        raise EventError(f"the first event, at t={times[0]}, lies before the last one written, at t={last_us}")
    for time in (int(times[0]), int(times[-1])):
        if abs(time) > FARTHEST_US:
            raise EventError(f"an event at t={time} µs, which readers take for damage; want at most 2^60 µs either way")
    outside = np.flatnonzero((events["x"] >= sensor.width) | (events["y"] >= sensor.height))
    if len(outside):
        i = int(outside[0])
        raise EventError(f"event {i} at x={events['x'][i]}, y={events['y'][i]} lies outside the {sensor} sensor")


def only_events(events: np.ndarray) -> np.ndarray:
    """A contiguous copy-free view where possible, so that tobytes() is one copy."""
    return np.ascontiguousarray(events, EVENT_DTYPE)
