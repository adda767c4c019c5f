"""HDF5 files as nested dicts, for NIR. The only file that imports h5py; apart.py runs the reading.

A file is somebody else's: it may be cut, mutated or hostile. Its tree is walked by us, and what could reach beyond the
file (links to other files, arrays kept in other files, filters that are loaded as plugins), or grow without bound
(shapes that promise more than they hold, groups within themselves), is refused before anything of it is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DvsError, NetworkError
from ..files import written_whole
from ..network import BROKEN_FILE, MAX_FILE_BYTES

if TYPE_CHECKING:
    import h5py

Tree = dict[str, Any]  # names to Trees, numeric arrays, strings, or lists of strings (of lists of strings)

MOST_OBJECTS = 100_000  # groups and arrays of one file
MOST_TEXTS = 200_000  # in one list, of edges say
MOST_TEXT = 64 << 20  # characters of all strings of one file
DEEPEST = 16  # groups within groups
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}  # built into h5py, nothing is loaded
PACK_FROM = 64  # numbers; shorter arrays are not compressed


def walk(path: Path) -> Tree:
    """Everything in an HDF5 file, read in this process: for apart.py, whose `read_tree` is the door.

    Raises NetworkError where it is not one, or reaches beyond itself.
    """
    try:
        with _h5py().File(path, "r", locking="best-effort") as file:
            return _Walk(path).group(file, 0)
    except DvsError:
        raise
    except BROKEN_FILE as error:
        raise NetworkError(f"{path} cannot be read as an HDF5 file, which NIR files are: {_short(error)}") from error


def write_tree(path: str | Path, tree: Tree) -> None:
    """Write `tree`; the same tree gives the same bytes. Raises NetworkError where the file cannot be written."""
    h5py = _h5py()
    try:
        with written_whole(path) as partial, h5py.File(partial, "w") as file:
            _write_group(file, tree, h5py.string_dtype())
    except OSError as error:
        raise NetworkError(f"{path} cannot be written: {error.strerror or _short(error)}") from error


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise DvsError(f"NIR files need h5py ({error}); install the extra: pip install 'dvs-run[nir]'") from None
    return h5py


def _write_group(group: "h5py.Group", tree: Tree, text: np.dtype) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            _write_group(group.create_group(name), value, text)
        elif isinstance(value, np.ndarray):
            packed = "gzip" if value.size >= PACK_FROM else None
            group.create_dataset(name, data=value, compression=packed, shuffle=packed is not None)
        else:
            group.create_dataset(name, data=value, dtype=text)


class _Walk:
    """One reading of one file, and what it may still cost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects, self.bytes, self.text = 0, 0, 0

    def group(self, group: "h5py.Group", depth: int) -> Tree:
        if depth > DEEPEST:
            raise self.refused(group.name, f"lies more than {DEEPEST} groups deep; does a group hold itself?")
        return {name: self.member(group, name, depth) for name in group}

    def member(self, group: "h5py.Group", name: str, depth: int) -> Any:
        h5py = _h5py()
        where = f"{group.name.rstrip('/')}/{name}"
        self.objects += 1
        if self.objects > MOST_OBJECTS:
            raise self.refused(where, f"is one of more than {MOST_OBJECTS:,} objects")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise self.refused(where, "is a link to elsewhere; want the data in the file itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            return self.group(item, depth + 1)
        if isinstance(item, h5py.Dataset):
            return self.array(item, where)
        raise self.refused(where, f"is a {type(item).__name__}, want groups and arrays only")

    def array(self, item: "h5py.Dataset", where: str) -> Any:
        self.check_storage(item, where)
        is_text = _h5py().check_string_dtype(item.dtype) is not None
        if not is_text and (item.dtype.kind not in "fiub" or item.dtype.itemsize > 8):
            raise self.refused(where, f"holds {item.dtype}, want numbers or text")
        if item.shape is None:
            raise self.refused(where, "is empty")
        self.bytes += int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
        if self.bytes > MAX_FILE_BYTES:
            raise self.refused(where, f"and what comes before unpack to more than {MAX_FILE_BYTES >> 30} GiB")
        return self.strings(item, where) if is_text else np.asarray(item[()])

    def check_storage(self, item: "h5py.Dataset", where: str) -> None:
        """Refuse what is kept in other files, and filters that would be loaded from the disk."""
        if item.external or item.is_virtual:
            raise self.refused(where, "keeps its numbers in another file")
        properties = item.id.get_create_plist()
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        unknown = [code for code in codes if code not in FILTERS]
        if unknown:
            raise self.refused(where, f"is packed with filter {unknown[0]}, known are {', '.join(FILTERS.values())}")
        chunk = int(np.prod(item.chunks or (0,), dtype=object)) * item.dtype.itemsize
        if chunk > MAX_FILE_BYTES:
            raise self.refused(where, f"is kept in pieces of {chunk:,} bytes")

    def strings(self, item: "h5py.Dataset", where: str) -> Any:
        """A line, or a list or table of lines. One is read at a time: many places can name the same long text."""
        if item.shape == ():
            return self.decoded(item[()], where)
        if len(item.shape) > 2 or int(np.prod(item.shape, dtype=object)) > MOST_TEXTS:
            raise self.refused(where, f"is text of shape {item.shape}, want a line, or a list of edges")
        if len(item.shape) == 1:
            return [self.decoded(item[i], where) for i in range(item.shape[0])]
        return [[self.decoded(item[i, j], where) for j in range(item.shape[1])] for i in range(item.shape[0])]

    def decoded(self, text: Any, where: str) -> str:
        self.text += len(text)
        if self.text > MOST_TEXT:
            raise self.refused(where, f"and what comes before hold more than {MOST_TEXT >> 20} MiB of text")
        return text.decode("utf-8") if isinstance(text, bytes) else str(text)

    def refused(self, where: str, why: str) -> NetworkError:
        return NetworkError(f"{self.path}: {where!r} {why}")


def _short(error: BaseException) -> str:
    """The first line of what HDF5 says, which can be long."""
    return str(error).partition("\n")[0][:200] or type(error).__name__
