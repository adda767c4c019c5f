"""The spikes of a network on calibration data, layer by layer: for rules that settle a layer before they run the next.

Every layer that emits spikes is run once, and what it sent is kept for those behind it, one byte a spike count, until
nobody reads it any more. So a rule that measures each population costs little more than one run of the whole network.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...errors import ConversionError
from ...network import Layer, MaxPool2d, Network, Neurons, Readout
from ..gates import Gates
from ..method import Method
from ..report import poisson
from ..simulate import Clocked, computed, tensors

MOST_BYTES = 1 << 29  # of spikes that are kept at a time; more inputs than fit are left out, and a note says so
BATCH_VALUES = 1 << 22  # of a layer that are computed at a time: they stay in the processor's cache


class Trains:
    """What the layers of `network` send in `timesteps` timesteps of calibration inputs. `network` may be replaced."""

    def __init__(self, network: Network, calibration: Tensor, method: Method, timesteps: int) -> None:
        self.network, self.timesteps = network, timesteps
        largest = max(int(np.prod(shape)) for shape in self.shapes.values())
        self.n = max(1, min(len(calibration), MOST_BYTES // (2 * largest * timesteps)))
        current = calibration[: self.n] * method.input_scale
        self.parts = torch.arange(self.n).split(max(1, min(256, BATCH_VALUES // largest)))
        self.constant = method.input == "constant"
        if self.constant:
            self.sent = {"input": current}
        else:
            random = torch.Generator().manual_seed(method.seed)
            self.sent = {"input": torch.stack([poisson(current, random) for _ in range(timesteps)]).to(torch.int8)}

    @property
    def network(self) -> Network:
        return self._network

    @network.setter
    def network(self, network: Network) -> None:
        self._network, self.shapes = network, network.shapes()

    @property
    def notes(self) -> list[str]:
        return [f"of the calibration inputs, spikes of the first {self.n} were looked at"]

    def currents(self, name: str) -> Iterator[tuple[Tensor, int, Tensor]]:
        """What a layer gives: which inputs, the timestep, and their values (n, channel, height, width)."""
        fixed = self.constant and self._sources(name) == {"input"}
        for part in self.parts:
            value = None
            for step in range(self.timesteps):
                if value is None or not fixed:
                    value = self._value(name, step, part)
                yield part, step, value

    def mean(self, name: str, begin: int = 0) -> Tensor:
        """Mean of what a layer without neurons gives: over inputs, places, timesteps from `begin`; per channel."""
        total = torch.zeros(self.shapes[name][0], dtype=torch.float64)
        for _, step, value in self.currents(name):
            if step >= begin:
                total += value.double().mean((2, 3)).sum(0)
        return total / (self.n * (self.timesteps - begin))

    def run(self, name: str, keep: bool = True) -> Tensor:
        """Mean spikes per input, place and running timestep, float64 (channel,). keep: others will read them."""
        layer = self._layer(name)
        if not isinstance(layer, Neurons | MaxPool2d):
            raise TypeError(f"{name} is a {type(layer).__name__}, which sends no spikes")
        shape, source = self.shapes[name], layer.inputs[0]
        total = torch.zeros(shape[0], dtype=torch.float64)
        sent = torch.zeros((self.timesteps, self.n, *shape), dtype=torch.int8) if keep else None
        for part, step, value in self.currents(source):
            if step == 0:
                state = _One(layer, shape, self.shapes[source], len(part))
            spikes = state.step(value)
            total += spikes.double().mean((2, 3)).sum(0)
            if sent is not None:
                if float(spikes.abs().max()) > 127:
                    raise ConversionError(f"{name} sends more than 127 spikes in one timestep; lower max_spikes")
                sent[step, part] = spikes.to(torch.int8)
        if sent is not None:
            self.sent[name] = sent
            self._forget(layer)
        late = getattr(layer, "start_step", 0)
        return total / (self.n * (self.timesteps - late))

    def _value(self, name: str, step: int, part: Tensor) -> Tensor:
        if name in self.sent:
            sent = self.sent[name]
            return sent[part] if name == "input" and self.constant else sent[step, part].float()
        layer = self._layer(name)
        inputs = [self._value(source, step, part) for source in layer.inputs]
        return computed(layer, inputs, tensors(layer, torch.float32))

    def _layer(self, name: str) -> Layer:
        return next(layer for layer in self.network.layers if layer.name == name)

    def _sources(self, name: str) -> set[str]:
        """The layers whose spikes a value is made of, and "input"."""
        if name == "input" or isinstance(self._layer(name), Neurons | MaxPool2d):
            return {name}
        return set().union(*(self._sources(source) for source in self._layer(name).inputs))

    def _forget(self, done: Layer) -> None:
        """Drop what no layer behind `done` reads."""
        layers = self.network.layers
        behind = layers[layers.index(done) + 1 :]
        needed: set[str] = set()
        for layer in behind:
            if isinstance(layer, Neurons | MaxPool2d) or layer is layers[-1]:
                needed |= set().union(*(self._sources(source) for source in layer.inputs))
        self.sent = {name: value for name, value in self.sent.items() if name in needed}


class _One:
    """A single layer that emits spikes, fed with values."""

    def __init__(self, layer: Neurons | MaxPool2d, shape: tuple[int, int, int], before: tuple[int, int, int], n: int):
        self.gates = Gates(layer, (n, *before), (n, *shape)) if isinstance(layer, MaxPool2d) else None
        if isinstance(layer, Neurons):
            alone = type(layer)(**{**vars(layer), "inputs": ("input",)})
            labels = tuple(map(str, range(int(np.prod(shape)))))
            self.state = Clocked(Network((alone,), shape, labels, Readout("count")), n)
            self.shape, self.before = (n, *shape), torch.zeros(())

    def step(self, value: Tensor) -> Tensor:
        if self.gates is not None:
            return self.gates.step(value)
        counts = self.state.step(value, is_current=True).view(self.shape)
        spikes, self.before = counts - self.before, counts
        return spikes
