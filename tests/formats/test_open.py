"""Which container a file is, what else it may be, and the options of reading."""

import importlib.metadata
import os
import struct
import zipfile

import numpy as np
import pytest

from dvs_run.pipeline import formats
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import Batch, Container, Source, open_recording, open_writer

from .. import naive
from .files import READ, SMALL, events_for_all, make, npz_bytes, read_all

DVS640 = SensorSize(640, 480)


@pytest.mark.parametrize(("container", "compression"), READ)
def test_a_file_is_known_by_its_bytes_whatever_its_name(tmp_path, container, compression):
    path = tmp_path / "holiday.jpg"
    made = make(path, container, compression, events_for_all())
    path.write_bytes(made.data)
    events, recording = read_all(path)
    assert np.array_equal(events, made.events)
    assert (recording.container, recording.codec) == (container, compression)
    if container == "nmnist":
        assert recording.sensor == SMALL  # as no smaller known sensor holds these events
    assert recording.defects == {}


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image, not event data"),
        (b"\0\0\0\x20ftypisom", "MP4 or QuickTime video, not event data"),
        (b"% evt 3.0\n", "Prophesee RAW .* not supported yet"),
        (b"Event Stream\2\0\0", r"Event Stream \(.es\) recording, not supported yet"),
        (b"#ROSBAG V2.0\n", "ROS 1 bag, not supported yet"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file, not supported yet"),
        (b"#!AER-DAT3.0\r\n", "AEDAT file of a version that is not supported"),
        (b"\x1f\x8b\x08", "gzip; unpack it first"),
        (b"\x80\x04\x95\1\0", "Python pickle, which is never loaded"),
        (b"\0\0\x08\x03\0\0\0\1", "IDX file of images"),
        (b"t,x,y,p\n0,1,2,1\n", "text"),
        (b"\xde\xad\xbe\xef", "it begins with de ad be ef"),
        (b"\xff\xff\xff\xff", "it begins with ff ff ff ff"),
        (b"\x86", "it begins with 86"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, start, what):
    path = tmp_path / "made.aedat4"
    path.write_bytes(start + (b"" if start.isascii() else bytes(100)))
    with pytest.raises(RecordingError, match=f"{what}.*; supported are AEDAT 4"):
        open_recording(path)


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(RecordingError, match="there is no such file"):
        open_recording(tmp_path / "missing.aedat4")
    with pytest.raises(RecordingError, match="is a folder, want a file"):
        open_recording(tmp_path)
    (tmp_path / "empty.aedat4").touch()
    with pytest.raises(RecordingError, match="the file is empty") as error:
        open_recording(tmp_path / "empty.aedat4")
    assert error.value.byte_offset == 0
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="is a pipe or a device"):  # and does not wait for a writer
        open_recording(tmp_path / "pipe")


def test_a_network_is_no_recording_and_a_number_is_none(tmp_path):
    np.savez(tmp_path / "net.npz", **{"000.weight": np.zeros(3)})
    with zipfile.ZipFile(tmp_path / "net.npz", "a") as archive:
        archive.writestr("network.json", "{}")
    with pytest.raises(RecordingError, match="is a spiking network .*, not a recording"):
        open_recording(tmp_path / "net.npz")
    np.save(tmp_path / "one.npy", np.float64(3))
    with pytest.raises(RecordingError, match="holds a single value, want one event a row"):
        open_recording(tmp_path / "one.npy")


def test_a_file_that_vanishes_between_two_readings_is_an_error_of_the_recording(tmp_path):
    path = tmp_path / "made.npz"
    path.write_bytes(make(path, "npz", "none", events_for_all()).data)
    recording = open_recording(path)
    path.unlink()
    with pytest.raises(RecordingError, match="reading stopped after 0 events"):
        list(recording)
    path.write_bytes(b"")
    with pytest.raises(RecordingError):
        list(recording)


def test_options_that_make_no_sense_are_refused(tmp_path):
    for options, message in (
        ({"on_error": "ignore"}, "on_error is 'ignore', want one of raise, stop, skip"),
        ({"packet_events": 0}, "want at least 1"),
        ({"packet_us": 0}, "want at least 1"),
    ):
        with pytest.raises(RecordingError, match=message):
            open_recording(tmp_path / "x", **options)
    path = tmp_path / "made.aedat4"
    path.write_bytes(make(path, "aedat4", "none", events_for_all()).data)
    with pytest.raises(RecordingError, match="container 'evt9' is unknown; known are aedat4"):
        open_recording(path, container="evt9")
    with pytest.raises(RecordingError, match="stream 4 holds no events; those with events are 0"):
        open_recording(path, stream_id=4)
    assert len(read_all(path, stream_id=0)[0]) == 120


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


HEADER31 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


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


COLUMNS = {"t": np.arange(5) * 10, "x": np.arange(5), "y": np.ones(5, int), "p": np.array([0, 1, 1, 0, 1])}
EXPECTED = [(0, 0, 1, False), (10, 1, 1, True), (20, 2, 1, True), (30, 3, 1, False), (40, 4, 1, True)]


