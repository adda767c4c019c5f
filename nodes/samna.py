"""Node `samna`: events of a SynSense Speck over ZeroMQ, as samna publishes them for aestream.

A message has two frames: the text `V`, and the array of samna's DvsEvent as it lies in memory, 8 bytes each: polarity
u8, y u8, x u8, one byte unused, time u32 in µs. We connect; ZeroMQ connects again by itself when the other side was
away. Other messages are for others, and are passed over and counted. Nothing is unpickled.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import zmq
from pydantic import Field

from ..pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from ..pipeline.live import Piece
from ..pipeline.stream import StreamInfo
from .live import EndAfter, LiveError, LiveSource
from .node import Row

DVS_EVENT = np.dtype(
    {"names": ["p", "y", "x", "t"], "formats": ["u1", "u1", "u1", "<u4"], "offsets": [0, 1, 2, 4], "itemsize": 8}
)
_AT_ONCE = 256  # messages in one packet of events, at most
_WAITING = 1000  # messages that ZeroMQ keeps while this node is at work; the newest beyond are lost, unseen
_LONGEST = 16 << 20  # bytes of a frame


@dataclass(frozen=True)
class SamnaConfig:
    address: Annotated[
        str,
        Field(pattern=r"^(tcp://[^\s/]+:[0-9]{1,5}|ipc://.+)$", examples=["tcp://HOST:PORT"], description="of samna"),
    ] = "tcp://127.0.0.1:40001"
    sensor: Annotated[list[int], Field(min_length=2, max_length=2, description="[width, height]")] = field(
        default_factory=lambda: [128, 128]  # a Speck's
    )
    end_after_s: EndAfter = None

    def __post_init__(self) -> None:
        SensorSize(*self.sensor)  # refuses sides that no camera has


class Samna(LiveSource):
    """Messages of samna in, event packets out: all that waits becomes one packet."""

    Config, what = SamnaConfig, "messages"

    def open(self) -> None:
        self.begin_live(f"samna {self.config.address}", SensorSize(*self.config.sensor), 1 << 32)
        self._others = self._cut = self._lost = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, _WAITING)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _LONGEST)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            self._socket.connect(self.config.address)
        except zmq.ZMQError as error:
            self.close()
            raise LiveError(f"samna cannot be reached at {self.config.address}: {error}; correct the address") from None

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        yield self.info
        self.heard_ns = time.monotonic_ns()
        while self.wait_for(self._ready):
            first_ns, pieces = time.monotonic_ns(), []
            self._look_for_losses()
            for _ in range(_AT_ONCE):
                try:
                    frames = self._socket.recv_multipart(zmq.DONTWAIT)
                except zmq.Again:
                    break
                self.heard_ns = time.monotonic_ns()
                pieces += self._take(frames)
            yield from self.hand_on(pieces, first_ns)
            if self.is_over():
                return

    def close(self) -> None:
        if hasattr(self, "_context") and not self._context.closed:
            self._socket.disable_monitor()
            self._context.destroy(0)

    def report(self) -> list[Row]:
        rows = super().report()
        found = ((self._others, "not of this kind"), (self._cut, "that ended within an event"))
        if texts := [f"{n:,} {what}" for n, what in found if n]:
            rows.append(("messages passed over", "; ".join(texts)))
        if self._lost:
            rows.append(("connection lost", f"{self._lost:,} times"))
        return rows

    def _ready(self, seconds: float) -> bool:
        return bool(self._socket.poll(int(1000 * seconds))) or self.is_over()

    def _look_for_losses(self) -> None:
        assert self.clock is not None
        while self._monitor.poll(0):
            self._monitor.recv_multipart()
            self._lost += 1
            self.clock.gap()

    def _take(self, frames: list[bytes]) -> list[Piece]:
        if len(frames) != 2 or frames[0] != b"V":
            self._others += 1
            return []
        self.arrived += 1
        raw = np.frombuffer(frames[1], DVS_EVENT, len(frames[1]) // DVS_EVENT.itemsize)
        self._cut += bool(len(frames[1]) % DVS_EVENT.itemsize)
        return self.place(to_events(raw), time.monotonic_ns())


def to_events(raw: Any) -> np.ndarray:
    """EVENT_DTYPE of samna's records (DVS_EVENT)."""
    events = np.empty(len(raw), EVENT_DTYPE)
    events["t"], events["x"], events["y"], events["p"] = raw["t"], raw["x"], raw["y"], raw["p"] != 0
    return events
