"""Dense baselines: one CNN-shaped step a slice on a dense frame, with stateful neurons, one thread.

Each does what a careful user of a good dense library would do: layers as convolutions, membranes kept between steps,
compare and subtract. The frames are made beforehand and cost them nothing. Beside each stands what its convolutions
cost alone, without any neuron, which no dense SNN step can beat, and (with ReLUs) one pass as a CNN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dvs_run.pipeline.network import IF, Conv2d, Delay, Layer, Linear, Network, SumPool2d

Kind = Literal["snn", "convolutions", "cnn"]  # with neurons; nothing in their place; ReLUs in their place
POOLS = ("SumPool2d", "AvgPool2d")


@dataclass
class Dense:
    """A network as a dense library sees it: its layers, and the shape of each state."""

    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int]
    states: dict[str, tuple[int, ...]]  # of each IF, and of the last layer

    @staticmethod
    def of(network: Network) -> "Dense":
        """Raises SystemExit for layers that the baselines do not know."""
        shapes = network.shapes()
        layers = [
            layer for layer in network.layers if not isinstance(layer, Delay) and type(layer).__name__ != "Flatten"
        ]
        for layer in layers:
            if not isinstance(layer, Conv2d | Linear | IF) and type(layer).__name__ not in POOLS:
                raise SystemExit(f"the dense baselines do not know layer {layer.name!r} ({type(layer).__name__})")
        first = network.layers[0]
        shape = shapes[first.name] if isinstance(first, Delay) else network.input_shape
        states = {layer.name: (1, *shapes[layer.name]) for layer in layers if isinstance(layer, IF)}
        states[layers[-1].name] = (1, *shapes[layers[-1].name])
        return Dense(tuple(layers), shape, states)

    def begin(self, name: str) -> Tensor:
        """The state of `name` after a reset."""
        layer = next(layer for layer in self.layers if layer.name == name)
        if isinstance(layer, IF):
            return column(layer.v_init).expand(self.states[name]).contiguous()
        return torch.zeros(self.states[name])


class Module(nn.Module):
    """The network for torch, eager or compiled: (frame, states) to states; or frame to output where kind is not snn."""

    def __init__(self, dense: Dense, kind: Kind) -> None:
        super().__init__()
        self.kind, self.plan = kind, []
        self.weights = nn.ModuleList()
        for layer in dense.layers:
            if isinstance(layer, Conv2d | Linear):
                self.weights.append(torch_layer(layer, dense))
                self.plan.append(("linear" if isinstance(layer, Linear) else "conv", len(self.weights) - 1))
            elif isinstance(layer, IF):
                self.plan.append(("if", threshold_of(layer)))
            else:
                self.plan.append(("pool", (layer.kernel, layer.stride)))

    def forward(self, x: Tensor, states: list[Tensor]) -> Any:
        done = []
        for what, value in self.plan:
            if what == "conv":
                x = self.weights[value](x)
            elif what == "linear":
                x = self.weights[value](x.flatten(1))[:, :, None, None]
            elif what == "pool":
                x = functional.avg_pool2d(x, *value)
            elif self.kind == "cnn":
                x = functional.relu(x)
            elif self.kind == "snn":
                v = states[len(done)] + x
                x = (v >= value).to(v.dtype)
                done.append(v - x * value)
        if self.kind != "snn":
            return x
        done.append(states[-1] + x)
        return done


class TorchStep:
    """Torch, eager with channels last, or compiled."""

    def __init__(self, network: Network, inputs: Tensor, kind: Kind, compiled: bool) -> None:
        self.dense, self.kind = Dense.of(network), kind
        last = torch.channels_last
        self.inputs = [frame[None].contiguous(memory_format=last) for frame in inputs]
        self.module = Module(self.dense, kind).eval().to(memory_format=last)
        self.call: Callable[..., Any] = compiled_for_inference(self.module) if compiled else self.module
        self.reset()
        self.run(2)

    def reset(self) -> None:
        self.states: list[Tensor] = []
        if self.kind == "snn":
            last = torch.channels_last
            self.states = [self.dense.begin(name).contiguous(memory_format=last) for name in self.dense.states]

    def run(self, steps: int | None = None) -> None:
        call, states = self.call, self.states
        with torch.no_grad():
            if self.kind == "snn":
                for x in self.inputs[:steps]:
                    states = call(x, states)
            else:
                for x in self.inputs[:steps]:
                    call(x, states)
        self.states = states

    def potentials(self) -> dict[str, np.ndarray]:
        return {name: v[0].numpy() for name, v in zip(self.dense.states, self.states, strict=True)}


class EagerStep(TorchStep):
    """Eager, with the neurons in place: no new membranes a step."""

    def __init__(self, network: Network, inputs: Tensor, kind: Kind) -> None:
        super().__init__(network, inputs, kind, compiled=False)
        if kind == "snn":
            self.call = self._in_place

    def _in_place(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        k = 0
        for what, value in self.module.plan:
            if what == "conv":
                x = self.module.weights[value](x)
            elif what == "linear":
                x = self.module.weights[value](x.flatten(1))[:, :, None, None]
            elif what == "pool":
                x = functional.avg_pool2d(x, *value)
            else:
                v, k = states[k].add_(x), k + 1
                x = (v >= value).to(v.dtype)
                if isinstance(value, float):
                    v.sub_(x, alpha=value)
                else:
                    v.addcmul_(x, value, value=-1)
        states[k].add_(x)
        return states


def compiled_for_inference(module: Callable[..., Any], freeze: bool = True) -> Callable[..., Any]:
    """The fastest of the modes that were tried, under no_grad: autotuned, and with constant weights repacked.

    freeze: whether whatever the module holds is constant, which is wrong for one that keeps its state in buffers.
    """
    import torch._dynamo.config
    import torch._inductor.config
    import torch._inductor.select_algorithm

    torch._inductor.select_algorithm.PRINT_AUTOTUNE = False
    torch._inductor.config.freezing = freeze
    torch._dynamo.config.recompile_limit = 64  # a class that is compiled once per layer counts each as a recompilation
    return torch.compile(module, mode="max-autotune-no-cudagraphs", dynamic=False)


def torch_layer(layer: Conv2d | Linear, dense: Dense) -> nn.Module:
    """The same layer for torch; the sum of a pool before it becomes 4 (or so) times its average here."""
    weight = torch.from_numpy(np.array(layer.weight)) * pooled_before(layer, dense)
    bias = None if layer.bias is None else nn.Parameter(torch.from_numpy(np.array(layer.bias)))
    made: nn.Conv2d | nn.Linear
    if isinstance(layer, Conv2d):
        out, into, *kernel = weight.shape
        made = nn.Conv2d(
            into * layer.groups,
            out,
            (kernel[0], kernel[1]),
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            bias is not None,
        )
    else:
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.weight = nn.Parameter(weight)
    made.bias = bias
    return made.requires_grad_(False)


def pooled_before(layer: Layer, dense: Dense) -> int:
    """What a sum is, in averages, of the pools that feed this layer."""
    by_name = {other.name: other for other in dense.layers}
    factor, source = 1, by_name.get(layer.inputs[0])
    while source is not None and type(source).__name__ in (*POOLS, "Flatten"):
        if isinstance(source, SumPool2d):
            factor *= source.kernel[0] * source.kernel[1]
        source = by_name.get(source.inputs[0])
    return factor


def threshold_of(layer: IF) -> float | Tensor:
    """One number where all channels share it."""
    first = float(layer.threshold[0])
    return first if (layer.threshold == first).all() else column(layer.threshold)


def column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32)).view(1, -1, 1, 1)
