"""Copy a recording into another container: as a stream, whole or not at all, and nothing lost without being said.

What the target cannot hold (a sensor that is too large, times that its clock does not count) is refused by its writer;
the way out is named here. Frames, motion samples and triggers stay behind: `defects` of the recording count them.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EventError, RecordingError
from ..stream import LabelSpan
from . import open_writer, writable
from .labels import write_labels
from .recording import Recording


@dataclass(frozen=True)
class Copied:
    """What was written."""

    events: int
    duration_us: int  # from the first to the last event
    bytes: int
    labels: int  # spans in the label file beside it


def copy_recording(
    recording: Recording,
    path: str | Path,
    *,
    container: str | None = None,
    compression: str | None = None,
    from_zero: bool = False,
) -> Copied:
    """Write all events of `recording` (a part of it, as it was opened) to `path`, which appears when it is whole.

    `container`: as open_writer takes it; from_zero: times count from the first event. A damaged recording raises
    RecordingError as its on_error says, and EventError an event that the target cannot hold; then nothing is written.
    """
    path = Path(path)
    if path.exists() and path.samefile(recording.path):
        raise RecordingError(f"{path}: is the recording itself; name another file", path)
    count = 0
    first_us = last_us = None
    with _whole(path) as partial:
        container = writable(path, container).name
        with open_writer(partial, recording.sensor, compression, container=container) as writer:
            for packet in recording:
                if not len(packet.events):  # the silent end of a part
                    continue
                if first_us is None:
                    first_us = int(packet.events["t"][0])
                events = packet.events
                if from_zero:
                    events = events.copy()
                    events["t"] -= first_us
                try:
                    writer.write(events)
                except EventError as error:
                    raise EventError(_way_out(path, error, from_zero)) from None
                count, last_us = count + len(events), int(packet.events["t"][-1])
        if first_us is None or last_us is None:
            raise RecordingError(f"{recording.path}: no event to write between its start and stop", recording.path)
        size = partial.stat().st_size
    spans = _spans(recording.labels, first_us, last_us, first_us if from_zero else 0)
    if spans:
        write_labels(path, spans)
    return Copied(count, last_us - first_us, size, len(spans))


def _way_out(path: Path, error: EventError, from_zero: bool) -> str:
    way = "write AEDAT 4, which holds any" if from_zero else "let times count from the first event (--from-zero)"
    return f"{path}: {error}; or {way}"


def _spans(labels: tuple[LabelSpan, ...], first_us: int, last_us: int, by_us: int) -> tuple[LabelSpan, ...]:
    """The labels of what was written, on its clock."""
    return tuple(
        LabelSpan(span.label, span.t_start_us - by_us, span.t_stop_us - by_us)
        for span in labels
        if span.t_start_us <= last_us and span.t_stop_us > first_us
    )


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside `path` whose file takes its place in the end, or is removed. Errors name `path`."""
    if path.exists() and not path.is_file():
        raise RecordingError(f"{path}: is a folder, a pipe or a device; name a file", path)
    if not path.parent.is_dir():
        raise RecordingError(f"{path}: there is no folder {path.parent} to write it into; make it first", path)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.write{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, RecordingError) and error.path == partial:
            raise RecordingError(str(error).replace(str(partial), str(path)), path) from error.__cause__
        raise
