"""Sources that hand on packets when they are due: recordings, films, moved pictures. The clock itself is pace.py."""

from collections.abc import Iterator
from typing import Any

from ..pipeline.events import EventPacket
from ..pipeline.extras import Extra
from .node import Source
from .pace import Pace
from .packets import Extras, cut_packets

DEFAULT_PACKET_US = 1_000


class PacedSource(Source):
    """A subclass calls `start` in open, and `paced` for each stream."""

    config: Any

    def start(self) -> None:
        self._pace = Pace(self.config.pace)
        self._packet_us: int = self.config.packet_us or DEFAULT_PACKET_US  # when paced
        self._events = 0
        self._span_us = self._reached_us = 0  # length of all streams; end of the last one

    def paced(
        self, packets: Iterator[EventPacket], begin_us: int, extras: Extras | None = None
    ) -> Iterator[EventPacket | Extra]:
        """The packets, cut on a grid of time where there is a pace, each when it is due; extras before their packet."""
        self._pace.begin(begin_us)
        if self._pace.speed is not None:
            packets = cut_packets(packets, begin_us, self._packet_us)
        stop_us = begin_us
        try:
            for packet in packets:
                stop_us = packet.t_stop_us
                self.origin_ns = self._pace.wait(stop_us, self.wait_until)
                self._events += len(packet.events)
                if extras is not None:
                    yield from extras.until(stop_us)
                yield packet
            if extras is not None:
                yield from extras.rest()
        finally:
            self.origin_ns = None
            self._span_us += stop_us - begin_us
            self._reached_us = max(self._reached_us, stop_us)
