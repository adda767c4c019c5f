"""Takes the operations of a model one by one, as torch.fx or ONNX names them, and folds them into a Cnn.

    builder = CnnBuilder((3, 32, 32))
    x = builder.weighted("conv1", "input", weight, bias, padding=(1, 1))
    x = builder.activation("relu1", x)
    cnn = builder.finish(builder.weighted("fc", builder.flatten("flatten", x), matrix, offset))

Each method appends one operation to what is called `x` there and returns the name of its result. Names are made their
own by a number where they are taken. Nothing is folded before `finish` (fold/rebuild.py).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConversionError, first_line
from ..cnn import (
    Activation,
    Add,
    Affine,
    Cnn,
    Concat,
    Flatten,
    MaxPool,
    Node,
    Pad,
    Pair,
    SumPool,
    Upsample,
    Weighted,
    unique,
)
from ..fold.rebuild import fold

MOST_CHOICES = 1 << 24  # weights of a matrix that only puts values in another order


class CnnBuilder:
    """The operations so far. `shapes` are (channel, height, width) of "input" and every result; `notes` go on."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        self.input_shape = input_shape
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, tuple[int, int, int]] = {"input": input_shape}
        self.notes: list[str] = []

    def weighted(
        self,
        name: str,
        x: str,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
        *,
        copies: bool = False,
    ) -> str:
        """A convolution (4 axes of weights) or a fully connected layer (2 axes), which flattens by itself."""
        offset = torch.zeros(len(weight)) if bias is None else bias
        if not (torch.isfinite(weight).all() and torch.isfinite(offset).all()):
            raise ConversionError(
                f"layer {name!r} has weights or biases that are infinite or undefined; the model did not train, or its "
                "file is damaged: give a model whose weights are finite"
            )
        layer = Weighted(name, (x,), exact(weight), exact(offset), stride, padding, dilation, groups, copies)
        return self._append(layer)

    def affine(self, name: str, x: str, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> str:
        """scale * x + shift, each one number or one a channel: batch norm, division by 255, ..."""
        channels = self.shapes[x][0]
        values = []
        for value in (scale, shift):
            vector = torch.as_tensor(value, dtype=torch.float64).detach().reshape(-1)
            if len(vector) not in (1, channels):
                raise ConversionError(f"layer {name!r} scales {len(vector)} channels, its input has {channels}")
            if not torch.isfinite(vector).all():
                raise ConversionError(
                    f"layer {name!r} scales or shifts by infinite or undefined numbers; the "
                    "model did not train, or its file is damaged: give a model whose numbers are finite"
                )
            values.append(vector.expand(channels).clone())
        if bool((values[0] == 1).all()) and not bool(values[1].any()):
            return x
        return self._append(Affine(name, (x,), values[0], values[1]))

    def avg_pool(
        self, name: str, x: str, kernel: Pair, stride: Pair, padding: Pair = (0, 0), divisor: int | None = None
    ) -> str:
        """Average over windows, padding counted; `divisor` instead of the size of a window."""
        pooled = x if kernel == stride == (1, 1) else self._append(SumPool(name, (x,), kernel, stride, padding))
        return self.affine(f"{name}_mean", pooled, 1.0 / (divisor or math.prod(kernel)))

    def max_pool(self, name: str, x: str, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> str:
        return x if kernel == stride == (1, 1) else self._append(MaxPool(name, (x,), kernel, stride, padding))

    def upsample(self, name: str, x: str, factor: Pair) -> str:
        """Nearest neighbour, whole factors."""
        return x if factor == (1, 1) else self._append(Upsample(name, (x,), factor))

    def flatten(self, name: str, x: str) -> str:
        return x if self.shapes[x][1:] == (1, 1) else self._append(Flatten(name, (x,)))

    def concat(self, name: str, parts: Sequence[str]) -> str:
        """Along the channels, or of flattened vectors."""
        return parts[0] if len(parts) == 1 else self._append(Concat(name, tuple(parts)))

    def add(self, name: str, parts: Sequence[str]) -> str:
        shapes = {self.shapes[part] for part in parts}
        if len(shapes) != 1:
            raise ConversionError(
                f"layer {name!r} adds values of shapes {', '.join(map(str, sorted(shapes)))} (channel, height, width); "
                "want one shape: expand the smaller one in the model, or train without it"
            )
        return self._append(Add(name, tuple(parts)))

    def pad(self, name: str, x: str, top: int, bottom: int, left: int, right: int) -> str:
        """Zeros around the image."""
        return self._append(Pad(name, (x,), top, bottom, left, right)) if any((top, bottom, left, right)) else x

    def select(self, name: str, x: str, channels: Sequence[int | None]) -> str:
        """Channels by their number, in this order; None is a channel of zeros."""
        size = self.shapes[x][0]
        if list(channels) == list(range(size)):
            return x
        weight = torch.zeros(len(channels), size, 1, 1, dtype=torch.float64)
        for row, channel in enumerate(channels):
            if channel is not None:
                weight[row, channel] = 1
        return self.weighted(name, x, weight, copies=True)

    def choose_features(self, name: str, x: str, places: Tensor) -> str:
        """A vector (n, features, 1, 1) of the values at `places`, which count (channel, y, x) of what is called x."""
        channels, height, width = self.shapes[x]
        area, count = height * width, len(places)
        if count % area == 0:
            rows = places.view(-1, area)
            if bool((rows == rows[:, :1] + torch.arange(area)).all()) and bool((rows[:, 0] % area == 0).all()):
                return self.flatten(name, self.select(f"{name}_channels", x, (rows[:, 0] // area).tolist()))
        if count * channels * area > MOST_CHOICES:
            raise ConversionError(
                f"layer {name!r} puts {count:,} values in another order; flatten whole channels instead"
            )
        matrix = torch.zeros(count, channels * area, dtype=torch.float64)
        matrix[torch.arange(count), places] = 1
        return self.weighted(f"{name}_order", x, matrix, copies=True)

    def subsample(self, name: str, x: str, stride: Pair) -> str:
        """Every stride-th row and column, from the first."""
        return x if stride == (1, 1) else self._append(SumPool(name, (x,), (1, 1), stride))

    def activation(self, name: str, x: str, kind: str = "relu", **settings: float | int | None) -> str:
        """What becomes neurons; kinds and settings are Activation's."""
        return self._append(Activation(name, (x,), kind, **settings))  # type: ignore[arg-type]

    def leaky(self, name: str, x: str, slope: Tensor | float) -> str:
        """x where x > 0, else slope * x (one slope, or one a channel): two populations, which the next weights join."""
        positive = self.activation(name, x)
        negative = self.activation(f"{name}_negative", self.affine(f"{name}_negated", x, -1.0))
        slopes = torch.as_tensor(slope, dtype=torch.float64)
        return self.add(f"{name}_sum", (positive, self.affine(f"{name}_slope", negative, -slopes)))

    def finish(self, output: str, softmax: str | None = None) -> Cnn:
        """The folded CNN. Raises ConversionError where it has no equivalent of neurons."""
        return fold(Cnn(tuple(self.nodes.values()), self.input_shape, output, softmax, tuple(self.notes)))

    def _append(self, node: Node) -> str:
        name = unique(node.name, self.shapes)
        object.__setattr__(node, "name", name)  # it is ours alone, made in the line that called us
        try:
            self.shapes[name] = node.output_shape(*(self.shapes[x] for x in node.inputs))
        except (RuntimeError, IndexError) as error:
            raise ConversionError(f"layer {name!r} does not fit its input: {first_line(error)}") from error
        self.nodes[name] = node
        return name


def exact(value: Tensor) -> Tensor:
    return value.detach().double().cpu()
