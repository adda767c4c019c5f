"""Weights of one bit, and activations of one: BinaryConnect, XNOR-Net's weights, BinaryNet.

The modules keep real "shadow" weights, which learning changes by small amounts, and compute with their signs. After
each step of the optimizer `clip_shadow_weights` holds the shadows within -1..1: beyond, no gradient would bring them
back.

BinaryConv2d and BinaryLinear are deliberately no subclasses of torch's layers: whoever reads `.weight` of a Conv2d
would get the shadows and so, silently, another network. `plain()` gives the torch layer that computes the same.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class _Binary(nn.Module):
    """Shadow weights, their bias, and when they are drawn: BinaryConnect's stochastic form, in training alone."""

    def __init__(self, like: nn.Conv2d | nn.Linear, scheme: Scheme) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise NetworkError(f"binary is {scheme!r}, want one of {', '.join(SCHEMES)}")
        self.scheme = scheme
        self.weight = like.weight  # shadows
        self.bias = like.bias

    def binary_weight(self) -> Tensor:
        """The weights that are computed with."""
        return binarize(self.weight, self.scheme, self.training and self.scheme == "connect-stochastic")

    def _copy_into(self, layer: nn.Module) -> None:
        with torch.no_grad():
            layer.weight.copy_(binarize(self.weight, self.scheme))
            if self.bias is not None:
                layer.bias.copy_(self.bias)


class BinaryConv2d(_Binary):
    """A Conv2d with one-bit weights. Arguments are nn.Conv2d's, padding is with zeros; `scheme` as in `binarize`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        scheme: Scheme = "xnor",
    ) -> None:
        like = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias)
        super().__init__(like, scheme)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = like.kernel_size, like.stride, like.dilation
        self.padding = (padding, padding) if isinstance(padding, int) else padding

    def forward(self, x: Tensor) -> Tensor:
        """Float (n, in_channels, height, width) in, (n, out_channels, height, width) out, as nn.Conv2d."""
        return functional.conv2d(
            x, self.binary_weight(), self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def plain(self) -> nn.Conv2d:
        """The nn.Conv2d that computes the same in evaluation: its weights are the binary ones."""
        layer = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            bias=self.bias is not None,
        )
        self._copy_into(layer)
        return layer.to(self.weight).train(self.training)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, scheme={self.scheme}"
        )


class BinaryLinear(_Binary):
    """A Linear with one-bit weights; `scheme` as in `binarize`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, scheme: Scheme = "xnor") -> None:
        super().__init__(nn.Linear(in_features, out_features, bias), scheme)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Tensor) -> Tensor:
        """Float (n, in_features) in, (n, out_features) out."""
        return functional.linear(x, self.binary_weight(), self.bias)

    def plain(self) -> nn.Linear:
        """The nn.Linear that computes the same in evaluation: its weights are the binary ones."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        self._copy_into(layer)
        return layer.to(self.weight).train(self.training)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, scheme={self.scheme}"


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
            if isinstance(module, _Binary):
                module.weight.clamp_(-1, 1)
