"""Images: IDX files are read or refused, a small CNN learns, and the commands carry it to spikes."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from dvs_run.nodes.commands import main
from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError, RecordingError
from dvs_run.pipeline.evaluate import judge_images
from dvs_run.pipeline.idx import labels_beside, read_idx, read_images, read_labels
from dvs_run.pipeline.interval import wilson
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.checkpoint import load_checkpoint, save_checkpoint
from dvs_run.pipeline.train.config import TrainConfigError
from dvs_run.pipeline.train.images import Augment, augment, predict, train_images


def write_idx(path, array, code=0x08):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def bars(n, seed):
    """Images of one bright bar, upright (0), lying (1) or both (2), uint8 (n, 12, 12)."""
    random = np.random.default_rng(seed)
    images, labels = random.integers(0, 40, (n, 12, 12)).astype(np.uint8), random.integers(0, 3, n).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        if label != 1:
            image[:, random.integers(1, 10)] = 250
        if label != 0:
            image[random.integers(1, 10)] = 250
    return images, labels


CONFIG = {
    "model": {
        "input": [1, 12, 12],
        "layers": [{"conv": 8, "batch_norm": True}, {"pool": 2}, {"conv": 8}, {"pool": "global"}, {"linear": 3}],
    },
    "training": {"epochs": 3, "batch": 32, "learning_rate": 0.1, "seed": 1, "augment": {"shift_pixels": 1}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with training and test images, and the checkpoint of a small CNN."""
    folder = tmp_path_factory.mktemp("bars")
    for name, n in (("train", 900), ("t10k", 120)):
        images, labels = bars(n, seed=n)
        write_idx(folder / f"{name}-images-idx3-ubyte", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    train_images(config(folder), lambda line: None)
    return folder


@pytest.fixture(scope="module")
def network(trained):
    """The checkpoint's CNN as a spiking network."""
    assert main(["convert", str(trained / "bars.pt"), "--out", str(trained / "net.npz"), "--no-verdict"]) == 0
    return Network.load(trained / "net.npz")


def config(folder, **data):
    data = {
        "kind": "images",
        "images": str(folder / "train-images-idx3-ubyte"),
        "labels": str(folder / "train-labels-idx1-ubyte"),
        "names": ["upright", "lying", "both"],
        "validation": 100,
        "calibration": 64,
        **data,
    }
    return {**CONFIG, "data": data, "out": str(folder / "bars.pt")}


def test_a_cnn_learns_and_its_checkpoint_says_how_well(trained):
    model, _, extra = load_checkpoint(trained / "bars.pt")
    images, targets = read_images(trained / "t10k-images-idx3-ubyte"), read_labels(trained / "t10k-labels-idx1-ubyte")
    right = (predict(model, torch.from_numpy(images)).numpy() == targets).mean()
    assert right > 0.9
    assert extra["labels"] == ["upright", "lying", "both"]
    assert extra["accuracy"]["n"] == 100
    assert extra["calibration"].shape == (64, 1, 12, 12)


def test_training_repeats_to_the_bit(trained, tmp_path):
    settings = {**config(trained), "out": str(tmp_path / "again.pt")}
    train_images(settings, lambda line: None)
    again, first = load_checkpoint(tmp_path / "again.pt")[0], load_checkpoint(trained / "bars.pt")[0]
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_every_mistake_of_a_train_config_is_named():
    wrong = {**CONFIG, "data": {"kind": "images", "images": "a", "labels": "b", "lables": 1}, "training": {"epochs": 0}}
    with pytest.raises(TrainConfigError) as caught:
        train_images(wrong)
    for place in ("data.lables", "training.epochs", "out"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"validation": 5000}, "of which 5000 are for validation"), ({"names": ["a", "b"]}, "data.names lists 2 classes")],
)
def test_data_that_does_not_fit_is_refused(trained, change, message):
    with pytest.raises(NetworkError, match=message):
        train_images(config(trained, **change), lambda line: None)


def test_a_model_with_another_number_of_outputs_is_refused(trained):
    settings = config(trained)
    settings["model"] = {"input": [1, 12, 12], "layers": [{"linear": 4}]}
    with pytest.raises(NetworkError, match="the model has 4 outputs, but the labels have 3 classes"):
        train_images(settings, lambda line: None)


