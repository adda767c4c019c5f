"""Know a file by its first bytes, and name those kinds of file that hold no events that we read."""

import io
import zlib
from pathlib import Path

import numpy as np

from ..errors import RecordingError
from ..files import open_regular
from . import prophesee
from .text_head import is_text_of_events

START = 4096  # so many first bytes are looked at
_FEWEST = 10  # records below which chance makes any file plausible

_OTHERS = (  # (at, mark, what it is)
    (0, b"% ", "a Prophesee recording of a format that is not supported"),
    (0, b"#ROSBAG V", "a ROS 1 bag of a version that is not supported"),
    (0, b"\x89MCAP", "a ROS 2 bag (MCAP) of a version that is not supported"),
    (0, b"SQLite format 3", "an SQLite file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"#!AER-DAT", "an AEDAT file of a version that is not supported"),
    (0, b"\x89PNG", "a PNG image, not event data"),
    (0, b"\xff\xd8\xff", "a JPEG image, not event data"),
    (0, b"GIF8", "a GIF image, not event data"),
    (4, b"ftyp", "an MP4 or QuickTime video, not event data (`dvs simulate` makes events from images)"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video, not event data"),
    (0, b"RIFF", "a RIFF file (AVI, WAV, WebP), not event data"),
    (0, b"MATLAB 5", "a MATLAB file, not supported"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (0, b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (0, b"BZh", "compressed with bzip2; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"%PDF", "a PDF document, not event data"),
    (0, b"\x7fELF", "a program, not event data"),
    (0, b"\x80\x04\x95", "a Python pickle, which is never loaded"),
    (0, b"\x80\x05\x95", "a Python pickle, which is never loaded"),
    (0, b"\x00\x00\x08\x03", "an IDX file of images (MNIST), not event data"),
    (0, b"\x00\x00\x08\x01", "an IDX file of labels (MNIST), not event data"),
)


def first_bytes(path: Path) -> bytes:
    """The beginning of a file, or a RecordingError that says why there is none."""
    with open_regular(path) as file:
        start = file.read(START)
    if not start:
        raise RecordingError(f"{path}: the file is empty", path, 0)
    return start


def what_else(start: bytes) -> str:
    """What a file that no reader recognises seems to be."""
    if start.startswith(b"%") and (named := prophesee.read_header(io.BytesIO(start)).format):
        return f"a Prophesee recording of the format {named[:40]}, which is not supported"
    for at, mark, what in _OTHERS:
        if start[at : at + len(mark)] == mark:
            return what
    if _is_text(start[:512]):
        return "looks like text, but not like lines of events (four numbers or more, after at most one line of names)"
    return f"is not a recording of a known kind (it begins with {start[:8].hex(' ')})"


def _is_text(start: bytes) -> bool:
    """In UTF-8, but for a character cut at the end."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:
            return False
        text = start[: error.start].decode()
    return bool(text) and all(mark.isprintable() or mark in "\t\r\n\ufeff" for mark in text)


def is_aedat4(path: Path, start: bytes) -> bool:
    return start.startswith(b"#!AER-DAT4")


def is_aedat31(path: Path, start: bytes) -> bool:
    return start.startswith(b"#!AER-DAT3.1")


def is_aedat2(path: Path, start: bytes) -> bool:
    return start.startswith(b"#!AER-DAT2.0")


def is_npy(path: Path, start: bytes) -> bool:
    return start.startswith(b"\x93NUMPY")


def is_npz(path: Path, start: bytes) -> bool:
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_dat(path: Path, start: bytes) -> bool:
    return start.startswith(b"%") and prophesee.format_of(path) == "dat"


def is_evt2(path: Path, start: bytes) -> bool:
    return _is_raw(path, start, "evt2")


def is_evt21(path: Path, start: bytes) -> bool:
    return _is_raw(path, start, "evt21")


def is_evt3(path: Path, start: bytes) -> bool:
    return _is_raw(path, start, "evt3")


def _is_raw(path: Path, start: bytes, name: str) -> bool:
    """As its header says, else as its words look: some programs keep only these."""
    if start.startswith(b"%"):
        return prophesee.format_of(path) == name
    return not _is_other(start) and prophesee.look(start) == name


def is_es(path: Path, start: bytes) -> bool:
    return start.startswith(b"Event Stream")


def is_hdf5(path: Path, start: bytes) -> bool:
    return start.startswith(b"\x89HDF\r\n\x1a\n")


def is_rosbag(path: Path, start: bytes) -> bool:
    return start.startswith(b"#ROSBAG V2.0\n")


def is_mcap(path: Path, start: bytes) -> bool:
    return start.startswith(b"\x89MCAP0\r\n")


def is_db3(path: Path, start: bytes) -> bool:
    return start.startswith(b"SQLite format 3\0")


def is_csv(path: Path, start: bytes) -> bool:
    """Text with lines of four numbers, packed with gzip or not."""
    if start.startswith(b"\x1f\x8b"):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, START)
        except zlib.error:
            return False
    return is_text_of_events(start)


def is_nmnist(path: Path, start: bytes) -> bool:
    """Whether the first records are in order of time and within 240x180, which chance does not do ten times."""
    if _is_other(start):
        return False
    records = np.frombuffer(start[: len(start) // 5 * 5], np.uint8).reshape(-1, 5).astype(np.int64)
    overflow = records[:, 1] == 240
    times = ((records[:, 2] & 127) << 16 | records[:, 3] << 8 | records[:, 4]) + (np.cumsum(overflow) << 13)
    records, times = records[~overflow], times[~overflow]
    return _is_clock(times) and bool(((records[:, 0] < 240) & (records[:, 1] < 180)).all())


def is_aedat1(path: Path, start: bytes) -> bool:
    """By its first line; the oldest files have none, and are known by addresses of a DVS128 in order of time."""
    if start.startswith(b"#!AER-DAT1.0"):
        return True
    if _is_other(start):
        return False
    words = np.frombuffer(start[: len(start) // 6 * 6], [("address", ">u2"), ("time", ">u4")])
    times = words["time"].astype(np.int64)
    return _is_clock(times) and bool((words["address"] < 1 << 15).all()) and int(np.diff(times).max()) < 1_000_000


def _is_clock(times: np.ndarray) -> bool:
    return len(times) >= _FEWEST and bool((np.diff(times) >= 0).all()) and bool(times[-1] > times[0])


def _is_other(start: bytes) -> bool:
    return any(start[at : at + len(mark)] == mark for at, mark, _ in _OTHERS)
