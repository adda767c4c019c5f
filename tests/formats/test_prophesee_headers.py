"""Which format a file of Prophesee's has, and of which sensor, in the many ways in which files say it or do not."""

import struct

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer, prophesee

from .. import naive
from .files import read_all

VGA = SensorSize(640, 480)
HEADERS = (  # (header, container, sensor)
    (b"% evt 2.0\n", "evt2", None),
    (b"% evt 3.0\n% geometry 346x260\n", "evt3", (346, 260)),
    (b"% format EVT3;height=720;width=1280\n% end\n", "evt3", (1280, 720)),
    (b"% evt 3.0\r\n% format EVT2;width=32;height=16\r\n% end\r\n", "evt2", (32, 16)),
    (b"% format EVT21;endianness=legacy;height=320;width=320\n% end\n", "evt21", (320, 320)),
    (b"% evt 2.1\n% plugin_name hal_plugin_imx636_evk4\n", "evt21", (1280, 720)),
    (b"% evt 3.0\n% plugin_name hal_plugin_gen31_fx3\n", "evt3", (640, 480)),
    (b"% evt 3.0\n% sensor_name GenX320\n% geometry 0x0\n", "evt3", (320, 320)),
    (b"% Version 2\n% Width 300\n% Height 200\n\x00\x08", "dat", (300, 200)),
    (b"% Version 2\n% end\n\x0c\x08", "dat", None),
    (b"% Version 1\n\x00\x08", "dat", (304, 240)),
    (b"% evt 3.0\n% \n% geometry 640x480\n", "evt3", (640, 480)),
    (b"% evt 3.0\n%\r\n% \xe9t\xe9\n% geometry 640x480\n% end\n", "evt3", (640, 480)),
    (b"% Width 640\n% Height 480\n\x0c\x08", "dat", (640, 480)),
    ("% Data file of Zoë\n% Version 2\n".encode("latin-1") + b"\x0c\x08", "dat", None),
)


@pytest.mark.parametrize(("header", "container", "sensor"), HEADERS)
def test_a_header_says_the_format_and_the_sensor_in_many_ways(tmp_path, header, container, sensor):
    path = tmp_path / "x"
    path.write_bytes(header)
    with pytest.raises(RecordingError, match="without events"):
        list(open_recording(path))
    recording = open_recording(path)
    assert recording.container == container
    assert (recording.sensor.width, recording.sensor.height) == (sensor or (304, 240))
    assert open_recording(path, sensor=SensorSize(5, 6)).sensor == SensorSize(5, 6)


OTHERS = (
    (
        b"% format HISTO3D;width=320;height=320\n% end\n\x00\x00",
        "Prophesee recording of the format HISTO3D",
    ),
    (b"% evt 4.0\n% end\n\x00\x00", "Prophesee recording of the format EVT 4.0"),
    (b"% Version 2\n\x0e\x08", r"a DAT file of triggers \(type 14\), want changes"),
    (b"% Version 2\n\x63\x08", r"a DAT file of something unknown \(type 99\)"),
    (b"% Version 2\n\x0c", "ends within its header, before the type"),
    (b"% evt 3.0\n% geom", "ends within its header"),
)


@pytest.mark.parametrize(("data", "message"), OTHERS)
def test_what_is_no_format_of_ours_is_refused_by_name(tmp_path, data, message):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_dat_file_that_states_no_version_but_a_large_sensor_is_read_as_version_2(tmp_path):
    path = tmp_path / "x"
    events = naive.random_recorded_events(300, VGA, 4, first_us=5, mean_step_us=30)
    path.write_bytes(b"% Width 640\n% Height 480\n\x0c\x08" + body_of(path, events, "dat").removeprefix(b"\x0c\x08"))
    assert read_all(path)[0].tolist() == events.tolist()


def body_of(path, events, container):
    """The words that our writer makes, without the header."""
    with open_writer(path, VGA, container=container) as writer:
        writer.write(events)
    with path.open("rb") as file:
        start = prophesee.read_header(file).start
    return path.read_bytes()[start:]


@pytest.mark.parametrize("container", ["evt2", "evt21", "evt3"])
@pytest.mark.parametrize("header", [b"", b"% Date 2019-01-01\n", b"% Date 2019-01-01\n% end\n"])
def test_words_without_a_word_about_their_format_are_known_by_their_looks(tmp_path, container, header):
    events = naive.random_recorded_events(3000, VGA, 4, first_us=123_456, mean_step_us=30)
    path = tmp_path / "x"
    path.write_bytes(header + body_of(path, events, container))
    again, recording = read_all(path)
    assert recording.container == container
    assert np.array_equal(again, events)
    assert recording.sensor == VGA
    if header:
        with pytest.raises(RecordingError, match="want at least 1"):
            open_recording(path, container=container, packet_events=0)


@pytest.mark.parametrize("header", [b"", b"% evt 2.1\n", b"% format EVT21;endianness=legacy\n% end\n"])
def test_evt21_is_read_in_both_orders_of_its_halves(tmp_path, header):
    events = naive.random_recorded_events(3000, VGA, 5, mean_step_us=3)
    path = tmp_path / "x"
    words = np.frombuffer(body_of(path, events, "evt21"), "<u4").reshape(-1, 2)
    path.write_bytes(header + words[:, ::-1].tobytes())
    again, recording = read_all(path, sensor=VGA)
    assert np.array_equal(again, events)
    assert recording.details["layout"] == "halves of words exchanged"
    if b"legacy" not in header:
        path.write_bytes(header + words.tobytes())
        assert np.array_equal(read_all(path, sensor=VGA)[0], events)


def test_the_oldest_dat_files_have_nine_and_eight_bits_and_may_lack_a_header(tmp_path):
    path = tmp_path / "x"
    body = struct.pack("<4I", 5, 300 | 239 << 9 | 1 << 17, 7, 1 | 2 << 9)
    for header in (b"% Version 1\n\x00\x08", b"% a file without a version\n\x00\x08", b""):
        path.write_bytes(header + body)
        events, recording = read_all(path, container="dat")
        assert events.tolist() == [(5, 300, 239, True), (7, 1, 2, False)]
        assert recording.sensor == SensorSize(304, 240)


def test_a_first_word_that_begins_like_a_line_is_data(tmp_path):
    path = tmp_path / "x"
    high, event = 8 << 28 | 0x0A2025, 1 << 28 | 3 << 11 | 4  # the bytes of "% \n"
    path.write_bytes(b"% evt 2.0\n" + struct.pack("<2I", high, event))
    assert path.read_bytes()[10:13] == b"% \n"
    events, _ = read_all(path)
    assert events.tolist() == [(0x0A2025 << 6, 3, 4, True)]
