"""A torch module under construction: the values of an ONNX file so far, and what is still owed to them.

A transposition to channels-last, as exports from Keras have around their flattening, is not carried out but owed
(`Data.axes`, `Data.order`), and paid by permuting the next weights. So is a Pad before a convolution (`Data.pads`).
"""

import keyword
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from ..errors import ConversionError
from .onnx_file import OnnxGraph

MAX_VALUES = 1 << 28  # of one activation of one input: more is a mistake in the file
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class Data:
    """A value that depends on the input: the fx node that computes it, and what is still owed to it."""

    node: fx.Node
    shape: tuple[int, ...]  # as the file sees it, the batch first
    pads: tuple[int, int, int, int] | None = (
        None  # rows and columns of zeros to be put around: top, left, bottom, right
    )
    axes: tuple[int, ...] | None = None  # axis i of the file is axis axes[i] of the node
    order: np.ndarray | None = None  # feature i of the file is feature order[i] of the node

    def bare(self) -> "Data":
        """The value of the node itself, as if nothing were owed."""
        shape = self.shape
        if self.axes is not None:
            shape = tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))
        elif self.pads is not None:
            top, left, bottom, right = self.pads
            shape = (*shape[:-2], shape[-2] - top - bottom, shape[-1] - left - right)
        return Data(self.node, shape)


Value = Data | np.ndarray
_RESERVED = fx.GraphModule(nn.Module(), fx.Graph())  # the names that it has are not for layers


