"""What a camera gives besides events: pictures, motion samples and triggers, on the clock of its events."""

import contextlib
import json
import struct

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EventPacket
from dvs_run.pipeline.extras import IMU_DTYPE, TRIGGER_KINDS, CameraFrame, ImuPacket, TriggerPacket
from dvs_run.pipeline.formats import open_recording, sniff
from dvs_run.pipeline.formats.evt_triggers import triggers_of_evt2, triggers_of_evt3
from dvs_run.pipeline.formats.evt_words import COUNTS

from .. import naive
from ..recordings import SHARED
from .files import SMALL, make

RECORDINGS = SHARED / "recordings"
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"needs {RECORDINGS}")


def joined(packets):
    """All samples or all triggers, as one array."""
    return np.concatenate([packet.samples if isinstance(packet, ImuPacket) else packet.triggers for packet in packets])


@needs_recordings
@pytest.mark.parametrize(
    ("file", "frames", "samples", "triggers"),
    [
        ("aedat4/davis346_frames_imu_lz4.aedat4", 4, 160, 17),
        ("aedat4/dvxplorer_320x240_lz4.aedat4", 0, 475, 0),
        ("aedat2/davis240c_rotating_disk_aps_imu.aedat", 0, 7_384, 0),
        ("aedat2/dvs128_moving_dark_box.aedat", 0, 0, 0),
        ("evt3/gen3_640x480_triggers.raw", 0, 0, 4_157),
        ("evt2/gen3_640x480.raw", 0, 0, 0),
        ("nmnist/sample_nmnist.bin", 0, 0, 0),
    ],
)
def test_real_recordings_give_all_that_is_in_them(file, frames, samples, triggers):
    with open_recording(RECORDINGS / file) as recording:
        found = list(recording.extras())
        assert sum(isinstance(extra, CameraFrame) for extra in found) == len(list(recording.frames())) == frames
        assert sum(len(packet.samples) for packet in recording.imu()) == samples
        assert sum(len(packet.triggers) for packet in recording.triggers()) == triggers


@needs_recordings
@pytest.mark.parametrize(
    "file", ["aedat4/davis346_frames_imu_lz4.aedat4", "aedat4/dvxplorer_320x240_lz4.aedat4",
             "aedat2/davis240c_rotating_disk_aps_imu.aedat"],
)  # fmt: skip
def test_the_earth_pulls_with_one_g_at_every_camera(file):
    samples = joined(open_recording(RECORDINGS / file).imu())
    strength = np.sqrt(sum(samples[f"accelerometer_{axis}"].astype(float) ** 2 for axis in "xyz"))
    assert 0.95 < np.median(strength) < 1.1
    assert (samples["temperature"] > 10).all()
    assert (samples["temperature"] < 60).all()
    assert (np.diff(samples["t"]) > 0).all()


@needs_recordings
def test_frames_of_a_davis_are_pictures_with_their_exposure_and_its_marks():
    recording = open_recording(RECORDINGS / "aedat4/davis346_frames_imu_lz4.aedat4")
    marks = joined(recording.triggers())
    stops = marks["t"][marks["kind"] == TRIGGER_KINDS.index("frame_stop")].tolist()
    for frame in recording.frames():
        assert frame.pixels.shape == (260, 346)
        assert frame.pixels.dtype == np.uint8
        assert frame.exposure_us[0] < frame.t_us < frame.exposure_us[1]
        assert any(frame.exposure_us[1] <= stop < frame.exposure_us[1] + 20_000 for stop in stops)
        assert not frame.pixels.flags.writeable


@needs_recordings
def test_triggers_of_a_raw_file_alternate_as_the_square_wave_that_made_them():
    triggers = joined(open_recording(RECORDINGS / "evt3/gen3_640x480_triggers.raw").triggers())
    assert {TRIGGER_KINDS[kind] for kind in triggers["kind"]} == {"external_rising", "external_falling"}
    assert (np.diff(triggers["kind"].astype(int)) != 0).all()
    assert (np.diff(triggers["t"]) == 500).all()
    assert set(triggers["channel"].tolist()) == {6}


@needs_recordings
def test_everything_comes_in_the_order_of_time_and_the_events_are_the_same():
    recording = open_recording(RECORDINGS / "aedat4/davis346_frames_imu_lz4.aedat4")
    events = np.concatenate([packet.events for packet in recording])
    begins, again = [], []
    for packet in recording.everything():
        is_events = isinstance(packet, EventPacket)
        begins.append(int(packet.events["t"][0]) if is_events else packet.t_us)
        again += [packet.events] if is_events else []
    assert np.array_equal(np.concatenate(again), events)
    kinds = {type(packet) for packet in recording.everything()}
    assert kinds == {EventPacket, CameraFrame, ImuPacket, TriggerPacket}
    late = [before - after for before, after in zip(begins, begins[1:], strict=False) if after < before]
    assert max(late, default=0) < 20_000  # packets of 10 ms; the file itself is no more in order


