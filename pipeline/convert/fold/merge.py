"""What two neighbouring operations are as one, exactly: the formulas that rebuild.py applies."""

from dataclasses import replace

import torch
from torch import Tensor

from ..cnn import Affine, Pad, Pair, Shape, SumPool, Weighted, per_input

MOST_WEIGHTS = 1 << 22  # of a convolution that an average pool is merged into; beyond, the pool stays a layer


def before_affine(layer: Weighted, scale: Tensor, shift: Tensor) -> Weighted:
    """scale * layer(x) + shift."""
    weight = layer.weight * scale.view(-1, *[1] * (layer.weight.ndim - 1))
    return replace(layer, weight=weight, bias=layer.bias * scale + shift, copies=False)


def behind_affine(layer: Weighted, before: Affine) -> Weighted:
    """layer(scale * x + shift); with padding only if the shift is 0."""
    if layer.weight.ndim == 4:
        scale = per_input(before.scale, layer)[:, :, None, None]
        shift = per_input(before.shift, layer)[:, :, None, None]
    else:
        times = layer.weight.shape[1] // len(before.scale)
        scale, shift = (values.repeat_interleave(times)[None] for values in (before.scale, before.shift))
    bias = layer.bias + (layer.weight * shift).flatten(1).sum(1)
    return replace(layer, weight=layer.weight * scale, bias=bias, copies=False)


def identity(name: str, channels: int) -> Weighted:
    ones = torch.ones(channels, 1, 1, 1, dtype=torch.float64)
    return Weighted(name, (), ones, torch.zeros(channels, dtype=torch.float64), groups=channels, copies=True)


def is_choice(layer: Weighted) -> bool:
    """Whether a convolution only picks channels, perhaps scaled and shifted, everywhere alike."""
    if layer.weight.ndim == 2 or layer.groups > 1:
        return False
    plain = layer.weight.shape[2:] == (1, 1) and layer.padding == (0, 0) and layer.stride == (1, 1)
    return plain and bool(((layer.weight != 0).sum(1) <= 1).all())


def takes_choice(layer: Weighted, choice: Weighted) -> bool:
    """Whether the weights can do what `choice` does: pick whole channels, perhaps scaled, or values of a vector."""
    if layer.groups > 1 or choice.groups > 1:
        return False
    if choice.weight.ndim == 2:
        return choice.copies and layer.weight.ndim == 2
    pads = layer.weight.ndim == 4 and any(layer.padding)
    return is_choice(choice) and not (pads and bool((choice.bias != 0).any()))


def behind_choice(layer: Weighted, choice: Weighted, chosen: Shape) -> Weighted:
    """layer(choice(x)), of one group."""
    if choice.weight.ndim == 2:
        return replace(layer, weight=layer.weight @ choice.weight, copies=False)
    rows = choice.weight[:, :, 0, 0]  # (chosen, of)
    if layer.weight.ndim == 4:
        weight = torch.einsum("ocyx,ci->oiyx", layer.weight, rows)
        bias = layer.bias + torch.einsum("ocyx,c->o", layer.weight, choice.bias)
        return replace(layer, weight=weight, bias=bias, copies=layer.copies and choice.copies)
    weight = layer.weight.view(len(layer.weight), chosen[0], -1)
    bias = layer.bias + torch.einsum("ocp,c->o", weight, choice.bias)
    return replace(layer, weight=torch.einsum("ocp,ci->oip", weight, rows).flatten(1), bias=bias, copies=False)


def side_by_side(layers: list[Weighted]) -> Weighted | None:
    """1x1 convolutions of one input, one behind the other along the channels, as one; None where they are others."""
    first = layers[0]
    for layer in layers:
        plain = layer.weight.ndim == 4 and layer.weight.shape[2:] == (1, 1) and layer.groups == 1
        if not plain or layer.inputs != first.inputs or (layer.stride, layer.padding) != (first.stride, first.padding):
            return None
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return replace(first, weight=weight, bias=bias, copies=all(layer.copies for layer in layers))


