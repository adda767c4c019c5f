"""Frames, motion samples and triggers on their way: refused where broken, passed by where nobody wants them."""

import json
import struct

import numpy as np
import pytest

from dvs_run.nodes.binner import Binner, BinnerConfig
from dvs_run.nodes.file import File, FileConfig
from dvs_run.nodes.graph import NodeSpec, build_graph
from dvs_run.nodes.messages import DATA_KINDS, Message, MessageError, from_frames, to_frames
from dvs_run.nodes.printer import Printer
from dvs_run.nodes.recording import Recording, RecordingConfig
from dvs_run.nodes.stage import NodeError, Stage
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.extras import IMU_DTYPE, TRIGGER_DTYPE, CameraFrame, ImuPacket, TriggerPacket
from dvs_run.pipeline.stream import StreamInfo

INFO = StreamInfo("a.aedat4", SensorSize(7, 5))
FRAME = CameraFrame(100, (90, 110), np.arange(6, dtype=np.uint16).reshape(2, 3), 1, 2)
IMU = ImuPacket(np.ones(2, IMU_DTYPE))
TRIGGERS = TriggerPacket(np.array([(5, 1, 0), (9, 2, 6)], TRIGGER_DTYPE))
EVENTS = EventPacket(np.zeros(3, EVENT_DTYPE), 1_000)
EXTRAS = {"frame": FRAME, "imu": IMU, "triggers": TRIGGERS}


def test_a_queue_that_drops_may_drop_them():
    assert set(EXTRAS) < DATA_KINDS


@pytest.mark.parametrize("kind", EXTRAS)
def test_a_payload_of_another_length_is_refused(kind):
    topic, header, payload = to_frames(Message(EXTRAS[kind], "camera", 0))
    for broken in (payload[:-1], payload + b"x", b""):
        with pytest.raises(MessageError, match=f"{kind} from 'camera': the payload has {len(broken)} bytes, want"):
            from_frames([topic, header, broken], INFO)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (TriggerPacket(np.array([(5, 10, 0)], TRIGGER_DTYPE)), "of the kind 10, want 0 to 9"),
        (TriggerPacket(np.array([(2**62 + 1, 1, 0)], TRIGGER_DTYPE)), "want less than 2\\^62"),
        (ImuPacket(np.array([(0, *[np.nan] * 10)], IMU_DTYPE)), "a value is not finite"),
        (ImuPacket(np.zeros(0, IMU_DTYPE)), "count"),
        (CameraFrame(0, (0, 0), np.zeros((2, 3, 2), np.uint8)), "want \\(height, width\\) or"),
        (CameraFrame(0, (0, 0), np.zeros(4, np.uint8)), "shape"),
        (CameraFrame(0, (0, 0), np.zeros((2, 2), np.float32)), "depth"),
    ],
)
def test_what_no_camera_gives_is_refused(payload, sentence):
    frames = to_frames(Message(payload, "camera", 0))
    with pytest.raises(MessageError, match=sentence):
        from_frames(frames, INFO)


def test_none_comes_before_the_stream_it_belongs_to():
    with pytest.raises(MessageError, match="before any info"):
        from_frames(to_frames(Message(FRAME, "camera", 0)))


def stage(kind, cls, config):
    made = []
    stage = Stage(NodeSpec("it", kind, cls, config, ()), made.append, lambda deadline: True)
    stage.open()
    stage.take(Message(INFO, "camera", 0), "input")
    return stage, made


def test_a_node_that_takes_events_lets_extras_pass_by():
    binner, made = stage("binner", Binner, BinnerConfig(window_us=100))
    for payload in (FRAME, EVENTS, IMU, TRIGGERS):
        binner.take(Message(payload, "camera", 1), "input")
    assert {message.kind for message in made} == {"info", "slice"}


def test_a_node_that_takes_decisions_refuses_them():
    printer, _ = stage("printer", Printer, Printer.Config())
    for payload in (FRAME, EVENTS):
        with pytest.raises(NodeError, match="but it takes Classification"):
            printer.take(Message(payload, "camera", 1), "input")


