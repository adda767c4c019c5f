"""Reads an HDF5 file in a process of its own and writes columns of events to its standard output; hdf5.py starts it.

The HDF5 library is C: a damaged file can crash it or lead it in circles. So it runs here, where it may. This file is a
program by itself that imports nothing of ours (therefore its length): it starts in a quarter of a second.

Standard input: one line of JSON, what to do. Standard output: lines of JSON; one that has `rows` is followed by that
many rows of t, x, y and p, column after column. What could reach beyond the file (links, arrays kept elsewhere) is not
followed, and nothing larger than a block is unpacked at once, whatever the file promises.
"""

import io
import json
import os
import struct
import sys

import h5py
import numpy as np

BLOCK = 1 << 16  # rows read at once, unless the file's own chunks are larger
SEVERAL = 16  # different times that are whole: so are all
LARGEST_CHUNK = 1 << 28  # bytes
CACHE = 1 << 25  # bytes of unpacked chunks that HDF5 keeps
MOST_OBJECTS, DEEPEST = 2000, 8
MOST_MARKS = 256
MEMORY = 4 << 30
ECF = 36559  # the filter of Prophesee's codec
CODECS = {1: "gzip", 4: "szip", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32015: "zstd", 32026: "blosc2", ECF: "ecf"}


class Trouble(Exception):
    """What is wrong, for people."""


class PaddedFile(io.RawIOBase):
    """A file that was cut, as long as it should be; HDF5 opens no shorter one. What is missing reads as zeros."""

    def __init__(self, path, size):
        self._file, self._size, self._at = open(path, "rb", buffering=0), size, 0  # noqa: SIM115

    def readinto(self, buffer):
        self._file.seek(self._at)
        got = self._file.readinto(buffer) or 0
        wanted = max(0, min(len(buffer), self._size - self._at))
        memoryview(buffer)[got:wanted] = bytes(wanted - got)
        self._at += wanted
        return wanted

    def seek(self, offset, whence=os.SEEK_SET):
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self):
        return self._at

    def truncate(self, size=None):
        raise OSError("is not written to")


