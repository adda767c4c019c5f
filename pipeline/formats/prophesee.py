"""The text before the words of Prophesee's files: which format follows, from which sensor, and where it begins.

Lines begin with `%` and hold a key and a value; `% end` closes them in newer files, nothing does in older ones. Which
format: `% format EVT3;height=480;width=640` (new), `% evt 3.0` (old), two bytes of type and size (DAT), or else what
the words themselves look like. The sensor: the format line, `% geometry 640x480`, `% Width` and `% Height`, or the
name of the camera's driver.
"""

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import EventError, RecordingError
from ..events import SensorSize
from .extent import sensor_of
from .recording import ReadOptions
from .words import WordSource
from .write import RecordingWriter

LONGEST_HEADER = 1 << 20
SAMPLE = 1 << 16  # bytes looked at to tell a format
_FEWEST = 32  # words below which chance makes any file plausible
SENSORS = (  # of Prophesee's cameras, from small to large
    SensorSize(304, 240),
    SensorSize(320, 320),
    SensorSize(480, 360),
    SensorSize(640, 480),
    SensorSize(1280, 720),
)
_DRIVERS = (  # (pattern in the plugin's or the sensor's name, sensor)
    (r"genx320", SensorSize(320, 320)),
    (r"gen4|imx636|imx646", SensorSize(1280, 720)),
    (r"gen3", SensorSize(640, 480)),
)
_NAMES = {"2": "evt2", "2.0": "evt2", "2.1": "evt21", "21": "evt21", "3": "evt3", "3.0": "evt3"}
_LINE = re.compile(rb"% +[!-~][^\x00-\x08\x0a-\x1f]*\r?\n")
_MOST_BETWEEN = 16
_ANY_LINE = re.compile(rb"%[^\x00-\x08\x0a-\x1f]*\r?\n")
_CUT_LINE = re.compile(rb"%|% +([!-~][^\x00-\x08\x0a-\x1f]*\r?)?")
_BASE = "dvs_run_base_us"  # our own key: what to add to all times, a multiple of the period of the file's clock


@dataclass(frozen=True)
class Header:
    """What the lines say."""

    start: int  # first byte after them
    fields: dict[str, str] = field(default_factory=dict)  # by key in lower case
    format: str = ""  # evt2, evt21, evt3, or as the file names one that we do not read; "": not named
    options: dict[str, str] = field(default_factory=dict)  # what follows the format's name
    is_cut: bool = False  # the file ends within a line

    @property
    def base_us(self) -> int:
        """What our own writers say is to be added to all times."""
        stated = self.fields.get(_BASE, "0")
        return int(stated) if stated.isdecimal() and len(stated) < 20 else 0

    @property
    def sensor(self) -> SensorSize | None:
        """The sensor as stated, else as its driver's name tells; None: neither."""
        fields = self.fields
        sizes = [(self.options.get("width", ""), self.options.get("height", ""))]
        sizes.append(tuple(fields.get("geometry", "").lower().partition("x")[::2]))  # type: ignore[arg-type]
        sizes.append((fields.get("width", ""), fields.get("height", "")))
        for width, height in sizes:
            if all(re.fullmatch(r"\d{1,5}", side) and 0 < int(side) <= 8192 for side in (width, height)):
                return SensorSize(int(width), int(height))
        names = " ".join(fields.get(key, "") for key in ("plugin_name", "sensor_name")).lower()
        return next((size for pattern, size in _DRIVERS if re.search(pattern, names)), None)

    @property
    def camera(self) -> str:
        """What is known of the camera, for people."""
        keys = ("camera_integrator_name", "integrator_name", "plugin_name", "sensor_name", "serial_number")
        return ", ".join(dict.fromkeys(self.fields[key][:80] for key in keys if self.fields.get(key)))


def read_header(file: BinaryIO) -> Header:
    """The lines at the beginning of `file`. A line counts only if it is text: the first word may begin with a `%`."""
    fields: dict[str, str] = {}
    start = 0
    while start < LONGEST_HEADER:
        line = file.readline(LONGEST_HEADER - start)
        if not _LINE.fullmatch(line) and not _is_between(file, line):
            if _CUT_LINE.fullmatch(line):
                return Header(start, fields, is_cut=True)
            break
        start += len(line)
        key, _, value = line[1:].decode("utf-8", "replace").strip().partition(" ")
        if key == "end":
            break
        fields.setdefault(key.lower(), value.strip())
    name, *options = fields.get("format", "").split(";")
    version = name.upper().removeprefix("EVT") if name else fields.get("evt", "")
    pairs = dict(option.strip().lower().partition("=")[::2] for option in options)
    return Header(start, fields, _NAMES.get(version, name or (version and f"EVT {version}")), pairs)


def _is_between(file: BinaryIO, line: bytes) -> bool:
    """Whether lines that say nothing (`%`, or what is not ASCII) are of the header: one that says something follows."""
    following = file.tell()
    for _ in range(_MOST_BETWEEN):
        if not _ANY_LINE.fullmatch(line):
            break
        line = file.readline(LONGEST_HEADER)
        if _LINE.fullmatch(line):
            break
    file.seek(following)
    return bool(_LINE.fullmatch(line))


