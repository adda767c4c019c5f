"""The rules of what joins, repeats or surrounds values, of what computes nothing, and of the softmax at the end.

What only moves values (views, permutations, slices) needs no rule: see catalogue.MOVES.
"""

import math
from dataclasses import replace
from typing import Any

from torch import nn

from .data import BATCH, Data
from .step import Step


def concat(step: Step, tensors: Any, dim: int = 0, *, axis: int | None = None) -> str:
    parts = [part for part in tensors if isinstance(part, Data)]
    if len(parts) != len(tensors):
        raise step.refuse("it joins the data with constants", "pad with zeros (F.pad), or leave the constants out")
    axes = len(parts[0].shape)
    dim = (dim if axis is None else axis) % axes
    if dim != 1 or axes not in (2, 4):
        raise step.refuse(f"it joins along axis {dim} of {parts[0].shape}", "join along the channels, axis 1")
    if axes == 4:
        return step.builder.concat(step.name, [step.image(part) for part in parts])
    return step.builder.concat(step.name, [step.features(part) for part in parts])


def pad(step: Step, x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> str:
    sides = [int(side) for side in pad]
    image = step.image(x)
    sides += [0] * (8 - len(sides))
    left, right, top, bottom, front, back = sides[:6]
    if mode != "constant" or value not in (None, 0):
        raise step.refuse(f"it pads with {value if mode == 'constant' else mode}", "pad with zeros")
    if min(sides) < 0 or any(sides[6:]):
        raise step.refuse(f"it pads by {sides}, which cuts off", "crop the input instead")
    if front or back:
        channels = step.builder.shapes[image][0]
        image = step.builder.select(step.name, image, [None] * front + list(range(channels)) + [None] * back)
    return step.builder.pad(step.name, image, top, bottom, left, right)


def pad_module(step: Step, module: nn.ZeroPad2d, x: Any) -> str:
    return pad(step, x, module.padding, "constant", getattr(module, "value", 0))


def interpolate(
    step: Step,
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> str:
    image = step.image(x)
    inputs, outputs = step.builder.shapes[image][1:], step.output_shape[2:]
    whole = all(m % n == 0 for n, m in zip(inputs, outputs, strict=True))
    if mode not in ("nearest", "nearest-exact") or not whole:
        raise step.refuse(
            f"it goes from {inputs} to {outputs} by mode {mode!r}", "up-sample by a whole factor with mode='nearest'"
        )
    return step.builder.upsample(step.name, image, (outputs[0] // inputs[0], outputs[1] // inputs[1]))


def upsample_module(step: Step, module: nn.Upsample, x: Any) -> str:
    return interpolate(step, x, module.size, module.scale_factor, module.mode)


def dropout(step: Step, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Data:
    if training and p > 0:
        raise step.refuse("it is active in eval mode too", "call it with training=self.training, or use nn.Dropout")
    return step.data(x)


def stochastic_depth(step: Step, x: Any, p: float, mode: str = "row", training: bool = True) -> Data:
    return dropout(step, x, p, training)


def identity(step: Step, x: Any, *rest: Any, **named: Any) -> Data:
    """Changes nothing (dropout in eval mode, contiguous, float, ...)."""
    return step.data(x)


def softmax(step: Step, x: Any, dim: int | None = None, *rest: Any, **named: Any) -> Data:
    return _end(step, x, dim, "softmax")


def log_softmax(step: Step, x: Any, dim: int | None = None, *rest: Any, **named: Any) -> Data:
    return _end(step, x, dim, "log_softmax")


def _end(step: Step, x: Any, dim: int | None, kind: str) -> Data:
    data = step.data(x)
    axes = len(data.shape)
    if (1 if dim is None else dim % axes) != 1 or math.prod(data.shape[2:]) != 1 or data.shape[0] != BATCH:
        raise step.refuse(f"it runs over axis {dim}", "a softmax may only be the end, over the classes")
    step.builder.notes.append(f"{step.name} at the end was left out: a softmax does not change which class wins")
    return replace(data, softmax=kind, softmax_layer=step.name)
