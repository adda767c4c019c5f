"""Messages of events in ROS: dvs_msgs and prophesee_event_msgs EventArray, event_camera_msgs EventPacket.

A message is read as bytes, in ROS 1's serialization or in CDR, and its events by kernels. An EventArray has a time in
seconds and nanoseconds for each event; an EventPacket what its `encoding` says: the words of EVT 3.0 as the camera sent
them, with the camera's time, or libcaer's or its own compact words, whose times count from the message's `time_base`.
"""

import itertools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..events import EVENT_DTYPE
from ..kernel_cache import kernel
from . import evt3
from .evt_words import COUNTS, LEAST, NO_TIME, UNKNOWN_TYPES

ARRAYS = ("dvs_msgs/EventArray", "prophesee_event_msgs/EventArray")
PACKETS = ("event_camera_msgs/EventPacket", "event_array_msgs/EventArray")
COUNTERS = ("special_words", "trigger_words", "unplaced_events", "clock_wraps", "unknown_words")
_STAMPED = np.dtype([("x", "<u2"), ("y", "<u2"), ("sec", "<u4"), ("nsec", "<u4"), ("p", "u1")])
_STAMPED_CDR = np.dtype(
    {"names": ["x", "y", "sec", "nsec", "p"], "formats": ["<u2", "<u2", "<u4", "<u4", "u1"],
     "offsets": [0, 2, 6, 10, 14], "itemsize": 16}
)  # fmt: skip
_FIRST_STATE = (NO_TIME, 0, 0, evt3.NONE, evt3.NONE, 0)


class Content(NamedTuple):
    """A message, as far as it is not events."""

    width: int
    height: int
    encoding: str  # "" of an EventArray
    time_base_ns: int
    events: memoryview
    stamped: int  # number of an EventArray's events
    is_cdr: bool


