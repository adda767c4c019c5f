"""Node `file`: every decision as one line of JSON; of a camera also its triggers, motion samples and frames.

The same recording gives the same bytes in every placement and at every pace, unless host times are asked for.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import Field

from ..pipeline.errors import DvsError
from ..pipeline.extras import IMU_DTYPE, TRIGGER_KINDS, CameraFrame, Extra, ImuPacket, TriggerPacket
from ..pipeline.stream import Classification, StreamInfo
from .messages import Payload
from .node import Node, Row


@dataclass(frozen=True)
class FileConfig:
    path: Annotated[str, Field(min_length=1, description="file to write, replaced if it exists; - for standard output")]
    scores: Annotated[bool, Field(description="false: labels only")] = True
    host_times: Annotated[bool, Field(description="true: with origin_ns and sent_ns of the host's clock")] = False


class FileError(DvsError):
    """The file cannot be written."""


class File(Node):
    """Decisions in, or what a camera gives besides events; JSON lines into a file."""

    Config, paths = FileConfig, ("path",)
    accepts = (Classification, CameraFrame, ImuPacket, TriggerPacket)

    def check(self) -> list[str]:
        path = Path(self.config.path)
        if self.config.path == "-" or path.parent.is_dir():
            return []
        return [f"path: there is no folder {path.parent} to write {path.name} into; make it first"]

    def open(self) -> None:
        self._lines = 0
        self._file: TextIO = sys.stdout
        if self.config.path != "-":
            try:
                self._file = _opened(Path(self.config.path))
            except OSError as error:
                nobody = "it is a pipe that nobody reads; start the reader first"
                reason = nobody if error.errno == errno.ENXIO else error.strerror
                raise FileError(f"{self.config.path} cannot be written: {reason}") from None

    def begin(self, stream: StreamInfo) -> StreamInfo:
        self._recording = stream.name
        return stream

    def process(self, payload: Classification | Extra) -> Iterator[Payload]:
        for line in [self._decided(payload)] if isinstance(payload, Classification) else _told(payload):
            if not isinstance(payload, Classification):
                line = {"recording": self._recording} | line
            if self.config.host_times and self.message is not None:
                line |= {"origin_ns": self.message.origin_ns, "sent_ns": self.message.sent_ns}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._lines += 1
        return iter(())

    def _decided(self, decision: Classification) -> dict[str, Any]:
        line: dict[str, Any] = {
            "recording": decision.recording,
            "t_start_us": decision.t_start_us,
            "t_stop_us": decision.t_stop_us,
            "index": decision.index,
            "label": decision.label,
            "synops": decision.synops,
        }
        if self.config.scores:
            line["scores"] = decision.scores.tolist()
        return line

    def finish(self) -> Iterator[Payload]:
        self._file.flush()
        return iter(())

    def close(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None and file is not sys.stdout:
            file.close()

    def report(self) -> list[Row]:
        return [("written", f"{self._lines:,} lines to {self.config.path}")]


def _told(extra: Extra) -> Iterator[dict[str, Any]]:
    """A line for each trigger and sample; of a frame its time and size, not its pixels."""
    if isinstance(extra, CameraFrame):
        yield {"t_us": extra.t_us, "frame": list(extra.pixels.shape), "exposure_us": list(extra.exposure_us)}
    elif isinstance(extra, TriggerPacket):
        for t, kind, channel in extra.triggers.tolist():
            yield {"t_us": t, "trigger": TRIGGER_KINDS[kind], "channel": channel}
    else:
        names = IMU_DTYPE.names or ()
        for t, *values in extra.samples.tolist():
            yield {"t_us": t, "imu": dict(zip(names[1:], values, strict=True))}


def _opened(path: Path) -> TextIO:
    """For writing. A pipe without a reader is an OSError (ENXIO); plain open() would wait for one, perhaps for ever."""
    if not path.is_fifo():
        return path.open("w", encoding="utf-8")
    number = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return os.fdopen(number, "w", encoding="utf-8")