def test_augmentation_moves_and_turns_within_its_limits():
    draw = torch.Generator().manual_seed(0)
    images = torch.zeros(64, 1, 21, 21)
    images[:, :, 10, 10] = 1.0
    assert augment(images, Augment(), draw) is images
    moved = augment(images, Augment(shift_pixels=3), draw)
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    centres = torch.stack([(moved * rows).sum((1, 2, 3)), (moved * columns).sum((1, 2, 3))]) - 10
    assert 2 < centres.abs().max() <= 3.001
    turned = augment(images, Augment(rotate_degrees=40, scale=0.2), draw)
    assert (turned.flatten(1).argmax(1) == 10 * 21 + 10).all()  # the centre stays


def test_idx_files_are_read_plain_and_gzipped(tmp_path):
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "x-images-idx3-ubyte", array)
    write_idx(tmp_path / "x-labels-idx1-ubyte", array[:, 0, 0])
    (tmp_path / "x.gz").write_bytes(gzip.compress((tmp_path / "x-images-idx3-ubyte").read_bytes()))
    assert np.array_equal(read_idx(tmp_path / "x.gz"), array)
    assert read_images(tmp_path / "x.gz") == pytest.approx(array[:, None] / 255)
    assert np.array_equal(read_labels(labels_beside(tmp_path / "x-images-idx3-ubyte")), [0, 12])
    write_idx(tmp_path / "wide", np.array([1.5, -2.0], ">f4"), 0x0D)
    assert read_idx(tmp_path / "wide").tolist() == [1.5, -2.0]


