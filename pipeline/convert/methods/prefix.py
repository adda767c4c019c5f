"""A network up to one of its layers, run on calibration data: what the rules that look at spikes have in common."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from ...network import Layer, Network, Neurons, Readout
from ..method import Method
from ..report import poisson
from ..simulate import Clocked

BATCH_VALUES = 1 << 22  # of the largest layer that are computed at a time: they stay in the processor's cache


def prefix(network: Network, name: str) -> Network:
    """The layers that `name` depends on, and itself, which is read out."""
    by_name = {layer.name: layer for layer in network.layers}
    wanted = {name}
    for layer in reversed(network.layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
    layers = tuple(layer for layer in network.layers if layer.name in wanted)
    kind: Literal["count", "membrane"] = "count" if isinstance(by_name[name], Neurons) else "membrane"
    channels, height, width = network.shapes()[name]
    labels = tuple(map(str, range(channels * height * width)))
    begins = network.readout.start_step if by_name[name] is network.layers[-1] else 0
    return Network(layers, network.input_shape, labels, Readout(kind, start_step=begins), network.timestep_us)


def steps(network: Network, inputs: Tensor, method: Method, timesteps: int) -> Iterator[tuple[Tensor, Clocked]]:
    """The evidence (n, output) after every timestep, batch by batch, and the state that it was read from."""
    largest = max(channels * height * width for channels, height, width in network.shapes().values())
    random = torch.Generator().manual_seed(method.seed)
    for batch in inputs.split(max(1, min(256, BATCH_VALUES // largest))):
        state, current = Clocked(network, len(batch)), batch * method.input_scale
        for _ in range(timesteps):
            constant = method.input == "constant"
            yield state.step(current if constant else poisson(current, random), is_current=constant), state


def mean_evidence(network: Network, name: str, inputs: Tensor, method: Method, timesteps: int) -> Tensor:
    """Mean over inputs and places of what layer `name` gives in all timesteps, float64 (channel,).

    Spikes of neurons, or what arrived at a layer without any.
    """
    part, shape = prefix(network, name), network.shapes()[name]
    total = torch.zeros(shape[0], dtype=torch.float64)
    for step, (evidence, _) in enumerate(steps(part, inputs, method, timesteps), 1):
        if step % timesteps == 0:
            total += evidence.double().view(-1, *shape).mean((2, 3)).sum(0)
    return total / len(inputs)


def layer_of(network: Network, name: str) -> Layer:
    return next(layer for layer in network.layers if layer.name == name)
