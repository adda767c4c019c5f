"""What the three kinds of ROS bags share: the messages in the order of the file, and how chunks are unpacked.

Nothing needs the index at a bag's end, so a bag that was cut or never closed is read as far as it goes; the packages of
others refuse such bags, so the records are walked here. They are ros_bag1.py's, ros_mcap.py's and ros_db3.py's.
"""

import bz2
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ZSTD = b"\x28\xb5\x2f\xfd"  # the first bytes of what it has packed
LARGEST = 1 << 28  # bytes of one record; larger ones are damage


class Topic(NamedTuple):
    """What messages of one number are."""

    name: str
    kind: str  # their type, as in dvs_msgs/EventArray
    is_cdr: bool


class Found(NamedTuple):
    """A message, a topic, or the end of a record or chunk (neither); or what is wrong there."""

    byte_offset: int  # of the record or chunk it lies in; -1: nobody knows
    number: int = -1  # of its topic
    topic: Topic | None = None
    message: memoryview | None = None
    following: int | None = None  # where the next record begins: reading can begin there
    fault: str = ""
    is_last: bool = True  # of a fault: where the next record begins is unknown


class Bag:
    """A bag of one kind: where its records begin, and how they are walked."""

    start = 0  # first byte after the mark

    def __init__(self, path: Path) -> None:
        self.path = path

    def walk(self, position: int) -> Iterator[Found]:
        """Everything from `position` on."""
        raise NotImplementedError

    def summary(self) -> int:
        """Where the file repeats its topics at its end; 0: nowhere."""
        return 0


def whole_message(data: memoryview) -> tuple[memoryview, str]:
    """A message, unpacked if the bag's messages are packed one by one, and what is wrong ("": nothing)."""
    return unpack("zstd", data, LARGEST) if data[:4] == ZSTD else (data, "")


def unpack(name: str, data: memoryview, size: int) -> tuple[memoryview, str]:
    """A chunk unpacked, as far as it goes and up to `size` bytes, and what is wrong ("": nothing)."""
    if not name:
        return data, ""
    if name not in ("bz2", "lz4", "zstd"):
        return memoryview(b""), f"a chunk is packed with {name!r}, known are bz2, lz4 and zstd"
    if size > LARGEST:
        return memoryview(b""), f"a chunk that unpacks to {size:,} bytes: damage"
    unpacked = bytearray()
    trouble = ""
    try:
        for part in _UNPACKERS[name](data, size):
            unpacked += part
            if len(unpacked) >= size:
                break
    except ImportError:
        trouble = f"a chunk is packed with {name}; install the extra: pip install 'dvs-run[ros]'"
    except Exception as error:  # three packages' many ways to say that the data is damaged
        trouble = f"a chunk packed with {name} cannot be unpacked ({error})"
    if not trouble and len(unpacked) < size < LARGEST:
        trouble = f"a chunk that unpacks to {len(unpacked):,} of {size:,} bytes"
    return memoryview(unpacked)[:size], trouble


def _bz2(data: memoryview, size: int) -> Iterator[bytes]:
    yield bz2.BZ2Decompressor().decompress(data, size)


def _lz4(data: memoryview, size: int) -> Iterator[bytes]:
    """Block by block: of a frame that is damaged, the blocks before it are good."""
    import lz4.frame

    unpacker = lz4.frame.LZ4FrameDecompressor()
    flags = data[4] if len(data) > 4 else 0
    at, following = 0, 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    while at < len(data) and not unpacker.eof:
        yield unpacker.decompress(data[at:following])
        length = int.from_bytes(data[following : following + 4], "little") & 0x7FFF_FFFF
        at, following = following, following + 4 + length + (4 if flags & 16 else 0)


def _zstd(data: memoryview, size: int) -> Iterator[bytes]:
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        while more := reader.read(1 << 20):
            yield more


_UNPACKERS: dict[str, Callable[[memoryview, int], Iterator[bytes]]] = {"bz2": _bz2, "lz4": _lz4, "zstd": _zstd}