def test_a_file_holds_a_line_for_each_trigger_and_sample_and_frame(tmp_path):
    file, _ = stage("file", File, FileConfig(str(tmp_path / "a.jsonl")))
    for payload in (TRIGGERS, EVENTS, IMU, FRAME):
        file.take(Message(payload, "camera", 1), "input")
    file.close()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[:2] == [
        {"recording": "a.aedat4", "t_us": 5, "trigger": "external_rising", "channel": 0},
        {"recording": "a.aedat4", "t_us": 9, "trigger": "external_falling", "channel": 6},
    ]
    assert lines[2] == {"recording": "a.aedat4", "t_us": 1, "imu": dict.fromkeys(IMU_DTYPE.names[1:], 1.0)}
    assert lines[4] == {"recording": "a.aedat4", "t_us": 100, "frame": [2, 3], "exposure_us": [90, 110]}
    assert len(lines) == 5


@pytest.fixture
def raw(tmp_path):
    """A RAW file of 40 ms: an event each ms, a trigger each 5 ms."""
    words = []
    for ms in range(40):
        t = 1_000 * ms
        words += [8 << 28 | t >> 6, 1 << 28 | (t & 63) << 22 | 3 << 11 | 2]
        words += [0xA << 28 | (t & 63) << 22 | 6 << 8 | ms // 5 % 2] if ms % 5 == 0 else []
    path = tmp_path / "a.raw"
    path.write_bytes(b"% format EVT2;height=5;width=7\n% end\n" + np.array(words, "<u4").tobytes())
    return path


def replayed(path, **settings):
    node = Recording(RecordingConfig(str(path), **settings))
    node.wait_until = lambda deadline: True
    node.open()
    return list(node.produce())


@pytest.mark.parametrize("pace", ["fastest", "realtime"])
def test_a_recording_sends_its_triggers_before_the_packet_of_their_time_is_complete(raw, pace):
    payloads = replayed(raw, also=["triggers", "imu"], pace=pace, packet_us=10_000)
    alone = replayed(raw, pace=pace, packet_us=10_000)
    assert [p.t_stop_us for p in payloads if isinstance(p, EventPacket)] == [p.t_stop_us for p in alone[1:]]
    reached, triggers = 0, []
    for payload in payloads[1:]:
        if isinstance(payload, TriggerPacket):
            triggers += payload.triggers["t"].tolist()
            assert payload.t_us >= reached - 10_000
        else:
            reached = payload.t_stop_us
    assert triggers == [5_000 * n for n in range(8)]
    assert not any(isinstance(payload, TriggerPacket) for payload in alone)


def test_triggers_of_a_second_pass_lie_on_its_clock(raw):
    payloads = replayed(raw, also=["triggers"], pace="fastest", loop=2)
    passes = [payload.triggers for payload in payloads if isinstance(payload, TriggerPacket)]
    events = [payload.events for payload in payloads if isinstance(payload, EventPacket)]
    assert len(passes) == 2
    moved = events[-1]["t"][0] - events[0]["t"][0]
    assert (passes[1]["t"] - passes[0]["t"]).tolist() == [moved] * 8
    assert moved >= 39_000


def test_a_fault_among_the_extras_comes_after_the_events(tmp_path):
    head = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    events = b"".join(struct.pack("<Ii", 9 << 17 | 8 << 2 | 3, 100 * n) for n in range(9))
    broken = struct.pack("<hhiiiiii", 3, 1, 40, 4, 0, 1, 1, 1) + bytes(40)
    (tmp_path / "a.aedat").write_bytes(head + broken + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 9, 9, 9) + events)
    node = Recording(RecordingConfig(str(tmp_path / "a.aedat"), also=["imu"], pace="fastest"))
    node.open()
    found = []
    with pytest.raises(RecordingError, match="type 3 is broken"):
        found.extend(node.produce())
    node.open()
    found = []
    payloads = node.produce()
    for _ in range(2):
        found.append(next(payloads))
    assert len(found[1].events) == 9


def test_a_file_behind_a_recording_wants_it_to_send_something_for_it(tmp_path, raw):
    values = {
        "nodes": {
            "recording": {"kind": "recording", "path": str(raw), "pace": "fastest"},
            "out": {"kind": "file", "input": "recording", "path": str(tmp_path / "a.jsonl")},
        }
    }
    problems = []
    build_graph(values["nodes"], problems)
    assert ["recording (recording) emits EventPacket, but out (file) takes" in item.text for item in problems] == [True]
    values["nodes"]["recording"]["also"] = ["triggers"]
    problems = []
    build_graph(values["nodes"], problems)
    assert problems == []