class _Fields:
    """The fields of a message, read one after the other. ValueError at its end."""

    def __init__(self, data: memoryview, is_cdr: bool) -> None:
        self.data, self.is_cdr, self.at, self._start = data, is_cdr, 0, 0
        if is_cdr:
            if len(data) < 4 or data[0] != 0 or data[1] != 1:
                raise ValueError(f"is no little-endian CDR (it begins with {bytes(data[:4]).hex(' ')})")
            self.at = self._start = 4

    def numbers(self, codes: str) -> tuple[int, ...]:
        """Some numbers of one size, as struct names them."""
        size = struct.calcsize("<" + codes)
        if self.is_cdr:
            self.at += -(self.at - self._start) % (size // len(codes))
        if self.at + size > len(self.data):
            raise ValueError(f"ends within its fields, after {len(self.data)} bytes")
        self.at += size
        return struct.unpack_from("<" + codes, self.data, self.at - size)

    def take(self, size: int) -> memoryview:
        if self.at + size > len(self.data):
            raise ValueError(f"claims {size} bytes of events or text, but has {len(self.data) - self.at}")
        self.at += size
        return self.data[self.at - size : self.at]


def parse(kind: str, data: memoryview, is_cdr: bool) -> Content:
    """The fields of a message of type `kind`. Raises ValueError, which says what is wrong."""
    fields = _Fields(data, is_cdr)
    *_, length = fields.numbers("III" if is_cdr else "IIII")  # seq of ROS 1, and when the message was made
    fields.take(length)  # frame_id
    height, width = fields.numbers("II")
    if kind in ARRAYS:
        (count,) = fields.numbers("I")
        stride, last = (16, 13) if is_cdr else (13, 13)
        events = fields.take((count - 1) * stride + last if count else 0)
        return Content(width, height, "", 0, events, count, is_cdr)
    _, time_base_ns = fields.numbers("QQ")  # seq
    encoding = bytes(fields.take(*fields.numbers("I"))).rstrip(b"\0").decode("utf-8", "replace")
    if fields.numbers("B") != (0,):
        raise ValueError("is big-endian; want little-endian events")
    events = fields.take(*fields.numbers("I"))
    if encoding not in _ENCODINGS:
        raise ValueError(f"has the encoding {encoding[:40]!r}, known are {', '.join(_ENCODINGS)}")
    size = np.dtype(_ENCODINGS[encoding][0]).itemsize
    if len(events) % size:
        raise ValueError(f"has {len(events)} bytes of {encoding}, want a multiple of {size}")
    if time_base_ns >= 1 << 62:
        raise ValueError(f"has the time base {time_base_ns} ns, want one below 2^62")
    return Content(width, height, encoding, time_base_ns, events, 0, is_cdr)


class Decoder:
    """Events of the messages of one topic, in their order; knows what the words before have said."""

    def __init__(self, state: tuple[int, ...] = ()) -> None:
        self._state = np.array(state or _FIRST_STATE, np.int64)
        self.counts = np.zeros(COUNTS, np.int64)

    @property
    def state(self) -> tuple[int, ...]:
        return tuple(self._state.tolist())

    def events(self, contents: list[Content]) -> np.ndarray:
        """The events of messages in their order."""
        pieces = [np.empty(0, EVENT_DTYPE)]
        for encoding, group in itertools.groupby(contents, lambda content: content.encoding):
            if encoding == "evt3":  # one stream of words, however it is cut into messages
                pieces += self._evt3(np.frombuffer(b"".join(content.events for content in group), "<u2"))
            else:
                pieces += [self._of_message(content) for content in group]
        return np.concatenate(pieces) if len(pieces) != 2 else pieces[1]

    def _of_message(self, content: Content) -> np.ndarray:
        if not content.encoding:
            return _stamped(content)
        word, most, kernel_of = _ENCODINGS[content.encoding]
        words = np.frombuffer(content.events, word)
        events = np.empty(most * len(words), EVENT_DTYPE)
        return events[: kernel_of(words, content.time_base_ns, self._state, events)]

    def _evt3(self, words: np.ndarray) -> list[np.ndarray]:
        pieces, used = [], 0
        while used < len(words):
            events = np.empty(min(len(words) - used, 1 << 15) + 64, EVENT_DTYPE)
            self.counts[LEAST] = -1
            took, kept = evt3.decode(words[used:], self._state, events, self.counts)
            used += took
            pieces.append(events[:kept])
            if not took:
                break
        return pieces

    def take_counts(self) -> dict[str, int]:
        """What was met since the last call that is no event, by the names of DEFECTS."""
        found = {name: int(n) for name, n in zip(COUNTERS, self.counts[:UNKNOWN_TYPES], strict=True) if n}
        self.counts[:UNKNOWN_TYPES] = 0
        return found


def _stamped(content: Content) -> np.ndarray:
    events = np.empty(content.stamped, EVENT_DTYPE)
    if not content.stamped:
        return events
    if not content.is_cdr:
        decode_stamped(np.frombuffer(content.events, _STAMPED, content.stamped), events)
        return events
    decode_stamped(np.frombuffer(content.events, _STAMPED, 1), events)  # nothing lies before it to align it
    if content.stamped > 1:
        rest = np.frombuffer(bytes(content.events[14:]) + b"\0", _STAMPED_CDR, content.stamped - 1)
        decode_stamped(rest, events[1:])
    return events


@kernel
def decode_stamped(records, events):
    """t = sec * 10^6 + nsec / 1000, to the nearest µs."""
    for i in range(records.shape[0]):
        events[i]["t"] = np.int64(records[i]["sec"]) * 1_000_000 + (np.int64(records[i]["nsec"]) + 500) // 1000
        events[i]["x"] = records[i]["x"]
        events[i]["y"] = records[i]["y"]
        events[i]["p"] = records[i]["p"] != 0


@kernel
def decode_mono(words, base_ns, state, events):
    """Of 64 bits: time from the base in ns 0-31, x 32-47, y 48-62, polarity 63."""
    for i in range(words.shape[0]):
        word = words[i]
        events[i]["t"] = (base_ns + np.int64(word & np.uint64(0xFFFF_FFFF)) + 500) // 1000
        events[i]["x"] = word >> np.uint64(32) & np.uint64(0xFFFF)
        events[i]["y"] = word >> np.uint64(48) & np.uint64(0x7FFF)
        events[i]["p"] = word >> np.uint64(63) != 0
    return words.shape[0]


@kernel
def decode_libcaer(words, base_ns, state, events):
    """Of 64 bits: polarity 1, y 2-16, x 17-31, time from the base in µs 32-62, which overflows."""
    base, last = (base_ns + 500) // 1000, np.int64(0)
    for i in range(words.shape[0]):
        word = words[i]
        low = np.int64(word >> np.uint64(32) & np.uint64(0x7FFF_FFFF))
        if last - low > 1 << 30:
            base += np.int64(1) << 31
        last = low
        events[i]["t"] = base + low
        events[i]["x"] = word >> np.uint64(17) & np.uint64(0x7FFF)
        events[i]["y"] = word >> np.uint64(2) & np.uint64(0x7FFF)
        events[i]["p"] = word >> np.uint64(1) & np.uint64(1) != 0
    return words.shape[0]


@kernel
def decode_libcaer_cmp(words, base_ns, state, events):
    """Of 16 bits, type 12-15: 0 time high, 1 time low, 2 x, 3 y with polarity: an event, 4 first y, 5 vector of 8 rows.

    `state`: x, the y and polarity of vectors. Time begins at the base with each message.
    """
    kept = 0
    high, low = np.int64(0), np.int64(0)
    x, y, on = state[0], state[1], state[2]
    for i in range(words.shape[0]):
        word = np.int64(words[i])
        kind = word >> 12
        if kind == 0:
            high = (word & 0xFFF) << 12
        elif kind == 1:
            low = word & 0xFFF
        elif kind == 2:
            x = word & 0x7FF
        elif kind == 4:
            y, on = word & 0x7FF, word & 0x800
        elif kind == 3 or kind == 5:
            first = word & 0x7FF if kind == 3 else y
            polarity = word & 0x800 if kind == 3 else on
            bits = 1 if kind == 3 else word & 0xFF
            for row in range(8):
                if bits >> row & 1:
                    events[kept]["t"] = (base_ns + (high | low) * 1000 + 500) // 1000
                    events[kept]["x"] = x
                    events[kept]["y"] = min(first + row, 65_535)
                    events[kept]["p"] = polarity != 0
                    kept += 1
            if kind == 5:
                y += 8
    state[0], state[1], state[2] = x, y, on
    return kept


_ENCODINGS: dict[str, tuple[str, int, Callable[..., Any]]] = {  # (word, events of a word at most, kernel)
    "evt3": ("<u2", 12, evt3.decode),
    "mono": ("<u8", 1, decode_mono),
    "libcaer": ("<u8", 1, decode_libcaer),
    "libcaer_cmp": ("<u2", 8, decode_libcaer_cmp),
}