@needs_recordings
def test_a_part_of_a_recording_has_the_extras_of_its_time():
    path = RECORDINGS / "evt3/gen3_640x480_triggers.raw"
    whole = joined(open_recording(path).triggers())
    first = next(iter(open_recording(path))).events["t"][0]
    part = joined(open_recording(path, start_us=500_000, stop_us=1_000_000).triggers())
    since = whole["t"] - first
    assert np.array_equal(part, whole[(since >= 500_000) & (since < 1_000_000)])


def aedat31(packets, source="DAVIS240C"):
    """A file of packets (type, bytes of a structure, overflows, structures)."""
    data = f"#!AER-DAT3.1\r\n#Source 1: {source}\r\n#!END-HEADER\r\n".encode()
    for kind, size, overflows, items in packets:
        head = struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, len(items), len(items), len(items))
        data += head + b"".join(items)
    return data


def special(kind, t, valid=1):
    return struct.pack("<Ii", kind << 1 | valid, t)


PICTURE = np.arange(6, dtype=np.uint16).reshape(2, 3) * 1000
FRAME = struct.pack("<I8i", 1 | 1 << 1, 90, 190, 100, 180, 3, 2, 7, 5) + PICTURE.tobytes()
COLOUR = struct.pack("<I8i", 1 | 3 << 1, 90, 190, 100, 180, 1, 2, 0, 0) + PICTURE.tobytes()
IMU6 = struct.pack("<Ii7f", 1, 150, 0.5, -1, 0.25, 10, 20, 30, 31.5)
IMU9 = struct.pack("<Ii10f", 1, 160, 0.5, -1, 0.25, 10, 20, 30, 31.5, 1, 2, 3)
EVENT = struct.pack("<Ii", 9 << 17 | 8 << 2 | 2 | 1, 120)
ALL = [
    (1, 8, 1, [EVENT]),
    (0, 8, 1, [special(2, 110), special(99, 111), special(3, 112), special(4, 113, valid=0), special(10, 114)]),
    (3, 36, 1, [IMU6, IMU6.replace(b"\1\0\0\0", b"\0\0\0\0", 1)]),
    (4, 48, 1, [IMU9]),
    (2, len(FRAME), 1, [FRAME, COLOUR]),
]
OVERFLOW = 1 << 31


def test_packets_of_aedat31_are_read_as_libcaer_writes_them(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat31(ALL))
    recording = open_recording(path)
    triggers = joined(recording.triggers())
    assert [(t - OVERFLOW, TRIGGER_KINDS[kind], channel) for t, kind, channel in triggers.tolist()] == [
        (110, "external_rising", 0),
        (112, "external_falling", 0),
        (114, "external_falling", 2),
    ]
    samples = joined(recording.imu())
    assert samples.dtype == IMU_DTYPE
    assert samples.tolist() == [
        (OVERFLOW + 150, 31.5, 0.5, -1, 0.25, 10, 20, 30, 0, 0, 0),
        (OVERFLOW + 160, 31.5, 0.5, -1, 0.25, 10, 20, 30, 1, 2, 3),
    ]
    grey, colour = recording.frames()
    assert np.array_equal(grey.pixels, PICTURE)
    assert (grey.t_us, grey.exposure_us, grey.x, grey.y) == (OVERFLOW + 180, (OVERFLOW + 100, OVERFLOW + 180), 7, 5)
    assert colour.pixels.shape == (2, 1, 3)
    assert [type(packet).__name__ for packet in recording.everything()] == [
        "TriggerPacket", "EventPacket", "ImuPacket", "ImuPacket", "CameraFrame", "CameraFrame",
    ]  # fmt: skip


