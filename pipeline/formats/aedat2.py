"""AEDAT 2.0 and 1.0, as jAER writes: big-endian words of address and time, after lines that begin with `#`.

Nothing in an event says which bits of its address are what: that is the camera's, and the header's `AEChip` line
names it. Without that line the addresses themselves must tell (layout_of), or the caller. Words that are no events
(frames, motion sensor, triggers) are left out and counted. Times are 32-bit µs and are unwrapped.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import EventError, RecordingError
from ..events import EVENT_DTYPE, SensorSize
from ..extras import Extra
from ..kernel_cache import kernel
from . import guard
from .aedat2_extras import MotionSensor, inputs_of, scales
from .source import Batch, Place, Reading, ReadOptions, Source
from .write import RecordingWriter

_WORDS = {
    "aedat1": np.dtype([("address", ">u2"), ("time", ">u4")]),
    "aedat2": np.dtype([("address", ">u4"), ("time", ">u4")]),
}
_LONGEST_LINE = 1 << 20
_SAMPLE = 1 << 16  # words looked at to tell the layout


@dataclass(frozen=True)
class Layout:
    """Which bits of an address are what. All count x and y from the lower corner on the right, hence the sizes."""

    width: int
    height: int
    x_shift: int
    x_mask: int
    y_shift: int
    y_mask: int
    p_shift: int
    on_bit: int  # value of the polarity bit of a brighter pixel
    frame_bits: int  # any of these set: a sample of a frame or of the motion sensor
    special_bits: int  # any of these set: a trigger or external input
    zero_bits: int  # any of these set: no word of this camera

    def numbers(self) -> np.ndarray:
        return np.array(astuple(self), np.int64)

    @property
    def sensor(self) -> SensorSize:
        return SensorSize(self.width, self.height)

    def addresses(self, events: np.ndarray) -> np.ndarray:
        """The address of each event, uint32."""
        x = self.width - 1 - events["x"].astype(np.uint32)
        y = self.height - 1 - events["y"].astype(np.uint32)
        bit = events["p"] == bool(self.on_bit)
        return x << self.x_shift | y << self.y_shift | bit.astype(np.uint32) << self.p_shift


def _davis(width: int, height: int) -> Layout:
    return Layout(width, height, 12, 0x3FF, 22, 0x1FF, 11, 1, 1 << 31, 1 << 10, 0)


LAYOUTS = {  # after jAER's DVS128, DavisChip and DVS640
    "dvs128": Layout(128, 128, 1, 0x7F, 8, 0x7F, 0, 0, 0, 1 << 15, 0xFFFF_0000),
    "dvs128-turned": Layout(128, 128, 8, 0x7F, 1, 0x7F, 0, 0, 0, 1 << 15, 0xFFFF_0000),  # as it lay for CIFAR10-DVS
    "davis240": _davis(240, 180),
    "davis346": _davis(346, 260),
    "davis640": _davis(640, 480),
    "dvs640": Layout(640, 480, 1, 0x3FF, 11, 0x3FF, 0, 1, 0, 0, 0xFFE0_0000),
}
_CHIPS = (  # (part of the class that the AEChip line names, in lower case; layout)
    ("dvs128", "dvs128"),
    ("tmpdiff128", "dvs128"),
    ("davis240", "davis240"),
    ("sbret10", "davis240"),
    ("davis346", "davis346"),
    ("davis640", "davis640"),
    ("davisrgb640", "davis640"),
    ("dvs640", "dvs640"),
)


class Aedat2(Source):
    """One AEDAT 2.0 or 1.0 file."""

    clock_period_us = 1 << 32

    def __init__(self, path: Path, options: ReadOptions, container: str) -> None:
        self._path, self.container = path, container
        self._word = _WORDS[container]
        with open(path, "rb") as file:
            self._start, chip = read_header(file)
            sample = np.frombuffer(_whole(file.read(_SAMPLE * self._word.itemsize), self._word), self._word)
        if options.layout is None:
            name = layout_of(path, chip, sample["address"]) or self._davis_of_extent()
        else:
            name = options.layout
        if name not in LAYOUTS:
            raise RecordingError(f"{path}: layout {name!r} is unknown; known are {', '.join(LAYOUTS)}", path)
        self.layout = LAYOUTS[name]
        self.sensor = options.sensor or self.layout.sensor
        how = "as told" if options.layout else "from AEChip" if chip else "from the addresses"
        self.details = {"layout": f"{name}, {how}", **({"camera": chip} if chip else {})}

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        at = place.byte_offset - self._start
        return not place.state and at >= 0 and at % self._word.itemsize == 0

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        numbers = self.layout.numbers()
        start = place.byte_offset if place else self._start
        for words, byte_offset, odd in self._blocks(reading.options.packet_events, start):
            events = np.empty(len(words), EVENT_DTYPE)
            skipped = np.zeros(2, np.int64)
            addresses, times = words["address"].astype(np.uint32), words["time"].astype(np.uint32)
            kept = decode(addresses, times, numbers, events, skipped)
            reading.defects["frame_words"] += int(skipped[0])
            reading.defects["special_words"] += int(skipped[1])
            following = byte_offset + words.nbytes
            if kept:
                yield Batch(events[:kept], byte_offset), Place(following)
            if odd:
                reading.report(f"the file ends within an event ({odd} of {self._word.itemsize} bytes)", following)
            if following == self._start:
                reading.report("the file ends after its header, without events", byte_offset)

    def extras(self, reading: Reading) -> Iterator[Extra]:
        """A word's time is what the clock of the events makes of it, so that an overflow is undone for all alike."""
        layout, clock, motion = self.layout, guard.new_state(), None
        if layout.frame_bits:  # a DAVIS
            with open(self._path, "rb") as file:
                motion = MotionSensor(*scales(file.read(self._start)))
        for words, _, _ in self._blocks(1 << 16, self._start):
            dated = np.zeros(len(words), EVENT_DTYPE)
            dated["t"] = words["time"]
            guard.guard(dated, 1, 1, self.clock_period_us, True, clock)
            addresses = words["address"].astype(np.int64)
            found = [
                None if motion is None else motion.push(addresses, dated["t"]),
                inputs_of(addresses, dated["t"], layout.special_bits, layout.frame_bits),
            ]
            yield from (extra for extra in found if extra is not None)

    def _blocks(self, count: int, start: int) -> Iterator[tuple[np.ndarray, int, int]]:
        """Words from `start` on, where they begin, how many bytes are left over; if there are none, one empty block."""
        size = self._word.itemsize
        with open(self._path, "rb") as file:
            file.seek(start)
            byte_offset = start
            while (data := file.read(count * size)) or byte_offset == start:
                yield np.frombuffer(_whole(data, self._word), self._word), byte_offset, len(data) % size
                if not data:
                    return
                byte_offset += len(data)

    def _davis_of_extent(self) -> str:
        """The smallest DAVIS that has all the addresses of the file."""
        width = height = 0
        for words, _, _ in self._blocks(_SAMPLE, self._start):
            address = words["address"].astype(np.uint32)
            address = address[(address & (1 << 31 | 1 << 10)) == 0]
            x, y = address >> 12 & 0x3FF, address >> 22 & 0x1FF
            width, height = max(width, int(x.max(initial=0)) + 1), max(height, int(y.max(initial=0)) + 1)
        for name in ("davis240", "davis346", "davis640"):
            if width <= LAYOUTS[name].width and height <= LAYOUTS[name].height:
                return name
        raise RecordingError(
            f"{self._path}: no AEChip line, and addresses that fit none of the layouts {', '.join(LAYOUTS)}; "
            "if it is one of them, say which with `layout`",
            self._path,
            self._start,
        )


