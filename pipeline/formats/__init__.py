"""Recordings in many containers, read as streams of EventPacket. One file a container, one row a container.

    with open_recording("hands.aedat4") as recording:
        for packet in recording:
            ...

A file is known by its first bytes, never by its name. Other packages add containers through the entry point group
`dvs_run.formats`: each entry point names a Container.
"""

import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ..errors import RecordingError
from ..events import SensorSize
from . import sniff
from .labels import GESTURES, labels_path, read_labels, write_labels
from .recording import DEFECTS, Batch, OnError, Reading, ReadOptions, Recording, Source
from .write import RecordingWriter

__all__ = [
    "CONTAINERS", "DEFECTS", "GESTURES", "Batch", "Container", "OnError", "ReadOptions", "Reading", "Recording",
    "RecordingWriter", "Source", "labels_path", "open_recording", "open_writer", "read_labels", "write_labels",
]  # fmt: skip


CHOICES = ("layout", "stream_id", "time_unit")


class Container(NamedTuple):
    """A row of the catalogue. Reader and writer are `module:name`, imported when used; a dot: in this package."""

    name: str
    what: str  # for people
    recognises: Callable[[Path, bytes], bool]  # given the path and the first bytes of the file
    reader: str  # (Path, ReadOptions) -> Source
    writer: str = ""  # a RecordingWriter; "": cannot be written
    suffixes: tuple[str, ...] = ()  # of the names for which this container is written
    takes: tuple[str, ...] = CHOICES  # which of these options mean something to its reader; others are refused


CONTAINERS = (  # asked in this order; those without a mark of their own come last
    Container(
        "aedat4",
        "AEDAT 4",
        sniff.is_aedat4,
        ".aedat4:open_aedat4",
        ".aedat4_writer:Aedat4Writer",
        (".aedat4",),
        takes=("stream_id",),
    ),
    Container(
        "aedat31",
        "AEDAT 3.1",
        sniff.is_aedat31,
        ".aedat31:open_aedat31",
        ".aedat31:Aedat31Writer",
        (".aedat",),
        takes=(),
    ),
    Container("aedat2", "AEDAT 2.0", sniff.is_aedat2, ".aedat2:open_aedat2", ".aedat2:Aedat2Writer", takes=("layout",)),
    Container("es", "Event Stream", sniff.is_es, ".es:open_es", ".es:EsWriter", (".es",), takes=()),
    Container("npy", "NumPy .npy", sniff.is_npy, ".npz:open_numpy", takes=("layout", "time_unit")),
    Container(
        "npz", "NumPy .npz", sniff.is_npz, ".npz:open_numpy", ".npz:NpzWriter", (".npz",), takes=("layout", "time_unit")
    ),
    Container("hdf5", "HDF5", sniff.is_hdf5, ".hdf5:open_hdf5"),
    Container("rosbag", "ROS 1 bag", sniff.is_rosbag, ".ros:open_rosbag", takes=("stream_id",)),
    Container("mcap", "ROS 2 bag (MCAP)", sniff.is_mcap, ".ros:open_mcap", takes=("stream_id",)),
    Container("db3", "ROS 2 bag (SQLite)", sniff.is_db3, ".ros:open_db3", takes=("stream_id",)),
    Container(
        "csv",
        "text (CSV, events.txt)",
        sniff.is_csv,
        ".text:open_text",
        ".text:TextWriter",
        (".csv",),
        takes=("layout", "time_unit"),
    ),
    Container("dat", "Prophesee DAT", sniff.is_dat, ".dat:open_dat", ".dat:DatWriter", (".dat",), takes=()),
    Container("evt3", "Prophesee EVT 3.0", sniff.is_evt3, ".evt3:open_evt3", ".evt3:Evt3Writer", (".raw",), takes=()),
    Container("evt2", "Prophesee EVT 2.0", sniff.is_evt2, ".evt2:open_evt2", ".evt2:Evt2Writer", takes=()),
    Container("evt21", "Prophesee EVT 2.1", sniff.is_evt21, ".evt21:open_evt21", ".evt21:Evt21Writer", takes=()),
    Container(
        "nmnist", "N-MNIST .bin", sniff.is_nmnist, ".nmnist:open_nmnist", ".nmnist:NmnistWriter", (".bin",), takes=()
    ),
    Container("aedat1", "AEDAT 1.0", sniff.is_aedat1, ".aedat2:open_aedat1", takes=("layout",)),
)


