"""Mean rates made right after the conversion, channel by channel, without training (after Li et al. 2021, "light").

The populations in order, each behind those that were corrected before: the network so far runs `correction_timesteps`
timesteps on calibration data, and the mean rate r of each channel is held against the CNN's mean activation a / λ.

    "bias"    b    <- b    + g (a / λ - r) θ        in every timestep
    "start"   v(0) <- v(0) + g (a / λ - r) θ T      once, before the first
    "both"    first the start, then the bias for what is left

Rounding, clipping and uneven arrival shift the mean of a channel; this shifts it back. It cannot repair what differs
from neuron to neuron. It is right for the T it was made at and its input; elsewhere it is some other bias, and for a
stream it is a constant: measure there. g is 1.

Left as they are: populations that have steps, a sign or one bit, those that only hand spikes on, those that share the
weights before them with others or have none, and those that start behind the last of the timesteps.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...network import Add, AvgPool2d, Conv2d, Layer, Linear, MaxPool2d, Network, Neurons, SumPool2d
from ..cnn import Activation, Cnn
from ..method import Method
from ..scales import Progress
from .start import layer_of, started, within
from .trains import Trains

ROUNDS = 1  # a second one changed nothing that was worth its time


def finished(
    network: Network,
    cnn: Cnn,
    lambdas: Mapping[str, Tensor],
    calibration: Tensor,
    method: Method,
    progress: Progress | None = None,
) -> tuple[Network, list[str]]:
    """The network that spiking/build.py made, started (start.py) and corrected as the method wants, and notes."""
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
    trains = Trains(network, calibration, method, method.correction_timesteps)
    wanted = mean_activations(cnn, calibration[: trains.n])
    free = {node.name for node in cnn.populations() if node.kind in ("relu", "clip") and not node.relay}
    notes = trains.notes if trains.n < len(calibration) else []
    rules = {"both": ("start", "bias")}.get(method.correction, (method.correction,))
    for done, layer in enumerate(network.layers):
        if isinstance(layer, Neurons) and layer.name in free:
            target = wanted[layer.name] / lambdas[layer.name]
            for rule in rules:
                if not _correct(trains, layer.name, target, rule):
                    notes.append(f"{layer.name} is not corrected by its {rule}: see methods/correct.py")
        if isinstance(layer, Neurons | MaxPool2d):
            trains.run(layer.name)
        elif layer is network.layers[-1]:
            begin = network.readout.start_step
            missing = wanted[cnn.output] - trains.mean(layer.name, begin)
            trains.network = _biased(trains.network, layer, missing) or trains.network
        if progress is not None:
            progress(done + 1, len(network.layers), "layers corrected")
    return trains.network, notes


def mean_activations(cnn: Cnn, calibration: Tensor) -> dict[str, Tensor]:
    """Mean of every population and of the output over inputs and places, by name, float64 (channel,)."""
    quick = cnn.to(calibration.dtype)
    totals: dict[str, Tensor] = {}
    for batch in calibration.split(64):
        for node, value in quick.activations(batch, batch=64):
            if isinstance(node, Activation) or node.name == cnn.output:
                total = value.double().mean((2, 3)).sum(0)
                totals[node.name] = totals.get(node.name, torch.zeros_like(total)) + total
    return {name: total / len(calibration) for name, total in totals.items()}


def _correct(trains: Trains, name: str, target: Tensor, rule: str) -> bool:
    for _ in range(ROUNDS):
        own = layer_of(trains.network, name)
        assert isinstance(own, Neurons)
        if own.start_step >= trains.timesteps:
            return False
        threshold = torch.from_numpy(np.array(own.threshold)).double()
        missing = (target - trains.run(name, keep=False)) * threshold
        charge = missing * (trains.timesteps - own.start_step)
        network = _started(trains.network, own, charge) if rule == "start" else _biased(trains.network, own, missing)
        if network is None:
            return False
        trains.network = network
    return True


def _started(network: Network, own: Neurons, more: Tensor) -> Network:
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
