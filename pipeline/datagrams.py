"""Events in datagrams: SPIF's words, faery's two layouts and jAER's, to arrays and back. Sockets are the nodes' work.

Every datagram may be hostile. Whole events of it are decoded, what is left over is counted; whether its times and
places can be true is for live.py to say.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from .errors import EventError
from .events import EVENT_DTYPE, SensorSize
from .formats import aedat2
from .live_kernels import decode_faery32, decode_faery64, decode_spif

U32_US = 1 << 32  # after how long a counter of 32 bits wraps
_WORD, _BIG = np.dtype("<u4"), np.dtype(">u4")


class Layout(ABC):
    """One way to put events into datagrams. Keeps no state but what numbers its own datagrams."""

    period_us: ClassVar[int] = U32_US  # after how long its times wrap; 0: they do not
    event_bytes: ClassVar[int]  # of one event, at most
    head_bytes: ClassVar[int] = 0  # before the first event
    numbered: ClassVar[bool] = False  # does each datagram begin with its sequence number?

    def __init__(self, sensor: SensorSize) -> None:
        self.sensor = sensor

    @abstractmethod
    def decode(self, data: memoryview, untimed_us: int) -> tuple[np.ndarray, int]:
        """All whole events (EVENT_DTYPE, raw times, nothing checked), and how many bytes were left over."""

    @abstractmethod
    def encode(self, events: np.ndarray) -> bytes:
        """The datagram of so many events."""

    def number(self, data: memoryview) -> int | None:
        """Its sequence number; None where there is none."""
        return None

    def datagrams(self, events: np.ndarray, most_bytes: int) -> Iterator[tuple[bytes, int]]:
        """Datagrams of at most `most_bytes`, each with its number of events."""
        most = max(1, (most_bytes - self.head_bytes) // self.event_bytes)
        for start in range(0, len(events), most):
            piece = events[start : start + most]
            yield self.encode(piece), len(piece)


class Spif(Layout):
    """32-bit words as SpiNNaker's peripheral interface and aestream use; a time follows each, or none does."""

    event_bytes = 8
    timed = True  # when sending

    def __init__(self, sensor: SensorSize) -> None:
        _want_sides(sensor, 0x8000, 0x8000, "SPIF")
        super().__init__(sensor)

    def decode(self, data: memoryview, untimed_us: int) -> tuple[np.ndarray, int]:
        words = np.frombuffer(data, _WORD, len(data) // 4)
        events = np.empty(len(words), EVENT_DTYPE)
        kept, used = decode_spif(words, untimed_us, events)
        return events[:kept], len(data) - 4 * used

    def encode(self, events: np.ndarray) -> bytes:
        words = events["x"].astype(_WORD) << 16 | events["p"].astype(_WORD) << 15 | events["y"]
        if not self.timed:
            return (words | np.uint32(1 << 31)).tobytes()
        return np.stack([words, events["t"].astype(_WORD)], axis=1).tobytes()


class UntimedSpif(Spif):
    """The same without times: an event happens when its datagram arrives."""

    event_bytes = 4
    timed = False


class Faery(Layout):
    """faery's t64_x16_y16_on8."""

    event_bytes, period_us = 13, 0

    def decode(self, data: memoryview, untimed_us: int) -> tuple[np.ndarray, int]:
        events = np.empty(len(data) // 13, EVENT_DTYPE)
        decode_faery64(np.frombuffer(data, np.uint8), events)
        return events, len(data) % 13

    def encode(self, events: np.ndarray) -> bytes:
        return np.ascontiguousarray(events, EVENT_DTYPE).tobytes()


class Faery32(Layout):
    """faery's t32_x16_y15_on1."""

    event_bytes = 8

    def __init__(self, sensor: SensorSize) -> None:
        _want_sides(sensor, 0x10000, 0x8000, "faery's t32_x16_y15_on1")
        super().__init__(sensor)

    def decode(self, data: memoryview, untimed_us: int) -> tuple[np.ndarray, int]:
        events = np.empty(len(data) // 8, EVENT_DTYPE)
        decode_faery32(np.frombuffer(data, _WORD, 2 * len(events)), events)
        return events, len(data) % 8

    def encode(self, events: np.ndarray) -> bytes:
        second = events["x"].astype(_WORD) | events["y"].astype(_WORD) << 17 | events["p"].astype(_WORD) << 16
        return np.stack([events["t"].astype(_WORD), second], axis=1).tobytes()


class Jaer(Layout):
    """jAER's unicast as it is set by default: a sequence number, then addresses and times, all big-endian."""

    event_bytes, head_bytes, numbered = 8, 4, True

    def __init__(self, sensor: SensorSize, camera: str) -> None:
        super().__init__(sensor)
        self._camera = aedat2.LAYOUTS[camera]
        if self._camera.sensor != sensor:
            raise EventError(f"a {camera} has {self._camera.sensor} pixels, not {sensor}; name the right camera")
        self._numbers = self._camera.numbers()
        self._sent = 0
        self.skipped = np.zeros(2, np.int64)  # words of frames, special words

    def number(self, data: memoryview) -> int | None:
        return int.from_bytes(data[:4], "big") if len(data) >= 4 else None

    def decode(self, data: memoryview, untimed_us: int) -> tuple[np.ndarray, int]:
        count = max(0, len(data) - 4) // 8
        if not count:
            return np.empty(0, EVENT_DTYPE), max(0, len(data) - 4) if len(data) >= 4 else len(data)
        words = np.frombuffer(data, _BIG, 2 * count, 4).astype(np.uint32)
        events = np.empty(count, EVENT_DTYPE)
        kept = aedat2.decode(words[::2].copy(), words[1::2].copy(), self._numbers, events, self.skipped)
        return events[:kept], (len(data) - 4) % 8

    def encode(self, events: np.ndarray) -> bytes:
        camera, words = self._camera, np.empty((len(events), 2), _BIG)
        words[:, 0] = camera.addresses(events)
        words[:, 1] = events["t"].astype(np.uint32)
        self._sent = (self._sent + 1) % NUMBERS  # the first is 1, as jAER's
        return struct.pack(">I", self._sent) + words.tobytes()


NUMBERS = 1 << 31  # sequence numbers of jAER, from 0
LAYOUTS = {"spif": Spif, "spif-untimed": UntimedSpif, "faery": Faery, "faery32": Faery32, "jaer": Jaer}


def make_layout(name: str, sensor: SensorSize | None, camera: str | None) -> Layout:
    """The layout of this name. Raises EventError if sensor or camera are missing or do not fit."""
    if name == "jaer":
        if camera not in aedat2.LAYOUTS:
            found = "is missing" if camera is None else f"is {camera!r}"
            raise EventError(f"camera {found}, and jAER's addresses are a camera's; want one of {_cameras()}")
        return Jaer(sensor or aedat2.LAYOUTS[camera].sensor, camera)
    if camera is not None:
        raise EventError(f"camera is {camera!r}, but {name} has no layouts of cameras; leave it out")
    if sensor is None:
        raise EventError(f"sensor is missing, and {name} does not say it; want [width, height]")
    layout: Layout = LAYOUTS[name](sensor)
    return layout


class Sequence:
    """Which numbered datagrams are missing, late or double. One number that leaps changes nothing, two do."""

    WINDOW = 1024  # so far behind the latest a datagram may arrive

    def __init__(self) -> None:
        self.missing = self.late = self.doubles = self.restarts = 0
        self._expected: int | None = None
        self._seen = 0  # bit k: number expected - 1 - k was received
        self._known = 0  # how many numbers before `expected` are accounted for: those before the first are not
        self._odd: int | None = None  # the number of the datagram before, if it did not fit

    def take(self, number: int) -> bool:
        """Whether this datagram is to be looked at; False: it was received before."""
        if self._expected is None:
            self._begin(number, 1)
            return True
        step = (number - self._expected + NUMBERS // 2) % NUMBERS - NUMBERS // 2
        follows_odd = self._odd is not None and number == (self._odd + 1) % NUMBERS
        self._odd = None
        if 0 <= step <= self.WINDOW:
            self.missing += step
            self._expected = (number + 1) % NUMBERS
            self._known += step + 1
            self._seen = (self._seen << step + 1 | 1) & (1 << self.WINDOW) - 1
            return True
        bit = 1 << (-step - 1) if -self.WINDOW <= step < 0 else 0
        if bit and not self._seen & bit:
            self._seen |= bit
            self.late += 1
            self.missing -= -step <= self._known
            return True
        if not follows_odd:
            self._odd = number
            self.doubles += bool(bit)
            return not bit
        if step > 0:  # a long outage
            self.missing += step - 1
        else:
            self.restarts += 1
        self._begin(number, 2)
        return True

    def _begin(self, number: int, known: int) -> None:
        """`known` numbers up to this one were received."""
        self._expected, self._seen, self._known = (number + 1) % NUMBERS, (1 << known) - 1, known


def _want_sides(sensor: SensorSize, width: int, height: int, name: str) -> None:
    if sensor.width > width or sensor.height > height:
        raise EventError(f"{name} has room for {width}x{height} pixels, the sensor has {sensor}; choose another layout")


def _cameras() -> str:
    return ", ".join(aedat2.LAYOUTS)
