"""The layers of a spiking network that hold no state: what each computes, and what shape comes out.

The names are NIR's where NIR has one. Neurons, and the max pools that count spikes, are neurons.py's; the graph and its
file network.py's; running it engine/'s. Shapes are (channel, height, width), pairs are (y, x). A new layer is a class
here or there, a row in network.LAYER_TYPES, and what engine/plan.py makes of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import NetworkError, counted

Shape = tuple[int, int, int]  # (channel, height, width)
Pair = tuple[int, int]  # (y, x)


@dataclass(frozen=True)
class Layer:
    """One named layer; `inputs` names the layers (or "input") that feed it."""

    name: str
    inputs: tuple[str, ...]

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """What comes out if `shapes` go in, one for each of `inputs`.

        Raises NetworkError, naming the layer, if they do not fit or a field of the layer is not what it should be.
        """
        raise NetworkError(f"layer {self.name!r} is of the base class {type(self).__name__}, which computes nothing")


@dataclass(frozen=True)
class Conv2d(Layer):
    """z[o,y,x] = bias[o] + sum over i, ky, kx of weight[o,i,ky,kx] * s[i, y*stride + ky*dilation - padding, ...]"""

    weight: np.ndarray  # float32 (out, in / groups, ky, kx), PyTorch's order
    bias: np.ndarray | None = None  # float32 (out,), current per timestep of network.timestep_us
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, height, width = only(self, shapes)
        _check_weight(self, 4)
        out, per_group, *kernel = self.weight.shape
        if self.groups < 1 or per_group * self.groups != channels or out % self.groups:
            raise NetworkError(
                f"layer {self.name!r} has weights {self.weight.shape} in {counted(self.groups, 'group')}, "
                f"which do not fit its input of {counted(channels, 'channel')}"
            )
        check_pair(self, "stride", self.stride, 1)
        check_pair(self, "padding", self.padding, 0)
        check_pair(self, "dilation", self.dilation, 1)
        rows, columns = (
            (size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
            for size, k, stride, pad, dilation in zip(
                (height, width), kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        if min(rows, columns) < 1:
            raise NetworkError(f"layer {self.name!r}: its kernel is larger than its input {height}x{width}")
        return (out, rows, columns)


@dataclass(frozen=True)
class Linear(Layer):
    """z = bias + weight @ s, where s is the input flattened in (channel, y, x) order as PyTorch does."""

    weight: np.ndarray  # float32 (out, in)
    bias: np.ndarray | None = None  # float32 (out,), current per timestep of network.timestep_us

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = only(self, shapes)
        _check_weight(self, 2)
        size = shape[0] * shape[1] * shape[2]
        if self.weight.shape[1] != size:
            raise NetworkError(
                f"layer {self.name!r} wants {counted(self.weight.shape[1], 'input')}, its input {shape} has {size}"
            )
        return (self.weight.shape[0], 1, 1)


@dataclass(frozen=True)
class SumPool2d(Layer):
    """z[c,y,x] = sum over ky, kx of s[c, y*stride + ky - padding, ...]: the spikes of a window together.

    It is average pooling whose 1/(ky*kx) was folded into the next weights.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)  # places beyond the border hold 0; at most half the kernel

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return pooled_shape(self, only(self, shapes), self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class AvgPool2d(Layer):
    """z[c,y,x] = 1/(ky*kx) * sum over ky, kx of s[c, y*stride + ky - padding, ...]; padding counts as places with 0.

    Folded into the weights on its path, it costs nothing and no spike is lost.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)  # at most half the kernel

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return pooled_shape(self, only(self, shapes), self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class Upsample(Layer):
    """z[c,y,x] = s[c, y // factor_y, x // factor_x]: every value repeated (nearest neighbour)."""

    factor: Pair

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, height, width = only(self, shapes)
        check_pair(self, "factor", self.factor, 1)
        return (channels, height * self.factor[0], width * self.factor[1])


@dataclass(frozen=True)
class Flatten(Layer):
    """z[(c * height + y) * width + x, 0, 0] = s[c,y,x], PyTorch's order."""

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, height, width = only(self, shapes)
        return (channels * height * width, 1, 1)


@dataclass(frozen=True)
class Concat(Layer):
    """The inputs one behind the other along the channels."""

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) < 2 or len({shape[1:] for shape in shapes}) != 1:
            raise NetworkError(
                f"layer {self.name!r} joins inputs of shapes {', '.join(map(str, shapes))}; "
                "want two or more of the same height and width"
            )
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(frozen=True)
class Add(Layer):
    """z = s1 + s2 + ...: a residual connection, of currents or spikes alike."""

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) < 2 or len(set(shapes)) != 1:
            raise NetworkError(
                f"layer {self.name!r} adds inputs of shapes {', '.join(map(str, shapes))}; "
                "want two or more of the same shape"
            )
        return shapes[0]


