"""Node `images`: frame images with their labels, from IDX files (MNIST's) or .npz arrays, one stream each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from ..pipeline.errors import RecordingError, counted
from ..pipeline.events import SensorSize
from ..pipeline.idx import labels_beside, read_images, read_labels
from ..pipeline.stream import Image, LabelSpan, StreamInfo
from .node import Row, Source

FOREVER_US = 2**62


@dataclass(frozen=True)
class ImagesConfig:
    path: Annotated[
        str, Field(min_length=1, description="an IDX file of images, or an .npz with `images` (and `labels`)")
    ]
    labels: Annotated[
        str | None, Field(description="an IDX file of labels; default: the one beside the images; none: no labels")
    ] = None
    first: Annotated[int, Field(ge=0, description="number of the first image")] = 0
    count: Annotated[int | None, Field(ge=1, description="how many images; default all")] = None
    shuffle_seed: Annotated[int | None, Field(ge=0, description="in an order drawn with this seed")] = None


class Images(Source):
    """For each image a StreamInfo with its label, then the image."""

    Config, emits, paths = ImagesConfig, Image, ("path", "labels")

    def check(self) -> list[str]:
        missing = [
            (key, path)
            for key, path in (("path", self.config.path), ("labels", self.config.labels))
            if path and Path(path).name != "none" and not Path(path).is_file()
        ]
        return [f"{key}: there is no file {path}; a relative path begins at the config file" for key, path in missing]

    def open(self) -> None:
        self._sent = 0
        self._images, self._labels = _read(self.config.path, self.config.labels)
        if self.config.first >= len(self._images):
            found = counted(len(self._images), "image")
            raise RecordingError(f"{self.config.path} has {found}, `first` is {self.config.first}; want a smaller one")

    def produce(self) -> Iterator[StreamInfo | Image]:
        first, name = self.config.first, Path(self.config.path).name
        stop = len(self._images) if self.config.count is None else min(len(self._images), first + self.config.count)
        numbers = np.arange(first, stop)
        if self.config.shuffle_seed is not None:
            numbers = np.random.default_rng(self.config.shuffle_seed).permutation(numbers)
        channels, height, width = self._images.shape[1:]
        for number in numbers.tolist():
            labels = () if self._labels is None else (LabelSpan(str(self._labels[number]), 0, FOREVER_US),)
            yield StreamInfo(f"{name}[{number}]", SensorSize(width, height), channels, labels)
            self._sent += 1
            yield Image(self._images[number])

    def report(self) -> list[Row]:
        return [("images", f"{self._sent:,} of {len(self._images):,}")]


def _read(path: str, labels: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images float32 (n, channel, height, width) in 0..1, and labels (n,) where there are any."""
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    images, own = _read_npz(path) if is_zip else (read_images(path), None)
    images.flags.writeable = False
    if labels is not None and Path(labels).name == "none":
        return images, None
    if labels is None and own is not None:
        return images, own
    try:
        beside = labels or labels_beside(path)
    except RecordingError:
        return images, None
    return images, read_labels(beside, len(images))


def _read_npz(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """An archive with `images` (bytes, or reals in 0..1; with or without a channel axis), and perhaps `labels`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            images = archive["images"]
            labels = archive["labels"] if "labels" in archive.files else None
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise RecordingError(f"{path} is no archive with `images`: {error}; save one with np.savez", path) from None
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
        raise RecordingError(
            f"{path}: images are {images.dtype}{images.shape}, want bytes or reals (n, channel, height, width)", path
        )
    images = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
    if labels is not None and labels.shape != images.shape[:1]:
        raise RecordingError(f"{path}: {labels.shape} labels for {len(images)} images", path)
    return images, labels
