"""Node `dv_network`: events of iniVation's DV, or of dv-processing's NetworkWriter, over TCP.

DV listens, we connect; a connection that is lost is made again, after 0.1 s, then twice as long each time up to 5 s,
and the gap is marked. What comes is AEDAT 4 (formats/aedat4_stream.py): the header says the sensor, so nothing is
known, and no StreamInfo is sent, before the first connection. TLS is not spoken; a tunnel (ssh -L) does that.
"""

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..pipeline.errors import RecordingError
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.formats.aedat4_stream import Aedat4Stream
from ..pipeline.stream import StreamInfo
from .live import EndAfter, LiveSource, Patience
from .node import Row
from .udp_in import HostPort

_CONNECT_S = 1.0  # longest time that one attempt may take
_AT_ONCE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class DvNetworkConfig:
    address: Annotated[HostPort, Field(description="HOST:PORT at which DV listens")] = "127.0.0.1:7777"
    end_after_s: EndAfter = None


class DvNetwork(LiveSource):
    """AEDAT 4 packets in, event packets out."""

    Config, what = DvNetworkConfig, "packets"

    def open(self) -> None:
        self._connections = self._others = self._unreadable = self._refused = 0
        self._first_fault = ""
        self._patience = Patience()
        self._stopped = False
        self._told: SensorSize | None = None  # the sensor of the latest StreamInfo
        self.begin_live(f"dv {self.config.address}", SensorSize(1, 1))  # compiles; the sensor is told by DV

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        self.heard_ns = time.monotonic_ns()
        while not self._stopped and not self.is_over():
            connection = self._connect()
            if connection is not None:
                with connection:
                    yield from self._read(connection)
                if self.clock is not None:
                    self.clock.gap()
            if not self._stopped and not self.wait_until(self._patience.next_ns()):
                return

    def report(self) -> list[Row]:
        rows = super().report()
        if self._connections != 1:
            rows.append(
                ("connections", f"{self._connections:,}" if self._connections else "none: nobody listens there")
            )
        if self._unreadable:
            rows.append(("packets refused", f"{self._unreadable:,} could not be decoded"))
        if self._others:
            rows.append(("other packets", f"{self._others:,} of frames, motion sensor or triggers"))
        if self._refused:
            rows.append(("connections refused", f"{self._refused:,}; the first: {self._first_fault}"))
        return rows

    def _connect(self) -> socket.socket | None:
        host, _, port = self.config.address.rpartition(":")
        with contextlib.suppress(OSError, UnicodeError, OverflowError):
            made = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S)
            made.setblocking(False)
            self._connections += 1
            return made
        return None

    def _read(self, connection: socket.socket) -> Iterator[StreamInfo | EventPacket]:
        """Until the connection is lost, or what comes is no AEDAT 4, or the run stops."""
        stream = Aedat4Stream(self.info.name)
        try:
            while True:
                if not self.wait_for(lambda seconds: self._ready(connection, seconds)):
                    self._stopped = True
                    return
                if self.is_over() or not (data := connection.recv(_AT_ONCE)):
                    return
                for events in stream.feed(data):
                    yield from self._tell(stream.sensor)
                    self.arrived += 1
                    self.heard_ns = time.monotonic_ns()
                    self._patience.succeeded()
                    yield from self.hand_on(self.place(events, self.heard_ns), self.heard_ns)
        except OSError:
            return
        except RecordingError as error:
            self._refused += 1
            self._first_fault = self._first_fault or str(error)
        finally:
            self._others += stream.others
            self._unreadable += stream.unreadable
            stream.close()

    def _tell(self, sensor: SensorSize | None) -> Iterator[StreamInfo]:
        """The stream, the first time and when the camera is another one."""
        if sensor is not None and self.clock is not None and sensor != self._told:
            self._told = self.clock.sensor = sensor
            self.info = StreamInfo(self.info.name, sensor)
            yield self.info

    def _ready(self, connection: socket.socket, seconds: float) -> bool:
        return bool(select.select([connection], [], [], seconds)[0]) or self.is_over()
