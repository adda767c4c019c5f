"""CIFAR-10's binary version: planes of colour after a label byte; anything else is refused by name."""

import numpy as np
import pytest

from dvs_run.pipeline.cifar import read_cifar10
from dvs_run.pipeline.errors import RecordingError


def write_batches(folder, per_batch=3):
    """Random records in the six files; returns {file name: records, uint8 (n, 3073)}."""
    random, made = np.random.default_rng(4), {}
    for name in [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]:
        made[name] = random.integers(0, 256, (per_batch, 3073)).astype(np.uint8)
        made[name][:, 0] %= 10
        (folder / name).write_bytes(made[name].tobytes())
    return made


def test_batches_are_read_in_their_order_as_planes_of_colour(tmp_path):
    made = write_batches(tmp_path)
    images, labels = read_cifar10(tmp_path, "train")
    assert images.shape == (15, 3, 32, 32)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    record = made["data_batch_2.bin"][1]
    assert labels[4] == record[0]
    assert images[4, 2, 5, 7] == record[1 + 2 * 1024 + 5 * 32 + 7]  # blue, row 5, column 7
    images, labels = read_cifar10(tmp_path, "test")
    assert np.array_equal(labels, made["test_batch.bin"][:, 0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "data_batch_3.bin cannot be read: No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 9,218 bytes, want a multiple of 3073"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, want a multiple of 3073"),
        (lambda path: path.write_bytes(bytes([10]) + path.read_bytes()[1:]), "holds the label 10, want 0 to 9"),
    ],
)
def test_a_damaged_batch_is_refused_by_name(tmp_path, damage, message):
    write_batches(tmp_path)
    damage(tmp_path / "data_batch_3.bin")
    with pytest.raises(RecordingError, match=message):
        read_cifar10(tmp_path, "train")
