"""The index of a recording: places from which reading can go on, kept in a file beside it (`NAME.index`).

A place holds everything that reading carries along: where in the file, what the decoder knows there, the clock, the
counts. So reading on from a place gives exactly what reading from the beginning would have given. Places lie a number
of bytes apart, not of milliseconds: what a seek costs is the bytes between. The index grows as far as somebody has
read, and doubles the distance between its places rather than grow beyond MOST of them.

An index is never trusted. It counts only if its own digest is right, if it was made of this very file (size, time of
change, digest of both ends) and with the same options; what it says is checked once more where it is used.
Not chosen: places in the recording's own file (it is the user's), a data base for all recordings (files move).
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import warnings
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import guard
from .source import DEFECTS, Mark, Place, Reading, ReadOptions

LEAST_BYTES = 4 << 20  # a smaller file is read from its beginning in less time than an index is worth
STEP = 1 << 18  # bytes (of arrays: rows) between places
MOST = 8_192  # places
_MAGIC = b"dvs-run index 1\n"
_DIGEST = hashlib.sha256().digest_size
_LONGEST = 16 << 20  # bytes of an index; of a longer one nothing is read
_END = 1 << 16  # bytes of either end of the recording that the key covers
_NAMES = tuple(DEFECTS)
_NUMBERS = 3 + guard.STATE_SIZE + len(_NAMES)  # of a row, before the decoder's state


class Index:
    """Marks in order of time, from the beginning of a recording to as far as it has been read."""

    def __init__(
        self, key: list[str], first_us: int | None = None, rows: np.ndarray | None = None, step: int = 0
    ) -> None:
        self._key = key
        self.first_us = first_us  # time of the recording's first event
        self._rows: list[np.ndarray] = [] if rows is None else list(rows)
        self._step = step or STEP
        self._open: list[int] | None = None  # a row whose next event is not yet known
        self._has_grown = False

    def before(self, t_us: int) -> Mark | None:
        """The last place before which no event is as late as t_us."""
        at = bisect_left(self._rows, t_us, key=lambda row: int(row[3 + guard.LAST])) - 1
        if at < 0:
            return None
        next_us, events_read, byte_offset, *more = self._rows[at].tolist()
        clock, more = more[: guard.STATE_SIZE], more[guard.STATE_SIZE :]
        defects = Counter({name: n for name, n in zip(_NAMES, more, strict=False) if n})
        return Mark(Place(byte_offset, tuple(more[len(_NAMES) :])), next_us, tuple(clock), events_read, defects)

    def meet(self, next_us: int) -> None:
        """The time, as it stands in the file, of the first event after the last `note`."""
        if self._open is None:
            return
        with contextlib.suppress(OverflowError):  # a decoder's state that needs more than 64 bits: no mark
            self._rows.append(np.array([next_us, *self._open], np.int64))
            self._has_grown = True
        self._open = None
        if len(self._rows) >= MOST:
            self._rows, self._step = self._rows[1::2], 2 * self._step

    def note(self, place: Place, reading: Reading) -> None:
        """Reading has come to this place; kept if it is far enough from the one before."""
        last = self._rows[-1] if self._rows else None
        self._open = None
        if last is not None and len(last) != _NUMBERS + len(place.state):
            return
        if place.byte_offset - (0 if last is None else int(last[2])) >= self._step:
            defects = [reading.defects[name] for name in _NAMES]
            self._open = [reading.events_read, place.byte_offset, *reading.clock.tolist(), *defects, *place.state]

    def clear(self) -> None:
        """Forget everything: it has turned out wrong."""
        self._rows, self._open, self._step, self.first_us, self._has_grown = [], None, STEP, None, False

    def save(self, path: Path) -> None:
        """Keep it for the next reader, where that is possible; nothing is written if nothing was learnt."""
        if not self._has_grown or not self._rows or self.first_us is None:
            return
        self._has_grown = False
        rows = np.array(self._rows, "<i8")
        head = {"key": self._key, "first_us": self.first_us, "step": self._step, "shape": rows.shape}
        payload = json.dumps(head).encode() + b"\n" + zlib.compress(rows.tobytes(), 1)
        data = _MAGIC + hashlib.sha256(payload).digest() + payload
        for where in _where(path):
            with contextlib.suppress(OSError):
                _replace(where, data)
                return


def load_index(path: Path, options: ReadOptions, sensor: Any, holds: Callable[[Place], bool]) -> Index | None:
    """The index of a recording, an empty one if there is none, or None if the recording is too small to need one.

    One that is damaged or of another file is told by a warning, and made anew.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size < LEAST_BYTES:
            return None
        key = _key(path, options, sensor)
        for where in _where(path):
            try:
                return _read(where, key, holds)
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = error.strerror or str(error)
            except ValueError as error:
                reason = str(error)
            complain(f"{where}: {reason}; the index is not used, and made anew")
            break
        return Index(key)
    return None


