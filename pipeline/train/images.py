"""Train a CNN on frame images, and write its checkpoint.

The images stay in 0..1 (no mean is taken away), because a pixel becomes a firing rate or a current after conversion.
The last `data.validation` training images are kept apart: every choice is made on them, never on the test set.
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.nn import functional

from ..errors import NetworkError, counted
from ..idx import read_images, read_labels
from .checkpoint import save_checkpoint
from .config import TrainConfigError, mistakes
from .models import build_model


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageData(_Strict):
    kind: Literal["images"]
    images: Path  # IDX file, plain or gzipped
    labels: Path  # IDX file
    names: list[str] | None = None  # name of each class; its number where absent
    validation: Annotated[int, Field(ge=1)] = 5_000  # the last so many images of the file are not trained on
    calibration: Annotated[int, Field(ge=1)] = 512  # training images that travel in the checkpoint


class Augment(_Strict):
    shift_pixels: Annotated[float, Field(ge=0)] = 0.0
    rotate_degrees: Annotated[float, Field(ge=0)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0  # 0.1: between 0.9 and 1.1 times as large


class Training(_Strict):
    epochs: Annotated[int, Field(ge=1)] = 10
    batch: Annotated[int, Field(ge=1)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 0.1  # peak of the one-cycle schedule, SGD with Nesterov momentum 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 1
    augment: Augment = Augment()


class ImageTraining(_Strict):
    """A train config with `data.kind: images`."""

    data: ImageData
    model: dict[str, Any]  # models.build_model
    training: Training = Training()
    out: Path  # the checkpoint


def train_images(config: Mapping[str, Any], say: Callable[[str], None] = print) -> Path:
    """Train as the config says; one line an epoch goes to `say`. Returns the checkpoint's path.

    Seeded: the same config on the same machine with the same torch gives the same weights.
    """
    settings = _check(config)
    torch.set_num_threads(settings.training.threads)
    torch.manual_seed(settings.training.seed)
    images, targets, names = _load(settings.data)
    kept = settings.data.validation
    model = build_model(settings.model)
    outputs = model(images[:2]).shape[-1]  # in training mode a batch norm wants two
    if outputs != len(names):
        raise NetworkError(
            f"the model has {counted(outputs, 'output')}, but the labels have {counted(len(names), 'class', 'classes')}"
        )
    _fit(model, images[:-kept], targets[:-kept], images[-kept:], targets[-kept:], settings.training, say)
    correct = int((predict(model, images[-kept:]) == targets[-kept:]).sum())
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        settings.out,
        settings.model,
        model,
        {
            "labels": names,
            "timestep_us": None,
            "calibration": images[: settings.data.calibration].half(),
            "accuracy": {"validation": correct / kept, "n": kept},
            "config": settings.model_dump(mode="json"),
            "torch": torch.__version__,
        },
    )
    say(f"{correct / kept:.2%} of {kept} validation images; written to {settings.out}")
    return settings.out


def predict(model: nn.Module, images: torch.Tensor | np.ndarray, batch: int = 500) -> torch.Tensor:
    """The winning class of each image, int64 (n,), with the model in eval mode."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part).flatten(1).argmax(1) for part in torch.as_tensor(images).split(batch)])


def _check(config: Mapping[str, Any]) -> ImageTraining:
    try:
        return ImageTraining.model_validate(dict(config))
    except ValidationError as error:
        raise TrainConfigError(mistakes(error)) from error


def _load(data: ImageData) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    images = torch.from_numpy(read_images(data.images))
    targets = torch.from_numpy(read_labels(data.labels, len(images)))
    if len(images) <= data.validation:
        raise NetworkError(
            f"{data.images} holds {counted(len(images), 'image')}, of which {data.validation} are for validation; "
            "lower data.validation"
        )
    classes = int(targets.max()) + 1
    names = data.names or [str(index) for index in range(classes)]
    if len(names) < classes:
        raise NetworkError(
            f"data.names lists {counted(len(names), 'class', 'classes')}, but the labels go up to {classes - 1}"
        )
    return images, targets, names


def _fit(
    model: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    validation_images: torch.Tensor,
    validation_targets: torch.Tensor,
    training: Training,
    say: Callable[[str], None],
) -> None:
    draw = torch.Generator().manual_seed(training.seed)
    optimizer = torch.optim.SGD(
        model.parameters(), training.learning_rate, 0.9, weight_decay=training.weight_decay, nesterov=True
    )
    steps = math.ceil(len(images) / training.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, epochs=training.epochs, steps_per_epoch=steps
    )
    for epoch in range(training.epochs):
        began, total = time.monotonic(), 0.0
        model.train()
        for chosen in torch.randperm(len(images), generator=draw).split(training.batch):
            inputs = augment(images[chosen], training.augment, draw)
            loss = functional.cross_entropy(
                model(inputs).flatten(1), targets[chosen], label_smoothing=training.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        right = (predict(model, validation_images) == validation_targets).float().mean().item()
        say(
            f"epoch {epoch + 1}/{training.epochs}  loss {total / len(images):.4f}  validation {right:.2%}  "
            f"{time.monotonic() - began:.0f} s"
        )


def augment(images: torch.Tensor, how: Augment, draw: torch.Generator) -> torch.Tensor:
    """Each image shifted, turned and scaled by its own random amount, uniform within the limits of `how`."""
    if how == Augment():
        return images
    n, _, height, width = images.shape

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(n, generator=draw) * 2 - 1) * limit

    angle, size = uniform(math.radians(how.rotate_degrees)), 1 + uniform(how.scale)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos() / size
    matrix[:, 1, 0] = angle.sin() / size
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, 0, 2] = uniform(how.shift_pixels) * 2 / width
    matrix[:, 1, 2] = uniform(how.shift_pixels) * 2 / height
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
