"""Judge a CNN on whole recordings, as the spiking network will be judged: logits summed over consecutive windows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..interval import wilson
from .spiking import spiking_logits
from .windows import RecordingSet, WindowPlan, whole_recording


def recording_scores(
    model: nn.Sequential,
    data: RecordingSet,
    plan: WindowPlan,
    whole: bool,
    thresholds: Mapping[str, float] | None = None,
    batch: int = 16,
) -> list[np.ndarray]:
    """Logits (window, class) of each recording's consecutive windows; of its first window only unless `whole`.

    With `thresholds` (by ReLU) they are those of the spiking network, stepped through the slices of each window.
    """
    model, plan = pool_while_counting(model.eval(), plan, data)
    scores: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(data), batch):
            indices = range(start, min(start + batch, len(data)))
            windows = [
                whole_recording(data, index, plan, sliced=thresholds is not None)[: None if whole else 1]
                for index in indices
            ]
            inputs = torch.from_numpy(np.concatenate(windows))
            if thresholds is None:
                logits = torch.cat([model(part).flatten(1) for part in inputs.split(128)])
            else:
                logits = torch.cat([spiking_logits(model, part, thresholds) for part in inputs.split(32)])
            scores += np.split(logits.numpy(), np.cumsum([len(item) for item in windows])[:-1])
    return scores


def pool_while_counting(model: nn.Sequential, plan: WindowPlan, data: RecordingSet) -> tuple[nn.Sequential, WindowPlan]:
    """The model without its first layer and a plan that does that layer's work, where it is an average pool."""
    first = next(iter(model))
    pool = first.kernel_size if isinstance(first, nn.AvgPool2d) else 1
    if (
        not isinstance(pool, int)
        or pool == 1
        or first.stride != pool
        or data.sensor.width % pool
        or data.sensor.height % pool
    ):
        return model, plan
    return model[1:], replace(plan, pool=pool)


@dataclass(frozen=True)
class Accuracy:
    """Right decisions of n, with a 95 % Wilson interval."""

    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:.2%} of {self.n} (95 % interval {low:.1%} to {high:.1%})"


def accuracy(scores: list[np.ndarray], targets: np.ndarray) -> Accuracy:
    """Decisions by the largest sum of scores over the windows of each recording."""
    decisions = np.array([item.sum(0).argmax() for item in scores])
    return Accuracy(int((decisions == targets).sum()), len(targets))


def confusion(decisions: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """int64 (target, decision): how often each class was called what; the last column counts the undecided (-1)."""
    matrix = np.zeros((classes, classes + 1), np.int64)
    np.add.at(matrix, (targets, np.where(decisions < 0, classes, decisions)), 1)
    return matrix
