"""What each ONNX operation is in torch: one rule an operation. Whatever has no rule is refused by name.

Rules are given an Op: the node with its inputs, some of which are constants. Definitions: the operator specification of
ONNX, versions 7 to 24; where a version changed a meaning (Clip, Softmax, Pad, Resize, axes as inputs), both are here.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ....errors import ConversionError, first_line
from ..module_builder import Data, with_weights
from . import layers, shapes
from .build import Builder, tensor
from .constants import FOLDABLE, fold
from .file import OnnxNode
from .node import Op, Results


def convert_node(builder: Builder, node: OnnxNode) -> Results:
    """The values of a node's outputs. Raises ConversionError that names the node."""
    where = f"node {node.title!r} ({node.op}, opset {builder.file.opset})"
    for name in node.inputs:
        if name and name not in builder.values:
            raise ConversionError(
                f"{where} uses {name[:80]!r}, which no node before it makes; the file is damaged, or its nodes are not "
                "in order"
            )
    op = Op(builder, node, tuple(builder.values[name] if name else None for name in node.inputs))
    rule = RULES.get(node.op)
    try:
        if node.op in ("Shape", "Size"):
            return _static_shape(op)
        if not any(isinstance(value, Data) for value in op.inputs):
            if node.op not in FOLDABLE:
                raise op.refuse("it computes a constant in a way that is not known here", _WAY_OUT)
            return fold(node, [value for value in op.inputs if not isinstance(value, Data)], builder.file.opset)
        if rule is None:
            raise op.refuse("there is no such layer here", _WAY_OUT)
        results = rule(op)
    except ConversionError:
        raise
    except Exception as error:  # a damaged file meets torch and numpy in a hundred ways
        raise ConversionError(
            f"{where} does not fit what it is fed: {first_line(error)}; is the input shape right?"
        ) from error
    used = [name for name in node.outputs[len(results) :] if name and _is_used(builder, name)]
    if used:
        raise op.refuse(f"its output {used[0][:80]!r} is used too", "only the first output is known here")
    return results


_WAY_OUT = (
    "fold the file's constants first (onnxsim, or onnxruntime's basic optimizations), or train with a layer that "
    "docs/models.md lists"
)


def _is_used(builder: Builder, name: str) -> bool:
    return name == builder.file.output or any(name in node.inputs for node in builder.file.nodes)


def _static_shape(op: Op) -> Results:
    value = op.inputs[0]
    shape = np.array(value.shape if value is not None else (), np.int64)
    if op.node.op == "Size":
        return [np.array(math.prod(shape.tolist()), np.int64)]
    return [shape[op.attribute("start", 0) : op.attribute("end", len(shape))]]


def _clip(op: Op) -> Results:
    limits = []
    for index, name, unlimited in ((1, "min", -math.inf), (2, "max", math.inf)):
        said = op.constant(index)
        limit = float(op.attribute(name, unlimited) if said is None else said.reshape(-1)[0])
        limits.append(limit if abs(limit) < 3e38 else unlimited)
    low, high = limits
    data = op.data()
    if (low, high) == (0, math.inf):
        return op.module(nn.ReLU(), data)
    if (low, high) == (0, 6):
        return op.module(nn.ReLU6(), data)
    bounds = [None if math.isinf(limit) else limit for limit in (low, high)]
    return [data] if bounds == [None, None] else op.call(torch.clamp, data, *bounds)


def _hard_sigmoid(op: Op) -> Results:
    """max(0, min(1, alpha x + beta)), written out: torch knows it with alpha = 1/6 only."""
    name, make = op.title, op.builder.call
    slope = make(f"{name}_slope", operator.mul, op.data(), op.attribute("alpha", 0.2))
    moved = make(f"{name}_offset", operator.add, slope, op.attribute("beta", 0.5))
    return op.call(torch.clamp, moved, 0.0, 1.0)


def _prelu(op: Op) -> Results:
    slope = op.needed(1)
    data = op.data()
    if slope.size not in (1, data.shape[1]) or (slope.ndim and slope.size != max(slope.shape)):
        raise op.refuse(f"its slopes have shape {slope.shape}", "want one number, or one for each channel")
    return op.module(with_weights(nn.PReLU(slope.size), tensor(slope.reshape(-1)), None), data)


def _softmax(kind: type[nn.Module]) -> Callable[[Op], Results]:
    def rule(op: Op) -> Results:
        data = op.data()
        axes = len(data.shape)
        axis = op.attribute("axis", 1 if op.opset < 13 else -1) % axes
        if op.opset < 13 and math.prod(data.shape[axis + 1 :]) != 1:
            raise op.refuse(
                f"before opset 13 it runs over all axes from {axis} on, here {data.shape[axis:]}", "flatten before it"
            )
        return op.module(kind(dim=axis), data)

    return rule


