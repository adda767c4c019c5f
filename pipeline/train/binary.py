"""Weights of one bit, and activations of one: BinaryConnect, XNOR-Net's weights, BinaryNet.

A binary layer is torch's own Conv2d or Linear with a parametrization (torch.nn.utils.parametrize): `layer.weight` is
what is computed with, one bit for each weight, so that whoever reads it (a converter, an exporter) gets the network
that was trained. Behind it are real "shadow" weights, which learning changes by small amounts. After each step of the
optimizer `clip_shadow_weights` holds them within -1..1: beyond, no gradient would bring them back.
"""

from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import NetworkError

Scheme = Literal["xnor", "connect", "connect-stochastic"]
SCHEMES: tuple[str, ...] = get_args(Scheme)


class _Sign(torch.autograd.Function):
    """+1 for x >= 0, else -1. Backward: straight through where |x| <= 1, else 0 (Hubara et al. 2016, eqs. 1 and 4)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class _DrawnSign(torch.autograd.Function):
    """+1 with probability clip((x + 1) / 2, 0, 1), else -1. Backward as _Sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(torch.rand_like(x) < (x + 1) / 2, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class _Heaviside(torch.autograd.Function):
    """1 for x > 0, else 0. Backward: the slope of clip((x + 1) / 2, 0, 1), which is 1/2 where |x| <= 1, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * 0.5 * (x.abs() <= 1)


def binarize(weight: Tensor, scheme: Scheme, drawn: bool = False) -> Tensor:
    """One bit for each weight (outputs, ...), as real numbers of the same shape and dtype.

    `connect` and `connect-stochastic` (BinaryConnect: Courbariaux et al. 2015, eqs. 1-3): ±1, the sign; with `drawn`
    +1 with probability clip((w + 1) / 2, 0, 1). Gradient: straight through where |w| <= 1.

    `xnor` (XNOR-Net: Rastegari et al. 2016, eq. 6): α·sign(w), one α = mean|w| for each output. Gradient: the chain
    rule, with the sign straight through,

        dC/dw_i = α · g_i · [|w_i| <= 1] + sign(w_i) / n · Σ_j g_j · sign(w_j)        g = dC/d(α·sign(w))

    n weights an output. The paper writes the sum's term j = i alone, g_i / n; the others are as large and are kept.
    """
    if scheme == "xnor":
        scale = weight.abs().mean(tuple(range(1, weight.ndim)), keepdim=True)
        return scale * _Sign.apply(weight)
    return _DrawnSign.apply(weight) if drawn else _Sign.apply(weight)


class Binarize(nn.Module):
    """The parametrization that `make_binary` puts on a weight: real shadows in, one-bit weights out."""

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise NetworkError(f"binary is {scheme!r}, want one of {', '.join(SCHEMES)}")
        self.scheme = scheme

    def forward(self, shadow: Tensor) -> Tensor:
        return binarize(shadow, self.scheme, self.training and self.scheme == "connect-stochastic")


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def make_binary(layer: Layer, scheme: Scheme) -> Layer:
    """The same layer, computing with one-bit weights from now on; its weights of before become the shadows."""
    parametrize.register_parametrization(layer, "weight", Binarize(scheme))
    return layer


def shadow_weight(layer: nn.Module) -> nn.Parameter | None:
    """The real weights that learning changes, where `layer` is a binary one; else None."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    listed = layer.parametrizations["weight"]
    return listed.original if isinstance(listed[0], Binarize) else None


class SignActivation(nn.Module):
    """+1 for x >= 0, else -1 (BinaryNet: Hubara et al. 2016, eq. 1). Gradient 1 where |x| <= 1, else 0 (eq. 4).

    As neurons: signed spikes, a spike +1 for a positive potential and -1 for a negative one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor of any shape in, the same shape out."""
        return _Sign.apply(x)


class HeavisideActivation(nn.Module):
    """1 for x > 0, else 0 (the "binary sigmoid" of BinaryNet's code, as Rueckauer et al. 2017 convert it).

    Gradient 1/2 where |x| <= 1, else 0: the slope of clip((x + 1) / 2, 0, 1), which is rounded forward.

    As neurons: one spike in each timestep whose input is positive.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor of any shape in, the same shape out."""
        return _Heaviside.apply(x)


def clip_shadow_weights(model: nn.Module) -> None:
    """Hold the shadow weights of every binary layer within -1..1; call it after each step of the optimizer."""
    with torch.no_grad():
        for module in model.modules():
            shadow = shadow_weight(module)
            if shadow is not None:
                shadow.clamp_(-1, 1)
