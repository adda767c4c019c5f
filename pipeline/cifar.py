"""CIFAR-10 in its "binary version": a folder with data_batch_1.bin ... data_batch_5.bin and test_batch.bin.

A record is one byte label and 3,072 bytes of pixels: the red, the green and the blue plane of 32 x 32, row by row.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from .errors import RecordingError, counted

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE
BATCHES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}


def read_cifar10(folder: str | Path, part: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """All images of a part, uint8 (n, 3, 32, 32), and their labels, int64 (n,).

    Raises RecordingError for a file that is missing, cut short, or labelled beyond the ten classes.
    """
    batches = [_read_batch(Path(folder) / name) for name in BATCHES[part]]
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0].astype(np.int64)


def _read_batch(path: Path) -> np.ndarray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be read: {error.strerror}; want the folder of CIFAR-10's binary version, with "
            "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
            path,
        ) from error
    if not data or len(data) % RECORD_BYTES:
        raise RecordingError(
            f"{path} has {counted(len(data), 'byte')}, want a multiple of {RECORD_BYTES} (a label and 32x32 pixels in "
            "three colours); is it CIFAR-10's binary version, downloaded whole?",
            path,
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    if records[:, 0].max() >= len(CIFAR10_NAMES):
        raise RecordingError(
            f"{path} holds the label {records[:, 0].max()}, want 0 to {len(CIFAR10_NAMES) - 1}; CIFAR-100 has two "
            "label bytes a record and is not read",
            path,
        )
    return records
