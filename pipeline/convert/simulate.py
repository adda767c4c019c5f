"""A Network run step by step with torch, many inputs at once: the clocked reference beside the event-driven engine.

Good for measuring accuracy over thousands of images and for checking a conversion. It computes every neuron in every
step in floating point, so its spikes are those of network.py's definition up to the rounding of a sum. It knows no
readout window: scores are those since the reset.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import NetworkError
from ..network import IF, Conv2d, Delay, Layer, Linear, Network, SumPool2d


class Clocked:
    """State of `n` copies of a network. `step` takes the input of one timestep for all of them."""

    def __init__(self, network: Network, n: int, dtype: torch.dtype = torch.float32) -> None:
        self.network, self.n, self.dtype = network, n, dtype
        self._shapes = network.shapes()
        self._weights = {layer.name: _tensors(layer, dtype) for layer in network.layers}
        self._fan_out = {name: array.to(dtype) for name, array in fan_out(network).items()}
        self._delays = _delays(network)
        self._first: tuple[Tensor, Tensor] | None = None  # a constant input and what the first layer makes of it
        self.reset()

    def reset(self) -> None:
        self.v: dict[str, Tensor] = {}  # membrane potentials of IF layers, and of a last layer that integrates
        self.spikes: dict[str, Tensor] = {}  # spikes of each neuron since the reset
        self._past: list[Tensor] = []  # the inputs of earlier timesteps, the latest first; as many as delays need
        self.synops = torch.zeros(self.n, dtype=torch.float64)  # of each copy since the reset
        for layer in self.network.layers:
            shape = (self.n, *self._shapes[layer.name])
            if isinstance(layer, IF):
                v_init = torch.from_numpy(np.array(layer.v_init)).to(self.dtype)
                self.v[layer.name] = v_init.view(1, -1, 1, 1).expand(shape).clone()
                self.spikes[layer.name] = torch.zeros(shape, dtype=self.dtype)
        last = self.network.layers[-1]
        if not isinstance(last, IF):
            self.v[last.name] = torch.zeros((self.n, *self._shapes[last.name]), dtype=self.dtype)

    def step(self, inputs: Tensor, is_current: bool = False) -> Tensor:
        """Scores (n, class) after one timestep: spike counts, or membrane potentials.

        `inputs` is (n, channel, height, width): spike counts, or current (then the first layer's work is no SynOp, and
        is done once for as long as the same tensor is handed in).
        """
        if tuple(inputs.shape) != (self.n, *self.network.input_shape):
            raise NetworkError(f"input has shape {tuple(inputs.shape)}, want {(self.n, *self.network.input_shape)}")
        with torch.inference_mode():
            values: dict[str, Tensor] = {"input": inputs}
            for layer in self.network.layers:
                x = values[layer.inputs[0]]
                real = is_current and x is inputs
                if isinstance(layer, Conv2d | Linear) and not real:
                    self.synops += (x.to(self.dtype) * self._fan_out[layer.name]).flatten(1).sum(1)
                values[layer.name] = self._once(layer, x) if real else self._run(layer, x.to(self.dtype))
                if real and isinstance(layer, SumPool2d | Delay):
                    inputs = values[layer.name]  # a pooled current is a current
            last = self.network.layers[-1]
            if isinstance(last, IF):
                return self.spikes[last.name].flatten(1).clone()
            self.v[last.name] += values[last.name]
            return self.v[last.name].flatten(1).clone()

    def _run(self, layer: Layer, x: Tensor) -> Tensor:
        if isinstance(layer, IF):
            return self._fire(layer, x)
        if isinstance(layer, Delay):
            return self._delayed(x)
        if isinstance(layer, SumPool2d):
            return functional.avg_pool2d(x, layer.kernel, layer.stride, divisor_override=1)
        weight, bias = self._weights[layer.name]
        if isinstance(layer, Linear):
            return functional.linear(x.flatten(1), weight, bias)[:, :, None, None]
        assert isinstance(layer, Conv2d)
        return functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    def _delayed(self, x: Tensor) -> Tensor:
        self._past = [x, *self._past][: max(self._delays) + 1]
        silence = torch.zeros_like(x)
        return torch.cat([self._past[d] if d < len(self._past) else silence for d in self._delays], 1)

    def _once(self, layer: Layer, x: Tensor) -> Tensor:
        if not isinstance(layer, Conv2d | Linear):
            return self._run(layer, x.to(self.dtype))
        if self._first is None or self._first[0] is not x:
            self._first = (x, self._run(layer, x.to(self.dtype)))
        return self._first[1]

    def _fire(self, layer: IF, current: Tensor) -> Tensor:
        v = self.v[layer.name].add_(current)
        threshold = torch.from_numpy(np.array(layer.threshold)).to(self.dtype).view(1, -1, 1, 1)
        fired = v >= threshold
        spikes = fired.to(self.dtype)
        if layer.reset == "subtract":
            v.sub_(spikes * threshold)
        else:
            v.masked_fill_(fired, 0.0)
        self.spikes[layer.name] += spikes
        return spikes


def constant_current(images: Tensor, timesteps: int) -> Iterator[Tensor]:
    """The same real-valued input in every timestep; hand it to `run` with is_current=True."""
    for _ in range(timesteps):
        yield images


def run(network: Network, inputs: Iterable[Tensor], is_current: bool = False) -> Iterator[Tensor]:
    """Scores (n, class) after every timestep of `inputs` (each (n, channel, height, width)), from a fresh state."""
    state: Clocked | None = None
    for x in inputs:
        state = state or Clocked(network, len(x))
        yield state.step(x, is_current)


def fan_out(network: Network) -> dict[str, Tensor]:
    """Synapses that one spike at each place of a weight layer's input reaches, borders counted exactly.

    By layer name, float64 (channel, height, width) of that input; the transposed convolution of ones.
    """
    shapes = network.shapes()
    maps: dict[str, Tensor] = {}
    for layer in network.layers:
        shape = shapes[layer.inputs[0]]
        if isinstance(layer, Linear):
            maps[layer.name] = torch.full(shape, float(layer.weight.shape[0]), dtype=torch.float64)
        elif isinstance(layer, Conv2d):
            probe = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
            ones = torch.ones(layer.weight.shape, dtype=torch.float64)
            total = functional.conv2d(
                probe, ones, None, layer.stride, layer.padding, layer.dilation, layer.groups
            ).sum()
            maps[layer.name] = torch.autograd.grad(total, probe)[0][0]
    return maps


def macs(network: Network) -> dict[str, int]:
    """Multiply-accumulates of the CNN per input and weight layer, borders counted exactly."""
    return {name: int(array.sum()) for name, array in fan_out(network).items()}


def _delays(network: Network) -> list[int]:
    """Delays of the first layer in timesteps."""
    first = network.layers[0]
    if not isinstance(first, Delay):
        return [0]
    if network.timestep_us is None or any(delay % network.timestep_us for delay in first.delays_us):
        raise NetworkError(
            f"delays of {first.delays_us} µs are no multiples of the timestep ({network.timestep_us} µs)"
        )
    return [delay // network.timestep_us for delay in first.delays_us]


def _tensors(layer: Layer, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    if not isinstance(layer, Conv2d | Linear):
        return torch.empty(0), None
    bias = None if layer.bias is None else torch.from_numpy(np.array(layer.bias)).to(dtype)
    return torch.from_numpy(np.array(layer.weight)).to(dtype), bias
