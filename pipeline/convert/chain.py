"""A CNN as a chain of linear stages, each with or without a ReLU behind it: what is left once everything is folded.

Folding is exact. With s, t per channel:
    batch norm, scale, shift behind a weight layer      W <- s W,  b <- s b + t           (eps is the layer's own)
    the same behind a ReLU or at the input              the next W <- W s,  b <- b + W t  (no zero padding, or t = 0)
    average pooling behind a weight layer               one convolution with a larger kernel and stride
    average pooling behind a ReLU or at the input       a SumPool2d, and the next W <- W / k²
graph.py walks a torch.fx graph and calls the methods of ChainBuilder; normalize.py makes a Network of the chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConversionError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Weighted:
    """A convolution (4 axes of weights) or a fully connected layer (2 axes), folded; float64."""

    name: str
    weight: Tensor  # (out, in / groups, ky, kx) or (out, in)
    bias: Tensor  # (out,)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    relu: str | None = None  # name of the ReLU behind it

    def __call__(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if weight.ndim == 2:
            x = functional.linear(x.flatten(1), weight, bias)
        else:
            x = functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return x if self.relu is None else x.relu()


@dataclass(frozen=True)
class Pool:
    """Sum over windows (the division is in the next weights)."""

    name: str
    kernel: Pair
    stride: Pair

    def __call__(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, self.kernel, self.stride, divisor_override=1)


Stage = Weighted | Pool


@dataclass(frozen=True)
class Chain:
    """The folded CNN. `notes` says what was left out because it changes nothing."""

    stages: tuple[Stage, ...]
    softmax: str | None  # "softmax" or "log_softmax" where the CNN ends with one: it does not change the winner
    notes: tuple[str, ...]

    def activations(self, x: Tensor, batch: int = 256) -> Iterator[tuple[Stage, Tensor]]:
        """Every stage with its output for all of x: one stage at a time, so that two of them are held at most."""
        with torch.inference_mode():
            for stage in self.stages:
                x = torch.cat([stage(part) for part in x.split(batch)])
                yield stage, x

    def __call__(self, x: Tensor) -> Tensor:
        """The CNN's output (n, class), its softmax included."""
        for _, output in self.activations(x):
            x = output
        x = x.flatten(1)
        if self.softmax == "log_softmax":
            return x.log_softmax(1)
        return x.softmax(1) if self.softmax else x


