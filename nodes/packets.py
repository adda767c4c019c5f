"""What is done to the packets of a recording on their way: cut on a grid of time, moved in time."""

from collections.abc import Iterator

import numpy as np

from ..pipeline.errors import RecordingError
from ..pipeline.events import EVENT_DTYPE, EventPacket

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
