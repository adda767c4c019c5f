"""The epochs of a training on frame images: SGD with Nesterov momentum, one learning-rate cycle, resume.

Every epoch draws from generators seeded by (seed, epoch), so that a training that was interrupted and resumed ends with
the same weights as one that was not. The last epoch is the result: none is picked by its validation accuracy.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from .binary import clip_shadow_weights
from .checkpoint import Stateful, load_resume, save_resume
from .image_augment import Augment, augment


class Training(BaseModel):
    """How a train config on images trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, Field(ge=1)] = 10
    batch: Annotated[int, Field(ge=1)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 0.1  # peak of the one-cycle schedule, SGD with Nesterov momentum 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 1
    augment: Augment = Augment()


class ImageTrainer:
    """One training run. `images` are uint8 or float (n, channel, height, width), `targets` int64 (n,)."""

    def __init__(self, model: nn.Module, training: Training, resume_path: Path, config: str) -> None:
        self.model = model.to(memory_format=torch.channels_last)  # a quarter faster on CPUs
        self.training, self.resume_path, self.config = training, resume_path, config
        self.optimizer = torch.optim.SGD(
            model.parameters(), training.learning_rate, 0.9, weight_decay=training.weight_decay, nesterov=True
        )
        self.epoch = 0  # epochs that are finished

    def run(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        validation: tuple[torch.Tensor, torch.Tensor],
        say: Callable[[str], None],
        resume: bool = False,
    ) -> None:
        """All epochs that are left. Saves after each one, and with `resume` goes on from what was saved."""
        steps = math.ceil(len(images) / self.training.batch)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, self.training.learning_rate, epochs=self.training.epochs, steps_per_epoch=steps
        )
        if resume and self.resume_path.exists():
            self._load()
            say(f"resumed after epoch {self.epoch}")
        while self.epoch < self.training.epochs:
            began = time.monotonic()
            loss = self._train_epoch(images, targets)
            right = (predict(self.model, validation[0]) == validation[1]).float().mean().item()
            self.epoch += 1
            self._save()
            say(
                f"epoch {self.epoch}/{self.training.epochs}  loss {loss:.4f}  validation {right:.2%}  "
                f"{time.monotonic() - began:.0f} s"
            )

    def _train_epoch(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        training, total = self.training, 0.0
        seeds = np.random.default_rng([training.seed, self.epoch]).integers(1 << 62, size=2)
        draw = torch.Generator().manual_seed(int(seeds[0]))
        torch.manual_seed(int(seeds[1]))  # dropout
        self.model.train()
        for chosen in torch.randperm(len(images), generator=draw).split(training.batch):
            inputs = augment(as_input(images[chosen]), training.augment, draw)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(
                self.model(inputs).flatten(1), targets[chosen], label_smoothing=training.label_smoothing
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            clip_shadow_weights(self.model)
            self.schedule.step()
            total += loss.item() * len(chosen)
        return total / len(images)

    def _save(self) -> None:
        save_resume(self.resume_path, self.config, self._parts(), epoch=self.epoch)

    def _load(self) -> None:
        self.epoch = load_resume(self.resume_path, self.config, self._parts())["epoch"]

    def _parts(self) -> dict[str, Stateful]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}


def as_input(images: torch.Tensor) -> torch.Tensor:
    """Pixels in 0..1, float32: bytes are divided by 255, floats are what they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def predict(model: nn.Module, images: torch.Tensor | np.ndarray, batch: int = 500) -> torch.Tensor:
    """The winning class of each image, int64 (n,), with the model in eval mode."""
    model.eval()
    with torch.inference_mode():
        parts = torch.as_tensor(images).split(batch)
        return torch.cat([model(as_input(part)).flatten(1).argmax(1) for part in parts])
