"""Mean rates made right after the conversion, channel by channel, without training (after Li et al. 2021, "light").

The populations in order, each behind those that were corrected before: the network so far runs `correction_timesteps`
timesteps on calibration data, and the mean rate r of each channel is held against the CNN's mean activation a / λ.

    "bias"    b    <- b    + g (a / λ - r) θ        in every timestep
    "start"   v(0) <- v(0) + g (a / λ - r) θ T      once, before the first
    "both"    first the start, then the bias for what is left

Rounding, clipping and uneven arrival shift the mean of a channel; this shifts it back. It cannot repair what differs
from neuron to neuron. It is right for the T it was made at and its input; elsewhere it is some other bias, and for a
stream it is a constant: measure there. g is 1, and two rounds are run, as neurons at rest do not answer to the first.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...network import Add, AvgPool2d, Conv2d, Layer, Linear, Network, Neurons, SumPool2d
from ..cnn import Activation, Cnn
from ..method import Method
from ..scales import Progress
from .prefix import layer_of, mean_evidence
from .start import started, within

ROUNDS = 2


def finished(
    network: Network,
    cnn: Cnn,
    lambdas: Mapping[str, Tensor],
    calibration: Tensor,
    method: Method,
    progress: Progress | None = None,
) -> tuple[Network, list[str]]:
    """The network that build.py made, started (start.py) and corrected as the method wants, and notes."""
    network = started(network, cnn, method)
    if method.correction == "none":
        return network, []
    return corrected(network, cnn, lambdas, calibration, method, progress)


def corrected(
    network: Network,
    cnn: Cnn,
    lambdas: Mapping[str, Tensor],
    calibration: Tensor,
    method: Method,
    progress: Progress | None = None,
) -> tuple[Network, list[str]]:
    """The network with other biases and starts, and notes of what could not be corrected. Nothing else changes."""
    wanted = mean_activations(cnn, calibration)
    populations = [node.name for node in cnn.populations() if not node.relay]
    last = network.layers[-1].name
    names = [*populations, last] if last not in populations else populations
    notes = []
    rules = {"both": ("start", "bias")}.get(method.correction, (method.correction,))
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names), "populations corrected")
        target = wanted[cnn.output if name == last and last not in populations else name]
        target = target / lambdas[name] if name in lambdas else target
        for rule in rules if name in populations else ("bias",):
            changed = _correct(network, name, target, rule, calibration, method)
            if changed is None:
                notes.append(f"{name} is not corrected by its {rule}: no weights of its own lie right before it")
            network = changed or network
    return network, notes


def mean_activations(cnn: Cnn, calibration: Tensor) -> dict[str, Tensor]:
    """Mean of every population and of the output over inputs and places, by name, float64 (channel,)."""
    quick, totals = cnn.to(calibration.dtype), {}
    for batch in calibration.split(64):
        for node, value in quick.activations(batch, batch=64):
            if isinstance(node, Activation) or node.name == cnn.output:
                total = value.double().mean((2, 3)).sum(0)
                totals[node.name] = totals.get(node.name, torch.zeros_like(total)) + total
    return {name: total / len(calibration) for name, total in totals.items()}


def _correct(
    network: Network, name: str, target: Tensor, rule: str, calibration: Tensor, method: Method
) -> Network | None:
    timesteps = method.correction_timesteps
    own = layer_of(network, name)
    for _ in range(ROUNDS if isinstance(own, Neurons) else 1):
        own = layer_of(network, name)
        late = own.start_step if isinstance(own, Neurons) else 0
        if own is network.layers[-1]:
            late = max(late, network.readout.start_step)
        if late >= timesteps:
            return None
        missing = target - mean_evidence(network, name, calibration, method, timesteps) / (timesteps - late)
        if isinstance(own, Neurons):
            missing = missing * torch.from_numpy(np.array(own.threshold)).double()
        changed = _started(network, own, missing * timesteps) if rule == "start" else _biased(network, own, missing)
        if changed is None:
            return None
        network = changed
    return network


def _started(network: Network, own: Layer, more: Tensor) -> Network | None:
    if not isinstance(own, Neurons):
        return None
    return _replaced(network, own, replace(own, v_init=within(own, own.v_init + more.numpy())))


def _biased(network: Network, own: Layer, more: Tensor) -> Network | None:
    """More current into every neuron of a channel, through the bias of the weights right before it."""
    layer = own
    while not isinstance(layer, Conv2d | Linear):
        if layer is not own and not isinstance(layer, SumPool2d | AvgPool2d | Add):
            return None  # no weights, or those of several branches
        if isinstance(layer, SumPool2d):
            more = more / (layer.kernel[0] * layer.kernel[1])
        if layer.inputs[0] == "input":
            return None
        layer = layer_of(network, layer.inputs[0])
        if sum(layer.name in other.inputs for other in network.layers) > 1:
            return None  # others read it too
    before = np.zeros(len(layer.weight), np.float32) if layer.bias is None else layer.bias
    return _replaced(network, layer, replace(layer, bias=(before + more.numpy()).astype(np.float32)))


def _replaced(network: Network, old: Layer, new: Layer) -> Network:
    return replace(network, layers=tuple(new if layer is old else layer for layer in network.layers))
