"""Inputs to calibrate on: any container, the CNN's own scale, split once."""

import gzip
import struct

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert.calibration import (
    Scaling,
    make_inputs,
    parse_number,
    parse_numbers,
    read_inputs,
    split,
)
from dvs_run.pipeline.errors import ConversionError, DvsError, RecordingError

SHAPE = (3, 4, 6)


def pictures(n=12, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def classes(n=12, count=3):
    return np.arange(n) % count


def idx(array, path):
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def containers(folder):
    """The same images (n, 1, 4, 6), scaled to 0..1, and labels where a container holds both."""
    bytes_ = pictures(shape=(1, 4, 6))
    floats = bytes_.astype(np.float32) / np.float32(255)
    np.save(folder / "bytes.npy", bytes_)
    np.save(folder / "floats.npy", floats.astype(np.float64))
    np.save(folder / "flat.npy", floats[:, 0])
    np.savez(folder / "one.npz", anything=floats)
    np.savez_compressed(folder / "both.npz", images=bytes_, labels=classes())
    torch.save(torch.from_numpy(floats), folder / "tensor.pt")
    torch.save({"x": torch.from_numpy(bytes_), "y": torch.from_numpy(classes())}, folder / "both.pt")
    idx(bytes_[:, 0], folder / "train-images-idx3-ubyte")
    idx(classes(), folder / "train-labels-idx1-ubyte")
    idx(bytes_[:, 0], folder / "alone-idx3-ubyte.gz")
    return floats


LABELLED = ("both.npz", "both.pt", "train-images-idx3-ubyte")


@pytest.mark.parametrize(
    "name", ["bytes.npy", "floats.npy", "flat.npy", "one.npz", "tensor.pt", "alone-idx3-ubyte.gz", *LABELLED]
)
def test_every_container_gives_the_same_inputs(tmp_path, name):
    wanted = containers(tmp_path)
    inputs = read_inputs(tmp_path / name, (1, 4, 6))
    assert inputs.values.dtype == np.float32
    np.testing.assert_allclose(inputs.values, wanted, rtol=1e-6)
    assert (inputs.targets is not None) == (name in LABELLED)
    if name in LABELLED:
        assert np.array_equal(inputs.targets, classes())
        assert read_inputs(tmp_path / name, (1, 4, 6), labels="abc").labels == ("a", "b", "c")
    with_file = read_inputs(tmp_path / name, (1, 4, 6), targets=tmp_path / "train-labels-idx1-ubyte")
    assert np.array_equal(with_file.targets, classes())


def test_the_scale_is_the_one_that_the_cnn_was_trained_on(tmp_path):
    np.save(tmp_path / "x.npy", pictures())
    raw = pictures().astype(np.float32)
    how = Scaling(parse_number("1/128"), parse_numbers("0.5,0.25,1"), parse_numbers("2"))
    found = read_inputs(tmp_path / "x.npy", SHAPE, scaling=how).values
    wanted = (raw / 128 - np.array([0.5, 0.25, 1]).reshape(1, 3, 1, 1)) / 2
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert np.array_equal(read_inputs(tmp_path / "x.npy", SHAPE, scaling=Scaling(scale=1)).values, raw)
    np.save(tmp_path / "f.npy", raw)
    assert "--scale 1/255" in read_inputs(tmp_path / "f.npy", SHAPE).notes[0]
    assert read_inputs(tmp_path / "x.npy", SHAPE).notes == ("bytes were divided by 255",)


@pytest.mark.parametrize("text", ["", "1/0", "a", "1/2/3", "0.1.2"])
def test_what_is_no_number_is_said_to_be_none(text):
    with pytest.raises(ConversionError, match="is no number; want one such as 0.5 or 1/255"):
        parse_numbers(text)


@pytest.mark.parametrize("how", [Scaling(mean=(1.0, 2.0)), Scaling(std=(0.0,)), Scaling(std=(1.0, 1.0, 1.0, 1.0))])
def test_a_mean_for_other_channels_or_a_std_of_zero_is_refused(tmp_path, how):
    np.save(tmp_path / "x.npy", pictures())
    with pytest.raises(ConversionError, match="want one number or 3, one per channel"):
        read_inputs(tmp_path / "x.npy", SHAPE, scaling=how)


def test_channels_that_come_last_are_turned(tmp_path):
    np.save(tmp_path / "x.npy", pictures().transpose(0, 2, 3, 1))
    inputs = read_inputs(tmp_path / "x.npy", SHAPE)
    np.testing.assert_allclose(inputs.values, pictures() / np.float32(255), rtol=1e-6)
    assert "(n, height, width, channel)" in inputs.notes[0]


def test_a_folder_of_images_names_its_classes(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    raw = pictures(6).transpose(0, 2, 3, 1)
    for index, label in enumerate(("dog", "cat", "cat", "dog", "bird", "cat")):
        (tmp_path / label).mkdir(exist_ok=True)
        image.fromarray(raw[index]).save(tmp_path / label / f"{index}.png")
    inputs = read_inputs(tmp_path, SHAPE)
    assert inputs.labels == ("bird", "cat", "dog")
    assert inputs.targets.tolist() == [0, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(inputs.values[0] * 255, raw[4].transpose(2, 0, 1), rtol=1e-6)
    named = read_inputs(tmp_path, SHAPE, labels=("cat", "cow", "dog", "bird"))
    assert named.targets.tolist() == [3, 0, 0, 0, 2, 2]
    assert read_inputs(tmp_path / "cat", SHAPE).targets is None
    assert read_inputs(tmp_path, (1, 4, 6)).values.shape == (6, 1, 4, 6)
    with pytest.raises(ConversionError, match="bird is no class of the model, which knows cat, dog"):
        read_inputs(tmp_path, SHAPE, labels=("cat", "dog"))
    with pytest.raises(ConversionError, match="has 6x4 pixels, want 5x5; --fit scales it"):
        read_inputs(tmp_path, (3, 5, 5))
    assert read_inputs(tmp_path, (3, 5, 5), fit=True).values.shape == (6, 3, 5, 5)
    with pytest.raises(ConversionError, match="the CNN takes 2 channels"):
        read_inputs(tmp_path, (2, 4, 6))
    (tmp_path / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    with pytest.raises(ConversionError, match="broken.png cannot be read as an image"):
        read_inputs(tmp_path, SHAPE)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConversionError, match="holds no images"):
        read_inputs(tmp_path / "none", SHAPE)


def test_a_limit_draws_inputs_with_their_labels_by_seed(tmp_path):
    np.savez(tmp_path / "x.npz", images=pictures(60), labels=np.arange(60))
    everything = read_inputs(tmp_path / "x.npz", SHAPE)
    drawn = read_inputs(tmp_path / "x.npz", SHAPE, limit=20, seed=3)
    assert len(drawn) == 20
    assert np.array_equal(drawn.values, everything.values[drawn.targets])
    assert np.array_equal(read_inputs(tmp_path / "x.npz", SHAPE, limit=20, seed=3).targets, drawn.targets)
    assert not np.array_equal(read_inputs(tmp_path / "x.npz", SHAPE, limit=20, seed=4).targets, drawn.targets)
    with pytest.raises(ConversionError, match="the limit is 0"):
        read_inputs(tmp_path / "x.npz", SHAPE, limit=0)


BAD = {  # what a .npz holds, what the message must say
    "another shape": ({"x": np.ones((5, 3, 6, 4))}, r"holds inputs of shape \(5, 3, 6, 4\), want \(n, 3, 4, 6\)"),
    "a single number": ({"x": np.float32(1)}, r"shape \(1,\), want"),
    "no inputs": ({"x": np.ones((0, *SHAPE))}, "holds no inputs; want a few hundred"),
    "complex numbers": ({"x": np.ones((2, *SHAPE), complex)}, "holds complex128, want numbers"),
    "not finite": ({"x": np.where(np.arange(72) == 7, np.nan, 1.0).reshape(1, *SHAPE)}, "1 values are infinite"),
    "zeros": ({"x": np.zeros((5, *SHAPE))}, "all values are 0, which says nothing about any layer"),
    "too few labels": ({"x": pictures(), "y": np.arange(3)}, "holds 12 inputs, but 3 labels came along"),
    "labels that are no numbers": ({"x": pictures(), "y": np.linspace(0, 1, 12)}, "are float64, want whole numbers"),
    "labels beyond the classes": (
        {"x": pictures(), "y": np.arange(12)},
        r"lie in 0..11, want 0 to 4 \(the model has 5",
    ),
    "negative labels": ({"x": pictures(), "y": np.arange(12) - 1}, "lie in -1..10"),
    "two arrays": ({"a": pictures(), "b": pictures()}, "holds a, b; want `inputs`"),
    "objects": ({"x": np.array([object()])}, "cannot be read as arrays of numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_inputs_that_cannot_be_calibrated_on_are_refused(tmp_path, case):
    arrays, message = BAD[case]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ConversionError, match=message):
        read_inputs(tmp_path / "x.npz", SHAPE, labels="abcde")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY", b"PK\x03\x04", b"\x1f\x8b\x08", b"\0\0\x08\x03\0"])
def test_a_file_of_another_kind_or_cut_short_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(
        DvsError, match=r"x (cannot be read|holds no inputs|is a damaged|is no torch|ends within|is not)"
    ):
        read_inputs(tmp_path / "x", SHAPE)
    with pytest.raises(RecordingError, match="there is no such file"):
        read_inputs(tmp_path / "none", SHAPE)


def test_a_test_set_is_noticed(tmp_path):
    np.save(tmp_path / "cifar-test.npy", pictures())
    assert "looks like a test set" in read_inputs(tmp_path / "cifar-test.npy", SHAPE).notes[-1]


def test_what_a_checkpoint_carries_is_taken_as_it_is():
    inputs = make_inputs(torch.rand(5, *SHAPE).half(), SHAPE, [0, 1, 0, 1, 0], ["a", "b"])
    assert (inputs.values.dtype, len(inputs), inputs.labels) == (np.float32, 5, ("a", "b"))
    assert make_inputs(pictures(), SHAPE).values.max() > 100
    with pytest.raises(ConversionError, match="calibration: 5 inputs, but 2 labels"):
        make_inputs(torch.rand(5, *SHAPE), SHAPE, [0, 1])


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_split_is_disjoint_and_keeps_the_shares_of_the_classes(share):
    targets = np.repeat([0, 1, 2], [40, 20, 4])
    inputs = make_inputs(np.random.default_rng(0).random((64, *SHAPE)), SHAPE, targets)
    calibration, validation = split(inputs, share, seed=1)
    assert np.bincount(validation.targets).tolist() == [40 * share, 20 * share, 4 * share]
    assert len(calibration) + len(validation) == 64
    assert not {image.tobytes() for image in calibration.values} & {image.tobytes() for image in validation.values}
    again, _ = split(inputs, share, seed=1)
    assert np.array_equal(again.values, calibration.values)
    assert not np.array_equal(split(inputs, share, seed=2)[0].values, calibration.values)


def test_equal_images_stay_on_one_side_of_a_split():
    images = np.random.default_rng(0).random((10, *SHAPE))
    inputs = make_inputs(np.concatenate([images, images]), SHAPE)
    assert "10 of 20 inputs are copies" in inputs.notes[0]
    calibration, validation = split(inputs)
    assert len(calibration) == len(validation) == 10
    assert not set(calibration.groups) & set(validation.groups)


def test_few_inputs_are_split_as_far_as_they_go():
    one_each = make_inputs(np.random.default_rng(0).random((3, *SHAPE)), SHAPE, [0, 1, 2])
    calibration, validation = split(one_each, 0.3)
    assert (len(calibration), len(validation)) == (2, 1)
    with pytest.raises(ConversionError, match="1 input cannot be split"):
        split(one_each.subset(np.array([0])))
    with pytest.raises(ConversionError, match="share is 1"):
        split(one_each, 1)
