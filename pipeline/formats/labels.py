"""What is shown when in a recording: the label file beside it, as in the DVS128 Gesture set.

NAME_labels.csv beside NAME.aedat (or any other container), with the header `class,startTime_usec,endTime_usec`. A class
is a number 1 to 11 of that set, or a name. Times are those of the events.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from ..errors import RecordingError
from ..stream import LabelSpan

GESTURES = (  # the classes of the DVS128 Gesture set, in the order of their numbers 1 to 11
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other",
)
HEADER = ["class", "startTime_usec", "endTime_usec"]
_MAX_BYTES = 16 << 20  # a label file beyond this is none


def labels_path(recording: str | Path) -> Path:
    """Where the labels of a recording are: NAME_labels.csv beside it."""
    recording = Path(recording)
    return recording.with_name(f"{recording.stem}_labels.csv")


def read_labels(recording: str | Path) -> tuple[LabelSpan, ...]:
    """The labels beside a recording, by time; none if there is no such file. RecordingError if it is broken."""
    path = labels_path(recording)
    if not path.is_file():
        return ()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RecordingError(f"{path}: a label file of {path.stat().st_size} bytes; want a few lines", path)
        rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path}: the labels cannot be read: {error}", path) from error
    if not rows or [cell.strip() for cell in rows[0]] != HEADER:
        raise RecordingError(
            f"{path}: the first line is {','.join(rows[0][:5]) if rows else ''!r}, want {','.join(HEADER)}", path
        )
    spans = [_span(path, number, row) for number, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]
    return tuple(sorted(spans, key=lambda span: (span.t_start_us, span.t_stop_us)))


def write_labels(recording: str | Path, spans: Iterable[LabelSpan], numbers: bool = False) -> Path:
    """Write the label file of a recording and say where it is; `numbers` as in the DVS128 Gesture set, else names."""
    path = labels_path(recording)
    lines = [",".join(HEADER)]
    for span in spans:
        name = span.label
        if numbers:
            if name not in GESTURES:
                raise RecordingError(
                    f"label {name!r} has no number; the DVS128 Gesture set has {', '.join(GESTURES)}", path
                )
            name = str(GESTURES.index(name) + 1)
        elif not name.strip() or any(mark in name for mark in ',"\r\n'):
            raise RecordingError(
                f"label {name!r} cannot be written; want a name without commas, quotes or line ends", path
            )
        lines.append(f"{name},{span.t_start_us},{span.t_stop_us}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _span(path: Path, number: int, row: list[str]) -> LabelSpan:
    try:
        name, start, stop = (cell.strip() for cell in row)
        t_start_us, t_stop_us = int(start), int(stop)
    except ValueError:
        raise RecordingError(
            f"{path}: line {number} is {','.join(row)!r}, want a class and two times in µs", path
        ) from None
    if name.isdecimal():
        if not 1 <= int(name) <= len(GESTURES):
            raise RecordingError(f"{path}: line {number} has class {name}, want 1 to {len(GESTURES)} or a name", path)
        name = GESTURES[int(name) - 1]
    if not name or t_stop_us < t_start_us:
        raise RecordingError(
            f"{path}: line {number} is {','.join(row)!r}, want a class, its start and a later end", path
        )
    return LabelSpan(name, t_start_us, t_stop_us)
