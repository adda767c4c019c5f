"""Training on images: interrupted and resumed alike, started from other weights, mirrored and cropped pictures."""

import struct

import numpy as np
import pytest
import torch

from dvs_run.pipeline.errors import NetworkError, RecordingError
from dvs_run.pipeline.train.binary import shadow_weight
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.images import Augment, augment, predict, train_images

QUANTIZED = {"activation": "qcfs", "levels": 4}


def colours(folder, n=30):
    """A folder like CIFAR-10's: pictures whose class, 0, 1 or 2, is their brightest colour."""
    random = np.random.default_rng(6)
    for name in [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]:
        pixels = random.integers(0, 120, (n, 3, 32, 32))
        labels = random.integers(0, 3, n)
        pixels[np.arange(n), labels] += 100
        (folder / name).write_bytes(
            np.concatenate([labels[:, None], pixels.reshape(n, -1)], 1).astype(np.uint8).tobytes()
        )


def config(folder, name="colours.pt", epochs=4, start_from=None, **options):
    layers = [
        {"pool": 4},
        {"conv": 6, "stride": 2, "batch_norm": True, **options},
        {"dropout": 0.1},
        {"linear": 10},
    ]
    return {
        "data": {"kind": "images", "images": str(folder), "validation": 30, "calibration": 20},
        "model": {"input": [3, 32, 32], "layers": layers},
        "training": {
            "epochs": epochs,
            "batch": 20,
            "learning_rate": 0.2,
            "augment": {"flip": 0.5, "crop_pixels": 2},
        },
        "start_from": start_from,
        "out": str(folder / name),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar")
    colours(folder)
    train_images(config(folder), lambda line: None)
    return folder


def interrupted(after):
    """A `say` that stops the training like Ctrl-C after so many epochs."""

    def say(line):
        if line.startswith(f"epoch {after}/"):
            raise KeyboardInterrupt

    return say


def test_an_interrupted_training_resumes_to_the_same_weights(folder):
    wanted, _, extra = load_checkpoint(folder / "colours.pt")
    again = config(folder, "again.pt")
    with pytest.raises(KeyboardInterrupt):
        train_images(again, interrupted(2))
    said = []
    train_images(again, said.append, resume=True)
    assert said[0] == "resumed after epoch 2"
    resumed, _, _ = load_checkpoint(folder / "again.pt")
    for name, value in wanted.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert extra["accuracy"]["n"] == 30
    assert extra["labels"][9] == "truck"


def test_resuming_under_another_config_is_refused(folder):
    with pytest.raises(NetworkError, match="left by another config; remove it, or train without --resume"):
        train_images(config(folder, epochs=5), lambda line: None, resume=True)


@pytest.mark.parametrize("options", [QUANTIZED, {"binary": "xnor"}, {"activation": "sign", "binary": "connect"}])
def test_a_cnn_of_few_bits_starts_from_real_weights_and_learns(folder, options):
    settings = config(folder, "few.pt", epochs=6, start_from=str(folder / "colours.pt"), **options)
    train_images(settings, lambda line: None)
    model, _, extra = load_checkpoint(folder / "few.pt")
    assert extra["accuracy"]["validation"] > 0.8
    if "binary" in options:
        assert len(torch.unique(model.conv1.weight[0].abs())) == 1
        assert shadow_weight(model.conv1).abs().max() <= 1
    else:
        assert len(torch.unique(model[:4](torch.rand(50, 3, 32, 32)))) <= 5


def test_weights_of_another_cnn_are_refused(folder):
    settings = config(folder, "other.pt", start_from=str(folder / "colours.pt"))
    settings["model"]["layers"][1]["conv"] = 7
    with pytest.raises(NetworkError, match="start_from: .*colours.pt does not fit this model"):
        train_images(settings, lambda line: None)


def test_labels_may_lie_beside_their_images(tmp_path):
    images = np.zeros((4, 5, 5), np.uint8)
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape)
    (tmp_path / "a-images-idx3-ubyte").write_bytes(header + images.tobytes())
    data = {"kind": "images", "images": str(tmp_path / "a-images-idx3-ubyte"), "validation": 1}
    settings = {"data": data, "model": {"input": [1, 5, 5], "layers": [{"linear": 2}]}, "out": str(tmp_path / "a.pt")}
    with pytest.raises(RecordingError, match="looked for a-labels-idx1-ubyte"):
        train_images(settings)
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 4) + bytes([0, 1, 0, 1]))
    assert train_images(settings, lambda line: None).exists()


def test_mirroring_turns_left_and_right_and_nothing_else():
    images, draw = torch.rand(200, 1, 3, 4), torch.Generator().manual_seed(0)
    mirrored = augment(images, Augment(flip=0.25), draw)
    turned = [torch.equal(a, b.flip(2)) for a, b in zip(mirrored, images, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(mirrored, images, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert 30 < sum(turned) < 70


def test_cropping_moves_by_whole_pixels_within_its_limit():
    images = torch.zeros(300, 1, 9, 9)
    images[:, :, 4, 4] = 1
    moved = augment(images, Augment(crop_pixels=2), torch.Generator().manual_seed(0))
    places = moved.flatten(1).argmax(1)
    assert (moved.flatten(1).sum(1) == 1).all()
    assert set((places // 9).tolist()) == set((places % 9).tolist()) == {2, 3, 4, 5, 6}
    assert len(torch.unique(places)) == 25  # rows and columns are drawn apart


def test_bytes_and_floats_are_judged_alike(folder):
    model, _, _ = load_checkpoint(folder / "colours.pt")
    pixels = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(predict(model, pixels), predict(model, pixels.float() / 255))
