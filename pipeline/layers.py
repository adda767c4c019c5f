"""The layers of which a spiking network is made: what each computes, and what shape comes out.

The names are NIR's where NIR has one. The graph and its file are network.py's; running it is engine/'s. Shapes are
(channel, height, width). A new layer is a class here, a row in LAYER_TYPES, and what engine/plan.py makes of it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import NetworkError

Shape = tuple[int, int, int]  # (channel, height, width)


@dataclass(frozen=True)
class Layer:
    """One named layer; `inputs` names the layers (or "input") that feed it."""

    name: str
    inputs: tuple[str, ...]

    def output_shape(self, shape: Shape) -> Shape:
        """What comes out if `shape` goes in. Raises NetworkError, naming the layer, if that does not fit."""
        raise NetworkError(f"layer {self.name!r} is a {type(self).__name__}, known are {', '.join(LAYER_TYPES)}")


@dataclass(frozen=True)
class Conv2d(Layer):
    """z[o,y,x] = bias[o] + sum over i, ky, kx of weight[o,i,ky,kx] * s[i, y*stride + ky*dilation - padding, ...]"""

    weight: np.ndarray  # float32 (out, in / groups, ky, kx), PyTorch's order
    bias: np.ndarray | None = None  # float32 (out,), current per timestep of network.timestep_us
    stride: tuple[int, int] = (1, 1)  # (y, x), like all pairs here
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_shape(self, shape: Shape) -> Shape:
        _check_weight(self, 4)
        channels, height, width = shape
        out, per_group, *kernel = self.weight.shape
        if self.groups < 1 or per_group * self.groups != channels or out % self.groups:
            raise NetworkError(
                f"layer {self.name!r} has weights {self.weight.shape} in {self.groups} groups, "
                f"which do not fit its input of {channels} channels"
            )
        if min(self.stride + self.dilation) < 1 or min(self.padding) < 0:
            raise NetworkError(f"layer {self.name!r}: stride and dilation must be at least 1, padding at least 0")
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
    bias: np.ndarray | None = None  # float32 (out,)

    def output_shape(self, shape: Shape) -> Shape:
        _check_weight(self, 2)
        size = shape[0] * shape[1] * shape[2]
        if self.weight.shape[1] != size:
            raise NetworkError(f"layer {self.name!r} wants {self.weight.shape[1]} inputs, its input {shape} has {size}")
        return (self.weight.shape[0], 1, 1)


@dataclass(frozen=True)
class SumPool2d(Layer):
    """Spikes of a window together, no neurons: average pooling whose 1/k² was folded into the next weights."""

    kernel: tuple[int, int]
    stride: tuple[int, int]

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = shape
        if min(self.kernel + self.stride) < 1 or self.kernel[0] > height or self.kernel[1] > width:
            raise NetworkError(f"layer {self.name!r}: a pool of {self.kernel} does not fit its input {height}x{width}")
        rows = (height - self.kernel[0]) // self.stride[0] + 1
        return (channels, rows, (width - self.kernel[1]) // self.stride[1] + 1)


@dataclass(frozen=True)
class Delay(Layer):
    """The input beside earlier copies of itself: channel group k holds what came delays_us[k] earlier.

    Only right behind the input. Within one short window ON and OFF edges do not tell which way something moves (a
    bright limb going right leaves the trace of a dark one going left); two moments side by side do.
    """

    delays_us: tuple[int, ...]  # rising, each a multiple of the timestep; (0, 60_000): now, and 60 ms ago

    def output_shape(self, shape: Shape) -> Shape:
        if self.inputs != ("input",):
            raise NetworkError(f"layer {self.name!r}: a Delay stands right behind the input, not behind {self.inputs}")
        delays = self.delays_us
        whole = bool(delays) and all(isinstance(delay, int) for delay in delays)
        if not whole or min(delays) < 0 or list(delays) != sorted(set(delays)):
            raise NetworkError(f"layer {self.name!r} has delays {delays}, want rising whole µs of at least 0")
        return (shape[0] * len(delays), shape[1], shape[2])


@dataclass(frozen=True)
class IF(Layer):
    """Integrate-and-fire neurons on the output of one Conv2d or Linear."""

    threshold: np.ndarray  # float32 (channels,), > 0, in the units of v
    v_init: np.ndarray  # float32 (channels,), membrane potential after a reset of the network, e.g. threshold / 2
    reset: Literal["subtract", "zero"] = "subtract"

    def output_shape(self, shape: Shape) -> Shape:
        for what in ("threshold", "v_init"):
            array = getattr(self, what)
            if array.shape != shape[:1] or not np.isfinite(array).all():
                raise NetworkError(
                    f"layer {self.name!r}: {what} has shape {array.shape}, want {shape[0]} finite values"
                )
        if (self.threshold <= 0).any():
            raise NetworkError(f"layer {self.name!r} has a threshold of {self.threshold.min()}, want all above 0")
        if (self.v_init >= self.threshold).any():
            raise NetworkError(f"layer {self.name!r} starts with v_init at or above its threshold; want it below")
        if self.reset not in ("subtract", "zero"):
            raise NetworkError(f"layer {self.name!r} has reset {self.reset!r}, want 'subtract' or 'zero'")
        return shape


LAYER_TYPES: dict[str, type[Layer]] = {cls.__name__: cls for cls in (Conv2d, Linear, SumPool2d, Delay, IF)}


def _check_weight(layer: Conv2d | Linear, dimensions: int) -> None:
    weight, bias = layer.weight, layer.bias
    if weight.ndim != dimensions or min(weight.shape) < 1 or not np.isfinite(weight).all():
        raise NetworkError(f"layer {layer.name!r}: weights of shape {weight.shape}, want {dimensions} axes, all finite")
    if bias is not None and (bias.shape != weight.shape[:1] or not np.isfinite(bias).all()):
        raise NetworkError(f"layer {layer.name!r}: bias of shape {bias.shape}, want {weight.shape[:1]}, all finite")
