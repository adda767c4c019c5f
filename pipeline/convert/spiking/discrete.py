"""Activations of few values as neurons that lose nothing: quantized ReLUs, and those of one bit.

A quantized ReLU of steps s, shift β and n levels is what a neuron does within one timestep if it may send several
spikes:

    v = z + β s      N = min(floor(v / s), n)      s N = s clip(floor(z / s + β), 0, n)

"Burst" (Method.stepped): a neuron that forgets what is left does so in every timestep, each of which is a pass of the
CNN, exactly. "Rate": threshold n s, v(0) = β n s, one spike a timestep; n timesteps of constant input z then bring N
spikes (the count form; Bu et al. 2022). From the second layer on this holds only where no neuron fires on charge that
later spikes take back, so it is an approximation. Layer after layer, n timesteps each, would be exact too, but wants
neurons that integrate while they are silent: a start_step throws away what arrives before it, so this is not built.

One bit: a spike where z > 0. The threshold is next to nothing and nothing resets the membrane, so that a neuron tells
the sign of all that has arrived: of constant input in every timestep, of Poisson spikes sooner or later. (Rueckauer et
al. 2017 subtract the threshold.) Where sums are of ±1 weights and whole spikes, their offset is moved to the middle
between two possible sums: no decision changes, and weights of 8 bits decide as real ones do.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...errors import ConversionError
from ..activation import BITS, Activation
from ..cnn import Cnn, Weighted, per_input
from ..fold.merge import one_bit
from ..method import Method

NEXT_TO_NOTHING = 2.0**-30  # threshold of a neuron that fires above 0, where its largest weight is 1
BETWEEN = 0.25  # the same where v is never nearer to 0 than 1/2


def decided(cnn: Cnn, method: Method, streams: bool) -> Method:
    """The method with "auto" decided: bursts where they are exact, but for streams, whose input comes unevenly.

    Raises ConversionError, naming a layer, for what neither way can carry.
    """
    if not any(node.kind == "quantized" for node in cnn.populations()):
        return method
    rated, stepped = _rate_before_steps(cnn)
    if method.stepped == "burst" and rated is not None and stepped is not None:
        raise ConversionError(
            f"layer {stepped.name!r} cannot count in bursts: {rated.name!r} ({rated.kind}) before it has no levels, so "
            "its value is a rate; train that with an activation of levels (docs/training.md), or use stepped='rate'"
        )
    for node in cnn.populations():
        if node.kind == "quantized" and node.name in method.lambdas:
            raise ConversionError(f"lambdas name {node.name!r}, whose steps are its own; leave it out")
    if method.stepped == "auto":
        method = replace(method, stepped="rate" if streams or rated is not None else "burst")
    for node in cnn.populations():
        if node.kind == "quantized" and node.ceiling is None and method.stepped == "rate":
            raise ConversionError(
                f"layer {node.name!r} is quantized without a highest level, so no firing rate stands for it; use "
                "stepped='burst', where every timestep is a pass of the CNN, or train it with `levels`"
            )
    return method


def _rate_before_steps(cnn: Cnn) -> tuple[Activation | None, Activation | None]:
    """A quantized population and one before it whose value is a rate; (None, None) where there are none."""
    rates: dict[str, Activation | None] = {"input": None}
    for node in cnn.nodes:
        rate = next((found for name in node.inputs if (found := rates[name]) is not None), None)
        if isinstance(node, Activation):
            if node.kind == "quantized" and rate is not None:
                return rate, node
            levels = node.kind == "quantized" or node.kind in BITS or node.relay
            rate = rate if levels else node
        rates[node.name] = rate
    return None, None


def scaled(node: Weighted, before: Tensor) -> Tensor:
    """The weights for spikes that stand for `before`, one value a channel that arrives."""
    if node.weight.ndim == 4:
        return node.weight * per_input(before, node)[:, :, None, None]
    return node.weight * before.repeat_interleave(node.weight.shape[1] // len(before))[None]


def bit_current(node: Activation, layer: Weighted, before: Tensor, most: int | None) -> tuple[Weighted, Tensor, float]:
    """What feeds neurons of one bit: the weights, the unit of each channel, the threshold in it.

    The largest weight of a channel becomes 1: its neurons only tell signs. `most`: so many spikes arrive at each
    synapse in a timestep, at most, and always whole ones; None: something else arrives.
    """
    weight = scaled(layer, before)
    unit = one_bit(weight) if most is not None else None
    if unit is None:
        largest = weight.abs().flatten(1).amax(1)
        return layer, torch.where(largest > 0, largest, torch.ones_like(largest)), NEXT_TO_NOTHING
    offset = layer.bias / unit
    nearest = offset.round()
    offset = torch.where((offset - nearest).abs() < 1e-6, nearest, offset)
    middle = offset.floor() + 0.5 if node.kind == "not_negative" else offset.ceil() - 0.5
    up, down = ((sign * weight).clamp(min=0).flatten(1).sum(1) / unit * (most or 0) for sign in (1, -1))
    middle = middle.clamp(
        -up.round() - 0.5, down.round() + 0.5
    )  # beyond, every sum is decided: channels without effect
    return replace(layer, bias=middle * unit), unit, BETWEEN
