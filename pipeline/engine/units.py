"""The number formats, and the whole numbers of a population in one of them.

Numbers. Every neuron population has a `unit` per channel: its weights, biases, thresholds and membrane potentials are
whole multiples of it. Sums of whole numbers do not depend on their order, so the event-driven engine, a dense one and
the slow twin in the tests agree to the bit. The formats differ in how fine the unit can be:

    int8     weights within +-127, potentials int32           the fastest
    int16    weights within +-32,767, potentials int32        the default: rounding is not felt
    float32  weights within +-4,096, potentials float32       whole numbers too: exact below 2**24

The price is the rounding of weights, told in `rounding`. A unit per channel costs nothing, because a neuron compares
its potential with its own threshold only; the readout multiplies by the units. float32 with weights as they are was
the rival: its sums depend on the order in which spikes arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from ..neurons import IF, LIF, MaxPool2d
from .cells import most_often
from .graph import Population


@dataclass(frozen=True)
class Format:
    """How numbers are kept."""

    weight: type
    total: type  # what rows of weights are summed in before they are added to potentials
    potential: type
    weight_max: int
    threshold_max: int
    limit: int  # potentials stay within about +-limit, see kernels.rebase
    input_limit: int  # the most that can arrive at a neuron in one step
    unreachable: float  # a threshold that no potential reaches
    counts: int  # events of one cell in one step that there must be room for, at the price of coarser weights


FORMATS = {
    "int8": Format(np.int8, np.int16, np.int32, 127, 1 << 20, 1 << 30, 1 << 29, 2.0**31 - 1, 256),
    "int16": Format(np.int16, np.int32, np.int32, 32_767, 1 << 20, 1 << 30, 1 << 29, 2.0**31 - 1, 256),
    "float32": Format(np.float32, np.float32, np.float32, 4_096, 1 << 13, 1 << 22, 1 << 23, 2.0**40, 64),
}


_LEAST_LEVELS = 100  # that the largest weight of a channel keeps beside a large bias: rounding to within 0.5 %


@dataclass(frozen=True)
class Whole:
    """One population in whole numbers, per channel, float64: all but `decay` multiples of `unit`."""

    unit: np.ndarray  # what 1 means, in the units of the network
    bias: np.ndarray
    threshold: np.ndarray
    v_init: np.ndarray
    floor: np.ndarray
    decay: np.ndarray
    max_count: int  # the most events of one cell in one step that cannot overflow here

    def constants(self) -> tuple[np.ndarray, ...]:
        """In the order in which a plan keeps them."""
        return self.bias, self.threshold, self.v_init, self.floor, self.decay


def quantize(population: Population, most: Sequence[float], form: Format, bias_scale: float) -> Whole:
    """most: for each term of the population, the most spikes of one neuron of its source in a step; 0: the input."""
    layer, channels = population.layer, population.shape[0]
    low = np.full(channels, -2.0 * form.limit)
    silent = np.full(channels, form.unreachable)
    if not population.terms or isinstance(layer, MaxPool2d):
        zeros = np.zeros(channels)
        return Whole(np.ones(channels), zeros, silent, zeros, low, zeros, form.input_limit)
    threshold = None if layer is None else layer.threshold.astype(np.float64)  # type: ignore[attr-defined]
    unit, max_count = _unit(population, most, form, threshold, bias_scale)
    bias = np.rint(population.bias * bias_scale / unit)
    _check_bias(population, bias, form, bias_scale)
    if threshold is None or not isinstance(layer, IF | LIF):
        return Whole(unit, bias, silent, np.zeros(channels), low, np.ones(channels), max_count)
    whole = np.maximum(np.rint(threshold / unit), 1)
    start = np.clip(np.rint(layer.v_init.astype(np.float64) / unit), -(form.limit // 2), whole - 1)
    if layer.v_min is not None:
        low = np.maximum(np.rint(layer.v_min.astype(np.float64) / unit), -(form.limit // 2))
        low = np.minimum(low, start)  # however coarse the unit, a floor alone makes nobody fire
    decay = layer.decay.astype(np.float64) ** bias_scale if isinstance(layer, LIF) else np.ones(channels)
    return Whole(unit, bias, whole, start, low, decay, max_count)


def _unit(
    population: Population, most: Sequence[float], form: Format, threshold: np.ndarray | None, bias_scale: float
) -> tuple[np.ndarray, int]:
    """The largest weight of a channel becomes weight_max units, unless its threshold or fan-in would be too large.

    A channel without weights takes the finest unit that its threshold allows. Also the most events of a cell.
    """
    largest, widest, of_input = np.zeros((3, population.shape[0]))
    for term, often in zip(population.terms, most, strict=True):
        assert term.weight is not None  # made sure by graph.read
        out = slice(term.first_channel, term.first_channel + len(term.weight))
        weight = np.abs(term.weight)
        largest[out] = np.maximum(largest[out], weight.max(axis=(1, 2, 3)))
        fan_in = weight.sum(axis=(1, 2, 3)) * most_often(term.row_reach) * most_often(term.column_reach)
        (widest if often else of_input)[out] += fan_in * (often or 1.0)
    unit = largest / form.weight_max
    if threshold is not None:
        unit = np.maximum(unit, threshold / form.threshold_max)
    elif len(population.bias):  # of sums that never fire; a large bias costs bits of their weights, as far as there are
        unit = np.maximum(unit, np.minimum(_bias_unit(population, form, bias_scale), largest / _LEAST_LEVELS))
    unit = np.maximum(unit, (widest + form.counts * of_input) / form.input_limit * (1 + 1e-9))
    unit = np.where(unit > 0, unit, 1.0)
    if not of_input.any():
        return unit, form.input_limit
    with np.errstate(divide="ignore"):
        counts = (form.input_limit - widest / unit) / (of_input / unit)
    return unit, max(min(form.input_limit, int(counts.min())), 1)


def _bias_unit(population: Population, form: Format, bias_scale: float) -> np.ndarray:
    """The finest unit in which the biases are not too large."""
    return np.abs(population.bias) * bias_scale / (form.input_limit // 2) * (1 + 1e-9)


def _check_bias(population: Population, bias: np.ndarray, form: Format, bias_scale: float) -> None:
    if not len(bias) or np.abs(bias).max() <= form.input_limit // 2:
        return
    longer = f" in slices {bias_scale:,g} times as long as trained for" if bias_scale > 1 else ""
    raise NetworkError(
        f"layer {population.name!r} has a bias {np.abs(population.bias).max():.3g} "
        f"that dwarfs its weights{longer}; " + ("use shorter slices" if longer else "was the network normalized?")
    )
