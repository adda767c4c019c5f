"""Where membranes begin, and how long deep layers wait: what is said of the first timesteps.

    v_init "uniform"    each channel its own, drawn once from [-θ, θ) with a seed: channels do not fire in step
    v_init "-bias"      minus the current that arrives while nothing spikes: the first kick of the biases is taken back
    clamp_steps k       a population behind n + 1 weight layers stands still for n k timesteps; what arrives is lost, so
                        that it begins when the rates before it mean something   (Rueckauer et al. 2017: Inception-v3)

A start in this file's network is one value per channel, not per neuron; where borders make the current of silence
differ within a channel, its mean is taken. A bias that grows slowly ("relaxation") is not offered: biases of a Network
are constant, so it could only be imitated, not done.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...network import Conv2d, Layer, Linear, MaxPool2d, Network, Neurons
from ..cnn import Cnn
from ..method import Method
from ..simulate import computed, tensors


def started(network: Network, cnn: Cnn, method: Method) -> Network:
    """The same network with other starts. Only ReLUs, open or clipped, get others."""
    layers = list(network.layers)
    free = {node.name for node in cnn.populations() if node.kind in ("relu", "clip") and not node.relay}
    if isinstance(method.v_init, str):
        silence = currents_of_silence(network) if method.v_init == "-bias" else {}
        random = np.random.Generator(np.random.PCG64(method.seed))
        for index, layer in enumerate(layers):
            if isinstance(layer, Neurons) and layer.name in free:
                if method.v_init == "uniform":
                    start = layer.threshold * random.uniform(-1, 1, len(layer.threshold))
                else:
                    start = -silence[layer.inputs[0]][0].mean((1, 2)).numpy()
                layers[index] = replace(layer, v_init=within(layer, start))
    if method.clamp_steps:
        depths = weight_depths(layers)
        for index, layer in enumerate(layers):
            if isinstance(layer, Neurons):
                layers[index] = replace(layer, start_step=method.clamp_steps * max(0, depths[layer.name] - 1))
    return replace(network, layers=tuple(layers))


def currents_of_silence(network: Network) -> dict[str, Tensor]:
    """What every layer gives per timestep while nothing spikes: biases alone. By name, float64 (1, channel, y, x)."""
    shapes = network.shapes()
    values = {"input": torch.zeros(1, *network.input_shape, dtype=torch.float64)}
    for layer in network.layers:
        if isinstance(layer, Neurons | MaxPool2d):
            values[layer.name] = torch.zeros(1, *shapes[layer.name], dtype=torch.float64)
        else:
            values[layer.name] = computed(layer, [values[name] for name in layer.inputs], tensors(layer, torch.float64))
    return values


def weight_depths(layers: list[Layer]) -> dict[str, int]:
    """Weight layers on the longest way from the input to and through each layer."""
    depths = {"input": 0}
    for layer in layers:
        depths[layer.name] = max(depths[name] for name in layer.inputs) + isinstance(layer, Conv2d | Linear)
    return depths


def layer_of(network: Network, name: str) -> Layer:
    return next(layer for layer in network.layers if layer.name == name)


def within(layer: Neurons, start: np.ndarray) -> np.ndarray:
    """Below the threshold, and not below the floor, as a network wants it."""
    below = np.nextafter(layer.threshold, np.float32(0))
    floor = np.float32(-np.inf) if layer.v_min is None else layer.v_min
    return np.clip(start.astype(np.float32), floor, below)
