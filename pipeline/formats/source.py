"""What a container supplies: its header, and raw batches of events; and what one reading of it carries along.

The rules that make a Recording of it (order, bounds, parts) are recording.py's.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize
from ..extras import Extra
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
    "other_packets": "packets of other streams: frames, motion sensor, triggers, any others",
    "not_closed": "the writer did not close the file (1): it died, or is still writing",
    "skipped_faults": "faults passed over",
    "faults": "the fault at which the reading ended (1)",
}


@dataclass(frozen=True)
class ReadOptions:
    """How to read, as the caller of open_recording says."""

    sensor: SensorSize | None = None  # instead of what the file says, or where it says nothing
    layout: str | None = None  # which bits of an address are what (AEDAT 1, 2), or the order of columns
    stream_id: int | str | None = None  # which of several event streams, by number or name; None: the first
    time_unit: str | None = None  # s, ms, us or ns (.npy and .npz); None: as the file says, else µs
    packet_events: int = 8192  # at most so many events in a packet
    packet_us: int | None = None  # no packet spans a multiple of this; None: as the events come
    on_error: OnError = "raise"
    start_us: int = 0  # so long after the first event: where reading begins
    stop_us: int | None = None  # so long after the first event: where it ends; None: at the end


class Batch(NamedTuple):
    """Events as a container yields them, unchecked. `events` belongs to whoever receives it and may be changed."""

    events: np.ndarray  # EVENT_DTYPE, times as they stand in the file
    byte_offset: int  # where in the file the packet or block begins that they came from
    steady: bool = False  # guard.is_steady is known to hold: they are not looked at again


class Place(NamedTuple):
    """Where in a file a reading can begin, and what its decoder knows there."""

    byte_offset: int  # of arrays: the row
    state: tuple[int, ...] = ()


class Mark(NamedTuple):
    """A place, and what a reading has come to that arrives there."""

    place: Place
    next_us: int  # time of the first event that follows, as it stands in the file
    clock: tuple[int, ...]  # guard's state
    events_read: int
    defects: Counter[str]


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

    def go_to(self, mark: Mark | None) -> None:
        """As if everything before the mark had been read; None: as if nothing had been."""
        self.clock[:] = mark.clock if mark else guard.new_state()
        self.events_read = mark.events_read if mark else 0
        self.last_good_us = mark.clock[guard.LAST] if mark else None
        self.defects = Counter(mark.defects) if mark else Counter()
        self.fault = None

    def report(self, what: str, byte_offset: int, last: bool = True) -> None:
        """A fault at `byte_offset` (-1: unknown). Returns only if faults are skipped and this is not the `last`."""
        good = (
            "no event was read before it"
            if self.last_good_us is None
            else f"the {self.events_read} events before it, up to {self.last_good_us} µs, are good"
        )
        error = RecordingError(
            f"{self.path}: {what}{f', at byte {byte_offset}' if byte_offset >= 0 else ''}; {good}",
            self.path,
            byte_offset if byte_offset >= 0 else None,
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

    def extras(self, reading: Reading) -> Iterator[Extra]:
        """What the file holds besides events, on the events' clock, its overflows undone. A container without: nothing.

        Faults go to reading.report, as those of events.
        """
        return iter(())

    def extents(self, reading: Reading) -> Iterator[tuple[int, int]]:
        """The largest x and y, batch by batch: for files that do not state the sensor."""
        for batch in self.batches(reading):
            if len(batch.events):
                _, _, x, y = guard.extremes(batch.events)
                yield int(x), int(y)

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """The same, each batch with the place that follows it, or None where no reading can begin there.

        From `place` on, if given: one that `holds` accepts. A container that knows no places needs neither of the two.
        """
        return ((batch, None) for batch in self.batches(reading))

    def holds(self, place: Place) -> bool:
        """Whether a reading can begin there. It may be any number: it comes from a file that may be damaged."""
        return False

    def landmarks(self) -> list[Mark]:
        """Where the file's own table says that its events are, in order of time, the first of them at the beginning.

        Empty: it has none, or none that is credible. Each is looked at before it is used (`next_us`).
        """
        return []
