"""The rules of layers with weights, norms and pools. catalogue.py says which operation of torch has which rule.

A rule is called with a Step and the operation's own arguments, so that Python itself binds defaults and keywords; what
comes from the input is Data, everything else the traced value. It returns the builder's name of the result, or Data.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..cnn import Activation, Concat, MaxPool, Pair
from .builder import exact
from .data import Data, as_vector
from .step import Step


def conv2d(
    step: Step,
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> str:
    constant_weights(step, x, weight, bias)
    image, dilation = step.image(x), pair(dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":  # an even kernel pads one row more at the end
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        before = [span // 2 for span in spans]
        image = step.builder.pad(
            f"{step.name}_pad", image, before[0], spans[0] - before[0], before[1], spans[1] - before[1]
        )
        padding = 0
    return step.builder.weighted(step.name, image, weight, bias, pair(stride), pair(padding), dilation, groups)


def conv2d_module(step: Step, module: nn.Conv2d, x: Any) -> str:
    pads = module.padding == "same" or (module.padding != "valid" and any(pair(module.padding)))
    if module.padding_mode != "zeros" and pads:
        raise step.refuse(f"padding_mode is {module.padding_mode!r}", "use padding_mode='zeros'")
    return conv2d(step, x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)


def constant_weights(step: Step, x: Any, weight: Any, bias: Any) -> None:
    if isinstance(weight, Data) or isinstance(bias, Data) or not isinstance(x, Data):
        raise step.refuse("its weights are made from the data", "want constant weights, and the input first")


def linear(step: Step, x: Any, weight: Tensor, bias: Tensor | None = None) -> str:
    constant_weights(step, x, weight, bias)
    seen = as_vector(step.builder, x)
    if seen is None:
        return step.builder.weighted(step.name, step.features(x), weight, bias)
    name, order = seen
    if order is not None:  # the values lie in another order than (channel, y, x): the columns are put in that order
        columns = torch.empty_like(weight)
        columns[:, order] = weight
        weight = columns
    return step.builder.weighted(step.name, name, weight, bias)


def matmul(step: Step, x: Any, other: Any) -> str:
    """x @ W with a constant W: a fully connected layer."""
    if isinstance(x, Data) and isinstance(other, Data):
        raise step.refuse()
    if not isinstance(x, Data) or other.ndim != 2:
        raise step.refuse("its constant is no matrix behind the data", "write x @ W, x of (n, features), or nn.Linear")
    return linear(step, x, other.t())


def batch_norm(
    step: Step,
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> str:
    if training or running_mean is None or running_var is None:
        raise step.refuse("it takes its statistics from each batch", "train it with track_running_stats=True")
    scale = 1.0 / torch.sqrt(exact(running_var) + eps)
    if weight is not None:
        scale = scale * exact(weight)
    shift = -exact(running_mean) * scale
    if bias is not None:
        shift = shift + exact(bias)
    return step.builder.affine(step.name, step.as_it_lies(step.data(x)), scale, shift)


def batch_norm_module(step: Step, module: nn.BatchNorm1d | nn.BatchNorm2d, x: Any) -> str:
    return batch_norm(step, x, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps)


def avg_pool2d(
    step: Step,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> str:
    image, kernel, padding = step.image(x), pair(kernel_size), pair(padding)
    stride = kernel if stride is None or stride == () else pair(stride)
    if any(padding) and not count_include_pad and divisor_override is None:
        raise step.refuse(
            "count_include_pad=False divides windows at the border by less", "pool without padding, or count it"
        )
    if step.output_shape[2:] != _whole(step.builder.shapes[image][1:], kernel, stride, padding):
        raise step.refuse("ceil_mode makes its last windows smaller", "use ceil_mode=False")
    return step.builder.avg_pool(step.name, image, kernel, stride, padding, divisor_override)


def avg_pool2d_module(step: Step, module: nn.AvgPool2d, x: Any) -> str:
    return avg_pool2d(
        step,
        x,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def max_pool2d(
    step: Step,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> str:
    if return_indices:
        raise step.refuse("it returns the places of the largest values", "use return_indices=False")
    if pair(dilation) != (1, 1):
        raise step.refuse(f"its dilation is {dilation}", "use dilation=1")
    image, kernel, padding = step.image(x), pair(kernel_size), pair(padding)
    stride = kernel if stride is None or stride == () else pair(stride)
    size, out = step.builder.shapes[image][1:], step.output_shape[2:]
    missing = [(o - 1) * s + k - (n + 2 * p) for o, s, k, n, p in zip(out, stride, kernel, size, padding, strict=True)]
    if max(missing) > 0:  # ceil_mode: windows that reach over the end, where nothing lies
        if not _never_negative(step, image):
            raise step.refuse(
                "ceil_mode lets windows reach over the border of values that may be negative",
                "put the pool behind the ReLU, or use ceil_mode=False",
            )
        image = step.builder.pad(f"{step.name}_pad", image, 0, max(missing[0], 0), 0, max(missing[1], 0))
    return step.builder.max_pool(step.name, image, kernel, stride, padding)


def _never_negative(step: Step, name: str) -> bool:
    """Whether a value comes straight from a ReLU or the like, so that zeros beside it change no maximum."""
    node = step.builder.nodes.get(name)
    if isinstance(node, MaxPool | Concat):
        return all(_never_negative(step, before) for before in node.inputs)
    return isinstance(node, Activation) and not node.signed


def max_pool2d_module(step: Step, module: nn.MaxPool2d, x: Any) -> str:
    return max_pool2d(
        step,
        x,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    )


def adaptive_avg_pool2d(step: Step, x: Any, output_size: Any = None) -> str:
    return _adaptive(step, x, step.builder.avg_pool)


def adaptive_max_pool2d(step: Step, x: Any, output_size: Any = None, return_indices: bool = False) -> str:
    if return_indices:
        raise step.refuse("it returns the places of the largest values", "use return_indices=False")
    return _adaptive(step, x, step.builder.max_pool)


def _adaptive(step: Step, x: Any, pool: Any) -> str:
    image = step.image(x)
    inputs, outputs = step.builder.shapes[image][1:], step.output_shape[2:]
    if all(m % n == 0 for n, m in zip(inputs, outputs, strict=True)):
        return step.builder.upsample(step.name, image, (outputs[0] // inputs[0], outputs[1] // inputs[1]))
    if any(n % m for n, m in zip(inputs, outputs, strict=True)):
        raise step.refuse(
            f"its windows from {inputs[0]}x{inputs[1]} to {outputs[0]}x{outputs[1]} differ in size",
            "choose an output size that divides the input, such as 1",
        )
    kernel = (inputs[0] // outputs[0], inputs[1] // outputs[1])
    return str(pool(step.name, image, kernel, kernel))


def mean(step: Step, x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> str:
    return _over_image(step, x, dim, None)


def total(step: Step, x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> str:
    return _over_image(step, x, dim, 1)


def _over_image(step: Step, x: Any, dim: Any, divisor: int | None) -> str:
    data = step.data(x)
    axes = sorted(axis % len(data.shape) for axis in ([dim] if isinstance(dim, int) else dim or ()))
    if len(data.shape) != 4 or not axes or not set(axes) <= {2, 3}:
        raise step.refuse(
            f"it runs over the axes {dim} of shape {data.shape}", "only the axes 2 and 3 of an image are converted"
        )
    image = step.image(data)
    height, width = step.builder.shapes[image][1:]
    kernel = (height if 2 in axes else 1, width if 3 in axes else 1)
    return step.builder.avg_pool(step.name, image, kernel, kernel, (0, 0), divisor)


def _whole(size: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    """What a pool makes of an image without ceil_mode."""
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def pair(value: Any) -> Pair:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))
