"""AEDAT 4's packets of events are decoded as the package `aedat` decodes them, and LZ4 unpacked as its twin does it."""

import random
import struct

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import aedat4_layout, aedat4_windows, lz4_frames, open_writer

from .. import naive
from .files import SMALL, events_for_all, read_all

aedat = pytest.importorskip("aedat")
CODECS = ("none", "lz4", "zstd")


def by_aedat(path):
    packets = [packet["events"].view(EVENT_DTYPE) for packet in aedat.Decoder(str(path)) if "events" in packet]
    return np.concatenate(packets)


def written(path, codec, events, sizes):
    """A file whose packets have these numbers of events, repeated as long as there are events."""
    with open_writer(path, SMALL, codec) as writer:
        start = number = 0
        while start < len(events):
            writer.write(events[start : start + sizes[number % len(sizes)]])
            start, number = start + sizes[number % len(sizes)], number + 1
    return path


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("sizes", [(1,), (7, 3000, 1, 900), (70_000, 5), (8192,)])
def test_packets_of_any_size_are_decoded_as_the_package_aedat_decodes_them(tmp_path, codec, sizes):
    pytest.importorskip("zstandard")
    pytest.importorskip("lz4")
    events = np.tile(events_for_all(500), 150 if max(sizes) > 1 else 2)
    events["t"] = np.sort(events["t"])
    path = written(tmp_path / "made.aedat4", codec, events, sizes)
    again, recording = read_all(path)
    assert np.array_equal(again, by_aedat(path))
    assert np.array_equal(again, events)
    assert recording.defects == {}


def test_a_file_packed_with_zstd_is_read_without_its_package_too(tmp_path, monkeypatch):
    pytest.importorskip("zstandard")
    path = written(tmp_path / "made.aedat4", "zstd", events_for_all(500), (100,))
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    assert not aedat4_windows.can_unpack(3)
    assert np.array_equal(read_all(path)[0], events_for_all(500))


def packets(data):
    """Where the packets of a file without compression begin, and their headers."""
    with open(data, "rb") as file:
        header = aedat4_layout.parse_header(file)
    content, at = data.read_bytes(), header.first_packet
    while at < header.table_position:
        stream, length = struct.unpack_from("<iI", content, at)
        yield at, stream, length
        at += 8 + length


@pytest.mark.parametrize(
    ("at", "number", "what"),
    [
        (0, 77, "stream 77 cannot be decoded .*names no such stream"),
        (8, 1 << 30, "its content is damaged"),  # the flatbuffer's size
        (12, 1 << 31, "its content is damaged"),  # where its table is
        (16, 0x454D5246, "its content is damaged"),  # FRME instead of EVTS
        (28, 1 << 31, "its content is damaged"),  # the table's shape
    ],
)
def test_a_packet_that_points_outside_itself_is_a_fault_and_can_be_passed_over(tmp_path, at, number, what):
    path = written(tmp_path / "made.aedat4", "none", events_for_all(400), (100,))
    begins = [begin for begin, _, _ in packets(path)]
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, begins[2] + at, number)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=what) as raised:
        read_all(path)
    assert (raised.value.byte_offset, raised.value.events_read) == (begins[2], 200)
    events, recording = read_all(path, on_error="skip")
    assert np.array_equal(events, np.delete(events_for_all(400), np.s_[200:300]))
    assert recording.defects == {"skipped_faults": 1}


def test_a_packet_table_that_is_not_where_the_header_says_costs_no_events(tmp_path):
    path = written(tmp_path / "made.aedat4", "none", events_for_all(400), (100,))
    data = bytearray(path.read_bytes())
    (second, *_), *_ = list(packets(path))[1:]
    struct.pack_into("<q", data, aedat4_layout.TABLE_POSITION_AT, second + 20)
    path.write_bytes(data)
    with pytest.raises(RecordingError) as raised:
        read_all(path)
    assert raised.value.events_read == 400


@pytest.mark.parametrize("seed", range(6))
def test_lz4_frames_are_unpacked_as_their_twin_unpacks_them(seed):
    frame = pytest.importorskip("lz4.frame")
    rng = random.Random(seed)
    words = [rng.randbytes(rng.randrange(1, 40)) for _ in range(20)]
    data = b"".join(rng.choice(words) * rng.choice((1, 1, 3, 30)) for _ in range(rng.randrange(1, 9000)))
    if seed == 5:
        data = rng.randbytes(100_000)  # cannot be packed: stored blocks
    packed = frame.compress(
        data,
        block_linked=bool(seed & 1),
        store_size=bool(seed & 2),
        block_checksum=seed == 4,
        content_checksum=seed == 3,
    )
    assert naive.unpack_lz4(packed) == data
    assert unpack(packed, len(data)) == data
    assert unpack(packed, len(data) // 2) == lz4_frames.TOO_SMALL


def unpack(packed, room):
    """What the kernel makes of a frame; or why not. No byte beyond the room and its slack is touched."""
    source = np.frombuffer(packed + bytes(lz4_frames.SLACK), np.uint8)
    content = np.zeros(room + lz4_frames.SLACK + 16, np.uint8)
    unpacked = lz4_frames.unpack_frame(source, 0, len(packed), content[: room + lz4_frames.SLACK])
    assert not content[-16:].any()
    return unpacked if unpacked < 0 else content[:unpacked].tobytes()


def test_damaged_lz4_frames_end_in_a_refusal_or_in_other_bytes():
    frame = pytest.importorskip("lz4.frame")
    rng = random.Random(7)
    data = b"".join(rng.randbytes(3) * rng.randrange(1, 30) for _ in range(300))
    packed, refused = frame.compress(data), 0
    for _ in range(2000):
        damaged = bytearray(packed)
        for _ in range(rng.choice((1, 3))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        refused += isinstance(unpack(bytes(damaged[: rng.randrange(len(damaged) + 1)]), len(data)), int)
    assert refused > 1000


def test_a_sensor_smaller_than_its_events_is_noticed_whatever_the_compression(tmp_path):
    pytest.importorskip("lz4")
    events = events_for_all(300)
    events["x"] = 3
    events["x"][200] = 100
    path = written(tmp_path / "made.aedat4", "lz4", events, (50,))
    with pytest.raises(RecordingError, match="x=100, .* lies outside the 64x128 sensor") as raised:
        read_all(path, sensor=SensorSize(64, 128))
    assert raised.value.events_read == 200
