"""Rules of arithmetic with constants: scales and shifts, one for all or one a channel, that the chain folds away."""

from typing import Any

import torch
from torch import Tensor

from .refusals import refuse
from .rules import Step, exact


def mul(step: Step, a: Any, b: Any) -> None:
    scale = _constant(step, a if step.swapped else b)
    step.builder.affine(step.name, scale, torch.zeros_like(scale))


def div(step: Step, a: Any, b: Any, rounding_mode: str | None = None) -> None:
    if step.swapped or rounding_mode is not None:
        raise refuse(
            step.name, step.kind, "it divides by the data, or rounds", "only division by a constant is converted"
        )
    scale = 1.0 / _constant(step, b)
    step.builder.affine(step.name, scale, torch.zeros_like(scale))


def add(step: Step, a: Any, b: Any, alpha: float = 1) -> None:
    shift = _constant(step, a if step.swapped else b) * (1 if step.swapped else alpha)
    scale = torch.full_like(shift, alpha if step.swapped else 1)
    step.builder.affine(step.name, scale, shift)


def sub(step: Step, a: Any, b: Any, alpha: float = 1) -> None:
    if step.swapped:
        shift = _constant(step, a)
        step.builder.affine(step.name, torch.full_like(shift, -alpha), shift)
    else:
        shift = -_constant(step, b) * alpha
        step.builder.affine(step.name, torch.ones_like(shift), shift)


def neg(step: Step, x: Tensor) -> None:
    step.builder.affine(step.name, -torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))


def _constant(step: Step, value: Any) -> Tensor:
    """A number, or one number per channel, as float64 (1,) or (channels,)."""
    if not isinstance(value, Tensor):
        return torch.tensor([float(value)], dtype=torch.float64)
    axes = len(step.input_shape)
    shape = (1,) * (axes - value.ndim) + tuple(value.shape)
    if value.numel() == 1:
        return exact(value).reshape(1)
    if len(shape) != axes or value.numel() != shape[1] or shape[1] != step.input_shape[1]:
        raise refuse(
            step.name,
            step.kind,
            f"its constant has shape {tuple(value.shape)}",
            "want one number, or one per channel as (channel, 1, 1)",
        )
    return exact(value).reshape(-1)
