"""Damaged files: the good events, then one RecordingError; no other exception, no hang, no event out of bounds."""

import os
import random
import struct
import time

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.formats import open_recording

from .files import READ, SMALL, WORDS, events_for_all, make, npz_bytes, read_all, zip_of

UNMARKED = {"aedat2", "aedat1", "nmnist", "csv", *WORDS}  # cut between two events they cannot be told from whole files
MUTATIONS = int(os.environ.get("DVS_TEST_MUTATIONS", "500"))  # of each container, compression and on_error


def read_with_fault(path, sensor=SMALL, **options):
    """The events before the fault, and the fault (None: none)."""
    packets, fault = [], None
    try:
        for packet in open_recording(path, sensor=sensor, **options):
            packets.append(packet.events)  # noqa: PERF401  those before the fault are wanted
    except RecordingError as error:
        fault = error
    return (np.concatenate(packets) if packets else np.empty(0, EVENT_DTYPE)), fault


@pytest.mark.parametrize(("container", "compression"), READ)
def test_a_file_cut_at_any_byte_delivers_what_is_whole_and_says_so(tmp_path, container, compression):
    path = tmp_path / "made"
    made = make(path, container, compression, events_for_all(40))
    whole_events = {size for size, _ in made.marks}
    for cut in range(1, len(made.data)):
        path.write_bytes(made.data[:cut])
        events, fault = read_with_fault(path, container=container)
        least = max((count for size, count in made.marks if size <= cut), default=0)
        assert len(events) >= least, cut
        assert np.array_equal(events, made.events[: len(events)]), cut
        if fault is None:
            ends = whole_events | {end - 1 for end in whole_events if container == "csv"}  # the end of a line may lack
            assert cut in ends or compression in ("zstd", "lz4"), cut
            assert container in UNMARKED or container == "aedat31" or len(events) == len(made.events), cut
        else:
            assert str(path) in str(fault)
            assert fault.path == path
            assert fault.events_read == len(events)
            assert fault.last_good_us == (int(events["t"][-1]) if len(events) else None)
            assert fault.byte_offset is None or 0 <= fault.byte_offset <= cut


@pytest.mark.parametrize(("container", "compression"), READ)
def test_a_cut_file_ends_quietly_when_told_to_stop_and_keeps_the_fault(tmp_path, container, compression):
    path = tmp_path / "made"
    made = make(path, container, compression, events_for_all(200))
    path.write_bytes(made.data[:-3])
    try:
        recording = open_recording(path, sensor=SMALL, container=container, on_error="stop")
    except RecordingError:
        assert container == "npz"  # its directory is at its end: nothing of it can be read
        return
    events = np.concatenate([np.empty(0, EVENT_DTYPE), *(packet.events for packet in recording)])
    assert np.array_equal(events, made.events[: len(events)])
    if container != "aedat4":  # which lost no packet, only its table, which is not read
        assert recording.defects["faults"] == 1
        assert "the file ends" in str(recording.fault) or "ends before" in str(recording.fault)


def mutate(data, seed):
    """A few bytes changed, removed or added; and the first place where."""
    rng = random.Random(seed)
    changed, first = bytearray(data), len(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed))
        first = min(first, at)
        kind = rng.random()
        if kind < 0.8:
            changed[at] = rng.randrange(256)
        elif kind < 0.9:
            del changed[at : at + rng.randrange(1, 9)]
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not changed:
            changed += b"\0"
    return bytes(changed), first


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(("container", "compression"), READ)
def test_no_mutation_does_more_than_raise_a_recording_error(tmp_path, container, compression, on_error):
    path = tmp_path / "made"
    made = make(path, container, compression, events_for_all(60))
    header = made.marks[0][0] if container not in ("npz", "npy") else len(made.data)
    for seed in range(MUTATIONS):
        data, first = mutate(made.data, seed)
        path.write_bytes(data)
        count, last, good = 0, None, True
        try:
            for packet in open_recording(path, sensor=SMALL, container=container, on_error=on_error, packet_events=16):
                events = packet.events
                assert (np.diff(events["t"]) >= 0).all()
                assert last is None or events["t"][0] >= last
                assert (events["x"] < SMALL.width).all()
                assert (events["y"] < SMALL.height).all()
                assert events["p"].view(np.uint8).max() <= 1
                intact = max(0, min(len(events), whole_before(made.marks, first) - count)) if first >= header else 0
                good &= np.array_equal(events[:intact], made.events[count : count + intact])
                count += len(events)
                last = packet.t_stop_us
        except RecordingError as error:
            good &= str(path) in str(error)
        assert good, f"seed {seed}: events before byte {first} changed, or the sentence names no file"
        if first >= header:
            assert count >= whole_before(made.marks, first), seed


