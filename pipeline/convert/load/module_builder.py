"""A torch.fx module under construction from a file's list of operations: layers by name, and shapes without values.

Its layers are called after the operations of the file, as far as Python allows.
"""

import keyword
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

MAX_VALUES = 1 << 28  # of one constant, or of one activation of one input: more is a mistake in the file
_RESERVED = fx.GraphModule(nn.Module(), fx.Graph())  # the names that it has are not for layers


@dataclass(frozen=True)
class Data:
    """A value that depends on the input: the fx node that computes it, and what is still owed to it (onnx/build.py)."""

    node: fx.Node
    shape: tuple[int, ...]  # as the file sees it, the batch first
    pads: tuple[int, int, int, int] | None = None  # zeros to be put around: top, left, bottom, right
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


class ModuleBuilder:
    """Collects layers. Its methods raise ValueError, or whatever torch raises, where a layer does not fit its input."""

    def __init__(self) -> None:
        self.root, self.graph = nn.Module(), fx.Graph()
        self._taken: set[str] = {"input", "output"}

    def input(self, shape: Sequence[int]) -> Data:
        """The placeholder; `shape` with the batch first."""
        return Data(self.graph.placeholder("input"), tuple(shape))

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

    def reshaped(self, title: str, data: Data, sides: Sequence[int]) -> Data:
        """The same values in another shape, of which one side may be -1. The batch stays first, whatever its size."""
        count = math.prod(data.shape)
        if list(sides).count(-1) == 1:
            sides = [count // max(-math.prod(sides), 1) if side == -1 else side for side in sides]
        shape = tuple(sides)
        if min(shape, default=0) < 0 or math.prod(shape) != count:
            raise ValueError(f"it turns {data.shape} into {shape}")
        if not shape or shape[0] != data.shape[0]:
            raise ValueError(f"it turns {data.shape} into {shape}, which mixes the inputs of a batch")
        if shape == data.shape:
            return data
        if shape == (shape[0], count // shape[0]):
            return self.module(title, nn.Flatten(), data)
        return replace(self.call(title, torch.reshape, data, (-1, *shape[1:])), shape=shape)

    def graph_module(self, output: Data) -> fx.GraphModule:
        """The module that gives `output`, in eval mode, without layers that lead nowhere."""
        self.graph.output(output.node)
        module = fx.GraphModule(self.root, self.graph)
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module.eval()

    def _argument(self, name: str, value: Value) -> Any:
        if isinstance(value, Data):
            return value.node
        if value.ndim == 0:
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

    def _name(self, title: str) -> str:
        """A name for a layer. Made of letters, digits and underscores: torch.fx writes it into Python source."""
        plain = re.sub(r"[^0-9A-Za-z_]+", "_", title).strip("_")[:80] or "node"
        if not plain[0].isalpha() or keyword.iskeyword(plain) or hasattr(_RESERVED, plain):
            plain = f"node_{plain}"
        name, number = plain, 1
        while name in self._taken:
            name, number = f"{plain}_{number}", number + 1
        self._taken.add(name)
        return name


def _empty(value: Value) -> Any:
    """A tensor of the same shape without values, for finding out shapes."""
    if isinstance(value, Data):
        return torch.empty(value.shape, device="meta")
    if value.ndim == 0:
        return value.item()
    return torch.empty(value.shape, dtype=torch.from_numpy(value[:0].copy()).dtype, device="meta")


def _mapped(args: Any, change: Callable[[Value], Any]) -> Any:
    """The arguments with every Data and every array changed, inside lists and tuples too."""
    if isinstance(args, list | tuple):
        return type(args)(_mapped(item, change) for item in args)
    return change(args) if isinstance(args, Data | np.ndarray) else args


def with_weights(module: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The module with these as its weight and bias, float32, without a copy where none is needed."""
    module.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
    return module
