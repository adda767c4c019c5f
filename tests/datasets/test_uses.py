"""A named data set stands wherever labelled recordings are wanted: replayed, judged, trained and calibrated on."""

import numpy as np
import pytest

from dvs_run.nodes.recording import Recording, RecordingConfig
from dvs_run.pipeline.datasets import open_dataset
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.evaluate import find_trials, read_trial
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.formats import GESTURES
from dvs_run.pipeline.stream import StreamInfo
from dvs_run.pipeline.train.config import TrainConfigError, check
from dvs_run.pipeline.train.sources import load_dataset, load_sets

from . import trees


def test_every_labelled_span_of_the_gesture_set_is_a_trial(tmp_path):
    made = trees.gesture(tmp_path)
    trials = find_trials(f"dvs-gesture:{tmp_path}:all", GESTURES)
    assert [(trial.path.stem[:6], GESTURES[trial.target]) for trial in trials] == [
        (f"user0{user}", label) for user in (1, 2, 3) for label in ("arm_roll", "other")
    ]
    for trial in trials:
        events, duration_us, sensor = read_trial(trial)
        start, stop = trial.span_us
        whole = made[trial.path.stem]
        wanted = whole[(whole["t"] >= start) & (whole["t"] < stop)]
        assert np.array_equal(events["t"] + start, wanted["t"])
        assert (duration_us, sensor) == (stop - start, SensorSize(128, 128))


def test_a_sensor_that_the_files_do_not_say_is_that_of_the_set(tmp_path):
    trees.write(
        tmp_path / "Test" / "4" / "1.bin", trees.events_of(1, SensorSize(34, 34))[:3], SensorSize(34, 34), "nmnist"
    )
    (trial,) = find_trials(f"nmnist:{tmp_path}:test", list("0123456789"))
    events, _, sensor = read_trial(trial)
    assert (len(events), sensor, trial.target, trial.span_us) == (3, SensorSize(34, 34), 4, None)


def test_a_class_that_the_network_lacks_is_told(tmp_path):
    trees.nmnist(tmp_path)
    with pytest.raises(RecordingError, match="is labelled '5', but the network knows only 0, 1, 2, 3, 4"):
        find_trials(f"nmnist:{tmp_path}:test", list("01234"))


def test_training_sees_each_span_from_its_beginning(tmp_path):
    trees.gesture(tmp_path)
    data = load_dataset(open_dataset("dvs-gesture", tmp_path, "train"))
    assert data.labels == GESTURES
    assert [GESTURES[target] for target in data.targets] == ["arm_roll", "other"] * 2
    for index, trial in enumerate(find_trials(f"dvs-gesture:{tmp_path}:train", GESTURES)):
        events, duration_us, _ = read_trial(trial)
        assert np.array_equal(data.recording(index), events)
        assert data.durations_us[index] == duration_us


def test_training_may_draw_some_recordings_and_see_the_beginning_of_each(tmp_path):
    made = trees.nmnist(tmp_path)
    data = load_dataset(open_dataset("nmnist", tmp_path, "train"), duration_us=500, limit=7)
    again = load_dataset(open_dataset("nmnist", tmp_path, "train"), duration_us=500, limit=7)
    assert len(data) == 7
    assert np.array_equal(data.events, again.events)
    assert data.durations_us.tolist() == [500] * 7
    beginnings = []
    for (part, _), events in made.items():
        since_first = events["t"] - events["t"][0]
        beginnings += [since_first[since_first < 500].tobytes()] if part == "Train" else []
    assert all(data.recording(index)["t"].tobytes() in beginnings for index in range(7))


def test_a_train_config_names_a_data_set(tmp_path):
    trees.nmnist(tmp_path, each=4)
    config = {
        "data": {"kind": "dataset", "name": "nmnist", "folder": str(tmp_path), "part": "train", "validation": 0.5},
        "model": {"input": [2, 34, 34], "layers": [{"linear": 10}]},
        "windows": {"slices": 2},
        "training": {"epochs": 1},
        "out": "unused.pt",
    }
    training, validation = load_sets(check(config).data, str)
    assert (len(training), len(validation)) == (20, 20)
    with pytest.raises(TrainConfigError, match="data.parts: is no key"):
        check(config | {"data": config["data"] | {"parts": "train"}})


