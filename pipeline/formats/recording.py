"""A recording as a stream of packets, whatever its container: order, bounds, faults and defects are settled here.

A container's file (aedat4.py, aedat2.py, ...) supplies a `Source`: what the header says, and raw batches of events.
Finding out which container a file is belongs to __init__.py; the rules about time to guard.py.
"""

import weakref
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np

from ..errors import RecordingError
from ..events import EventPacket, SensorSize
from ..stream import LabelSpan
from . import guard

OnError = Literal["raise", "stop", "skip"]

DEFECTS = {  # every counter that a reading may fill: what it counts
    "backwards": "events up to 10 ms behind their predecessor, delivered at its time",
    "clock_restarts": "larger steps back: the clock was reset; time goes on from where it was",
    "clock_wraps": "overflows of the file's time counter, undone",
    "clock_jumps": "steps forward beyond ten minutes, closed up (only when skipping faults)",
    "outside_sensor": "events outside the sensor, left out (only when skipping faults)",
    "invalid_events": "events that the file itself marks as invalid, left out",
    "unplaced_events": "events before the file first says when and where, left out",
    "special_words": "words that are no events: external inputs, overflow markers, counters",
    "trigger_words": "words of external triggers (EVT 2.0, 2.1, 3.0)",
    "unknown_words": "words of types that the format does not have, left out",
    "frame_words": "words that are samples of frames or of the motion sensor",
    "other_packets": "packets of other streams: frames, motion sensor, triggers",
    "other_unreadable": "packets of other streams that could not be read",
    "not_closed": "the writer did not close the file (1): it died, or is still writing",
    "skipped_faults": "faults passed over",
    "faults": "the fault at which the reading ended (1)",
}
_GUARDED = (  # those that guard counts: their places in its state
    ("backwards", guard.BACKWARDS),
    ("clock_restarts", guard.RESTARTS),
    ("clock_wraps", guard.WRAPS),
    ("clock_jumps", guard.JUMPS),
    ("outside_sensor", guard.OUTSIDE),
)


@dataclass(frozen=True)
class ReadOptions:
    """How to read, as the caller of open_recording says."""

    sensor: SensorSize | None = None  # instead of what the file says, or where it says nothing
    layout: str | None = None  # which bits of an address are what (AEDAT 1 and 2)
    stream_id: int | None = None  # which of several event streams (AEDAT 4); None: the first
    time_unit: str | None = None  # s, ms, us or ns (.npy and .npz); None: as the file says, else µs
    packet_events: int = 8192  # at most so many events in a packet
    packet_us: int | None = None  # no packet spans a multiple of this; None: as the events come
    on_error: OnError = "raise"


class Batch(NamedTuple):
    """Events as a container yields them, unchecked. `events` belongs to whoever receives it and may be changed."""

    events: np.ndarray  # EVENT_DTYPE, times as they stand in the file
    byte_offset: int  # where in the file the packet or block begins that they came from
    steady: bool = False  # guard.is_steady is known to hold: they are not looked at again


class Stopped(Exception):
    """Ends a reading quietly; never leaves this package."""


@dataclass
class Reading:
    """One pass over a file: what has been delivered so far, and what to do about faults."""

    path: Path
    options: ReadOptions
    defects: Counter[str] = field(default_factory=Counter)
    events_read: int = 0
    last_good_us: int | None = None
    clock: np.ndarray = field(default_factory=guard.new_state)  # what guard carries from packet to packet
    fault: RecordingError | None = None  # the fault at which a reading with on_error "stop" or "skip" ended

    def report(self, what: str, byte_offset: int, last: bool = True) -> None:
        """A fault at `byte_offset`. Returns only if faults are skipped and reading can go on (not `last`)."""
        good = (
            "no event was read before it"
            if self.last_good_us is None
            else f"the {self.events_read} events before it, up to {self.last_good_us} µs, are good"
        )
        error = RecordingError(
            f"{self.path}: {what}, at byte {byte_offset}; {good}",
            self.path,
            byte_offset,
            self.last_good_us,
            self.events_read,
        )
        if self.options.on_error == "raise":
            raise error
        if self.options.on_error == "skip" and not last:
            self.defects["skipped_faults"] += 1
            return
        self.defects["faults"] += 1
        self.fault = error
        raise Stopped


class Source(ABC):
    """One file of one container: what its header says, and its events as often as they are asked for."""

    container: str  # the container's name in the catalogue
    codec: str = "none"  # compression
    sensor: SensorSize
    clock_period_us: int = 0  # after how long the file's time counter wraps; 0: it does not
    details: dict[str, str]  # what else the header says, for people

    @abstractmethod
    def batches(self, reading: Reading) -> Iterator[Batch]:
        """All events from the beginning. Faults go to reading.report after the good events before them were yielded."""


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
        state = reading.clock
        skip = self.options.on_error == "skip"
        try:
            for batch in self._source.batches(reading):
                events = batch.events
                kept, read, reason = guard.check(
                    events,
                    self.sensor.width,
                    self.sensor.height,
                    self._source.clock_period_us,
                    skip,
                    state,
                    batch.steady,
                )
                for piece in _cut(events[:kept], self.options):
                    reading.events_read += len(piece.events)
                    reading.last_good_us = int(piece.events["t"][-1])
                    yield piece
                if reason != guard.ALL_GOOD:
                    reading.report(
                        _why(reason, events[read].tolist(), self.sensor, int(state[guard.LAST])), batch.byte_offset
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

    def close(self) -> None:
        """End iterations that are under way, which closes their files. The recording can be iterated again."""
        for iterator in list(self._iterators):
            iterator.close()  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _cut(events: np.ndarray, options: ReadOptions) -> Iterator[EventPacket]:
    """Pieces of at most packet_events events that span no multiple of packet_us, read-only."""
    if not len(events):
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
