"""A torch module under construction: the values of an ONNX file so far, and what is still owed to them.

A transposition to channels-last, as exports from Keras have around their flattening, is not carried out but owed
(`Data.axes`, `Data.order`), and paid by permuting the next weights. So is a Pad before a convolution (`Data.pads`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from ....errors import ConversionError
from ...activation import Shape
from ..module_builder import MAX_VALUES, Data, ModuleBuilder, Value
from .file import OnnxGraph

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class Builder(ModuleBuilder):
    """Collects the layers. `values` holds what every name of the file stands for so far."""

    def __init__(self, graph: OnnxGraph, path: Path) -> None:
        super().__init__()
        self.file, self.path = graph, path
        self.values: dict[str, Value] = dict(graph.constants)
        self.notes: list[str] = []

    def begin(self, wanted: Sequence[int] | None) -> Shape:
        """The placeholder. Returns (channel, height, width)."""
        dims, name = self.file.input_dims, self.file.input
        batch = dims[0] or 1
        if len(dims) == 2:
            shape = self._flat_shape(dims[1], wanted)
            self.values[name] = self.module("flatten_input", nn.Flatten(), self.input((batch, *shape)))
            return shape
        last = self._is_channels_last()
        if last:
            dims = tuple(dims[axis] for axis in TO_CHANNELS_FIRST)
            self.notes.append("the file takes (n, height, width, channel); here it takes (n, channel, height, width)")
        shape = self._image_shape(dims, wanted)
        data = self.input((batch, *shape))
        self.values[name] = self.transposed(data, TO_CHANNELS_LAST) if last else data
        return shape

    def _is_channels_last(self) -> bool:
        """Whether all that ever happens to the input is that its channels are moved to the front."""
        uses = [node for node in self.file.nodes if self.file.input in node.inputs]
        return bool(uses) and all(
            node.op == "Transpose" and tuple(node.attributes.get("perm", ())) == TO_CHANNELS_FIRST for node in uses
        )

    def _flat_shape(self, features: int | None, wanted: Sequence[int] | None) -> Shape:
        if wanted is None or features not in (None, math.prod(wanted)):
            found = "any number of" if features is None else str(features)
            raise ConversionError(
                f"{self.path}: its input {self.file.input!r} is flat ({found} features); say what is flattened with "
                f"--input-shape CHANNEL,HEIGHT,WIDTH{'' if features is None else f' of {features} values'}"
            )
        return _checked_shape(wanted)

    def _image_shape(self, dims: tuple[int | None, ...], wanted: Sequence[int] | None) -> Shape:
        said = dims[1:]
        shape = said if wanted is None else _checked_shape(wanted)
        agrees = all(have in (None, want) for have, want in zip(said, shape, strict=True))
        if None in shape or not agrees:
            text = ",".join("?" if side is None else str(side) for side in said)
            given = "" if wanted is None else f", which --input-shape {','.join(map(str, wanted))} does not fit"
            raise ConversionError(
                f"{self.path}: its input {self.file.input!r} is {text} (channel, height, width){given}; say the whole "
                "shape with --input-shape, such as 3,32,32"
            )
        return _checked_shape([side or 0 for side in shape])

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
        return self.graph_module(self.paid("output", value))


def _checked_shape(shape: Sequence[int]) -> Shape:
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MAX_VALUES:
        raise ConversionError(
            f"the input shape is {','.join(map(str, shape))}, want CHANNEL,HEIGHT,WIDTH, each at least 1"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def tensor(array: np.ndarray) -> Tensor:
    """A constant of the file as a float32 tensor of its own."""
    return torch.from_numpy(np.array(array, np.float32))
