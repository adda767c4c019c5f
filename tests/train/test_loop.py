"""Training learns, keeps the best epoch, and goes on after an interruption as if there had been none."""

import numpy as np
import pytest
import torch

from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.train import loop
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.evaluate import Accuracy, accuracy, confusion, recording_scores
from dvs_run.pipeline.train.windows import WindowPlan, pack

from .. import naive

SENSOR = SensorSize(8, 8)
PLAN = WindowPlan(1_000, 10, 10)


def two_halves(count, seed):
    """Recordings whose events lie in the left half (label "left") or in the right half ("right")."""
    recordings, targets = [], []
    for index in range(count):
        events = naive.random_training_events(200, SENSOR, 40_000, [seed, index])
        target = index % 2
        events["x"] = events["x"] // 2 + 4 * target
        recordings.append(events)
        targets.append(target)
    return pack(recordings, [40_000] * count, targets, ("left", "right"), SENSOR)


def config(folder, epochs=4):
    return {
        "data": {"kind": "recordings", "folder": "unused"},
        "model": {
            "input": [2, 8, 8],
            "layers": [{"conv": 4, "batch_norm": True}, {"pool": 2}, {"dropout": 0.1}, {"linear": 2}],
        },
        "windows": {"timestep_us": 1_000, "slices": 10, "min_slices": 5, "per_recording": 2, "evidence": True},
        "augment": {"shift": 1, "drop": 0.2, "flip": 0.5, "flip_labels": {"left": "right"}},
        "training": {"epochs": epochs, "batch": 8, "learning_rate": 0.01, "calibration": 6},
        "out": str(folder / "small.pt"),
    }


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch):
    monkeypatch.setattr(loop, "load_sets", lambda data, say: (two_halves(24, 0), two_halves(10, 1)))


def test_a_short_training_learns_left_from_right(tmp_path):
    lines = []
    path = loop.train_events(config(tmp_path, epochs=6), say=lines.append)
    model, _, extra = load_checkpoint(path)
    scores = recording_scores(model, two_halves(20, 2), PLAN, whole=True)
    assert accuracy(scores, two_halves(20, 2).targets).share == 1.0
    assert len(lines) == 6
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines]
    assert losses[-1] < losses[0] / 2
    assert extra["labels"] == ["left", "right"]
    assert extra["timestep_us"] == 1_000
    assert extra["state_window_us"] == 10_000
    assert tuple(extra["calibration"].shape) == (6, 2, 8, 8)


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    loop.train_events(config(tmp_path / "whole"), say=str)
    parts = config(tmp_path / "parts")
    loop.train_events(parts, say=str, max_epochs=1)
    loop.train_events(parts, resume=True, say=str, max_epochs=2)
    loop.train_events(parts, resume=True, say=str)
    whole, in_parts = (
        torch.load(tmp_path / name / "small.pt.resume", weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert whole.keys() == in_parts.keys()
    assert all(torch.equal(whole[name], in_parts[name]) for name in whole)


def test_what_another_config_left_is_not_resumed(tmp_path):
    loop.train_events(config(tmp_path), say=str, max_epochs=1)
    with pytest.raises(NetworkError, match="was left by another config"):
        loop.train_events(config(tmp_path, epochs=5), resume=True, say=str)


def test_a_damaged_resume_file_is_refused_with_a_way_out(tmp_path):
    loop.train_events(config(tmp_path), say=str, max_epochs=1)
    path = tmp_path / "small.pt.resume"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(NetworkError, match="remove it to begin anew"):
        loop.train_events(config(tmp_path), resume=True, say=str)


def test_a_spiking_training_goes_on_from_its_cnn_and_keeps_its_thresholds(tmp_path):
    cnn = loop.train_events(config(tmp_path), say=str)
    tuned = {**config(tmp_path, epochs=1), "start_from": str(cnn), "spiking": {}, "out": str(tmp_path / "spiking.pt")}
    tuned["windows"] = {**tuned["windows"], "min_slices": 10}
    model, _, extra = load_checkpoint(loop.train_events(tuned, say=str))
    assert set(extra["thresholds"]) == {"relu1"}
    scores = recording_scores(model, two_halves(20, 2), PLAN, whole=True, thresholds=extra["thresholds"])
    assert accuracy(scores, two_halves(20, 2).targets).share == 1.0


def test_training_starts_from_the_weights_of_a_checkpoint(tmp_path):
    path = loop.train_events(config(tmp_path), say=str)
    start, _, _ = load_checkpoint(path)
    again = {**config(tmp_path), "start_from": str(path), "out": str(tmp_path / "again.pt")}
    settings = loop.check(again)
    begun = loop._start_model(settings, two_halves(4, 0))
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), begun.parameters(), strict=True))


def test_a_flip_label_that_does_not_exist_is_named(tmp_path):
    wrong = config(tmp_path)
    wrong["augment"]["flip_labels"] = {"left": "rihgt"}
    with pytest.raises(loop.TrainConfigError, match="rihgt is no label of the recordings; theirs are left, right"):
        loop.train_events(wrong, say=str)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [2, 8, 9]}, r"input is \[2, 8, 9\], but the recordings give \[2, 8, 8\]"),
        ({"layers": [{"linear": 3}]}, "3 outputs, but the recordings have 2 labels"),
    ],
)
def test_a_model_that_does_not_fit_the_recordings_is_refused(tmp_path, change, message):
    wrong = config(tmp_path)
    wrong["model"] = {**wrong["model"], **change}
    with pytest.raises(NetworkError, match=message):
        loop.train_events(wrong, say=str)


def test_the_interval_is_wilson_s():
    low, high = Accuracy(97, 100).interval
    assert (round(low, 4), round(high, 4)) == (0.9155, 0.9897)
    assert Accuracy(100, 100).interval[1] == pytest.approx(1.0)


def test_the_confusion_matrix_counts_undecided_recordings_in_a_column_of_their_own():
    matrix = confusion(np.array([0, 1, -1, 1]), np.array([0, 0, 1, 1]), 2)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 1]]