def test_what_is_no_idx_file_is_refused(tmp_path):
    write_idx(tmp_path / "good", np.zeros((4, 3, 3), np.uint8))
    whole = (tmp_path / "good").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(RecordingError):
            read_idx(tmp_path / "cut")
    (tmp_path / "long").write_bytes(whole + b"\0")
    with pytest.raises(RecordingError, match="has 53 bytes, but its header of shape .* promises 52"):
        read_idx(tmp_path / "long")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(RecordingError, match="cannot be read"):
        read_idx(tmp_path / "cut.gz")
    with pytest.raises(RecordingError, match="there is no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(RecordingError, match="want labels"):
        read_labels(tmp_path / "good")
    write_idx(tmp_path / "labels", np.zeros(5, np.uint8))
    with pytest.raises(RecordingError, match="want images"):
        read_images(tmp_path / "labels")
    with pytest.raises(RecordingError, match="holds 5 labels for 4 images"):
        read_labels(tmp_path / "labels", 4)
    with pytest.raises(RecordingError, match="not beside it"):
        labels_beside(tmp_path / "good")


def test_the_commands_convert_and_evaluate(trained, capsys):
    network, images = str(trained / "bars.npz"), str(trained / "t10k-images-idx3-ubyte")
    assert main(["convert", str(trained / "bars.pt"), "--out", network, "--percentile", "100", "--no-verdict"]) == 0
    assert "the spikes agree with the CNN on" in " ".join(capsys.readouterr().out.split())
    assert main(["evaluate", str(trained / "bars.pt"), "--images", images]) == 0
    assert "of 120 (95 % interval" in capsys.readouterr().out
    for encoding in ("poisson", "current"):
        out = str(trained / "figures.json")
        arguments = ["--images", images, "--encoding", encoding, "--timesteps", "64", "--out", out]
        assert main(["evaluate", network, *arguments]) == 0
        figures = json.loads((trained / "figures.json").read_text())
        assert figures["accuracy"] > 0.85
        assert figures["n"] == 120 == np.sum(figures["confusion"])
        assert list(figures["right_after_timesteps"]) == ["1", "2", "4", "8", "16", "24", "32", "48", "64"]


def test_the_same_checkpoint_gives_the_same_network_file(trained, capsys):
    for name in ("one.npz", "two.npz"):
        assert main(["convert", str(trained / "bars.pt"), "--out", str(trained / name), "--no-verdict"]) == 0
    assert (trained / "one.npz").read_bytes() == (trained / "two.npz").read_bytes()
    assert Network.load(trained / "one.npz").provenance["source"].startswith("bars.pt, sha256 ")


@pytest.mark.parametrize("suffix", ["npy", "npz", "idx"])
def test_calibration_inputs_may_come_from_a_file(trained, capsys, suffix):
    model, spec, extra = load_checkpoint(trained / "bars.pt")
    save_checkpoint(trained / "bare.pt", spec, model, {"labels": extra["labels"]})
    assert main(["convert", str(trained / "bare.pt"), "--out", str(trained / "x.npz")]) == 1
    assert "carries no calibration inputs; give some with --calibration" in capsys.readouterr().err
    path = trained / f"calibration.{suffix}"
    if suffix == "idx":
        path = trained / "train-images-idx3-ubyte"
    elif suffix == "npy":
        np.save(path, extra["calibration"].float().numpy())
    else:
        np.savez(path, inputs=extra["calibration"].float().numpy())
    arguments = ["--out", str(trained / "x.npz"), "--calibration", str(path), "--no-verdict"]
    assert main(["convert", str(trained / "bare.pt"), *arguments]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "NONE.pt", "--out", "x.npz"], "NONE.pt: there is no such file"),
        (["convert", "bars.pt", "--out", "x.npz", "--readout", "vote"], "readout is 'vote'"),
        (["convert", "bars.pt", "--out", "x.npz", "--calibration", "NONE"], "no calibration file NONE"),
        (
            ["convert", "bars.pt", "--out", "x.npz", "--calibration", "bars.pt"],
            "bars.pt holds no arrays; want `inputs`",
        ),
        (["convert", "bars.pt", "--out", "bars.pt/x.npz"], "the folder of bars.pt/x.npz cannot be made"),
        (["evaluate", "bars.pt", "--images", "x", "--out", "none/x.json"], "none/x.json cannot be written"),
        (["evaluate", "bars.pt"], "either --recordings FOLDER or --images FILE"),
        (["evaluate", "NONE.npz", "--images", "t10k-images-idx3-ubyte"], "there is no file NONE.npz"),
        (["evaluate", "train-labels-idx1-ubyte", "--images", "t10k-images-idx3-ubyte"], "neither a network"),
        (["evaluate", "bars.pt", "--images", "t10k-images-idx3-ubyte", "--encoding", "ttfs"], "encoding is 'ttfs'"),
        (["evaluate", "bars.pt", "--images", "NONE"], "NONE: there is no such file"),
        (["evaluate", "bars.pt", "--recordings", "."], "was not trained on recordings"),
    ],
)
def test_the_commands_answer_mistakes_with_a_sentence(trained, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(trained)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"dvs {arguments[0]}: ")
    assert any(part in error for part in message.split("|"))


def test_figures_that_cannot_be_written_are_printed_all_the_same(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    arguments = ["evaluate", "bars.pt", "--images", "t10k-images-idx3-ubyte", "--out", "/dev/full"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "accuracy" in said.out
    assert said.err == "dvs evaluate: /dev/full cannot be written: No space left on device\n"


def test_images_of_another_size_are_refused(network):
    engine = Engine(network)
    with pytest.raises(NetworkError, match=r"images of shape \(1, 1, 9, 9\) came to a network of input"):
        judge_images(engine, np.zeros((1, 1, 9, 9), np.float32), np.zeros(1, np.int64), CurrentEncoder(2))


def test_a_black_image_is_undecided_or_wrong_and_never_a_crash(network):
    engine = Engine(network)
    outcome = judge_images(engine, np.zeros((1, 1, 12, 12), np.float32), np.zeros(1, np.int64), PoissonEncoder(4))
    assert outcome.decisions[0] in (-1, 0, 1, 2)


def test_the_shipped_network_reads_the_shipped_digits():
    recordings = Path(__file__).parents[2] / "recordings"
    engine = Engine(Network.load(recordings / "networks/mnist.npz"))
    images = read_images(recordings / "digits/images-idx3-ubyte")
    targets = read_labels(recordings / "digits/labels-idx1-ubyte", len(images))
    for encoder in (PoissonEncoder(48), CurrentEncoder(48)):
        assert judge_images(engine, images, targets, encoder).right >= len(images) - 1


def test_the_interval_is_wilson_s():
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
