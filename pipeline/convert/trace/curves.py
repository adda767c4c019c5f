"""The rules of activations: each as populations of neurons and exact arithmetic around them.

clamp(x, a, b)    a + clip(x - a, 0, b - a); around 0 as signed spikes; one-sided with a ReLU
LeakyReLU, PReLU  relu(x) - slope * relu(-x): two populations
|x|               relu(x) + relu(-x)
Hardsigmoid       clip(x + 3, 0, 6) / 6
"""

from typing import Any

from torch import Tensor

from .builder import exact
from .data import Data
from .step import Step


def relu(step: Step, x: Any, inplace: bool = False) -> Data:
    return step.elementwise(x, lambda y: step.builder.activation(step.name, y))


def relu6(step: Step, x: Any, inplace: bool = False) -> Data:
    return clamp(step, x, 0.0, 6.0)


def hardtanh(step: Step, x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Data:
    return clamp(step, x, min_val, max_val)


def clamp(step: Step, x: Any, min: Any = None, max: Any = None) -> Data:
    low, high = (None if value is None else _number(step, value) for value in (min, max))
    if low is not None and high is not None and not low < high:
        raise step.refuse(f"it keeps values within {low}..{high}", "want the lower bound below the upper one")
    return step.elementwise(x, lambda y: _clamped(step, y, low, high))


def clip_at_least(step: Step, x: Any, min: Any = None) -> Data:
    return clamp(step, x, min)


def clip_at_most(step: Step, x: Any, max: Any = None) -> Data:
    return clamp(step, x, None, max)


def _clamped(step: Step, x: str, low: float | None, high: float | None) -> str:
    build, name = step.builder, step.name
    if low is None and high is None:
        return x
    if low is None and high is not None:  # min(x, c) = c - relu(c - x)
        room = build.affine(f"{name}_room", x, -1.0, high)
        return build.affine(f"{name}_taken", build.activation(name, room), -1.0, high)
    assert low is not None
    if high is None:
        shifted = build.activation(name, build.affine(f"{name}_down", x, 1.0, -low))
        return build.affine(f"{name}_up", shifted, 1.0, low)
    if low == -high:
        return build.activation(name, x, "clip_signed", ceiling=high)
    clipped = build.activation(name, build.affine(f"{name}_down", x, 1.0, -low), "clip", ceiling=high - low)
    return build.affine(f"{name}_up", clipped, 1.0, low)


def threshold(step: Step, x: Any, threshold: float, value: float, inplace: bool = False) -> Data:
    if threshold != value:
        raise step.refuse(
            f"it jumps from {value} to {threshold}",
            "want threshold and value alike (a ReLU); use nn.ReLU",
        )
    return clamp(step, x, threshold)


def hardsigmoid(step: Step, x: Any, inplace: bool = False) -> Data:
    def curve(y: str) -> str:
        shifted = step.builder.affine(f"{step.name}_up", y, 1.0, 3.0)
        clipped = step.builder.activation(step.name, shifted, "clip", ceiling=6.0)
        return step.builder.affine(f"{step.name}_sixth", clipped, 1.0 / 6.0)

    return step.elementwise(x, curve)


def leaky_relu(step: Step, x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Data:
    return step.elementwise(x, lambda y: step.builder.leaky(step.name, y, negative_slope))


def prelu(step: Step, x: Any, weight: Tensor) -> Any:
    if weight.numel() == 1:
        return step.elementwise(x, lambda y: step.builder.leaky(step.name, y, exact(weight)))
    return step.builder.leaky(step.name, step.image(x), exact(weight))


def rrelu(step: Step, x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *rest: Any) -> Data:
    if training:
        raise step.refuse("it draws its slopes at random in eval mode too", "call it with training=self.training")
    return leaky_relu(step, x, (lower + upper) / 2)


def absolute(step: Step, x: Any) -> Data:
    return step.elementwise(x, lambda y: step.builder.leaky(step.name, y, -1.0))


def maximum(step: Step, a: Any, b: Any) -> Data:
    """torch.maximum with a number; of two tensors of the input it is refused."""
    x, other = (b, a) if isinstance(b, Data) else (a, b)
    if isinstance(other, Data):
        raise step.refuse("it compares two branches of the data", "train without it (maxout has no spiking equivalent)")
    return clamp(step, x, other)


def minimum(step: Step, a: Any, b: Any) -> Data:
    x, other = (b, a) if isinstance(b, Data) else (a, b)
    if isinstance(other, Data):
        raise step.refuse("it compares two branches of the data", "train without it")
    return clamp(step, x, None, other)


def _number(step: Step, value: Any) -> float:
    if isinstance(value, Data) or (isinstance(value, Tensor) and value.numel() != 1):
        raise step.refuse("its bounds are no single numbers", "use one number for all channels")
    return float(value)
