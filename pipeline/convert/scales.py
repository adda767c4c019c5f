"""Choose the scale λ of every population from calibration activations (Diehl 2015; Rueckauer 2016, 2017).

λ is a percentile of the activations, so that a firing rate of 1 stands for the activation λ and what lies above is
clipped. Where an activation has a ceiling that it reaches, λ is that ceiling exactly, or a whole part of it of which
the neuron sends at most as many in a timestep (bursts): it saturates where the CNN does. λ is rounded to six digits:
the weights then do not depend on the order in which a machine adds.

Calibration inputs go through the CNN some at a time; of every population only its largest values are kept, as many as
the percentile needs, so that it is exact however many inputs there are (of a low percentile of very many values a
sample is taken, and the provenance says so).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ConversionError
from .activation import BITS
from .cnn import Activation, Cnn
from .method import Method

BATCH_VALUES = 1 << 24  # of the largest activation that are computed at a time
MOST_KEPT = 1 << 26  # values of one population

Progress = Callable[[int, int, str], None]  # done, of how many, what


@dataclass(frozen=True)
class Scale:
    """What the calibration said about one population."""

    name: str  # of the Activation, which is the name of its neurons
    values: np.ndarray  # float64 (channels,): λ; all alike unless normalized per channel
    maximum: float  # largest magnitude seen
    dead: float  # share of neurons whose activation was never other than 0
    clipped: float  # share of all activations above what all spikes of a timestep stand for, in magnitude


def measure_scales(
    cnn: Cnn, calibration: Tensor, method: Method, progress: Progress | None = None
) -> tuple[dict[str, Scale], list[str]]:
    """λ by the name of each population, and notes for the provenance. Raises ConversionError where there is none."""
    populations = cnn.populations()
    unknown = sorted(set(method.lambdas) - {node.name for node in populations})
    shapes, notes = cnn.shapes(), []
    seen = {node.name: _Largest(node, shapes[node.name], len(calibration), method) for node in populations}
    if unknown and len(unknown) == len(method.lambdas):
        raise ConversionError(
            f"lambdas name {', '.join(unknown)}, which are no populations of this CNN; they are {', '.join(seen)}"
        )
    largest = max(math.prod(shape) for shape in shapes.values())
    size = max(1, min(256, BATCH_VALUES // largest))
    quick, done = cnn.to(calibration.dtype), 0
    for batch in calibration.split(size):
        for node, value in quick.activations(batch, batch=size):
            if node.name in seen:
                seen[node.name].take(value)
            elif node.name == cnn.output and not torch.isfinite(value).all():
                raise _undefined(node.name)
        done += len(batch)
        if progress is not None:
            progress(done, len(calibration), "calibration inputs")
    scales: dict[str, Scale] = {}
    for node in populations:
        scales[node.name] = seen[node.name].scale(method)
        notes += seen[node.name].notes
        if seen[node.name].sampled:
            notes.append(f"the percentile of {node.name} is of every {seen[node.name].every}th of its values")
    return scales, notes


class _Largest:
    """The largest activations of one population so far, per channel or together."""

    def __init__(self, node: Activation, shape: tuple[int, int, int], inputs: int, method: Method) -> None:
        self.node, self.given = node, method.lambdas.get(node.name)
        self.rows = shape[0] if method.per == "channel" and shape[1] * shape[2] > 1 else 1  # vectors: see method.py
        self.every = 1
        self.values = inputs * math.prod(shape)
        needed = self._needed(self.values // self.rows, method.percentile)
        while needed * self.rows > MOST_KEPT:
            self.every *= 2
            needed = self._needed(self.values // self.rows // self.every, method.percentile)
        self.kept = torch.zeros(self.rows, 0)
        self.most = needed
        self.active = torch.zeros(shape, dtype=torch.bool)
        self.maximum = 0.0
        self.nonzero = torch.zeros(self.rows, dtype=torch.int64)
        self.above = 0  # of a given λ
        self.ceiling = node.ceiling
        self.notes: list[str] = []

    @property
    def sampled(self) -> bool:
        return self.every > 1

    @staticmethod
    def _needed(values: int, percentile: float) -> int:
        return values - math.floor((values - 1) * percentile / 100) + 1

    def take(self, value: Tensor) -> None:
        if not torch.isfinite(value).all():
            raise _undefined(self.node.name)
        size = value.abs()
        self.active |= (size > 0).any(0)
        self.maximum = max(self.maximum, float(size.max()))
        rows = size.transpose(0, 1).flatten(1) if self.rows > 1 else size.reshape(1, -1)
        if self.every > 1:
            rows = rows[:, :: self.every]
        self.nonzero += (rows > 0).sum(1)
        if self.given is not None:
            limit = torch.as_tensor(self.given, dtype=value.dtype).view(-1, 1, 1)
            self.above += int((size > limit).sum())
            return
        if self.rows == 1 and self.kept.shape[1] >= self.most:  # most values are below all that are kept
            rows = rows[rows > self.kept[:, -1:]].view(1, -1)
        both = torch.cat([self.kept.to(rows.dtype), rows], 1)
        self.kept = both.topk(min(self.most, both.shape[1]), 1).values

    def scale(self, method: Method) -> Scale:
        channels, dead = self.active.shape[0], False
        if self.given is not None:
            values = np.broadcast_to(np.asarray(self.given, np.float64), (channels,)).copy()
            if not (values > 0).all():
                raise ConversionError(f"the λ given for {self.node.name!r} is {self.given}, want above 0")
        elif self.node.kind in BITS or method.normalization == "none":
            values = np.ones(channels)
        else:
            found = np.array([self._lambda(row, method) for row in range(self.rows)])
            found[found == 0] = found.max()  # a channel that was never active, in case that it ever is
            dead = not found.any()
            values = np.broadcast_to(np.ones(1) if dead else found, (channels,)).copy()
        if self.ceiling is None and not dead:
            values = values * method.threshold_scale_of(self.node.name)
        elif self.ceiling is not None and self.given is None and self.node.kind != "quantized":
            values = self._parts_of_the_ceiling(values, self.ceiling, method)
        clipped = self._clipped(values * most_spikes(self.node, values, method))
        return Scale(self.node.name, values, self.maximum, float((~self.active).double().mean()), clipped)

    def _parts_of_the_ceiling(self, values: np.ndarray, ceiling: float, method: Method) -> np.ndarray:
        """λ so that a whole number of spikes is the ceiling; but one that was never reached may be out of reach."""
        scale = method.threshold_scale_of(self.node.name)
        wanted = ceiling / (float(values.max()) * scale)
        reached = float(values.max()) >= ceiling
        if not reached and wanted >= method.max_spikes:
            return values * scale
        whole = math.floor(wanted + 1e-6) if reached else math.ceil(wanted - 1e-6)
        parts = max(1, min(method.max_spikes, whole))
        if reached and abs(parts - wanted) > 1e-6:
            self.notes.append(
                f"a spike of {self.node.name} stands for 1/{parts} of its ceiling, not for {scale:g} of it: a whole "
                f"number of spikes, at most {method.max_spikes} a timestep, is to end exactly there"
            )
        return np.full(len(values), ceiling / parts)

    def _lambda(self, row: int, method: Method) -> float:
        """The percentile; the largest value where it is 0, as in a population that is silent nearly always; or 0."""
        total = self.values // self.rows // self.every if method.over == "all" else int(self.nonzero[row])
        kept = self.kept[row].double().numpy()
        value = 0.0
        if total:
            place = (total - 1) * method.percentile / 100  # as numpy.percentile has it: linear between neighbours
            low = kept[min(total - 1 - math.floor(place), len(kept) - 1)]
            high = kept[max(total - 1 - math.ceil(place), 0)]
            value = float(low + (high - low) * (place - math.floor(place)))
        value = value or float(kept[0] if len(kept) else 0.0)
        if self.ceiling is not None and (value >= self.ceiling or self.node.kind == "quantized"):
            value = self.ceiling
        elif self.ceiling is not None and self.maximum >= self.ceiling:
            value = self.ceiling  # some inputs reach it: the neurons saturate where the CNN does
        return float(f"{value:.6g}")

    def _clipped(self, values: np.ndarray) -> float:
        if self.given is not None:
            return self.above / max(self.values, 1)
        limit = torch.from_numpy(values[: self.rows].copy()).to(self.kept.dtype).view(-1, 1)
        return float((self.kept > limit).sum()) * self.every / max(self.values, 1)


def most_spikes(node: Activation, values: np.ndarray, method: Method) -> int:
    """Spikes of one neuron in one timestep (of one sign: in units of λ): as many as stay within the ceiling."""
    if node.ceiling is None:
        return method.max_spikes
    if node.kind == "quantized":
        return 1
    return max(1, min(method.max_spikes, math.floor(node.ceiling / float(values.max()) + 1e-6)))


def _undefined(name: str) -> ConversionError:
    return ConversionError(
        f"layer {name!r} gives infinite or undefined values on the calibration inputs; are they scaled as in training?"
    )
