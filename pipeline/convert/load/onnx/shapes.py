"""ONNX operations that move values without computing any: what they are in torch. The table is in ops.py."""

import math
import operator
from dataclasses import replace

import numpy as np
import torch

from ..module_builder import Data, Value
from .node import Op, Results


def reshape(op: Op) -> Results:
    data, wanted = op.data(raw=True), op.numbers(1, "shape") or []
    zero_is_kept = not op.attribute("allowzero", 0)
    sides = [data.shape[i] if side == 0 and zero_is_kept else side for i, side in enumerate(wanted)]
    return [_shaped(op, data, sides)]


def flatten(op: Op) -> Results:
    data = op.data(raw=True)
    axis = op.attribute("axis", 1)
    axis += len(data.shape) if axis < 0 else 0
    return [_shaped(op, data, [math.prod(data.shape[:axis]), math.prod(data.shape[axis:])])]


def squeeze(op: Op) -> Results:
    data, said = op.data(raw=True), op.numbers(1, "axes")
    axes = {axis % len(data.shape) for axis in said} if said else {i for i, n in enumerate(data.shape) if n == 1 and i}
    if any(data.shape[axis] != 1 for axis in axes):
        raise op.refuse(f"it drops the axes {sorted(axes)} of {data.shape}", "only axes of one value can be dropped")
    return [_shaped(op, data, [side for axis, side in enumerate(data.shape) if axis not in axes])]


def unsqueeze(op: Op) -> Results:
    data, said = op.data(raw=True), op.numbers(1, "axes") or []
    shape = list(data.shape)
    for axis in sorted(axis % (len(shape) + len(said)) for axis in said):
        shape.insert(axis, 1)
    return [_shaped(op, data, shape)]


def _shaped(op: Op, data: Data, sides: list[int]) -> Data:
    """The same values in another shape. The batch stays first, whatever its size."""
    if data.axes is not None and data.axes[0] == 0 and len(sides) == 2:
        bare = data.bare()
        flat = op.builder.reshaped(op.title, bare, (bare.shape[0], -1))
        order = _flat_order(data)
        if sides[0] in (-1, flat.shape[0]) and sides[1] in (-1, flat.shape[1]):
            return replace(flat, order=None if np.array_equal(order, np.arange(len(order))) else order)
    try:
        return op.builder.reshaped(op.title, op.builder.paid(op.title, data), sides)
    except ValueError as error:
        raise op.refuse(str(error), "keep axis 0 as it is; is the input shape right? (--input-shape)") from error


def _flat_order(data: Data) -> np.ndarray:
    """For every feature in the file's order, where it is in the node's."""
    shape = [data.shape[data.axes.index(axis)] for axis in range(1, len(data.shape))] if data.axes else []
    features = np.arange(math.prod(shape)).reshape(shape)
    return features.transpose([axis - 1 for axis in (data.axes or ())[1:]]).reshape(-1)


def transpose(op: Op) -> Results:
    data = op.data(raw=True)
    if data.pads is not None or data.order is not None:
        data = op.data()
    axes = op.attribute("perm", list(range(len(data.shape)))[::-1])
    if sorted(axes) != list(range(len(data.shape))):
        raise op.refuse(f"its perm is {axes} for {len(data.shape)} axes", "the file is damaged; export it again")
    return [op.builder.transposed(data, axes)]


def pad(op: Op) -> Results:
    data, mode = op.data(raw=True), op.attribute("mode", "constant")
    if data.axes is not None or data.order is not None or data.pads is not None:
        data = op.data()
    pads, axes = op.numbers(1, "pads") or [], op.numbers(3, "")
    fill = op.constant(2)
    value = op.attribute("value", 0.0) if fill is None else float(fill.reshape(-1)[0]) if fill.size else 0.0
    count = len(data.shape)
    before, after = [0] * count, [0] * count
    for place, axis in enumerate(range(count) if axes is None else axes):
        before[axis], after[axis] = pads[place], pads[place + len(pads) // 2]
    if not any(before) and not any(after):
        return [data]
    if count != 4 or any(before[:2] + after[:2]) or min(before + after) < 0 or mode != "constant" or value:
        raise op.refuse(
            f"it pads by {pads} with {value if mode == 'constant' else mode}",
            "only zeros around height and width convert",
        )
    return [padded(data, (before[2], before[3], after[2], after[3]))]


def padded(data: Data, pads: tuple[int, int, int, int]) -> Data:
    *front, height, width = data.shape
    return replace(data, pads=pads, shape=(*front, height + pads[0] + pads[2], width + pads[1] + pads[3]))


def concat(op: Op) -> Results:
    parts: list[Value] = [op.builder.paid(op.title, part) if isinstance(part, Data) else part for part in op.inputs
                          if part is not None]  # fmt: skip
    return op.call(torch.cat, parts, op.attribute("axis", 1))


def split(op: Op) -> Results:
    data, sizes = op.data(), op.numbers(1, "split")
    axis = op.attribute("axis", 0) % len(data.shape)
    count = len(op.node.outputs)
    if sizes is None:
        side = -(-data.shape[axis] // count)
        sizes = [side] * (count - 1) + [data.shape[axis] - side * (count - 1)]
    starts = np.cumsum([0, *sizes]).tolist()
    if len(sizes) != count or min(sizes) < 1 or starts[-1] != data.shape[axis] or not axis:
        raise op.refuse(
            f"it cuts axis {axis} of {data.shape} into {sizes}", "cut the channels into parts that fill them"
        )
    return [_cut(op, data, [(axis, start, stop, 1)]) for start, stop in zip(starts, starts[1:], strict=False)]


def cut(op: Op) -> Results:
    data = op.data()
    starts, stops = op.numbers(1, "starts") or [], op.numbers(2, "ends") or []
    axes, steps = op.numbers(3, "axes") or list(range(len(starts))), op.numbers(4, "") or [1] * len(starts)
    cuts = []
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        side = data.shape[axis % len(data.shape)]
        if step < 1:
            raise op.refuse(f"it steps by {step}", "step by 1 or more")
        first, last, _ = slice(start, stop).indices(side)
        if (first, last, step) != (0, side, 1):
            cuts.append((axis % len(data.shape), first, last, step))
    if any(axis == 0 for axis, *_ in cuts):
        raise op.refuse("it cuts the batch", "cut channels, height or width only")
    return [_cut(op, data, cuts)] if cuts else [data]


def _cut(op: Op, data: Data, cuts: list[tuple[int, int, int, int]]) -> Data:
    where: list[slice] = [slice(None)] * len(data.shape)
    for axis, start, stop, step in cuts:
        where[axis] = slice(start, stop, step if step > 1 else None)
    return op.builder.call(op.title, operator.getitem, data, tuple(where))
