"""The IDX container of MNIST and its kin: images or labels of one kind in one file, plain or gzipped.

2 bytes zero, 1 byte type, 1 byte number of axes, 4 bytes big-endian per axis, then the values row by row
"""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from .errors import RecordingError, counted
from .files import open_regular

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 4 << 30  # a header that promises more is refused before anything is allocated


def read_idx(path: str | Path) -> np.ndarray:
    """The array of one IDX file, in native byte order. Raises RecordingError unless header and length agree."""
    try:
        with open_regular(path) as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as unpacked:
                data = unpacked.read(MAX_BYTES)
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path} cannot be read: {error}", path) from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES or not 1 <= data[3] <= 4:
        raise RecordingError(
            f"{path} is not an IDX file (it begins with {data[:4].hex(' ') or 'nothing'}); want 00 00, a type and "
            "the number of axes, as in train-images-idx3-ubyte",
            path,
            byte_offset=0,
        )
    axes, dtype = data[3], np.dtype(IDX_TYPES[data[2]])
    start = 4 + 4 * axes
    if len(data) < start:
        raise RecordingError(f"{path} ends within its header, after {len(data)} of {start} bytes", path, len(data))
    shape = struct.unpack(f">{axes}I", data[4:start])
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise RecordingError(
            f"{path} has {len(data)} bytes, but its header of shape {shape} promises {wanted}; download it again",
            path,
            byte_offset=min(len(data), wanted),
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_images(path: str | Path) -> np.ndarray:
    """Images of an IDX file as float32 (n, channel, height, width) in 0..1. Raises RecordingError for another kind."""
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise RecordingError(
            f"{path} holds {array.dtype} of shape {array.shape}, want images: bytes (n, height, width)", path
        )
    if array.ndim == 3:
        array = array[:, None]
    return array.astype(np.float32) / np.float32(255)


def read_labels(path: str | Path, count: int | None = None) -> np.ndarray:
    """Labels of an IDX file as int64 (n,). Raises RecordingError unless there are `count` of them."""
    array = read_idx(path)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise RecordingError(f"{path} holds {array.dtype} of shape {array.shape}, want labels: integers (n,)", path)
    if count is not None and len(array) != count:
        found = f"{counted(len(array), 'label')} for {counted(count, 'image')}"
        raise RecordingError(f"{path} holds {found}; do the two files belong together?")
    return array.astype(np.int64)


def labels_beside(images: str | Path) -> Path:
    """Where the labels of an image file lie by MNIST's naming: ...-images-idx3-ubyte -> ...-labels-idx1-ubyte."""
    path = Path(images)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == path or not beside.exists():
        raise RecordingError(
            f"the labels of {path} are not beside it (looked for {beside.name}); name their file with --labels", path
        )
    return beside
