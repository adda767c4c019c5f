"""`dvs info`: what it prints, and its exit codes."""

import json

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.nodes.commands.info import Activity
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.formats import open_writer, write_labels
from dvs_run.pipeline.stream import LabelSpan

from .files import SMALL, events_for_all, make


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "hand [x].aedat4"
    events = np.zeros(300, EVENT_DTYPE)
    events["t"][:100] = np.arange(100) * 1000
    events["t"][100:] = 200_000 + np.arange(200) * 10
    events["x"], events["y"], events["p"] = 7, np.arange(300) % 50, np.arange(300) % 4 == 0
    with open_writer(path, SMALL, "zstd") as writer:
        for piece in np.array_split(events, 5):
            writer.write(piece)
    write_labels(path, [LabelSpan("arm_roll", 1000, 90_000)])
    return path


def test_info_says_what_a_recording_is(recording, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["info", str(recording)]) == 0
    text = capsys.readouterr().out
    for part in (
        "hand [x].aedat4", "aedat4, compressed with zstd", "128x128 pixels", "300", "0 .. 201990 µs", "0.201990 s",
        "1.49 kevents/s on average, 20.00 kevents/s in the fullest 10 ms", "75 ON, 225 OFF (25.0 % ON)",
        "7 .. 7, 0 .. 49", "arm_roll  0.001 .. 0.090 s after the first event", "defects", "none",
    ):  # fmt: skip
        assert part in text, part


def test_info_for_machines_holds_the_same(recording, capsys):
    assert main(["info", "--json", str(recording)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["container"], facts["codec"], facts["sensor"]) == ("aedat4", "zstd", [128, 128])
    assert (facts["events"], facts["on"], facts["off"]) == (300, 75, 225)
    assert (facts["t_first_us"], facts["t_last_us"], facts["duration_us"]) == (0, 201_990, 201_990)
    assert facts["peak_rate_hz"] == 20_000
    assert (facts["x_range"], facts["y_range"]) == ([7, 7], [0, 49])
    assert facts["labels"] == [["arm_roll", 1000, 90_000]]
    assert (facts["defects"], facts["fault"]) == ({}, None)


def test_a_damaged_recording_is_described_as_far_as_it_is_good_and_the_exit_code_is_1(recording, capsys):
    recording.write_bytes(recording.read_bytes()[:1700])
    assert main(["info", "--json", str(recording)]) == 1
    output = capsys.readouterr()
    facts = json.loads(output.out)
    assert 0 < facts["events"] < 300
    assert facts["fault"]["message"] in output.err
    assert "the file ends within a packet" in output.err
    assert main(["info", str(recording)]) == 1
    assert "damaged; the above is what could be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.aedat4"], 1, "there is no such file"),
        (["."], 1, "is a folder"),
        (["--sensor", "big", "x"], 2, "is no size"),
        (["--sensor", "0x4", "x"], 2, "is no size"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_described_is_one_sentence(arguments, code, message, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["info", *arguments]) == code
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""


def test_sensor_container_and_layout_can_be_told(tmp_path, capsys):
    path = tmp_path / "few.bin"
    path.write_bytes(make(path, "nmnist", "none", events_for_all(6)).data)
    assert main(["info", str(path)]) == 1
    capsys.readouterr()
    assert main(["info", "--json", "--container", "nmnist", "--sensor", "200x150", str(path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["events"], facts["sensor"]) == (6, [200, 150])


def test_activity_doubles_its_stretch_and_loses_no_event():
    activity = Activity()
    for first in range(0, 50_000_000, 1_000_000):
        activity.add(np.arange(first, first + 1_000_000, 5000))
    assert activity.counts.sum() == 50 * 200
    assert activity.stretch_us == 1_280_000
    assert len(activity.bars()) == 40