def open_recording(
    path: str | Path,
    *,
    sensor: SensorSize | None = None,
    container: str | None = None,
    layout: str | None = None,
    stream_id: int | str | None = None,
    time_unit: str | None = None,
    packet_events: int = 8192,
    packet_us: int | None = None,
    on_error: OnError = "raise",
    start_us: int = 0,
    stop_us: int | None = None,
) -> Recording:
    """Open a recording of any container; RecordingError if it is none, or its header is damaged.

    `sensor` and `layout` are needed only where the file does not say; `container` only for the few without a mark of
    their own. ReadOptions explains the others.
    """
    path = Path(path)
    if on_error not in get_args(OnError):
        raise RecordingError(f"on_error is {on_error!r}, want one of {', '.join(get_args(OnError))}", path)
    if packet_events < 1 or (packet_us is not None and packet_us < 1):
        raise RecordingError(f"packets of {packet_events} events and {packet_us} µs; want at least 1", path)
    if start_us < 0 or (stop_us is not None and stop_us <= start_us):
        raise RecordingError(f"a part from {start_us} to {stop_us} µs; want a stop after the start, from 0 on", path)
    if isinstance(stream_id, str) and stream_id.isdecimal():
        stream_id = int(stream_id)
    options = ReadOptions(
        sensor, layout, stream_id, time_unit, packet_events, packet_us, on_error, start_us=start_us, stop_us=stop_us
    )
    try:
        start = sniff.first_bytes(path)
        row = _named(container, path) if container else _recognised(path, start)
        _check_choices(row, options, path)
        source: Source = _load(row.reader)(path, options)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror or error}", path) from error
    return Recording(path, source, options, read_labels(path))


def _check_choices(row: Container, options: ReadOptions, path: Path) -> None:
    told = [name for name in CHOICES if getattr(options, name) is not None and name not in row.takes]
    if told:
        names = " and ".join({"stream_id": "stream"}.get(name, name) for name in told)
        raise RecordingError(
            f"{path}: {names} does not go with {row.what}, which has no such choice; leave it out", path
        )


def open_writer(
    path: str | Path, sensor: SensorSize, compression: str | None = None, *, container: str | None = None
) -> RecordingWriter:
    """Begin a recording; its suffix says the container unless `container` does. An existing file is replaced."""
    path = Path(path)
    row = writable(path, container)
    _check_size(row, path, sensor)
    writer: RecordingWriter = _load(row.writer)(path, sensor, compression)
    return writer


def writable(path: Path, container: str | None = None) -> Container:
    """The container in which a file of this name is written, or the one that is named. RecordingError: none is."""
    rows = written = [row for row in _catalogue() if row.writer]
    if container is not None:
        rows = [row for row in rows if row.name == container]
        wanted = f"container {container!r}"
    else:
        rows = [row for row in rows if path.suffix.lower() in row.suffixes]
        wanted = (
            f"the suffix {path.suffix!r}" if path.suffix else "a name without a suffix, unless its container is told"
        )
    if not rows:
        known = ", ".join(f"{row.name} ({', '.join(row.suffixes) or 'no suffix'})" for row in written)
        raise RecordingError(f"{path}: nothing writes {wanted}; can be written: {known}", path)
    return rows[0]


def _check_size(row: Container, path: Path, sensor: SensorSize) -> None:
    """RecordingError if the container cannot count the pixels of this sensor."""
    side, most = max(sensor.width, sensor.height), _load(row.writer).largest_side
    if side > most:
        others = (other for other in CONTAINERS if other.writer and other.suffixes)
        fitting = [other for other in others if _load(other.writer).largest_side >= side]
        names = ", ".join(f"{other.what} ({other.suffixes[0]})" for other in fitting)
        raise RecordingError(
            f"{path}: {row.what} counts {most} pixels a side, not {sensor}; write one that does: {names}",
            path,
        )


def _catalogue() -> tuple[Container, ...]:
    return (*CONTAINERS, *_added())


@functools.cache
def _added() -> tuple[Container, ...]:
    return tuple(_plugin(entry) for entry in importlib.metadata.entry_points(group="dvs_run.formats"))


def _plugin(entry: importlib.metadata.EntryPoint) -> Container:
    row = entry.load()
    if not isinstance(row, Container):
        raise RecordingError(
            f"entry point {entry.name} ({entry.value}) is a {type(row).__name__}, want a formats.Container"
        )
    return row


def _named(name: str, path: Path) -> Container:
    rows = {row.name: row for row in _catalogue()}
    if name not in rows:
        raise RecordingError(f"{path}: container {name!r} is unknown; known are {', '.join(rows)}", path)
    return rows[name]


def _recognised(path: Path, start: bytes) -> Container:
    for row in (*_added(), *CONTAINERS):  # those of other packages first: some of ours go by plausibility
        if row.recognises(path, start):
            return row
    known = ", ".join(row.what for row in _catalogue())
    raise RecordingError(f"{path}: {sniff.what_else(start)}; supported are {known}", path, 0)


def _load(where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(module, __package__), name)
