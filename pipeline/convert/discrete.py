"""Activations of few values as neurons that lose nothing: quantized ReLUs, and those of one bit.

A quantized ReLU of steps s, shift β and n levels is what an IF neuron does in one timestep, if it may send several spikes:

    N = min(floor(v / θ), n)     θ = s, v(0) = β s, v = v(0) + z        value s N = s clip(floor(z / s + β), 0, n)

With θ = k s and at most n / k spikes a timestep the same holds for the sum of k timesteps of constant input z (count form:
Bu et al. 2022 with k = n). From the second layer on it then holds only if no neuron fires on charge that later spikes take
back, so k > 1 is an approximation, and k = 1 is exact: every layer fires once, on all that its layer before sends.
Firing layer after layer in k timesteps each would be exact too, but wants neurons that integrate while they are silent; a
start_step throws away what arrives before it, so this is not built.

One bit: a spike where z > 0, whose threshold is next to nothing and which nothing resets, so that over several timesteps
it tells the sign of all that has arrived (Rueckauer et al. 2017 reset by a threshold, which is the same where the threshold
is small). Where the sums are of ±1 weights and whole spikes, an offset b is moved to the middle between two possible sums:
nobody's decision changes, and weights of 8 bits decide as real ones do.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import ConversionError
from .activation import BITS, Activation
from .cnn import Cnn, Weighted, per_input
from .merge import one_bit
from .method import Method

NEXT_TO_NOTHING = 2.0**-30  # threshold of a neuron that fires above 0, where the largest weight is 1
BETWEEN = 0.25  # the same where v is never nearer to 0 than 1/2
LEAST_ROOM = 16  # spikes of a neuron without a highest level, in one timestep


def is_exact(cnn: Cnn) -> bool:
    """Whether all neurons carry whole levels, so that Method(quantized_steps=1) gives the CNN's own output."""
    return _without_levels(cnn) is None


def check(cnn: Cnn, method: Method) -> None:
    """Raises ConversionError, naming the layer, where `quantized_steps` cannot be what it promises."""
    for node in cnn.populations():
        if node.kind == "quantized" and node.ceiling is None and method.quantized_steps is None:
            raise ConversionError(
                f"layer {node.name!r} is quantized without a highest level, so no firing rate stands for it; use "
                "Method(quantized_steps=1), which is exact in one timestep, or train it with a highest level"
            )
        if node.kind == "quantized" and node.name in method.lambdas:
            raise ConversionError(f"lambdas name {node.name!r}, whose steps are its own; leave it out")
    if method.quantized_steps is None:
        return
    if method.reset != "subtract" or method.input != "constant":
        raise ConversionError(
            f"quantized_steps wants reset 'subtract' and constant input, found {method.reset!r} and {method.input!r}"
        )
    rates = _without_levels(cnn)
    if rates is not None:
        raise ConversionError(
            f"layer {rates.name!r} ({rates.kind}) has no levels, so its value is no whole number of spikes; train it with "
            "an activation of levels (see docs/training.md), or leave quantized_steps out, which approximates by rates"
        )


def _without_levels(cnn: Cnn) -> Activation | None:
    """The first population that carries neither levels nor the spikes of others as they are."""
    return next((n for n in cnn.populations() if n.kind != "quantized" and n.kind not in BITS and not n.relay), None)


def levels(node: Activation, method: Method, largest: float) -> tuple[float, int]:
    """What a spike of a quantized population stands for per timestep, and the most spikes of one in a timestep.

    `largest`: its largest value in calibration.
    """
    step, steps = float(node.step or 1.0), method.quantized_steps
    if steps is None:
        return float(node.ceiling or step), 1
    if node.levels is None:
        return steps * step, max(LEAST_ROOM, 1 << math.ceil(math.log2(max(2 * largest / (step * steps), 1))))
    if node.levels % steps:
        raise ConversionError(
            f"layer {node.name!r} has {node.levels} levels, which {steps} timesteps do not divide; want quantized_steps=1, "
            "or a number that divides the levels of all layers"
        )
    return steps * step, node.levels // steps


def scaled(node: Weighted, before: Tensor) -> Tensor:
    """The weights for spikes that stand for `before`, one value a channel that arrives."""
    if node.weight.ndim == 4:
        return node.weight * per_input(before, node)[:, :, None, None]
    return node.weight * before.repeat_interleave(node.weight.shape[1] // len(before))[None]


def bit_current(node: Activation, layer: Weighted, before: Tensor, whole: bool) -> tuple[Weighted, Tensor, float]:
    """What feeds neurons of one bit: the weights, the unit of each channel, the threshold in it.

    The largest weight of a channel becomes 1: its neurons only tell signs. `whole`: whole spikes arrive.
    """
    weight = scaled(layer, before)
    unit = one_bit(weight) if whole else None
    if unit is None:
        largest = weight.abs().flatten(1).amax(1)
        return layer, torch.where(largest > 0, largest, torch.ones_like(largest)), NEXT_TO_NOTHING
    offset = layer.bias / unit
    nearest = offset.round()
    offset = torch.where((offset - nearest).abs() < 1e-6, nearest, offset)
    middle = offset.floor() + 0.5 if node.kind == "not_negative" else offset.ceil() - 0.5
    return replace(layer, bias=middle * unit), unit, BETWEEN
