"""The neurons of one population: threshold, start, reset, and how many spikes at most.

Most kinds integrate, and their rate over time is the activation. Kinds with steps can be had without time: a neuron
that forgets everything within a timestep and may send several spikes gives in every timestep just the steps that the
CNN's activation has, so that one timestep of constant input suffices (discrete.py).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...network import IF, LIF
from ...neurons import Neurons
from ..activation import Activation
from ..method import Method
from ..scales import Scale, most_spikes

FORGETS = 1e-30  # of the potential is left in the next timestep: nothing, in floating point as in whole numbers
ROOM = 16  # spikes of a neuron without a highest level; if calibration saw more than half of it, twice that


@dataclass(frozen=True)
class Plan:
    """How a population represents its value."""

    own: Tensor  # what one spike stands for, float64 (channel,)
    most: int  # spikes of a neuron in one timestep
    forgets: bool = False  # a timestep knows nothing of the one before
    shift: float = 0.0  # added to the current in every timestep, in spikes
    v_init: float = 0.0  # share of the threshold


def plan(node: Activation, scale: Scale, method: Method) -> Plan:
    """How the neurons of an activation work. Relays, which hand on spikes, are build.py's."""
    own = torch.from_numpy(scale.values)
    if node.kind == "quantized" and method.stepped != "rate":
        levels = node.levels or max(ROOM, 2 * round(scale.maximum / float(node.step or 1.0)))
        return Plan(torch.full_like(own, float(node.step or 1.0)), levels, forgets=True, shift=node.shift)
    most = most_spikes(node, scale.values, method)
    if node.signed:
        return Plan(own / method.signed_parts, method.signed_parts * most)
    start = method.v_init if isinstance(method.v_init, float) else 0.0  # words are put in their place by methods/
    return Plan(own, most, v_init=node.shift if node.kind == "quantized" else start)


def neurons(node: Activation, source: str, how: Plan, threshold: Tensor, method: Method) -> Neurons:
    """The layer. `threshold` is float64 (channel,), in the units of its current."""
    high = threshold.float().numpy()
    start = high * np.float32(how.v_init)
    if how.forgets:
        decay = np.full(len(high), FORGETS, np.float32)
        return LIF(node.name, (source,), high, start, "subtract", how.most, node.signed, decay=decay)
    bounded = method.v_min is not None and not node.signed
    floor = high * np.float32(method.v_min or 0.0) if bounded else None
    return IF(node.name, (source,), high, start, method.reset, how.most, node.signed, floor)


def bits(node: Activation, source: str, threshold: float, channels: int) -> Neurons:
    """Neurons of one bit (discrete.py): they tell the sign of all that has arrived; "sign" hands on +1 and -1."""
    high = np.full(channels, threshold, np.float32)
    reset: Literal["zero", "none"] = "zero" if node.signed else "none"
    return IF(node.name, (source,), high, 0 * high, reset, 1, node.signed)