def test_whatever_is_whole_of_a_cut_file_is_delivered_before_its_fault(tmp_path):
    data, path = aedat31(ALL), tmp_path / "a.aedat"
    path.write_bytes(data)
    whole = [type(extra) for extra in open_recording(path).extras()]
    start = data.index(b"END-HEADER") + 12
    ends = {len(aedat31(ALL[:n])) for n in range(1, 6)}
    for length in range(start, len(data)):
        path.write_bytes(data[:length])
        found = [type(extra) for extra in open_recording(path, sensor=SMALL, on_error="stop").extras()]
        assert found == whole[: len(found)]
        if length not in ends:
            with pytest.raises(RecordingError, match="the file ends"):
                list(open_recording(path, sensor=SMALL).extras())
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        ((3, 40, 0, [IMU6 + b"1234"]), "type 3 is broken: structures of 40 bytes, want 36"),
        ((2, 20, 0, [bytes(20)]), "type 2 is broken: frames of 20 bytes"),
        ((2, 40, 0, [FRAME[:40]]), "a frame of 3x2 pixels in 40 bytes"),
    ],
)
def test_a_broken_packet_is_a_fault_that_can_be_skipped(tmp_path, packet, sentence):
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat31([ALL[0], packet, ALL[1]]))
    with pytest.raises(RecordingError, match=sentence):
        list(open_recording(path).extras())
    assert len(joined(open_recording(path, on_error="skip").extras())) == 3
    assert list(open_recording(path, on_error="stop").extras()) == []


def test_a_packet_that_claims_to_be_enormous_takes_no_memory(tmp_path):
    path = tmp_path / "a.aedat"
    head = struct.pack("<hhiiiiii", 3, 1, 1 << 26, 4, 0, 1 << 30, 1 << 30, 0)
    path.write_bytes(aedat31([ALL[0], ALL[1]]) + head + bytes(500))
    recording = open_recording(path, on_error="stop")
    assert len(joined(recording.extras())) == 3


def davis(words, preferences=""):
    """An AEDAT 2 file of a DAVIS240C."""
    head = f"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n{preferences}"
    return head.encode() + b"".join(struct.pack(">II", address, t % (1 << 32)) for address, t in words)


def motion(t, values):
    return [(1 << 31 | code << 28 | (value & 0xFFFF) << 12 | 0xC00, t) for code, value in enumerate(values)]


STILL = (0, -4096, 0, -1190, 0, 0, 328)
PREFERENCES = '# <entry key="ImuAccelScale" value="ImuAccelScaleG8"/>\r\n# GyroFullScaleDegPerSec1000\r\n'


def test_samples_among_the_words_of_a_davis_are_put_together_across_blocks(tmp_path):
    events = [(20 << 22 | 30 << 12, 10 * n) for n in range((1 << 16) - 3)]
    path = tmp_path / "a.aedat"
    path.write_bytes(davis(events + motion(700_000, STILL), PREFERENCES))
    (sample,) = joined(open_recording(path).imu()).tolist()
    assert sample[0] == 700_000
    assert sample[1:] == pytest.approx((31.5, 0, -1, 0, 0, 0, 328 * 1000 / 32768, 0, 0, 0))


def test_an_overflow_of_the_clock_is_undone_for_samples_as_for_events(tmp_path):
    times, overflow = ((1 << 32) - 100, (1 << 32) + 5), 1 << 32
    words = [word for t in times for word in ((20 << 22, t), *motion(t + 2, STILL))]
    path = tmp_path / "a.aedat"
    path.write_bytes(davis(words))
    assert joined(open_recording(path).imu())["t"].tolist() == [overflow - 98, overflow + 7]
    assert [t for packet in open_recording(path) for t in packet.events["t"].tolist()] == list(times)


