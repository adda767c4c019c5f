"""The dense baseline in ONNX Runtime: one graph for a step, membranes in and out, one thread."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from dvs_run.pipeline.network import IF, Conv2d, Linear, Network

from .dense import Dense, Kind, threshold_of, torch_layer

TENSOR_FLOAT = 1  # onnx.TensorProto.FLOAT


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


class Graph:
    """Nodes and constants as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: np.ndarray) -> str:
        """The name under which nodes find an array."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operation: str, sources: Sequence[str], target: str | None = None, **settings: Any) -> str:
        """The name of its output."""
        from onnx import helper

        name = target or f"{operation}{len(self.nodes) + 1}"
        self.nodes.append(helper.make_node(operation, list(sources), [name], **settings))
        return name


def onnx_model(dense: Dense, kind: Kind) -> Any:
    """Conv, Add, GreaterOrEqual, Cast, Mul, Sub for each layer of neurons; the states are `name` and `name.next`."""
    from onnx import helper

    graph, x = Graph(), "input"
    for layer in dense.layers:
        if isinstance(layer, Conv2d | Linear):
            made = torch_layer(layer, dense)
            sources = [x, graph.constant(made.weight.numpy())]
            sources += [] if made.bias is None else [graph.constant(made.bias.numpy())]
            if isinstance(layer, Conv2d):
                pads = [*layer.padding, *layer.padding]
                x = graph.node(
                    "Conv", sources, pads=pads, strides=layer.stride, dilations=layer.dilation, group=layer.groups
                )
            else:
                sources[0] = graph.node("Flatten", [x])
                x = graph.node("Gemm", sources, transB=1)
        elif isinstance(layer, IF):
            if kind != "convolutions":
                x = graph.node("Relu", [x]) if kind == "cnn" else _fire(graph, x, layer, dense)
        else:
            x = graph.node("AveragePool", [x], kernel_shape=layer.kernel, strides=layer.stride)
    last = dense.layers[-1].name
    graph.node("Add", [x, last], last + ".next") if kind == "snn" else graph.node("Identity", [x], "output")

    def value(name: str, shape: Sequence[int] | None) -> Any:
        return helper.make_tensor_value_info(name, TENSOR_FLOAT, shape)

    inputs = [value("input", [1, *dense.input_shape])]
    outputs = [value("output", None)]
    if kind == "snn":
        shapes = {name: shape[:2] if shape[2:] == (1, 1) else shape for name, shape in dense.states.items()}
        inputs += [value(name, shape) for name, shape in shapes.items()]
        outputs = [value(name + ".next", shape) for name, shape in shapes.items()]
    step = helper.make_graph(graph.nodes, "step", inputs, outputs, graph.constants)
    return helper.make_model(step, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _fire(graph: Graph, x: str, layer: IF, dense: Dense) -> str:
    """The spikes of neurons on which `x` arrives."""
    flat = len(dense.states[layer.name]) == 4 and dense.states[layer.name][2:] == (1, 1)
    value = threshold_of(layer)
    array = np.float32(value) if isinstance(value, float) else value.numpy()
    threshold = graph.constant(np.asarray(array, np.float32).reshape(1, -1) if flat else np.asarray(array))
    v = graph.node("Add", [x, layer.name])
    spikes = graph.node("Cast", [graph.node("GreaterOrEqual", [v, threshold])], to=TENSOR_FLOAT)
    graph.node("Sub", [v, graph.node("Mul", [spikes, threshold])], layer.name + ".next")
    return spikes
