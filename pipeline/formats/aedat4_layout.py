"""AEDAT 4 byte by byte: the parts that we write, and the header that we read.

A file is a magic line, a header, packets, and a table of the packets. Header, packets and table are "flatbuffers":
tables whose fields are found through offsets. Ours have one fixed shape each, which is all that struct needs; the
shapes are those of the files that DV writes, so that every flatbuffer verifier accepts them (8-byte fields lie on
multiples of 8).
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

import numpy as np

from .aedat4_streams import Stream, describe, parse

MAGIC = b"#!AER-DAT4.0\r\n"
CODECS = ("none", "lz4", "lz4_high", "zstd", "zstd_high")  # by number
TABLE_POSITION_AT = len(MAGIC) + 4 + 36  # where header() leaves room for the position of the packet table
MAX_HEADER = 16 << 20  # a header beyond this is none
PACKET_HEADER = struct.Struct("<iI")  # stream number, bytes that follow

EVENT = np.dtype(
    {"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "?"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
TABLE_ROW = np.dtype(
    {
        "names": ["vtable", "stream", "size", "byte_offset", "events", "t_first_us", "t_last_us"],
        "formats": ["<i4", "<i4", "<i4", "<i8", "<i8", "<i8", "<i8"],
        "offsets": [0, 4, 8, 16, 24, 32, 40],
        "itemsize": 48,
    }
)


class Header(NamedTuple):
    """What the header says."""

    codec: int  # index into CODECS
    table_position: int  # where the packet table begins; -1: the writer did not get to it
    streams: dict[int, Stream]  # by number
    first_packet: int  # where the first packet begins


def header(streams: Mapping[int, Stream], codec: int, source: str) -> bytes:
    """Magic line and header of a file with these streams, by number. The table's position is -1 for now."""
    xml = describe(streams, CODECS[codec], source)
    table = struct.pack("<I4s6x5Hiii", 24, b"IOHE", 10, 24, 4, 12, 8, 10, codec, 16)
    buffer = table + struct.pack("<q4xI", -1, len(xml)) + xml + b"\0"
    buffer += b"\0" * (-len(buffer) % 4)
    return MAGIC + struct.pack("<I", len(buffer)) + buffer


def event_packet(events: np.ndarray) -> bytes:
    """The flatbuffer of some events (EVENT_DTYPE), before compression."""
    head = struct.pack("<II4s2xHHHiII", 28 + 16 * len(events), 16, b"EVTS", 6, 8, 4, 6, 4, len(events))
    body = np.zeros(len(events), EVENT)
    for name in ("t", "x", "y", "p"):
        body[name] = events[name]
    return head + body.tobytes()


def packet_table(rows: np.ndarray) -> bytes:
    """The flatbuffer of the packet table, before compression. `rows` has TABLE_ROW's dtype, one row a packet."""
    count = len(rows)
    vtable_at = 32 + 4 * count + (-(32 + 4 * count) % 4)
    rows_at = vtable_at + 14 + (-(vtable_at + 14) % 8)
    rows["vtable"] = rows_at + 48 * np.arange(count) - vtable_at
    slots = 32 + 4 * np.arange(count)
    offsets = (rows_at + 48 * np.arange(count) - slots).astype("<u4").tobytes()
    vtable = struct.pack("<7H", 14, 48, 16, 4, 24, 32, 40)
    head = struct.pack("<I4s2xHHHiII", 16, b"FTAB", 6, 8, 4, 6, 4, count)
    buffer = head + offsets + b"\0" * (vtable_at - 32 - 4 * count) + vtable
    buffer += b"\0" * (rows_at - vtable_at - 14) + rows.tobytes()
    return struct.pack("<I", len(buffer)) + buffer


def parse_header(file: BinaryIO) -> Header:
    """Read magic line and header from the beginning of a file. ValueError says what is wrong with it."""
    begin = len(MAGIC) + 4
    start = file.read(begin)
    if not start.startswith(MAGIC):
        raise ValueError("the first line is not that of AEDAT 4.0")
    if len(start) < begin:
        raise ValueError("the file ends before its header")
    (size,) = struct.unpack_from("<I", start, len(MAGIC))
    if size > MAX_HEADER:
        raise ValueError(f"the header claims {size} bytes")
    buffer = file.read(size)
    if len(buffer) < size:
        raise ValueError(f"the file ends within its header ({len(buffer)} of {size} bytes)")
    try:
        (root, name) = struct.unpack_from("<I4s", buffer, 0)
        if name != b"IOHE":
            raise ValueError(f"the header is marked {name!r}, want b'IOHE'")
        fields = _fields(buffer, root, 3)
        codec = struct.unpack_from("<i", buffer, fields[0])[0] if fields[0] else 0
        table_position = struct.unpack_from("<q", buffer, fields[1])[0] if fields[1] else -1
        if not fields[2]:
            raise ValueError("the header names no streams")
        string_at = fields[2] + struct.unpack_from("<I", buffer, fields[2])[0]
        (length,) = struct.unpack_from("<I", buffer, string_at)
        info = buffer[string_at + 4 : string_at + 4 + length]
        if len(info) < length:
            raise ValueError("the header's description reaches beyond its end")
        text = info.decode("utf-8")
    except struct.error:
        raise ValueError("the header points outside itself") from None
    except UnicodeDecodeError:
        raise ValueError("the header's description is not text") from None
    if not 0 <= codec < len(CODECS):
        raise ValueError(f"the header names compression {codec}, known are 0 to {len(CODECS) - 1}")
    return Header(codec, table_position, parse(text), begin + size)


def _fields(buffer: bytes, table: int, count: int) -> list[int]:
    """Where the first `count` fields of a flatbuffer table lie; 0: absent."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    if vtable < 0:
        raise struct.error
    size = struct.unpack_from("<H", buffer, vtable)[0]
    slots = [struct.unpack_from("<H", buffer, vtable + 4 + 2 * i)[0] if 4 + 2 * i < size else 0 for i in range(count)]
    return [table + slot if slot else 0 for slot in slots]
