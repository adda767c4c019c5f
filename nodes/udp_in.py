"""Node `udp_in`: events from datagrams, in the layouts of SPIF, faery and jAER.

Nothing that arrives ends the run: what a datagram may be is settled in pipeline/datagrams.py, when it may be in
pipeline/live.py. Here are the socket and the books: received, handed on, left out and why, dropped by the kernel
(SO_RXQ_OVFL, and /proc/net/udp for those after the last datagram), missing by their numbers.
"""

import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..pipeline.datagrams import Layout, Sequence, make_layout
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.live import Piece
from ..pipeline.stream import StreamInfo
from .live import EndAfter, LiveError, LiveSource
from .node import Row

LayoutName = Literal["spif", "spif-untimed", "faery", "faery32", "jaer"]
HostPort = Annotated[
    str, Field(pattern=r"^(\[[0-9a-fA-F:.%a-z]+\]|[^\s:/\[\]]+):[0-9]{1,5}$", examples=["HOST:PORT"])
]  # IPv6 in brackets
_LARGEST = 65_536  # no datagram is larger
_AT_ONCE = 256  # datagrams in one packet of events, at most
_RXQ_OVFL = getattr(socket, "SO_RXQ_OVFL", 40 if sys.platform == "linux" else None)


@dataclass(frozen=True)
class UdpInConfig:
    address: Annotated[HostPort, Field(description="HOST:PORT to listen at; 127.0.0.1 is this host only, 0.0.0.0 all")]
    layout: Annotated[LayoutName, Field(description="what the datagrams hold (docs/network.md)")]
    sensor: Annotated[
        list[int] | None,
        Field(min_length=2, max_length=2, description="[width, height]; no layout says it (jaer: the camera)"),
    ] = None
    camera: Annotated[str | None, Field(description="jaer: whose addresses they are, dvs128, davis240, ...")] = None
    only_from: Annotated[str | None, Field(description="take datagrams of this host's address only")] = None
    buffer_bytes: Annotated[
        int, Field(ge=4096, le=1 << 30, description="what the kernel may keep while this node is at work")
    ] = 8 << 20
    end_after_s: EndAfter = None

    def __post_init__(self) -> None:
        self.make_layout()  # says what is missing or does not fit

    def make_layout(self) -> Layout:
        return make_layout(self.layout, SensorSize(*self.sensor) if self.sensor else None, self.camera)


