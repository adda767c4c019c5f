"""Events of a sender that nobody can stop or rewind (a socket, a camera) on one clock that never runs backwards.

What was chosen. A batch (a datagram, a camera's packet) is placed as a whole. One that neither follows the batch before
it nor lies behind it by more than the jitter of a network is held back: if the next one follows it, the sender was
restarted, replugged or lost for long, and both are delivered as the beginning of a new stretch of time; if not, it was
a stray and is left out. So one hostile batch changes nothing, and a restart costs nothing. Time goes on over a gap by
as much as the host's clock did. Rivals: believing every batch (one of random times wins the clock), a buffer that sorts
(delays every event for the sake of few), looking at sender addresses (they can be forged, and a restart may keep its).
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from .events import EVENT_DTYPE, SensorSize
from .formats import guard
from .live_kernels import unroll

SURE_US = 1_000_000  # a batch that ends so far ahead, or as far as the host waited, is believed at once
AHEAD_US = 10_000_000  # one that is further ahead only with the next; beyond this, as a new stretch of time
LONGEST_US = 60_000_000  # a batch that spans more is none
COUNTS = {  # every counter of a clock: what it counts, in events
    "impossible": "of batches with times that one batch cannot have",
    "stray": "of batches whose time belongs neither to what was before nor to what came after",
    "outside": "outside the sensor",
}


class Piece(NamedTuple):
    """Events to hand on. Sorted, within the sensor, not before any earlier piece; owned by the receiver."""

    events: np.ndarray  # EVENT_DTYPE, at least one
    begins: bool  # the first of a new stretch of time: what came before is not connected with it


class LiveClock:
    """One stream. `period_us`: after how long the sender's counter wraps; 0: it does not."""

    def __init__(self, sensor: SensorSize, period_us: int = 0) -> None:
        self.sensor, self._period_us = sensor, period_us
        self.counts: Counter[str] = Counter()
        self.delivered = 0  # events
        self.gaps = 0  # stretches that began after the first
        self._state = guard.new_state()
        self._started = self._gap_told = self._begins = False
        self._raw_us = self._offset_us = 0  # latest time of the sender, unwrapped; what makes it ours
        self._heard_ns = 0  # host time at which it was heard
        self._held: tuple[np.ndarray, int, int] | None = None  # a batch that may be a stray, its first and last time

    @property
    def reached_us(self) -> int:
        """Before this no event will be delivered any more: the time of the last one, or as promised; 0 at first."""
        return int(self._state[guard.LAST])

    @property
    def late(self) -> int:
        """Events that came up to 10 ms behind others and were given their time."""
        return int(self._state[guard.BACKWARDS])

    @property
    def held(self) -> int:
        """Events that are held back until the next batch tells what they are."""
        return 0 if self._held is None else len(self._held[0])

    def push(self, events: np.ndarray, now_ns: int) -> list[Piece]:
        """What can be delivered now that these have come (EVENT_DTYPE, the sender's times, changed in place)."""
        if not len(events):
            return []
        first_us, last_us, back_us = unroll(events, self._period_us)
        if back_us > guard.BACKWARDS_US or last_us - first_us > LONGEST_US or abs(last_us) > guard.MAX_TIME_US:
            self.counts["impossible"] += len(events)
            return []
        if not self._started or self._gap_told:
            return self._begin(events, first_us, last_us, now_ns)
        elapsed_us = max(0, now_ns - self._heard_ns) // 1000
        if self._follows(first_us, last_us, self._raw_us, min(SURE_US + elapsed_us, guard.FORWARD_US)):
            self._drop_held()
            return self._placed(events, first_us, last_us, now_ns)
        if self._held is not None and self._follows(first_us, last_us, self._held[2], AHEAD_US):
            held, self._held = self._held, None
            leap = self._follows(held[1], held[2], self._raw_us, AHEAD_US)
            pieces = self._placed(*held, now_ns) if leap else self._begin(*held, now_ns)
            return pieces + self._placed(events, first_us, last_us, now_ns)
        self._drop_held()
        self._held = events, first_us, last_us
        return []

    def gap(self) -> None:
        """The connection was lost: what comes next is a new stretch, whatever its times."""
        self._drop_held()
        self._gap_told = self._started

    def promise(self, raw_us: int) -> int:
        """The sender says that its clock is at raw_us. Returns the time before which no event will come any more."""
        step_us = self._step(raw_us, self._raw_us)
        if self._started and not self._gap_told and 0 <= step_us <= AHEAD_US:
            self._raw_us += step_us
            self._state[guard.LAST] = max(self.reached_us, self._raw_us + self._offset_us)
        return self.reached_us

    def _begin(self, events: np.ndarray, first_us: int, last_us: int, now_ns: int) -> list[Piece]:
        if self._started:
            self.gaps += 1
            elapsed_us = max(0, now_ns - self._heard_ns) // 1000
            self._offset_us = self.reached_us + min(elapsed_us, guard.FORWARD_US // 2) - first_us
        self._started, self._gap_told, self._begins, self._raw_us = True, False, True, first_us
        return self._placed(events, first_us, last_us, now_ns)

    def _follows(self, first_us: int, last_us: int, before_us: int, ahead_us: int) -> bool:
        """Whether a batch begins no more than a network's jitter before this time, and ends not too far after it."""
        step_us = self._step(first_us, before_us)
        return step_us >= -guard.BACKWARDS_US and step_us + last_us - first_us <= ahead_us

    def _placed(self, events: np.ndarray, first_us: int, last_us: int, now_ns: int) -> list[Piece]:
        """The events at their time, those outside the sensor left out."""
        unwrapped_us = self._raw_us + self._step(first_us, self._raw_us)
        if shift_us := unwrapped_us - first_us + self._offset_us:
            events["t"] += shift_us
        self._raw_us = max(self._raw_us, unwrapped_us + last_us - first_us)
        self._heard_ns = now_ns
        before = int(self._state[guard.OUTSIDE])
        kept, _, _ = guard.check(events, self.sensor.width, self.sensor.height, 0, True, self._state)
        self.counts["outside"] += int(self._state[guard.OUTSIDE]) - before
        self.delivered += kept
        if not kept:
            return []
        piece, self._begins = Piece(events[:kept], self._begins), False
        return [piece]

    def _drop_held(self) -> None:
        if self._held is not None:
            self.counts["stray"] += len(self._held[0])
            self._held = None

    def _step(self, later_us: int, earlier_us: int) -> int:
        step_us = later_us - earlier_us
        if self._period_us:
            half = self._period_us // 2
            return (step_us + half) % self._period_us - half
        return step_us


def warm_up(clock: LiveClock) -> None:
    """Compile what `push` calls, before the sender is listened to."""
    other = LiveClock(clock.sensor, clock._period_us)
    for t in (0, 1):
        events = np.zeros(2, EVENT_DTYPE)
        events["t"] = t
        other.push(events, 0)
    late = np.zeros(2, EVENT_DTYPE)
    other.push(late, 0)
