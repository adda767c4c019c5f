"""Which container a file is, what else it may be, and the options of reading."""

import importlib.metadata
import os
import zipfile

import numpy as np
import pytest

from dvs_run.pipeline import formats
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.formats import Batch, Container, Source, open_recording, open_writer

from .files import READ, SMALL, events_for_all, make, read_all


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
        (b"% evt 4.0\n", "a Prophesee recording of the format EVT 4.0, which is not supported"),
        (b"% format HISTO3D;height=320;width=320\n", "a Prophesee recording of the format HISTO3D"),
        (b"#ROSBAG V1.2\n", "ROS 1 bag of a version that is not supported"),
        (b"#!AER-DAT3.0\r\n", "AEDAT file of a version that is not supported"),
        (b"\x1f\x8b\x08", "gzip; unpack it first"),
        (b"\x80\x04\x95\1\0", "Python pickle, which is never loaded"),
        (b"\0\0\x08\x03\0\0\0\1", "IDX file of images"),
        (b"class,from,to\n1,2,3\n", "text"),
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


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.dat", {"layout": "txyp"}, "layout does not go with Prophesee DAT"),
        ("x.raw", {"time_unit": "s", "stream_id": 1}, "stream and time_unit does not go with Prophesee EVT 3.0"),
        ("x.aedat4", {"layout": "davis346"}, "layout does not go with AEDAT 4"),
    ],
)
def test_a_choice_that_a_container_does_not_have_is_refused_and_not_passed_over(tmp_path, name, options, message):
    with open_writer(tmp_path / name, SMALL) as writer:
        writer.write(np.array([(0, 1, 2, True)], EVENT_DTYPE))
    with pytest.raises(RecordingError, match=message):
        open_recording(tmp_path / name, **options)