@kernel
def decode(addresses, times, layout, events, skipped):
    """x = width-1 - (a >> x_shift & x_mask), y likewise, p = (a >> p_shift & 1) == on_bit; 65535 where there is none.

    `layout` is Layout.numbers(). Counts words of frames and special words in `skipped`; returns the number of events.
    """
    width, height, x_shift, x_mask, y_shift, y_mask, p_shift, on_bit, frame_bits, special_bits, zero_bits = layout
    kept = 0
    for i in range(addresses.shape[0]):
        a = np.int64(addresses[i])
        if a & frame_bits:
            skipped[0] += 1
            continue
        if a & special_bits and not a & zero_bits:
            skipped[1] += 1
            continue
        x = width - 1 - (a >> x_shift & x_mask)
        y = height - 1 - (a >> y_shift & y_mask)
        if x < 0 or y < 0 or a & zero_bits:
            x, y = np.int64(65_535), np.int64(65_535)
        events[kept]["t"] = times[i]
        events[kept]["x"] = x
        events[kept]["y"] = y
        events[kept]["p"] = (a >> p_shift & 1) == on_bit
        kept += 1
    return kept


def read_header(file: BinaryIO) -> tuple[int, str]:
    """Where the events begin, and the class that the AEChip line names ("": none).

    No mark ends the header. The first event may begin with the byte of `#`, so a line counts only if it is text.
    """
    chip = ""
    while True:
        start = file.tell()
        line = file.readline(_LONGEST_LINE)
        text = line.rstrip(b"\r\n")
        if not line.startswith(b"#") or any(byte < 32 and byte != 9 for byte in text):
            file.seek(start)
            return start, chip
        if text[1:].lstrip().startswith(b"AEChip:"):
            chip = text.split(b":", 1)[1].strip().decode("utf-8", "replace")[:200]


