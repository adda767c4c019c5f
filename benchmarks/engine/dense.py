"""Dense baselines: one CNN-shaped step a slice on a dense frame, with stateful neurons, one thread.

Each does what a careful user of a good dense library would do: layers as convolutions, membranes kept between steps,
compare and subtract. The frames are made beforehand and cost them nothing. Beside each stands what its convolutions
cost alone, without any neuron, which no dense SNN step can beat, and (with ReLUs) one pass as a CNN.
"""

from collections.abc import Callable, Sequence
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
            return _column(layer.v_init).expand(self.states[name]).contiguous()
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


class OnnxStep:
    """ONNX Runtime: one graph, membranes in and out, both bound beforehand and swapped each step."""

    def __init__(self, network: Network, inputs: Tensor, kind: Kind) -> None:
        import onnxruntime

        self.dense, self.kind = Dense.of(network), kind
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        model = onnx_model(self.dense, kind).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        self.inputs = [value(frame[None].numpy()) for frame in inputs]
        self.names = list(self.dense.states) if kind == "snn" else []
        begin = {name: self.dense.begin(name).numpy() for name in self.names}
        begin = {name: v.reshape(1, -1) if v.shape[2:] == (1, 1) else v for name, v in begin.items()}
        self.begin = begin
        self.sides = [{name: value(array.copy()) for name, array in begin.items()} for _ in range(2)]
        self.bindings = [self._bind(self.sides[0], self.sides[1]), self._bind(self.sides[1], self.sides[0])]
        self.reset()
        self.run(2)

    def _bind(self, source: dict[str, Any], target: dict[str, Any]) -> Any:
        binding = self.session.io_binding()
        for name in self.names:
            binding.bind_ortvalue_input(name, source[name])
            binding.bind_ortvalue_output(name + ".next", target[name])
        if not self.names:
            binding.bind_output("output")
        return binding

    def reset(self) -> None:
        for name in self.names:
            self.sides[0][name].update_inplace(self.begin[name])

    def run(self, steps: int | None = None) -> None:
        session, (now, then) = self.session, self.bindings
        for x in self.inputs[:steps]:
            now.bind_ortvalue_input("input", x)
            session.run_with_iobinding(now)
            now, then = then, now
        self.last = self.sides[0] if now is self.bindings[0] else self.sides[1]

    def potentials(self) -> dict[str, np.ndarray]:
        return {name: self.last[name].numpy()[0] for name in self.names}


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
    return first if (layer.threshold == first).all() else _column(layer.threshold)


def onnx_model(dense: Dense, kind: Kind) -> Any:
    """Conv, Add, GreaterOrEqual, Cast, Mul, Sub for each layer of neurons; the states are `name` and `name.next`."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, x, counter = [], [], "input", 0

    def constant(array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"constant{len(constants)}"))
        return constants[-1].name

    def node(operation: str, sources: Sequence[str], target: str | None = None, **settings: Any) -> str:
        nonlocal counter
        counter += 1
        name = target or f"{operation}{counter}"
        nodes.append(helper.make_node(operation, list(sources), [name], **settings))
        return name

    for layer in dense.layers:
        if isinstance(layer, Conv2d | Linear):
            made = torch_layer(layer, dense)
            sources = [x, constant(made.weight.numpy())]
            sources += [] if made.bias is None else [constant(made.bias.numpy())]
            if isinstance(layer, Conv2d):
                pads = [*layer.padding, *layer.padding]
                x = node("Conv", sources, pads=pads, strides=layer.stride, dilations=layer.dilation, group=layer.groups)
            else:
                sources[0] = node("Flatten", [x])
                x = node("Gemm", sources, transB=1)
        elif isinstance(layer, IF):
            flat = len(dense.states[layer.name]) == 4 and dense.states[layer.name][2:] == (1, 1)
            if kind == "cnn":
                x = node("Relu", [x])
            elif kind == "snn":
                value = threshold_of(layer)
                array = np.float32(value) if isinstance(value, float) else value.numpy()
                threshold = constant(np.asarray(array, np.float32).reshape(1, -1) if flat else np.asarray(array))
                v = node("Add", [x, layer.name])
                x = node("Cast", [node("GreaterOrEqual", [v, threshold])], to=TensorProto.FLOAT)
                node("Sub", [v, node("Mul", [x, threshold])], layer.name + ".next")
        else:
            x = node("AveragePool", [x], kernel_shape=layer.kernel, strides=layer.stride)
    last = dense.layers[-1].name
    node("Add", [x, last], last + ".next") if kind == "snn" else node("Identity", [x], "output")

    def value(name: str, shape: Sequence[int] | None) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("input", [1, *dense.input_shape])]
    outputs = [value("output", None)]
    if kind == "snn":
        shapes = {name: shape[:2] if shape[2:] == (1, 1) else shape for name, shape in dense.states.items()}
        inputs += [value(name, shape) for name, shape in shapes.items()]
        outputs = [value(name + ".next", shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "step", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32)).view(1, -1, 1, 1)