@dataclass
class ChainBuilder:
    """Takes the operations of a CNN in order and folds them. Each method names the layer it is called for."""

    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    softmax: str | None = None
    softmax_layer: str = ""
    scale: Tensor | None = None  # of the current value per channel, owed to the next weights
    shift: Tensor | None = None

    def weighted(self, layer: Weighted) -> None:
        """A conv or a linear layer; what is owed to its weights is folded in."""
        self._no_softmax(layer.name)
        before = self._open()
        if before is not None:
            raise ConversionError(
                f"layer {layer.name!r} follows {before.name!r} without a ReLU between them; put one there, or merge "
                "the two layers, which without it are one"
            )
        self.stages.append(self._with_debts(replace(layer, name=self._unique(layer.name))))
        self.scale = self.shift = None

    def affine(self, name: str, scale: Tensor, shift: Tensor) -> None:
        """x <- scale x + shift per channel (or one number for all); float64 (channels,) or (1,)."""
        self._no_softmax(name)
        before = self._open()
        if before is not None:
            outputs = len(before.bias)
            if len(scale) not in (1, outputs):
                raise ConversionError(
                    f"layer {name!r} scales {len(scale)} values, but {before.name!r} before it has {outputs} "
                    "channels; put it before the flattening"
                )
            weight = before.weight * scale.view(-1, *[1] * (before.weight.ndim - 1))
            self.stages[-1] = replace(before, weight=weight, bias=before.bias * scale + shift)
            return
        old_scale = torch.ones(1, dtype=torch.float64) if self.scale is None else self.scale
        old_shift = torch.zeros(1, dtype=torch.float64) if self.shift is None else self.shift
        size = max(len(old_scale), len(scale))
        self.scale = _spread(old_scale, size) * _spread(scale, size)
        self.shift = _spread(old_shift, size) * _spread(scale, size) + _spread(shift, size)

    def pool(self, name: str, kernel: Pair, stride: Pair, divisor: int) -> None:
        """Average pooling without padding."""
        self._no_softmax(name)
        before = self._open()
        if before is not None:
            self.stages[-1] = _pooled(before, kernel, stride, divisor)
            self.notes.append(f"{name} was merged into {before.name}: one larger, strided convolution, exactly")
            return
        if kernel != (1, 1) or stride != (1, 1):
            self.stages.append(Pool(self._unique(name), kernel, stride))
        size = 1 if self.scale is None else len(self.scale)
        self.affine(
            name, torch.full((size,), 1.0 / divisor, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        )

    def relu(self, name: str) -> None:
        self._no_softmax(name)
        before = self._open()
        if before is not None:
            self.stages[-1] = replace(before, relu=self._unique(name))
            return
        positive = self.scale is None or bool((self.scale > 0).all())
        if not self.stages or not positive or (self.shift is not None and bool((self.shift != 0).any())):
            raise ConversionError(
                f"ReLU {name!r} has no conv or linear layer before it whose neurons could be spiking; "
                "put it directly behind one (a batch norm or average pooling may lie between)"
            )
        self.notes.append(f"{name} was left out: its input is never negative")

    def end_softmax(self, name: str, kind: str) -> None:
        self._no_softmax(name)
        self.softmax, self.softmax_layer = kind, name
        self.notes.append(f"{name} at the end was left out: a softmax does not change which class wins")

    def finish(self) -> Chain:
        """The chain. Raises ConversionError if it does not end in a conv or linear layer."""
        last = self.stages[-1] if self.stages else None
        if last is None or not isinstance(last, Weighted):
            what = "has no conv or linear layer" if last is None else f"ends with the pooling {last.name!r}"
            raise ConversionError(
                f"the model {what}; its last layer must be a conv or linear layer with one output a class"
            )
        if self.scale is not None:
            raise ConversionError(
                f"the model ends with a scaling of the ReLU {last.relu!r}; end it with a conv or linear layer"
            )
        return Chain(tuple(self.stages), self.softmax, tuple(self.notes))

    def _open(self) -> Weighted | None:
        """The weight layer that the current value comes from, as long as no ReLU has closed it."""
        last = self.stages[-1] if self.stages else None
        return last if isinstance(last, Weighted) and last.relu is None else None

    def _with_debts(self, layer: Weighted) -> Weighted:
        if self.scale is None or self.shift is None:
            return layer
        if layer.weight.ndim == 4:
            if any(layer.padding) and bool((self.shift != 0).any()):
                raise ConversionError(
                    f"layer {layer.name!r} pads with zeros, but a batch norm or an added constant lies between it and "
                    "the ReLU (or the input) before it, so its border would be wrong; set padding=0, or move the "
                    "batch norm before the ReLU"
                )
            channels = layer.weight.shape[1] * layer.groups
            scale = per_input(_spread(self.scale, channels), layer)[:, :, None, None]
            shift = per_input(_spread(self.shift, channels), layer)[:, :, None, None]
        else:
            scale = _spread(self.scale, layer.weight.shape[1])[None]
            shift = _spread(self.shift, layer.weight.shape[1])[None]
        bias = layer.bias + (layer.weight * shift).flatten(1).sum(1)
        return replace(layer, weight=layer.weight * scale, bias=bias)

    def _no_softmax(self, name: str) -> None:
        if self.softmax:
            raise ConversionError(
                f"layer {self.softmax_layer!r} is a softmax in the middle, {name!r} comes after it; a spiking neuron "
                "cannot divide by its neighbours: a softmax may only be the end"
            )

    def _unique(self, name: str) -> str:
        taken = {stage.name for stage in self.stages} | {
            stage.relu for stage in self.stages if isinstance(stage, Weighted)
        }
        candidate, number = name, 1
        while candidate in taken or candidate == "input":
            candidate, number = f"{name}_{number}", number + 1
        return candidate


def per_input(values: Tensor, layer: Weighted) -> Tensor:
    """One value per input channel, laid out as (out, in / groups) beside the layer's weights."""
    outputs, per_group = layer.weight.shape[:2]
    shape = (layer.groups, outputs // layer.groups, per_group)
    return values.view(layer.groups, 1, per_group).expand(shape).reshape(outputs, per_group)


def _spread(values: Tensor, size: int) -> Tensor:
    """One value per channel becomes one per feature of the flattened (channel, y, x)."""
    return values if len(values) == size else values.repeat_interleave(size // len(values))


def _pooled(layer: Weighted, kernel: Pair, stride: Pair, divisor: int) -> Weighted:
    """Average pooling of a convolution is a convolution: the kernel summed over the window's offsets."""
    (dy, dx), (sy, sx) = layer.dilation, layer.stride
    reach_y, reach_x = dy * (layer.weight.shape[2] - 1) + 1, dx * (layer.weight.shape[3] - 1) + 1
    shape = (*layer.weight.shape[:2], (kernel[0] - 1) * sy + reach_y, (kernel[1] - 1) * sx + reach_x)
    weight = torch.zeros(shape, dtype=layer.weight.dtype)
    for y in range(0, kernel[0] * sy, sy):
        for x in range(0, kernel[1] * sx, sx):
            weight[:, :, y : y + reach_y : dy, x : x + reach_x : dx] += layer.weight
    return replace(
        layer,
        weight=weight / divisor,
        bias=layer.bias * (kernel[0] * kernel[1] / divisor),
        stride=(sy * stride[0], sx * stride[1]),
        dilation=(1, 1),
    )
