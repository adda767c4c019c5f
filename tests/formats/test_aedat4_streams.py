"""AEDAT 4's description of its streams: whatever other streams a file has or leaves unsaid, its events are read."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.formats import aedat4_layout as layout
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.formats.aedat4_stream import Aedat4Stream
from dvs_run.pipeline.formats.aedat4_streams import Stream, describe, parse

from ..recordings import SHARED
from .files import SMALL, events_for_all, read_all

DAVIS = SHARED / "recordings" / "aedat4" / "davis346_frames_imu_lz4.aedat4"
EVENTS, BOXES = Stream("EVTS", SMALL), Stream("BBOX")


def pack(codec, content):
    if codec == "zstd":
        return pytest.importorskip("zstandard").compress(content)
    return pytest.importorskip("lz4.frame").compress(content) if codec == "lz4" else content


def packet(number, content):
    return layout.PACKET_HEADER.pack(number, len(content)) + content


def file_of(streams, events, codec="none", others=(7,), number=2):
    """A file of these streams: packets of ten events, each followed by one of each of the `others`, of a few bytes."""
    data = layout.header(streams, layout.CODECS.index(codec), "camera")
    for start in range(0, len(events), 10):
        data += packet(number, pack(codec, layout.event_packet(events[start : start + 10])))
        data += b"".join(packet(other, b"any bytes") for other in others)
    return data


@pytest.mark.parametrize(("codec", "missing"), [("none", ""), ("lz4", ""), ("zstd", ""), ("zstd", "zstandard")])
def test_a_stream_of_an_unknown_kind_costs_no_events_and_its_packets_are_counted(tmp_path, monkeypatch, codec, missing):
    path, events = tmp_path / "a.aedat4", events_for_all(200)
    path.write_bytes(file_of({2: EVENTS, 7: BOXES}, events, codec))
    if missing:
        monkeypatch.setitem(__import__("sys").modules, missing, None)
    found, recording = read_all(path)
    assert np.array_equal(found, events)
    assert recording.sensor == SMALL
    assert recording.defects == {"other_packets": 20, "not_closed": 1}
    assert recording.details["streams"] == "2: events, 7: BBOX"
    assert list(recording.frames()) == list(recording.imu()) == []


@pytest.mark.parametrize("missing", ["", "zstandard"])
def test_a_packet_of_a_stream_that_the_header_lacks_is_a_fault_with_and_without_the_package(
    tmp_path, monkeypatch, missing
):
    path, events = tmp_path / "a.aedat4", events_for_all(20)
    path.write_bytes(file_of({2: EVENTS}, events, "zstd"))
    if missing:
        monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(
        RecordingError, match="stream 7 cannot be decoded .*names no such stream.* the 10 events before"
    ):
        read_all(path)
    found, recording = read_all(path, on_error="skip")
    assert np.array_equal(found, events)
    assert recording.defects == {"skipped_faults": 2, "not_closed": 1}


@pytest.mark.skipif(not DAVIS.is_file(), reason=f"needs {DAVIS}")
def test_frames_motion_samples_and_triggers_are_read_beside_a_stream_of_an_unknown_kind(tmp_path):
    pytest.importorskip("aedat")
    whole, path = DAVIS.read_bytes(), tmp_path / "a.aedat4"
    with DAVIS.open("rb") as file:
        header = layout.parse_header(file)
    box = packet(99, b"any bytes")
    packets = whole[header.first_packet : header.table_position]
    path.write_bytes(layout.header(header.streams | {99: BOXES}, header.codec, "camera") + box + packets + box)
    with open_recording(DAVIS) as before, open_recording(path) as after:
        assert [type(extra) for extra in after.extras()] == [type(extra) for extra in before.extras()]
        for frame, wanted in zip(after.frames(), before.frames(), strict=True):
            assert frame.t_us == wanted.t_us
            assert np.array_equal(frame.pixels, wanted.pixels)


@pytest.mark.parametrize(("told", "wanted"), [(None, SensorSize(128, 128)), (SensorSize(346, 260), None)])
def test_a_header_without_a_size_is_read_with_the_sensor_that_is_told_or_the_smallest_that_holds_all(
    tmp_path, told, wanted
):
    path, events = tmp_path / "a.aedat4", events_for_all(200)
    events["x"][50] = 127
    path.write_bytes(file_of({2: Stream("EVTS"), 7: Stream("FRME")}, events))
    found, recording = read_all(path, sensor=told)
    assert np.array_equal(found, events)
    assert recording.sensor == (told or wanted)
    assert ("smallest known" in recording.details.get("sensor", "")) == (told is None)


def test_a_size_that_another_stream_lacks_is_not_asked_for(tmp_path):
    path, events = tmp_path / "a.aedat4", events_for_all(200)
    path.write_bytes(file_of({2: EVENTS, 7: Stream("FRME")}, events))
    found, recording = read_all(path)
    assert np.array_equal(found, events)
    assert recording.sensor == SMALL


STREAMS = {0: EVENTS, 3: Stream("FRME", SensorSize(346, 260)), 12: BOXES}
XML = describe(STREAMS, "none", "DAVIS <1> & 2").decode()


@pytest.mark.parametrize(
    "description",
    [
        XML,
        XML.replace("><", ">\n    <"),
        '<?xml version="1.0" encoding="latin-1"?>\n' + XML,
        XML.replace("</node></dv>", '</node><node name="x" path="/x/"><attr key="a" type="int">3</attr></node></dv>'),
        XML.replace("</node></dv>", '<node name="notes" path="/n/"/></node></dv>'),
    ],
)
def test_a_description_is_understood_however_it_is_laid_out(description):
    assert parse(description) == STREAMS


@pytest.mark.parametrize("side", ["", "0", "-3", "346.0", "40000", "9" * 5000, "²"])
def test_a_size_that_is_none_counts_as_not_stated(side):
    assert parse(XML.replace(">128</attr>", f">{side}</attr>", 1))[0] == Stream("EVTS")


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("", "is broken: no element found"),
        (XML[:-3], "is broken"),
        (XML.replace("outInfo", "inInfo"), "names no streams"),
        ('<!DOCTYPE dv [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + XML, "declares a document type"),
        (XML + " " * (1 << 20), "characters, want at most 1,048,576"),
    ],
)
def test_a_description_that_is_none_is_refused_by_name(tmp_path, monkeypatch, description, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(description)
    path = tmp_path / "a.aedat4"
    monkeypatch.setattr(layout, "describe", lambda *_: description.encode())
    path.write_bytes(layout.header({}, 0, ""))
    with pytest.raises(RecordingError, match=f"a.aedat4: damaged AEDAT 4 file: the header.*{sentence}"):
        open_recording(path)


def test_a_connection_with_a_stream_of_an_unknown_kind_gives_its_events():
    pytest.importorskip("aedat")
    events = events_for_all(100)
    stream = Aedat4Stream("x")
    found = list(stream.feed(file_of({2: EVENTS, 7: BOXES}, events)))
    stream.close()
    assert np.array_equal(np.concatenate(found), events)
    assert (stream.sensor, stream.others, stream.unreadable) == (SMALL, 10, 0)


def test_a_connection_that_states_no_sensor_is_refused_by_name():
    stream = Aedat4Stream("x")
    with pytest.raises(RecordingError, match="x: its header states no sensor .sizeX and sizeY of stream 2"):
        list(stream.feed(file_of({2: Stream("EVTS")}, events_for_all(10))))
    stream.close()
