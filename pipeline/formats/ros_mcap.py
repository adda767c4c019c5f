"""MCAP, as ROS 2 records: a record is a byte that says what it is, its length, and its data; chunks hold records."""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from .ros_records import LARGEST, Bag, Found, Topic, unpack, whole_message


class Mcap(Bag):
    """MCAP. A record is a byte that says what it is, its length, and its data."""

    start = 8
    _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END, _FOOTER = 3, 4, 5, 6, 15, 2

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._schemas: dict[int, str] = {}
        self._topics: dict[int, Topic] = {}

    def summary(self) -> int:
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            file.seek(max(0, size - 37))
            end = file.read(37)
        place = struct.unpack_from("<Q", end, 9)[0] if len(end) == 37 and end[0] == self._FOOTER else 0
        return place if self.start < place < size else 0

    def walk(self, position: int) -> Iterator[Found]:
        if position == self.start:  # what the list at the end says counts only until then: it may be damaged
            self._schemas, self._topics = {}, {}
        end = os.path.getsize(self.path)
        with open(self.path, "rb", buffering=0) as file:
            while position < end:
                file.seek(position)
                head = file.read(9)
                if head[:8] == b"\x89MCAP0\r\n":  # the mark at the end
                    return
                kind, length = struct.unpack("<BQ", head.ljust(9, b"\xff"))
                left = end - position - 9
                if length > max(left, 0) or length > LARGEST:
                    if kind == self._CHUNK:
                        yield from self._chunk(memoryview(file.read(min(left, LARGEST))), position, True)
                    damage = length > LARGEST and length <= max(left, 0)
                    what = f"a record of {length:,} bytes: damage" if damage else "the file ends within a record"
                    yield Found(position, fault=what)
                    return
                data = memoryview(file.read(length))
                yield from (
                    self._chunk(data, position, False) if kind == self._CHUNK else self._record(kind, data, position)
                )
                position += 9 + length
                yield Found(position - 9 - length, following=position)
        yield Found(position, fault="the file ends without its mark: it was cut, or never closed")

    def _chunk(self, data: memoryview, at: int, is_cut: bool) -> Iterator[Found]:
        try:
            _, _, size, check, length = struct.unpack_from("<QQQII", data)
            name = bytes(data[32 : 32 + length]).decode("ascii", "replace")
            (packed,) = struct.unpack_from("<Q", data, 32 + length)
        except struct.error:
            yield Found(at, fault="" if is_cut else "a chunk without its fields: damage", is_last=False)
            return
        unpacked, trouble = unpack(name, data[40 + length :][:packed], size)
        if not is_cut and not trouble and check and zlib.crc32(unpacked) != check:
            yield Found(at, fault="a chunk whose checksum is wrong", is_last=False)
            return
        position = 0
        while position + 9 <= len(unpacked):
            kind, count = struct.unpack_from("<BQ", unpacked, position)
            if count > len(unpacked) - position - 9:
                break
            yield from self._record(kind, unpacked[position + 9 : position + 9 + count], at)
            position += 9 + count
        if trouble and not is_cut:
            yield Found(at, fault=trouble, is_last=False)

    def _record(self, kind: int, data: memoryview, at: int) -> Iterator[Found]:
        try:
            if kind == self._MESSAGE:
                (number,) = struct.unpack_from("<H", data)
                message, trouble = whole_message(data[22:])
                if trouble:
                    yield Found(at, fault=f"a message: {trouble}", is_last=False)
                else:
                    yield Found(at, number, message=message)
            elif kind == self._SCHEMA:
                number, length = struct.unpack_from("<HI", data)
                self._schemas.setdefault(number, bytes(data[6 : 6 + length]).decode("utf-8", "replace"))
            elif kind == self._CHANNEL:
                number, schema, length = struct.unpack_from("<HHI", data)
                name = bytes(data[8 : 8 + length]).decode("utf-8", "replace")
                (more,) = struct.unpack_from("<I", data, 8 + length)
                encoding = bytes(data[12 + length : 12 + length + more])
                of = self._schemas.get(schema, "").replace("/msg/", "/")
                topic = self._topics.setdefault(number, Topic(name, of, encoding != b"ros1"))
                yield Found(at, number, topic)  # as first told: repetitions at the end may be damaged
        except struct.error:
            yield Found(at, fault="a record shorter than its fields: damage", is_last=False)
