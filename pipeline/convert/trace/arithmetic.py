"""Rules of arithmetic: sums and differences of branches, and scales and shifts by constants."""

from typing import Any

import torch
from torch import Tensor

from .builder import exact
from .data import BATCH, Data
from .step import Step

ONE, NONE = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)


def add(step: Step, a: Any, b: Any, alpha: float = 1) -> Any:
    if isinstance(a, Data) and isinstance(b, Data):
        return _sum(step, a, b, float(alpha))
    if isinstance(b, Data):
        return _affine(step, b, torch.full((1,), float(alpha), dtype=torch.float64), a)
    return _affine(step, a, ONE, b, shift_factor=float(alpha))


def sub(step: Step, a: Any, b: Any, alpha: float = 1) -> Any:
    if isinstance(a, Data) and isinstance(b, Data):
        return _sum(step, a, b, -float(alpha))
    if isinstance(b, Data):
        return _affine(step, b, torch.full((1,), -float(alpha), dtype=torch.float64), a)
    return _affine(step, a, ONE, b, shift_factor=-float(alpha))


def rsub(step: Step, a: Any, b: Any, alpha: float = 1) -> Any:
    return sub(step, b, a, alpha)


def mul(step: Step, a: Any, b: Any) -> Any:
    if isinstance(a, Data) and isinstance(b, Data):
        raise step.refuse(
            f"it multiplies {a.name!r} with {b.name!r}, two values made from the data (a gate, squeeze-and-excitation, "
            "attention); spikes add up and do not multiply",
            "train without the gate, for instance a ResNet or MobileNetV2 instead of MobileNetV3 or EfficientNet",
        )
    x, factor = (b, a) if isinstance(b, Data) else (a, b)
    return _affine(step, x, _constant(step, x, factor), 0.0)


def div(step: Step, a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    if isinstance(b, Data) or rounding_mode is not None:
        raise step.refuse("it divides by the data, or rounds", "only division by a constant is converted")
    return _affine(step, a, 1.0 / _constant(step, a, b), 0.0)


def neg(step: Step, x: Any) -> Any:
    return _affine(step, x, -ONE, 0.0)


def _sum(step: Step, a: Data, b: Data, factor: float) -> Any:
    """a + factor * b."""

    def both(x: str, y: str) -> str:
        return step.builder.add(step.name, (x, step.builder.affine(step.name, y, factor)))

    if a.shape != b.shape:
        raise step.refuse(
            f"it adds values of shapes {a.shape[1:]} and {b.shape[1:]}",
            "want branches of one shape; expand the smaller one in the model, or train without it",
        )
    same = step.builder.shapes[a.name] == step.builder.shapes[b.name]
    if same and torch.equal(a.places(), b.places()):
        return step.elementwise(a, lambda x: both(x, b.name))
    return both(step.as_it_lies(a), step.as_it_lies(b))


def _affine(step: Step, x: Any, scale: Tensor, shift: Any, shift_factor: float = 1.0) -> Any:
    """scale * x + shift_factor * shift."""
    data = step.data(x)
    offset = _constant(step, data, shift) * shift_factor

    def apply(y: str) -> str:
        return step.builder.affine(step.name, y, scale, offset)

    if len(scale) == len(offset) == 1:
        return step.elementwise(data, apply)
    return apply(step.as_it_lies(data))


def _constant(step: Step, x: Any, value: Any) -> Tensor:
    """A number, or one number per channel, as float64 (1,) or (channels,)."""
    if not isinstance(value, Tensor):
        return torch.tensor([float(value)], dtype=torch.float64)
    if value.numel() == 1:
        return exact(value).reshape(1)
    own = step.data(x).shape
    shape = (1,) * (len(own) - value.ndim) + tuple(value.shape)
    if len(shape) != len(own) or value.numel() != shape[1] or shape[1] != own[1] or own[0] != BATCH:
        raise step.refuse(
            f"its constant has shape {tuple(value.shape)}", "want one number, or one per channel as (channel, 1, 1)"
        )
    return exact(value).reshape(-1)
