"""The recorder: what passes is handed on unchanged and is in the files; a kill costs what was not yet written."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.config import ConfigError, check_config
from dvs_run.nodes.launcher import main
from dvs_run.nodes.messages import Message
from dvs_run.nodes.recorder import Recorder, RecorderConfig, RecorderError
from dvs_run.nodes.recorder_file import FileNameError, file_name
from dvs_run.pipeline.events import EventPacket, SensorSize
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.stream import BinnedSlice, Classification, LabelSpan, StreamInfo

from .conftest import SIDE, random_events
from .runs import decisions, wait_for

STREAM = StreamInfo("a", SensorSize(SIDE, SIDE), labels=(LabelSpan("wave", 0, 100_000),))


def packets(seed=1, n=1_000, each=50, first_us=137):
    events = random_events(np.random.default_rng(seed), n, 100_000, first_us)
    return [EventPacket(part, int(part["t"][-1])) for part in np.array_split(events, n // each)]


def record(path, packets, *more_streams, **settings):
    """The recorder after these streams, and what it handed on."""
    node = Recorder(RecorderConfig(str(path), **settings))
    node.open()
    passed = []
    for stream, given in ((STREAM, packets), *more_streams):
        assert node.begin(stream) is stream
        for packet in given:
            passed += node.process(packet)
        passed += node.finish()
    node.close()
    return node, passed


def joined(packets):
    return np.concatenate([packet.events for packet in packets])


def read(path, **options):
    with open_recording(path, **options) as recording:
        return joined(list(recording)), recording


@pytest.mark.parametrize("name", ["a.aedat4", "a.aedat", "a.dat", "a.raw", "a.es"])
def test_what_passes_is_handed_on_and_in_the_file(tmp_path, name):
    given = packets()
    _, passed = record(tmp_path / name, given)
    assert all(one is other for one, other in zip(passed, given, strict=True))
    found, recording = read(tmp_path / name, sensor=STREAM.sensor)
    assert np.array_equal(found, joined(given))
    assert recording.defects == {}
    assert [span.label for span in recording.labels] == ["wave"]


@pytest.mark.parametrize("flush_us", [0, 5_000, 10_000_000])
def test_no_more_than_what_is_held_back_is_missing_at_any_moment(tmp_path, flush_us):
    node = Recorder(RecorderConfig(str(tmp_path / "a.aedat4"), flush_us=flush_us))
    node.open()
    node.begin(STREAM)
    given = packets()
    for number, packet in enumerate(given):
        list(node.process(packet))
        done = joined(given[: number + 1])
        there = read(tmp_path / "a.aedat4")[0] if (tmp_path / "a.aedat4").exists() else done[:0]
        assert np.array_equal(there, done[: len(there)])
        assert len(there) == len(done) or done["t"][-1] - done["t"][len(there)] < flush_us
    node.close()
    assert np.array_equal(read(tmp_path / "a.aedat4")[0], joined(given))


def test_silence_too_lets_what_is_held_back_go(tmp_path):
    node = Recorder(RecorderConfig(str(tmp_path / "a.aedat4")))
    node.open()
    node.begin(STREAM)
    (packet,) = packets(n=50)
    list(node.process(packet))
    list(node.process(EventPacket(packet.events[:0], packet.t_stop_us + 10_000)))
    assert len(read(tmp_path / "a.aedat4")[0]) == 50
    node.close()


@pytest.mark.parametrize("settings", [{"rotate_us": 20_000}, {"rotate_bytes": 5_000}])
def test_files_follow_each_other_and_lose_nothing(tmp_path, settings):
    given = packets()
    node, _ = record(tmp_path / "a.aedat4", given, flush_us=1_000, **settings)
    files = sorted(tmp_path.glob("*.aedat4"), key=lambda path: (len(path.name), path.name))
    assert [file.name for file in files[:3]] == ["a.aedat4", "a-0002.aedat4", "a-0003.aedat4"]
    assert 3 <= len(files) <= 6
    assert np.array_equal(np.concatenate([read(file)[0] for file in files]), joined(given))
    assert f"in {len(files)} files" in dict(node.report())["recorded"]


@pytest.mark.parametrize("each", [1_000, 250, 20])  # events in a packet: those of 100, 25 and 2 ms
@pytest.mark.parametrize("flush_us", [0, 10_000_000])
def test_no_file_spans_as_much_as_the_time_after_which_a_new_one_begins(tmp_path, each, flush_us):
    given = packets(each=each)
    record(tmp_path / "a.aedat4", given, flush_us=flush_us, rotate_us=15_000)
    files = sorted(tmp_path.glob("*.aedat4"), key=lambda path: (len(path.name), path.name))
    parts = [read(file)[0] for file in files]
    assert np.array_equal(np.concatenate(parts), joined(given))
    assert all(part["t"][-1] - part["t"][0] < 15_000 for part in parts)
    for part, following in zip(parts, parts[1:], strict=False):
        assert following["t"][0] - part["t"][0] >= 15_000


def test_a_clock_that_steps_back_while_events_are_held_back_begins_another_file(tmp_path):
    given = [*packets(1, n=100), *packets(2, n=100, first_us=50)]
    record(tmp_path / "a.aedat4", given, flush_us=10_000_000)
    for name, wanted in (("a", given[:2]), ("a-0002", given[2:])):
        assert np.array_equal(read(tmp_path / f"{name}.aedat4")[0], joined(wanted))


def test_every_stream_has_a_file_and_a_clock_that_stepped_back_begins_another(tmp_path):
    second = replace(STREAM, name="b", sensor=SensorSize(64, 64), labels=())
    given = [packets(1), packets(2), packets(3, first_us=50)]
    record(tmp_path / "a.aedat4", given[0], (second, [*given[1], *given[2]]))
    for name, wanted in zip(("a", "a-0002", "a-0003"), given, strict=True):
        found, recording = read(tmp_path / f"{name}.aedat4")
        assert np.array_equal(found, joined(wanted))
        assert recording.sensor == (STREAM if name == "a" else second).sensor


def test_a_file_that_is_there_is_left_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "a.aedat4"
    for seed in (1, 2):
        record(path, packets(seed))
    assert np.array_equal(read(path)[0], joined(packets(1)))
    assert np.array_equal(read(tmp_path / "a-0002.aedat4")[0], joined(packets(2)))
    record(path, packets(3), when_exists="replace")
    assert np.array_equal(read(path)[0], joined(packets(3)))
    assert "is there already" in Recorder(RecorderConfig(str(path), when_exists="refuse")).check()[0]
    with pytest.raises(FileNameError, match="is there already"):
        file_name(path, 1, "refuse", [])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no/a.aedat4", "there is no folder"), ("", "is a folder"), ("a.npz", "cannot be read before it is closed")],
)
def test_what_cannot_be_recorded_into_is_told_before_the_start(tmp_path, name, sentence):
    assert sentence in Recorder(RecorderConfig(str(tmp_path / name))).check()[0]


def test_what_was_dropped_before_the_recorder_is_told(tmp_path):
    node = Recorder(RecorderConfig(str(tmp_path / "a.aedat4")))
    node.open()
    node.begin(STREAM)
    for number, packet in enumerate(packets()):
        node.message = Message(packet, "camera", number, dropped=3 if number > 5 else 0)
        list(node.process(packet))
    node.close()
    assert dict(node.report())["missing"] == "3 messages were dropped before the recorder"


SLICE = BinnedSlice(0, 5_000, np.array([3, 9], np.int32), np.array([1, 2], np.int32))
DECISION = Classification(0, 5_000, 1, "b", np.array([0.5, 2.0, 1.0]), 77, "a")


@pytest.mark.parametrize("payload", [SLICE, DECISION])
def test_slices_and_decisions_are_lines_of_json(tmp_path, payload):
    _, passed = record(tmp_path / "a.jsonl", [payload, payload])
    assert passed == [payload, payload]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[0] == lines[1]
    for key, value in vars(payload).items():
        assert np.array_equal(lines[0][key], value)


def test_what_does_not_fit_the_file_is_refused_by_name(tmp_path):
    with pytest.raises(RecorderError, match="holds events, and a BinnedSlice came; end the path with .jsonl"):
        record(tmp_path / "a.aedat4", [SLICE])
    with pytest.raises(RecorderError, match="events are not written as lines of JSON; end it with .aedat4"):
        record(tmp_path / "a.jsonl", packets())


def with_recorder(values, tmp_path, edge, name):
    """The plain config with a recorder in one of its edges."""
    nodes = values["nodes"]
    nodes["recorder"] = {"kind": "recorder", "input": nodes[edge]["input"], "path": str(tmp_path / name)}
    nodes[edge]["input"] = "recorder"
    return values


@pytest.mark.parametrize("placement", ["inline", "threads"])
@pytest.mark.parametrize(("edge", "name"), [("binner", "r.aedat4"), ("classifier", "r.jsonl"), ("out", "r.jsonl")])
def test_a_recorder_in_any_edge_changes_no_decision(plain_config, write, expected, tmp_path, placement, edge, name):
    path = write(with_recorder(plain_config, tmp_path, edge, name))
    assert main([path, "--set", f"placement={placement}", "--quiet"]) == 0
    assert decisions(plain_config) == expected
    first = tmp_path / name
    second = first.with_name(f"r-0002{first.suffix}")
    if edge == "binner":
        for made, given in zip((first, second), plain_config["nodes"]["recording"]["path"], strict=True):
            assert np.array_equal(read(made)[0], read(Path(given), sensor=STREAM.sensor)[0])
    else:
        assert len(first.read_text().splitlines()) + len(second.read_text().splitlines()) == 80


def test_an_edge_behind_a_recorder_is_checked_as_if_it_were_not_there(plain_config, write, tmp_path):
    from dvs_run.nodes.config import read_yaml

    nodes = with_recorder(plain_config, tmp_path, "binner", "r.aedat4")["nodes"]
    nodes["classifier"]["input"] = "recorder"
    with pytest.raises(ConfigError, match=r"recorder \(recorder\) emits EventPacket, but classifier"):
        check_config(read_yaml(write(plain_config)))


CHILD = """
import sys
import numpy as np
from dvs_run.nodes.messages import Message
from dvs_run.nodes.recorder import Recorder, RecorderConfig
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.stream import StreamInfo

