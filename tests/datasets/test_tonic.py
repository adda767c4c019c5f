"""Through tonic's own classes: their events in our dtype, labels as names, nothing fetched that nobody asked for."""

import urllib.request

import numpy as np
import pytest

tonic = pytest.importorskip("tonic", reason="needs the extra `datasets`")

from dvs_run.pipeline.cifar import CIFAR10_NAMES  # noqa: E402
from dvs_run.pipeline.datasets import from_tonic, known_datasets, open_dataset  # noqa: E402
from dvs_run.pipeline.datasets.dataset import as_event_array  # noqa: E402
from dvs_run.pipeline.datasets.through_tonic import REFUSED, SETS  # noqa: E402
from dvs_run.pipeline.errors import RecordingError  # noqa: E402
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize  # noqa: E402
from dvs_run.pipeline.formats import GESTURES  # noqa: E402

from . import trees  # noqa: E402
from .test_folders import read  # noqa: E402


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whoever tries to fetch something fails the test."""

    def refuse(*arguments, **named):
        raise AssertionError(f"somebody fetches {arguments}")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(urllib.request, "urlretrieve", refuse)


def test_nmnist_through_tonic_equals_the_files_read_by_ourselves(tmp_path):
    trees.nmnist(tmp_path / "NMNIST")
    ours, theirs = (open_dataset(name, tmp_path, "test") for name in ("nmnist", "tonic.NMNIST"))
    assert len(ours) == len(theirs)
    assert [sample.labels for sample in ours] == [sample.labels for sample in theirs]
    assert all(np.array_equal(read(a), read(b)) for a, b in zip(ours, theirs, strict=True))
    assert [sample.path for sample in ours] == [sample.path for sample in theirs]


def test_the_own_folder_of_a_set_may_be_named_too(tmp_path):
    trees.nmnist(tmp_path / "NMNIST")
    assert len(open_dataset("tonic.NMNIST", tmp_path / "NMNIST", "train")) == 20


def test_gestures_of_tonic_have_our_names_and_times_in_microseconds(tmp_path):
    made = trees.tonic_gesture(tmp_path)
    data = open_dataset("tonic.DVSGesture", tmp_path, "test")
    assert [sample.path.parent.name for sample in data] == ["user24_led"] * 3 + ["user25_led"] * 3
    for sample in data:
        user, target = int(sample.path.parent.name[4:6]), int(sample.path.stem)
        assert sample.labels[0].label == GESTURES[target]
        assert np.array_equal(read(sample), made[user, target])
        assert read(sample).dtype == EVENT_DTYPE


def test_cifar10_dvs_of_tonic_is_aedat4(tmp_path):
    events = trees.events_of(5, SensorSize(128, 128))
    trees.write(tmp_path / "CIFAR10DVS" / "deer" / "cifar10_deer_0.aedat4", events, SensorSize(128, 128), "aedat4")
    data = open_dataset("tonic.CIFAR10DVS", tmp_path)
    assert data.labels == tuple(CIFAR10_NAMES)
    assert data[0].labels[0].label == "deer"
    assert np.array_equal(read(data[0]), events)


def test_ncaltech101_of_tonic_names_its_classes_after_the_folders(tmp_path):
    trees.ncaltech101(tmp_path / "NCALTECH101", each=2)
    data = open_dataset("tonic.NCALTECH101", tmp_path)
    assert data.labels == ("BACKGROUND_Google", "accordion", "wrench")
    assert all(int(read(sample)["x"].min()) == int(read(sample)["y"].min()) == 0 for sample in data)


def test_poker_cards_are_arrays_of_columns(tmp_path):
    events = trees.events_of(5, SensorSize(35, 35))
    folder = tmp_path / "POKERDVS" / "pips_train" / "he"
    folder.mkdir(parents=True)
    np.save(folder / "1.npy", np.stack([events[name] for name in ("t", "x", "y", "p")], 1).astype(np.int64))
    data = open_dataset("tonic.POKERDVS", tmp_path)
    assert [sample.labels[0].label for sample in data] == ["he"]
    assert np.array_equal(read(data[0]), events)


def test_signs_of_the_alphabet_are_matlab_files_that_count_rows_from_the_bottom(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    events = trees.events_of(5, SensorSize(240, 180))
    folder = tmp_path / "ASLDVS" / "c"
    folder.mkdir(parents=True)
    columns = {"ts": events["t"], "x": events["x"], "y": 179 - events["y"].astype(int), "pol": events["p"]}
    scipy_io.savemat(folder / "c_0001.mat", {name: column.reshape(-1, 1) for name, column in columns.items()})
    data = open_dataset("tonic.ASLDVS", tmp_path)
    assert [sample.labels[0].label for sample in data] == ["c"]
    assert np.array_equal(read(data[0]), events)


def test_words_before_a_dvs128_are_structured_arrays(tmp_path):
    events = trees.events_of(5, SensorSize(128, 128))
    folder = tmp_path / "DVSLip" / "DVS-Lip" / "test" / "london"
    folder.mkdir(parents=True)
    np.save(folder / "0.npy", events.astype([("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")]))
    data = open_dataset("tonic.DVSLip", tmp_path, "test")
    assert data[0].labels[0].label == "london"
    assert np.array_equal(read(data[0]), events)


def test_spoken_digits_are_a_row_of_channels(tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "SHD").mkdir()
    times = np.array([0.25, 0.0001, 0.5], np.float16)
    with h5py.File(tmp_path / "SHD" / "shd_train.h5", "w") as file:
        spikes = file.create_group("spikes")
        for name, kind, values in (("times", np.float16, times), ("units", np.uint16, [0, 699, 7])):
            spikes.create_dataset(name, (1,), h5py.vlen_dtype(np.dtype(kind)))[0] = np.array(values, kind)
        file["labels"] = np.array([1], np.uint16)
        file["extra/keys"] = np.array([b"null", b"eins"])
        file["extra/speaker"] = np.array([4])
    data = open_dataset("tonic.SHD", tmp_path)
    assert data.labels == ("null", "eins")
    assert data[0].labels[0].label == "eins"
    events = read(data[0])
    assert events["x"].tolist() == [699, 0, 7]
    assert events["y"].tolist() == [0, 0, 0]
    assert events["t"].tolist() == np.floor(np.sort(times.astype(np.float64)) * 1e6).astype(int).tolist()
    assert data[0].open().sensor == SensorSize(700, 1)


def test_the_pixels_of_a_digit_in_a_row_are_events_within_their_sensor(tmp_path):
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 3, 5:9], image[0, 4, 5] = 255, 3
    trees.idx(tmp_path / "smnist" / "train-images-idx3-ubyte", image)
    trees.idx(tmp_path / "smnist" / "train-labels-idx1-ubyte", np.array([6]))
    data = open_dataset("tonic.SMNIST", tmp_path)
    assert data[0].labels[0].label == "6"
    events = read(data[0])
    assert (int(events["x"].min()), int(events["x"].max())) == (0, 98)
    assert data[0].open().sensor == SensorSize(99, 1)


def test_what_has_no_classes_has_no_labels(tmp_path):
    events = trees.events_of(5, SensorSize(1280, 720))
    folder = tmp_path / "DATA" / "archive_3" / "7"
    (folder / "Event").mkdir(parents=True)
    np.savez(folder / "Event" / "output_events.npz", data=np.stack([events[c] for c in ("x", "y", "p", "t")], 1))
    (folder / "ev_rgb_coordinates.txt").write_text("0.5: 1, 2, 3, 4\n")
    data = open_dataset("tonic.NERDD", tmp_path)
    assert data.labels == data[0].labels == ()
    assert np.array_equal(read(data[0]), events)


@pytest.mark.parametrize("name", list(SETS))
def test_nothing_is_fetched_and_nothing_made_where_a_set_is_missing(tmp_path, name):
    with pytest.raises(RecordingError, match=rf"tonic\.{name} is wanted in .*; fetch its files.*download=True"):
        open_dataset(f"tonic.{name}", tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_of_the_other_part_alone_are_no_reason_to_fetch(tmp_path):
    trees.tonic_gesture(tmp_path, "Test")
    with pytest.raises(RecordingError, match="finds no recordings of the part 'train'"):
        open_dataset("tonic.DVSGesture", tmp_path, "train")


def test_who_asks_gets_tonic_to_fetch(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: False)
    monkeypatch.setattr(
        tonic.datasets.NMNIST, "download", lambda self: fetched.append(trees.nmnist(tmp_path / "NMNIST"))
    )
    assert len(open_dataset("tonic.NMNIST", tmp_path, download=True)) == 20
    assert len(fetched) == 1


@pytest.mark.parametrize("name", list(REFUSED))
def test_sets_without_classes_are_refused_by_name(tmp_path, name):
    with pytest.raises(RecordingError, match="no classes; open its files themselves"):
        open_dataset(f"tonic.{name}", tmp_path)


def test_every_set_of_tonic_is_read_or_refused_by_name():
    assert set(tonic.datasets.__all__) == set(SETS) | set(REFUSED)
    assert {f"tonic.{name}" for name in SETS} < set(known_datasets())


def test_an_object_of_ones_own_is_a_data_set_too():
    class Own:
        sensor_size, classes, targets = (4, 3, 2), ["no", "yes"], [1, 0]

        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index:
                raise ValueError("broken")
            return np.array([(2, 1, 9, -1), (0, 2, 5, 1)], [("x", "i2"), ("y", "i2"), ("t", "f8"), ("p", "i1")]), 1

    data = from_tonic(Own())
    assert [sample.labels[0].label for sample in data] == ["yes", "no"]
    assert read(data[0]).tolist() == [(5, 0, 2, True), (9, 2, 1, False)]
    with pytest.raises(RecordingError, match="tonic cannot read it: ValueError: broken"):
        read(data[1])


def test_targets_without_names_are_called_by_their_numbers_and_a_sensor_has_to_be_known():
    class Own:
        targets, sensor_size = [4, 2], None

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.zeros(1, EVENT_DTYPE), self.targets[index]

    with pytest.raises(RecordingError, match="Own does not say the size of its sensor"):
        from_tonic(Own())
    data = from_tonic(Own(), sensor=SensorSize(2, 2))
    assert data.labels == ("0", "1", "2", "3", "4")
    assert [sample.labels[0].label for sample in data] == ["4", "2"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ((np.nan, 0, 0, 1), "t runs from nan"),
        ((1e30, 0, 0, 1), "t runs from 1e.30"),
        ((1, -1, 0, 1), "x runs from -1.0 to -1.0, want 0 to 65535"),
        ((1, 0, 70_000, 1), "y runs from 70000"),
        ((1, 0, 0, 2), "polarities run from 2.0 to 2.0"),
    ],
)
def test_values_that_no_event_has_are_refused(row, sentence):
    array = np.array([row], [(name, "f8") for name in "txyp"])
    with pytest.raises(RecordingError, match=sentence):
        as_event_array(array, "made up")


def test_an_array_without_times_is_refused():
    with pytest.raises(RecordingError, match="want fields t, x, y, p"):
        as_event_array(np.zeros(3), "made up")
