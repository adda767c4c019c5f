"""ONNX operations that hold weights or pool: what they are in torch. The table is in ops.py."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ..module_builder import Data, with_weights
from .build import tensor
from .node import Op, Pads, Pair, Results, pads_of, pair
from .shapes import padded


def conv(op: Op) -> Results:
    weight, bias = op.needed(1), op.constant(2)
    data = op.data(raw=True)
    if data.axes is not None or data.order is not None:
        data = op.data()
    if weight.ndim != 4 or len(data.shape) != 4:
        raise op.refuse(
            f"its weights have shape {weight.shape}, its input {data.shape}",
            "only two-dimensional convolutions convert",
        )
    kernel, stride, dilation = weight.shape[2:], pair(op, "strides"), pair(op, "dilations")
    top, left, bottom, right = pads_of(op, data.shape[2:], kernel, stride, dilation)
    owed = data.pads or (0, 0, 0, 0)
    pads = (top + owed[0], left + owed[1], bottom + owed[2], right + owed[3])
    data = data.bare()
    if min(pads) < 0:
        raise op.refuse(f"it pads by {pads}, which cuts the image", "pad by 0 or more")
    weight = _made_symmetric(op, weight, pads, dilation)
    conv = nn.Conv2d(
        weight.shape[1] * op.attribute("group", 1), len(weight), weight.shape[2:], stride,
        (max(pads[0], pads[2]), max(pads[1], pads[3])), dilation, op.attribute("group", 1), bias is not None,
        device="meta",
    )  # fmt: skip
    return op.module(_weighted(conv, weight, bias), data)


def _made_symmetric(op: Op, weight: np.ndarray, pads: Pads, dilation: Pair) -> np.ndarray:
    """The same convolution with as much padding on both sides: a kernel with zeros where the padding was smaller."""
    grown = [(0, 0), (0, 0)]
    for axis in (0, 1):
        missing = pads[axis + 2] - pads[axis]  # beyond 0: more padding behind than before
        if missing % dilation[axis]:
            raise op.refuse(f"it pads by {pads} with dilations {dilation}", "pad both sides alike")
        rows = missing // dilation[axis]
        grown.append((max(rows, 0), max(-rows, 0)))
    if not any(map(any, grown)):
        return weight
    op.builder.notes.append(
        f"{op.title} pads one side more than the other; its kernel was enlarged with zeros from "
        f"{weight.shape[2]}x{weight.shape[3]}, which computes the same"
    )
    return np.pad(weight, grown)


def gemm(op: Op) -> Results:
    weight, bias = op.needed(1), op.constant(2)
    if op.attribute("transA", 0):
        raise op.refuse("it transposes its input (transA)", "export the model with torch.nn.Linear layers")
    weight = weight if op.attribute("transB", 0) else weight.T
    weight = weight * np.float32(op.attribute("alpha", 1.0))
    if bias is not None:
        bias = bias * np.float32(op.attribute("beta", 1.0))
        if bias.size not in (1, len(weight)):
            raise op.refuse(f"its addend has shape {bias.shape}", "want one number for each output")
        bias = np.broadcast_to(bias.reshape(-1), (len(weight),))
    return _linear(op, weight, bias)


def matmul(op: Op) -> Results:
    if not isinstance(op.inputs[0], Data):
        raise op.refuse("the image stands on the right", "write x @ W with the image on the left")
    return _linear(op, op.needed(1).T, None)


def _linear(op: Op, weight: np.ndarray, bias: np.ndarray | None) -> Results:
    """A Linear layer with weights (out, in); features in another order are paid for here."""
    data = op.data(raw=True)
    if data.pads is not None or data.axes is not None:
        data = op.data()
    if weight.ndim != 2 or len(data.shape) != 2:
        raise op.refuse(
            f"its weights have shape {weight.shape}, its input {data.shape}", "flatten to (n, features) before it"
        )
    if data.order is not None:
        sorted_weight = np.empty_like(weight)
        sorted_weight[:, data.order] = weight
        weight, data = sorted_weight, replace(data, order=None)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return op.module(_weighted(linear, weight, bias), data)


def _weighted(module: nn.Module, weight: np.ndarray, bias: np.ndarray | None) -> nn.Module:
    return with_weights(module, tensor(weight), None if bias is None else tensor(bias))


def batch_norm(op: Op) -> Results:
    if op.attribute("training_mode", 0) or not op.attribute("spatial", 1):
        raise op.refuse("it is in training mode, or has statistics for each pixel", "export the model in eval mode")
    scale, shift, mean, variance = (op.needed(index) for index in (1, 2, 3, 4))
    data = op.data()
    kind = nn.BatchNorm2d if len(data.shape) == 4 else nn.BatchNorm1d
    norm: Any = kind(len(scale), eps=op.attribute("epsilon", 1e-5))
    norm.running_mean, norm.running_var = tensor(mean), tensor(variance)
    return op.module(_weighted(norm, scale, shift), data)


def average_pool(op: Op) -> Results:
    if pair(op, "dilations") != (1, 1):
        raise op.refuse("its windows have gaps (dilations)", "pool without")
    data, kernel, stride = op.data(), pair(op, "kernel_shape"), pair(op, "strides")
    pads = pads_of(op, data.shape[2:], kernel, stride, (1, 1))
    counted = bool(op.attribute("count_include_pad", 0))
    if counted and pads[:2] != pads[2:]:  # the zeros count, so they may as well be there
        data, pads = op.builder.paid(op.title, padded(data, pads)), (0, 0, 0, 0)
    ceil = _rounds_up(op, data, kernel, stride, (1, 1), pads)
    return op.module(nn.AvgPool2d(kernel, stride, pads[:2], ceil, counted), data)


def max_pool(op: Op) -> Results:
    data, kernel, stride, dilation = op.data(), *(pair(op, name) for name in ("kernel_shape", "strides", "dilations"))
    pads = pads_of(op, data.shape[2:], kernel, stride, dilation)
    ceil = _rounds_up(op, data, kernel, stride, dilation, pads)
    return op.module(nn.MaxPool2d(kernel, stride, pads[:2], dilation, ceil_mode=ceil), data)


def _rounds_up(op: Op, data: Data, kernel: Pair, stride: Pair, dilation: Pair, pads: Pads) -> bool:
    """torch's ceil_mode. Windows that reach over the end because more is padded there, too, are those of ceil_mode."""
    if pads[:2] == pads[2:]:
        return bool(op.attribute("ceil_mode", 0))
    floors, ceilings, wanted = [], [], []
    for axis in (0, 1):
        reach = data.shape[2 + axis] + 2 * pads[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        wanted.append((reach - pads[axis] + pads[axis + 2]) // stride[axis])
        floors.append(reach // stride[axis])
        ceilings.append(-(-reach // stride[axis]))
    if op.attribute("ceil_mode", 0) or min(pads) < 0 or wanted not in (floors, ceilings):
        raise op.refuse(f"it pads by {pads} (top, left, bottom, right)", "pad both sides alike, or not at all")
    return wanted != floors


def global_pool(make: Callable[[], nn.Module]) -> Callable[[Op], Results]:
    def rule(op: Op) -> Results:
        data = op.data(raw=True)
        if data.axes is not None or data.pads is not None or len(data.shape) != 4:
            data = op.data()
        return op.module(make(), data)

    return rule


def reduction(function: Callable[..., Any]) -> Callable[[Op], Results]:
    def rule(op: Op) -> Results:
        data = op.data(raw=True)
        if data.pads is not None or data.order is not None:
            data = op.data()
        said, count = op.numbers(1, "axes"), len(data.shape)
        if not said and op.attribute("noop_with_empty_axes", 0):
            return [data]
        dims = sorted(axis % count for axis in said or range(count))
        keep, owed = bool(op.attribute("keepdims", 1)), data.axes or tuple(range(count))
        left = [owed[axis] for axis in range(count) if axis not in dims]
        if not keep and left != sorted(left):
            return reduction(function)(replace(op, inputs=(op.data(), *op.inputs[1:])))
        found = op.builder.call(op.title, function, data.bare(), [owed[axis] for axis in dims], keep)
        shape = tuple(1 if axis in dims else side for axis, side in enumerate(data.shape) if keep or axis not in dims)
        return [replace(found, axes=data.axes if keep else None, shape=shape)]

    return rule


def resize(op: Op) -> Results:
    data = op.data()
    mode = op.attribute("mode", "nearest")
    if mode != "nearest":
        raise op.refuse(f"it interpolates ({mode})", "resize with mode='nearest' by a whole number")
    place = {"Upsample": (None, 1), "Resize": (None, 1) if op.opset < 11 else (3, 2)}[op.node.op]
    sizes = op.numbers(place[0], "") if place[0] is not None else None
    scales = op.constant(place[1])
    if sizes:
        found = [size / side for size, side in zip(sizes, data.shape, strict=True)]
    else:
        found = [float(item) for item in (op.attribute("scales") if scales is None else scales.reshape(-1))]
    whole = [round(factor) for factor in found]
    if len(whole) != 4 or whole[:2] != [1, 1] or whole != found or min(whole) < 1:
        raise op.refuse(f"it resizes by {found}", "resize height and width by whole numbers")
    for factor, side in zip(whole[2:], data.shape[2:], strict=True):
        if not _repeats(op, factor, side):
            raise op.refuse(
                "its rounding does not repeat every pixel alike",
                "use coordinate_transformation_mode='asymmetric' with nearest_mode='floor', as torch.nn.Upsample does",
            )
    return op.module(nn.Upsample(scale_factor=(whole[2], whole[3]), mode="nearest"), data)


def _repeats(op: Op, factor: int, side: int) -> bool:
    """Whether output pixel i is input pixel i // factor under the node's own rounding."""
    if op.opset < 11 or op.node.op == "Upsample":
        return True
    i = np.arange(factor * side)
    places = {
        "asymmetric": i / factor,
        "half_pixel": (i + 0.5) / factor - 0.5,
        "half_pixel_symmetric": (i + 0.5) / factor - 0.5,
        "pytorch_half_pixel": (i + 0.5) / factor - 0.5 if factor * side > 1 else i * 0.0,
        "tf_half_pixel_for_nn": (i + 0.5) / factor,
    }
    place = places.get(op.attribute("coordinate_transformation_mode", "half_pixel"))
    roundings: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    rounding = roundings.get(op.attribute("nearest_mode", "round_prefer_floor"))
    if place is None or rounding is None:
        return False
    return np.array_equal(np.clip(rounding(place), 0, side - 1), i // factor)
