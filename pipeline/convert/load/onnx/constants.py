"""Nodes of an ONNX file that do not depend on its input: shape arithmetic and prepared weights, computed while reading.

The onnx package's reference evaluator computes them, one node at a time, so that each opset means what it says. Only
the operations listed here are computed, and only if what they give fits in memory.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..module_builder import MAX_VALUES
from .file import OnnxNode

FOLDABLE = {
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear", "Div",
    "Dropout", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Log", "Max",
    "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape", "Round", "Sign", "Slice", "Split",
    "Sqrt", "Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip


def fold(node: OnnxNode, arrays: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray]:
    """The outputs of a node whose inputs are constants (None: left out). Raises ValueError where they are too large."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    if _bound(node, arrays) > MAX_VALUES:
        raise ValueError(f"the constant has more than {MAX_VALUES:,} values")
    feeds = {name: array for name, array in zip(node.inputs, arrays, strict=True) if array is not None}
    helper: Any = onnx.helper
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
              for name, array in feeds.items()]  # fmt: skip
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([node.proto], "constant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    found = iter(ReferenceEvaluator(model).run(None, feeds))
    return [_plain(next(found)) if name else np.zeros(0, np.float32) for name in node.outputs]


def _bound(node: OnnxNode, arrays: Sequence[np.ndarray | None]) -> int:
    """At least how many values the result has at most."""
    given = [array for array in arrays if array is not None]
    if node.op in ("ConstantOfShape", "Expand"):
        shape = [int(side) for side in given[-1].reshape(-1)]
        return math.prod(max(side, 1) for side in shape) * (given[0].size if node.op == "Expand" else 1)
    if node.op == "Range":
        start, stop, step = (float(array.reshape(-1)[0]) for array in given)
        return abs(int((stop - start) / step)) if step else MAX_VALUES + 1
    if node.op == "Gather":
        return given[0].size * max(given[1].size, 1)
    if node.op == "Concat":
        return sum(array.size for array in given)
    if node.op in ("Slice", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten") or len(given) < 2:
        return given[0].size if given else 0
    return math.prod(max(sides) for sides in _aligned([array.shape for array in given]))


def _aligned(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The sides of each axis, the last axes of all shapes beside each other."""
    axes = max(map(len, shapes))
    return list(zip(*[(1,) * (axes - len(shape)) + shape for shape in shapes], strict=True))


def _plain(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind not in "iub" else array
