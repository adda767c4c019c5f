"""Text: columns in any order, units, heads of many conventions, exact times, faults with their lines."""

import gzip
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer, text
from dvs_run.pipeline.formats.text_lines import read_lines

from .files import SMALL, events_for_all, read_all

EXPECTED = [(0, 30, 134, False), (780, 158, 59, True), (1706, 84, 25, False), (1706, 7, 0, True)]
PLAIN = "0.000000000 30 134 0\n0.000779999 158 59 1\n0.001706000 84 25 0\n0.0017062 7 0 1\n"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (PLAIN, {}),
        (PLAIN.replace("\n", "\r\n"), {}),
        (PLAIN.removesuffix("\n"), {}),
        (PLAIN.replace(" 0\n", " -1\n"), {}),
        ("240 180\n" + PLAIN, {}),
        ("# columns: t x y p\n" + PLAIN, {}),
        ("# each line holds t x y p of one event\n# t [s] x y p\n" + PLAIN, {}),
        ("# t x y p\n\n% more\n" + PLAIN.replace("59 1\n", "59 1\n\n# noise\n"), {}),
        (PLAIN.replace(" 1\n", " True\n").replace(" 0\n", " False\n"), {}),
        ("t,x,y,p\n0,30,134,0\n780,158,59,1\n1706,84,25,0\n1706,7,0,1\n", {}),
        ('"x";"y";"polarity";"timestamp"\n30;134;0;0\n158;59;1;780\n84;25;0;1706\n7;0;1;1706\n', {}),
        ('"x";"y";"p";"t"\n"30";"134";"0";"0"\n"158"; "59" ;"1";"780"\n84;25;0;"1706"\n"7";"0";"1";"1706"\n', {}),
        ('t,x,y,p,why\n0,30,134,0,"a"\n780,158,59,1,""\n1706,84,25,0,"c"\n1706,7,0,1,"d"\n', {"layout": "txyp-"}),
        ("30,134,0,0\n158, 59, 1, 780\n84,25,0,1706\n7\t,\t0,1,1706\n", {}),
        ("30,134,0,0\n158,59,1,780\n84,25,0,1706\n7,0,1,1706", {}),
        ("0.0 30.0 134.0 0.0\n780.0 158.0 59.0 1.0\n1706.0 84.0 25.0 0.0\n1706.0 7.0 0.0 1.0\n", {}),
        ("timestamp_ms,x,y,on\n0,30,134,0\n0.78,158,59,1\n1.706,84,25,0\n1.706,7,0,1\n", {}),
        ("id t y x p why\n9 0 134 30 0 a\n9 780 59 158 1 b\n9 1706 25 84 0 c\n9 1706 0 7 1 d\n", {}),
        ("0 134 30 0\n1 59 158 780000\n0 25 84 1706000\n1 0 7 1706000\n", {"layout": "p y x t", "time_unit": "ns"}),
        ("0,134,x,30,0\n0.78,59,x,158,1\n1.706,25,x,84,0\n1.706,0,x,7,1\n", {"layout": "ty-xp", "time_unit": "ms"}),
        ("0.0e0 3e1 1.34e2 0e0\n7.8e-4 1.58e2 5.90e+01 1.0\n1.706E-3 84.0 25 -1.0\n+0.001706 7 0 1\n", {}),
    ],
)
def test_lines_of_many_conventions_are_read(tmp_path, content, options):
    path = tmp_path / "made.dat"  # the name says nothing
    path.write_text(content)
    container = "csv" if options else None  # the first line alone may be no line of four numbers
    events, recording = read_all(path, container=container, **options)
    assert events.tolist() == EXPECTED
    assert recording.container == "csv"
    assert recording.defects == {}
    path.write_bytes(gzip.compress(content.encode()))
    assert read_all(path, container=container, **options)[0].tolist() == EXPECTED


def test_the_order_in_which_times_do_not_fall_is_taken_where_two_fit(tmp_path):
    path = tmp_path / "made.txt"
    path.write_text("".join(f"{i * 7 % 30} {i % 20} {i % 2} {i // 20}\n" for i in range(40)))  # x y p t, or t x y p
    events, recording = read_all(path)
    assert events["t"].tolist() == [i // 20 for i in range(40)]
    assert recording.details["columns"] == "x y p t, from the numbers"


def test_the_sensor_is_the_stated_one_or_the_smallest_that_holds_all(tmp_path):
    path = tmp_path / "made.txt"
    for head, sensor in (
        ("320 200\n", (320, 200)),
        ("# sensor 300x280, t in s\n", (300, 280)),
        ("0 70000\n", (240, 180)),
    ):
        path.write_text(head + PLAIN)
        recording = open_recording(path)
        assert (recording.sensor.width, recording.sensor.height) == sensor
    assert open_recording(path, sensor=SMALL).sensor == SMALL
    with open_writer(tmp_path / "our.csv", SensorSize(333, 222)) as writer:
        writer.write(np.array(EXPECTED, EVENT_DTYPE))
    events, recording = read_all(tmp_path / "our.csv")
    assert events.tolist() == EXPECTED
    assert (recording.sensor, recording.details["time unit"]) == (SensorSize(333, 222), "us, as the file says")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1 2 3 4 5\n1 2 3 4 6\n", {}, "say their order with `layout`"),
        ("5 7 8 9\n5 7 8 9\n", {}, "say their order with `layout`"),
        (PLAIN, {"layout": "txy"}, "want each of t, x, y, p once"),
        (PLAIN, {"time_unit": "fortnight"}, "time unit is 'fortnight', want one of s, ms, us"),
        ("class,startTime_usec,endTime_usec\n1,2,3\n", {}, "looks like text, but not like lines of events"),
        ("a b c d\n" * 3, {}, "looks like text, but not like lines of events"),
    ],
)
def test_text_that_does_not_say_enough_is_refused_with_the_way_out(tmp_path, content, options, message):
    path = tmp_path / "made.txt"
    path.write_text(content)
    with pytest.raises(RecordingError, match=message):
        open_recording(path, **options)


