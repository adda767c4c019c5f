"""Event Stream: both versions, of a DVS and of an ATIS; other streams are refused by name."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import es, open_recording, open_writer
from dvs_run.pipeline.formats.evt_words import COUNTS

from .. import naive
from .files import SMALL, read_all

KERNELS = {
    (2, False): es.decode_2_dvs,
    (2, True): es.decode_2_atis,
    (1, False): es.decode_1_dvs,
    (1, True): es.decode_1_atis,
}


def head(version, kind, size=(304, 240)):
    stated = np.array(size, "<u2").tobytes() if version == 2 else b""
    return es.MARK + bytes([version, 0, 0] if version == 2 else [version, 0]) + bytes([kind]) + stated


def random_bytes(seed, n=30_000):
    """Many of them overflows."""
    data = np.random.default_rng(seed).integers(0, 256, n, np.uint8)
    data[::9] = 255
    return data.tobytes()


@pytest.mark.parametrize(("version", "atis"), KERNELS)
@pytest.mark.parametrize("room", [1, 1 << 14])
def test_random_bytes_decode_as_the_twin_decodes_them_wherever_the_kernel_stops(version, atis, room):
    data = random_bytes(3)[: 3000 if room == 1 else None]
    state, counts, given, used = np.array([0, 200], np.int64), np.zeros(COUNTS, np.int64), [], 0
    events = np.empty(room, EVENT_DTYPE)
    while True:
        took, kept = KERNELS[version, atis](np.frombuffer(data[used:], np.uint8), state, events, counts)
        given += events[:kept].tolist()
        used += took
        if not took:
            break
    assert given == sum(naive.decode_es(data, 200, version, atis), [])
    assert (counts[0] > 0) == atis
    assert len(data) - used < 5


def test_time_is_stretched_by_overflows_and_resets_mean_nothing(tmp_path):
    path = tmp_path / "x.es"
    event = bytes([5 << 1 | 1, 3, 0, 4, 0])
    path.write_bytes(head(2, 1, (10, 8)) + event + b"\xff\xff\xfe\xfe" + event + b"\xfe" * 5)
    events, recording = read_all(path)
    assert events.tolist() == [(5, 3, 3, True), (264, 3, 3, True)]
    assert recording.sensor == SensorSize(10, 8)
    assert recording.defects == {}


def test_exposures_of_an_atis_are_counted_and_left_out(tmp_path):
    path = tmp_path / "x.es"
    records = [bytes([2 << 2 | flags, 1, 0, 0, 0]) for flags in (0b10, 0b01, 0b11, 0b00)]
    path.write_bytes(head(2, 2) + b"\xfd".join(records))
    events, recording = read_all(path)
    assert events.tolist() == [(2, 1, 239, True), (2 + 3 * 63 + 6, 1, 239, False)]
    assert recording.defects == {"special_words": 2}


@pytest.mark.parametrize("atis", [False, True])
def test_version_1_states_no_sensor_and_is_turned_upright_all_the_same(tmp_path, atis):
    path = tmp_path / "x.es"
    word = (3 | 100 << 5 | 30 << 14 | 1 << 23) if atis else (3 | 100 << 4 | 30 << 14 | 1 << 23)
    path.write_bytes(head(1, int(atis)) + word.to_bytes(3, "little") * 2)
    events, recording = read_all(path)
    assert recording.sensor == SensorSize(304, 240)
    assert events.tolist() == [(3, 100, 209, True), (6, 100, 209, True)]
    assert read_all(path, sensor=SensorSize(128, 64))[0]["y"].tolist() == [33, 33]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (es.MARK, r"ends within its header \(12 bytes\)"),
        (head(2, 1)[:18], r"ends within its header \(18 bytes\)"),
        (head(2, 1)[:15], r"ends within its header \(15 bytes\)"),
        (head(2, 0)[:16] + b"\x00\x00", "an Event Stream of generic events, want DVS events or ATIS events"),
        (head(2, 3), "an Event Stream of an asynchronous display"),
        (head(2, 4), "an Event Stream of colour events"),
        (head(2, 77), r"an Event Stream of unknown data \(type 77\)"),
        (head(1, 4), "an Event Stream of generic events"),
        (head(7, 1), "version 7 is not supported, only 1 and 2"),
        (head(2, 1, (0, 3)), "the sensor is 0x3; damage"),
    ],
)
def test_other_streams_and_broken_headers_are_refused_by_name(tmp_path, data, message):
    path = tmp_path / "x.es"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_pixel_above_the_sensor_is_outside_of_it(tmp_path):
    path = tmp_path / "x.es"
    path.write_bytes(head(2, 1, (10, 8)) + bytes([0, 3, 0, 7, 0]) + bytes([0, 3, 0, 8, 0]))
    with pytest.raises(RecordingError, match=r"lies outside the 10x8 sensor.*the 1 events before it"):
        list(open_recording(path))


def test_what_the_format_cannot_hold_is_not_written(tmp_path):
    for times in ([-5, 0], [0, 1 << 32], [1 << 50, 1 << 50]):
        events = np.zeros(2, EVENT_DTYPE)
        events["t"] = times
        with open_writer(tmp_path / "x.es", SMALL) as writer, pytest.raises(EventError, match="stores steps below 2"):
            writer.write(events)