def whole_before(marks, position):
    return max((count for size, count in marks if size <= position), default=0)


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_no_recording(tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "noise"
    marks = (b"", b"#!AER-DAT4.0\r\n", b"#!AER-DAT3.1\r\n", b"#!AER-DAT2.0\r\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00")
    path.write_bytes(marks[seed % len(marks)] + rng.randbytes(rng.choice((1, 3, 40, 5000))))
    with pytest.raises(RecordingError, match="noise"):
        list(open_recording(path))


def test_headers_that_claim_the_world_cost_neither_memory_nor_time(tmp_path):
    path = tmp_path / "liar"
    aedat4 = make(path, "aedat4", "none", events_for_all(20))
    start = aedat4.marks[0][0]
    huge_array = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    huge_array += (
        b"{'descr': [('t', '<i8'), ('x', '<u2'), ('y', '<u2'), ('p', '?')], 'fortran_order': False, 'shape': (10**12,)}"
    )
    huge_array = huge_array.replace(b"10**12", b"999999999999").ljust(127) + b"\n"
    aedat31 = make(path, "aedat31", "none", events_for_all(20))
    begin = aedat31.marks[0][0]
    lying = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2**31 - 1, 2**31 - 1, 0)
    liars = {
        "packet": aedat4.data[: start + 4] + b"\xff\xff\xff\x7f" + aedat4.data[start + 8 :],
        "header": aedat4.data[:14] + b"\xff\xff\xff\xff" + aedat4.data[18:],
        "rows": huge_array + bytes(130),
        "events": aedat31.data[:begin] + lying + aedat31.data[begin + 28 :],
        "other kind": aedat31.data[:begin] + struct.pack("<hhiiiiii", 2, 1, 1 << 26, 4, 0, 2**31 - 1, 2**31 - 1, 0),
        "zip": zip_of(events=huge_array + bytes(130)),
    }
    began = time.process_time()
    for name, data in liars.items():
        path.write_bytes(data)
        with pytest.raises(RecordingError, match="end|claims|damaged|outside"):
            list(open_recording(path, sensor=SMALL))
        assert time.process_time() - began < 30, name  # not a matter of speed: some of these would take hours


def test_an_array_of_python_objects_is_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "trap.npy"
    np.save(path, np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(RecordingError, match="never unpickled"):
        open_recording(path)
    path.write_bytes(npz_bytes(events=np.array([Trap()], object)))
    with pytest.raises(RecordingError, match="never unpickled"):
        open_recording(path)


@pytest.mark.parametrize("packing", ["SerializedTS", "PNGFrames", "SerializedTS, PNGFrames"])
def test_an_aedat31_file_whose_packets_are_packed_is_refused_by_name(tmp_path, packing):
    path = tmp_path / "made"
    made = make(path, "aedat31", "none", events_for_all(20))
    path.write_bytes(made.data.replace(b"#Format: RAW", b"#Format: " + packing.encode()))
    with pytest.raises(RecordingError, match=f"made: .* packed as '{packing}', want RAW"):
        open_recording(path)
    path.write_bytes(made.data.replace(b"#Format: RAW\r\n", b""))  # not stated: as every such file is
    assert np.array_equal(read_all(path)[0], made.events)


def test_a_damaged_packet_of_aedat31_ends_a_reading_even_when_faults_are_skipped(tmp_path):
    path = tmp_path / "made.aedat"
    made = make(path, "aedat31", "none", events_for_all(200))
    size, count = made.marks[2]
    path.write_bytes(made.data[: size + 4] + b"\xff\xff\xff\xff" + made.data[size + 8 :])
    events, recording = read_all(path, on_error="skip")
    assert np.array_equal(events, made.events[:count])
    assert recording.fault.byte_offset == size
    assert "where the next packet begins is unknown" in str(recording.fault)


def test_events_outside_the_sensor_end_a_reading_or_are_left_out(tmp_path):
    path = tmp_path / "made.aedat4"
    events = events_for_all(100)
    events["x"] = 3
    events["x"][60] = 99
    make(path, "aedat4", "none", events)
    small = type(SMALL)(64, 128)
    good, fault = read_with_fault(path, small)
    assert np.array_equal(good, events[:60])
    assert "an event at x=99, y=" in str(fault)
    assert "lies outside the 64x128 sensor" in str(fault)
    assert (fault.events_read, fault.last_good_us) == (60, events["t"][59])
    kept, recording = read_all(path, sensor=small, on_error="skip")
    assert np.array_equal(kept, np.delete(events, 60))
    assert recording.defects == {"outside_sensor": 1}