def test_nobody_of_the_gesture_set_is_both_trained_and_validated_on(tmp_path):
    trees.gesture(tmp_path, users=8)
    data = open_dataset("dvs-gesture", tmp_path, "train")
    assert [sample.person for sample in data] == [f"user0{user}" for user in range(1, 8)]
    training, validation = data.apart(0.3)
    people = [{sample.person for sample in part} for part in (training, validation)]
    assert (len(people[0]), len(people[1]), people[0] & people[1]) == (5, 2, set())
    config = {"kind": "dataset", "name": "dvs-gesture", "folder": str(tmp_path), "validation": 0.3, "duration_us": 400}
    config = {"data": config, "model": {"input": [2, 128, 128], "layers": [{"pool": 32}, {"linear": 11}]},
              "windows": {"slices": 2}, "training": {"epochs": 1}, "out": "unused.pt"}  # fmt: skip
    training, validation = load_sets(check(config).data, str)
    assert (len(training), len(validation)) == (10, 4)
    trees.nmnist(tmp_path / "digits")
    assert open_dataset("nmnist", tmp_path / "digits").apart(0.3) is None


def test_a_set_without_classes_is_not_learnt_or_judged(tmp_path, monkeypatch):
    trees.nmnist(tmp_path)
    bare = open_dataset("nmnist", tmp_path)
    bare = type(bare)(bare.name, bare.part, bare.folder, (), tuple(type(s)(s.path, (), s.reader) for s in bare))
    monkeypatch.setattr("dvs_run.pipeline.datasets.open_dataset", lambda *arguments: bare)
    with pytest.raises(RecordingError, match="has no classes to learn"):
        load_dataset(bare)
    with pytest.raises(RecordingError, match="has no classes; it can be replayed, not judged"):
        find_trials(f"nmnist:{tmp_path}", ["0"])


def replayed(folder, **settings):
    """What the node `recording` yields of a data set: recording by recording, its info and its events."""
    node = Recording(RecordingConfig(str(folder), pace="fastest", **settings))
    assert node.check() == []
    node.open()
    found = []
    for payload in node.produce():
        if isinstance(payload, StreamInfo):
            found.append((payload, []))
        else:
            found[-1][1].append(payload.events)
    return [(info, np.concatenate(parts)) for info, parts in found]


def test_a_config_replays_a_data_set_with_its_labels(tmp_path):
    made = trees.gesture(tmp_path)
    ((info, events),) = replayed(tmp_path, dataset="dvs-gesture", part="test")
    assert info.name == "user03_fluorescent.aedat"
    assert [span.label for span in info.labels] == ["arm_roll", "other"]
    assert np.array_equal(events, made["user03_fluorescent"])
    assert len(replayed(tmp_path, dataset="dvs-gesture", part="all")) == 3


def test_a_config_cuts_the_recordings_of_a_data_set_as_any_other(tmp_path):
    made = trees.nmnist(tmp_path)
    for info, events in replayed(tmp_path, dataset="nmnist", stop_us=400, packet_us=100):
        whole = made["Train", info.name]
        assert np.array_equal(events, whole[whole["t"] < whole["t"][0] + 400])
        assert info.sensor == SensorSize(34, 34)


def test_a_config_tells_of_a_missing_set_and_of_settings_that_do_not_fit_one(tmp_path):
    faults = Recording(RecordingConfig(str(tmp_path), dataset="dvs-gesture")).check()
    assert "fetch DvsGesture.tar.gz" in faults[0]
    with pytest.raises(RecordingError, match="only a dataset has parts"):
        RecordingConfig("x", part="test")
    with pytest.raises(RecordingError, match="sensor does not go with dataset"):
        RecordingConfig("x", dataset="nmnist", sensor=[34, 34])


def test_calibration_reads_windows_of_a_data_set(tmp_path):
    torch = pytest.importorskip("torch")
    assert torch
    from dvs_run.pipeline.convert.calibration import read_recordings

    trees.nmnist(tmp_path)
    windows = read_recordings(
        f"nmnist:{tmp_path}:train", (2, 34, 34), 100, window_ms=0.5, speeds=(1.0,), per_recording=1, limit=6
    )
    assert len(windows) == 6
    assert windows.labels is not None
    trees.gesture(tmp_path)
    windows = read_recordings(f"dvs-gesture:{tmp_path}:all", (2, 128, 128), 1000, window_ms=2, speeds=(1.0,))
    assert set(windows.labels) == {"arm_roll", "other"}
    assert len(set(windows.groups.tolist())) == 3
    with pytest.raises(RecordingError, match="fetch "):
        read_recordings(f"cifar10-dvs:{tmp_path}", (2, 34, 34), 100, window_ms=0.5)
