"""Real recordings decode exactly."""

import hashlib
import tarfile

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.formats import GESTURES, aedat2, open_recording, read_labels

from .. import naive
from ..recordings import REFUSED, SAMPLES, SHARED, needs_shared
from .files import SMALL, read_all

pytestmark = needs_shared
FOLDER = SHARED / "recordings"
MORE_DIGITS = sorted(set(FOLDER.glob("mnist_dvs_digit0/*.aedat")) - {sample.path for sample in SAMPLES})
TOLD_APART = (  # labels of recordings, and what other tests of this file read
    "aedat2/header_only.aedat",
    "aedat31/handmade_valid_bit_zero.aedat",
    "aedat31/handmade_valid_bit_zero_labels.csv",
    "aedat31/ibm_user01_natural_labels.csv",
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
def test_a_real_recording_decodes_to_the_known_events(sample):
    events, recording = read_all(sample.path)
    assert recording.container == sample.container
    assert (recording.sensor.width, recording.sensor.height) == sample.sensor
    assert (len(events), int(events["p"].sum())) == (sample.events, sample.on)
    for name, (low, high) in (("t", sample.t_range), ("x", sample.x_range), ("y", sample.y_range)):
        assert (events[name].min(), events[name].max()) == (low, high), name
    digests = [hashlib.sha256(np.ascontiguousarray(events[name]).tobytes()).hexdigest()[:12] for name in "txyp"]
    assert " ".join(digests) == sample.digests
    assert recording.defects == sample.defects


@pytest.mark.parametrize(("file", "what"), REFUSED)
def test_a_file_of_another_kind_is_refused_by_name(file, what):
    with pytest.raises(RecordingError, match=what) as refused:
        open_recording(FOLDER / file)
    assert refused.value.path == FOLDER / file


def test_every_file_of_the_collection_is_read_or_refused_by_a_test():
    known = {sample.file for sample in SAMPLES} | {file for file, _ in REFUSED} | set(TOLD_APART)
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert files - known - {path.relative_to(FOLDER).as_posix() for path in MORE_DIGITS} == set()


@pytest.mark.parametrize("path", MORE_DIGITS, ids=lambda path: path.name)
def test_every_digit_decodes_as_the_naive_twin_decodes_it(path):
    events, recording = read_all(path)
    with path.open("rb") as file:
        start, _ = aedat2.read_header(file)
    words = np.frombuffer(path.read_bytes()[start:], [("address", ">u4"), ("time", ">u4")])
    expected, _, _ = naive.decode_aedat2(words["address"], words["time"], aedat2.LAYOUTS["dvs128"])
    assert (recording.sensor, recording.container, recording.defects) == (SMALL, "aedat2", {})
    assert events.tolist() == expected


def test_every_recording_of_objects_is_of_a_dvs128_whose_clock_is_beyond_2_to_the_31(tmp_path):
    with tarfile.open(FOLDER / "dvs128_objects.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    paths = sorted(tmp_path.rglob("*.aedat"))
    assert len(paths) == 12
    late = 0
    for path in paths:
        recording = open_recording(path)
        assert (recording.container, recording.sensor) == ("aedat2", SMALL), path
        first = next(iter(recording)).events
        assert len(first) > 0
        late += int(first["t"][0]) >= 1 << 31
        recording.close()
    assert late == 12


def test_the_events_of_the_reference_are_those_of_the_recordings_re_encoded_from_it():
    reference, _ = read_all(FOLDER / "aedat4/reencoded_reference.npz")
    begin = int(np.load(FOLDER / "aedat4/reencoded_reference.npz")["t0"])
    for name in ("reencoded_none.aedat4", "reencoded_zstd.aedat4", "dvxplorer_320x240_lz4.aedat4"):
        events, _ = read_all(FOLDER / "aedat4" / name)
        assert np.array_equal(events["t"] - begin, reference["t"])
        assert all(np.array_equal(events[field], reference[field]) for field in "xyp")


@pytest.mark.parametrize("file", ["davis240c_rotating_disk_aps_imu.aedat", "dvs128_foam_t_above_2e31.aedat"])
def test_real_addresses_decode_as_the_naive_twin_decodes_them(file):
    path = FOLDER / "aedat2" / file
    events, recording = read_all(path)
    with path.open("rb") as stream:
        start, _ = aedat2.read_header(stream)
    words = np.frombuffer(path.read_bytes()[start:][: 8 * 20_000], [("address", ">u4"), ("time", ">u4")])
    layout = aedat2.LAYOUTS[recording.details["layout"].split(",")[0]]
    expected, _, _ = naive.decode_aedat2(words["address"], words["time"], layout)
    assert events[: len(expected)].tolist() == expected


def test_real_nmnist_bytes_decode_as_the_naive_twin_decodes_them():
    path = FOLDER / "nmnist/sample_nmnist.bin"
    assert read_all(path)[0].tolist() == naive.decode_nmnist(path.read_bytes())


@pytest.mark.parametrize(
    ("file", "order", "unit"), [("txyp_seconds.txt", "txyp", 1e6), ("xypt_640x480.csv", "xypt", 1)]
)
def test_real_text_decodes_as_the_naive_twin_decodes_it(file, order, unit):
    path = FOLDER / "csv" / file
    assert read_all(path)[0].tolist() == naive.decode_text(path.read_text(), order, unit)


def test_a_recording_whose_events_are_all_marked_invalid_has_none_but_has_its_labels():
    events, recording = read_all(FOLDER / "aedat31/handmade_valid_bit_zero.aedat")
    assert len(events) == 0
    assert recording.defects == {"invalid_events": 18}
    assert [span.label for span in recording.labels] == [GESTURES[number - 1] for number in (2, 3, 8, 7)]


def test_the_label_file_of_a_real_gesture_recording_is_read():
    spans = read_labels(FOLDER / "aedat31/ibm_user01_natural.aedat")
    assert len(spans) == 12
    assert (spans[0].label, spans[0].t_start_us, spans[0].t_stop_us) == ("hand_clapping", 53036986, 59508469)


def test_a_header_without_events_is_a_fault_that_names_the_byte():
    recording = open_recording(FOLDER / "aedat2/header_only.aedat")
    assert (recording.sensor.width, recording.sensor.height) == (346, 260)
    with pytest.raises(RecordingError, match="ends after its header, without events, at byte 599"):
        list(recording)


@pytest.mark.parametrize("name", ["dvxplorer_320x240_lz4", "reencoded_zstd", "reencoded_none"])
def test_a_damaged_packet_is_a_fault_after_the_good_ones_and_can_be_skipped(name, tmp_path):
    whole = (FOLDER / f"aedat4/{name}.aedat4").read_bytes()
    before, _ = read_all(FOLDER / f"aedat4/{name}.aedat4")
    damaged = tmp_path / "damaged.aedat4"
    middle = len(whole) // 2
    damaged.write_bytes(whole[:middle] + bytes(64 * [0xA5]) + whole[middle + 64 :])
    packets = []
    with pytest.raises(RecordingError, match="at byte") as fault:
        packets.extend(packet.events for packet in open_recording(damaged))
    good = np.concatenate(packets)
    assert 0 < len(good) == fault.value.events_read
    assert np.array_equal(good, before[: len(good)])
    assert fault.value.byte_offset <= middle
    skipped, recording = read_all(damaged, on_error="skip")
    assert len(good) < len(skipped) < len(before)
    assert any(recording.defects.get(name) for name in ("skipped_faults", "outside_sensor", "clock_jumps"))