def _unary(function: Callable[..., Any]) -> Callable[[Op], Results]:
    return lambda op: op.call(function, op.data())


def _activation(make: Callable[[Op], nn.Module]) -> Callable[[Op], Results]:
    """A function of every value for itself: axes and features that are owed stay owed. f(0) = 0 is not asked."""

    def rule(op: Op) -> Results:
        data = op.data(raw=True)
        if data.pads is not None:
            data = op.data()
        return [replace(data, node=op.builder.module(op.title, make(op), data, data.shape).node)]

    return rule


def _binary(function: Callable[..., Any]) -> Callable[[Op], Results]:
    def rule(op: Op) -> Results:
        if len(op.inputs) != 2 or any(value is None for value in op.inputs):
            raise op.refuse(f"it has {len(op.inputs)} inputs", "want two")
        sides = [op.data(i) if isinstance(value, Data) else _plain(op.needed(i)) for i, value in enumerate(op.inputs)]
        return op.call(function, *sides)

    return rule


def _plain(array: np.ndarray) -> np.ndarray:
    """A constant; a single number without axes, so that it can become a Python number."""
    return array.reshape(()) if array.size == 1 else array


def _sum(op: Op) -> Results:
    total = op.data(0) if isinstance(op.inputs[0], Data) else None
    if total is None or len(op.inputs) == 1:
        raise op.refuse("its first input is a constant, or its only one", "want a sum of several layers")
    for index in range(1, len(op.inputs)):
        value = op.data(index) if isinstance(op.inputs[index], Data) else _plain(op.needed(index))
        total = op.builder.call(op.title, operator.add, total, value)
    return [total]


def _identity(op: Op) -> Results:
    if len(op.inputs) > 2 and (mode := op.constant(2)) is not None and bool(mode.any()):
        raise op.refuse("it drops out values in eval mode too (training_mode)", "export the model in eval mode")
    return [op.data(raw=True)]


def _cast(op: Op) -> Results:
    if op.attribute("to") not in (1, 10, 11, 16):  # float, float16, double, bfloat16
        raise op.refuse("it rounds to another kind of number", "export the float model")
    return [op.data(raw=True)]


RULES: dict[str, Callable[[Op], Results]] = {
    "Conv": layers.conv,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "BatchNormalization": layers.batch_norm,
    "Relu": _activation(lambda op: nn.ReLU()),
    "LeakyRelu": _activation(lambda op: nn.LeakyReLU(op.attribute("alpha", 0.01))),
    "Sigmoid": _activation(lambda op: nn.Sigmoid()),
    "Tanh": _activation(lambda op: nn.Tanh()),
    "Elu": _activation(lambda op: nn.ELU(op.attribute("alpha", 1.0))),
    "Selu": _activation(lambda op: nn.SELU()),
    "Celu": _activation(lambda op: nn.CELU(op.attribute("alpha", 1.0))),
    "Gelu": _activation(lambda op: nn.GELU(op.attribute("approximate", "none"))),
    "Mish": _activation(lambda op: nn.Mish()),
    "HardSwish": _activation(lambda op: nn.Hardswish()),
    "Softplus": _activation(lambda op: nn.Softplus()),
    "Softsign": _activation(lambda op: nn.Softsign()),
    "ThresholdedRelu": _activation(lambda op: nn.Threshold(op.attribute("alpha", 1.0), 0.0)),
    "PRelu": _prelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "Softmax": _softmax(nn.Softmax),
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "Abs": _unary(torch.abs),
    "Ceil": _unary(torch.ceil),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Log": _unary(torch.log),
    "Neg": _unary(operator.neg),
    "Reciprocal": _unary(torch.reciprocal),
    "Round": _unary(torch.round),
    "Sign": _unary(torch.sign),
    "Sqrt": _unary(torch.sqrt),
    "AveragePool": layers.average_pool,
    "MaxPool": layers.max_pool,
    "GlobalAveragePool": layers.global_pool(lambda: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": layers.global_pool(lambda: nn.AdaptiveMaxPool2d(1)),
    "ReduceMean": layers.reduction(torch.mean),
    "ReduceSum": layers.reduction(torch.sum),
    "ReduceMax": layers.reduction(torch.amax),
    "Resize": layers.resize,
    "Upsample": layers.resize,
    "Reshape": shapes.reshape,
    "Flatten": shapes.flatten,
    "Squeeze": shapes.squeeze,
    "Unsqueeze": shapes.unsqueeze,
    "Transpose": shapes.transpose,
    "Pad": shapes.pad,
    "Concat": shapes.concat,
    "Split": shapes.split,
    "Slice": shapes.cut,
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _binary(operator.truediv),
    "Pow": _binary(operator.pow),
    "Sum": _sum,
    "Identity": _identity,
    "Dropout": _identity,
    "Cast": _cast,
}
