"""Train a CNN on binned slices of events: random augmented windows, validation by recording, checkpoints, resume.

Every epoch draws from generators seeded by (seed, epoch), so that a training that was interrupted and resumed ends with
the same weights as one that was not. Two files are kept: `out`, the best epoch on validation, and `out` + `.resume`.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..errors import NetworkError, counted
from .binary import clip_shadow_weights
from .checkpoint import Stateful, load_checkpoint, load_resume, save_checkpoint, save_resume
from .config import EventTraining, TrainConfigError, check
from .evaluate import Accuracy, accuracy, pool_while_counting, recording_scores
from .models import build_model
from .quantized import start_weights
from .sources import load_sets
from .spiking import fold_batch_norm, measure_thresholds, spiking_logits
from .windows import RecordingSet, random_batch

CLIP_NORM = 5.0  # a rare window of noise must not throw the weights far away


def train_events(
    config: Mapping[str, Any], resume: bool = False, say: Callable[[str], None] = print, max_epochs: int | None = None
) -> Path:
    """Train as the config says; one line an epoch goes to `say`. Returns the checkpoint's path.

    `resume` goes on from the last finished epoch, if there is one. `max_epochs` ends the run early, to be resumed.
    Raises TrainConfigError for a wrong config, NetworkError where the model does not fit the data.
    """
    settings = check(config)
    torch.set_num_threads(settings.training.threads)
    train_set, validation_set = load_sets(settings.data, say)
    torch.manual_seed(settings.training.seed)
    model = _start_model(settings, train_set)
    return Trainer(settings, model, train_set, validation_set, say).run(resume, max_epochs)


class Trainer:
    """One training run: the model, its optimizer, and what has been reached."""

    def __init__(
        self,
        settings: EventTraining,
        model: nn.Sequential,
        train_set: RecordingSet,
        validation_set: RecordingSet,
        say: Callable[[str], None],
    ) -> None:
        self.settings, self.model, self.say = settings, model, say
        self.train_set, self.validation_set = train_set, validation_set
        self.calibration = torch.from_numpy(_calibration(settings, train_set))
        self.spec: Mapping[str, Any] = settings.model
        self.thresholds: dict[str, float] | None = None  # by ReLU, where training is spiking
        if settings.spiking is not None:
            self.model, self.spec = fold_batch_norm(model, settings.model)
            self.thresholds = measure_thresholds(self.model, self.calibration, settings.spiking.percentile)
        self.steps = math.ceil(len(train_set) / settings.training.batch)
        self.optimizer = torch.optim.AdamW(
            _groups(self.model, settings.training.weight_decay), settings.training.learning_rate
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            settings.training.learning_rate,
            epochs=settings.training.epochs,
            steps_per_epoch=self.steps,
            pct_start=0.2,
        )
        self.epoch = 0  # epochs that are finished
        self.best = (-1.0, -math.inf)  # (accuracy, minus the loss) on validation of the checkpoint in `out`

    @property
    def resume_path(self) -> Path:
        return self.settings.out.with_name(self.settings.out.name + ".resume")

    def run(self, resume: bool, max_epochs: int | None) -> Path:
        self.settings.out.parent.mkdir(parents=True, exist_ok=True)
        if resume and self.resume_path.exists():
            self._load()
        last = self.settings.training.epochs if max_epochs is None else self.epoch + max_epochs
        while self.epoch < min(last, self.settings.training.epochs):
            began = time.monotonic()
            loss = self._train_epoch()
            reached, validation_loss = self._validate()
            self.epoch += 1
            if (reached.share, -validation_loss) > self.best:
                self.best = (reached.share, -validation_loss)
                self._keep(reached)
            self._save()
            self.say(
                f"epoch {self.epoch}/{self.settings.training.epochs}  loss {loss:.4f}  validation {reached.share:.2%} "
                f"(loss {validation_loss:.4f}, best {self.best[0]:.2%})  {time.monotonic() - began:.0f} s"
            )
        return self.settings.out

    def _train_epoch(self) -> float:
        training, total = self.settings.training, 0.0
        rng = np.random.default_rng([training.seed, self.epoch])
        torch.manual_seed(int(rng.integers(1 << 62)))  # dropout
        self.model.train()
        for chosen in np.array_split(rng.permutation(len(self.train_set)), self.steps):
            loss = self._loss(chosen, rng)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
            self.optimizer.step()
            clip_shadow_weights(self.model)
            self.schedule.step()
            total += loss.item() * len(chosen)
        return total / len(self.train_set)

    def _loss(self, chosen: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """Cross entropy of the logits averaged over a recording's windows: the evidence that will be summed."""
        settings = self.settings
        model, plan = pool_while_counting(self.model, settings.windows.plan, self.train_set)
        spiking = self.thresholds is not None
        frames, targets = random_batch(self.train_set, chosen, plan, settings.augment.augmentation, rng, sliced=spiking)
        inputs = torch.from_numpy(frames).flatten(0, 1)
        logits = spiking_logits(model, inputs, self.thresholds) if self.thresholds else model(inputs).flatten(1)
        evidence = logits.unflatten(0, frames.shape[:2]).mean(1)
        return functional.cross_entropy(
            evidence, torch.from_numpy(targets), label_smoothing=settings.training.label_smoothing
        )

    def _validate(self) -> tuple[Accuracy, float]:
        scores = recording_scores(
            self.model,
            self.validation_set,
            self.settings.windows.plan,
            self.settings.windows.evidence,
            self.thresholds,
        )
        means = torch.from_numpy(np.stack([item.mean(0) for item in scores]))
        loss = functional.cross_entropy(means, torch.from_numpy(self.validation_set.targets)).item()
        return accuracy(scores, self.validation_set.targets), loss

    def _keep(self, reached: Accuracy) -> None:
        windows = self.settings.windows
        save_checkpoint(
            self.settings.out,
            self.spec,
            self.model,
            {
                "labels": self.train_set.labels,
                "timestep_us": windows.timestep_us,
                "state_window_us": windows.plan.window_us if windows.evidence else None,
                "delays_us": windows.delays_us,
                "thresholds": self.thresholds,
                "calibration": self.calibration.half(),
                "accuracy": {"validation": reached.share, "n": reached.n},
                "epoch": self.epoch,
                "config": self.settings.model_dump(mode="json"),
                "torch": str(torch.__version__),
            },
        )

    def _save(self) -> None:
        config = self.settings.model_dump_json()
        save_resume(self.resume_path, config, self._parts(), epoch=self.epoch, best=list(self.best))

    def _load(self) -> None:
        found = load_resume(self.resume_path, self.settings.model_dump_json(), self._parts())
        self.epoch, self.best = found["epoch"], tuple(found["best"])
        self.say(f"resumed after epoch {self.epoch}")

    def _parts(self) -> dict[str, Stateful]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}


