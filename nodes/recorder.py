"""Node `recorder`: write what passes an edge into files, and hand it on unchanged. Without consumers it is a sink.

Events go into a recording (AEDAT 4, or what the suffix says), slices and decisions into lines of JSON (.jsonl). What is
held back is at most flush_us of sensor time; what has been written is the kernel's, so a recorder that is killed leaves
a file that opens and holds all but that. Against a loss of power `sync_s` has the disk confirm too, which may take it a
second; without, the system writes when it likes (mostly within half a minute).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ..pipeline.errors import DvsError, counted
from ..pipeline.events import EventPacket
from ..pipeline.extras import CameraFrame, ImuPacket, TriggerPacket
from ..pipeline.stream import BinnedSlice, Classification, CurrentSlice, LabelSpan, StreamInfo
from .node import Node, Row
from .recorder_file import EventsFile, LinesFile, file_name

LINES = ".jsonl"
_EXTRAS = (CameraFrame, ImuPacket, TriggerPacket)
_MOST_EVENTS = 10_000  # held back; more are written at once
_SHOWN = 3  # files named in the summary


@dataclass(frozen=True)
class RecorderConfig:
    path: Annotated[
        str,
        Field(min_length=1, description="file to write; its suffix says the container; .jsonl: slices or decisions"),
    ]
    container: Annotated[str | None, Field(description="container of a name whose suffix does not say it")] = None
    compression: Annotated[str | None, Field(description="of the container, as none, lz4 or zstd")] = None
    flush_us: Annotated[
        int, Field(ge=0, le=10_000_000, description="events are held back so long at most, sensor time, µs")
    ] = 10_000
    sync_s: Annotated[
        float | None, Field(gt=0, le=3600, description="the disk confirms so often, s; default: when the system likes")
    ] = None
    rotate_us: Annotated[
        int | None, Field(ge=1_000, description="a new file after so long in sensor time, µs; none spans as much")
    ] = None
    rotate_bytes: Annotated[int | None, Field(ge=4_096, description="a new file after so many bytes")] = None
    when_exists: Annotated[
        Literal["number", "refuse", "replace"],
        Field(description="a file of that name is there: take the next free number, refuse to start, or replace it"),
    ] = "number"


class RecorderError(DvsError):
    """What comes cannot be recorded there."""


class Recorder(Node):
    """Anything in, the same out, and into a file."""

    Config, paths, passes = RecorderConfig, ("path",), True
    accepts = emits = (EventPacket, *_EXTRAS, BinnedSlice, CurrentSlice, Classification)

    def check(self) -> list[str]:
        path, problems = Path(self.config.path), []
        if not path.parent.is_dir():
            problems.append(f"path: there is no folder {path.parent} to write {path.name} into; make it first")
        if path.is_dir():
            problems.append(f"path: {path} is a folder; name a file in it, as {path.name}/live.aedat4")
        if path.suffix == ".npz" or self.config.container == "npz":
            problems.append(
                "path: a .npz cannot be read before it is closed, so a killed recorder would leave nothing; record "
                "AEDAT 4 and use `dvs convert-recording`"
            )
        if self.config.when_exists == "refuse" and path.exists():
            problems.append(f"path: {path} is there already; name another, or set when_exists: number")
        return problems

    def open(self) -> None:
        self._file: EventsFile | LinesFile | None = None
        self._stream: StreamInfo | None = None
        self._files: list[Path] = []
        self._written = self._bytes = self._dropped = self._extras = 0
        self._what = "event"
        self._held: list[np.ndarray] = []  # events not yet written
        self._held_count = 0
        self._synced_ns = time.monotonic_ns()

    def begin(self, stream: StreamInfo) -> StreamInfo:
        self._end_file()
        self._stream = stream
        return stream

    def process(self, payload: Any) -> Iterator[Any]:
        if self.message is not None:
            self._dropped = max(self._dropped, self.message.dropped)
        if isinstance(payload, EventPacket):
            self._take(payload)
        elif isinstance(payload, _EXTRAS):
            self._extras += 1
        else:
            self._write_line(payload)
        yield payload

    def finish(self) -> Iterator[Any]:
        self._end_file()
        return iter(())

    def close(self) -> None:
        self._end_file()

    def report(self) -> list[Row]:
        names = ", ".join(str(path) for path in self._files[:_SHOWN]) or "nothing came"
        more = f" and {len(self._files) - _SHOWN} more" if len(self._files) > _SHOWN else ""
        size = f"{counted(self._written, self._what)}, {self._bytes / 1e6:,.1f} MB"
        rows = [("recorded", f"{size} in {counted(len(self._files), 'file')}: {names}{more}")]
        if self._extras:
            rows.append(("passed on", f"{self._extras:,} frames, motion samples and triggers, which are not recorded"))
        if self._dropped:
            rows.append(("missing", f"{self._dropped:,} messages were dropped before the recorder"))
        return rows

    def _take(self, packet: EventPacket) -> None:
        """Hold events back until there are enough, or until their time is up, also in silence."""
        if Path(self.config.path).suffix == LINES:
            raise RecorderError(f"{self.config.path}: events are not written as lines of JSON; end it with .aedat4")
        if len(packet.events):
            if self._held and packet.events["t"][0] < self._held[-1]["t"][-1]:
                self._flush()  # time stepped back, and one write is in order
            self._held.append(packet.events)
            self._held_count += len(packet.events)
        if not self._held:
            return
        waited_us = packet.t_stop_us - int(self._held[0]["t"][0])
        if waited_us >= self.config.flush_us or self._held_count >= _MOST_EVENTS:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        events = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held, self._held_count = [], 0
        while len(events):
            file = self._events_file(int(events["t"][0]))
            count = len(events)
            if self.config.rotate_us is not None:
                count = int(np.searchsorted(events["t"], file.first_us + self.config.rotate_us))
            file.write(events[:count])
            self._written += count
            events = events[count:]
            self._sync(file)

    def _events_file(self, first_us: int) -> EventsFile:
        """The file in which events from this time on go: another when it is full, or when time stepped back."""
        file, config = self._file, self.config
        if isinstance(file, EventsFile):
            is_long = config.rotate_us is not None and first_us - file.first_us >= config.rotate_us
            is_large = config.rotate_bytes is not None and file.size() >= config.rotate_bytes
            if not (is_long or is_large or first_us < file.last_us):
                return file
            self._close_file()
        assert self._stream is not None  # begin comes first
        path = self._next_path()
        file = EventsFile(path, self._stream.sensor, config.compression, config.container, first_us)
        self._file = file
        self._files.append(path)
        return file

    def _write_line(self, payload: BinnedSlice | CurrentSlice | Classification) -> None:
        if Path(self.config.path).suffix != LINES:
            what = type(payload).__name__
            raise RecorderError(
                f"{self.config.path} holds events, and a {what} came; end the path with {LINES}, or listen to a node "
                "that gives events"
            )
        self._what = "line"
        file = self._file
        if not isinstance(file, LinesFile):
            path = self._next_path()
            self._file = file = LinesFile(path, payload.t_start_us)
            self._files.append(path)
        name = self._stream.name if self._stream is not None else ""
        file.write(json.dumps({"recording": name} | as_line(payload), ensure_ascii=False))
        self._written += 1
        if payload.t_stop_us - file.flushed_us >= self.config.flush_us:
            file.flush(payload.t_stop_us)
            self._sync(file)

    def _next_path(self) -> Path:
        return file_name(Path(self.config.path), len(self._files) + 1, self.config.when_exists, self._files)

    def _sync(self, file: EventsFile | LinesFile) -> None:
        now = time.monotonic_ns()
        if self.config.sync_s is not None and now - self._synced_ns >= self.config.sync_s * 1e9:
            file.sync()
            self._synced_ns = now

    def _end_file(self) -> None:
        if getattr(self, "_held", None):
            self._flush()
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = getattr(self, "_file", None), None
        if file is None:
            return
        file.close(self._labels(file) if isinstance(file, EventsFile) else ())
        self._bytes += file.size()

    def _labels(self, file: EventsFile) -> tuple[LabelSpan, ...]:
        """What was shown while this file was written."""
        spans = self._stream.labels if self._stream is not None else ()
        within = [
            LabelSpan(span.label, max(span.t_start_us, file.first_us), min(span.t_stop_us, file.last_us + 1))
            for span in spans
        ]
        return tuple(span for span in within if span.t_start_us < span.t_stop_us)


def as_line(payload: BinnedSlice | CurrentSlice | Classification) -> dict[str, Any]:
    """A slice or a decision as plain values."""
    line = {}
    for name, value in vars(payload).items():
        line[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return line
