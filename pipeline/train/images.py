"""Train a CNN on frame images, and write its checkpoint.

The images stay in 0..1 (no mean is taken away), because a pixel becomes a firing rate or a current after conversion.
The last `data.validation` training images are kept apart: every choice is made on them, never on the test set.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..cifar import CIFAR10_NAMES, read_cifar10
from ..errors import NetworkError, counted
from ..idx import labels_beside, read_images, read_labels
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfigError, mistakes
from .image_augment import Augment, augment
from .image_loop import ImageTrainer, Training, as_input, predict
from .models import build_model
from .quantized import start_weights

__all__ = ["Augment", "ImageTraining", "augment", "predict", "train_images"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageData(_Strict):
    kind: Literal["images"]
    images: Path  # IDX file, plain or gzipped; or the folder of CIFAR-10's binary version
    labels: Path | None = None  # IDX file; None: beside the images, named as MNIST's. CIFAR-10 has its own
    names: list[str] | None = None  # name of each class; its number where absent
    validation: Annotated[int, Field(ge=1)] = 5_000  # the last so many training images are not trained on
    calibration: Annotated[int, Field(ge=1)] = 512  # training images that travel in the checkpoint


class ImageTraining(_Strict):
    """A train config with `data.kind: images`."""

    data: ImageData
    model: dict[str, Any]  # models.build_model
    training: Training = Training()
    start_from: Path | None = None  # checkpoint whose weights are the start
    out: Path  # the checkpoint


def train_images(config: Mapping[str, Any], say: Callable[[str], None] = print, resume: bool = False) -> Path:
    """Train as the config says; one line an epoch goes to `say`. Returns the checkpoint's path.

    `resume` goes on from the last finished epoch, if there is one. Seeded: the same config on the same machine with the
    same torch gives the same weights, resumed or not.
    """
    settings = _check(config)
    torch.set_num_threads(settings.training.threads)
    torch.manual_seed(settings.training.seed)
    images, targets, names = _load(settings.data)
    kept = settings.data.validation
    model = build_model(settings.model)
    outputs = model(as_input(images[:2])).shape[-1]  # in training mode a batch norm wants two
    if outputs != len(names):
        raise NetworkError(
            f"the model has {counted(outputs, 'output')}, but the labels have {counted(len(names), 'class', 'classes')}"
        )
    if settings.start_from is not None:
        start, _, _ = load_checkpoint(settings.start_from)
        start_weights(model, start, as_input(images[: settings.data.calibration]), str(settings.start_from))
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    resume_path = settings.out.with_name(settings.out.name + ".resume")
    trainer = ImageTrainer(model, settings.training, resume_path, settings.model_dump_json())
    trainer.run(images[:-kept], targets[:-kept], (images[-kept:], targets[-kept:]), say, resume)
    correct = int((predict(model, images[-kept:]) == targets[-kept:]).sum())
    save_checkpoint(
        settings.out,
        settings.model,
        model,
        {
            "labels": names,
            "timestep_us": None,
            "calibration": as_input(images[: settings.data.calibration]).half(),
            "accuracy": {"validation": correct / kept, "n": kept},
            "config": settings.model_dump(mode="json"),
            "torch": torch.__version__,
        },
    )
    say(f"{correct / kept:.2%} of {kept} validation images; written to {settings.out}")
    return settings.out


def _check(config: Mapping[str, Any]) -> ImageTraining:
    try:
        return ImageTraining.model_validate(dict(config))
    except ValidationError as error:
        raise TrainConfigError(mistakes(error)) from error


def _load(data: ImageData) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Images as they are stored (bytes where possible: a data set stays in memory), targets, names of the classes."""
    names = data.names
    if data.images.is_dir():
        images, targets = (torch.from_numpy(array) for array in read_cifar10(data.images, "train"))
        names = names or CIFAR10_NAMES
    else:
        images = torch.from_numpy(read_images(data.images))
        targets = torch.from_numpy(read_labels(data.labels or labels_beside(data.images), len(images)))
    if len(images) <= data.validation:
        raise NetworkError(
            f"{data.images} holds {counted(len(images), 'image')}, of which {data.validation} are for validation; "
            "lower data.validation"
        )
    classes = int(targets.max()) + 1
    names = names or [str(index) for index in range(classes)]
    if len(names) < classes:
        raise NetworkError(
            f"data.names lists {counted(len(names), 'class', 'classes')}, but the labels go up to {classes - 1}"
        )
    return images, targets, names
