"""Node `recording`: one recording, or several in a row, replayed at the pace at which they were made, or another.

Decoding is formats/' work. Here packets are cut at whole multiples of packet_us after the first event, so that a time
slice that ends there is complete on time, also in silence.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ..pipeline.errors import RecordingError, counted
from ..pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from ..pipeline.stream import LabelSpan, StreamInfo
from .node import Row, Source
from .pace import Pace

if TYPE_CHECKING:
    from ..pipeline.datasets import Sample
    from ..pipeline.formats import Recording as Opened

DEFAULT_PACKET_US = 1_000
_EMPTY = np.empty(0, EVENT_DTYPE)


@dataclass(frozen=True)
class RecordingConfig:
    path: Annotated[
        str | list[str],
        Field(
            min_length=1,
            description="a recording, a pattern (*.aedat4, in order of name), or a list; of a data set its folder",
        ),
    ]
    dataset: Annotated[
        str | None, Field(description="name of a published data set, as nmnist or dvs-gesture; `path` is its folder")
    ] = None
    part: Annotated[str | None, Field(description="part of the data set, as train or test; default its first")] = None
    pace: Annotated[
        Literal["realtime", "fastest"] | Annotated[float, Field(gt=0, le=1000)],
        Field(description="realtime, fastest, or a factor: 2.0 is twice as fast as realtime"),
    ] = "realtime"
    packet_us: Annotated[
        int | None,
        Field(
            ge=1, le=1_000_000, description="sensor time of a packet, µs; default 1000, at pace fastest as in the file"
        ),
    ] = None
    sensor: Annotated[
        list[int] | None,
        Field(
            min_length=2, max_length=2, description="[width, height], where the file does not say or says it wrongly"
        ),
    ] = None
    layout: Annotated[str | None, Field(description="which bits of an address are what, for AEDAT 1 and 2")] = None
    start_us: Annotated[int, Field(ge=0, description="begin so long after the first event")] = 0
    stop_us: Annotated[int | None, Field(ge=1, description="stop so long after the first event")] = None
    labels: Annotated[
        Literal["beside", "folder", "none"],
        Field(
            description="beside: NAME_labels.csv, or those of the data set; folder: the name of the recording's folder"
        ),
    ] = "beside"
    loop: Annotated[bool, Field(description="true: begin again at the end, until stopped")] = False
    on_error: Annotated[
        Literal["raise", "stop", "skip"],
        Field(description="a damaged file: raise ends the run after its good part, stop goes on with the next file, "
              "skip reads on where the container permits"),
    ] = "raise"  # fmt: skip

    def __post_init__(self) -> None:
        if self.sensor is not None:
            SensorSize(*self.sensor)  # refuses sides that no camera has
        if self.dataset is None and self.part is not None:
            raise RecordingError(f"part is {self.part!r}, but only a dataset has parts; name it with `dataset`")
        told = [key for key in ("sensor", "layout") if getattr(self, key) is not None]
        if self.dataset is not None and (told or not isinstance(self.path, str)):
            what = " and ".join(told) or "a list of paths"
            raise RecordingError(f"{what} does not go with dataset, which is one folder and knows its recordings")
        if self.stop_us is not None and self.stop_us <= self.start_us:
            raise RecordingError(f"stop_us is {self.stop_us}, want more than start_us ({self.start_us})")


class Recording(Source):
    """Recordings in, a StreamInfo and event packets for each out."""

    Config, emits, paths = RecordingConfig, EventPacket, ("path",)

    def check(self) -> list[str]:
        try:
            self._found()
        except RecordingError as error:
            return [f"path: {error}"]
        return []

    def open(self) -> None:
        from ..pipeline.formats import open_recording

        self._pace = Pace(self.config.pace)
        self._packet_us = self.config.packet_us or DEFAULT_PACKET_US  # when paced
        self._recordings = self._events = self._faults = self._silent = 0
        self._span_us = 0
        self._defects: dict[str, int] = {}
        self._open_recording = open_recording
        self._list = self._found()

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        while True:
            for item in self._list:
                yield from self._replay(item)
            if not self.config.loop:
                return

    def report(self) -> list[Row]:
        packets = f"; packets of {self._packet_us / 1000:g} ms" if self._pace.speed is not None else ""
        rows = [
            ("recordings", f"{self._recordings:,}, {counted(self._events, 'event')} in {self._span_us / 1e6:,.3f} s"),
            ("pace", f"{self._pace}{packets}"),
        ]
        if self._silent and (self.config.start_us or self.config.stop_us):
            rows.append(("silent", f"{self._silent:,} without an event between start_us and stop_us"))
        if self._defects:
            rows.append(("defects", ", ".join(f"{name} {count:,}" for name, count in self._defects.items())))
        return rows

    def _found(self) -> "Sequence[Path | Sample]":
        if self.config.dataset is None:
            return self._files()
        from ..pipeline.datasets import open_dataset

        assert isinstance(self.config.path, str)
        return open_dataset(self.config.dataset, self.config.path, self.config.part).samples

    def _files(self) -> list[Path]:
        """The recordings in order. Raises RecordingError for a name or a pattern that stands for none."""
        paths = [self.config.path] if isinstance(self.config.path, str) else self.config.path
        found: list[Path] = []
        for path in paths:
            matches = sorted(glob.glob(path)) if glob.has_magic(path) and not os.path.exists(path) else [path]
            files = [Path(match) for match in matches if not match.endswith("_labels.csv")]
            if matches and not files:
                raise RecordingError(f"{path} holds labels; name the recording that lies beside it", path)
            if not files:
                raise RecordingError(
                    f"no file matches {path}; correct the pattern (it begins at the config file)", path
                )
            missing = next((file for file in files if not os.path.exists(file)), None)
            if missing is not None:
                raise RecordingError(
                    f"there is no recording {missing}; a relative path begins at the config file", missing
                )
            folder = next((file for file in files if os.path.isdir(file)), None)
            if folder is not None:
                text = f"{folder} is a folder; give a pattern, as in {folder.name}/*.aedat4"
                raise RecordingError(text, folder)
            found += files
        return found

    def _replay(self, item: "Path | Sample") -> Iterator[StreamInfo | EventPacket]:
        config = self.config
        sensor = SensorSize(*config.sensor) if config.sensor else None
        options = {"packet_us": config.packet_us} if self._pace.speed is None and config.packet_us else {}
        opened = (
            self._open_recording(item, sensor=sensor, layout=config.layout, on_error=config.on_error, **options)
            if isinstance(item, Path)
            else item.open(on_error=config.on_error, **options)
        )
        with opened as recording:
            self._recordings += 1
            yield StreamInfo(item.name, recording.sensor, labels=self._labels(recording))
            try:
                packets = _within(iter(recording), config.start_us, config.stop_us)
                for packet in self._paced(packets):
                    self._events += len(packet.events)
                    yield packet
            finally:
                for name, count in recording.defects.items():
                    self._defects[name] = self._defects.get(name, 0) + count

    def _paced(self, packets: Iterator[EventPacket]) -> Iterator[EventPacket]:
        first = next((packet for packet in packets if len(packet.events)), None)
        if first is None:
            self._silent += 1
            return
        begin_us = int(first.events["t"][0])
        self._pace.begin(begin_us)
        rest = _chain(first, packets)
        if self._pace.speed is not None:
            rest = _cut(rest, begin_us, self._packet_us)
        stop_us = begin_us
        try:
            for packet in rest:
                stop_us = packet.t_stop_us
                self.origin_ns = self._pace.wait(stop_us, self.wait_until)
                yield packet
        finally:
            self.origin_ns = None
            self._span_us += stop_us - begin_us

    def _labels(self, recording: "Opened") -> tuple[LabelSpan, ...]:
        if self.config.labels == "folder":
            return (LabelSpan(recording.path.resolve().parent.name, -(2**62), 2**62),)
        return recording.labels if self.config.labels == "beside" else ()


def _chain(first: EventPacket, rest: Iterator[EventPacket]) -> Iterator[EventPacket]:
    yield first
    yield from rest


def _within(packets: Iterator[EventPacket], start_us: int, stop_us: int | None) -> Iterator[EventPacket]:
    """The part of a recording from start_us to stop_us after its first event."""
    if not start_us and stop_us is None:
        yield from packets
        return
    begin_us = None
    for packet in packets:
        if begin_us is None and len(packet.events):
            begin_us = int(packet.events["t"][0])
        if begin_us is None:
            continue
        times = packet.events["t"]
        begin = int(np.searchsorted(times, begin_us + start_us))
        end = len(times) if stop_us is None else int(np.searchsorted(times, begin_us + stop_us))
        over = stop_us is not None and (end < len(times) or packet.t_stop_us >= begin_us + stop_us)
        t_stop_us = begin_us + stop_us if over and stop_us is not None else packet.t_stop_us
        if begin < end or t_stop_us > begin_us + start_us:
            yield EventPacket(packet.events[begin:end], t_stop_us)
        if over:
            return


def _cut(packets: Iterator[EventPacket], begin_us: int, packet_us: int) -> Iterator[EventPacket]:
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
