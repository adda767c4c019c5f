"""What all live sources share: events of a sender that cannot be stopped, as a stream with its gaps marked.

A gap (the sender was restarted, the camera unplugged) begins a new StreamInfo of the same name, so that whoever keeps
state forgets it; time goes on. pipeline/live.py decides what is a gap, and what is left out.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ..pipeline.errors import DvsError, counted
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.live import COUNTS, LiveClock, Piece, warm_up
from ..pipeline.stream import StreamInfo
from .node import Row, Source

EndAfter = Annotated[
    float | None, Field(gt=0, le=86_400, description="end the stream after so long in which nothing came")
]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0  # between two attempts to reach a sender


class LiveError(DvsError):
    """A live source cannot be opened, or its settings do not fit it."""


class LiveSource(Source):
    """Base: `begin_live`, then `hand_on` what comes."""

    emits, live = EventPacket, True
    what: ClassVar[str] = "packets"  # in which events arrive
    clock: LiveClock | None = None
    arrived = 0  # how many of these
    events = 0  # how many events were in them
    heard_ns = 0  # when the latest came

    def begin_live(self, name: str, sensor: SensorSize, period_us: int = 0) -> None:
        """The stream as `self.info` will tell it; what its clock needs is compiled."""
        self.heard_ns = time.monotonic_ns()
        self.info, self.clock, self._fresh = StreamInfo(name, sensor), LiveClock(sensor, period_us), True
        warm_up(self.clock)

    def is_over(self) -> bool:
        """Whether the setting `end_after_s` ends the stream now."""
        limit_s = self.config.end_after_s
        return limit_s is not None and time.monotonic_ns() - self.heard_ns > limit_s * 1e9

    def place(self, events: np.ndarray, now_ns: int) -> list[Piece]:
        """Events that have just come, put on the clock of the stream."""
        assert self.clock is not None
        self.events += len(events)
        return self.clock.push(events, now_ns)

    def hand_on(self, pieces: Iterable[Piece], now_ns: int) -> Iterator[StreamInfo | EventPacket]:
        """The pieces as packets, those of one stretch in one."""
        waiting: list[np.ndarray] = []
        for piece in pieces:
            if piece.begins:
                yield from self._packet(waiting, now_ns)
                waiting = []
                if not self._fresh:
                    yield self.info
                self._fresh = False
            waiting.append(piece.events)
        yield from self._packet(waiting, now_ns)

    def _packet(self, waiting: list[np.ndarray], now_ns: int) -> Iterator[EventPacket]:
        if waiting:
            events = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            events.flags.writeable = False
            self.origin_ns = now_ns
            yield EventPacket(events, int(events["t"][-1]))

    def report(self) -> list[Row]:
        clock = self.clock
        if clock is None:
            return []
        received = f"{self.arrived:,} {self.what}, {counted(self.events, 'event')}; {clock.delivered:,} handed on"
        rows = [("received", received)]
        left_out = [f"{n:,} {COUNTS[name]}" for name, n in clock.counts.items() if n]
        if clock.held:
            left_out.append(f"{clock.held:,} of a batch that nothing followed")
        if left_out:
            rows.append(("events left out", "; ".join(left_out)))
        if clock.late:
            rows.append(("late", f"{counted(clock.late, 'event')} up to 10 ms, given the time of the one before"))
        if clock.gaps:
            rows.append(("gaps", f"{clock.gaps:,}; each began a new stretch, time went on"))
        return rows


class Patience:
    """How long to wait before the next attempt: twice as long each time, from 0.1 to 5 s, until one succeeds."""

    def __init__(self) -> None:
        self._wait_s = FIRST_WAIT_S

    def succeeded(self) -> None:
        self._wait_s = FIRST_WAIT_S

    def next_ns(self) -> int:
        """Host time of the next attempt."""
        due_ns = time.monotonic_ns() + int(self._wait_s * 1e9)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        return due_ns
