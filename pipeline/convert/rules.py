"""The rules: how a layer is folded into the chain. catalogue.py says which operation of torch has which rule.

A rule is called with a Step and the operation's own arguments (the traced values), so that Python itself binds
defaults and keywords. Rules of arithmetic with constants are in arithmetic.py.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .chain import ChainBuilder, Pair, Weighted
from .refusals import refuse


@dataclass(frozen=True)
class Step:
    """One node of the graph, as a rule sees it."""

    builder: ChainBuilder
    name: str
    kind: str  # as torch calls it, for messages
    input_shape: tuple[int, ...]  # with the batch first
    output_shape: tuple[int, ...]
    swapped: bool = False  # the data is the second operand, as in `2 * x`


def conv2d(
    step: Step,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> None:
    dilation = _pair(dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(span % 2 for span in spans):
            raise refuse(
                step.name, step.kind, 'padding="same" with an even kernel pads one side more', "use an odd kernel"
            )
        padding = (spans[0] // 2, spans[1] // 2)
    if len(step.input_shape) != 4:
        raise refuse(
            step.name, step.kind, f"its input has shape {step.input_shape}", "want (n, channel, height, width)"
        )
    offset = torch.zeros(len(weight)) if bias is None else bias
    step.builder.weighted(
        Weighted(step.name, exact(weight), exact(offset), _pair(stride), _pair(padding), dilation, groups)
    )


def conv2d_module(step: Step, module: nn.Conv2d, x: Tensor) -> None:
    if module.padding_mode != "zeros" and any(_pair(module.padding) if module.padding != "same" else (1,)):
        raise refuse(step.name, step.kind, f"padding_mode is {module.padding_mode!r}", "use padding_mode='zeros'")
    conv2d(step, x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)


def linear(step: Step, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    if len(step.input_shape) != 2:
        raise refuse(
            step.name, step.kind, f"its input has shape {step.input_shape}", "flatten it to (n, features) before"
        )
    offset = torch.zeros(len(weight)) if bias is None else bias
    step.builder.weighted(Weighted(step.name, exact(weight), exact(offset)))


def batch_norm(
    step: Step,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> None:
    if training or running_mean is None or running_var is None:
        raise refuse(
            step.name, step.kind, "it takes its statistics from each batch", "train it with track_running_stats=True"
        )
    scale = 1.0 / torch.sqrt(exact(running_var) + eps)
    if weight is not None:
        scale = scale * exact(weight)
    shift = -exact(running_mean) * scale
    if bias is not None:
        shift = shift + exact(bias)
    step.builder.affine(step.name, scale, shift)


def batch_norm_module(step: Step, module: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> None:
    batch_norm(step, x, module.running_mean, module.running_var, module.weight, module.bias, False, 0.1, module.eps)


def avg_pool2d(
    step: Step,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> None:
    kernel = _pair(kernel_size)
    stride = kernel if stride is None or stride == () else _pair(stride)
    if any(_pair(padding)):
        raise refuse(
            step.name, step.kind, f"it pads by {padding}", "pool without padding, or use a strided convolution"
        )
    whole = tuple((n - k) // s + 1 for n, k, s in zip(step.input_shape[2:], kernel, stride, strict=True))
    if whole != step.output_shape[2:]:
        raise refuse(step.name, step.kind, "ceil_mode makes its last windows smaller", "use ceil_mode=False")
    step.builder.pool(step.name, kernel, stride, divisor_override or math.prod(kernel))


def avg_pool2d_module(step: Step, module: nn.AvgPool2d, x: Tensor) -> None:
    avg_pool2d(
        step, x, module.kernel_size, module.stride, module.padding, module.ceil_mode, True, module.divisor_override
    )


def adaptive_avg_pool2d(step: Step, x: Tensor, output_size: Any = None) -> None:
    inputs, outputs = step.input_shape[2:], step.output_shape[2:]
    if any(n % m for n, m in zip(inputs, outputs, strict=True)):
        raise refuse(
            step.name,
            step.kind,
            f"its windows from {inputs[0]}x{inputs[1]} to {outputs[0]}x{outputs[1]} differ in size",
            "choose an output size that divides the input, such as 1",
        )
    kernel = (inputs[0] // outputs[0], inputs[1] // outputs[1])
    step.builder.pool(step.name, kernel, kernel, math.prod(kernel))


def mean(step: Step, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> None:
    axes = sorted(axis % len(step.input_shape) for axis in ([dim] if isinstance(dim, int) else dim or ()))
    if len(step.input_shape) != 4 or axes != [2, 3]:
        raise refuse(step.name, step.kind, f"it averages over the axes {dim}", "only the mean over (2, 3) is converted")
    kernel = (step.input_shape[2], step.input_shape[3])
    step.builder.pool(step.name, kernel, kernel, math.prod(kernel))


def relu(step: Step, x: Tensor, inplace: bool = False) -> None:
    step.builder.relu(step.name)


def clamp(step: Step, x: Tensor, min: Any = None, max: Any = None) -> None:
    if max is not None or min is None or float(min) != 0.0:
        raise refuse(
            step.name, step.kind, f"it keeps values within {min}..{max}", "only clamp(min=0), a ReLU, is converted"
        )
    step.builder.relu(step.name)


def flatten(step: Step, x: Tensor, *sizes: Any, **named: Any) -> None:
    """Flattening, or no change at all; a Network's layers flatten in the same (channel, y, x) order by themselves."""
    features = math.prod(step.input_shape[1:])
    flat = step.output_shape[:2] == (step.input_shape[0], features)  # (n, features), or with ones behind
    if not flat and step.output_shape != step.input_shape:
        raise refuse(
            step.name,
            step.kind,
            f"it turns {step.input_shape} into {step.output_shape}",
            "only flattening to (n, features) is converted",
        )


def dropout(step: Step, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> None:
    if training and p > 0:
        raise refuse(
            step.name,
            step.kind,
            "it is active in eval mode too",
            "call it with training=self.training, or use nn.Dropout",
        )


def identity(step: Step, x: Tensor, *rest: Any, **named: Any) -> None:
    """Changes nothing (dropout in eval mode, contiguous, float, ...)."""


def softmax(step: Step, x: Tensor, dim: int | None = None, *rest: Any, **named: Any) -> None:
    _end(step, dim, "softmax")


def log_softmax(step: Step, x: Tensor, dim: int | None = None, *rest: Any, **named: Any) -> None:
    _end(step, dim, "log_softmax")


def _end(step: Step, dim: int | None, kind: str) -> None:
    axes = len(step.input_shape)
    if (1 if dim is None else dim % axes) != 1 or math.prod(step.input_shape[2:]) != 1:
        raise refuse(
            step.name, step.kind, f"it runs over axis {dim}", "a softmax may only be the end, over the classes"
        )
    step.builder.end_softmax(step.name, kind)


def exact(value: Tensor) -> Tensor:
    return value.detach().double()


def _pair(value: Any) -> Pair:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))