@dataclass(frozen=True)
class Delay(Layer):
    """The input beside earlier copies of itself: channel group k holds what came delays_us[k] earlier.

    Only right behind the input, and then nothing else is. Within one short window ON and OFF edges do not tell which
    way something moves (a bright limb going right leaves the trace of a dark one going left); two moments side by side
    do.
    """

    delays_us: tuple[int, ...]  # rising, each a multiple of the timestep; (0, 60_000): now, and 60 ms ago

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, height, width = only(self, shapes)
        if self.inputs != ("input",):
            raise NetworkError(f"layer {self.name!r}: a Delay stands right behind the input, not behind {self.inputs}")
        delays = self.delays_us
        whole = bool(delays) and all(isinstance(delay, int) for delay in delays)
        if not whole or min(delays) < 0 or list(delays) != sorted(set(delays)):
            raise NetworkError(f"layer {self.name!r} has delays {delays}, want rising whole µs of at least 0")
        return (channels * len(delays), height, width)


def only(layer: Layer, shapes: tuple[Shape, ...]) -> Shape:
    """The shape of a layer's single input."""
    if len(shapes) != 1:
        raise NetworkError(
            f"layer {layer.name!r} ({type(layer).__name__}) has {len(shapes)} inputs, want one; "
            "Concat and Add take several"
        )
    return shapes[0]


def pooled_shape(layer: Layer, shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Shape:
    """What a pool makes of `shape`: whole windows only, each with at least one place within the input."""
    check_pair(layer, "kernel", kernel, 1)
    check_pair(layer, "stride", stride, 1)
    check_pair(layer, "padding", padding, 0)
    if any(2 * pad > k for pad, k in zip(padding, kernel, strict=True)):
        raise NetworkError(
            f"layer {layer.name!r} pads its pool of {kernel} by {padding}, want at most half of the kernel"
        )
    height, width = shape[1] + 2 * padding[0], shape[2] + 2 * padding[1]
    if kernel[0] > height or kernel[1] > width:
        raise NetworkError(f"layer {layer.name!r}: a pool of {kernel} does not fit its input {shape[1]}x{shape[2]}")
    return (shape[0], (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1)


def check_pair(layer: Layer, what: str, pair: Any, low: int) -> None:
    """Whether a field is two whole numbers (y, x), each at least `low`."""
    whole = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(value, int) for value in pair)
    if not whole or min(pair) < low:
        raise NetworkError(f"layer {layer.name!r} has {what} {pair}, want two whole numbers (y, x) of at least {low}")


def _check_weight(layer: Conv2d | Linear, dimensions: int) -> None:
    weight, bias = layer.weight, layer.bias
    if weight.ndim != dimensions or min(weight.shape) < 1 or not np.isfinite(weight).all():
        raise NetworkError(f"layer {layer.name!r}: weights of shape {weight.shape}, want {dimensions} axes, all finite")
    if bias is not None and (bias.shape != weight.shape[:1] or not np.isfinite(bias).all()):
        raise NetworkError(f"layer {layer.name!r}: bias of shape {bias.shape}, want {weight.shape[:1]}, all finite")