def test_an_incomplete_sample_is_left_out(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(davis([(20 << 22, 5), *motion(10, STILL)[1:], *motion(20, STILL), *motion(30, STILL)[:6]]))
    assert joined(open_recording(path).imu())["t"].tolist() == [20]


def test_inputs_of_a_davis_say_which_edge_it_was_and_those_of_a_dvs128_do_not(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(davis([(20 << 22, 5), (1 << 10 | 2, 10), (1 << 10 | 3, 20), (1 << 10 | 4, 30)]))
    triggers = joined(open_recording(path).triggers())
    assert [(t, TRIGGER_KINDS[kind]) for t, kind, _ in triggers.tolist()] == [
        (10, "external_falling"), (20, "external_rising"), (30, "external_pulse"),
    ]  # fmt: skip
    words = [(5 << 8 | 9 << 1, 5), (1 << 15, 10), (5 << 8, 15)]
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n" + b"".join(struct.pack(">II", *word) for word in words))
    assert joined(open_recording(path).triggers()).tolist() == [(10, TRIGGER_KINDS.index("external_pulse"), 0)]


def raw_words(container, seed, n=4_000):
    """Words of random triggers between words of time that overflow, in the file's order."""
    rng = np.random.default_rng(seed)
    bits, steps = (28, 1 << 26) if container != "evt3" else (12, 1 << 10)
    high, words = int(rng.integers(0, 1 << bits)), []
    for kind in rng.choice(4, n, p=[0.3, 0.3, 0.3, 0.1]):
        if kind == 0:
            high = (high + int(rng.integers(1, steps))) % (1 << bits)
            words.append(8 << bits | high)
        elif kind == 1:
            channel, value = int(rng.integers(0, 16)), int(rng.integers(0, 2))
            low = int(rng.integers(0, 64)) << 22 if container != "evt3" else 0
            words.append(0xA << bits | low | channel << 8 | value)
        elif kind == 2:
            words.append((6 << bits if container == "evt3" else 1 << bits) | int(rng.integers(0, 1 << 12)))
        else:
            words.append(0xE << bits)
    return words


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("container", ["evt2", "evt3"])
def test_triggers_equal_those_of_the_slow_twin(container, seed):
    words = np.array(raw_words(container, seed), "<u4" if container == "evt2" else "<u2")
    found, state = np.empty((len(words), 3), np.int64), np.array([-1, 0, 0])
    find, twin = {
        "evt2": (triggers_of_evt2, naive.triggers_of_evt2),
        "evt3": (triggers_of_evt3, naive.triggers_of_evt3),
    }[container]
    rows = []
    for piece in np.array_split(words, 7):
        n = find(piece, state, found, np.zeros(COUNTS, np.int64))
        rows += [tuple(row) for row in found[:n].tolist()]
    assert rows == twin(words.tolist())
    assert len(rows) > 500


@pytest.mark.parametrize(("container", "suffix"), [("evt2", 4), ("evt21", 8), ("evt21-swapped", 8), ("evt3", 2)])
def test_triggers_of_raw_files_lie_on_the_clock_of_their_events(tmp_path, container, suffix):
    words = raw_words("evt3" if container == "evt3" else "evt2", 9)
    name = container.removesuffix("-swapped")
    data = np.array(words, "<u2" if suffix == 2 else "<u4")
    if suffix == 8:
        pairs = np.zeros((len(words), 2), "<u4")
        pairs[:, 0 if "swapped" in container else 1] = data
        data = pairs
    order = ";endianness=" + ("legacy" if "swapped" in container else "little") if suffix == 8 else ""
    head = f"% format {name.upper()};height=480;width=640{order}\n% end\n"
    path = tmp_path / "a.raw"
    path.write_bytes(head.encode() + data.tobytes() + b"\1")
    twin = naive.triggers_of_evt3 if container == "evt3" else naive.triggers_of_evt2
    wanted = [(t, 1 if rising else 2, channel) for t, rising, channel in twin(words)]
    assert joined(open_recording(path).triggers()).tolist() == wanted
    assert sniff.is_evt3(path, sniff.first_bytes(path)) == (container == "evt3")


@pytest.mark.parametrize("container", ["es", "nmnist", "dat"])
def test_containers_of_events_alone_have_no_extras(tmp_path, container):
    path = tmp_path / "a"
    path.write_bytes(make(path, container, "none", naive.random_recorded_events(50, SMALL, 1)).data)
    assert list(open_recording(path).extras()) == []


@pytest.mark.parametrize("container", ["aedat31", "aedat2", "evt2", "evt3"])
def test_mutated_files_give_extras_or_one_error(tmp_path, container):
    still = [
        word for n in range(60) for word in ((20 << 22, 99 * n), *motion(99 * n + 5, STILL), (1 << 10 | 2, 99 * n + 9))
    ]
    data = {
        "aedat31": lambda: aedat31(ALL * 3),
        "aedat2": lambda: davis(still),
        "evt2": lambda: b"% format EVT2;height=480;width=640\n" + np.array(raw_words("evt2", 1, 300), "<u4").tobytes(),
        "evt3": lambda: b"% format EVT3;height=480;width=640\n" + np.array(raw_words("evt3", 1, 300), "<u2").tobytes(),
    }[container]()
    rng, path, read = np.random.default_rng(0), tmp_path / "a", 0
    for _ in range(100):
        mutated = bytearray(data)
        for at in rng.integers(0, len(data), 3).tolist():
            mutated[at] = int(rng.integers(256))
        cut = rng.integers(0, len(data), 2).tolist()
        del mutated[min(cut) : min(cut) + cut[0] % 7]
        path.write_bytes(mutated)
        with contextlib.suppress(RecordingError):
            read += sum(1 for _ in open_recording(path, on_error="skip").extras())
    assert read > 40


def test_what_there_is_besides_events_is_told(tmp_path, capsys):
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat31(ALL))
    assert main(["info", str(path)]) == 0
    assert "2 frames, 2 motion samples, 3 triggers" in capsys.readouterr().out
    assert main(["info", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["extras"] == {"frames": 2, "motion samples": 2, "triggers": 3}
