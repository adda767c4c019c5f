"""Data sets as they are published: every recording, its events and its label, and what is missing is told."""

import numpy as np
import pytest

from dvs_run.pipeline.cifar import CIFAR10_NAMES
from dvs_run.pipeline.datasets import ALWAYS, known_datasets, named, open_dataset
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import GESTURES
from dvs_run.pipeline.stream import LabelSpan

from ..recordings import SHARED
from . import trees


def read(sample, **options):
    with sample.open(**options) as recording:
        return np.concatenate([packet.events for packet in recording])


def turned(events):
    other = events.copy()
    other["x"], other["y"] = events["y"], events["x"]
    return other


@pytest.mark.parametrize("below", ["", "NMNIST", "N-MNIST"])
def test_nmnist_is_read_from_its_folder(tmp_path, below):
    made = trees.nmnist(tmp_path / below)
    for part in ("train", "test"):
        data = open_dataset("nmnist", tmp_path, part)
        assert len(data) == 20
        assert data.labels == tuple("0123456789")
        for sample in data:
            assert np.array_equal(read(sample), made[part.capitalize(), sample.name])
            assert sample.labels == (LabelSpan(sample.path.parent.name, *ALWAYS),)
            assert sample.open().sensor == SensorSize(34, 34)
    assert str(data) == f"nmnist (test, 20 recordings) in {tmp_path}"


def test_a_class_keeps_the_order_of_the_numbers_in_its_files(tmp_path):
    trees.cifar10_dvs(tmp_path, ["airplane"], each=12)
    names = [sample.path.stem.rpartition("_")[2] for sample in open_dataset("cifar10-dvs", tmp_path)]
    assert names == [str(number) for number in range(12)]


def test_cifar10_dvs_stands_upright_and_is_split_by_the_numbers_of_its_files(tmp_path):
    made = trees.cifar10_dvs(tmp_path, CIFAR10_NAMES)
    parts = {part: open_dataset("cifar10-dvs", tmp_path, part) for part in ("all", "train", "test")}
    assert [len(parts[part]) for part in ("all", "train", "test")] == [100, 90, 10]
    assert [sample.name for sample in parts["test"]][:2] == ["cifar10_airplane_9.aedat", "cifar10_automobile_9.aedat"]
    assert {sample.path for sample in parts["train"]} | {sample.path for sample in parts["test"]} == {
        sample.path for sample in parts["all"]
    }
    for sample in parts["test"]:
        name = sample.path.parent.name
        assert np.array_equal(read(sample), turned(made[name, 9]))
        assert sample.labels[0].label == name


def test_ncaltech101_keeps_the_addresses_of_the_sensor_and_names_its_classes(tmp_path):
    made = trees.ncaltech101(tmp_path)
    data = open_dataset("ncaltech101", tmp_path)
    assert data.labels == ("BACKGROUND_Google", "accordion", "wrench")
    assert len(data) == 30
    for sample in data:
        assert np.array_equal(read(sample), made[sample.path.parent.name, int(sample.path.stem[-4:])])
    assert len(open_dataset("ncaltech101", tmp_path / "Caltech101" / "..", "test")) == 3


def test_mnist_dvs_is_found_in_any_folder_by_the_names_of_its_files(tmp_path):
    for digit, index in ((0, 1), (7, 2), (7, 10)):
        events = trees.events_of(index, SensorSize(128, 128))
        path = tmp_path / f"grabbed_data{digit}" / "scale4" / f"mnist_{digit}_scale04_{index:04}.aedat"
        trees.write(path, events, SensorSize(128, 128), "aedat2")
    (tmp_path / "mnist_notes.aedat").write_text("not one of them")
    data = open_dataset("mnist-dvs", tmp_path)
    assert [sample.labels[0].label for sample in data] == ["0", "7", "7"]
    assert np.array_equal(read(data[2]), turned(trees.events_of(10, SensorSize(128, 128))))
    with pytest.raises(RecordingError, match="no class has the 10 files that a part `test` takes; use the part `all`"):
        open_dataset("mnist-dvs", tmp_path, "test")


