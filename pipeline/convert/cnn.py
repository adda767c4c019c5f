"""A CNN as a graph of named nodes in float64: what is left of a model once every operation has a meaning of ours.

The same node classes serve twice: `CnnBuilder` (trace/builder.py) takes the operations as they come, Affine and Pad
among them; fold/ makes of them the graph that neurons can carry, in which no Affine, Pad or open maximum is left:

    between two Activations (or the input) every path holds at most one Weighted; pools, Upsample, Flatten and Concat
    may stand before it, sums and pools behind it; a MaxPool stands right behind an Activation, a MaxPool or the input

Every value is (n, channel, height, width); a vector of features is (n, feature, 1, 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from .activation import Activation, Node, Shape

__all__ = [
    "Activation",
    "Add",
    "Affine",
    "Cnn",
    "Concat",
    "Flatten",
    "MaxPool",
    "Node",
    "Pad",
    "Pair",
    "Shape",
    "SumPool",
    "Upsample",
    "Weighted",
    "per_input",
]

Pair = tuple[int, int]  # (y, x)


@dataclass(frozen=True)
class Weighted(Node):
    """A convolution (4 axes of weights) or a fully connected layer (2 axes)."""

    weight: Tensor  # float64 (out, in / groups, ky, kx) or (out, in)
    bias: Tensor  # float64 (out,)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    copies: bool = False  # every output is one input value or 0: a choice of channels, a border of zeros

    def __call__(self, *values: Tensor) -> Tensor:
        weight, bias = self.weight.to(values[0]), self.bias.to(values[0])
        if weight.ndim == 2:
            return functional.linear(values[0].flatten(1), weight, bias)[:, :, None, None]
        return functional.conv2d(values[0], weight, bias, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True)
class Affine(Node):
    """scale * x + shift per channel; folded into weights by fold/rebuild.py."""

    scale: Tensor  # float64 (channel,)
    shift: Tensor  # float64 (channel,)

    def __call__(self, *values: Tensor) -> Tensor:
        scale, shift = self.scale.to(values[0]), self.shift.to(values[0])
        return values[0] * scale[:, None, None] + shift[:, None, None]


@dataclass(frozen=True)
class Pad(Node):
    """Zeros around the image; becomes the padding of what follows."""

    top: int
    bottom: int
    left: int
    right: int

    def __call__(self, *values: Tensor) -> Tensor:
        return functional.pad(values[0], (self.left, self.right, self.top, self.bottom))


@dataclass(frozen=True)
class SumPool(Node):
    """The sum over windows; the division of an average is part of the weights."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __call__(self, *values: Tensor) -> Tensor:
        return functional.avg_pool2d(values[0], self.kernel, self.stride, self.padding, divisor_override=1)


@dataclass(frozen=True)
class MaxPool(Node):
    """The largest value of each window; padding never wins."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __call__(self, *values: Tensor) -> Tensor:
        if values[0].is_meta:  # for its shape; torch's own wants more memory formats than meta tensors have
            return functional.avg_pool2d(values[0], self.kernel, self.stride, self.padding)
        return functional.max_pool2d(values[0], self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class Upsample(Node):
    """Every value repeated `factor` times: nearest neighbour."""

    factor: Pair

    def __call__(self, *values: Tensor) -> Tensor:
        return values[0].repeat_interleave(self.factor[0], 2).repeat_interleave(self.factor[1], 3)


@dataclass(frozen=True)
class Flatten(Node):
    """(channel, y, x) one behind the other, as PyTorch does."""

    def __call__(self, *values: Tensor) -> Tensor:
        return values[0].flatten(1)[:, :, None, None]


@dataclass(frozen=True)
class Concat(Node):
    """One behind the other along the channels."""

    def __call__(self, *values: Tensor) -> Tensor:
        return torch.cat(values, 1)


@dataclass(frozen=True)
class Add(Node):
    """The sum of values of one shape."""

    def __call__(self, *values: Tensor) -> Tensor:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


@dataclass(frozen=True)
class Cnn:
    """The graph. Raises nothing: who builds it checks it."""

    nodes: tuple[Node, ...]  # each behind those that feed it
    input_shape: Shape
    output: str  # name of the node that is the CNN's output, before the softmax
    softmax: str | None = None  # "softmax" or "log_softmax" where the model ends with one: it changes no winner
    notes: tuple[str, ...] = ()  # what was left out, merged or added, each a sentence for a person
    returned: int | str | None = None  # which of the model's results it computes; None: the model returns one tensor

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def populations(self) -> list[Activation]:
        """The nodes that become neurons, in order."""
        return [node for node in self.nodes if isinstance(node, Activation)]

    def consumers(self) -> dict[str, list[Node]]:
        """Who reads each node and "input"."""
        found: dict[str, list[Node]] = {"input": [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    def shapes(self) -> dict[str, Shape]:
        """(channel, height, width) of "input" and of every node; nothing is computed for it."""
        shapes = {"input": self.input_shape}
        for node in self.nodes:
            shapes[node.name] = node.output_shape(*(shapes[name] for name in node.inputs))
        return shapes

    def to(self, dtype: torch.dtype) -> "Cnn":
        """The same with weights of another type, so that they are cast once and not at every batch."""

        def cast(node: Node) -> Node:
            tensors = {f.name: getattr(node, f.name) for f in fields(node)}
            return replace(node, **{k: v.to(dtype) for k, v in tensors.items() if isinstance(v, Tensor)})

        return replace(self, nodes=tuple(cast(node) for node in self.nodes))

    def activations(self, x: Tensor, batch: int = 256) -> Iterator[tuple[Node, Tensor]]:
        """Every node with its output for all of x (n, channel, height, width), in x's dtype.

        Values are dropped behind their last reader. For many large inputs go batch by batch (scales.py does).
        """
        left = {name: len(nodes) for name, nodes in self.consumers().items()}
        values = {"input": x}
        for node in self.nodes:
            parts = zip(*(values[name].split(batch) for name in node.inputs), strict=True)
            with torch.inference_mode():
                value = torch.cat([node(*part) for part in parts])
            yield node, value
            values[node.name] = value
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    values.pop(name, None)

    def logits(self, x: Tensor) -> Tensor:
        """The output (n, class) before a softmax."""
        output = x
        for node, value in self.activations(x):
            if node.name == self.output:
                output = value
        return output.flatten(1)

    def __call__(self, x: Tensor) -> Tensor:
        """What the model computes: the output (n, class), its softmax included."""
        output = self.logits(x)
        if self.softmax == "log_softmax":
            return output.log_softmax(1)
        return output.softmax(1) if self.softmax else output


def per_input(values: Tensor, layer: Weighted) -> Tensor:
    """One value per input channel, laid out as (out, in / groups) beside the layer's weights."""
    outputs, per_group = layer.weight.shape[:2]
    shape = (layer.groups, outputs // layer.groups, per_group)
    return values.view(layer.groups, 1, per_group).expand(shape).reshape(outputs, per_group)


def unique(name: str, taken: object) -> str:
    """`name`, or with the first number that makes it its own among `taken` (a container of names)."""
    candidate, number = name, 1
    while candidate in taken or candidate == "input":  # type: ignore[operator]
        candidate, number = f"{name}_{number}", number + 1
    return candidate