class UdpIn(LiveSource):
    """Datagrams in, event packets out: all that waits becomes one packet."""

    Config, what = UdpInConfig, "datagrams"

    def open(self) -> None:
        config = self.config
        self._layout = config.make_layout()
        self.begin_live(f"udp {config.address}", self._layout.sensor, self._layout.period_us)
        self._layout.decode(memoryview(bytes(64)), 0)  # compiles
        self._sequence = Sequence() if self._layout.numbered else None
        self._refused = self._cut = self._strangers = self._kernel_dropped = 0
        self._buffer = bytearray(_LARGEST)
        self._socket = listening_socket(config.address, config.buffer_bytes)
        self._granted = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # Linux tells twice as much
        self._began_ns = time.monotonic_ns()

    @property
    def address(self) -> tuple[Any, ...]:
        """Where it listens: what was asked for, with the port that the system chose for port 0."""
        return tuple(self._socket.getsockname())

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        yield self.info
        self.heard_ns = time.monotonic_ns()
        while self.wait_for(self._ready):
            pieces: list[Piece] = []
            first_ns = time.monotonic_ns()
            for _ in range(_AT_ONCE):
                data = self._receive()
                if data is None:
                    break
                self.heard_ns = time.monotonic_ns()
                pieces += self._take(data)
            yield from self.hand_on(pieces, first_ns)
            if self.is_over():
                return

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()

    def report(self) -> list[Row]:
        rows = super().report()
        self._kernel_dropped = max(self._kernel_dropped, dropped_of(self._socket))
        sequence = self._sequence
        lost = [(self._kernel_dropped, "dropped by the kernel, its buffer was full")]
        if sequence is not None:
            lost.append((sequence.missing, "missing by their numbers (those of the kernel among them)"))
        refused = [
            (self._strangers, f"not from {self.config.only_from}"),
            (self._refused, f"without a whole event of layout {self.config.layout}"),
            (self._cut, "ended within an event"),
            (0 if sequence is None else sequence.doubles, "came twice"),
        ]
        for what, found in (("datagrams lost", lost), ("datagrams refused", refused)):
            if texts := [f"{n:,} {why}" for n, why in found if n]:
                rows.append((what, "; ".join(texts)))
        skipped = getattr(self._layout, "skipped", (0, 0))
        if sum(skipped):
            rows.append(
                ("other words", f"{int(skipped[0]):,} of frames and motion sensor, {int(skipped[1]):,} special")
            )
        if self._granted < self.config.buffer_bytes:
            asked, granted = self.config.buffer_bytes >> 10, self._granted >> 10
            rows.append(("kernel buffer", f"{granted:,} KiB of {asked:,} asked for; raise net.core.rmem_max for more"))
        return rows

    def _ready(self, seconds: float) -> bool:
        if select.select([self._socket], [], [], seconds)[0]:
            return True
        return self.is_over()

    def _receive(self) -> memoryview | None:
        """The next datagram; None: none waits."""
        while True:
            try:
                size, notes, _, sender = self._socket.recvmsg_into([self._buffer], 64)
            except OSError:  # none waits; or what the network has to say, which is no datagram
                return None
            for level, kind, value in notes:
                if level == socket.SOL_SOCKET and kind == _RXQ_OVFL and len(value) >= 4:
                    self._kernel_dropped = struct.unpack_from("=I", value)[0]
            self.arrived += 1
            if self.config.only_from is not None and sender[0] != self.config.only_from:
                self._strangers += 1
                continue
            return memoryview(self._buffer)[:size]

    def _take(self, data: memoryview) -> list[Piece]:
        layout, sequence, now_ns = self._layout, self._sequence, time.monotonic_ns()
        if sequence is not None and (number := layout.number(data)) is not None and not sequence.take(number):
            return []
        events, left = layout.decode(data, (now_ns - self._began_ns) // 1000)
        self.dropped = max(self._kernel_dropped, sequence.missing if sequence else 0)
        self._cut += bool(left and len(events))
        self._refused += bool(not len(events) and len(data) > layout.head_bytes)
        return self.place(events, now_ns)


def listening_socket(address: str, buffer_bytes: int) -> socket.socket:
    """Bound, not blocking, with as large a buffer as the kernel grants. Raises LiveError."""
    family, where = resolve(address)
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        if _RXQ_OVFL is not None:
            made.setsockopt(socket.SOL_SOCKET, _RXQ_OVFL, 1)
        made.bind(where)
    except OSError as error:
        made.close()
        raise LiveError(f"cannot listen at {address}: {error.strerror}; choose another address") from None
    made.setblocking(False)
    return made


def resolve(address: str) -> tuple[socket.AddressFamily, Any]:
    """Family and socket address of HOST:PORT. Raises LiveError."""
    host, _, port = address.rpartition(":")
    if int(port) > 65_535:
        raise LiveError(f"{address} has port {port}, want 1 to 65535")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise LiveError(f"{address} is no address of a host: {error}; want HOST:PORT") from None
    return found[0][0], found[0][4]


def dropped_of(listening: socket.socket) -> int:
    """Datagrams that the kernel has dropped for want of room, by its table; 0 where there is no table."""
    try:
        inode = str(os.fstat(listening.fileno()).st_ino)
        name = "udp6" if listening.family == socket.AF_INET6 else "udp"
        rows = [line.split() for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    except OSError:
        return 0
    return next((int(row[12]) for row in rows if len(row) > 12 and row[9] == inode), 0)
