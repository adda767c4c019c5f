"""What is done to the packets of a recording on their way: cut on a grid of time, moved, with extras between."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..pipeline.errors import RecordingError
from ..pipeline.events import EVENT_DTYPE, EventPacket
from ..pipeline.extras import CameraFrame, Extra, ImuPacket, TriggerPacket

_EMPTY = np.empty(0, EVENT_DTYPE)


def cut_packets(packets: Iterator[EventPacket], begin_us: int, packet_us: int) -> Iterator[EventPacket]:
    """The same events and the same last promise, in packets that end at begin_us + n * packet_us, none left out.

    An error of the reader comes after the events before it have been handed on.
    """
    stop_us, reached_us = begin_us + packet_us, begin_us
    pieces: list[np.ndarray] = []
    error: RecordingError | None = None
    while error is None:
        try:
            packet = next(packets, None)
        except RecordingError as raised:
            packet, error = None, raised
        if packet is None:
            break
        events, reached_us = packet.events, max(reached_us, packet.t_stop_us)
        while packet.t_stop_us >= stop_us:
            split = int(np.searchsorted(events["t"], stop_us))
            yield EventPacket(_joined([*pieces, events[:split]]), stop_us)
            events, pieces, stop_us = events[split:], [], stop_us + packet_us
        if len(events):
            pieces.append(events)
    if pieces or reached_us > stop_us - packet_us:
        yield EventPacket(_joined(pieces), reached_us)
    if error is not None:
        raise error


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    held = [piece for piece in pieces if len(piece)]
    return held[0] if len(held) == 1 else np.concatenate(held) if held else _EMPTY


def moved(packets: Iterator[EventPacket], by_us: int) -> Iterator[EventPacket]:
    """The same packets later (or earlier) by so much."""
    for packet in packets:
        events = packet.events.copy()
        events["t"] += by_us
        events.flags.writeable = False
        yield EventPacket(events, packet.t_stop_us + by_us)


class Extras:
    """Frames, motion samples and triggers of a recording, handed out when their time has come.

    An error of their reader is kept until the events are out: these may be sound.
    """

    def __init__(self, extras: Iterator[Extra], kinds: tuple[type, ...], by_us: int) -> None:
        self._extras, self._kinds, self._by_us = extras, kinds, by_us
        self._error: RecordingError | None = None
        self._next = self._take()

    def until(self, t_us: int) -> Iterator[Extra]:
        """Those that begin before `t_us`."""
        while self._next is not None and self._next.t_us < t_us:
            yield self._next
            self._next = self._take()

    def rest(self) -> Iterator[Extra]:
        """All that are left; then raises what went wrong with them."""
        yield from self.until(2**63)
        if self._error is not None:
            raise self._error

    def _take(self) -> Extra | None:
        try:
            extra = next((extra for extra in self._extras if isinstance(extra, self._kinds)), None)
        except RecordingError as error:
            extra, self._error = None, error
        return extra if extra is None or not self._by_us else _moved_extra(extra, self._by_us)


def _moved_extra(extra: Extra, by_us: int) -> Extra:
    if isinstance(extra, CameraFrame):
        begin_us, end_us = extra.exposure_us
        return replace(extra, t_us=extra.t_us + by_us, exposure_us=(begin_us + by_us, end_us + by_us))
    array = (extra.samples if isinstance(extra, ImuPacket) else extra.triggers).copy()
    array["t"] += by_us
    array.flags.writeable = False
    return ImuPacket(array) if isinstance(extra, ImuPacket) else TriggerPacket(array)