class Builder:
    """Collects the layers. `values` holds what every name of the file stands for so far."""

    def __init__(self, graph: OnnxGraph, path: Path) -> None:
        self.file, self.path = graph, path
        self.values: dict[str, Value] = dict(graph.constants)
        self.notes: list[str] = []
        self.root, self.graph = nn.Module(), fx.Graph()
        self._taken: set[str] = {"input", "output"}

    def begin(self, wanted: Sequence[int] | None) -> Shape3:
        """The placeholder. Returns (channel, height, width)."""
        dims, name = self.file.input_dims, self.file.input
        batch = dims[0] or 1
        if len(dims) == 2:
            shape = self._flat_shape(dims[1], wanted)
            node = self.graph.placeholder("input")
            data = Data(node, (batch, *shape))
            flat = (batch, math.prod(shape))
            self.values[name] = self.module("flatten_input", nn.Flatten(), data, flat)
            return shape
        last = self._is_channels_last()
        if last:
            dims = tuple(dims[axis] for axis in TO_CHANNELS_FIRST)
            self.notes.append("the file takes (n, height, width, channel); here it takes (n, channel, height, width)")
        shape = self._image_shape(dims, wanted)
        data = Data(self.graph.placeholder("input"), (batch, *shape))
        self.values[name] = self.transposed(data, TO_CHANNELS_LAST) if last else data
        return shape

    def _is_channels_last(self) -> bool:
        """Whether all that ever happens to the input is that its channels are moved to the front."""
        uses = [node for node in self.file.nodes if self.file.input in node.inputs]
        return bool(uses) and all(
            node.op == "Transpose" and tuple(node.attributes.get("perm", ())) == TO_CHANNELS_FIRST for node in uses
        )

    def _flat_shape(self, features: int | None, wanted: Sequence[int] | None) -> Shape3:
        if wanted is None or features not in (None, math.prod(wanted)):
            found = "any number of" if features is None else str(features)
            raise ConversionError(
                f"{self.path}: its input {self.file.input!r} is flat ({found} features); say what is flattened with "
                f"--input-shape CHANNEL,HEIGHT,WIDTH{'' if features is None else f' of {features} values'}"
            )
        return _shape3(wanted)

    def _image_shape(self, dims: tuple[int | None, ...], wanted: Sequence[int] | None) -> Shape3:
        said = dims[1:]
        shape = said if wanted is None else _shape3(wanted)
        agrees = all(have in (None, want) for have, want in zip(said, shape, strict=True))
        if None in shape or not agrees:
            text = ",".join("?" if side is None else str(side) for side in said)
            given = "" if wanted is None else f", which --input-shape {','.join(map(str, wanted))} does not fit"
            raise ConversionError(
                f"{self.path}: its input {self.file.input!r} is {text} (channel, height, width){given}; say the whole "
                "shape with --input-shape, such as 3,32,32"
            )
        return _shape3([side or 0 for side in shape])

    def module(self, title: str, module: nn.Module, data: Data, shape: tuple[int, ...] | None = None) -> Data:
        """The value of a layer. What is owed to `data` must have been paid. `shape` is computed where not given."""
        name = self._name(title)
        module = module.eval().requires_grad_(False)
        self.root.add_module(name, module)
        node = self.graph.create_node("call_module", name, (data.node,), {}, name)
        if shape is None:
            empty = {key: value.to("meta") for key, value in module.state_dict(keep_vars=True).items()}
            shape = self._shape_of(lambda x: torch.func.functional_call(module, empty, (x,)), data)
        return Data(node, shape)

    def call(self, title: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Data:
        """The value of a function of torch. Its arguments may be Data, numbers, lists of them, or constant arrays."""
        name = self._name(title)
        nodes = _mapped(args, lambda value: self._argument(name, value))
        node = self.graph.create_node("call_function", function, nodes, kwargs, name)
        return Data(node, self._shape_of(lambda *tensors: function(*tensors, **kwargs), *args))

    def _argument(self, name: str, value: Value) -> Any:
        if isinstance(value, Data):
            return value.node
        if value.size == 1 and value.ndim == 0:
            return value.item()
        buffer = self._name(f"{name}_constant")
        self.root.register_buffer(buffer, torch.from_numpy(np.ascontiguousarray(value)))
        return self.graph.create_node("get_attr", buffer, (), {}, buffer)

    def _shape_of(self, function: Callable[..., Any], *args: Any) -> tuple[int, ...]:
        """The shape that the function gives, without computing a value."""
        shape = tuple(function(*_mapped(args, _empty)).shape)
        if math.prod(shape) > MAX_VALUES:
            raise ValueError(f"its output of shape {shape} has more than {MAX_VALUES:,} values")
        return shape

    def paid(self, title: str, data: Data) -> Data:
        """The value with nothing owed: zeros put around it, axes and features in the file's order."""
        if data.pads is not None:
            top, left, bottom, right = data.pads
            return self.call(f"{title}_pad", functional.pad, data.bare(), (left, right, top, bottom))
        if data.axes is not None:
            data = self.call(f"{title}_permute", torch.permute, data.bare(), data.axes)
        if data.order is not None:
            data = self.call(f"{title}_reorder", torch.index_select, data.bare(), 1, data.order.astype(np.int64))
        return data

    def transposed(self, data: Data, axes: Sequence[int]) -> Data:
        """A transposition, owed. Two that cancel each other leave nothing."""
        owed = tuple((data.axes or tuple(range(len(data.shape))))[axis] for axis in axes)
        shape = tuple(data.shape[axis] for axis in axes)
        return replace(data, axes=None if owed == tuple(range(len(owed))) else owed, shape=shape)

    def finish(self) -> fx.GraphModule:
        """The module, ending with the file's output."""
        name = self.file.output
        value = self.values.get(name)
        if not isinstance(value, Data):
            raise ConversionError(
                f"{self.path}: its output {name!r} {'is made by no node' if value is None else 'is a constant'}; "
                "the file is damaged, or was cut in the wrong place"
            )
        self.graph.output(self.paid("output", value).node)
        module = fx.GraphModule(self.root, self.graph)
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module.eval()

    def _name(self, title: str) -> str:
        """A name for a layer. Made of letters, digits and underscores: torch.fx writes it into Python source."""
        plain = re.sub(r"[^0-9A-Za-z_]+", "_", title).strip("_")[:80] or "node"
        if not plain[0].isalpha() or keyword.iskeyword(plain) or hasattr(_RESERVED, plain) or plain == "meta":
            plain = f"node_{plain}"
        name, number = plain, 1
        while name in self._taken:
            name, number = f"{plain}_{number}", number + 1
        self._taken.add(name)
        return name


def _shape3(shape: Sequence[int]) -> Shape3:
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MAX_VALUES:
        raise ConversionError(
            f"the input shape is {','.join(map(str, shape))}, want CHANNEL,HEIGHT,WIDTH, each at least 1"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def _empty(value: Value) -> Any:
    """A tensor of the same shape without values, for finding out shapes."""
    if isinstance(value, Data):
        return torch.empty(value.shape, device="meta")
    if value.size == 1 and value.ndim == 0:
        return value.item()
    return torch.empty(value.shape, dtype=torch.from_numpy(value[:0] if value.ndim else value).dtype, device="meta")


def _mapped(args: Any, change: Callable[[Value], Any]) -> Any:
    """The arguments with every Data and every array changed, inside lists and tuples too."""
    if isinstance(args, list | tuple):
        return type(args)(_mapped(item, change) for item in args)
    return change(args) if isinstance(args, Data | np.ndarray) else args


def tensor(array: np.ndarray) -> Tensor:
    """A constant of the file as a float32 tensor of its own."""
    return torch.from_numpy(np.array(array, np.float32))