def layout_of(path: Path, chip: str, addresses: np.ndarray) -> str:
    """The layout's name: as the header says, or as the addresses look; "" for a DAVIS of unknown size."""
    known = f"known layouts are {', '.join(LAYOUTS)}; say one with `layout` if the file has it"
    if chip:
        name = chip.rsplit(".", 1)[-1].lower()
        for part, layout in _CHIPS:
            if part in name:
                return layout
        raise RecordingError(f"{path}: is of {chip}, which is no camera that we know; {known}", path)
    if not len(addresses):
        raise RecordingError(f"{path}: the file ends after its header, without events or the name of a camera", path)
    if len(addresses) >= 100 and (addresses < 0x400).all():
        raise RecordingError(
            f"{path}: no AEChip line, and its addresses end at {int(addresses.max()):#x}, on a DVS128 its lowest "
            f"rows alone; those of a silicon cochlea look so; {known}",
            path,
        )
    if np.mean(addresses < 1 << 16) > 0.9:  # not all: one damaged word must not change the camera
        return "dvs128"
    return "dvs640" if np.mean(addresses < 1 << 20) > 0.9 else ""


def _whole(data: bytes, word: np.dtype) -> bytes:
    return data[: len(data) // word.itemsize * word.itemsize]


class Aedat2Writer(RecordingWriter):
    """AEDAT 2.0 in the layout of the jAER camera that has this sensor."""

    _CAMERAS = {
        (128, 128): ("dvs128", "ch.unizh.ini.jaer.chip.retina.DVS128"),
        (240, 180): ("davis240", "eu.seebetter.ini.chips.davis.DAVIS240C"),
        (346, 260): ("davis346", "eu.seebetter.ini.chips.davis.Davis346blue"),
        (640, 480): ("davis640", "eu.seebetter.ini.chips.davis.Davis640"),
    }

    def _begin(self) -> None:
        size = (self.sensor.width, self.sensor.height)
        if size not in self._CAMERAS:
            sizes = ", ".join(f"{width}x{height}" for width, height in self._CAMERAS)
            raise RecordingError(
                f"{self.path}: AEDAT 2.0 has no camera of {self.sensor}; want one of {sizes}", self.path
            )
        name, chip = self._CAMERAS[size]
        self._layout = LAYOUTS[name]
        lines = (
            "!AER-DAT2.0",
            " This is a raw AE data file - do not edit",
            " Timestamps tick is 1 us",
            f" AEChip: {chip}",
        )
        self._file.write("".join(f"#{line}\r\n" for line in lines).encode())

    def _write(self, events: np.ndarray) -> None:
        if events["t"][0] < 0 or events["t"][-1] >= 1 << 32:
            raise EventError(
                f"AEDAT 2.0 counts time from 0 to 2^32 µs, not {events['t'][0]} .. {events['t'][-1]}; "
                "subtract the time of the first event"
            )
        words = np.empty(len(events), _WORDS["aedat2"])
        words["address"] = self._layout.addresses(events)
        words["time"] = events["t"]
        self._file.write(words.tobytes())


def open_aedat2(path: Path, options: ReadOptions) -> Source:
    return Aedat2(path, options, "aedat2")


def open_aedat1(path: Path, options: ReadOptions) -> Source:
    return Aedat2(path, options, "aedat1")
