"""Node `binner`: cut the stream into time slices and count their events per cell."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from ..pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from ..pipeline.slicer import TimeSlice, TimeSlicer
from ..pipeline.stream import BinnedSlice, StreamInfo
from .node import Node, Row


@dataclass(frozen=True)
class BinnerConfig:
    window_us: Annotated[int, Field(ge=1, le=3_600_000_000, description="length of one time slice, µs")] = 5_000


class Binner(Node):
    """Event packets in, one BinnedSlice per elapsed window out (empty windows too)."""

    Config, accepts, emits = BinnerConfig, EventPacket, BinnedSlice

    def open(self) -> None:
        from ..pipeline.binning import bin_events  # Numba: only where the work is done

        self._bin_events = bin_events
        self._slices = self._empty = self._events = self._gaps = 0
        self._slicer: TimeSlicer | None = None
        events = np.zeros(2, EVENT_DTYPE)
        received = np.frombuffer(events.tobytes(), EVENT_DTYPE)  # read-only, for Numba another type than `events`
        for array in (events, received):
            bin_events(array, SensorSize(1, 1), 0, 1)

    def begin(self, stream: StreamInfo) -> StreamInfo:
        self._slicer = TimeSlicer(self.config.window_us)
        self._sensor = stream.sensor
        return replace(stream, timestep_us=self.config.window_us)

    def process(self, packet: EventPacket) -> Iterator[BinnedSlice]:
        assert self._slicer is not None  # begin comes first
        yield from map(self._bin, self._slicer.push(packet))

    def finish(self) -> Iterator[BinnedSlice]:
        assert self._slicer is not None
        yield from map(self._bin, self._slicer.finish())
        self._gaps += self._slicer.gaps

    def report(self) -> list[Row]:
        gaps = f", {self._gaps} long silences cut short" if self._gaps else ""
        share = f"{self._events / self._slices:,.0f} events a slice" if self._slices else "none"
        return [("slices", f"{self._slices:,}, of which {self._empty:,} empty, {share}{gaps}")]

    def _bin(self, piece: TimeSlice) -> BinnedSlice:
        self._slices += 1
        self._events += len(piece.events)
        self._empty += not len(piece.events)
        return self._bin_events(piece.events, self._sensor, piece.t_start_us, piece.t_stop_us)