node = Recorder(RecorderConfig(sys.argv[1], flush_us=1_000, compression=sys.argv[2]))
node.open()
node.begin(StreamInfo("a", SensorSize(64, 64)))
events = np.zeros(200, EVENT_DTYPE)
number = 0
while True:
    events["t"] = np.arange(number, number + 200)
    events["x"] = events["t"] % 64
    events["y"] = events["t"] // 64 % 64
    list(node.process(EventPacket(events.copy(), number + 200)))
    number += 200
    print(number, flush=True)
"""


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_recorder_that_is_killed_leaves_a_file_with_all_but_what_was_not_written(tmp_path, compression):
    path = tmp_path / "killed.aedat4"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), compression], stdout=subprocess.PIPE, text=True)
    assert wait_for(lambda: path.exists() and path.stat().st_size > 20_000)
    os.kill(child.pid, signal.SIGKILL)
    given = int(child.communicate()[0].split()[-1])  # events that process() had taken, at least
    found, recording = read(path, on_error="stop")
    assert "not_closed" in recording.defects or "within a packet" in str(recording.fault)  # the kill tore a write
    assert np.array_equal(found["t"], np.arange(len(found)))
    assert np.array_equal(found["y"], found["t"] // 64 % 64)
    assert len(found) >= given - 1_000 - 200