def complain(sentence: str) -> None:
    warnings.warn(sentence, RuntimeWarning, stacklevel=2)


def _read(where: Path, key: list[str], holds: Callable[[Place], bool]) -> Index:
    with open(where, "rb") as file:
        data = file.read(_LONGEST + 1)
    start = len(_MAGIC) + _DIGEST
    payload = data[start:]
    if not data.startswith(_MAGIC) or len(data) > _LONGEST:
        raise ValueError("is no index of this version")
    if hashlib.sha256(payload).digest() != data[len(_MAGIC) : start]:
        raise ValueError("is damaged: its digest is wrong")
    line, _, packed = payload.partition(b"\n")
    try:
        head = json.loads(line)
        of_file, of_options = head["key"]
        if of_file != key[0]:
            raise ValueError("was made of another file, or before this one changed")
        if of_options != key[1]:  # nothing is wrong
            return Index(key)
        count, columns = map(int, head["shape"])
        if not (0 < count <= MOST and _NUMBERS <= columns <= _NUMBERS + 64):
            raise ValueError("holds numbers that cannot be")
        raw = zlib.decompressobj().decompress(packed, 8 * count * columns)
        rows = np.frombuffer(raw, "<i8").reshape(count, columns)
        index = Index(key, int(head["first_us"]), rows, max(STEP, int(head["step"])))
    except (KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"is damaged: {error}") from None
    steps = np.diff(rows[:, [1, 2, 3 + guard.LAST]], axis=0)
    if (steps < 0).any() or (rows[:, 1:3] < 0).any() or not all(holds(_place(row)) for row in rows):
        raise ValueError("names places that are not in the recording")
    return index


def _place(row: np.ndarray) -> Place:
    return Place(int(row[2]), tuple(row[_NUMBERS:].tolist()))


def _key(path: Path, options: ReadOptions, sensor: Any) -> list[str]:
    """Everything that the marks depend on: the file, and how it is read."""
    found = path.stat()
    of_file = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    with open(path, "rb") as file:
        of_file.update(file.read(_END))
        file.seek(max(0, found.st_size - _END))
        of_file.update(file.read(_END))
    skips: Literal["skip", "raise"] = "skip" if options.on_error == "skip" else "raise"
    how = dataclasses.replace(options, packet_events=0, packet_us=None, on_error=skips, start_us=0, stop_us=None)
    return [of_file.hexdigest(), hashlib.sha256(f"{sensor} {how} {_NAMES}".encode()).hexdigest()]


def _where(path: Path) -> tuple[Path, Path]:
    """Beside the recording; where that cannot be, in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:20]
    return path.with_name(path.name + ".index"), Path(cache) / "dvs-run" / "indexes" / f"{name}.index"


def _replace(where: Path, data: bytes) -> None:
    """Whole or not at all, also when several processes do it."""
    if where.parent.name == "indexes":
        where.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=where.name, suffix=".write", dir=where.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, where)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
