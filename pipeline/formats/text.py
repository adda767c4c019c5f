"""Text: one event a line, in columns; `events.txt` of the Event Camera Dataset ("t x y p", seconds), CSV of others.

What the columns are, text_head.py finds out; the numbers, text_lines.py. Numbers are decimal and are read as such: a
time in seconds with nine decimals is right to the last microsecond, however long ago 1970 was. Files packed with gzip
are unpacked on the way; then the bytes at which faults are said to be are those of the text.

A file may end without the end of its last line, or within it. A column that ends the line with more than one digit may
then be cut, and is delivered only if it is a time as long as the one before, and not earlier.
"""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from ..errors import RecordingError
from ..events import EVENT_DTYPE
from .columns import UNITS_US
from .extent import sensor_of
from .source import Batch, Place, Reading, ReadOptions, Source
from .text_head import fields_of, read_head, shift_of
from .text_lines import LEFT_OUT, LONGEST, SHORTEST, read_lines, write_lines
from .write import RecordingWriter

BLOCK = 1 << 17  # bytes read at once
LONGEST_LINE = 1 << 14
_HEAD = 1 << 16  # bytes looked at to tell what the columns are
_GZIP = b"\x1f\x8b"
_KINDS = {"t": 0, "x": 1, "y": 2, "p": 3, "-": LEFT_OUT}


class TextFile(Source):
    """One text file of events."""

    container = "csv"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        with open(path, "rb") as file:
            self.codec = "gzip" if file.read(2) == _GZIP else "none"
        if options.time_unit is not None and options.time_unit not in UNITS_US:
            known = ", ".join(UNITS_US)
            raise RecordingError(f"{path}: the time unit is {options.time_unit!r}, want one of {known}", path)
        try:
            with self._open() as file:
                self._head = read_head(_first(file), options.layout, options.time_unit)
        except ValueError as error:
            raise RecordingError(f"{path}: {error}", path, 0) from None
        order = self._head.order
        self._columns = np.array([_KINDS[letter] for letter in order])
        self._places = np.array([order.index(letter) for letter in "txyp"] if len(order) == 4 else [], np.int64)
        self._shift = shift_of(self._head.unit)
        self.details = dict(self._head.how)
        stated = options.sensor or self._head.sensor
        if stated is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = stated or sensor_of(self, path)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        return len(place.state) == 1 and place.byte_offset >= self._head.start and self.codec == "none"

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """A place is where a line begins, and how many there are before it."""
        position, line = (place.byte_offset, place.state[0]) if place else (self._head.start, self._head.lines)
        left, block, fault = b"", b"\n", ""  # `left`: the line that the block before cut
        with self._open() as file:
            file.seek(position)
            while block:
                block, fault = _more(file)
                data = left + block
                used, whole = 0, data.rfind(b"\n") + 1
                while used < whole:
                    text = np.frombuffer(data, np.uint8, whole - used, used)
                    events = np.empty(len(text) // SHORTEST + 1, EVENT_DTYPE)
                    took, kept, lines = read_lines(text, self._columns, self._places, self._shift, events)
                    begin, used, line = position + used, used + took, line + lines
                    if kept:
                        following = Place(position + used, (line,))
                        yield Batch(events[:kept], begin), following if self.codec == "none" else None
                    if used < whole:  # a line that is no event
                        line += 1
                        end = data.index(b"\n", used) + 1
                        self._refuse(data[used:end], line, position + used, reading)
                        used = end
                position, left = position + whole, data[whole:]
                if len(left) > LONGEST_LINE:
                    reading.report(f"a line of more than {LONGEST_LINE:,} bytes; want one event a line", position)
            if left and not fault:
                yield from ((batch, None) for batch in self._last(file, left, position, line + 1, reading))
        if fault or (position == self._head.start and not left):
            reading.report(fault or "the file ends after its header, without events", position)

    def _refuse(self, text: bytes, line: int, position: int, reading: Reading) -> None:
        shown = text.decode("utf-8", "replace").strip()[:60]
        want = f"numbers {' '.join(self._head.order)}, x and y from 0 on, p of 0 or 1 (or -1 and 1)"
        reading.report(f"line {line} is {shown!r}, want {want}", position, last=False)

    def _last(self, file: BufferedIOBase, left: bytes, position: int, line: int, reading: Reading) -> Iterator[Batch]:
        """The event of a last line that has no end, unless it may be cut."""
        event, last = self._event(left), self._head.order[-1]
        if event is not None and last == "t":
            file.seek(max(self._head.start, position - LONGEST_LINE))
            before = file.read(position - file.tell()).splitlines()[-1:]
            earlier = self._event(before[0]) if before else None
            lengths = {len(fields_of(text.decode("utf-8", "replace"))[-1]) for text in (left, *before)}
            if earlier is None or len(lengths) > 1 or event["t"][0] < earlier["t"][0]:
                event = None
        if event is None or last in "xy":
            reading.report(f"the file ends within line {line}", position)
        else:
            yield Batch(event, position)

    def _event(self, line: bytes) -> np.ndarray | None:
        """The event of one line without its end; None: it is none."""
        event = np.empty(1, EVENT_DTYPE)
        text = np.frombuffer(line.rstrip(b"\r") + b"\n", np.uint8)
        kept = read_lines(text, self._columns, self._places, self._shift, event)[1]
        return event if kept else None

    def _open(self) -> BufferedIOBase:
        """The text, unpacked; the caller closes it."""
        return gzip.open(self._path) if self.codec == "gzip" else self._path.open("rb")


def _first(file: BufferedIOBase) -> bytes:
    """The beginning of the text, of a file that is cut or damaged what there is of it."""
    data = b""
    while len(data) < _HEAD and (more := _more(file)[0]):
        data += more
    return data


def _more(file: BufferedIOBase) -> tuple[bytes, str]:
    """The next block, empty at the end, and what ends the file before its end ("": nothing does)."""
    try:
        return file.read1(BLOCK), ""
    except EOFError:
        return b"", "the file ends within its packed data"
    except (zlib.error, gzip.BadGzipFile) as error:
        return b"", f"the packed data is damaged ({error})"


class TextWriter(RecordingWriter):
    """Lines `t,x,y,p` with t in µs and p of 0 or 1, after one line of names and of a comment that says the sensor."""

    def _begin(self) -> None:
        self._file.write(f"t,x,y,p # sensor {self.sensor}, t in us\n".encode())

    def _write(self, events: np.ndarray) -> None:
        for start in range(0, len(events), 1 << 14):
            piece = events[start : start + (1 << 14)]
            text = np.empty(LONGEST * len(piece), np.uint8)
            self._file.write(text[: write_lines(piece, text)].tobytes())


def open_text(path: Path, options: ReadOptions) -> Source:
    return TextFile(path, options)
