"""A part of a recording equals the whole one, cut, wherever reading begins; an index is used, and never believed."""

import contextlib
import hashlib
import json
import shutil
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import index, open_recording, words

from .. import naive
from ..recordings import SAMPLES, needs_shared
from .files import READ, SMALL, make, read_all

ANY = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch, tmp_path):
    """Places every few events, also in small files; nothing outside this folder is written."""
    monkeypatch.setattr(index, "LEAST_BYTES", 0)
    monkeypatch.setattr(index, "STEP", 64)
    monkeypatch.setattr(words, "ROOM", 80)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def lasting_a_second(n, seed=3):
    events = naive.random_recorded_events(n, SMALL, seed, 0)
    since = events["t"] - events["t"][0]
    events["t"] = 1_000 + since * 1_000_000 // since[-1]
    return events


def cut(events, start_us, stop_us):
    """The slow twin."""
    since = events["t"] - events["t"][0]
    return events[(since >= start_us) & (since < (stop_us or 1 << 62))]


def begun_at(recording):
    """The place at which the readings of a recording begin, each as it is asked for."""
    places, source = [], recording._source
    decoded = source.decoded

    def spy(reading, place=None):
        places.append(place)
        return decoded(reading, place)

    source.decoded = spy
    return places


@pytest.mark.parametrize(("container", "compression"), READ)
@ANY
@given(st.data())
def test_a_part_equals_the_whole_recording_cut(tmp_path, container, compression, data):
    events = lasting_a_second(600, data.draw(st.integers(0, 9)))
    path = tmp_path / "part"
    path.write_bytes(make(tmp_path / "made", container, compression, events, pieces=9).data)
    path.with_name("part.index").unlink(missing_ok=True)  # of the example before
    whole = read_all(path, sensor=SMALL, container=container)[0]
    for _ in range(3):  # the first makes the index, the others use and extend it
        start_us = data.draw(st.integers(0, 1_000_000))
        stop_us = data.draw(st.none() | st.integers(start_us + 1, 1_200_000))
        part = {"start_us": start_us, "stop_us": stop_us, "packet_events": data.draw(st.integers(1, 90))}
        found, recording = read_all(path, sensor=SMALL, container=container, **part)
        assert np.array_equal(found, cut(whole, start_us, stop_us))
        assert recording.fault is None


@ANY
@given(st.lists(st.integers(-30_000, 40_000), min_size=2, max_size=300), st.data())
def test_a_part_of_a_recording_with_a_bad_clock_equals_the_whole_one_cut(tmp_path, steps, data):
    events = np.zeros(len(steps), EVENT_DTYPE)
    events["t"] = 1_000_000 + np.cumsum(steps)  # restarts and steps back, which reading mends
    events["x"] = np.arange(len(steps))
    path = tmp_path / "bad.npy"
    np.save(path, events)
    path.with_name("bad.npy.index").unlink(missing_ok=True)  # of the example before
    sensor = SensorSize(300, 1)
    whole = read_all(path, sensor=sensor)[0]
    for _ in range(3):
        start_us = data.draw(st.integers(0, int(whole["t"][-1] - whole["t"][0]) + 1))
        found = read_all(path, sensor=sensor, start_us=start_us, packet_events=7)[0]
        assert np.array_equal(found, cut(whole, start_us, None))


@needs_shared
@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.events < 120_000], ids=lambda sample: sample.file)
def test_parts_of_real_recordings_equal_the_whole_ones_cut(tmp_path, sample):
    path = shutil.copy(sample.path, tmp_path)
    whole = read_all(path)[0]
    rng = np.random.default_rng(2)
    often = 1 if sample.container == "hdf5" else 4  # which starts a process for each reading
    for start_us in rng.integers(0, sample.t_range[1] - sample.t_range[0], often).tolist():
        stop_us = start_us + 20_000
        assert np.array_equal(read_all(path, start_us=start_us, stop_us=stop_us)[0], cut(whole, start_us, stop_us))


