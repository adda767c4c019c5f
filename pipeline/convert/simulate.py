"""A Network run step by step with torch, many inputs at once: the clocked reference beside the event-driven engine.

Good for measuring accuracy over thousands of images and for checking a conversion. It computes every neuron in every
step in floating point, so its spikes are those of network.py's definition up to the rounding of a sum. It knows no
readout window: scores are those since the reset.

Channels lie innermost in memory: on a processor, convolutions and pools then take less than half of the time.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import NetworkError
from ..layers import Add, AvgPool2d, Concat, Conv2d, Delay, Flatten, Layer, Linear, SumPool2d, Upsample
from ..network import Network
from ..neurons import LIF, MaxPool2d, Neurons
from .gates import Gates


class Clocked:
    """State of `n` copies of a network. `step` takes the input of one timestep for all of them."""

    def __init__(self, network: Network, n: int, dtype: torch.dtype = torch.float32) -> None:
        if network.readout.kind not in ("membrane", "count"):
            raise NetworkError(f"readout {network.readout.kind!r} draws its spikes; only an Engine runs it")
        self.network, self.n, self.dtype = network, n, dtype
        self._shapes = network.shapes()
        self._arrays = {layer.name: tensors(layer, dtype) for layer in network.layers}
        self._fan_out = {name: _innermost(array.to(dtype)[None])[0] for name, array in fan_out(network).items()}
        self._delays = _delays(network)
        self._unmoved = _without_state(network)
        self._pools_input = any(
            isinstance(layer, MaxPool2d) and layer.inputs[0] in {"input", *self._unmoved} for layer in network.layers
        )
        self._starts = _starts(network)
        self._constant: dict[str, Tensor] = {}  # what a current was last and what those layers make of it
        self.reset()

    def reset(self) -> None:
        self.v: dict[str, Tensor] = {}  # membrane potentials of neurons, and of a last layer that integrates
        self.spikes: dict[str, Tensor] = {}  # spikes of each neuron since the reset
        self._gates: dict[str, Gates] = {}
        self._past: list[Tensor] = []  # the inputs of earlier timesteps, the latest first; as many as delays need
        self.synops = torch.zeros(self.n, dtype=torch.float64)  # of each copy since the reset
        self.synops_of: dict[str, float] = {}  # the same of all copies together, by weight layer
        self._steps = 0
        self._early: Tensor | float = 0.0  # spikes of a last layer of neurons before its readout began
        for layer in self.network.layers:
            shape = (self.n, *self._shapes[layer.name])
            if isinstance(layer, Neurons):
                self.spikes[layer.name] = _innermost(torch.zeros(shape, dtype=self.dtype))
                self.v[layer.name] = self.spikes[layer.name] + self._arrays[layer.name]["v_init"]
            elif isinstance(layer, MaxPool2d):
                self._gates[layer.name] = Gates(layer, (self.n, *self._shapes[layer.inputs[0]]), shape)
        last = self.network.layers[-1]
        if not isinstance(last, Neurons):
            self.v[last.name] = torch.zeros((self.n, *self._shapes[last.name]), dtype=self.dtype)

    def step(self, inputs: Tensor, is_current: bool = False) -> Tensor:
        """Scores (n, class) after one timestep: spike counts, or membrane potentials.

        `inputs` is (n, channel, height, width): spike counts, or current (then the first layer's work is no SynOp, and
        is done once for as long as the same tensor is handed in).
        """
        if tuple(inputs.shape) != (self.n, *self.network.input_shape):
            raise NetworkError(f"input has shape {tuple(inputs.shape)}, want {(self.n, *self.network.input_shape)}")
        if is_current and self._pools_input:
            raise NetworkError("a max pool of the input is defined for spikes only; encode the image")
        self._steps += 1
        with torch.inference_mode():
            if self._constant.get("input") is not inputs:
                self._constant = {"input": inputs} if is_current else {}
            values = {"input": _innermost(inputs.to(self.dtype))}
            # How many spikes each value stands for: not what an average pool makes of them, and no current.
            counts = {"input": torch.zeros_like(values["input"]) if is_current else values["input"]}
            for layer in self.network.layers:
                values[layer.name] = self._once(layer, values)
                counts[layer.name] = self._count(layer, values, counts, is_current)
            return self._scores(values)

    def _scores(self, values: dict[str, Tensor]) -> Tensor:
        last, started = self.network.layers[-1], self._steps > self.network.readout.start_step
        if isinstance(last, Neurons):
            spikes = self.spikes[last.name].flatten(1).clone()
            if not started:
                self._early = spikes
            return spikes - self._early
        if started:
            self.v[last.name] += values[last.name]
        return self.v[last.name].flatten(1).clone()

    def _once(self, layer: Layer, values: dict[str, Tensor]) -> Tensor:
        """`_run`, but what a constant current makes in the first layers is kept."""
        if not self._constant or layer.name not in self._unmoved:
            return self._run(layer, [values[name] for name in layer.inputs])
        if layer.name not in self._constant:
            self._constant[layer.name] = self._run(layer, [values[name] for name in layer.inputs])
        return self._constant[layer.name]

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if isinstance(layer, Neurons):
            return self._fire(layer, inputs[0])
        if isinstance(layer, MaxPool2d):
            return self._gates[layer.name].step(inputs[0])
        if isinstance(layer, Delay):
            return self._delayed(inputs[0])
        return computed(layer, inputs, self._arrays[layer.name])

    def _count(self, layer: Layer, values: dict[str, Tensor], counts: dict[str, Tensor], is_current: bool) -> Tensor:
        """How many spikes each value of a layer's output stands for; adds the SynOps of a layer with weights."""
        value = values[layer.name]
        if isinstance(layer, Conv2d | Linear) and self._steps <= self._starts[layer.name]:
            return value
        if isinstance(layer, Conv2d | Linear):
            done = (counts[layer.inputs[0]] * self._fan_out[layer.name]).sum((1, 2, 3))
            self.synops += done
            self.synops_of[layer.name] = self.synops_of.get(layer.name, 0.0) + float(done.sum())
            return value
        if isinstance(layer, Neurons | MaxPool2d):
            return value.abs() if getattr(layer, "signed", True) else value
        if isinstance(layer, Delay):
            return torch.zeros_like(value) if is_current else value
        if not isinstance(layer, AvgPool2d) and all(counts[name] is values[name] for name in layer.inputs):
            return value
        return _hand_on(layer, [counts[name] for name in layer.inputs])

    def _delayed(self, x: Tensor) -> Tensor:
        self._past = [x, *self._past][: max(self._delays) + 1]
        silence = torch.zeros_like(x)
        return torch.cat([self._past[d] if d < len(self._past) else silence for d in self._delays], 1)

    def _fire(self, layer: Neurons, current: Tensor) -> Tensor:
        v, arrays = self.v[layer.name], self._arrays[layer.name]
        threshold = arrays["threshold"]
        if self._steps <= layer.start_step:
            return torch.zeros_like(v)
        if isinstance(layer, LIF):
            v.mul_(arrays["decay"])
        v.add_(current)
        if layer.v_min is not None:
            torch.maximum(v, arrays["v_min"], out=v)
        spikes = _spikes(layer, v, threshold)
        if layer.reset == "subtract":
            v.addcmul_(spikes, threshold, value=-1)
        elif layer.reset == "zero":
            v.masked_fill_(spikes != 0, 0.0)
        self.spikes[layer.name] += spikes
        return spikes