class Column:
    """One column of events in a file: an array, a field of one, or a column of one."""

    def __init__(self, array, field="", at=None):
        self.array, self._field, self._at = array, field, at
        self.dtype = np.dtype(array.dtype[field] if field else array.dtype)
        self.rows = int(array.shape[0])
        self.chunk = int(array.chunks[0]) if array.chunks else 0

    def read(self, start, stop):
        data = self.array[start:stop]
        data = data[self._field] if self._field else data if self._at is None else data[:, self._at]
        return np.ascontiguousarray(data)

    def byte_offset(self, row):
        """Where in the file a row is."""
        if not self.chunk:
            return int(self.array.id.get_offset() or 0) + row * self.array.dtype.itemsize
        return int(self._info(row).byte_offset or 0)

    def stored_until(self, size):
        """How many rows of an array in one piece lie within a file of `size` bytes."""
        if self.chunk:
            return self.rows
        return max(0, min(self.rows, (size - self.byte_offset(0)) // self.array.dtype.itemsize))

    def is_stored(self, start, stop, size):
        """Whether the chunks of these rows lie within a file of `size` bytes."""
        if not self.chunk:
            return True
        places = [self._info(row) for row in range(start // self.chunk * self.chunk, stop, self.chunk)]
        return all(place.byte_offset is not None and place.byte_offset + place.size <= size for place in places)

    def _info(self, row):
        at = (row // self.chunk * self.chunk, *(0 for _ in self.array.shape[1:]))
        return self.array.id.get_chunk_info_by_coord(at)


def main():
    limit()
    request = json.loads(sys.stdin.readline())
    try:
        path = request["path"]
        with open_file(path, stored_size(path)) as file:
            run(file, request)
    except Trouble as trouble:
        tell(trouble=str(trouble))
    except Exception as error:  # h5py's and HDF5's many ways to say that the file is damaged
        tell(trouble=f"cannot be read as HDF5: {short(error)}")


def limit():
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # not on Windows; where the limit is lower already
        pass


def stored_size(path):
    """How long the file says that it is; 0: it does not say."""
    with open(path, "rb") as file:
        head = file.read(48).ljust(48, b"\0")
    return struct.unpack_from("<Q", head, 40 if head[8] < 2 else 28)[0]


def open_file(path, stored):
    cut = os.path.getsize(path) < stored < 1 << 50
    return h5py.File(PaddedFile(path, stored) if cut else path, "r", rdcc_nbytes=CACHE)


def run(file, request):
    streams = find_streams(file, request["names"])
    if not streams:
        raise Trouble(
            "holds no events: no group with t, x, y and p, no array of records with them, none of four columns"
        )
    name = (request["stream"] or next(iter(streams))).strip("/") or "/"
    if name not in streams:
        raise Trouble(f"holds no events at {name!r}; those with events are {', '.join(streams)}")
    columns = columns_of(streams[name], request["order"])
    rows = check(columns, os.path.getsize(request["path"]))
    if request["what"] == "head":
        head(file, streams, name, columns, rows)
    elif request["what"] == "marks":
        tell(marks=marks(columns["t"], rows))
    else:
        read(columns, rows, request)


def find_streams(file, names):
    """By path: the arrays of t, x, y and p, or one array that has them."""
    found: dict = {}
    groups, seen = [("", file, 0)], 0
    while groups:
        where, group, depth = groups.pop(0)
        arrays = {}
        for key in group:
            seen += 1
            if seen > MOST_OBJECTS:
                return found
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if isinstance(item, h5py.Group) and depth < DEEPEST:
                groups.append((f"{where}/{key}".strip("/"), item, depth + 1))
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                arrays[key] = item
        chosen = {column: next((alias for alias in names[column] if alias in arrays), None) for column in names}
        if all(chosen.values()):
            found[where or "/"] = {column: (arrays[alias], "") for column, alias in chosen.items()}
        for key, item in arrays.items():
            fields = item.dtype.names or ()
            named = {column: next((alias for alias in names[column] if alias in fields), "") for column in names}
            if len(item.shape) == 1 and all(named.values()):
                found[f"{where}/{key}".strip("/")] = {column: (item, field) for column, field in named.items()}
            elif len(item.shape) == 2 and item.shape[1] == 4 and "event" in key.lower():
                found[f"{where}/{key}".strip("/")] = item
    return found


def columns_of(stream, order):
    if isinstance(stream, dict):
        return {column: Column(array, field) for column, (array, field) in stream.items()}
    check_storage(stream)
    order = order or guess_order(stream)
    return {column: Column(stream, at=order.index(column)) for column in "txyp"}


def guess_order(array):
    """The order of four columns, as their numbers tell."""
    rows = array[:256]
    fitting = []
    for order in ("txyp", "xytp", "xypt"):
        column = {name: rows[:, order.index(name)] for name in "txyp"}
        sides = all((column[name] == np.floor(column[name])).all() and (column[name] < 65535).all() for name in "xy")
        times = np.diff(column["t"].astype(float))
        if sides and np.isin(column["p"], (-1, 0, 1)).all() and (times >= 0).all():
            fitting.append(order)
    if len(fitting) != 1:
        raise Trouble("holds a plain array of four columns; say their order with `layout`, for instance 'txyp'")
    return fitting[0]


def check(columns, size):
    """The number of rows. Trouble if the columns are none of numbers, or cannot be in a file of `size` bytes."""
    lengths = {column.rows for column in columns.values()}
    for name, column in columns.items():
        check_storage(column.array)
        if column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            raise Trouble(f"has a column {name!r} of {column.dtype}, want numbers")
        if column._field == "" and column._at is None and len(column.array.shape) != 1:
            raise Trouble(f"has a column {name!r} of shape {column.array.shape}, want one number an event")
        width = column.array.dtype.itemsize
        held = column.array.id.get_num_chunks() * column.chunk if column.chunk else size // width
        if column.rows > held:
            raise Trouble(f"has a column {name!r} of {column.rows:,} rows, but no more than {held:,} in the file")
    if len(lengths) > 1:
        raise Trouble(f"has columns of different lengths: {sorted(lengths)}")
    return min(lengths)


def check_storage(array):
    """Trouble if an array is kept in other files, or packed with what is not installed."""
    if array.external or array.is_virtual:
        raise Trouble("keeps its numbers in another file")
    for code, name in filters_of(array).items():
        if not available(code):
            raise Trouble(missing(code, name))
    chunk = int(np.prod(array.chunks or (0,), dtype=object)) * array.dtype.itemsize
    if chunk > LARGEST_CHUNK:
        raise Trouble(f"is kept in chunks of {chunk:,} bytes, more than {LARGEST_CHUNK:,}")


def filters_of(array):
    """The codes of the filters that an array went through, each with its name."""
    properties = array.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return {code: name for code, _, _, name in filters}


def available(code):
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import hdf5plugin  # noqa: F401  its import registers filters
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


def missing(code, name):
    if code == ECF:
        return (
            "is packed with Prophesee's codec ECF, which is not installed: build github.com/prophesee-ai/hdf5_ecf (or "
            "install Metavision) and set HDF5_PLUGIN_PATH to its folder, or convert the file to RAW"
        )
    said = f" ({name.decode(errors='replace')[:40]})" if name else ""
    return f"is packed with filter {code}{said}, which is not installed; pip install 'dvs-run[hdf5]' has the usual ones"


def head(file, streams, name, columns, rows):
    array = columns["t"].array
    codes = (code for code in filters_of(array) if code not in (2, 3))  # shuffled, with a checksum
    codec = next((CODECS.get(code, f"filter {code}") for code in codes), "none")
    found = {"offset": int(file["t_offset"][()])} if is_number(file, "t_offset") else {}
    fraction = columns["t"].dtype.kind == "f" and has_fraction(columns["t"], rows)
    dtypes = {column: columns[column].dtype.newbyteorder("<").str for column in "txyp"}
    group = array.parent
    sensor = size_of(array.attrs) or size_of(group.attrs) or size_of(file.attrs)
    tell(
        streams=list(streams), stream=name, rows_in_all=rows, dtypes=dtypes, codec=codec, fraction=fraction,
        sensor=sensor, **found,
    )  # fmt: skip


def is_number(file, key):
    link = file.get(key, getlink=True) if key in file else None
    return isinstance(link, h5py.HardLink) and isinstance(file[key], h5py.Dataset) and file[key].shape == ()


def has_fraction(times, rows):
    """Whether times are no whole numbers. The first may be by chance, a burst at 0.0 s: several are looked at."""
    seen: set = set()
    try:
        for row in range(0, rows, BLOCK):
            part = times.read(row, min(rows, row + BLOCK))
            seen.update(np.unique(part)[:SEVERAL].tolist())
            if len(seen) >= SEVERAL or (part % 1 != 0).any():
                return bool((part % 1 != 0).any())
        return False
    except Exception:  # damage, which the reading tells
        return True


def size_of(attributes):
    """[width, height] as attributes say."""
    try:
        if "width" in attributes and "height" in attributes:
            return [int(attributes["width"]), int(attributes["height"])]
        if "geometry" in attributes:
            geometry = attributes["geometry"]
            text = geometry.decode() if isinstance(geometry, bytes) else str(geometry)
            return [int(side) for side in text.lower().split("x")]
        if "sensor_resolution" in attributes:  # of two orders in use
            return sorted((int(side) for side in np.ravel(attributes["sensor_resolution"])), reverse=True)
    except (ValueError, TypeError, OSError, KeyError):
        pass
    return None


def marks(times, rows):
    """(row, time of the event before, time of the first event from there) at equal distances."""
    found = []
    step = max(times.chunk or BLOCK, -(-rows // MOST_MARKS))
    for row in range(0, rows, step):
        pair = times.read(max(0, row - 1), row + 1).tolist()
        found.append([row, pair[0], pair[-1]])
    return found


def read(columns, rows, request):
    """All rows from request["row"] on, block by block; what cannot be read is told, and left out with `skip`."""
    chunk = max(column.chunk for column in columns.values())
    least = min((column.chunk for column in columns.values() if column.chunk), default=BLOCK)
    size, path = os.path.getsize(request["path"]), request["path"]
    is_cut = size < stored_size(path)
    row, step = request["row"], max(BLOCK, chunk)
    present = min(column.stored_until(size) for column in columns.values()) if is_cut else rows
    while row < present:
        stop = min(present, row // step * step + step)
        try:
            if is_cut and not all(column.is_stored(row, stop, size) for column in columns.values()):
                raise OSError("the file ends before them")
            data = [columns[name].read(row, stop) for name in "txyp"]
        except Exception as error:  # HDF5's many ways to say that a part of the file is damaged
            if step > least:
                step = least  # up to the damaged chunk
                continue
            tell(fault=f"rows {row} to {stop - 1} cannot be read: {short(error)}", at=where(columns, row))
            if not request["skip"]:
                return
        else:
            tell(rows=stop - row, row=row, at=where(columns, row))
            for name, column in zip("txyp", data, strict=True):
                sys.stdout.buffer.write(column.astype(columns[name].dtype.newbyteorder("<"), copy=False).tobytes())
        row = stop
    if present < rows:
        what = f"rows {present} to {rows - 1} cannot be read: the file ends before them"
        tell(fault=what, at=where(columns, present))
    tell(end=True)


def where(columns, row):
    try:
        return columns["t"].byte_offset(row)
    except Exception:  # the tree of chunks is damaged
        return -1


def tell(**what):
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\n")
    sys.stdout.buffer.flush()


def short(error):
    """The first line of what HDF5 says, which can be long."""
    return str(error).partition("\n")[0][:200] or type(error).__name__


if __name__ == "__main__":
    main()
