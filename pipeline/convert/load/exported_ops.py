"""What each operation of a torch.export archive is in torch: one rule an operation, and the table of all."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConversionError
from .module_builder import Data, ModuleBuilder, with_weights


@dataclass(frozen=True)
class Node:
    """One operation, its arguments by name: Data, tensors, numbers, or lists of them."""

    builder: ModuleBuilder
    title: str
    target: str
    arguments: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.arguments.get(name)
        return default if value is None else value

    @property
    def x(self) -> Data:
        value = self.arguments.get("input", self.arguments.get("self"))
        if not isinstance(value, Data):
            raise self.refuse("it is not fed by another layer")
        return value

    def tensor(self, name: str) -> Tensor | None:
        value = self.arguments.get(name)
        if value is not None and not isinstance(value, Tensor):
            raise self.refuse(f"its {name} is computed from the image, want a constant")
        return value

    def refuse(self, reason: str) -> ConversionError:
        return ConversionError(
            f"node {self.title!r} ({self.target}): {reason}; train with a layer that docs/models.md lists"
        )

    def module(self, module: nn.Module) -> Data:
        return self.builder.module(self.title, module, self.x)

    def call(self, function: Callable[..., Any], *args: Any) -> Data:
        plain = [value.float().numpy() if isinstance(value, Tensor) else value for value in args]
        return self.builder.call(self.title, function, *plain)


def _conv(node: Node) -> Data:
    weight, bias = node.tensor("weight"), node.tensor("bias")
    assert weight is not None
    groups = node.get("groups", 1)
    if weight.ndim != 4:
        raise node.refuse(f"its weights have shape {tuple(weight.shape)}, only two-dimensional convolutions convert")
    conv = nn.Conv2d(
        weight.shape[1] * groups, len(weight), tuple(weight.shape[2:]), _pair(node.get("stride", 1)),
        _padding(node.get("padding", 0)), _pair(node.get("dilation", 1)), groups, bias is not None, device="meta",
    )  # fmt: skip
    return node.module(with_weights(conv, weight, bias))


def _linear(node: Node) -> Data:
    weight, bias = node.tensor("weight"), node.tensor("bias")
    assert weight is not None
    linear = nn.Linear(weight.shape[1], len(weight), bias is not None, device="meta")
    return node.module(with_weights(linear, weight, bias))


def _batch_norm(node: Node) -> Data:
    mean, variance = node.tensor("running_mean"), node.tensor("running_var")
    if node.get("training", False) or mean is None or variance is None:
        raise node.refuse("it takes its statistics from each batch; call model.eval() before torch.export.export")
    scale, shift = node.tensor("weight"), node.tensor("bias")
    kind = nn.BatchNorm2d if len(node.x.shape) == 4 else nn.BatchNorm1d
    norm: Any = kind(len(mean), eps=node["eps"], affine=scale is not None)
    norm.running_mean, norm.running_var = mean.float(), variance.float()
    return node.module(norm if scale is None else with_weights(norm, scale, shift))


def _prelu(node: Node) -> Data:
    slope = node.tensor("weight")
    assert slope is not None
    return node.module(with_weights(nn.PReLU(len(slope)), slope, None))


def _dropout(node: Node) -> Data:
    if node.get("train", False):
        raise node.refuse("it is active; call model.eval() before torch.export.export")
    return node.x


def _average_pool(node: Node) -> Data:
    kernel = _pair(node["kernel_size"])
    return node.module(
        nn.AvgPool2d(
            kernel,
            _pair(node.get("stride") or kernel),
            _pair(node.get("padding", 0)),
            node.get("ceil_mode", False),
            node.get("count_include_pad", True),
            node.get("divisor_override"),
        )
    )


def _max_pool(node: Node) -> Data:
    kernel = _pair(node["kernel_size"])
    stride, padding, dilation = (node.get("stride") or kernel), node.get("padding", 0), node.get("dilation", 1)
    ceil = node.get("ceil_mode", False)
    return node.module(nn.MaxPool2d(kernel, _pair(stride), _pair(padding), _pair(dilation), ceil_mode=ceil))


def _hardtanh(node: Node) -> Data:
    low, high = node.get("min_val", -1.0), node.get("max_val", 1.0)
    return node.module(nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high))


def _upsample(node: Node) -> Data:
    factors, size = node.get("scale_factors"), node.get("output_size")
    if factors is None and size is not None:
        factors = [want / have for want, have in zip(size, node.x.shape[2:], strict=True)]
    if factors is None or any(factor != int(factor) or factor < 1 for factor in factors):
        raise node.refuse(f"it resizes by {factors}, want whole numbers")
    return node.module(nn.Upsample(scale_factor=tuple(float(factor) for factor in factors), mode="nearest"))


def _pad(node: Node) -> Data:
    if node.get("mode", "constant") != "constant":
        raise node.refuse(f"it pads by {node['mode']}, want zeros")
    return node.call(functional.pad, node.x, list(node["pad"]), "constant", float(node.get("value", 0.0)))


def _slice(node: Node) -> Data:
    axis = node.get("dim", 0) % len(node.x.shape)
    first, last, _ = slice(node.get("start"), node.get("end")).indices(node.x.shape[axis])
    step = node.get("step", 1)
    if (first, last, step) == (0, node.x.shape[axis], 1):
        return node.x
    if axis == 0:
        raise node.refuse("it cuts the batch")
    where = [slice(None)] * axis + [slice(first, last, step if step > 1 else None)]
    return node.call(operator.getitem, node.x, tuple(where))


def _parts(node: Node) -> list[Data]:
    """chunk and split: the channels in parts of one size, the last one perhaps smaller."""
    axis = node.get("dim", 0) % len(node.x.shape)
    side, size = node.x.shape[axis], node.get("split_size")
    if size is None and "chunks" in node.arguments:
        size = -(-side // node["chunks"])
    sizes = node.get("split_sizes") or [min(size, side - start) for start in range(0, side, size)]
    if axis == 0 or sum(sizes) != side:
        raise node.refuse(f"it cuts axis {axis} of {node.x.shape} into {sizes}")
    stops = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    wheres = [[slice(None)] * axis + [slice(stop - part, stop)] for part, stop in zip(sizes, stops, strict=True)]
    return [node.call(operator.getitem, node.x, tuple(where)) for where in wheres]


def _flatten(node: Node) -> Data:
    shape, start, end = node.x.shape, node.get("start_dim", 0), node.get("end_dim", -1)
    start, end = start % len(shape), end % len(shape)
    sides = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return node.builder.reshaped(node.title, node.x, sides)


def _reshape(node: Node) -> Data:
    return node.builder.reshaped(node.title, node.x, node.arguments.get("shape") or node.arguments["size"])


def _squeeze(node: Node) -> Data:
    said, shape = node["dim"], node.x.shape
    axes = {axis % len(shape) for axis in ([said] if isinstance(said, int) else said)}
    sides = [side for axis, side in enumerate(shape) if axis not in axes or side != 1]
    return node.builder.reshaped(node.title, node.x, sides)


def _unsqueeze(node: Node) -> Data:
    sides = list(node.x.shape)
    sides.insert(node["dim"] % (len(sides) + 1), 1)
    return node.builder.reshaped(node.title, node.x, sides)


def _binary(function: Callable[..., Any]) -> Callable[[Node], Data]:
    def rule(node: Node) -> Data:
        if node.get("alpha", 1) != 1:
            raise node.refuse(f"it multiplies one summand by {node['alpha']}; write the product out")
        return node.call(function, node["self"], node["other"])

    return rule


def _module(make: Callable[[Node], nn.Module]) -> Callable[[Node], Data]:
    return lambda node: node.module(make(node))


def _function(function: Callable[..., Any], *names: str) -> Callable[[Node], Data]:
    """A function of torch that takes the arguments of these names behind its input."""
    return lambda node: node.call(function, node.x, *(node.get(name) for name in names))


def _same(node: Node) -> Data:
    return node.x


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _padding(value: Any) -> Any:
    return value if isinstance(value, str) else _pair(value)


RULES: dict[str, Callable[[Node], Any]] = {
    "aten.conv2d.default": _conv,
    "aten.conv2d.padding": _conv,
    "aten.linear.default": _linear,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.relu.default": _module(lambda node: nn.ReLU()),
    "aten.relu_.default": _module(lambda node: nn.ReLU()),
    "aten.relu6.default": _module(lambda node: nn.ReLU6()),
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_.default": _hardtanh,
    "aten.leaky_relu.default": _module(lambda node: nn.LeakyReLU(node.get("negative_slope", 0.01))),
    "aten.leaky_relu_.default": _module(lambda node: nn.LeakyReLU(node.get("negative_slope", 0.01))),
    "aten.prelu.default": _prelu,
    "aten.elu.default": _module(lambda node: nn.ELU(node.get("alpha", 1.0))),
    "aten.gelu.default": _module(lambda node: nn.GELU(node.get("approximate", "none"))),
    "aten.silu.default": _module(lambda node: nn.SiLU()),
    "aten.silu_.default": _module(lambda node: nn.SiLU()),
    "aten.hardswish.default": _module(lambda node: nn.Hardswish()),
    "aten.hardswish_.default": _module(lambda node: nn.Hardswish()),
    "aten.hardsigmoid.default": _module(lambda node: nn.Hardsigmoid()),
    "aten.sigmoid.default": _module(lambda node: nn.Sigmoid()),
    "aten.tanh.default": _module(lambda node: nn.Tanh()),
    "aten.softplus.default": _module(lambda node: nn.Softplus(node.get("beta", 1), node.get("threshold", 20))),
    "aten.softmax.int": _module(lambda node: nn.Softmax(node["dim"])),
    "aten.log_softmax.int": _module(lambda node: nn.LogSoftmax(node["dim"])),
    "aten.clamp.default": _function(torch.clamp, "min", "max"),
    "aten.clamp_.default": _function(torch.clamp, "min", "max"),
    "aten.clamp_min.default": _function(torch.clamp, "min"),
    "aten.floor.default": _function(torch.floor),
    "aten.round.default": _function(torch.round),
    "aten.sign.default": _function(torch.sign),
    "aten.neg.default": _function(operator.neg),
    "aten.avg_pool2d.default": _average_pool,
    "aten.max_pool2d.default": _max_pool,
    "aten.adaptive_avg_pool2d.default": _module(lambda node: nn.AdaptiveAvgPool2d(tuple(node["output_size"]))),
    "aten.adaptive_max_pool2d.default": _module(lambda node: nn.AdaptiveMaxPool2d(tuple(node["output_size"]))),
    "aten.mean.dim": lambda node: node.call(torch.mean, node.x, node["dim"], node.get("keepdim", False)),
    "aten.sum.dim_IntList": lambda node: node.call(torch.sum, node.x, node["dim"], node.get("keepdim", False)),
    "aten.amax.default": lambda node: node.call(torch.amax, node.x, node["dim"], node.get("keepdim", False)),
    "aten.upsample_nearest2d.vec": _upsample,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.view.default": _reshape,
    "aten.reshape.default": _reshape,
    "aten.flatten.using_ints": _flatten,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.permute.default": lambda node: node.call(torch.permute, node.x, tuple(node["dims"])),
    "aten.slice.Tensor": _slice,
    "aten.chunk.default": _parts,
    "aten.split.Tensor": _parts,
    "aten.split_with_sizes.default": _parts,
    "aten.cat.default": lambda node: node.call(torch.cat, node["tensors"], node.get("dim", 0)),
    "aten.add.Tensor": _binary(operator.add),
    "aten.add_.Tensor": _binary(operator.add),
    "aten.sub.Tensor": _binary(operator.sub),
    "aten.mul.Tensor": _binary(operator.mul),
    "aten.mul_.Tensor": _binary(operator.mul),
    "aten.div.Tensor": _binary(operator.truediv),
    "aten.sym_size.int": lambda node: node.x.shape[node["dim"]],
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.alpha_dropout.default": _dropout,
    "aten.contiguous.default": _same,
    "aten.clone.default": _same,
    "aten.alias.default": _same,
    "aten.detach.default": _same,
}
