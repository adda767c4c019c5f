"""`dvs evaluate` on recordings: every labelled stretch is shown from a fresh state and its last decision counts."""

import json

import numpy as np
import pytest
import torch

from dvs_run.nodes.commands import main
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError, RecordingError
from dvs_run.pipeline.evaluate import find_trials, judge_recordings
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_writer, write_labels
from dvs_run.pipeline.network import Linear, Network, Readout
from dvs_run.pipeline.stream import LabelSpan
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model

SENSOR = SensorSize(8, 6)
LABELS = ("left", "right")


def network(timestep_us=1000):
    """Counts events left and right of the middle."""
    weight = np.zeros((2, 2, 6, 8), np.float32)
    weight[0, :, :, :4] = weight[1, :, :, 4:] = 1
    return Network(
        (Linear("fc", ("input",), weight.reshape(2, -1)),), (2, 6, 8), LABELS, Readout("membrane"), timestep_us
    )


def record(path, sides, seed):
    """A recording of 5 ms per entry of `sides` ("left" or "right"), 40 events each, in that half of the sensor."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for index, side in enumerate(sides):
        events = np.zeros(40, EVENT_DTYPE)
        events["t"] = 10_000 + 5_000 * index + np.sort(random.integers(0, 5_000, 40))
        events["x"] = random.integers(0, 4, 40) + (4 if side == "right" else 0)
        events["y"], events["p"] = random.integers(0, 6, 40), random.random(40) < 0.5
        parts.append(events)
    with open_writer(path, SENSOR) as writer:
        writer.write(np.concatenate(parts))


@pytest.fixture
def folder(tmp_path):
    """Six recordings in two folders of their labels; one of them lies."""
    for number in range(3):
        record(tmp_path / "set/left" / f"{number}.npz", ["left"], number)
        record(tmp_path / "set/right" / f"{number}.npz", ["right" if number else "left"], 10 + number)
    network().save(tmp_path / "net.npz")
    return tmp_path


def test_folders_name_the_labels(folder):
    trials = find_trials(folder / "set", LABELS)
    assert [trial.target for trial in trials] == [0, 0, 0, 1, 1, 1]
    outcome = judge_recordings(Engine(network()), trials)
    assert (outcome.right, outcome.n) == (5, 6)
    assert outcome.confusion(2).tolist() == [[3, 0, 0], [1, 2, 0]]
    assert outcome.synops == 40 * 2


def test_a_label_file_gives_a_trial_a_line(tmp_path):
    record(tmp_path / "a.npz", ["left", "right", "left"], 5)
    spans = [LabelSpan("left", 10_000, 15_000), LabelSpan("right", 15_000, 20_000), LabelSpan("right", 20_000, 25_000)]
    write_labels(tmp_path / "a.npz", spans)
    trials = find_trials(tmp_path, LABELS)
    assert [trial.span_us for trial in trials] == [(span.t_start_us, span.t_stop_us) for span in spans]
    outcome = judge_recordings(Engine(network()), trials)
    assert outcome.decisions.tolist() == [0, 1, 0]
    assert outcome.timesteps == 5


def test_the_command_prints_accuracy_and_confusion(folder, capsys):
    arguments = ["--recordings", str(folder / "set"), "--out", str(folder / "figures.json")]
    assert main(["evaluate", str(folder / "net.npz"), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "accuracy 83.33 % of 6 (95 % interval 43.65 to 96.99 %)" in shown
    assert "1 right" in shown
    assert json.loads((folder / "figures.json").read_text())["confusion"] == [[3, 0, 0], [1, 2, 0]]
    assert main(["evaluate", str(folder / "net.npz"), "--recordings", str(folder / "set"), "--limit", "2"]) == 0
    assert "of 2 (" in capsys.readouterr().out


def test_the_cnn_is_judged_on_the_same_trials(folder, capsys):
    torch.manual_seed(0)
    spec = {"input": [2, 6, 8], "layers": [{"linear": 2, "bias": False}]}
    cnn = build_model(spec)
    with torch.no_grad():
        cnn.linear1.weight.copy_(torch.from_numpy(network().layers[0].weight.copy()))
    windows = {"timestep_us": 1000, "slices": 2, "delays_us": [0]}
    save_checkpoint(folder / "cnn.pt", spec, cnn, {"labels": LABELS, "config": {"windows": windows}})
    assert main(["evaluate", str(folder / "cnn.pt"), "--recordings", str(folder / "set")]) == 0
    assert "accuracy 83.33 % of 6" in capsys.readouterr().out
    spec["input"] = [2, 8, 6]
    save_checkpoint(folder / "turned.pt", spec, cnn, {"labels": LABELS, "config": {"windows": windows}})
    assert main(["evaluate", str(folder / "turned.pt"), "--recordings", str(folder / "set")]) == 1
    assert "was recorded with 8x6 pixels, the CNN wants 6x8" in capsys.readouterr().err


def test_what_does_not_fit_is_refused(folder):
    with pytest.raises(RecordingError, match="there is no folder"):
        find_trials(folder / "none", LABELS)
    (folder / "empty").mkdir()
    with pytest.raises(RecordingError, match="holds no recordings"):
        find_trials(folder / "empty", LABELS)
    with pytest.raises(RecordingError, match="labelled 'left', but the network knows only up, down"):
        find_trials(folder / "set", ("up", "down"))
    trials = find_trials(folder / "set", LABELS)
    with pytest.raises(NetworkError, match="made for images, it has no timestep"):
        judge_recordings(Engine(network(None)), trials)
    narrow = Network(
        (Linear("fc", ("input",), np.ones((2, 8), np.float32)),), (2, 2, 2), LABELS, Readout("membrane"), 1
    )
    with pytest.raises(NetworkError, match="recorded with 8x6 pixels and 2 polarities, the network wants 2x2 and 2"):
        judge_recordings(Engine(narrow), trials)
