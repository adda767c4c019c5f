"""An ONNX file as plain Python: nodes, constants, input and outputs, each checked. What the nodes mean: ops.py.

A file may come from a stranger: nothing in it is executed, no size in it is believed before it was compared with what
is there, and weights in files beside it are read only from inside its own folder.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import ConversionError, DvsError, RecordingError, first_line
from ....files import open_regular
from ...returned import chosen_output

MAX_BYTES = 2 << 30  # what one protobuf may hold at all
OPSETS = (7, 24)  # first and last version of the operators whose definitions were read for ops.py
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
STANDARD_DOMAINS = ("", "ai.onnx")

Dims = tuple[int | None, ...]  # None: not said by the file


@dataclass(frozen=True)
class OnnxNode:
    """One operation. `title` is what messages call it: its name, or its operation and place where it has none."""

    title: str
    op: str
    inputs: tuple[str, ...]  # "": left out
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any  # the NodeProto, from which the onnx package computes constants


@dataclass(frozen=True)
class OnnxGraph:
    nodes: tuple[OnnxNode, ...]
    constants: dict[str, np.ndarray]
    input: str
    input_dims: Dims
    output: str
    opset: int


def read_graph(path: Path, output: int | str | None = None) -> OnnxGraph:
    """Read and check one file. Raises ConversionError for what cannot be used, with a way out.

    Of several outputs `output` chooses one, by name or number; `nodes` are those that it needs.
    """
    onnx = _package()
    model = _parse(onnx, path)
    if len(model.functions):
        raise ConversionError(
            f"{path} defines {len(model.functions)} functions of its own; write them out first: "
            "onnx.save(onnx.inliner.inline_local_functions(onnx.load(IN)), OUT)"
        )
    opset = _opset(path, model)
    graph = model.graph
    if graph.sparse_initializer:
        raise ConversionError(f"{path} holds sparse weights; export the model with dense ones")
    constants = {item.name: _array(onnx, item, path) for item in graph.initializer}
    name, dims = _input(onnx, graph, path, constants)
    names = [item.name for item in graph.output]
    scores = names[chosen_output(names, output, str(path))]
    nodes = tuple(_needed(list(_nodes(onnx, graph, path, opset)), scores))
    return OnnxGraph(nodes, constants, name, dims, scores, opset)


def _needed(nodes: list[OnnxNode], output: str) -> list[OnnxNode]:
    """The nodes, in their order, that an output is made by."""
    wanted, found = {output}, []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise DvsError(f"reading ONNX files needs the package onnx ({error}): pip install 'dvs-run[onnx]'") from None
    return onnx


def _parse(onnx: Any, path: Path) -> Any:
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except RecordingError as error:
        raise ConversionError(str(error)) from error
    if len(data) > MAX_BYTES:
        raise ConversionError(f"{path} is larger than 2 GiB, which no ONNX file is; weights go into files beside it")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has several kinds of its own
        raise ConversionError(f"{path} is not an ONNX file, or a damaged one: {first_line(error)}") from error
    if not model.opset_import or not model.graph.node:
        raise ConversionError(f"{path} is not an ONNX file, or an empty one: it holds no operations")
    return model


def _opset(path: Path, model: Any) -> int:
    versions = [item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS]
    if len(versions) != 1 or not OPSETS[0] <= versions[0] <= OPSETS[1]:
        found = versions[0] if len(versions) == 1 else "not said"
        raise ConversionError(
            f"{path}: its opset is {found}, want {OPSETS[0]} to {OPSETS[1]}; export it with opset_version=17, or use "
            "onnx.version_converter"
        )
    return int(versions[0])


def _nodes(onnx: Any, graph: Any, path: Path, opset: int) -> Iterator[OnnxNode]:
    for index, proto in enumerate(graph.node):
        title = f"{proto.op_type}_{index}" if not proto.name else proto.name[:120]
        where = f"node {title!r} ({proto.op_type[:60]}, opset {opset})"
        if proto.domain not in STANDARD_DOMAINS:
            raise ConversionError(
                f"{where} is of the domain {proto.domain[:60]!r}, which only some runtimes know; export the float "
                "model with standard operators, before quantization and without a runtime's own optimizations"
            )
        if proto.op_type in CONTROL_FLOW:
            raise ConversionError(
                f"{where} decides while running what to compute; export the model for one input shape (without "
                "dynamic axes), so that it is written out"
            )
        attributes = {item.name: _attribute(onnx, item, f"{path}: {where}") for item in proto.attribute}
        yield OnnxNode(title, proto.op_type, tuple(proto.input), tuple(proto.output), attributes, proto)


def _attribute(onnx: Any, item: Any, where: str) -> Any:
    kinds = onnx.AttributeProto
    if item.type == kinds.FLOAT:
        return float(item.f)
    if item.type == kinds.INT:
        return int(item.i)
    if item.type == kinds.STRING:
        return item.s.decode("utf-8", "replace")
    if item.type == kinds.FLOATS:
        return [float(value) for value in item.floats]
    if item.type == kinds.INTS:
        return [int(value) for value in item.ints]
    if item.type == kinds.STRINGS:
        return [value.decode("utf-8", "replace") for value in item.strings]
    if item.type == kinds.TENSOR:
        return _array(onnx, item.t, None)
    raise ConversionError(
        f"{where} has an attribute {item.name[:60]!r} of a kind that no layer known here uses; export the model with "
        "standard operators, in eval mode"
    )


def _input(onnx: Any, graph: Any, path: Path, constants: dict[str, np.ndarray]) -> tuple[str, Dims]:
    inputs = [item for item in graph.input if item.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(repr(item.name) for item in inputs) or "none"
        raise ConversionError(
            f"{path} has {len(inputs)} inputs ({names}), want one, the image or slice; give the others as "
            "constants when exporting"
        )
    tensor = inputs[0].type.tensor_type
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    if tensor.elem_type not in floats:
        kind = "unknown type" if tensor.elem_type not in onnx.TensorProto.DataType.values() else (
            onnx.TensorProto.DataType.Name(tensor.elem_type)
        )  # fmt: skip
        raise ConversionError(f"{path}: its input {inputs[0].name!r} is {kind}, want FLOAT; cast before the model")
    dims = tuple(int(dim.dim_value) if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    if len(dims) not in (2, 4):
        raise ConversionError(
            f"{path}: its input {inputs[0].name!r} has {len(dims)} axes, want (n, channel, height, width) or "
            "(n, features)"
        )
    return inputs[0].name, dims


def _array(onnx: Any, tensor: Any, path: Path | None) -> np.ndarray:
    """The numbers of one TensorProto; `path`: the model's file, beside which weights may lie. Floats become float32."""
    name, kinds = tensor.name[:80], onnx.TensorProto
    known = (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.BFLOAT16, kinds.BOOL, kinds.INT8, kinds.UINT8, kinds.INT16,
             kinds.UINT16, kinds.INT32, kinds.UINT32, kinds.INT64, kinds.UINT64)  # fmt: skip
    if tensor.data_type not in known or tensor.HasField("segment") or any(side < 0 for side in tensor.dims):
        raise ConversionError(f"tensor {name!r} is not an array of plain numbers; export the model in float32")
    try:
        if tensor.data_location == kinds.EXTERNAL:
            width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
            data = _external(tensor, path, math.prod(tensor.dims) * width)
            plain = kinds(data_type=tensor.data_type, dims=tensor.dims, raw_data=data)
            array = onnx.numpy_helper.to_array(plain)
        else:
            array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        shape = "x".join(map(str, tensor.dims))
        raise ConversionError(
            f"tensor {name!r} says it is {shape[:60]}, but holds another number of values ({first_line(error)}); "
            "the file is damaged"
        ) from error
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind not in "iub" else array


def _external(tensor: Any, path: Path | None, wanted: int) -> bytes:
    said = {item.key: item.value for item in tensor.external_data}
    location, name = said.get("location", ""), tensor.name[:80]
    folder = None if path is None else path.parent
    if folder is None or not location or not (folder / location).resolve().is_relative_to(folder.resolve()):
        raise ConversionError(
            f"tensor {name!r} is said to lie in {location[:120]!r}, want a file within the model's own folder; save "
            "the model again with onnx.save"
        )
    offset, length = int(said.get("offset") or 0), int(said.get("length") or wanted)
    if length != wanted or offset < 0:
        raise ConversionError(
            f"tensor {name!r} needs {wanted} bytes, but {length} are said to be in {location[:120]!r}; the file is "
            "damaged: save the model again with onnx.save"
        )
    try:
        with open_regular(folder / location) as file:
            size = file.seek(0, 2)
            if size < offset + wanted:
                raise ConversionError(
                    f"{folder / location} has {size} bytes, but tensor {name!r} is said to end at {offset + wanted}; "
                    "copy it again together with the model"
                )
            file.seek(offset)
            return file.read(wanted)
    except RecordingError as error:
        raise ConversionError(f"the weights of {path}: {error}; copy the file beside the model") from error
