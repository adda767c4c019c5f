"""The dense baseline in ONNX Runtime: one graph for a step, membranes in and out, one thread."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from dvs_run.pipeline.network import IF, Conv2d, Linear, Network

from .dense import Dense, Kind, threshold_of, torch_layer


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
