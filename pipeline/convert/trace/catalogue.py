"""One row per operation of torch that converts: module, function or method, and its rule.

Whatever has no row is refused by refusals.py. A module class of your own becomes neurons by a row in ACTIVATIONS, or
without one if it has a method `spiking_activation()` that returns the settings of an Activation (activation.py), such
as {"kind": "quantized", "levels": 8, "step": 0.125, "shift": 0.5, "ceiling": 1.0}: its forward must compute just that.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...train.binary import HeavisideActivation, SignActivation
from ...train.quantized import FloorReLU, PactReLU, QuantizedReLU
from . import arithmetic, curves, layers, shapes

MODULE_RULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Conv2d: layers.conv2d_module,
    nn.Linear: lambda step, module, x: layers.linear(step, x, module.weight, module.bias),
    nn.BatchNorm1d: layers.batch_norm_module,
    nn.BatchNorm2d: layers.batch_norm_module,
    nn.AvgPool2d: layers.avg_pool2d_module,
    nn.AdaptiveAvgPool2d: lambda step, module, x: layers.adaptive_avg_pool2d(step, x),
    nn.MaxPool2d: layers.max_pool2d_module,
    nn.AdaptiveMaxPool2d: lambda step, module, x: layers.adaptive_max_pool2d(step, x, None, module.return_indices),
    nn.ReLU: lambda step, module, x: curves.relu(step, x),
    nn.ReLU6: lambda step, module, x: curves.relu6(step, x),
    nn.Hardtanh: lambda step, module, x: curves.hardtanh(step, x, module.min_val, module.max_val),
    nn.Threshold: lambda step, module, x: curves.threshold(step, x, module.threshold, module.value),
    nn.LeakyReLU: lambda step, module, x: curves.leaky_relu(step, x, module.negative_slope),
    nn.PReLU: lambda step, module, x: curves.prelu(step, x, module.weight),
    nn.RReLU: lambda step, module, x: curves.rrelu(step, x, module.lower, module.upper),
    nn.Hardsigmoid: lambda step, module, x: curves.hardsigmoid(step, x),
    nn.ZeroPad2d: shapes.pad_module,
    nn.ConstantPad2d: shapes.pad_module,
    nn.Upsample: shapes.upsample_module,
    nn.UpsamplingNearest2d: shapes.upsample_module,
    nn.Dropout: shapes.identity,
    nn.Dropout1d: shapes.identity,
    nn.Dropout2d: shapes.identity,
    nn.AlphaDropout: shapes.identity,
    nn.FeatureAlphaDropout: shapes.identity,
    nn.Identity: shapes.identity,
    nn.Softmax: lambda step, module, x: shapes.softmax(step, x, module.dim),
    nn.LogSoftmax: lambda step, module, x: shapes.log_softmax(step, x, module.dim),
}

FUNCTION_RULES: dict[Any, Callable[..., Any]] = {
    functional.conv2d: layers.conv2d,
    torch.conv2d: layers.conv2d,
    functional.linear: layers.linear,
    operator.matmul: layers.matmul,
    torch.matmul: layers.matmul,
    torch.mm: layers.matmul,
    functional.batch_norm: layers.batch_norm,
    functional.avg_pool2d: layers.avg_pool2d,
    functional.adaptive_avg_pool2d: layers.adaptive_avg_pool2d,
    functional.max_pool2d: layers.max_pool2d,
    torch.max_pool2d: layers.max_pool2d,
    functional.adaptive_max_pool2d: layers.adaptive_max_pool2d,
    torch.mean: layers.mean,
    torch.sum: layers.total,
    functional.relu: curves.relu,
    functional.relu_: curves.relu,
    torch.relu: curves.relu,
    torch.relu_: curves.relu,
    functional.relu6: curves.relu6,
    functional.hardtanh: curves.hardtanh,
    functional.hardtanh_: curves.hardtanh,
    functional.threshold: curves.threshold,
    functional.leaky_relu: curves.leaky_relu,
    functional.leaky_relu_: curves.leaky_relu,
    functional.prelu: curves.prelu,
    torch.prelu: curves.prelu,
    functional.rrelu: curves.rrelu,
    functional.hardsigmoid: curves.hardsigmoid,
    torch.clamp: curves.clamp,
    torch.clip: curves.clamp,
    torch.clamp_min: curves.clip_at_least,
    torch.clamp_max: curves.clip_at_most,
    torch.maximum: curves.maximum,
    torch.minimum: curves.minimum,
    torch.abs: curves.absolute,
    operator.abs: curves.absolute,
    functional.pad: shapes.pad,
    functional.interpolate: shapes.interpolate,
    torch.cat: shapes.concat,
    torch.concat: shapes.concat,
    functional.dropout: shapes.dropout,
    functional.dropout2d: shapes.dropout,
    "stochastic_depth": shapes.stochastic_depth,  # torchvision's, by name: it need not be installed
    functional.softmax: shapes.softmax,
    torch.softmax: shapes.softmax,
    functional.log_softmax: shapes.log_softmax,
    torch.log_softmax: shapes.log_softmax,
    operator.mul: arithmetic.mul,
    operator.imul: arithmetic.mul,
    torch.mul: arithmetic.mul,
    torch.multiply: arithmetic.mul,
    operator.truediv: arithmetic.div,
    operator.itruediv: arithmetic.div,
    torch.div: arithmetic.div,
    operator.add: arithmetic.add,
    operator.iadd: arithmetic.add,
    torch.add: arithmetic.add,
    operator.sub: arithmetic.sub,
    operator.isub: arithmetic.sub,
    torch.sub: arithmetic.sub,
    torch.rsub: arithmetic.rsub,
    operator.neg: arithmetic.neg,
    torch.neg: arithmetic.neg,
}

METHOD_RULES: dict[str, Callable[..., Any]] = {
    "matmul": layers.matmul,
    "mm": layers.matmul,
    "mean": layers.mean,
    "sum": layers.total,
    "relu": curves.relu,
    "relu_": curves.relu,
    "clamp": curves.clamp,
    "clamp_": curves.clamp,
    "clip": curves.clamp,
    "clamp_min": curves.clip_at_least,
    "clamp_min_": curves.clip_at_least,
    "clamp_max": curves.clip_at_most,
    "clamp_max_": curves.clip_at_most,
    "abs": curves.absolute,
    "contiguous": shapes.identity,
    "float": shapes.identity,
    "to": shapes.identity,
    "type_as": shapes.identity,
    "clone": shapes.identity,
    "detach": shapes.identity,
    "softmax": shapes.softmax,
    "log_softmax": shapes.log_softmax,
    "mul": arithmetic.mul,
    "mul_": arithmetic.mul,
    "div": arithmetic.div,
    "div_": arithmetic.div,
    "add": arithmetic.add,
    "add_": arithmetic.add,
    "sub": arithmetic.sub,
    "sub_": arithmetic.sub,
    "neg": arithmetic.neg,
}

# What moves values and computes nothing is done to the numbers of their places (data.py).
MOVES: set[Any] = {
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "t"),
    *("chunk", "split", "tensor_split", "unbind", "narrow", "select", "index_select", "flip", "roll"),
    *("expand", "expand_as", "repeat", "repeat_interleave", "swapaxes", "view_as", "reshape_as"),
    *(torch.flatten, torch.unflatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.permute, torch.transpose),
    *(torch.chunk, torch.split, torch.tensor_split, torch.unbind, torch.narrow, torch.select, torch.index_select),
    *(torch.flip, torch.roll, torch.repeat_interleave, torch.movedim, torch.swapaxes, torch.tile, operator.getitem),
    *(functional.channel_shuffle, functional.pixel_shuffle, functional.pixel_unshuffle),
    *(nn.Flatten, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle),
}

ANYWHERE = {shapes.identity}  # rules that take no module, and that may stand behind a softmax


def _steps(levels: int, ceiling: Any) -> dict[str, Any]:
    top = float(ceiling.detach())
    return {"kind": "quantized", "levels": levels, "step": top / levels, "shift": 0.5, "ceiling": top}


# activations of our own training, as the settings of an Activation
ACTIVATIONS: dict[type[nn.Module], Callable[[Any], dict[str, Any]]] = {
    QuantizedReLU: lambda module: _steps(module.levels, module.ceiling),
    PactReLU: lambda module: _steps(module.levels, module.ceiling),
    FloorReLU: lambda module: {"kind": "quantized", "step": module.unit, "shift": 0.5 * module.stochastic},
    SignActivation: lambda module: {"kind": "sign"},
    HeavisideActivation: lambda module: {"kind": "heaviside"},
}


def has_rule(module: nn.Module) -> bool:
    """Whether a module is read as a whole; nothing of it is evaluated (it may be in the midst of being traced)."""
    known = type(module) in MODULE_RULES or type(module) in ACTIVATIONS or type(module) in MOVES
    return known or callable(getattr(type(module), "spiking_activation", None))


def activation_of(module: nn.Module) -> dict[str, Any] | None:
    """The settings of a module that has a row in ACTIVATIONS, or that says by itself which activation it is."""
    if type(module) in ACTIVATIONS:
        return ACTIVATIONS[type(module)](module)
    describe = getattr(module, "spiking_activation", None)
    return dict(describe()) if callable(describe) else None
