"""Cut a stream of event packets into time slices of equal length, the same live and from a file.

The slices depend only on the events' times and on the origin, never on where packets were cut: a slice [start, stop) is
handed out once a packet promises that nothing earlier than `stop` will follow. Counting per cell is binning.py's work.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .errors import EventError
from .events import EVENT_DTYPE, EventPacket


@dataclass(frozen=True)
class TimeSlice:
    """The events within [t_start_us, t_stop_us)."""

    events: np.ndarray  # EVENT_DTYPE, sorted by t; may be empty
    t_start_us: int
    t_stop_us: int


class TimeSlicer:
    """Event packets in, one TimeSlice per elapsed window out; silent windows too, because time must advance.

    window_us: length of a slice. origin_us: start of the first slice; None: the time of the first event. max_gap_us:
    after so long a silence (a clock that jumped, a camera that slept) no more empty slices are made; the grid goes
    on, on its own raster, at the next event, and `gaps` counts it. Depends on event times only, so it too is the same
    however packets are cut.
    """

    def __init__(self, window_us: int, origin_us: int | None = None, max_gap_us: int = 60_000_000) -> None:
        if window_us < 1:
            raise EventError(f"window_us is {window_us}, want at least 1 µs")
        self.window_us = window_us
        self.max_gap_us = max_gap_us
        self.gaps = 0  # silences that were cut short
        self._start = origin_us  # start of the slice being filled
        self._last_us = origin_us  # time of the last event seen
        self._pending: list[np.ndarray] = []  # events of the open slice, in order

    def push(self, packet: EventPacket) -> Iterator[TimeSlice]:
        """Take one packet; yield every slice that is now complete, in order.

        Raises EventError if times run backwards, within the packet or against what came before.
        """
        if packet.events.dtype != EVENT_DTYPE:
            raise EventError(f"events have dtype {packet.events.dtype}, want EVENT_DTYPE; use events.as_events first")
        if len(packet.events):
            self._check_order(packet.events["t"])
            yield from self._take(packet.events)
        yield from self._close_until(packet.t_stop_us)

    def finish(self) -> Iterator[TimeSlice]:
        """The stream has ended: hand out the last slice if it holds an event, whole, as if its time had passed."""
        if self._pending and self._start is not None:
            yield from self._close_until(self._start + self.window_us)

    def _check_order(self, times: np.ndarray) -> None:
        reached = int(times[0]) if self._start is None or self._last_us is None else max(self._start, self._last_us)
        backwards = np.flatnonzero(times[1:] < times[:-1])
        if times[0] < reached or len(backwards):
            at = 0 if times[0] < reached else int(backwards[0]) + 1
            before = reached if at == 0 else int(times[at - 1])
            raise EventError(
                f"event {at} of a packet is at {int(times[at])} µs, after {before} µs had been reached; times must not "
                "run backwards: formats.open_recording mends or reports such recordings"
            )

    def _take(self, events: np.ndarray) -> Iterator[TimeSlice]:
        while len(events):
            first = int(events["t"][0])
            if self._start is None:
                self._start = first
            else:
                yield from self._close_until(first)
                if first >= self._start + self.window_us:  # still: the silence was longer than max_gap_us
                    self._start += (first - self._start) // self.window_us * self.window_us
                    self.gaps += 1
            split = int(np.searchsorted(events["t"], self._start + self.window_us, side="left"))
            self._pending.append(events[:split])
            self._last_us = int(events["t"][split - 1])
            events = events[split:]

    def _close_until(self, t_stop_us: int) -> Iterator[TimeSlice]:
        """Emit the slices that end by t_stop_us, but none that begins more than max_gap_us after the last event."""
        while self._start is not None and self._start + self.window_us <= t_stop_us:
            if self._last_us is not None and self._start - self._last_us > self.max_gap_us:
                return
            pieces = self._pending
            events = pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.empty(0, EVENT_DTYPE)
            done = TimeSlice(events, self._start, self._start + self.window_us)
            self._start, self._pending = done.t_stop_us, []
            yield done
