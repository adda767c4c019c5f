"""What becomes a population of neurons, and what each kind computes. Everything else of a CNN is cnn.py's.

A new kind is a row in KINDS, and what spiking/build.py makes of it where ordinary neurons do not do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, int, int]  # (channel, height, width)


@dataclass(frozen=True)
class Node:
    """One named operation; `inputs` names the nodes (or "input") that feed it."""

    name: str
    inputs: tuple[str, ...]

    def __call__(self, *values: Tensor) -> Tensor:
        raise NotImplementedError(type(self).__name__)

    def output_shape(self, *shapes: Shape) -> Shape:
        """What comes out if `shapes` go in. Nothing is computed for it."""
        value = self(*(torch.empty(1, *shape, device="meta") for shape in shapes))
        return (value.shape[1], value.shape[2], value.shape[3])


@dataclass(frozen=True)
class Activation(Node):
    """A value that a population of neurons carries as its firing rate. Kinds (c: ceiling, s: step, n: levels):

    "relu"         max(x, 0)
    "clip"         min(max(x, 0), c), as ReLU6
    "linear"       x, of either sign: carried by signed spikes
    "clip_signed"  min(max(x, -c), c): signed spikes
    "quantized"    s * min(max(floor(x / s + shift), 0), n): a ReLU of n steps (QCFS has shift 1/2); without n no limit
    "sign"         1 where x >= 0, else -1
    "heaviside"    1 where x > 0, else 0
    "not_negative" 1 where x >= 0, else 0: what folding makes of a sign, (sign(x) + 1) / 2
    """

    kind: str = "relu"
    ceiling: float | None = None  # c; of a quantized one n * s
    levels: int | None = None  # n
    step: float | None = None  # s
    shift: float = 0.0  # of a quantized one, in steps; the start of its membranes
    relay: bool = False  # hands spikes on unchanged (behind Weighted.copies): it keeps the scale of its source

    @property
    def signed(self) -> bool:
        """Whether its value may be negative."""
        return KINDS[self.kind][1]

    @property
    def keeps_zero(self) -> bool:
        """Whether 0 stays 0, so that zeros around an image may come before or after."""
        return not bool(self(torch.zeros(1)).any())

    def __call__(self, *values: Tensor) -> Tensor:
        return KINDS[self.kind][0](self, values[0])


def _clip(node: Activation, x: Tensor) -> Tensor:
    return x.clamp(0.0, node.ceiling)


def _clip_signed(node: Activation, x: Tensor) -> Tensor:
    ceiling = float(node.ceiling or 0.0)
    return x.clamp(-ceiling, ceiling)


def _quantized(node: Activation, x: Tensor) -> Tensor:
    step = float(node.step or 1.0)
    return torch.floor(x / step + node.shift).clamp(0, node.levels) * step


def _sign(node: Activation, x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).to(x)


def _heaviside(node: Activation, x: Tensor) -> Tensor:
    return (x > 0).to(x)


def _not_negative(node: Activation, x: Tensor) -> Tensor:
    return (x >= 0).to(x)


# kind: (what it computes, whether it may be negative)
KINDS: dict[str, tuple[Callable[[Activation, Tensor], Tensor], bool]] = {
    "relu": (lambda node, x: x.relu(), False),
    "clip": (_clip, False),
    "linear": (lambda node, x: x, True),
    "clip_signed": (_clip_signed, True),
    "quantized": (_quantized, False),
    "heaviside": (_heaviside, False),
    "not_negative": (_not_negative, False),
    "sign": (_sign, True),
}

BITS = ("heaviside", "not_negative", "sign")  # kinds of two values
JUMPS = ("quantized", *BITS)  # kinds where a rounding can make a difference of a whole step
