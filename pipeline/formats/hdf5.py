"""HDF5: events in arrays t, x, y and p of one group (DSEC, M3ED, RPG), in one array of records (Prophesee), or in an
array of four columns (MVSEC). Read by a program of its own, hdf5_child.py, which a damaged file may crash or hold.

Times in whole numbers are µs, times with a fraction seconds, unless `time_unit` says otherwise; DSEC's `t_offset` is
told, not added. A file that was cut is read as far as its arrays go, if what says where they are lies before the cut.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import RecordingError
from ..events import SensorSize
from . import guard
from .columns import NAMES, UNITS_US, microseconds, order_of, to_events
from .extent import sensor_of
from .source import Batch, Mark, Place, Reading, ReadOptions, Source

PATIENCE_S = 60.0  # for one block; the child is then taken to be lost
LEAST_ROWS = 1 << 20  # below which marks are not worth their reading
_CHILD = Path(__file__).with_name("hdf5_child.py")


class Hdf5(Source):
    """One HDF5 file of events."""

    container = "hdf5"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        if find_spec("h5py") is None:
            raise RecordingError(f"{path}: HDF5 files need h5py; install the extra: pip install 'dvs-run[hdf5]'", path)
        if options.time_unit is not None and options.time_unit not in UNITS_US:
            known = ", ".join(UNITS_US)
            raise RecordingError(f"{path}: the time unit is {options.time_unit!r}, want one of {known}", path)
        try:
            order = order_of(options.layout) if options.layout else ""
        except ValueError as error:
            raise RecordingError(f"{path}: {error}", path) from None
        stream = "" if options.stream_id is None else str(options.stream_id)
        self._request = {"path": str(path), "names": NAMES, "stream": stream, "order": order}
        head = self._ask("head")
        self._rows = int(head["rows_in_all"])
        self._dtypes = [np.dtype(head["dtypes"][name]) for name in "txyp"]
        self.codec = str(head["codec"])
        unit = options.time_unit or ("s" if head["fraction"] else "us")
        self._unit_us = UNITS_US[unit]
        why = "as told" if options.time_unit else "assumed: times have a fraction" if head["fraction"] else "assumed"
        self.details = {"streams": ", ".join(head["streams"]), "stream read": head["stream"]}
        self.details["time unit"] = f"{unit}, {why}"
        if "offset" in head:
            self.details["t_offset"] = f"{head['offset']} µs, not added"
        stated = head["sensor"] and all(0 < side <= 65_535 for side in head["sensor"]) and len(head["sensor"]) == 2
        if not stated and options.sensor is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = options.sensor or (SensorSize(*head["sensor"]) if stated else sensor_of(self, path))

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        return not place.state and 0 <= place.byte_offset <= self._rows

    def landmarks(self) -> list[Mark]:
        """Rows at equal distances and their times, if these go on; empty for a file that is soon read."""
        if self._rows < LEAST_ROWS:
            return []
        try:
            found = self._ask("marks")["marks"]
        except RecordingError:
            return []
        marks = []
        for row, before, after in found:
            times_us = microseconds(np.array([before, after]), self._unit_us)
            if not (np.abs(times_us) <= guard.MAX_TIME_US).all():
                return []
            before_us, after_us = (int(time) for time in times_us)
            clock = guard.new_state()
            if row:
                clock[guard.STARTED], clock[guard.LAST] = 1, before_us
            marks.append(Mark(Place(row), after_us, tuple(clock.tolist()), row, Counter()))
        times = [time for mark in marks for time in (mark.clock[guard.LAST], mark.next_us)][1:]
        return marks if all(a <= b for a, b in zip(times, times[1:], strict=False)) else []

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """A place is a row, as `byte_offset`."""
        skip = reading.options.on_error == "skip"
        with _Child({**self._request, "what": "read", "row": place.byte_offset if place else 0, "skip": skip}) as child:
            at = -1
            while "end" not in (told := child.told()):
                at = int(told.get("at", at))
                if "rows" in told:
                    count = int(told["rows"])
                    columns = child.columns(self._dtypes, count)
                    while True:
                        events, fault = to_events(columns, self._unit_us)
                        if len(events):
                            yield Batch(events, at), Place(int(told["row"]) + count) if not fault else None
                        if not fault:
                            break
                        reading.report(fault, at, last=False)
                        columns = {name: column[len(events) + 1 :] for name, column in columns.items()}
                else:
                    reading.report(told.get("fault") or told["trouble"], at, last="fault" not in told)
        if not self._rows:
            reading.report("the file holds arrays of events without events", 0)

    def _ask(self, what: str) -> dict[str, Any]:
        """One answer of the child. RecordingError if it is none."""
        with _Child({**self._request, "what": what}) as child:
            told = child.told()
        if "trouble" in told:
            raise RecordingError(f"{self._path}: {told['trouble']}", self._path)
        return told


class _Child:
    """The program that reads, for one request. `with` ends it, whatever it does."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._out: IO[bytes] = self._process.stdout
        self._is_late = False
        with contextlib.suppress(BrokenPipeError), self._process.stdin as file:
            file.write(json.dumps(request).encode() + b"\n")

    def told(self) -> dict[str, Any]:
        """The next line; {"trouble": why} if none comes."""
        with self._patience():
            line = self._out.readline()
        if line.endswith(b"\n"):
            found: dict[str, Any] = json.loads(line)
            return found
        return {"trouble": self._why()}

    def columns(self, dtypes: list[np.dtype], count: int) -> dict[str, np.ndarray]:
        """t, x, y and p of so many rows, or of fewer if the child dies."""
        found = {}
        for name, dtype in zip("txyp", dtypes, strict=True):
            with self._patience():
                data = self._out.read(count * dtype.itemsize)
            found[name] = np.frombuffer(data, dtype, len(data) // dtype.itemsize)
        count = min(map(len, found.values()))
        return {name: column[:count] for name, column in found.items()}

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        timer = threading.Timer(PATIENCE_S, self._give_up)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._is_late = True
        self._process.kill()

    def _why(self) -> str:
        code = self._process.wait()
        if self._is_late:
            return f"cannot be read: HDF5 was not done with a part of it after {PATIENCE_S:.0f} s; is the file damaged?"
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"cannot be read: HDF5 broke down on it ({why}); is the file damaged?"

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._out.close()
        self._process.wait()


def open_hdf5(path: Path, options: ReadOptions) -> Source:
    return Hdf5(path, options)
