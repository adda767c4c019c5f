"""Node `udp_out`: events as datagrams, in the layouts of SPIF, faery and jAER.

Datagrams are sent and forgotten: nobody may be listening, and a network that takes none ends no run. It is counted.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..pipeline.datagrams import Layout, make_layout
from ..pipeline.errors import counted
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.stream import StreamInfo
from .node import Node, Row
from .udp_in import HostPort, LayoutName, resolve


@dataclass(frozen=True)
class UdpOutConfig:
    address: Annotated[HostPort, Field(description="HOST:PORT to send to")]
    layout: Annotated[LayoutName, Field(description="what the datagrams hold (docs/network.md)")]
    camera: Annotated[str | None, Field(description="jaer: as which camera's addresses, dvs128, davis240, ...")] = None
    datagram_bytes: Annotated[
        int, Field(ge=32, le=65_507, description="at most; more than 1472 is cut into pieces on Ethernet")
    ] = 1472

    def __post_init__(self) -> None:
        make_layout(self.layout, None if self.layout == "jaer" else SensorSize(1, 1), self.camera)


class UdpOut(Node):
    """Event packets in, datagrams out."""

    Config, accepts = UdpOutConfig, EventPacket

    def open(self) -> None:
        family, self._to = resolve(self.config.address)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._sent = self._events = self._failed = 0
        self._reason = ""
        self._layout: Layout | None = None

    def begin(self, stream: StreamInfo) -> StreamInfo:
        if self._layout is None or self._layout.sensor != stream.sensor:
            self._layout = make_layout(self.config.layout, stream.sensor, self.config.camera)
        return stream

    def process(self, packet: EventPacket) -> Iterator[EventPacket]:
        assert self._layout is not None
        for data, count in self._layout.datagrams(packet.events, self.config.datagram_bytes):
            try:
                self._socket.sendto(data, self._to)
            except OSError as error:
                self._failed += 1
                self._reason = self._reason or str(error.strerror)
                continue
            self._sent += 1
            self._events += count
        return iter(())

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()

    def report(self) -> list[Row]:
        rows = [
            ("sent", f"{counted(self._sent, 'datagram')}, {counted(self._events, 'event')} to {self.config.address}")
        ]
        if self._failed:
            rows.append(("not sent", f"{counted(self._failed, 'datagram')}; the first: {self._reason}"))
        return rows
