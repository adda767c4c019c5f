"""Prophesee's words: what time it is, where an event is, what is no event. The headers: test_prophesee_headers.py."""

import struct

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import dat, evt2, evt3, evt21, open_recording, open_writer
from dvs_run.pipeline.formats.evt_words import COUNTS

from .. import naive
from .files import read_all

VGA = SensorSize(640, 480)
KERNELS = {  # (kernel, dtype of its words, state at the beginning, twin)
    "dat": (dat.decode, "<u8", [0, 14, 14, 4], naive.decode_dat),
    "dat1": (dat.decode, "<u8", [0, 9, 8, 1], lambda data: naive.decode_dat(data, 1)),
    "evt2": (evt2.decode, "<u4", [-1, 0], naive.decode_evt2),
    "evt21": (evt21.decode, ("<u4", 2), [-1, 0, 1], naive.decode_evt21),
    "evt21 swapped": (evt21.decode, ("<u4", 2), [-1, 0, 0], lambda data: naive.decode_evt21(data, swapped=True)),
    "evt3": (evt3.decode, "<u2", [-1, 0, 0, -1, -1, 0], naive.decode_evt3),
}


def run(name, data, room=1 << 12):
    """The events that a kernel makes of bytes, `room` at a time, and its counts."""
    kernel, word, state, _ = KERNELS[name]
    words = np.frombuffer(data, np.dtype(word))
    state, counts, given, used = np.array(state, np.int64), np.zeros(COUNTS, np.int64), [], 0
    while used < len(words):
        events = np.empty(room, EVENT_DTYPE)
        took, kept = kernel(words[used:], state, events, counts)
        assert took
        used += took
        given += events[:kept].tolist()
    return given, counts[:6].tolist()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("room", [1 << 12, 33])
def test_random_words_decode_as_the_twin_decodes_them_wherever_the_kernel_stops(name, room):
    data = np.random.default_rng(9).integers(0, 256, 16_000, np.uint8).tobytes()
    assert run(name, data, room)[0] == sum(KERNELS[name][3](data), [])


def evt3_words(*pairs):
    return struct.pack(f"<{len(pairs)}H", *(kind << 12 | value for kind, value in pairs))


HIGH, LOW, Y, X, BASE, V12, V8 = 8, 6, 0, 2, 3, 4, 5


def test_evt3_time_goes_on_at_overflows_of_the_upper_half_and_only_there():
    words = [(HIGH, 4094), (Y, 7)]
    expected = []
    for high, low in ((4094, 4000), (4095, 10), (4095, 4090), (0, 5), (0, 4095), (1, 0), (2, 3), (1, 4000)):
        words += [(HIGH, high), (LOW, low), (X, 1)]
        expected.append(((0 if high > 4000 else 4096) + high) * 4096 + low)
    given, counts = run("evt3", evt3_words(*words))
    assert [event[0] for event in given] == expected  # a lower half that steps back is no overflow: (4095, 10), (1, 0)
    assert counts[3] == 1


def test_evt3_a_new_upper_half_sets_the_lower_one_to_zero_and_a_repeated_one_keeps_it():
    words = [(HIGH, 5), (LOW, 900), (Y, 0), (X, 0), (HIGH, 5), (X, 1), (HIGH, 6), (X, 2), (LOW, 1), (X, 3)]
    given, _ = run("evt3", evt3_words(*words))
    assert [event[0] - 5 * 4096 for event in given] == [900, 900, 4096, 4097]


def test_evt3_vectors_go_on_to_the_right_and_never_come_around():
    words = [(HIGH, 0), (LOW, 3), (Y, 9), (BASE, 0x800 | 620), (V12, 0b1000_0000_0001), (V12, 0), (V8, 0xFF)]
    given, _ = run("evt3", evt3_words(*words))
    assert given == [(3, x, 9, True) for x in (620, 631, *range(644, 652))]
    given, _ = run("evt3", evt3_words(*words[:4], *[(V12, 1)] * 6000))
    columns = [event[1] for event in given]
    assert columns == sorted(columns)
    assert max(columns) > 2047


def test_evt3_a_vector_beyond_the_border_ends_the_reading_at_the_border(tmp_path):
    path = tmp_path / "border.raw"
    body = evt3_words((HIGH, 0), (LOW, 3), (Y, 9), (BASE, 632), (V8, 0xFF), (V8, 0x01))
    path.write_bytes(b"% evt 3.0\n% geometry 640x480\n% end\n" + body)
    with pytest.raises(RecordingError, match=r"an event at x=640, y=9 lies outside the 640x480 sensor.*the 8 events"):
        list(open_recording(path))
    events, recording = read_all(path, on_error="skip")
    assert events["x"].tolist() == list(range(632, 640))
    assert recording.defects == {"outside_sensor": 1}


def test_events_before_a_first_time_or_row_are_left_out_and_counted():
    given, counts = run("evt3", evt3_words((Y, 1), (X, 1), (HIGH, 1), (X, 2), (V8, 7), (BASE, 4), (V8, 1)))
    assert [event[:2] for event in given] == [(4096, 2), (4096, 4)]
    assert counts[2] == 4  # an x before the time, three pixels before the first column of vectors
    given, counts = run("evt3", evt3_words((HIGH, 1), (X, 2), (Y, 1), (X, 3)))
    assert (len(given), counts[2]) == (1, 1)
    event = 1 << 28 | 5 << 11 | 6
    given, counts = run("evt2", struct.pack("<3I", event, 8 << 28 | 2, event))
    assert (given, counts[2]) == ([(128, 5, 6, True)], 1)