@pytest.mark.parametrize(
    ("arrays", "options"),
    [
        (COLUMNS, {}),
        ({**COLUMNS, "p": 2 * COLUMNS["p"] - 1}, {}),
        ({**COLUMNS, "t": COLUMNS["t"] / 1e6}, {"time_unit": "s"}),
        ({**COLUMNS, "t": COLUMNS["t"] / 1e3, "time_unit": np.array("ms")}, {}),
        ({**COLUMNS, "t": COLUMNS["t"] * 1000}, {"time_unit": "ns"}),
        ({"ts": COLUMNS["t"], "xs": COLUMNS["x"], "ys": COLUMNS["y"], "polarity": COLUMNS["p"].astype(bool)}, {}),
        (
            {
                "events": np.array(
                    [row[::-1] for row in EXPECTED], [("p", "?"), ("y", "<i8"), ("x", "<i2"), ("ts", "<u4")]
                )
            },
            {},
        ),
        (
            {"events": np.stack([COLUMNS[name] for name in "xypt"], 1).astype(float)},
            {"layout": "xypt", "time_unit": "us"},
        ),
    ],
)
def test_columns_and_structured_arrays_of_many_conventions_are_read(tmp_path, arrays, options):
    path = tmp_path / "made.npz"
    path.write_bytes(npz_bytes(**arrays))
    assert read_all(path, **options)[0].tolist() == EXPECTED


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({**COLUMNS, "t": COLUMNS["t"] / 1e6}, "times with a fraction and says no unit; say it with `time_unit`"),
        ({**COLUMNS, "t": COLUMNS["t"][:3]}, "columns of different lengths"),
        ({"frames": np.zeros((3, 4))}, "has no array `events` and no column 't'; it holds frames"),
        ({"events": np.zeros((5, 4))}, "say their order with `layout`"),
        ({"events": np.zeros((5, 3, 4))}, "want one event a row"),
        ({"events": np.zeros(5, [("t", "<i8"), ("x", "<i2")])}, "there is none for y, p"),
        ({**COLUMNS, "x": np.array(list("abcde"))}, "a column 'x' of dtype <U1, want numbers"),
        ({**COLUMNS, "sensor": np.array([1 << 20, 4])}, "sensor width is 1048576, want 1 to 65535"),
        ({**COLUMNS, "time_unit": np.array("fortnight")}, "time unit 'fortnight', want one of s, ms, us"),
    ],
)
def test_arrays_that_are_no_events_are_refused(tmp_path, arrays, message):
    path = tmp_path / "made.npz"
    path.write_bytes(npz_bytes(**arrays))
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


@pytest.mark.parametrize(
    ("column", "value"), [("p", 2), ("x", -1), ("x", 70_000), ("x", 2.5), ("t", float("nan")), ("t", 1e300)]
)
def test_an_impossible_value_in_an_array_is_a_fault_after_the_good_rows(tmp_path, column, value):
    path = tmp_path / "made.npz"
    columns = {
        name: values.astype(float) if isinstance(value, float) else values.copy() for name, values in COLUMNS.items()
    }
    columns[column][3] = value
    path.write_bytes(npz_bytes(**columns))
    recording = open_recording(path, time_unit="us", sensor=SMALL, on_error="stop")
    assert [event for packet in recording for event in packet.events.tolist()] == EXPECTED[:3]
    assert recording.fault is not None


def test_the_sensor_is_the_smallest_known_one_where_the_file_says_none_and_the_callers_wins(tmp_path):
    path = tmp_path / "made.npz"
    for x, y, sensor in ((33, 33, (34, 34)), (34, 0, (128, 128)), (200, 179, (240, 180)), (1000, 999, (1280, 1000))):
        events = np.array([(0, x, y, True)], EVENT_DTYPE)
        path.write_bytes(npz_bytes(events=events))
        expected = SensorSize(*sensor) if sensor != (1280, 1000) else SensorSize(1001, 1000)
        assert open_recording(path).sensor == expected
        assert open_recording(path, sensor=SensorSize(2000, 2000)).sensor == SensorSize(2000, 2000)


class Three(Source):
    """A container of another package: three events, whatever the file."""

    container, sensor, details = "three", SMALL, {}  # noqa: RUF012

    def batches(self, reading):
        yield Batch(np.array([(i, i, i, True) for i in range(3)], EVENT_DTYPE), 0)


def open_three(path, options):
    return Three()


def test_another_package_adds_a_container_by_an_entry_point(tmp_path, monkeypatch):
    row = Container("three", "Three", lambda path, start: start.startswith(b"3!"), f"{__name__}:open_three")

    class Entry:
        name, value = "three", "elsewhere:row"

        def load(self):
            return row

    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [Entry()] if group == "dvs_run.formats" else []
    )
    formats._added.cache_clear()
    path = tmp_path / "made"
    path.write_bytes(b"3!")
    try:
        events, recording = read_all(path)
        row = "nonsense"
        formats._added.cache_clear()
        with pytest.raises(RecordingError, match="entry point three .* is a str, want a formats.Container"):
            open_recording(path)
    finally:
        monkeypatch.undo()
        formats._added.cache_clear()
    assert recording.container == "three"
    assert len(events) == 3
