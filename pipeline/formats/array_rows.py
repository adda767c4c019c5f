"""The rows of an array in a .npy file or an entry of a .npz archive, piece by piece; npz.py says what they mean."""

import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

_LARGEST_ITEM = 256  # bytes of a row; beyond this it is no event


class Rows:
    """The rows of one array in a file, read in order. A header that claims more than there is costs nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns about headers of Python 2
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, fortran, self.dtype = read(file)
        if self.dtype.hasobject:
            raise ValueError("holds Python objects, which are never unpickled; save numbers")
        if fortran and len(self.shape) > 1 and min(self.shape) > 1:
            raise ValueError("is stored column by column; save np.ascontiguousarray of it")
        if self.dtype.itemsize > _LARGEST_ITEM or len(self.shape) > 2 or (len(self.shape) == 2 and self.shape[1] != 4):
            raise ValueError(f"has shape {self.shape} and dtype {self.dtype}, want one event a row")
        self._file = file
        self._row = self.dtype.itemsize * (4 if len(self.shape) == 2 else 1)
        self._left = self.shape[0] if self.shape else 0

    @property
    def bytes_left(self) -> int:
        return self._left * self._row

    def skip(self, count: int) -> None:
        """Go on at a later row: at once in a file as it is, by unpacking what is between in a compressed one."""
        self._left -= count
        self._file.seek(count * self._row, os.SEEK_CUR)

    def read(self, count: int) -> np.ndarray:
        """The next rows, at most `count`; none at the end. EOFError carries the last whole rows if the file ends
        early.
        """
        want = min(count, self._left)
        data = b""
        while len(data) < want * self._row:
            more = self._file.read(want * self._row - len(data))
            if not more:
                break
            data += more
        rows = np.frombuffer(data[: len(data) // self._row * self._row], self.dtype)
        if self._row != self.dtype.itemsize:
            rows = rows.reshape(-1, 4)
        self._left -= want
        if len(rows) < want:
            raise EOFError(rows)
        return rows


def entry_itself(path: Path, entry: zipfile.ZipInfo) -> IO[bytes]:
    """The archive, opened at the first byte of an entry that is not compressed."""
    file = open(path, "rb")  # noqa: SIM115  the caller closes it
    try:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(entry.header_offset + 30 + name + extra)
    except BaseException:
        file.close()
        raise
    return file