def _start_model(settings: EventTraining, train_set: RecordingSet) -> nn.Sequential:
    model = build_model(settings.model)
    sensor = train_set.sensor
    wanted = [2 * len(settings.windows.delays_us), sensor.height, sensor.width]
    if list(settings.model["input"]) != wanted:
        raise NetworkError(
            f"the model's input is {settings.model['input']}, but the recordings give {wanted} "
            "(2 polarities for each delay, height, width)"
        )
    unknown = sorted({name for pair in settings.augment.flip_labels.items() for name in pair} - set(train_set.labels))
    if unknown:
        raise TrainConfigError(
            f"augment.flip_labels: {', '.join(unknown)} is no label of the recordings; theirs are "
            f"{', '.join(train_set.labels)}"
        )
    outputs = copy.deepcopy(model).eval()(torch.zeros(1, *settings.model["input"])).numel()
    if outputs != len(train_set.labels):
        labels = counted(len(train_set.labels), "label")
        raise NetworkError(f"the model has {counted(outputs, 'output')}, but the recordings have {labels}")
    if settings.start_from is not None:
        start, _, _ = load_checkpoint(settings.start_from)
        frames = torch.from_numpy(_calibration(settings, train_set))
        start_weights(model, start, frames, str(settings.start_from))
    return model


def _calibration(settings: EventTraining, train_set: RecordingSet) -> np.ndarray:
    """Some training frames, augmented like those trained on: float32 (n, channel, height, width)."""
    windows, training = settings.windows, settings.training
    rng = np.random.default_rng([training.seed, 1 << 32])
    chosen = rng.choice(len(train_set), min(training.calibration, len(train_set)), replace=False)
    plain = replace(windows.plan, min_slices=windows.slices, per_recording=1)
    frames, _ = random_batch(train_set, chosen, plain, settings.augment.augmentation, rng)
    return frames[:, 0]


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for weights only: biases and batch norms stay free."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
