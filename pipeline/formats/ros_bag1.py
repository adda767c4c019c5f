"""ROS 1 bags, version 2.0. A record is a header of fields and data, each with its length first; chunks hold records."""

import os
import struct
from collections.abc import Iterator
from io import FileIO

from .ros_records import LARGEST, Bag, Found, Topic, unpack


class Rosbag(Bag):
    """ROS 1. A record is a header of fields and data, each with its length before it."""

    start = 13  # after "#ROSBAG V2.0\n"

    def summary(self) -> int:
        with open(self.path, "rb", buffering=0) as file:
            for found in _ros1_records(file, self.start):
                fields = found[2]
                place = int.from_bytes(fields.get(b"index_pos", b""), "little")
                return place if place > self.start else 0
        return 0

    def walk(self, position: int) -> Iterator[Found]:
        with open(self.path, "rb", buffering=0) as file:
            for at, following, fields, data, fault in _ros1_records(file, position):
                if fields.get(b"op") == b"\x05":
                    size = int.from_bytes(fields.get(b"size", b""), "little")
                    name = fields.get(b"compression", b"").decode("ascii", "replace")
                    unpacked, trouble = unpack(name.removeprefix("none"), data, size)
                    yield from _ros1_chunk(unpacked, at)
                    if trouble and not fault:
                        yield Found(at, fault=trouble, is_last=False)
                elif not fault:
                    yield from _ros1_record(fields, data, at)
                if fault:
                    yield Found(at, fault=fault)
                    return
                yield Found(at, following=following)
            end = os.fstat(file.fileno()).st_size
        if end < self.summary():
            yield Found(end, fault="the file ends before its index: it was cut")


def _ros1_records(file: FileIO, position: int) -> Iterator[tuple[int, int, dict[bytes, bytes], memoryview, str]]:
    """Records: (place, the place after it, fields, data, what is wrong); of a record that is cut what there is."""
    end = os.fstat(file.fileno()).st_size
    while position < end:
        file.seek(position)
        (length,) = struct.unpack("<I", file.read(4).ljust(4, b"\xff"))
        fields: dict[bytes, bytes] = {}
        data, missing = b"", ""
        if length > LARGEST or position + 8 + length > end:
            missing = "the file ends within a record's header"
        else:
            fields = _ros1_fields(file.read(length))
            (size,) = struct.unpack("<I", file.read(4))
            left = end - file.tell()
            if b"op" not in fields:
                missing = "a record without its kind: damage"
            elif size > LARGEST:
                missing = f"a record of {size:,} bytes: damage"
            else:
                data = file.read(min(size, left))
                if size > left:
                    missing = f"the file ends within a record ({left} of {size} bytes)"
        following = file.tell()
        yield position, following, fields, memoryview(data), missing
        if missing:
            return
        position = following


def _ros1_fields(data: bytes) -> dict[bytes, bytes]:
    fields, at = {}, 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        name, _, value = data[at + 4 : at + 4 + length].partition(b"=")
        fields[name] = value
        at += 4 + length
    return fields


def _ros1_chunk(data: memoryview, at: int) -> Iterator[Found]:
    """The records of a chunk; one that is not whole is left out."""
    position = 0
    while position + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, position)
        body = position + 4 + length
        if body + 4 > len(data):
            return
        (size,) = struct.unpack_from("<I", data, body)
        if body + 4 + size > len(data):
            return
        yield from _ros1_record(_ros1_fields(bytes(data[position + 4 : body])), data[body + 4 : body + 4 + size], at)
        position = body + 4 + size


def _ros1_record(fields: dict[bytes, bytes], data: memoryview, at: int) -> Iterator[Found]:
    number = int.from_bytes(fields.get(b"conn", b""), "little")
    if fields.get(b"op") == b"\x02":
        yield Found(at, number, message=data)
    elif fields.get(b"op") == b"\x07":
        more = _ros1_fields(bytes(data))
        name, kind = (text.decode("utf-8", "replace") for text in (fields.get(b"topic", b""), more.get(b"type", b"")))
        yield Found(at, number, Topic(name, kind, False))
