"""The packet table at the end of an AEDAT 4 file: where each packet is, and of which times. Read, never believed.

It is compressed as the packets are; the packages that unpack it (extra `compress`) are optional. Without them, or
without a table that is plausible, there is none: a reader then finds its way by reading.
"""

import struct
from typing import Any, BinaryIO

import numpy as np

from . import aedat4_layout as layout
from .guard import FORWARD_US

_LARGEST = 256 << 20  # bytes, unpacked: a week of packets of 10 ms
_COLUMNS = ("byte_offset", "packet", "events", "t_first_us", "t_last_us")  # in the order of the table's fields


def read_table(file: BinaryIO, header: layout.Header, stream: int) -> np.ndarray:
    """TABLE_ROW, one row a packet of the stream, in order of time; none if there is no table that can be so."""
    none = np.zeros(0, layout.TABLE_ROW)
    if header.table_position < header.first_packet:
        return none
    try:
        file.seek(header.table_position)
        packed = file.read(_LARGEST)
        data = packed if header.codec == 0 else unpack(header.codec, packed)
        rows = _parse(data) if data is not None else none
    except Exception:  # damage, of which the packages that unpack say so in many ways
        return none
    rows = rows[(rows["stream"] == stream) & (rows["events"] > 0)]
    first, last, at = rows["t_first_us"], rows["t_last_us"], rows["byte_offset"]
    in_order = (first[1:] >= last[:-1]).all() and (first[1:] - last[:-1] <= FORWARD_US).all() and (last >= first).all()
    forwards = (np.diff(at) > 0).all() and (at >= header.first_packet).all() and (at < header.table_position).all()
    return rows if in_order and forwards else none


def unpack(codec: int, data: bytes) -> bytes | None:
    """The content of a compressed block of a file; None: the package for that is not installed."""
    try:
        if layout.CODECS[codec].startswith("lz4"):
            import lz4.frame

            content = lz4.frame.LZ4FrameDecompressor().decompress(data, _LARGEST)
        else:
            import zstandard

            content = zstandard.ZstdDecompressor().stream_reader(data).read(_LARGEST)
    except ImportError:
        return None
    return bytes(content)


def _parse(data: bytes) -> np.ndarray:
    """The rows of a flatbuffer `FTAB`, size first. Raises whatever comes of one that points outside itself."""
    if data[8:12] != b"FTAB":
        raise ValueError("no packet table")
    buffer = np.frombuffer(data, np.uint8)
    root = 4 + _number(data, 4)
    vector = _field(data, root, 0)
    vector += _number(data, vector)
    count = _number(data, vector)
    if 4 * count > len(data):
        raise ValueError("more packets than bytes")
    slots = vector + 4 + 4 * np.arange(count)
    tables = slots + _gather(buffer, slots, "<u4")
    shapes = tables - _gather(buffer, tables, "<i4")
    rows = np.zeros(count, layout.TABLE_ROW)
    for shape in np.unique(shapes):  # one, as a rule: packets whose tables have the same fields share it
        mine = shapes == shape
        at = tables[mine]
        for number, name in enumerate(_COLUMNS):
            offset = _slot(data, int(shape), number)
            if not offset:  # the field is left out: it is zero
                continue
            if name == "packet":
                rows["stream"][mine] = _gather(buffer, at + offset, "<i4")
                rows["size"][mine] = _gather(buffer, at + offset + 4, "<i4")
            else:
                rows[name][mine] = _gather(buffer, at + offset, "<i8")
    return rows


def _gather(buffer: np.ndarray, at: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers at these places."""
    if len(at) and int(at.min()) < 0:
        raise ValueError("points outside itself")
    size = np.dtype(dtype).itemsize
    return buffer[at[:, None] + np.arange(size)].view(dtype)[:, 0].astype(np.int64)


def _number(data: bytes, at: int) -> int:
    number: int = struct.unpack_from("<I", data, at)[0]
    return number


def _slot(data: bytes, shape: int, number: int) -> int:
    """Where in a table of this shape a field lies; 0: absent."""
    size: Any = struct.unpack_from("<H", data, shape)[0]
    offset: int = struct.unpack_from("<H", data, shape + 4 + 2 * number)[0] if 4 + 2 * number < size else 0
    return offset


def _field(data: bytes, table: int, number: int) -> int:
    shape = table - struct.unpack_from("<i", data, table)[0]
    offset = _slot(data, shape, number) if shape >= 0 else 0
    if not offset:
        raise ValueError("no packets")
    return table + offset
