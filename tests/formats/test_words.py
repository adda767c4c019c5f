"""The words of AEDAT 2, AEDAT 3.1 and N-MNIST files: layouts of cameras, words that are no events, clocks that wrap."""

import struct

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer

from .. import naive
from .files import SMALL, read_all

DVS640 = SensorSize(640, 480)
HEADER31 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def aedat2_file(path, words, chip=""):
    header = "#!AER-DAT2.0\r\n" + (f"# AEChip: {chip}\r\n" if chip else "")
    path.write_bytes(header.encode() + b"".join(struct.pack(">II", address, t) for address, t in words))
    return path


@pytest.mark.parametrize(
    ("sensor", "name"),
    [((128, 128), "dvs128"), ((240, 180), "davis240"), ((346, 260), "davis346"), ((640, 480), "davis640")],
)
def test_the_layout_of_aedat2_is_found_from_its_chip_or_from_its_addresses(tmp_path, sensor, name):
    path = tmp_path / "made.aedat"
    events = naive.random_recorded_events(3000, SensorSize(*sensor), 9)
    with open_writer(path, SensorSize(*sensor), container="aedat2") as writer:
        writer.write(events)
    again, recording = read_all(path)
    assert np.array_equal(again, events)
    assert recording.details["layout"] == f"{name}, from AEChip"
    nameless = tmp_path / "nameless.aedat"
    nameless.write_bytes(b"".join(line for line in path.read_bytes().splitlines(True) if b"AEChip" not in line))
    again, recording = read_all(nameless)
    assert np.array_equal(again, events)
    assert recording.details["layout"] == f"{name}, from the addresses"
    assert read_all(nameless, layout=name)[1].details["layout"] == f"{name}, as told"


def test_words_of_the_640_wide_layout_of_jaer_are_told_from_those_of_a_davis(tmp_path):
    words = [(y << 11 | x << 1 | p, 10 * i) for i, (x, y, p) in enumerate([(0, 0, 1), (639, 479, 0), (5, 300, 1)])]
    for chip in ("", "ch.unizh.ini.jaer.chip.retina.DVS640"):
        events, recording = read_all(aedat2_file(tmp_path / "made.aedat", words, chip))
        assert recording.sensor == DVS640
        assert events.tolist() == [(0, 639, 479, True), (10, 0, 0, False), (20, 634, 179, True)]


def test_a_damaged_address_does_not_change_the_camera(tmp_path):
    words = [(i % 128 << 8 | 1, i) for i in range(50)]
    words[20] = (1 << 30 | 77, 20)
    recording = open_recording(aedat2_file(tmp_path / "made.aedat", words))
    assert recording.sensor == SMALL
    with pytest.raises(RecordingError, match="an address that its layout does not have") as fault:
        list(recording)
    assert fault.value.events_read == 20


def test_a_chip_that_is_no_known_camera_is_refused_by_name_unless_a_layout_is_given(tmp_path):
    path = aedat2_file(tmp_path / "made.aedat", [(2, 1), (4, 2)], "ch.unizh.ini.jaer.chip.cochlea.CochleaAMS1c")
    with pytest.raises(
        RecordingError, match="is of .*CochleaAMS1c, which is no camera that we know; known layouts are"
    ):
        open_recording(path)
    assert len(read_all(path, layout="dvs128")[0]) == 2
    with pytest.raises(RecordingError, match="layout 'dvs999' is unknown; known are dvs128"):
        open_recording(path, layout="dvs999")


def test_frames_triggers_and_a_first_address_that_begins_like_a_header_line_are_told_apart(tmp_path):
    first = (0x23 << 24 | 7 << 12, 5)  # its first byte is that of "#"
    words = [first, (1 << 31 | 5, 6), (1 << 10, 7), (1 << 22 | 1 << 11, 8)]
    events, recording = read_all(aedat2_file(tmp_path / "made.aedat", words, "eu.seebetter.ini.chips.davis.DAVIS240C"))
    assert events.tolist() == [(5, 232, 179 - (0x23 << 2), False), (8, 239, 178, True)]
    assert recording.defects == {"frame_words": 1, "special_words": 1}


def test_the_32_bit_clock_of_aedat2_is_unwrapped(tmp_path):
    top = 1 << 32
    words = [(2, top - 20), (2, top - 5), (2, 5), (2, 40)]
    events, recording = read_all(aedat2_file(tmp_path / "made.aedat", words, "DVS128"))
    assert events["t"].tolist() == [top - 20, top - 5, top + 5, top + 40]
    assert recording.defects == {"clock_wraps": 1}


def aedat31_packet(kind, payload, number, capacity=None, valid=None, overflows=0, size=8):
    capacity, valid = capacity if capacity is not None else number, valid if valid is not None else number
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, capacity, number, valid) + payload


def polarity(t, x, y, p, valid=1):
    return struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t)


def test_aedat31_skips_other_packets_and_invalid_events_and_counts_overflows_of_its_clock(tmp_path):
    path = tmp_path / "made.aedat"
    packets = (
        aedat31_packet(1, polarity(7, 1, 2, 1) + polarity(8, 3, 4, 0, valid=0), 2, valid=1),
        aedat31_packet(3, bytes(36 * 2), 2, size=36),
        aedat31_packet(1, polarity((1 << 31) - 1, 5, 6, 0), 1),
        aedat31_packet(1, polarity(3, 127, 0, 1), 1, overflows=1),
    )
    path.write_bytes(HEADER31 + b"".join(packets))
    with pytest.raises(RecordingError, match="time jumps"):  # 36 minutes without an event
        list(open_recording(path))
    path.write_bytes(HEADER31 + b"".join(packets[:2]))
    events, recording = read_all(path)
    assert events.tolist() == [(7, 1, 2, True)]
    assert recording.defects == {"invalid_events": 1, "other_packets": 1}
    path.write_bytes(HEADER31 + b"".join(packets[2:]))
    events, recording = read_all(path)
    assert events["t"].tolist() == [(1 << 31) - 1, (1 << 31) + 3]
    assert recording.defects == {}


def test_a_packet_of_aedat31_with_room_for_more_events_than_it_has_is_read_either_way(tmp_path):
    path = tmp_path / "made.aedat"
    last = aedat31_packet(1, polarity(9, 3, 3, 1), 1)
    for room in (0, 3):
        first = aedat31_packet(1, polarity(1, 2, 2, 1) + bytes(8 * room), 1, capacity=4)
        path.write_bytes(HEADER31 + first + last)
        assert read_all(path)[0].tolist() == [(1, 2, 2, True), (9, 3, 3, True)]


def test_nmnist_overflow_markers_lengthen_time_and_are_no_events(tmp_path):
    path = tmp_path / "made.bin"
    records = [(1, 1, 0, 0, i) for i in range(12)] + [(0, 240, 0, 0, 0), (2, 3, 128, 0, 5)]
    path.write_bytes(b"".join(bytes(record) for record in records))
    events, recording = read_all(path)
    assert events[-1].item() == ((1 << 13) + 5, 2, 3, True)
    assert recording.defects == {"special_words": 1}