def padded(layer: Weighted, pad: Pad) -> Weighted:
    """layer(zeros around x). Unequal sides: the larger padding at both, and zeros in the kernel at the other."""
    if layer.weight.ndim == 2:
        raise ValueError("a Flatten stands between")  # rebuild.py gives a Pad before it neurons of its own
    weight, padding, dilation = layer.weight, list(layer.padding), list(layer.dilation)
    for axis, (low, high) in enumerate(((pad.top, pad.bottom), (pad.left, pad.right))):
        extra = abs(high - low)
        if extra % dilation[axis]:
            weight = _spread_kernel(weight, axis, dilation[axis])
            dilation[axis] = 1
        zeros = list(weight.shape)
        zeros[2 + axis] = extra // dilation[axis]
        filler = torch.zeros(zeros, dtype=weight.dtype)
        weight = torch.cat([filler, weight] if high > low else [weight, filler], 2 + axis)
        padding[axis] += max(low, high)
    return replace(layer, weight=weight, padding=(padding[0], padding[1]), dilation=(dilation[0], dilation[1]))


def _spread_kernel(weight: Tensor, axis: int, dilation: int) -> Tensor:
    """A dilated kernel along one axis as a plain one with zeros."""
    shape = list(weight.shape)
    shape[2 + axis] = dilation * (shape[2 + axis] - 1) + 1
    spread = torch.zeros(shape, dtype=weight.dtype)
    if axis == 0:
        spread[:, :, ::dilation] = weight
    else:
        spread[:, :, :, ::dilation] = weight
    return spread


def even_padding(pad: Pad, kernel: Pair, padding: Pair) -> Pair | None:
    """The padding of a pool behind a Pad; None where the sides differ or it would be more than half of the kernel."""
    both = (pad.top + padding[0], pad.left + padding[1])
    if pad.top != pad.bottom or pad.left != pad.right or any(2 * p > k for p, k in zip(both, kernel, strict=True)):
        return None
    return both


def is_poolable(layer: Weighted, pool: SumPool) -> bool:
    """Whether a pool of it is worth one larger convolution (fewer synapses) and not too large."""
    if layer.weight.ndim != 4 or any(pool.padding):
        return False
    if layer.weight[0].numel() > 1 and one_bit(layer.weight) is not None:
        return False  # sums of weights of one bit would need more of them
    sizes = _pooled_kernel(layer, pool)
    return layer.weight.shape[0] * layer.weight.shape[1] * sizes[0] * sizes[1] <= MOST_WEIGHTS


def one_bit(weight: Tensor) -> Tensor | None:
    """The magnitude of each row (out,) where all of its weights have one, or are 0; else None."""
    rows = weight.abs().flatten(1)
    magnitude = rows.amax(1)
    alike = (rows - magnitude[:, None]).abs() <= 1e-9 * magnitude[:, None]
    if not bool((alike | (rows == 0)).all()):
        return None
    return torch.where(magnitude > 0, magnitude, torch.ones_like(magnitude))


def _pooled_kernel(layer: Weighted, pool: SumPool) -> Pair:
    reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.weight.shape[2:], strict=True)]
    sizes = [(k - 1) * s + r for k, s, r in zip(pool.kernel, layer.stride, reach, strict=True)]
    return sizes[0], sizes[1]


def pooled(layer: Weighted, pool: SumPool) -> Weighted:
    """The sum over windows of a convolution is a convolution: the kernel summed over the window's offsets."""
    (dy, dx), (sy, sx), kernel = layer.dilation, layer.stride, pool.kernel
    reach_y, reach_x = dy * (layer.weight.shape[2] - 1) + 1, dx * (layer.weight.shape[3] - 1) + 1
    weight = torch.zeros((*layer.weight.shape[:2], *_pooled_kernel(layer, pool)), dtype=layer.weight.dtype)
    for y in range(0, kernel[0] * sy, sy):
        for x in range(0, kernel[1] * sx, sx):
            weight[:, :, y : y + reach_y : dy, x : x + reach_x : dx] += layer.weight
    return replace(
        layer,
        weight=weight,
        bias=layer.bias * (kernel[0] * kernel[1]),
        stride=(sy * pool.stride[0], sx * pool.stride[1]),
        dilation=(1, 1),
        copies=False,
    )
