"""Where training recordings come from: folders of any container, or the simulator, once."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.train.config import check
from dvs_run.pipeline.train.sources import gesture_set, load_folder, load_sets

from .. import naive

SENSOR = SensorSize(13, 9)


def write_folder(folder, per_label=5):
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(per_label):
            events = naive.random_training_events(50, SENSOR, 20_000, [ord(label), number])
            events["t"] += 1_000_000
            np.save(folder / label / f"{number}.npy", events)


def test_the_subfolders_are_the_labels_and_times_count_from_the_first_event(tmp_path):
    write_folder(tmp_path)
    data = load_folder(tmp_path, (13, 9))
    assert data.labels == ("a", "b")
    assert data.targets.tolist() == [0] * 5 + [1] * 5
    assert data.sensor == SENSOR
    assert all(data.recording(index)["t"][0] == 0 for index in range(10))
    assert (data.durations_us <= 20_000).all()


def test_validation_takes_the_same_share_of_each_label_and_shares_nothing_with_training(tmp_path):
    write_folder(tmp_path)
    config = {
        "data": {"kind": "recordings", "folder": str(tmp_path), "sensor": [13, 9], "validation": 0.4},
        "model": {"input": [2, 9, 13], "layers": [{"linear": 2}]},
        "windows": {"slices": 2},
        "training": {"epochs": 1},
        "out": "unused.pt",
    }
    training, validation = load_sets(check(config).data, str)
    assert np.bincount(validation.targets).tolist() == [2, 2]
    assert np.bincount(training.targets).tolist() == [3, 3]
    seen = {training.recording(index).tobytes() for index in range(6)}
    assert not seen & {validation.recording(index).tobytes() for index in range(4)}
    again, _ = load_sets(check(config).data, str)
    assert np.array_equal(again.events, training.events)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="want .*LABEL/FILE"):
        load_folder(tmp_path)


def test_simulated_gestures_are_made_once_and_a_longer_set_begins_with_the_shorter_one(tmp_path):
    lines = []
    short = gesture_set(1, 20_000, (0, 5), tmp_path, lines.append)
    assert len(lines) == 1
    assert np.array_equal(gesture_set(1, 20_000, (0, 5), tmp_path, lines.append).events, short.events)
    assert len(lines) == 1
    assert np.array_equal(gesture_set(1, 20_000, (0, 5), None, lines.append).events, short.events)
    assert short.targets.tolist() == list(range(11))
    others = gesture_set(1, 20_000, (5, 10), None, lines.append)
    assert not np.array_equal(others.events, short.events)