@pytest.mark.parametrize(
    "line", ["a b c d", "1 2 3", "1 2 3 2", "1 -2 3 1", "1 70000 3 1", "1 2.5 3 1", "nan 2 3 1", "1e30 2 3 1",
             "1 2 3 1 9", "1 2 3 1x", "1,,2,3,1", "- 2 3 1", "1 2 3 1e", "9999999999999999999999 1 1 1"]
)  # fmt: skip
def test_a_line_that_is_no_event_is_a_fault_with_its_number_or_is_skipped(tmp_path, line):
    path = tmp_path / "made.txt"
    path.write_text(f"# t x y p, t in us\n\n1 1 1 1\n{line}\n5 2 2 0\n")
    recording = open_recording(path, on_error="stop", sensor=SMALL, time_unit="us", layout="txyp")
    assert [event for packet in recording for event in packet.events.tolist()] == [(1, 1, 1, True)]
    assert f"line 4 is {line!r}, want numbers t x y p" in str(recording.fault)
    assert recording.fault.byte_offset == 28
    events, recording = read_all(path, on_error="skip", sensor=SMALL, time_unit="us", layout="txyp")
    assert (len(events), recording.defects) == (2, {"skipped_faults": 1})


def test_times_are_exact_to_the_microsecond_whatever_their_digits():
    rng = np.random.default_rng(4)
    shapes = ("{:.9f}", "{:.6f}", "{:.3f}", "{:.18e}", "{:.12f}", "{:.1f}", "{:.0f}")
    numbers = [
        rng.choice(shapes).format(Decimal(int(rng.integers(0, 2**60))).scaleb(-int(rng.integers(9, 13))))
        for _ in range(3000)
    ]
    numbers += ["1605537493.718345000", "1605537493.7183455", "0000000000000000000001.5", "12", "-0.0000015", "1e-30"]
    for unit, shift in (("s", 6), ("ms", 3), ("us", 0), ("ns", -3)):
        lines = "".join(f"{number} 1 2 1\n" for number in numbers).encode()
        events = np.empty(len(numbers), EVENT_DTYPE)
        columns = np.arange(4)
        used, kept, count = read_lines(np.frombuffer(lines, np.uint8), columns, columns, shift, events)
        assert (used, kept, count) == (len(lines), len(numbers), len(numbers)), unit
        exact = [Decimal(number).scaleb(shift) for number in numbers]
        expected = [int((value + Decimal("0.5")).to_integral_value("ROUND_FLOOR")) for value in exact]
        assert events["t"].tolist() == expected, unit
    assert Decimal("0.5").to_integral_value(ROUND_HALF_UP) == 1  # the twin's own rule


def test_a_last_line_that_may_be_cut_is_not_delivered(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text("30,134,0,100\n158,59,1,780\n84,25,0,17")  # 1706, cut
    recording = open_recording(path, on_error="stop", sensor=SensorSize(240, 180))
    assert len([event for packet in recording for event in packet.events]) == 2
    assert "the file ends within line 3, at byte 26" in str(recording.fault)


def test_a_packed_file_that_is_cut_or_damaged_delivers_its_good_lines(tmp_path):
    path = tmp_path / "made.csv"
    lines = "".join(f"{t},{t % 128},{t * 7 % 128},{t % 2}\n" for t in range(200_000))
    packed = gzip.compress(b"t,x,y,p\n" + lines[:3000].encode())
    path.write_bytes(packed[:-20])  # shorter than a block
    recording = open_recording(path, on_error="stop", sensor=SMALL)
    assert sum(len(packet.events) for packet in recording) > 100
    assert "ends within its packed data" in str(recording.fault)
    packed = gzip.compress(b"t,x,y,p\n" + lines.encode())
    for data, message in (
        (packed[: len(packed) // 2], "ends within its packed data"),
        (packed[: len(packed) // 2] + b"\xff" * 40 + packed[len(packed) // 2 + 40 :], "damaged|line"),
    ):
        path.write_bytes(data)
        recording = open_recording(path, on_error="stop", sensor=SMALL)
        events = np.concatenate([packet.events for packet in recording])
        assert len(events) > 20_000
        good = events[:20_000]
        assert np.array_equal(good["t"], np.arange(20_000))
        with pytest.raises(RecordingError, match=message):
            raise recording.fault


def test_reading_goes_on_from_any_place_as_from_the_beginning(tmp_path, monkeypatch):
    path = tmp_path / "made.csv"
    with open_writer(path, SMALL) as writer:
        writer.write(events_for_all(3000))
    monkeypatch.setattr(text, "BLOCK", 1000)
    source = text.open_text(path, open_recording(path).options)
    reading = open_recording(path)._reading
    batches = list(source.decoded(reading))
    for at in (0, 5, len(batches) - 2):
        place = batches[at][1]
        assert source.holds(place)
        rest = [batch.events for batch, _ in source.decoded(reading, place)]
        assert np.array_equal(np.concatenate(rest), np.concatenate([batch.events for batch, _ in batches[at + 1 :]]))
