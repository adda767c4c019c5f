"""A recording as a stream of packets, whatever its container: order, bounds, faults and defects are settled here.

A container's file (aedat4.py, aedat2.py, ...) supplies a `Source`: what the header says, and raw batches of events.
Finding out which container a file is belongs to __init__.py; the rules about time to guard.py.
"""

import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ..errors import RecordingError
from ..events import EventPacket, SensorSize
from ..extras import CameraFrame, Extra, ImuPacket, TriggerPacket
from ..stream import LabelSpan
from . import extras, guard
from .part import Part
from .source import DEFECTS, Batch, OnError, Place, Reading, ReadOptions, Source, Stopped

__all__ = ["DEFECTS", "Batch", "OnError", "Place", "Reading", "ReadOptions", "Recording", "Source", "Stopped"]
_GUARDED = (  # those that guard counts: their places in its state
    ("backwards", guard.BACKWARDS),
    ("clock_restarts", guard.RESTARTS),
    ("clock_wraps", guard.WRAPS),
    ("clock_jumps", guard.JUMPS),
    ("outside_sensor", guard.OUTSIDE),
)


class Recording:
    """A finite stream of events from a file. Iterate it, as often as wanted; each iteration begins anew.

    Events come sorted by time and within the sensor. At a fault the good events before it have been delivered; then the
    iteration raises RecordingError, or ends (on_error="stop"), or goes on where the container permits ("skip").
    """

    def __init__(self, path: Path, source: Source, options: ReadOptions, labels: tuple[LabelSpan, ...]) -> None:
        self.path = path
        self.options = options
        self.labels = labels  # what is shown when, from NAME_labels.csv beside the file
        self._source = source
        self._reading = Reading(path, options)
        self._iterators: weakref.WeakSet[Iterator[EventPacket]] = weakref.WeakSet()

    @property
    def container(self) -> str:
        """Name of the container, as in the catalogue: aedat4, aedat31, ..."""
        return self._source.container

    @property
    def codec(self) -> str:
        """Compression of the events: none, lz4, zstd, deflate, ..."""
        return self._source.codec

    @property
    def sensor(self) -> SensorSize:
        return self._source.sensor

    @property
    def details(self) -> dict[str, str]:
        """What else the header says: camera, streams, layout."""
        return dict(self._source.details)

    @property
    def defects(self) -> dict[str, int]:
        """What the latest iteration met so far, counted; DEFECTS explains each. Empty for a flawless file."""
        found = self._reading.defects + Counter({name: int(self._reading.clock[at]) for name, at in _GUARDED})
        return {name: found[name] for name in (*DEFECTS, *found) if found[name]}

    @property
    def fault(self) -> RecordingError | None:
        """The fault at which the latest iteration ended without raising (on_error "stop" and "skip")."""
        return self._reading.fault

    def __iter__(self) -> Iterator[EventPacket]:
        self._reading = Reading(self.path, self.options)
        iterator = self._packets(self._reading)
        self._iterators.add(iterator)
        return iterator

    def _packets(self, reading: Reading) -> Iterator[EventPacket]:
        state, part = reading.clock, Part(self._source, reading)
        skip = self.options.on_error == "skip"
        try:
            for batch in part.batches():
                kept, read, reason = guard.check(
                    batch.events,
                    self.sensor.width,
                    self.sensor.height,
                    self._source.clock_period_us,
                    skip,
                    state,
                    batch.steady,
                )
                good = batch.events[:kept]
                if kept:
                    reading.events_read += kept
                    reading.last_good_us = int(good["t"][-1])
                wanted, end_us = part.cut(good)
                yield from _cut(wanted, self.options, end_us)
                if end_us is not None:
                    return
                if reason != guard.ALL_GOOD:
                    reading.report(
                        _why(reason, batch.events[read].tolist(), self.sensor, int(state[guard.LAST])),
                        batch.byte_offset,
                    )
        except Stopped:
            return
        except OSError as error:  # the disk, or the file was taken away
            what = f"{self.path}: reading stopped after {reading.events_read} events: {error.strerror or error}"
            fault = RecordingError(what, self.path, None, reading.last_good_us, reading.events_read)
            if self.options.on_error == "raise":
                raise fault from error
            reading.fault = fault
            reading.defects["faults"] += 1
        finally:
            part.close()

    def extras(self) -> Iterator[Extra]:
        """Frames, motion samples and triggers, in the file's order, on a pass over the file of its own.

        AEDAT 4 and 3.1: all three; AEDAT 2: motion samples and external inputs; EVT 2.0, 2.1, 3.0: external triggers.
        """
        return extras.read(self._source, self.path, self.options)

    def frames(self) -> Iterator[CameraFrame]:
        """The pictures that the camera took."""
        return (extra for extra in self.extras() if isinstance(extra, CameraFrame))

    def imu(self) -> Iterator[ImuPacket]:
        """The samples of the motion sensor."""
        return (extra for extra in self.extras() if isinstance(extra, ImuPacket))

    def triggers(self) -> Iterator[TriggerPacket]:
        """Changes of the camera's inputs, and marks that it set itself."""
        return (extra for extra in self.extras() if isinstance(extra, TriggerPacket))

    def everything(self) -> Iterator[EventPacket | Extra]:
        """Packets of events and extras, by the time at which each begins."""
        return extras.merged(iter(self), self.extras())

    def close(self) -> None:
        """End iterations that are under way, which closes their files. The recording can be iterated again."""
        for iterator in list(self._iterators):
            iterator.close()  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _cut(events: np.ndarray, options: ReadOptions, end_us: int | None) -> Iterator[EventPacket]:
    """Pieces of at most packet_events events that span no multiple of packet_us, read-only.

    end_us: where a part ends that the recording goes on beyond; the last piece, perhaps without events, promises it.
    """
    if not len(events):
        if end_us is not None:
            yield EventPacket(events, end_us)
        return
    events.flags.writeable = False
    times = events["t"]
    starts = list(range(0, len(events), options.packet_events))
    cells = None
    packet_us = options.packet_us or 0  # 0: no bound
    if packet_us:
        cells = times // packet_us
        starts = sorted({*starts, *(np.flatnonzero(np.diff(cells)) + 1).tolist()})
    for start, stop in zip(starts, [*starts[1:], len(events)], strict=True):
        t_stop_us = int(times[stop - 1])  # another event of this microsecond may follow
        if cells is not None and stop < len(events) and cells[stop] != cells[stop - 1]:
            t_stop_us = int(cells[stop - 1] + 1) * packet_us
        if end_us is not None and stop == len(events):
            t_stop_us = end_us
        yield EventPacket(events[start:stop], t_stop_us)


def _why(reason: int, event: tuple[int, int, int, bool], sensor: SensorSize, last_us: int) -> str:
    t, x, y, _ = event
    if reason == guard.IS_OUTSIDE:
        where = "an address that its layout does not have" if x == y == 65_535 else f"an event at x={x}, y={y}"
        return (
            f"{where} lies outside the {sensor} sensor; damage, or the wrong sensor or layout "
            "(say which with `sensor` and `layout`, or leave such events out with on_error='skip')"
        )
    if reason == guard.IS_JUMP:
        return f"time jumps from {last_us} to {t} µs, more than ten minutes (on_error='skip' closes such gaps)"
    return f"the clock has restarted more than {guard.MAX_RESTARTS} times: these are no times of events"
