"""Node `recording`: one recording, or several in a row, replayed at the pace at which they were made, or another.

Decoding is formats/' work. Here packets are cut at whole multiples of packet_us after the first event, so that a time
slice that ends there is complete on time, also in silence.

A loop. Each pass is a stream of its own, which begins with a StreamInfo: the network is at rest, a score counts it.
Times go on where the pass before ended (labels move along), so whoever draws or records a loop sees a clock that never
steps back. Rival: one endless stream; the seam between end and beginning would then be decided on as if it were seen.
"""

import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..pipeline.errors import RecordingError, counted
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.extras import CameraFrame, Extra, ImuPacket, TriggerPacket
from ..pipeline.stream import LabelSpan, StreamInfo
from .node import Row
from .paced import PacedSource
from .packets import Extras, moved

if TYPE_CHECKING:
    from ..pipeline.datasets import Sample
    from ..pipeline.formats import Recording as Opened

PACED_EVENTS = 1 << 10  # of a packet as it is read: to decode many at once would take longer than a deadline is away

ALSO = {"frames": CameraFrame, "imu": ImuPacket, "triggers": TriggerPacket}


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
    layout: Annotated[
        str | None, Field(description="which bits of an address are what (AEDAT 1, 2), or the order of columns (txyp)")
    ] = None
    container: Annotated[str | None, Field(description="name of the container, where the file has no mark")] = None
    stream: Annotated[
        int | str | None,
        Field(description="which of several event streams: its number, topic or group; default: first"),
    ] = None
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None, Field(description="unit of the times of arrays and text")
    ] = None
    also: Annotated[
        list[Literal["frames", "imu", "triggers"]] | None,
        Field(description="what else the camera recorded and is to be sent: frames, imu, triggers; default: nothing"),
    ] = None
    start_us: Annotated[int, Field(ge=0, description="begin so long after the first event")] = 0
    stop_us: Annotated[int | None, Field(ge=1, description="stop so long after the first event")] = None
    labels: Annotated[
        Literal["beside", "folder", "none"],
        Field(
            description="beside: NAME_labels.csv, or those of the data set; folder: the name of the recording's folder"
        ),
    ] = "beside"
    loop: Annotated[
        bool | Annotated[int, Field(ge=1, le=1_000_000)],
        Field(description="true: begin again at the end, until stopped; a number: play so often. Times go on"),
    ] = False
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
        told = [
            key for key in ("sensor", "layout", "container", "stream", "time_unit") if getattr(self, key) is not None
        ]
        if self.dataset is not None and (told or not isinstance(self.path, str)):
            what = " and ".join(told) or "a list of paths"
            raise RecordingError(f"{what} does not go with dataset, which is one folder and knows its recordings")
        if self.stop_us is not None and self.stop_us <= self.start_us:
            raise RecordingError(f"stop_us is {self.stop_us}, want more than start_us ({self.start_us})")


class Recording(PacedSource):
    """Recordings in, a StreamInfo and event packets for each out."""

    Config, paths = RecordingConfig, ("path",)
    emits = (EventPacket, CameraFrame, ImuPacket, TriggerPacket)

    @classmethod
    def emits_with(cls, config: RecordingConfig) -> tuple[type, ...]:
        return (EventPacket, *(ALSO[kind] for kind in config.also or ()))

    def check(self) -> list[str]:
        try:
            self._found()
        except RecordingError as error:
            return [f"path: {error}"]
        return []

    def open(self) -> None:
        from ..pipeline.formats import open_recording

        self.start()
        self._recordings = self._faults = self._silent = 0
        self._begins: dict[str, int] = {}  # by path: time of its first event, once known
        self._defects: dict[str, int] = {}
        self._open_recording = open_recording
        self._list = self._found()

    def produce(self) -> Iterator[StreamInfo | EventPacket | Extra]:
        passes = itertools.count() if self.config.loop is True else range(int(self.config.loop) or 1)
        for number in passes:
            for item in self._list:
                yield from self._replay(item, again=number > 0)

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
            matches = [path]
            if glob.has_magic(path) and not os.path.exists(path):
                matches = sorted(match for match in glob.glob(path) if not match.endswith(".index"))
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

    def _replay(self, item: "Path | Sample", again: bool) -> Iterator[StreamInfo | EventPacket | Extra]:
        key = str(item if isinstance(item, Path) else item.path)
        by_us = self._reached_us - self._begins[key] if again and key in self._begins else 0
        with self._opened(item) as recording:
            self._recordings += 1
            spans = [
                LabelSpan(span.label, span.t_start_us + by_us, span.t_stop_us + by_us)
                for span in self._labels(recording)
            ]
            yield StreamInfo(item.name, recording.sensor, labels=tuple(spans))
            try:
                packets = iter(recording)
                first = next((packet for packet in packets if len(packet.events)), None)
                if first is None:
                    self._silent += 1
                    return
                self._begins[key] = int(first.events["t"][0])
                whole = itertools.chain((first,), packets)
                kinds = tuple(ALSO[kind] for kind in self.config.also or ())
                extras = Extras(recording.extras() if kinds else iter(()), kinds, by_us)
                yield from self.paced(moved(whole, by_us) if by_us else whole, self._begins[key] + by_us, extras)
            finally:
                for name, count in recording.defects.items():
                    self._defects[name] = self._defects.get(name, 0) + count

    def _opened(self, item: "Path | Sample") -> "Opened":
        config = self.config
        sensor = SensorSize(*config.sensor) if config.sensor else None
        options = {
            "packet_us": config.packet_us if self._pace.speed is None else None,
            "on_error": config.on_error,
            "start_us": config.start_us,
            "stop_us": config.stop_us,
        }
        if self._pace.speed is not None:
            options["packet_events"] = PACED_EVENTS
        if isinstance(item, Path):
            how = {"layout": config.layout, "container": config.container, "time_unit": config.time_unit}
            return self._open_recording(item, sensor=sensor, stream_id=config.stream, **how, **options)
        return item.open(**options)

    def _labels(self, recording: "Opened") -> tuple[LabelSpan, ...]:
        if self.config.labels == "folder":
            return (LabelSpan(recording.path.resolve().parent.name, -(2**62), 2**62),)
        return recording.labels if self.config.labels == "beside" else ()
