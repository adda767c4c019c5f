"""NumPy arrays of events: columns and records of many conventions, and arrays that are no events."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording

from .files import SMALL, npz_bytes, read_all

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
            {"layout": "x y p t", "time_unit": "us"},
        ),
        ({**COLUMNS, "t": COLUMNS["t"] / 1e6}, {}),
        ({"events": np.stack([COLUMNS["t"] / 1e6, *(COLUMNS[name] for name in "xyp")], 1)}, {}),
        ({"event_data": np.array(EXPECTED, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])}, {}),
        ({"arr_0": np.stack([COLUMNS[name] for name in "xypt"], 1), "width": np.array(9), "height": np.array(9)}, {}),
    ],
)
def test_columns_and_structured_arrays_of_many_conventions_are_read(tmp_path, arrays, options):
    path = tmp_path / "made.npz"
    path.write_bytes(npz_bytes(**arrays))
    assert read_all(path, **options)[0].tolist() == EXPECTED


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({**COLUMNS, "t": COLUMNS["t"][:3]}, "columns of different lengths"),
        ({"on": np.zeros((3, 4)), "off": np.zeros(3)}, "has no array `events` and no column 't'; it holds on, off"),
        ({"frames": np.zeros((3, 4))}, "say their order with `layout`"),
        ({"events": np.stack([np.arange(5), *np.zeros((3, 5))], 1)}, "say their order with"),
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


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
def test_the_order_of_four_columns_is_what_their_numbers_tell(tmp_path, order):
    rng = np.random.default_rng(3)
    columns = {"t": np.sort(rng.integers(0, 9000, 400)), "p": rng.integers(0, 2, 400)}
    columns |= {name: rng.integers(0, 30, 400) for name in "xy"}
    path = tmp_path / "made.npy"
    np.save(path, np.stack([columns[name] for name in order], 1))
    events, _ = read_all(path)
    assert all((events[name] == columns[name]).all() for name in "txyp")


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


@pytest.mark.parametrize("name", ["made.npy", "made.npz", "made.h5"])
def test_seconds_are_told_by_their_fractions_also_after_a_burst_at_zero(tmp_path, name):
    path = tmp_path / name
    seconds = np.concatenate([np.zeros(1000), np.arange(1, 2001) / 1000])
    rows = np.stack([seconds, np.arange(3000) % 29, np.arange(3000) % 31, np.arange(3000) % 2], 1)
    if name == "made.npy":
        np.save(path, rows)
    elif name == "made.npz":
        np.savez(path, **dict(zip("txyp", rows.T, strict=True)))
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["events"] = rows
    assert read_all(path)[0]["t"].tolist() == np.rint(seconds * 1e6).astype(int).tolist()


@pytest.mark.parametrize(
    ("array", "layout", "message"),
    [
        (np.zeros((9, 4)), "zzz", "want each of t, x, y, p once"),
        (np.zeros((9, 4)), "txy-p", "names 5"),
        (np.zeros(9, EVENT_DTYPE), "txyp", "leave `layout` out"),
    ],
)
def test_a_layout_that_does_not_fit_the_array_is_refused(tmp_path, array, layout, message):
    path = tmp_path / "made.npy"
    np.save(path, array)
    with pytest.raises(RecordingError, match=message):
        open_recording(path, layout=layout)
