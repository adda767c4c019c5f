"""What a writer writes, the reader reads; how it is cut into packets changes nothing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import aedat4_layout, open_recording, open_writer
from dvs_run.pipeline.formats.write import FARTHEST_US

from .. import naive
from .files import READ, SMALL, WRITTEN, events_for_all, make, read_all

SENSORS = {
    "aedat2": [SensorSize(128, 128), SensorSize(240, 180), SensorSize(346, 260), SensorSize(640, 480)],
    "nmnist": [SensorSize(34, 34), SensorSize(240, 180)],
}
ANY_SENSOR = [SensorSize(1, 1), SensorSize(128, 128), SensorSize(1280, 720)]


@pytest.mark.parametrize(("container", "compression"), WRITTEN)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_written_is_read_back_exactly(tmp_path, container, compression, data):
    sensor = data.draw(st.sampled_from(SENSORS.get(container, ANY_SENSOR)))
    firsts = [0] if container in ("nmnist", "es") else [0, (1 << 31) - 500, (1 << 32) - 500, 1 << 50]
    first_us = data.draw(st.sampled_from(firsts))
    if container == "aedat2":
        first_us %= 1 << 31
    n = data.draw(st.integers(1, 200))
    events = naive.random_recorded_events(
        n, sensor, data.draw(st.integers(0, 99)), first_us, data.draw(st.integers(0, 9000))
    )
    path = tmp_path / "made"
    with open_writer(path, sensor, compression, container=container) as writer:
        for piece in np.array_split(events, data.draw(st.integers(1, 6))):
            writer.write(piece)
    again, recording = read_all(path, sensor=sensor, container=container, packet_events=data.draw(st.integers(1, 99)))
    assert np.array_equal(again, events)
    assert again.dtype == EVENT_DTYPE
    assert set(recording.defects) <= {"clock_wraps"}
    if container not in ("aedat2", "nmnist"):
        assert open_recording(path).sensor == sensor


@pytest.mark.parametrize(("container", "compression"), READ)
def test_where_packets_end_changes_no_event_and_every_promise_holds(tmp_path, container, compression):
    path = tmp_path / "made"
    made = make(path, container, compression, events_for_all(500))
    path.write_bytes(made.data)
    for options in (
        {},
        {"packet_events": 1},
        {"packet_events": 7},
        {"packet_us": 1000},
        {"packet_events": 9, "packet_us": 300},
    ):
        with open_recording(path, sensor=SMALL, container=container, **options) as recording:
            packets = list(recording)
        assert np.array_equal(np.concatenate([packet.events for packet in packets]), made.events)
        assert all(len(packet.events) <= options.get("packet_events", 8192) for packet in packets)
        for packet, following in zip(packets, packets[1:], strict=False):
            assert packet.t_stop_us >= packet.events["t"][-1]
            assert following.events["t"][0] >= packet.t_stop_us
        if "packet_us" in options:
            cells = [np.unique(packet.events["t"] // options["packet_us"]) for packet in packets]
            assert all(len(cell) == 1 for cell in cells)


@pytest.mark.parametrize(("container", "compression"), READ)
def test_a_recording_is_read_as_often_as_it_is_iterated_and_its_packets_are_read_only(tmp_path, container, compression):
    path = tmp_path / "made"
    made = make(path, container, compression, events_for_all())
    path.write_bytes(made.data)
    recording = open_recording(path, sensor=SMALL, container=container, packet_events=16)
    half = iter(recording)
    next(half)
    for _ in range(2):
        packets = [packet.events for packet in recording]
        assert np.array_equal(np.concatenate(packets), made.events)
        with pytest.raises(ValueError, match="read-only"):
            packets[0]["t"][0] = 0
    recording.close()
    assert next(half, None) is None


@pytest.mark.parametrize(("container", "compression"), WRITTEN)
def test_a_recording_without_events_is_written_and_is_empty_or_said_to_be(tmp_path, container, compression):
    path = tmp_path / "empty"
    open_writer(path, SMALL, compression, container=container).close()
    if container in ("aedat4", "npz"):
        assert read_all(path)[0].tolist() == []
    else:
        with pytest.raises(RecordingError, match="empty|without events|without packets"):
            read_all(path, sensor=SMALL, container=container)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_writer_that_dies_leaves_every_event_it_was_given(tmp_path, compression):
    path = tmp_path / "cut.aedat4"
    events = events_for_all(300)
    writer = open_writer(path, SMALL, compression)
    writer.write(events)
    left = path.read_bytes()  # what another process would find if this one were killed now
    writer.close()
    (tmp_path / "left.aedat4").write_bytes(left)
    again, recording = read_all(tmp_path / "left.aedat4")
    assert np.array_equal(again, events)
    assert recording.defects == {"not_closed": 1}
    assert "not_closed" not in read_all(path)[1].defects


def test_the_packet_table_of_an_aedat4_file_says_where_every_packet_is(tmp_path):
    path = tmp_path / "made.aedat4"
    events = events_for_all(90)
    made = make(path, "aedat4", "none", events, pieces=3)
    with path.open("rb") as file:
        header = aedat4_layout.parse_header(file)
    table = made.data[header.table_position :]
    assert table[8:12] == b"FTAB"
    count = int.from_bytes(table[28:32], "little")
    rows = np.frombuffer(table[-48 * count :], aedat4_layout.TABLE_ROW)
    assert rows["events"].tolist() == [30, 30, 30]
    for row, piece in zip(rows, np.array_split(events, 3), strict=True):
        packet = made.data[row["byte_offset"] : row["byte_offset"] + row["size"]]
        assert packet == aedat4_layout.event_packet(piece)
        assert (row["t_first_us"], row["t_last_us"]) == (piece["t"][0], piece["t"][-1])


def test_events_out_of_order_or_outside_the_sensor_are_not_written(tmp_path):
    with open_writer(tmp_path / "x.aedat4", SMALL) as writer:
        with pytest.raises(EventError, match="event 1 at t=4 lies before its predecessor at t=5"):
            writer.write(np.array([(5, 0, 0, True), (4, 0, 0, True)], EVENT_DTYPE))
        with pytest.raises(EventError, match="event 0 at x=128, y=0 lies outside the 128x128 sensor"):
            writer.write(np.array([(5, 128, 0, True)], EVENT_DTYPE))
        writer.write(np.array([(5, 1, 0, True)], EVENT_DTYPE))
        with pytest.raises(EventError, match="at t=4, lies before the last one written, at t=5"):
            writer.write(np.array([(4, 0, 0, True)], EVENT_DTYPE))
        with pytest.raises(EventError, match="want packed 13-byte records"):
            writer.write(np.zeros(3))
    with pytest.raises(RecordingError, match="is closed"):
        writer.write(np.array([(6, 0, 0, True)], EVENT_DTYPE))
    assert len(read_all(tmp_path / "x.aedat4")[0]) == 1


LARGEST = {"nmnist": 240, "evt2": 2048, "evt21": 2048, "evt3": 2048, "dat": 8192, "aedat4": 32_767, "aedat31": 32_767}
ZERO_BASED = ("nmnist", "es")  # their clocks end soon; they say so


@pytest.mark.parametrize("container", [*LARGEST, "es", "npz", "csv"])
def test_whatever_a_writer_takes_its_reader_takes_too(tmp_path, container):
    path, side = tmp_path / "made", LARGEST.get(container, 65_535)
    last_us = 0 if container in ZERO_BASED else FARTHEST_US
    events = np.array([(max(last_us - 9, 0), 0, 0, True), (last_us, side - 1, side - 1, False)], EVENT_DTYPE)
    with open_writer(path, SensorSize(side, side), container=container) as writer:
        writer.write(events)
    told = {"sensor": SensorSize(side, side), "container": container} if container == "nmnist" else {}
    again, recording = read_all(path, **told)
    assert np.array_equal(again, events)
    assert recording.sensor == SensorSize(side, side)
    if side < 65_535:
        with pytest.raises(RecordingError, match=f"counts {side} pixels a side, not 1x{side + 1}; write one"):
            open_writer(tmp_path / "large", SensorSize(1, side + 1), container=container)
        assert not (tmp_path / "large").exists()


@pytest.mark.parametrize("t", [FARTHEST_US + 1, -FARTHEST_US - 1])
def test_a_time_that_readers_take_for_damage_is_not_written(tmp_path, t):
    with (
        open_writer(tmp_path / "made.csv", SMALL) as writer,
        pytest.raises(EventError, match=rf"an event at t={t} µs, .*want at most 2\^60 µs"),
    ):
        writer.write(np.array([(t, 0, 0, True)], EVENT_DTYPE))


@pytest.mark.parametrize(
    ("container", "sensor", "t", "message"),
    [
        ("nmnist", SensorSize(34, 34), 1 << 23, "count time from 0 to 2"),
        ("nmnist", SensorSize(346, 260), 0, "counts 240 pixels a side"),
        ("aedat2", SensorSize(34, 34), 0, "no camera of 34x34"),
        ("aedat2", SMALL, -1, "counts time from 0"),
        ("aedat31", SMALL, -1, "counts time from 0"),
        ("aedat4", SensorSize(40_000, 2), 0, "counts 32767 pixels a side"),
    ],
)
def test_what_a_container_cannot_hold_is_refused(tmp_path, container, sensor, t, message):
    with (
        pytest.raises((EventError, RecordingError), match=message),
        open_writer(tmp_path / "x", sensor, container=container) as writer,
    ):
        writer.write(np.array([(t, 0, 0, True)], EVENT_DTYPE))


def test_the_suffix_chooses_the_container_and_an_unknown_one_is_refused(tmp_path):
    for name, container in (("a.aedat4", "aedat4"), ("a.aedat", "aedat31"), ("a.npz", "npz"), ("a.BIN", "nmnist")):
        with open_writer(tmp_path / name, SMALL) as writer:
            writer.write(events_for_all())
        assert open_recording(tmp_path / name).container == container
    with pytest.raises(RecordingError, match=r"nothing writes the suffix '\.mp4'; can be written: aedat4 \(\.aedat4\)"):
        open_writer(tmp_path / "a.mp4", SMALL)
    with pytest.raises(RecordingError, match="nothing writes a name without a suffix, unless its container is told"):
        open_writer(tmp_path / "a", SMALL)
    with pytest.raises(RecordingError, match="nothing writes container 'aedat1'"):
        open_writer(tmp_path / "a", SMALL, container="aedat1")
    with pytest.raises(RecordingError, match="compression 'zip' is not one of this container's: none, lz4, zstd"):
        open_writer(tmp_path / "a.aedat4", SMALL, "zip")
    with pytest.raises(RecordingError, match="cannot be created: No such file"):
        open_writer(tmp_path / "no" / "a.aedat4", SMALL)


@pytest.mark.parametrize(("compression", "package"), [("zstd", "zstandard"), ("lz4", "lz4.frame")])
def test_compression_without_its_package_names_the_extra(tmp_path, monkeypatch, compression, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(RecordingError, match=r"pip install 'dvs-run\[compress\]'"):
        open_writer(tmp_path / "a.aedat4", SMALL, compression)
    assert not (tmp_path / "a.aedat4").exists()


def test_what_a_full_disk_cuts_short_is_no_part_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "full.aedat4"
    events = events_for_all(200)
    writer = open_writer(path, SMALL)
    writer.write(events[:100])
    real = writer._file.write

    def full(data):
        real(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_file", _Proxy(writer._file, write=full))
        with pytest.raises(RecordingError, match="cannot be written: No space left on device"):
            writer.write(events[100:])
    assert np.array_equal(read_all(path)[0], events[:100])
    writer.close()  # somebody made room
    again, recording = read_all(path)
    assert np.array_equal(again, events[:100])
    assert recording.defects == {}


class _Proxy:
    def __init__(self, inner, **changed):
        self.__dict__ |= {"inner": inner, **changed}

    def __getattr__(self, name):
        return getattr(self.inner, name)
