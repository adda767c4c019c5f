"""Who fires: dirty cells are looked at, fire, are reset, and say when they must be looked at again."""

import numpy as np

from ..kernel_cache import kernel
from .layout import COUNT, FIRST, GROUP, KEPT, NEVER, NONE, PLAIN, WEIGHT, ZERO, X, Y
from .rows import exceeds, fire_cell, list_bits, nothing, smallest_gap, tally_bits

LONG = 1 << 30  # steps; a cell is looked at at least so often
MANY = 4  # spikes in 16 neurons, from which on those of a cell are counted per channel, not listed


@kernel
def fire(step, limit, stage, s, clocks, n_groups, pointers):
    """Where v >= threshold: spike, then reset. Only dirty cells are looked at, and are clean thereafter.

    Returns whether a stored potential went beyond +-limit.
    """
    v, moved, dirty, due, groups = pointers.v, pointers.moved, pointers.dirty, pointers.due, pointers.groups
    constant, size, width, kind = stage["first_constant"], stage["size"], stage["width"], stage["kind"]
    first_cell, base, foresees = stage["first_cell"], stage["first_neuron"], stage["foresees"]
    simple = stage["simple"] and kind == PLAIN
    # Leaks raise what is below 0, negative spikes have a second threshold: these stages are looked at in every step.
    every_step = kind == KEPT or stage["is_signed"] != 0
    elapsed = step - clocks[2 * s] if kind == PLAIN else 0
    for i in range(constant, constant + size):
        moved[i] = pointers.threshold[i] - elapsed * pointers.bias[i]
    group, spike = stage["first_group"], stage["first_spike"]
    soonest, beyond, most = clocks[2 * s + 1], False, nothing(v, base)
    for cell in range(stage["height"] * width):
        if dirty[first_cell + cell] == 0:
            continue
        dirty[first_cell + cell] = 0
        start, at, gap = spike, base + cell * size, np.float32(-1)
        if simple:
            spike, weight, most, again, gap = _fire_simply(stage, at, group, spike, most, pointers)
        else:
            spike, weight, again, outside = _fire_fully(stage, at, elapsed, limit, spike, pointers)
            beyond |= outside
        if spike > start:
            groups[GROUP * group + Y], groups[GROUP * group + X] = cell // width, cell % width
            groups[GROUP * group + FIRST], groups[GROUP * group + COUNT] = start, spike - start
            groups[GROUP * group + WEIGHT] = weight
            group += 1
        next_look = NEVER
        if again or (foresees and every_step):
            next_look = step + 1
        elif foresees:
            if not simple:
                gap = smallest_gap(v, at, moved, pointers.per_bias, constant, size)
            next_look = step + _steps(gap)
        due[first_cell + cell] = next_look
        soonest = min(soonest, next_look)
    clocks[2 * s + 1] = soonest
    n_groups[s] = group - stage["first_group"]
    return beyond or exceeds(most, limit)


@kernel(forceinline=True)
def _fire_simply(stage, at, group, spike, most, pointers):
    """One cell of neurons with at most one spike a step, reset by subtraction or to zero.

    Returns (one past its last spike, sum of its counts or 0 if all are 1, the larger of most and |v|, whether to look
    again in the next step, the smallest gap to the threshold per bias).
    """
    spikes, fired, tally, size, lanes = pointers.spikes, pointers.fired, pointers.tally, stage["size"], stage["lanes"]
    words = size // 16
    word = stage["first_neuron"] // 16 + (group - stage["first_group"]) * words
    n, most, again, gap = fire_cell(
        pointers.v, at, pointers.moved, pointers.threshold, pointers.bias, pointers.per_bias, stage["first_constant"],
        size, stage["reset"] == ZERO, most, fired, word,
    )  # fmt: skip
    weight, start = 0, spike
    if n > MANY * words:
        tally_bits(fired, word, size, lanes, pointers.v, tally)
        for c in range(lanes):
            spikes[2 * spike], spikes[2 * spike + 1] = c, tally[c]
            spike += tally[c] > 0
        weight = n if n > spike - start else 0
    elif n > 0:
        spike = list_bits(fired, word, words, spikes, spike)
    return spike, weight, most, again, gap


@kernel
def _fire_fully(stage, at, elapsed, limit, spike, pointers):
    """One cell with every option: several spikes a step, negative ones, no reset, a floor, a leak.

    Returns (one past its last spike, sum of its counts or 0 if all are 1, look again next step, beyond the limit).
    """
    bias, threshold, floor, v, spikes = pointers.bias, pointers.threshold, pointers.floor, pointers.v, pointers.spikes
    constant, most, reset, is_signed = stage["first_constant"], stage["max_spikes"], stage["reset"], stage["is_signed"]
    kept = stage["kind"] == KEPT
    weight, all_one, again, beyond = 0, True, False, False
    for j in range(stage["size"]):
        i = constant + j
        shift = 0 if kept else elapsed * np.int64(bias[i])
        potential = np.int64(v[at + j]) + shift
        if kept:
            potential = max(potential, np.int64(floor[i]))
        beyond |= abs(potential - shift) > limit
        theta, times = np.int64(threshold[i]), 0
        if potential >= theta:
            times = min(potential // theta, most)
        elif is_signed and -potential >= theta:
            times = -min(-potential // theta, most)
        if times != 0:
            if reset == ZERO:
                potential = np.int64(0)
            elif reset != NONE:
                potential -= times * theta
            spikes[2 * spike], spikes[2 * spike + 1] = j, times
            spike += 1
            weight += abs(times)
            all_one &= times == 1
            again |= potential >= theta - max(np.int64(bias[i]), 0) or (
                is_signed and -potential >= theta - max(-np.int64(bias[i]), 0)
            )
        v[at + j] = potential - shift
    return spike, 0 if all_one else weight, again, beyond


@kernel(forceinline=True)
def _steps(gap):
    """Fewest steps of bias alone that bring a neuron of a cell to its threshold: at least 1, never too many.

    ceil(missing / bias) by a multiplication in float32: a division for every neuron would cost more than the whole
    step. The factors are larger than float32's rounding, so the result may be one too few (which costs a look) but not
    one too many. per_bias is 1 / bias where the bias is above 0, and huge elsewhere.
    """
    least = gap * np.float32(1 - 1e-6) + np.float32(0.999)
    return np.int64(min(max(least, np.float32(1)), np.float32(LONG)))