@pytest.mark.parametrize(("container", "compression"), [pair for pair in READ if pair[0] != "csv"])
def test_a_late_part_is_reached_without_reading_what_lies_before(tmp_path, container, compression):
    path = tmp_path / "part"
    path.write_bytes(make(tmp_path / "made", container, compression, lasting_a_second(4_000), pieces=40).data)
    options = {"sensor": SMALL, "container": container, "start_us": 900_000, "packet_events": 50}
    if container != "aedat4":  # which has a table
        read_all(path, **options)
        assert path.with_name("part.index").is_file()
    recording = open_recording(path, **options)
    places = begun_at(recording)
    assert sum(len(packet.events) for packet in recording)
    size = 4_000 if container in ("npy", "npz") else path.stat().st_size
    assert places[0].byte_offset > 0.7 * size


def test_packets_of_a_part_promise_its_end_and_lie_within_it(tmp_path):
    path = tmp_path / "made.dat"
    make(path, "dat", "none", lasting_a_second(500))
    for options in ({}, {"packet_us": 1000}, {"packet_events": 7}):
        packets = list(open_recording(path, start_us=200_000, stop_us=700_000, **options))
        first_us = int(read_all(path)[0]["t"][0])
        assert packets[-1].t_stop_us == first_us + 700_000
        for packet, following in zip(packets, packets[1:], strict=False):
            assert packet.events["t"][-1] <= packet.t_stop_us <= following.events["t"][0]


def test_silence_up_to_the_end_of_a_part_is_promised(tmp_path):
    events = np.zeros(2, EVENT_DTYPE)
    events["t"] = [100, 5_000_000]
    np.save(tmp_path / "a.npy", events)
    packets = list(open_recording(tmp_path / "a.npy", sensor=SMALL, stop_us=3_000, packet_events=1))
    assert [(len(packet.events), packet.t_stop_us) for packet in packets] == [(1, 100), (0, 3_100)]


@pytest.mark.parametrize("part", [{"start_us": -1}, {"start_us": 5, "stop_us": 5}, {"stop_us": 0}])
def test_a_part_that_cannot_be_is_refused(tmp_path, part):
    np.save(tmp_path / "a.npy", lasting_a_second(9))
    with pytest.raises(RecordingError, match="want a stop after the start"):
        open_recording(tmp_path / "a.npy", **part)


def test_damage_after_a_part_is_not_met_and_damage_within_comes_after_the_good_events(tmp_path):
    path = tmp_path / "cut.dat"
    data = make(path, "dat", "none", lasting_a_second(500)).data
    path.write_bytes(data[:-3])
    whole = read_all(path, on_error="stop")[0]
    assert len(read_all(path, start_us=100_000, stop_us=300_000)[0])
    found, recording = read_all(path, start_us=100_000, on_error="stop")
    assert np.array_equal(found, cut(whole, 100_000, None))
    assert recording.fault.events_read == 499


@pytest.fixture
def indexed(tmp_path):
    """A recording with its index, and what a part of it must hold."""
    path = tmp_path / "made.raw"
    make(path, "evt3", "none", lasting_a_second(3_000))
    part = read_all(path, start_us=800_000)[0]
    return path, path.with_name("made.raw.index"), part


def read_part(path, **options):
    return read_all(path, start_us=800_000, **options)[0]


def test_an_index_that_is_damaged_anywhere_is_told_and_made_anew(indexed):
    path, kept, part = indexed
    data = kept.read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(data), 20).tolist():
        for wrong in (data[:at], data[:at] + bytes([data[at] ^ 5]) + data[at + 1 :], data + b"x"):
            kept.write_bytes(wrong)
            with pytest.warns(RuntimeWarning, match="the index is not used, and made anew"):
                assert np.array_equal(read_part(path), part)
            assert len(kept.read_bytes()) > len(data) // 2
    assert np.array_equal(read_part(path), part)  # and is good again: no warning


def test_an_index_of_another_file_is_told_and_made_anew_and_one_of_other_options_just_that(indexed):
    path, kept, part = indexed
    path.write_bytes(path.read_bytes() + b"\x00\x00")
    with pytest.warns(RuntimeWarning, match="was made of another file, or before this one changed"):
        assert np.array_equal(read_part(path), part)
    assert len(read_part(path, sensor=SensorSize(1280, 720), on_error="skip")) == len(part)


