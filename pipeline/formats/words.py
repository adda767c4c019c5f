"""Files that are a header and then words, read block by block: the part that DAT, EVT2, EVT2.1, EVT3 and .es share.

What the words mean is each container's own file: a kernel that carries a few integers from block to block. With these
integers, its `state`, reading can begin at any place where it has been (Place), which is what an index of a file holds.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..events import EVENT_DTYPE, SensorSize
from .evt_words import COUNTS, LEAST, UNKNOWN_TYPES
from .guard import is_steady
from .source import Batch, Place, Reading, Source

BLOCK = 1 << 18  # bytes read at once; with its events, it stays within the larger caches of a core
ROOM = 1 << 15  # events that a kernel may fill at a call
_COUNTERS = ("special_words", "trigger_words", "unplaced_events", "clock_wraps", "unknown_words")
_FEW = 100  # words of unknown types that a file may hold, whatever its length


class WordSource(Source):
    """A file of words. Containers say where the words begin, how they decode, and with which state."""

    word: np.dtype  # of the array that `decode` is given; np.uint8 where words have no common size
    columns = 1  # of that array: how many numbers make a word
    start: int  # first byte after the header
    first_state: tuple[int, ...] = (0,)  # what the kernel knows at `start`
    constants: tuple[int, ...] = ()  # places in the state of what never changes

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sensor = SensorSize(1, 1)  # until it is known

    @property
    @abstractmethod
    def decode(self) -> Callable[..., Any]:
        """A kernel (words, state int64, events EVENT_DTYPE, counts int64) -> (words used, events filled)."""

    def batches(self, reading: Reading) -> Iterator[Batch]:
        for batch, _ in self.decoded(reading):
            yield batch

    def holds(self, place: Place) -> bool:
        whole = self.start <= place.byte_offset and not (place.byte_offset - self.start) % self._size
        kept = len(place.state) == len(self.first_state) and all(
            place.state[at] == self.first_state[at] for at in self.constants
        )
        return whole and kept and place.byte_offset <= self._path.stat().st_size

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """Batches from `place` on (the beginning), each with the place that follows it."""
        position, first_state = place or Place(self.start, self.first_state)
        state, counts = np.array(first_state, np.int64), np.zeros(COUNTS, np.int64)
        counts[LEAST] = -1
        size, left, decode = self._size, 0, self.decode
        seen = (position - self.start) // size
        buffer = bytearray(BLOCK)  # its first `left` bytes are of a word that the block before cut
        with open(self._path, "rb", buffering=0) as file:
            file.seek(position)
            while got := file.readinto(memoryview(buffer)[left:]):
                words = np.frombuffer(buffer, self.word, (left + got) // size * self.columns)
                words = words.reshape(-1, self.columns) if self.columns > 1 else words
                used = 0
                while used < len(words):
                    events = np.empty(min(ROOM, len(words) - used + 64), EVENT_DTYPE)
                    took, kept = decode(words[used:], state, events, counts)
                    used += took
                    found = counts.tolist()  # in one go: its numbers one by one cost more than to decode a packet
                    if any(found[:UNKNOWN_TYPES]):
                        self._count(counts, reading)
                    if kept:
                        steady = is_steady(found[LEAST:], self.sensor.width, self.sensor.height)
                        following = Place(position + used * size, tuple(state.tolist()))
                        yield Batch(events[:kept], position, steady), following
                    if not took:
                        break
                seen += used
                if counts[UNKNOWN_TYPES]:
                    self._check_types(int(counts[UNKNOWN_TYPES]), seen, position, reading)
                position += used * size
                left += got - used * size
                buffer[:left] = buffer[used * size : used * size + left]
        if left:
            reading.report(f"the file ends within {self._of(left)}", position)
        if position == self.start:
            reading.report("the file ends after its header, without events", position)

    @property
    def _size(self) -> int:
        """Bytes of a word."""
        return self.word.itemsize * self.columns

    def _of(self, length: int) -> str:
        return f"an event ({length} of {self._size} bytes)"

    @staticmethod
    def _count(counts: np.ndarray, reading: Reading) -> None:
        """Move a kernel's counts to the reading."""
        for name, at in zip(_COUNTERS, range(UNKNOWN_TYPES), strict=True):
            if counts[at]:
                reading.defects[name] += int(counts[at])
        counts[:UNKNOWN_TYPES] = 0

    def _check_types(self, met: int, seen: int, position: int, reading: Reading) -> None:
        """So many words of unknown types that these are none: a fault. `met`: those types, as bits."""
        unknown = reading.defects["unknown_words"]
        if unknown > _FEW and unknown > seen // 8:
            types = ", ".join(f"{kind:#x}" for kind in range(16) if met >> kind & 1)
            what = f"{unknown} of {seen} words are of types that {self.container.upper()} does not have ({types})"
            reading.report(f"{what}: damage, or another format (say which with `container`)", position)


def whole_words(path: Path, start: int, size: int, most: int) -> bytes:
    """The first words of a file after its header: at most `most` bytes, a multiple of `size`."""
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(most)
    return data[: len(data) // size * size]
