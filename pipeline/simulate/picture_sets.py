"""Pictures with labels, one at a time, to be moved before the simulated camera: IDX files, CIFAR-10, image folders."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..cifar import CIFAR10_NAMES, read_cifar10
from ..errors import RecordingError
from ..idx import labels_beside, read_idx, read_labels
from .film import PICTURES, pictures_in, read_grey

Part = Literal["train", "test"]


@dataclass(frozen=True)
class PictureSet:
    """So many pictures; each is read when it is asked for, where they are files of their own."""

    count: int
    picture: Callable[[int], np.ndarray]  # number -> 0..255, (height, width) or (height, width, 3)
    label: Callable[[int], str | None]  # None: it has none

    def __len__(self) -> int:
        return self.count


def open_pictures(path: str | Path, part: Part = "test", labels: str | Path | None = None) -> PictureSet:
    """An IDX file (labels beside it, or in the file `labels`), the folder of CIFAR-10's binary version, of which `part`
    is read, or a folder of images: FOLDER/LABEL/IMAGE, or FOLDER/IMAGE without labels. RecordingError for all else.
    """
    path = Path(path)
    if not path.is_dir():
        return _idx(path, labels)
    if any(path.glob("*_batch*.bin")):
        images, targets = read_cifar10(path, part)
        return PictureSet(len(images), lambda n: images[n].transpose(1, 2, 0), lambda n: CIFAR10_NAMES[targets[n]])
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    files = [(file, folder.name) for folder in folders for file in pictures_in(folder)]
    if files:
        return PictureSet(len(files), lambda n: read_grey(files[n][0]), lambda n: files[n][1])
    alone = pictures_in(path)
    if not alone:
        raise RecordingError(
            f"{path} holds no pictures ({', '.join(PICTURES[:4])}, ...); want FOLDER/LABEL/IMAGE, or CIFAR-10's binary "
            "version",
            path,
        )
    return PictureSet(len(alone), lambda n: read_grey(alone[n]), lambda n: None)


def _idx(path: Path, labels: str | Path | None) -> PictureSet:
    images = read_idx(path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise RecordingError(
            f"{path} holds {images.dtype} of shape {images.shape}, want images: bytes (n, height, width)", path
        )
    try:
        targets = read_labels(labels or labels_beside(path), len(images))
    except RecordingError:
        if labels is not None:
            raise
        return PictureSet(len(images), lambda n: images[n], lambda n: None)
    return PictureSet(len(images), lambda n: images[n], lambda n: str(targets[n]))