def _spikes(layer: Neurons, v: Tensor, threshold: Tensor) -> Tensor:
    """neurons.py's n; for one spike without a sign a comparison, which is the same and takes a tenth of the time."""
    if not layer.signed and layer.max_spikes == 1:
        return torch.ge(v, threshold, out=torch.empty_like(v))
    if not layer.signed:
        whole = v.floor() if bool((threshold == 1).all()) else torch.div(v, threshold, rounding_mode="floor")
        return whole.clamp_(0, layer.max_spikes)
    return torch.div(v.abs(), threshold, rounding_mode="floor").clamp_(max=layer.max_spikes).mul_(v.sign())


def _starts(network: Network) -> dict[str, int]:
    """For each layer: the step up to which what it makes is lost, because the neurons behind it have not started."""
    starts: dict[str, int] = {}
    for layer in reversed(network.layers):
        behind = [other for other in network.layers if layer.name in other.inputs]
        waits = [other.start_step if isinstance(other, Neurons) else starts[other.name] for other in behind]
        starts[layer.name] = min(waits, default=0)
    return starts


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
            ones = torch.ones(layer.weight.shape, dtype=torch.float64)
            options = (None, layer.stride, layer.padding, layer.dilation, layer.groups)
            with torch.inference_mode(False), torch.enable_grad():  # whatever the caller is in
                probe = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
                maps[layer.name] = torch.autograd.grad(functional.conv2d(probe, ones, *options).sum(), probe)[0][0]
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


def _innermost(x: Tensor) -> Tensor:
    """The same (n, channel, height, width) with its channels side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def tensors(layer: Layer, dtype: torch.dtype) -> dict[str, Tensor]:
    """The arrays of a layer; what there is per channel of neurons as (1, channel, 1, 1)."""
    arrays = {
        name: torch.from_numpy(np.array(value)).to(dtype)
        for name, value in vars(layer).items()
        if isinstance(value, np.ndarray)
    }
    if isinstance(layer, Neurons):
        return {name: array.view(1, -1, 1, 1) for name, array in arrays.items()}
    return {name: _innermost(array) if array.ndim == 4 else array for name, array in arrays.items()}


def computed(layer: Layer, inputs: list[Tensor], arrays: Mapping[str, Tensor]) -> Tensor:
    """What a layer without state makes of its inputs."""
    x = inputs[0]
    if isinstance(layer, Linear):
        return functional.linear(x.flatten(1), arrays["weight"], arrays.get("bias"))[:, :, None, None]
    if isinstance(layer, Conv2d):
        return functional.conv2d(
            x, arrays["weight"], arrays.get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups
        )
    if isinstance(layer, AvgPool2d):
        return functional.avg_pool2d(x, layer.kernel, layer.stride, layer.padding)
    return _hand_on(layer, inputs)


def _hand_on(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """What a layer without weights and without state makes of its inputs; an average pool only sums here."""
    x = inputs[0]
    if isinstance(layer, SumPool2d | AvgPool2d):
        return functional.avg_pool2d(x, layer.kernel, layer.stride, layer.padding, divisor_override=1)
    if isinstance(layer, Upsample):
        return x.repeat_interleave(layer.factor[0], 2).repeat_interleave(layer.factor[1], 3)
    if isinstance(layer, Flatten):
        return x.flatten(1)[:, :, None, None]
    if isinstance(layer, Concat):
        return torch.cat(inputs, 1)
    if isinstance(layer, Add):
        return torch.stack(inputs).sum(0)
    raise NetworkError(f"layer {layer.name!r} is a {type(layer).__name__}, which is not simulated here")


def _without_state(network: Network) -> set[str]:
    """Layers whose output depends on the present input alone."""
    found: set[str] = set()
    for layer in network.layers:
        if not isinstance(layer, Neurons | MaxPool2d | Delay) and all(n in found or n == "input" for n in layer.inputs):
            found.add(layer.name)
    return found
