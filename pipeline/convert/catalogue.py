"""One row per operation of torch that converts: module, function or method, and its rule.

Whatever has no row is refused by refusals.py.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from . import arithmetic, rules

MODULE_RULES: dict[type[nn.Module], Callable[..., None]] = {
    nn.Conv2d: rules.conv2d_module,
    nn.Linear: lambda step, module, x: rules.linear(step, x, module.weight, module.bias),
    nn.BatchNorm1d: rules.batch_norm_module,
    nn.BatchNorm2d: rules.batch_norm_module,
    nn.AvgPool2d: rules.avg_pool2d_module,
    nn.AdaptiveAvgPool2d: lambda step, module, x: rules.adaptive_avg_pool2d(step, x),
    nn.ReLU: lambda step, module, x: rules.relu(step, x),
    nn.Flatten: lambda step, module, x: rules.flatten(step, x),
    nn.Dropout: rules.identity,
    nn.Dropout1d: rules.identity,
    nn.Dropout2d: rules.identity,
    nn.AlphaDropout: rules.identity,
    nn.Identity: rules.identity,
    nn.Softmax: lambda step, module, x: rules.softmax(step, x, module.dim),
    nn.LogSoftmax: lambda step, module, x: rules.log_softmax(step, x, module.dim),
}

FUNCTION_RULES: dict[Any, Callable[..., None]] = {
    functional.conv2d: rules.conv2d,
    functional.linear: rules.linear,
    functional.batch_norm: rules.batch_norm,
    functional.avg_pool2d: rules.avg_pool2d,
    functional.adaptive_avg_pool2d: rules.adaptive_avg_pool2d,
    torch.mean: rules.mean,
    functional.relu: rules.relu,
    functional.relu_: rules.relu,
    torch.relu: rules.relu,
    torch.relu_: rules.relu,
    torch.clamp: rules.clamp,
    torch.clamp_min: rules.clamp,
    torch.flatten: rules.flatten,
    torch.reshape: rules.flatten,
    torch.squeeze: rules.flatten,
    functional.dropout: rules.dropout,
    functional.dropout2d: rules.dropout,
    functional.softmax: rules.softmax,
    torch.softmax: rules.softmax,
    functional.log_softmax: rules.log_softmax,
    torch.log_softmax: rules.log_softmax,
    operator.mul: arithmetic.mul,
    operator.imul: arithmetic.mul,
    torch.mul: arithmetic.mul,
    operator.truediv: arithmetic.div,
    operator.itruediv: arithmetic.div,
    torch.div: arithmetic.div,
    operator.add: arithmetic.add,
    operator.iadd: arithmetic.add,
    torch.add: arithmetic.add,
    operator.sub: arithmetic.sub,
    operator.isub: arithmetic.sub,
    torch.sub: arithmetic.sub,
    operator.neg: arithmetic.neg,
}

METHOD_RULES: dict[str, Callable[..., None]] = {
    "mean": rules.mean,
    "relu": rules.relu,
    "relu_": rules.relu,
    "clamp": rules.clamp,
    "clamp_": rules.clamp,
    "clamp_min": rules.clamp,
    "flatten": rules.flatten,
    "view": rules.flatten,
    "reshape": rules.flatten,
    "squeeze": rules.flatten,
    "contiguous": rules.identity,
    "float": rules.identity,
    "to": rules.identity,
    "clone": rules.identity,
    "detach": rules.identity,
    "softmax": rules.softmax,
    "log_softmax": rules.log_softmax,
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

# the data may be the second operand of these; of all others it is the first
SWAPPABLE = (arithmetic.mul, arithmetic.add, arithmetic.sub, arithmetic.div)