def format_of(path: Path) -> str:
    """evt2, evt21, evt3 or dat; the file's own name for a format that we do not read; "" for no such file at all."""
    with open(path, "rb") as file:
        header = read_header(file)
        if header.format:
            return header.format
        file.seek(header.start)
        kind = file.read(2)
        if header.start and (not kind or (kind[0] in DAT_TYPES and kind[1:] in (b"", b"\x08"))):
            return "dat"
        return look(kind + file.read(SAMPLE - len(kind))) or ("dat" if header.start else "")


def open_header(path: Path, container: str) -> Header:
    """The header of a file that is to be read; RecordingError where it ends too soon or names another format."""
    with open(path, "rb") as file:
        header = read_header(file)
    if header.is_cut:
        raise RecordingError(f"{path}: the file ends within its header", path, header.start)
    if header.format and header.format != container:
        raise RecordingError(f"{path}: its header says that it is {header.format}, not {container}", path, 0)
    return header


DAT_TYPES = {  # the byte before the size of an event
    0x00: "events (2D)",
    0x0C: "events (CD)",
    0x01: "grey levels",
    0x0E: "triggers",
    0x28: "optical flow",
}
_TYPES = {  # the types of words that each format has, as bits
    "evt2": 1 << 0 | 1 << 1 | 1 << 8 | 1 << 10 | 1 << 14 | 1 << 15,
    "evt21": 1 << 0 | 1 << 1 | 1 << 8 | 1 << 10 | 1 << 14 | 1 << 15,
    "evt3": 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 14 | 1 << 15,
}


def look(data: bytes) -> str:
    """Which EVT format words look like: all of known types, with times that go on; "": none."""
    for name, word, bits in (("evt21", "<u8", 28), ("evt2", "<u4", 28), ("evt3", "<u2", 12)):
        words = np.frombuffer(data[: len(data) // int(word[2]) * int(word[2])], word).astype(np.uint64)
        views = (words, words << np.uint64(32) | words >> np.uint64(32)) if name == "evt21" else (words,)
        for view in views:
            if name == "evt21":
                highs = view[(view >> np.uint64(60) == 8) & (view & np.uint64(0xFFFF_FFFF) == 0)]
                view, highs = view >> np.uint64(32), highs >> np.uint64(32)
            else:
                highs = view[view >> np.uint64(bits) == 8]
            kinds = np.bincount((view >> np.uint64(bits)).astype(np.int64), minlength=16)
            known = all(_TYPES[name] >> kind & 1 for kind in np.flatnonzero(kinds).tolist())
            steps = np.diff((highs & np.uint64((1 << bits) - 1)).astype(np.int64)) % (1 << bits)
            if known and len(view) >= _FEWEST and len(highs) >= 3 and steps.any() and (steps < (1 << bits) // 4).all():
                return name
    return ""


def is_swapped(data: bytes, header: Header) -> bool:
    """Whether the halves of EVT 2.1's words are exchanged, as the IMX636 sends them: as stated, else as they look.

    A word of time has nothing in its lower half, so only one of the two orders shows any.
    """
    stated = header.options.get("endianness")
    if stated in ("legacy", "little"):
        return stated == "legacy"
    words = np.frombuffer(data[: len(data) // 8 * 8], "<u8")
    upper, lower = words >> np.uint64(32), words & np.uint64(0xFFFF_FFFF)
    straight = np.count_nonzero((upper >> np.uint64(28) == 8) & (lower == 0))
    return bool(np.count_nonzero((lower >> np.uint64(28) == 8) & (upper == 0)) > straight)


class RawSource(WordSource):
    """A RAW file: what EVT 2.0, 2.1 and 3.0 have in common."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        header = open_header(path, self.container)
        self.start = header.start
        self.details = {"camera": header.camera or "not named"}
        self.prepare(header)
        known = options.sensor or header.sensor
        if known is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = known or sensor_of(self, path, SENSORS[0], SENSORS)

    @abstractmethod
    def prepare(self, header: Header) -> None:
        """Set first_state, and whatever else depends on the header."""


class BasedWriter(RecordingWriter):
    """A header of lines, then words whose clock overflows: what is missing of the first time stands in the header.

    So a recording of any times is read back exactly; other programs see its times modulo the clock's period.
    """

    period_us: int  # of the file's clock
    head_end = b""  # between the lines and the words

    @abstractmethod
    def head_lines(self) -> tuple[str, ...]:
        """The header's lines, without marks."""

    @abstractmethod
    def _words(self, events: np.ndarray) -> np.ndarray:
        """Events as the words of the file, whatever their dtype."""

    def _begin(self) -> None:
        self._head(0)

    def _head(self, base_us: int) -> None:
        lines = (*self.head_lines(), f"{_BASE} {base_us:019d}", "end")
        self._file.write("".join(f"% {line}\n" for line in lines).encode() + self.head_end)

    def _write(self, events: np.ndarray) -> None:
        first = int(events["t"][0])
        if first < 0:
            raise EventError(f"this container counts time from 0 on, not from {first}; subtract the first event's time")
        words = self._words(events)
        if self._last_us is None and first >= self.period_us:
            self._file.seek(0)
            self._head(first // self.period_us * self.period_us)
        self._file.write(words.tobytes())
