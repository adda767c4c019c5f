"""Choose the scale λ of every layer from calibration activations, and make a Network of the scaled chain.

    W <- W λ_before / λ,   b <- b / λ,   threshold 1,   v(0) = v_init   (Diehl 2015; Rueckauer 2016, 2017; Wu 2022)

λ is a percentile of the layer's activations, so that a firing rate of 1 stands for the activation λ and what lies above
is clipped. λ is rounded to six digits: the weights then do not depend on the order in which a machine adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import ConversionError
from ..network import IF, Conv2d, Layer, Linear, Network, Readout, SumPool2d
from .chain import Chain, Pool, Weighted, per_input


@dataclass(frozen=True)
class Scale:
    """What the calibration said about one layer with a ReLU (or the counted last one)."""

    name: str  # of the IF layer
    values: np.ndarray  # float64 (channels,): λ; all alike unless normalized per channel
    maximum: float  # largest activation seen
    dead: float  # share of neurons whose activation was never above 0
    clipped: float  # share of all activations above λ


@dataclass(frozen=True)
class Normalization:
    percentile: float  # above 0, at most 100
    over: Literal["all", "nonzero"]
    per: Literal["layer", "channel"]


def measure_scales(
    chain: Chain,
    calibration: Tensor,
    how: Normalization,
    count_last: bool,
    thresholds: Mapping[str, float] | None = None,
) -> list[Scale | None]:
    """λ of every stage, in order; None for pools and for a last layer that only integrates (its λ is 1).

    `thresholds` are the λ by the name of the ReLU, instead of percentiles.
    """
    scales: list[Scale | None] = []
    for index, (stage, activation) in enumerate(chain.activations(calibration)):
        spiking = isinstance(stage, Weighted) and (stage.relu is not None or count_last)
        if spiking and isinstance(stage, Weighted):
            name = stage.relu or f"{stage.name}_if"
            rectified = activation.relu().flatten(2) if activation.ndim == 4 else activation.relu()
            scales.append(_measure(name, rectified, how, None if thresholds is None else _given(name, thresholds)))
        else:
            scales.append(None)
        if not torch.isfinite(activation).all():
            raise ConversionError(
                f"layer {stage.name!r} (number {index}) gives infinite or undefined values on the calibration inputs; "
                "are they scaled as in training?"
            )
    return scales


def _given(name: str, thresholds: Mapping[str, float]) -> float:
    if not thresholds.get(name, 0) > 0:
        raise ConversionError(
            f"thresholds say {thresholds.get(name)!r} for ReLU {name!r}, want a number above 0 for each; "
            f"they name {', '.join(thresholds) or 'none'}"
        )
    return thresholds[name]


def _measure(name: str, activation: Tensor, how: Normalization, given: float | None) -> Scale:
    """`activation` is (n, channel, position) or (n, channel), never negative."""
    array = activation.numpy() if activation.ndim == 3 else activation.numpy()[:, :, None]
    channels = array.shape[1]
    if given is not None:
        values = np.full(channels, given)
    elif how.per == "layer":
        values = np.full(channels, _lambda(array, how))
    else:
        values = np.array([_lambda(array[:, channel], how) for channel in range(channels)])
    return Scale(
        name,
        values,
        float(array.max()),
        float((array.max(axis=0) == 0).mean()),
        float((array > values[None, :, None]).mean()),
    )


def _lambda(array: np.ndarray, how: Normalization) -> float:
    """The percentile, or 1 where it is 0: a dead layer, or one that is silent nearly always, keeps its own scale."""
    chosen = array[array > 0] if how.over == "nonzero" else array
    value = float(np.percentile(chosen, how.percentile)) if chosen.size else 0.0
    if value <= 0.0 and array.size:
        value = float(array.max())  # fires so rarely that the percentile is 0: its largest activation
    return float(f"{value:.6g}") if value > 0.0 else 1.0


def build_network(
    chain: Chain,
    scales: list[Scale | None],
    input_shape: tuple[int, int, int],
    labels: tuple[str, ...],
    readout: Readout,
    timestep_us: int | None,
    state_window_us: int | None,
    input_scale: float,
    reset: Literal["subtract", "zero"],
    v_init: float,
    provenance: dict[str, object],
) -> Network:
    """The spiking network of a chain with its scales: thresholds 1, membranes started at v_init."""
    layers: list[Layer] = []
    source, before = "input", torch.full((input_shape[0],), 1.0 / input_scale, dtype=torch.float64)
    for stage, scale in zip(chain.stages, scales, strict=True):
        if isinstance(stage, Pool):
            layers.append(SumPool2d(stage.name, (source,), stage.kernel, stage.stride))
            source = stage.name
            continue
        outputs = stage.weight.shape[0]
        own = torch.ones(outputs, dtype=torch.float64) if scale is None else torch.from_numpy(scale.values)
        layers.append(_weights(stage, source, before, own))
        before, source = own, stage.name
        if scale is not None:
            ones = np.ones(outputs, np.float32)
            layers.append(IF(scale.name, (source,), ones, ones * np.float32(v_init), reset))
            source = scale.name
    return Network(tuple(layers), input_shape, labels, readout, timestep_us, state_window_us, provenance)


def _weights(stage: Weighted, source: str, before: Tensor, own: Tensor) -> Layer:
    """The weights of one stage between the scales before and behind it."""
    if stage.weight.ndim == 4:
        weight = stage.weight * per_input(before, stage)[:, :, None, None] / own[:, None, None, None]
    else:
        weight = stage.weight * before.repeat_interleave(stage.weight.shape[1] // len(before))[None] / own[:, None]
    kernel = weight.float().numpy()
    offset = (stage.bias / own).float().numpy()
    bias = offset if offset.any() else None
    if stage.weight.ndim == 2:
        return Linear(stage.name, (source,), kernel, bias)
    return Conv2d(stage.name, (source,), kernel, bias, stage.stride, stage.padding, stage.dilation, stage.groups)