def test_words_that_are_no_events_are_counted_by_kind_and_unknown_ones_are_named():
    words = evt3_words((HIGH, 1), (0xA, 1), (0xA, 0), (0xE, 0x16), (0xF, 1), (7, 1), (1, 5), (X, 4), (9, 0), (0xD, 0))
    given, counts = run("evt3", words)
    assert given == []
    assert counts == [5, 2, 0, 0, 2, 1 << 9 | 1 << 13]  # an x in a row of exposures is special too
    _, counts = run("evt2", struct.pack("<4I", 0xA << 28, 0xE << 28, 0xF << 28, 3 << 28))
    assert counts == [2, 1, 0, 0, 1, 1 << 3]


def test_words_of_another_format_end_the_reading(tmp_path):
    path = tmp_path / "noise.raw"
    path.write_bytes(b"% evt 2.0\n% end\n" + struct.pack("<4000I", *[5 << 28] * 4000))
    with pytest.raises(RecordingError, match=r"4000 of 4000 words are of types that EVT2 does not have \(0x5\)"):
        list(open_recording(path))


@pytest.mark.parametrize("container", ["evt2", "evt21"])
def test_evt2_times_overflow_after_five_hours_even_in_silence(tmp_path, container):
    top = (1 << 34) - 64
    path = tmp_path / "long.raw"
    events = np.array([(top, 1, 2, True), (top + 500_000_000, 3, 4, False)], EVENT_DTYPE)
    with open_writer(path, VGA, container=container) as writer:
        writer.write(events)
    again, recording = read_all(path)
    assert np.array_equal(again, events)
    assert recording.defects == {"clock_wraps": 1}


def test_evt3_silence_of_minutes_is_read_back_exactly(tmp_path):
    path = tmp_path / "silence.raw"
    events = np.zeros(4, EVENT_DTYPE)
    events["t"] = [16_777_215, 16_777_216 + 8_388_608, 400_000_000, 900_000_000]
    with open_writer(path, VGA) as writer:
        writer.write(events[:2])
        writer.write(events[2:])
    again, recording = read_all(path)
    assert np.array_equal(again, events)
    assert recording.defects["clock_wraps"] == 53


def test_dat_refuses_a_gap_that_no_reader_could_tell(tmp_path):
    events = np.zeros(2, EVENT_DTYPE)
    events["t"] = [(1 << 32) - 10, (1 << 32) + 60_000_000]
    with open_writer(tmp_path / "x.dat", VGA) as writer, pytest.raises(EventError, match="cannot hold the gap from"):
        writer.write(events)
    for container in ("dat", "evt2", "evt21", "evt3"):
        events["t"] = [-1, 0]
        with (
            open_writer(tmp_path / "x", VGA, container=container) as writer,
            pytest.raises(EventError, match="from -1"),
        ):
            writer.write(events)


@pytest.mark.parametrize("container", ["dat", "evt2", "evt21", "evt3"])
def test_reading_goes_on_from_any_place_where_it_has_been(tmp_path, container):
    from dvs_run.pipeline.formats.recording import Reading, ReadOptions

    path = tmp_path / "x"
    events = naive.random_recorded_events(150_000, VGA, 6, first_us=(1 << 24) - 5, mean_step_us=700)
    with open_writer(path, VGA, container=container) as writer:
        writer.write(events)
    source = open_recording(path, container=container)._source
    decoded = list(source.decoded(Reading(path, ReadOptions())))
    read = 0
    for batch, place in decoded:
        read += len(batch.events)
        rest = [batch.events for batch, _ in source.decoded(Reading(path, ReadOptions()), place)]
        if read < len(events):
            assert np.array_equal(np.concatenate(rest)["t"], events["t"][read:])
    assert read == len(events)
    assert len(decoded) > 3


NOISY = (  # what a file may begin with
    b"% evt 2.0\n% end\n",
    b"% evt 3.0\n% end\n",
    b"% format EVT21;endianness=little\n% end\n",
    b"% Version 2\n% end\n\x0c\x08",
    b"% Version 1\n\x00\x08",
    b"Event Stream\x02\x00\x00\x01\x80\x00\x80\x00",
    b"Event Stream\x02\x00\x00\x02\x80\x00\x80\x00",
)


@pytest.mark.parametrize("start", NOISY)
def test_noise_after_a_good_header_is_a_fault_and_gives_no_event_outside_the_sensor(tmp_path, start):
    path = tmp_path / "noise"
    for seed in range(20):
        path.write_bytes(start + np.random.default_rng(seed).integers(0, 256, 5001, np.uint8).tobytes())
        with pytest.raises(RecordingError, match="noise"):
            list(open_recording(path, sensor=SensorSize(128, 128)))
        events, recording = read_all(path, sensor=SensorSize(128, 128), on_error="skip")
        assert (np.diff(events["t"]) >= 0).all()
        assert max(events["x"].max(initial=0), events["y"].max(initial=0)) < 128
        assert sum(recording.defects.values()) > 0


@pytest.mark.parametrize("container", ["dat", "evt2", "evt21", "evt3", "es"])
def test_a_writer_that_dies_leaves_every_event_it_was_given(tmp_path, container):
    first_us = 0 if container == "es" else 1 << 50
    events = naive.random_recorded_events(3000, VGA, 8, first_us=first_us)
    path, left = tmp_path / "made", tmp_path / "left"
    writer = open_writer(path, VGA, container=container)
    for piece in np.array_split(events, 3):
        writer.write(piece)
        left.write_bytes(path.read_bytes())  # what another process would find if this one were killed now
        again, recording = read_all(left)
        assert np.array_equal(again, events[: writer.events_written])
        assert recording.sensor == VGA
    writer.close()
    assert path.read_bytes() == left.read_bytes()
