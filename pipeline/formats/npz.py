"""NumPy files: one structured array of events, or columns t, x, y, p; .npy or .npz, read piece by piece, never
unpickled.

Times are µs, those with a fraction seconds, unless the file (an entry `time_unit`) or the caller says otherwise. The
order of a plain array's four columns is the caller's `layout` ("txyp"), else what its numbers tell.
"""

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import RecordingError
from ..events import EVENT_DTYPE, SensorSize
from .array_rows import Rows, entry_itself
from .columns import NAMES, SAMPLE, SEVERAL, UNITS_US, find, order_of, order_of_rows, to_events
from .extent import sensor_of
from .source import Batch, Place, Reading, ReadOptions, Source
from .write import RecordingWriter

_TEXTS = ("time_unit",)


class NumpyFile(Source):
    """One .npy or .npz file of events."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._layout = options.layout or ""
        with open(path, "rb") as file:
            self.container = "npy" if file.read(1) == b"\x93" else "npz"
        with self._damage(), self._open() as (columns, extras, _):
            unit = options.time_unit or extras.get("time_unit")
            how = self._check(columns, unit)
            self._unit_us = UNITS_US[how["time unit"].partition(",")[0]]
            width, height = extras.get("width"), extras.get("height")
            self.codec = extras.get("codec", "none")
            stated = SensorSize(width, height) if width and height else None
        self.details = how
        if stated is None and options.sensor is None:
            self.details["sensor"] = "not stated; the smallest known one that holds all events"
        self.sensor = options.sensor or stated or sensor_of(self, path)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        return not place.state and 0 <= place.byte_offset <= self._count

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """A place is a row."""
        count, row = reading.options.packet_events, place.byte_offset if place else 0
        with contextlib.ExitStack() as stack:
            with self._damage():
                columns, _, file = stack.enter_context(self._open(direct=row > 0))
                for column in columns.values():
                    column.skip(row)
            while True:
                ended = fault = ""
                byte_offset = file.tell()
                try:
                    rows, ended = _read_all(columns, count)
                    events, fault = self._events(rows)
                except Exception as error:  # the zip reader's many ways to say that the file is damaged
                    events, fault = np.empty(0, EVENT_DTYPE), f"damaged: {error or type(error).__name__}"
                row += len(events)
                if len(events):
                    yield Batch(events, byte_offset), None if fault or ended else Place(row)
                if fault or ended:
                    reading.report(fault or ended, byte_offset)
                if not len(events):
                    return

    @contextlib.contextmanager
    def _open(self, direct: bool = False) -> Iterator[tuple[dict[str, Rows], dict[str, Any], IO[bytes]]]:
        """The columns by name (or one array under ""), what else the file states, and the file itself.

        `direct`: arrays that are not compressed are read past the zip reader, which cannot seek without reading.
        """
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(self._path, "rb"))
            if self.container == "npy":
                yield {"": Rows(file)}, {}, file
                return
            archive = stack.enter_context(zipfile.ZipFile(file))
            if "network.json" in archive.namelist():
                raise ValueError("is a spiking network (`network:` of a classifier), not a recording")
            names = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
            columns = {}

            def rows_of(name: str) -> Rows:
                rows = Rows(stack.enter_context(archive.open(name)))
                entry = archive.getinfo(name)
                if not direct or entry.compress_type != zipfile.ZIP_STORED or rows.bytes_left > entry.file_size:
                    return rows
                return Rows(stack.enter_context(entry_itself(self._path, entry)))

            whole = "events" if "events" in names else _only_array(names)
            if whole:
                columns[""] = rows_of(names[whole])
            else:
                for column, alias in _columns_among(archive, names).items():
                    columns[column] = rows_of(names[alias])
            yield columns, _extras(archive, names), file

    def _check(self, columns: dict[str, Rows], unit: str | None) -> dict[str, str]:
        """What is to be known of the columns and how it is known, for people. ValueError: they are no events."""
        if not all(rows.shape for rows in columns.values()):
            raise ValueError("holds a single value, want one event a row")
        lengths = {rows.shape[0] for rows in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"has columns of different lengths: {sorted(lengths)}")
        (self._count,) = lengths
        if unit is not None and unit not in UNITS_US:
            raise ValueError(f"has the time unit {unit!r}, want one of {', '.join(UNITS_US)}")
        first, _ = _read_all(columns, SAMPLE)
        whole, how = first.get(""), {}
        if whole is not None and whole.ndim == 2:
            known = "as told" if self._layout else "from the numbers"
            self._layout = order_of(self._layout) if self._layout else order_of_rows(whole)
            if len(self._layout) != 4:
                raise ValueError(f"has four columns, and `layout` {self._layout!r} names {len(self._layout)}")
            how["columns"] = f"{' '.join(self._layout)}, {known}"
        elif self._layout:
            raise ValueError("names its columns itself; leave `layout` out")
        sample = self._columns(first)
        for name, column in sample.items():
            if column.dtype.kind not in "biuf":
                raise ValueError(f"has a column {name!r} of dtype {column.dtype}, want numbers")
        return how | {"time unit": unit or self._guessed_unit(columns, sample["t"])}

    def _guessed_unit(self, columns: dict[str, Rows], times: np.ndarray) -> str:
        """Whether times have a fraction. The first may be whole by chance, a burst at 0.0 s: several are looked at."""
        seen: set[float] = set()
        while times.dtype.kind == "f" and len(times) and len(seen) < SEVERAL:
            if (times % 1 > 0).any():
                return "s, assumed: times have a fraction"
            seen.update(np.unique(times)[:SEVERAL].tolist())
            times = self._columns(_read_all(columns, 1 << 16)[0])["t"]
        return "us, assumed"

    def _columns(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        whole = rows.get("")
        if whole is None:
            return rows
        if whole.ndim == 2:
            return {name: whole[:, self._layout.index(name)] for name in "txyp"}
        fields: Any = whole.dtype.fields or {}
        found = find(fields)
        missing = [name for name in NAMES if name not in found]
        if missing:
            raise ValueError(f"has fields {', '.join(fields) or '(none)'}; there is none for {', '.join(missing)}")
        return {name: whole[alias] for name, alias in found.items()}

    def _events(self, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
        """Rows as EVENT_DTYPE up to the first impossible value, and what that is ("": none)."""
        if self._unit_us == 1 and "" in rows and rows[""].dtype == EVENT_DTYPE:
            content = rows[""].view(np.uint8).copy()  # as bytes: records are copied ten times as slowly
            polarity = content[EVENT_DTYPE.itemsize - 1 :: EVENT_DTYPE.itemsize]
            if len(polarity) and polarity.max() > 1:
                polarity[:] = polarity != 0  # whatever the byte is
            return content.view(EVENT_DTYPE), ""
        return to_events(self._columns(rows), self._unit_us)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (RecordingError, OSError):
            raise
        except Exception as error:  # numpy's and zipfile's many ways to say that the file is damaged
            raise RecordingError(f"{self._path}: {error or type(error).__name__}", self._path, 0) from None


def _only_array(names: dict[str, str]) -> str:
    """The one array of an archive that holds no other, whatever its name, but what states units and sizes."""
    arrays = [name for name in names if name not in ("sensor", "width", "height", *_TEXTS)]
    return arrays[0] if len(arrays) == 1 else ""


def _columns_among(archive: zipfile.ZipFile, names: dict[str, str]) -> dict[str, str]:
    """Under which names the columns are; ValueError if one is missing."""
    found = find(names)
    if not names:
        held = ", ".join(archive.namelist()[:3]) or "nothing"
        raise ValueError(f"is a zip archive without arrays; it holds {held}: unpack it and read that")
    for column in NAMES:
        if column not in found:
            raise ValueError(f"has no array `events` and no column {column!r}; it holds {', '.join(names)}")
    return found


def _read_all(columns: dict[str, Rows], count: int) -> tuple[dict[str, np.ndarray], str]:
    """The next rows of every column, cut to the shortest, and what is wrong if one ended early ("": nothing)."""
    rows, ended = {}, ""
    for name, column in columns.items():
        try:
            rows[name] = column.read(count)
        except EOFError as early:
            rows[name], ended = early.args[0], f"the array {name or 'events'!r} ends before its last row"
    shortest = min(len(part) for part in rows.values())
    return {name: part[:shortest] for name, part in rows.items()}, ended


def _extras(archive: zipfile.ZipFile, names: dict[str, str]) -> dict[str, Any]:
    """Compression; sensor size and time unit, where the file states them."""
    found: dict[str, Any] = {}
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        found["codec"] = "deflate"
    for name in ("sensor", "width", "height", *_TEXTS):
        if name not in names or archive.getinfo(names[name]).file_size > 4096:
            continue
        with archive.open(names[name]) as file:
            value = np.lib.format.read_array(file, allow_pickle=False)
        if name == "sensor" and value.shape == (2,):
            found["width"], found["height"] = int(value[0]), int(value[1])
        elif value.shape == ():
            found[name] = str(value) if name in _TEXTS else int(value)
    return found


class NpzWriter(RecordingWriter):
    """A .npz with `events` (structured), `sensor` and `time_unit`. It becomes readable only when it is closed."""

    codecs = ("deflate", "none")

    def _begin(self) -> None:
        self._rows = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115  closed by _finish
        # A zip needs the number of rows before the first; memory stays flat whatever the length.

    def _write(self, events: np.ndarray) -> None:
        self._rows.write(events.tobytes())

    def _finish(self) -> None:
        method = zipfile.ZIP_DEFLATED if self.compression == "deflate" else zipfile.ZIP_STORED
        with self._rows, zipfile.ZipFile(self._file, "w") as archive:
            self._rows.seek(0)
            for name, array in (
                ("sensor", np.array([self.sensor.width, self.sensor.height])),
                ("time_unit", np.array("us")),
            ):
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
            info = zipfile.ZipInfo("events.npy")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as entry:
                shape = {"descr": EVENT_DTYPE.descr, "fortran_order": False, "shape": (self.events_written,)}
                np.lib.format.write_array_header_1_0(entry, shape)
                while block := self._rows.read(1 << 20):
                    entry.write(block)


def open_numpy(path: Path, options: ReadOptions) -> Source:
    return NumpyFile(path, options)
