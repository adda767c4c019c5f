"""Read a Network as populations that spike and edges between them: all that is linear in between is folded away.

Every layer that is not a population (weights, pools, upsampling, concatenation, addition) is a linear map, so what a
population receives is a sum of terms, one for each path back to a spiking source: pools and repetitions, then at most
one weight layer, then more pools. A path is separable: where a spike lands along y and along x is found apart, as the
list of (target, kernel tap) that each source position reaches; strides, paddings, dilations and pools are all in it.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import NetworkError
from ..layers import Add, AvgPool2d, Concat, Conv2d, Delay, Flatten, Layer, Linear, Shape, SumPool2d, Upsample
from ..network import Network
from ..neurons import IF, LIF, MaxPool2d

Axis = list[list[int]]  # for each position of the source along one axis: where it lies now, as often as it counts
Reach = list[list[tuple[int, int]]]  # for each position of the source: the (target, kernel tap) that it reaches


@dataclass
class Term:
    """One path from a population towards the next, as far as it has been followed."""

    source: str
    shape: Shape  # of what has become of the source
    rows: Axis
    columns: Axis
    first_channel: int = 0  # of the sum that it is part of
    scale: float = 1.0  # 1 / size of average pools
    flat: Shape | None = None  # shape before a Flatten
    weights: Conv2d | Linear | None = None
    weight: np.ndarray | None = None  # float64 (out, in / groups, ky, kx), once there are weights
    groups: int = 1
    row_reach: Reach = field(default_factory=list)  # once there are weights
    column_reach: Reach = field(default_factory=list)


@dataclass
class Current:
    """What a linear layer gives: terms that add up, and a constant per channel."""

    terms: list[Term]
    bias: np.ndarray  # float64 (channels,), per timestep


@dataclass
class Population:
    """Neurons, and all that reaches them."""

    name: str
    shape: Shape
    layer: Layer | None  # IF, LIF, MaxPool2d; None: the input, or a readout of the membrane
    terms: list[Term] = field(default_factory=list)
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))


def read(network: Network) -> list[Population]:
    """The populations in order of execution, the input first, the one that is read out last.

    Raises NetworkError, naming the layer, where layers follow each other in a way that the engine does not run.
    """
    shapes = network.shapes()
    currents: dict[str, Current] = {}
    first = network.layers[0]
    entry = first.name if isinstance(first, Delay) else "input"  # delays.py does a Delay's work, before the kernels
    populations = [Population("input", shapes[entry], None)]
    currents["input"] = currents[entry] = _of_source("input", shapes[entry])
    last = network.layers[-1]
    for layer in network.layers:
        if isinstance(layer, Delay):
            continue
        arriving = [currents[name] for name in layer.inputs]
        if isinstance(layer, IF | LIF | MaxPool2d):
            populations.append(_population(layer.name, shapes[layer.name], layer, arriving[0]))
            currents[layer.name] = _of_source(layer.name, shapes[layer.name])
        else:
            currents[layer.name] = _linear(layer, arriving, shapes[layer.name])
            if layer is last:
                populations.append(_population(layer.name, shapes[layer.name], None, currents[layer.name]))
    if isinstance(last, MaxPool2d):
        raise NetworkError(f"the last layer {last.name!r} is a max pool; want neurons or weights to be read out")
    return populations


def _of_source(name: str, shape: Shape) -> Current:
    term = Term(name, shape, [[y] for y in range(shape[1])], [[x] for x in range(shape[2])])
    return Current([term], np.zeros(shape[0]))


def _population(name: str, shape: Shape, layer: Layer | None, current: Current) -> Population:
    if isinstance(layer, MaxPool2d):
        term = current.terms[0]
        if current.terms != _of_source(term.source, term.shape).terms:
            raise NetworkError(
                f"max pool {name!r} is not right behind neurons or the input; it takes spikes, so put neurons before it"
            )
        reach = [
            [
                [(window, 0) for window in windows]
                for windows in _windows(term.shape[1 + axis], shape[1 + axis], *options)
            ]
            for axis, options in enumerate(zip(layer.kernel, layer.stride, layer.padding, strict=True))
        ]
        return Population(name, shape, layer, [replace(term, row_reach=reach[0], column_reach=reach[1])])
    terms = [term if term.weight is not None else _identity(term, name) for term in current.terms]
    return Population(name, shape, layer, terms, current.bias)


def _linear(layer: Layer, arriving: list[Current], shape: Shape) -> Current:
    if isinstance(layer, Conv2d | Linear):
        return _weigh(layer, arriving[0], shape)
    if isinstance(layer, SumPool2d | AvgPool2d):
        return _pool(layer, arriving[0], shape)
    if isinstance(layer, Upsample):
        return _upsample(layer, arriving[0], shape)
    if isinstance(layer, Flatten):
        return _flatten(layer, arriving[0], shape)
    if isinstance(layer, Concat):
        terms, first = [], 0
        for current in arriving:
            terms += [replace(term, first_channel=term.first_channel + first) for term in current.terms]
            first += len(current.bias)
        return Current(terms, np.concatenate([current.bias for current in arriving]))
    if isinstance(layer, Add):
        return Current([term for current in arriving for term in current.terms], sum(c.bias for c in arriving))  # type: ignore[arg-type]
    raise NetworkError(f"layer {layer.name!r} is a {type(layer).__name__}, which the engine does not run")


def _weigh(layer: Conv2d | Linear, current: Current, shape: Shape) -> Current:
    terms = []
    for term in current.terms:
        if term.weight is not None:
            raise NetworkError(
                f"layer {layer.name!r} follows {term.weights.name!r} without neurons between them; "  # type: ignore[union-attr]
                "merge the two, or put neurons behind the first"
            )
        terms.append(_weigh_linear(layer, term) if isinstance(layer, Linear) else _weigh_conv(layer, term, shape))
    bias = np.zeros(shape[0]) if layer.bias is None else layer.bias.astype(np.float64)
    return Current(terms, bias)


def _weigh_linear(layer: Linear, term: Term) -> Term:
    channels, height, width = term.flat or term.shape
    first = term.first_channel if term.flat else term.first_channel * height * width
    part = layer.weight[:, first : first + channels * height * width].astype(np.float64)
    return replace(
        term,
        shape=(len(part), 1, 1),
        first_channel=0,
        flat=None,
        weights=layer,
        weight=part.reshape(len(part), channels, height, width) * term.scale,
        row_reach=[[(0, y) for y in places] for places in term.rows],
        column_reach=[[(0, x) for x in places] for places in term.columns],
    )


def _weigh_conv(layer: Conv2d, term: Term, shape: Shape) -> Term:
    if term.flat:
        raise NetworkError(f"layer {layer.name!r} convolves what {term.source!r} gives flattened; drop the Flatten")
    per_group, out_per_group = layer.weight.shape[1], len(layer.weight) // layer.groups
    first, channels = term.first_channel, term.shape[0]
    weight, first_out, groups = layer.weight, 0, layer.groups
    if layer.groups == 1:
        weight = weight[:, first : first + channels]
    elif channels != per_group * layer.groups:  # a part of a concatenation: the groups that it feeds
        if first % per_group or channels % per_group:
            raise NetworkError(
                f"layer {layer.name!r} has groups of {per_group} channels, which cut across the {channels} channels "
                f"of {term.source!r}; use one group, or groups that fit the concatenated parts"
            )
        groups = channels // per_group
        first_out = first // per_group * out_per_group
        weight = weight[first_out : first_out + groups * out_per_group]
    rows, columns = (
        _reach(places, shape[axis], layer.weight.shape[1 + axis], *options)
        for axis, places, options in (
            (1, term.rows, (layer.stride[0], layer.padding[0], layer.dilation[0])),
            (2, term.columns, (layer.stride[1], layer.padding[1], layer.dilation[1])),
        )
    )
    return replace(
        term,
        shape=(len(weight), *shape[1:]),
        first_channel=first_out,
        weights=layer,
        weight=weight.astype(np.float64) * term.scale,
        groups=groups,
        row_reach=rows,
        column_reach=columns,
    )


def _reach(places: Axis, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Reach:
    """Which (target, tap) read each place: target * stride - padding + tap * dilation == place."""
    reach = []
    for positions in places:
        pairs = []
        for position in positions:
            for tap in range(kernel):
                target, rest = divmod(position + padding - tap * dilation, stride)
                if rest == 0 and 0 <= target < size:
                    pairs.append((target, tap))
        reach.append(sorted(pairs))
    return reach


def _pool(layer: SumPool2d | AvgPool2d, current: Current, shape: Shape) -> Current:
    factor = 1.0 / (layer.kernel[0] * layer.kernel[1]) if isinstance(layer, AvgPool2d) else 1.0
    behind_weights = any(term.weight is not None for term in current.terms)
    if behind_weights and layer.padding != (0, 0) and current.bias.any():
        raise NetworkError(f"pool {layer.name!r} pads behind a layer with biases; drop the padding or the biases")
    terms = []
    for term in current.terms:
        if term.flat:
            raise NetworkError(f"pool {layer.name!r} follows a Flatten; pool first")
        windows = [
            _windows(size, shape[axis], layer.kernel[axis - 1], layer.stride[axis - 1], layer.padding[axis - 1])
            for axis, size in ((1, term.shape[1]), (2, term.shape[2]))
        ]
        changes: dict[str, Any] = {"shape": (term.shape[0], *shape[1:])}
        if term.weight is None:
            changes["scale"] = term.scale * factor
            for name, window in zip(("rows", "columns"), windows, strict=True):
                changes[name] = [[w for place in places for w in window[place]] for places in getattr(term, name)]
        else:
            changes["weight"] = term.weight * factor
            for name, window in zip(("row_reach", "column_reach"), windows, strict=True):
                changes[name] = [
                    sorted((w, tap) for target, tap in pairs for w in window[target]) for pairs in getattr(term, name)
                ]
        terms.append(replace(term, **changes))
    return Current(terms, current.bias * factor * layer.kernel[0] * layer.kernel[1])


def _windows(size: int, outputs: int, kernel: int, stride: int, padding: int) -> Axis:
    """For each position the windows that hold it."""
    windows: Axis = [[] for _ in range(size)]
    for window in range(outputs):
        start = window * stride - padding
        for position in range(max(start, 0), min(start + kernel, size)):
            windows[position].append(window)
    return windows


def _upsample(layer: Upsample, current: Current, shape: Shape) -> Current:
    terms = []
    for term in current.terms:
        if term.flat:
            raise NetworkError(f"layer {layer.name!r} upsamples what is flattened; drop the Flatten")
        changes: dict[str, Any] = {"shape": (term.shape[0], *shape[1:])}
        for factor, name in zip(layer.factor, ("rows", "columns"), strict=True):
            if term.weight is None:
                changes[name] = [
                    [place * factor + i for place in places for i in range(factor)] for places in getattr(term, name)
                ]
            else:
                reach = name.removesuffix("s") + "_reach"
                changes[reach] = [
                    sorted((target * factor + i, tap) for target, tap in pairs for i in range(factor))
                    for pairs in getattr(term, reach)
                ]
        terms.append(replace(term, **changes))
    return Current(terms, current.bias)


def _flatten(layer: Flatten, current: Current, shape: Shape) -> Current:
    terms = []
    for term in current.terms:
        if term.flat or term.shape[1:] == (1, 1):
            terms.append(term)  # flat already
        elif term.weight is not None:
            raise NetworkError(
                f"layer {layer.name!r} flattens {term.weights.name!r} before its neurons; put the Flatten behind them"  # type: ignore[union-attr]
            )
        else:
            size = term.shape[1] * term.shape[2]
            flat_shape = (term.shape[0] * size, 1, 1)
            terms.append(replace(term, flat=term.shape, shape=flat_shape, first_channel=term.first_channel * size))
    bias = np.zeros(shape[0]) if len(current.bias) != shape[0] else current.bias
    return Current(terms, bias)


def _identity(term: Term, name: str) -> Term:
    """A path without weights: each spike reaches the neuron of its own channel, with weight 1 (or 1/k of a pool)."""
    if term.flat and term.flat[1:] != (1, 1):
        raise NetworkError(f"neurons {name!r} stand behind a Flatten; put them before it")
    channels = term.shape[0]
    return replace(
        term,
        weight=np.full((channels, 1, 1, 1), term.scale),
        groups=channels,
        row_reach=[[(y, 0) for y in places] for places in term.rows],
        column_reach=[[(x, 0) for x in places] for places in term.columns],
    )