@pytest.mark.parametrize("change", ["byte_offset", "state", "outside", "backwards"])
def test_an_index_that_says_something_else_than_the_file_is_told_and_not_believed(indexed, change):
    path, kept, part = indexed
    start = len(b"dvs-run index 1\n")
    head, _, packed = kept.read_bytes()[start + 32 :].partition(b"\n")
    rows = np.frombuffer(zlib.decompress(packed), "<i8").reshape(json.loads(head)["shape"]).copy()
    if change == "byte_offset":
        rows[:, 2] += 64
    elif change == "state":
        rows[:, -6] += 4096
    elif change == "outside":
        rows[-1, 2] = 1 << 40
    else:
        rows[-1, 2] = rows[0, 2]
    payload = head + b"\n" + zlib.compress(rows.tobytes())
    kept.write_bytes(b"dvs-run index 1\n" + hashlib.sha256(payload).digest() + payload)
    with pytest.warns(RuntimeWarning, match="other events at byte|names places that are not in the recording"):
        assert np.array_equal(read_part(path), part)
    assert np.array_equal(read_part(path), part)


@pytest.mark.parametrize(("column", "by"), [(4, -5), (2, 48), (2, -32)])
@pytest.mark.parametrize("on_error", ["raise", "stop", "skip"])
def test_a_packet_table_that_says_something_else_than_the_file_is_told_and_not_believed(tmp_path, column, by, on_error):
    path = tmp_path / "made.aedat4"
    made = make(path, "aedat4", "none", lasting_a_second(900), pieces=9)
    part = read_part(path)
    table = made.data.rindex(b"FTAB")
    data = bytearray(made.data)
    count = data[table + 20]
    rows = np.frombuffer(data, np.uint8)[-48 * count :].view("<i8").reshape(-1, 6)  # of `data` itself
    rows[1:, column] += by
    rows[1:, 5] += by * (column == 4)
    path.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="other events at byte"):
        found, recording = read_all(path, start_us=800_000, on_error=on_error)
    assert np.array_equal(found, part)
    assert recording.fault is None


def test_where_nothing_can_be_written_beside_a_recording_the_index_is_kept_in_the_users_cache(tmp_path, monkeypatch):
    path = tmp_path / "made.dat"
    make(path, "dat", "none", lasting_a_second(3_000))
    real = index._replace

    def refuse(where, data):
        if where.parent == tmp_path:
            raise PermissionError(13, "Permission denied")
        real(where, data)

    monkeypatch.setattr(index, "_replace", refuse)
    part = read_part(path)
    assert not path.with_name("made.dat.index").exists()
    assert len(list((tmp_path / "cache" / "dvs-run" / "indexes").glob("*.index"))) == 1
    recording = open_recording(path, start_us=800_000)
    places = begun_at(recording)
    assert sum(len(packet.events) for packet in recording) == len(part)
    assert places[0] is not None


def test_an_index_stays_small_however_long_the_recording_is(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "MOST", 16)
    path = tmp_path / "made.dat"
    make(path, "dat", "none", lasting_a_second(9_000))
    whole = read_all(path)[0]
    for start_us in (999_000, 500_000, 999_000):
        assert np.array_equal(read_all(path, start_us=start_us)[0], cut(whole, start_us, None))
    head = path.with_name("made.dat.index").read_bytes()[16 + 32 :].partition(b"\n")[0]
    assert 4 <= json.loads(head)["shape"][0] <= 16


def test_a_small_recording_gets_no_index(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "LEAST_BYTES", 1 << 20)
    path = tmp_path / "made.dat"
    make(path, "dat", "none", lasting_a_second(3_000))
    read_part(path)
    assert [file.name for file in tmp_path.iterdir()] == ["made.dat"]


def test_a_reading_that_is_given_up_leaves_the_places_it_came_by(tmp_path):
    path = tmp_path / "made.dat"
    make(path, "dat", "none", lasting_a_second(3_000))
    recording = open_recording(path, start_us=500_000)
    with contextlib.closing(recording):
        next(iter(recording))
    assert path.with_name("made.dat.index").is_file()
