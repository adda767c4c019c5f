"""HDF5: the layouts of others, parts, files that were cut or damaged, what is refused."""

import json
import random

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.formats import hdf5, open_recording

from .files import SMALL, events_for_all, read_all

h5py = pytest.importorskip("h5py")
EVENTS = events_for_all(300)
COLUMNS = {"t": EVENTS["t"], "x": EVENTS["x"], "y": EVENTS["y"], "p": EVENTS["p"].astype("u1")}
WHY_CUT = ("cannot be read as HDF5", "holds no events", "no more than", "broke down")
RECORDS = np.empty(len(EVENTS), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
for name, values in COLUMNS.items():
    RECORDS[name] = values


def four(order, scale=1.0):
    return np.stack([COLUMNS[name] * (scale if name == "t" else 1.0) for name in order], 1).astype(float)


def made(path, arrays, **options):
    """A file of arrays by path."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, **(options if np.ndim(values) else {}))
    return path


@pytest.mark.parametrize(
    ("arrays", "options", "stream"),
    [
        ({f"events/{name}": values for name, values in COLUMNS.items()}, {}, "events"),
        (
            {**{f"events/{k}": v for k, v in COLUMNS.items()}, "ms_to_idx": np.arange(9), "t_offset": 7},
            {},
            "events",
        ),  # DSEC
        ({f"events/{name}s": values for name, values in COLUMNS.items()}, {}, "events"),  # ESIM, N-Caltech101
        ({**{f"e/{name}": v for name, v in COLUMNS.items()}, "e/t": EVENTS["t"] / 1e6}, {}, "e"),
        ({f"a/{name}": values for name, values in COLUMNS.items()}, {"time_unit": "us"}, "a"),
        (
            {"CD/events": RECORDS, "CD/indexes": np.zeros(3, [("id", "<u8"), ("ts", "<i8")])},
            {},
            "CD/events",
        ),  # Prophesee
        (
            {"davis/left/events": four("xytp", 1e-6), "davis/left/image": np.zeros((3, 4))},
            {},
            "davis/left/events",
        ),  # MVSEC
        ({"events": four("yxpt")}, {"layout": "yxpt"}, "events"),
        (COLUMNS, {}, "/"),
        ({f"{side}/{k}": v for side in "lr" for k, v in COLUMNS.items()}, {"stream_id": "/r"}, "r"),  # M3ED
    ],
)
def test_layouts_of_many_data_sets_are_read(tmp_path, arrays, options, stream):
    packed = {"chunks": True, "compression": "gzip", "shuffle": True} if "/" in stream else {}
    path = made(tmp_path / "made.h5", arrays, **packed)
    events, recording = read_all(path, sensor=SMALL, **options)
    assert np.array_equal(events, EVENTS)
    assert recording.container == "hdf5"
    assert recording.details["stream read"] == stream
    assert recording.defects == {}


def test_the_sensor_is_the_stated_one_or_the_smallest_that_holds_all(tmp_path):
    path = made(tmp_path / "made.h5", {"CD/events": RECORDS})
    assert open_recording(path).sensor == SMALL
    for attributes in ({"geometry": "300x200"}, {"width": 300, "height": 200}, {"sensor_resolution": [200, 300]}):
        with h5py.File(path, "a") as file:
            file.attrs.clear()
            file.attrs.update(attributes)
        assert open_recording(path).sensor == SensorSize(300, 200)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"images": np.zeros((3, 8, 8))}, {}, "holds no events: no group with t, x, y and p"),
        ({"events": np.zeros((5, 4))}, {}, "say their order with `layout`"),
        ({**COLUMNS, "t": COLUMNS["t"][:9]}, {}, "columns of different lengths"),
        ({**COLUMNS, "x": np.array([b"a"] * len(EVENTS))}, {}, "a column 'x' of \\|S1, want numbers"),
        (COLUMNS, {"stream_id": "left"}, "holds no events at 'left'; those with events are /"),
        (COLUMNS, {"time_unit": "day"}, "want one of s, ms, us"),
        (COLUMNS, {"layout": "xx"}, "want each of t, x, y, p once"),
    ],
)
def test_what_is_no_events_is_refused(tmp_path, arrays, options, message):
    path = made(tmp_path / "made.h5", arrays)
    with pytest.raises(RecordingError, match=message) as refused:
        open_recording(path, **options)
    assert str(path) in str(refused.value)


def test_nothing_outside_the_file_is_read(tmp_path):
    other = made(tmp_path / "other.h5", COLUMNS)
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        for name in COLUMNS:
            file[name] = h5py.ExternalLink(other, name)
    with pytest.raises(RecordingError, match="holds no events"):
        open_recording(path)
    path.unlink()
    with h5py.File(path, "w") as file:
        for name in "xyp":
            file[name] = COLUMNS[name]
        file.create_dataset("t", (300,), "<i8", external=[(str(other), 0, 2400)])
    with pytest.raises(RecordingError, match="keeps its numbers in another file"):
        open_recording(path)


def test_the_codecs_of_the_extra_are_unpacked(tmp_path):
    packed = pytest.importorskip("hdf5plugin").Blosc(cname="zstd", clevel=1)  # as DSEC is
    arrays = {f"events/{name}": values for name, values in COLUMNS.items()}
    events, recording = read_all(made(tmp_path / "made.h5", arrays, chunks=(100,), **packed), sensor=SMALL)
    assert np.array_equal(events, EVENTS)
    assert recording.codec == "blosc"


def test_a_codec_that_is_not_installed_is_named_with_where_to_get_it(tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        space, plist = h5py.h5s.create_simple((300,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((100,))
        plist.set_filter(36559, h5py.h5z.FLAG_OPTIONAL, ())
        group = file.create_group("CD")
        kind = h5py.h5t.py_create(RECORDS.dtype)
        h5py.h5d.create(group.id, b"events", kind, space, plist)
    with pytest.raises(RecordingError, match="Prophesee's codec ECF, which is not installed.*HDF5_PLUGIN_PATH"):
        open_recording(path)


def test_a_shape_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(name, (10**13,), "<i8", chunks=(1000,))
    with pytest.raises(RecordingError, match="rows, but no more than 0 in the file"):
        open_recording(path)


@pytest.mark.parametrize("storage", [{}, {"chunks": (50,), "compression": "gzip"}])
def test_a_file_that_was_cut_delivers_the_rows_that_are_there(tmp_path, storage):
    path = made(tmp_path / "made.h5", {"CD/events": RECORDS}, **storage)
    data = path.read_bytes()
    delivered, refusals = [], []
    for cut in sorted({*range(1, len(data), 3500), len(data) - 1, len(data) - 500}):
        path.write_bytes(data[:cut])
        try:
            recording = open_recording(path, sensor=SMALL, container="hdf5", on_error="stop")
        except RecordingError as error:
            refusals.append(str(error))
            continue
        good = [event for packet in recording for event in packet.events.tolist()]
        assert good == EVENTS[: len(good)].tolist()
        assert recording.fault is not None or len(good) == len(EVENTS)
        delivered.append(len(good))
    assert all(any(what in said for what in WHY_CUT) for said in refusals)
    assert sorted(delivered) == delivered
    assert 0 < max(delivered) <= len(EVENTS)


def test_a_damaged_chunk_is_a_fault_after_the_good_rows_and_can_be_skipped(tmp_path):
    path = made(tmp_path / "made.h5", {"CD/events": RECORDS}, chunks=(50,), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        place = file["CD/events"].id.get_chunk_info_by_coord((150,))
    data = bytearray(path.read_bytes())
    data[place.byte_offset + 20] ^= 0xFF
    path.write_bytes(data)
    recording = open_recording(path, sensor=SMALL, on_error="stop")
    events = np.concatenate([packet.events for packet in recording])
    assert np.array_equal(events, EVENTS[:150])
    assert "rows 150 to 199 cannot be read" in str(recording.fault)
    assert recording.fault.byte_offset == place.byte_offset
    events, recording = read_all(path, sensor=SMALL, on_error="skip")
    assert np.array_equal(events, np.delete(EVENTS, slice(150, 200)))
    assert recording.defects == {"skipped_faults": 1}


def test_no_mutation_does_more_than_raise_a_recording_error(tmp_path):
    path = made(tmp_path / "made.h5", COLUMNS, chunks=(50,), compression="gzip")
    data = path.read_bytes()
    rng, refused = random.Random(1), []
    for _ in range(6):
        changed = bytearray(data)
        for _ in range(4):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            recording = open_recording(path, sensor=SMALL, container="hdf5", on_error="skip")
            for packet in recording:
                assert (np.diff(packet.events["t"]) >= 0).all()
                assert (packet.events["x"] < SMALL.width).all()
        except RecordingError as error:
            refused.append(str(error))
    assert all(str(path) in said for said in refused)


def test_a_reader_that_dies_or_never_ends_is_one_recording_error(tmp_path, monkeypatch):
    path = made(tmp_path / "made.h5", COLUMNS)
    program = tmp_path / "program.py"
    monkeypatch.setattr(hdf5, "_CHILD", program)
    program.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(RecordingError, match="HDF5 broke down on it \\(signal 11\\)"):
        open_recording(path)
    head = {"rows_in_all": 9, "dtypes": {"t": "<i8", "x": "<u2", "y": "<u2", "p": "|u1"}, "codec": "none"}
    head = json.dumps({**head, "fraction": False, "streams": ["e"], "stream": "e", "sensor": None}).encode() + b"\n"
    rows = json.dumps({"rows": 2, "row": 0, "at": 7}).encode() + b"\n" + bytes(21)  # of 26
    program.write_text(f"import sys; sys.stdout.buffer.write({head!r} if '\"head\"' in input() else {rows!r})")
    recording = open_recording(path, sensor=SMALL, on_error="stop")
    assert list(recording) == []
    assert "HDF5 broke down on it (exit code 0)" in str(recording.fault)
    monkeypatch.setattr(hdf5, "PATIENCE_S", 0.2)
    program.write_text("import signal; signal.pause()")
    with pytest.raises(RecordingError, match="was not done with a part of it"):
        open_recording(path)


def test_an_impossible_row_is_a_fault_or_left_out(tmp_path):
    columns = {**COLUMNS, "p": COLUMNS["p"].copy()}
    columns["p"][[7, 9]] = 3
    path = made(tmp_path / "made.h5", columns)
    recording = open_recording(path, sensor=SMALL, on_error="stop")
    assert np.array_equal(np.concatenate([packet.events for packet in recording]), EVENTS[:7])
    assert "p=3: want whole numbers" in str(recording.fault)
    assert np.array_equal(read_all(path, sensor=SMALL, on_error="skip")[0], np.delete(EVENTS, [7, 9]))


def test_a_part_is_the_part_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "LEAST_ROWS", 1)
    path = made(tmp_path / "made.h5", COLUMNS, chunks=(50,), compression="gzip")
    assert len(open_recording(path, sensor=SMALL)._source.landmarks()) == 6
    for start_us, stop_us in ((0, 500), (3000, 9000), (12_000, None)):
        events = read_all(path, sensor=SMALL, start_us=start_us, stop_us=stop_us)[0]
        since = EVENTS["t"] - EVENTS["t"][0]
        assert np.array_equal(events, EVENTS[(since >= start_us) & (since < (stop_us or 1 << 40))])