def test_real_zeros_of_mnist_dvs_are_taller_than_wide(tmp_path):
    folder = SHARED / "recordings" / "mnist_dvs_digit0"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    data = open_dataset("mnist-dvs", folder)
    assert len(data) == 10
    heights, widths = zip(*(np.std([read(sample)["y"], read(sample)["x"]], axis=1) for sample in data), strict=True)
    assert np.mean(heights) > np.mean(widths)


@pytest.mark.parametrize("below", ["", "DvsGesture"])
def test_the_original_gesture_set_is_read_with_its_lists_and_labels(tmp_path, below):
    (tmp_path / below).mkdir(exist_ok=True)
    made = trees.gesture(tmp_path / below)
    parts = {part: open_dataset("dvs-gesture", tmp_path, part) for part in ("train", "test", "all")}
    assert [[sample.path.stem[:6] for sample in data] for data in parts.values()] == [
        ["user01", "user02"],
        ["user03"],
        ["user01", "user02", "user03"],
    ]
    assert parts["train"].labels == GESTURES
    for sample in parts["all"]:
        assert np.array_equal(read(sample, packet_events=7), made[sample.path.stem])
        assert [span.label for span in sample.labels] == ["arm_roll", "other"]
        assert sample.open().labels == sample.labels


def test_a_recording_that_a_list_names_but_nobody_fetched_is_told(tmp_path):
    trees.gesture(tmp_path)
    (tmp_path / "user03_fluorescent.aedat").unlink()
    with pytest.raises(
        RecordingError, match=r"names 1 recordings, of which 1 are not beside it \(user03.*fetch DvsGes"
    ):
        open_dataset("dvs-gesture", tmp_path, "test")
    (tmp_path / "user01_fluorescent_labels.csv").unlink()
    with pytest.raises(RecordingError, match="has no labels; want user01_fluorescent_labels.csv beside it"):
        open_dataset("dvs-gesture", tmp_path)
    (tmp_path / "trials_to_test.txt").write_text("\n")
    with pytest.raises(RecordingError, match="the list names no recordings"):
        open_dataset("dvs-gesture", tmp_path, "test")


@pytest.mark.parametrize("name", [name for name in known_datasets() if not name.startswith("tonic.")])
def test_a_set_that_is_not_there_says_what_to_fetch_and_where_to_put_it(tmp_path, name):
    with pytest.raises(RecordingError, match="there is no such folder.*fetch .* from https?://"):
        open_dataset(name, tmp_path / "nothing")
    with pytest.raises(RecordingError, match="it is not in there.*fetch "):
        open_dataset(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_and_parts_that_do_not_exist_are_told(tmp_path):
    with pytest.raises(RecordingError, match="no data set 'emnist'; known are nmnist, .*tonic.SHD.*LABEL/FILE"):
        open_dataset("emnist", tmp_path)
    with pytest.raises(RecordingError, match="nmnist has no part 'valid', only train, test"):
        open_dataset("nmnist", tmp_path, "valid")
    with pytest.raises(RecordingError, match="cannot be downloaded from here"):
        open_dataset("nmnist", tmp_path, download=True)


def test_a_set_is_named_as_one_word_where_a_folder_is_wanted(tmp_path):
    trees.nmnist(tmp_path)
    assert named(f"nmnist:{tmp_path}").part == "train"
    assert named(f"nmnist:{tmp_path}:test").part == "test"
    assert named(tmp_path) is None
    assert named("C:/recordings") is None
    with pytest.raises(RecordingError, match="no data set 'tonic.Nothing'"):
        named("tonic.Nothing:x")


def test_a_damaged_recording_of_a_set_gives_its_good_part(tmp_path):
    made = trees.nmnist(tmp_path)
    path = tmp_path / "Train" / "0" / "00000.bin"
    path.write_bytes(path.read_bytes()[:-3])
    sample = next(sample for sample in open_dataset("nmnist", tmp_path) if sample.path == path)
    assert np.array_equal(read(sample, on_error="stop"), made["Train", path.name][:-1])
    with pytest.raises(RecordingError, match="ends within an event"):
        read(sample)


def test_the_events_of_a_sample_are_ours(tmp_path):
    trees.nmnist(tmp_path)
    assert read(open_dataset("nmnist", tmp_path)[0]).dtype == EVENT_DTYPE
