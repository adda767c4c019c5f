"""Filters one after the other over a stream of events: checked at the door, in blocks, counted filter by filter.

A block is copied once and then goes to and fro between two arrays of the chain that stay in the processor's cache;
nothing that came in is written to, and nothing that went out is written again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EventError
from ..events import EVENT_DTYPE, EventPacket, SensorSize
from ..kernel_cache import kernel
from .filter import BLOCK_EVENTS, LONG_AGO, Filter

EVENT_BYTES = EVENT_DTYPE.itemsize
NO_BYTES = np.empty(0, np.uint8)


@dataclass(frozen=True)
class FilterCount:
    """What one filter of a chain has done since the chain was made."""

    name: str
    taken: int  # events that reached it
    kept: int  # events that it passed on
    dropped: dict[str, int]  # by reason; they and `kept` add up to `taken`


class FilterChain:
    """Filters in order. `begin` a stream, then `push` its packets; what comes out does not depend on where they end."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.filters = tuple(filters)
        self._taken = [0] * len(self.filters)
        self._kept = [0] * len(self.filters)
        self._bytes = [np.empty(BLOCK_EVENTS * EVENT_BYTES, np.uint8) for _ in range(2)]
        self._blocks = [array.view(EVENT_DTYPE) for array in self._bytes]
        self._sensor: SensorSize | None = None

    @property
    def counts(self) -> list[FilterCount]:
        """One a filter, over all streams so far."""
        parts = zip(self.filters, self._taken, self._kept, strict=True)
        return [FilterCount(one.name, taken, kept, dict(one.dropped)) for one, taken, kept in parts]

    def begin(self, sensor: SensorSize) -> SensorSize:
        """A stream begins. Returns the sensor on which the events that come out lie.

        Raises FilterError where a filter does not fit the sensor that reaches it.
        """
        self._sensor, self._seen, self._last_us = sensor, 0, LONG_AGO
        for one in self.filters:
            sensor = one.begin(sensor)
        return sensor

    def push(self, packet: EventPacket) -> EventPacket:
        """The packet with what is left of its events; its promise about later ones holds as it did."""
        return EventPacket(self.apply(packet.events), packet.t_stop_us)

    def apply(self, events: np.ndarray) -> np.ndarray:
        """What is left of the next events of the stream, as a new array.

        `events` (EVENT_DTYPE, sorted by t) may be of any length and read-only. Raises EventError if an event lies
        outside the sensor, or before one that came earlier.
        """
        if self._sensor is None:
            raise EventError("the chain has not begun; call begin(sensor) before the first events of a stream")
        if events.dtype != EVENT_DTYPE:
            raise EventError(f"events have dtype {events.dtype}, want EVENT_DTYPE; use events.as_events first")
        raw = np.ascontiguousarray(events).view(np.uint8)
        step = BLOCK_EVENTS * EVENT_BYTES
        pieces = [self._block(raw[start : start + step]) for start in range(0, len(raw), step)]
        joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [NO_BYTES])
        return joined.view(EVENT_DTYPE)  # bytes until here: NumPy copies records field by field

    def warm_up(self) -> None:
        """Compile every kernel; counts stay as they are, a stream that has begun is forgotten."""
        for one in self.filters:
            one.begin(one.smallest())
            one.apply(self._blocks[0][:0], self._blocks[1])
        first_fault(self._blocks[0][:0], 1, 1, 0)
        self._sensor = None

    def _block(self, raw: np.ndarray) -> np.ndarray:
        """What is left of at most BLOCK_EVENTS events, given and returned as bytes (returned: a new array)."""
        n, now, other = len(raw) // EVENT_BYTES, 0, 1
        self._bytes[now][: len(raw)] = raw
        self._check(self._blocks[now][:n])
        for number, one in enumerate(self.filters):
            kept = one.apply(self._blocks[now][:n], self._blocks[other])
            if len(one.reasons) == 1:
                one.dropped[one.reasons[0]] += n - kept
            self._taken[number] += n
            self._kept[number] += kept
            n, now, other = kept, other, now
        return self._bytes[now][: n * EVENT_BYTES].copy()

    def _check(self, block: np.ndarray) -> None:
        assert self._sensor is not None  # apply() has looked
        fault = first_fault(block, self._sensor.width, self._sensor.height, self._last_us)
        if fault < 0:
            self._seen += len(block)
            self._last_us = int(block["t"][-1])
            return
        t, x, y, _ = block[fault].item()
        if x >= self._sensor.width or y >= self._sensor.height:
            raise EventError(
                f"event {self._seen + fault} at x={x}, y={y} lies outside the {self._sensor} sensor; is the sensor "
                "given to the filters that of the recording?"
            )
        before = int(block["t"][fault - 1]) if fault else self._last_us
        raise EventError(
            f"event {self._seen + fault} is at {t} µs, after {before} µs had been reached; times must not run "
            "backwards: formats.open_recording mends or reports such recordings"
        )


@kernel
def first_fault(events, width, height, last):
    """The first event outside the sensor, or before the one that precedes it (the first: before `last`); or -1."""
    for i in range(events.shape[0]):
        t = events[i]["t"]
        if events[i]["x"] >= width or events[i]["y"] >= height or t < last:
            return i
        last = t
    return -1
