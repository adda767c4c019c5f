"""The innermost loops: spikes in, membranes updated, spikes out. Start reading at `run_step`.

What a step costs: `_scatter` adds one contiguous row of weights for every (spike, kernel tap) pair and is where the
time goes; `_fire` looks at the pixels that something was added to, not at all neurons. Nothing else grows with the
size of a layer, but for `_wake`, one comparison per pixel, and only in layers with a positive bias.

How idle neurons are left alone although they have biases: a pixel remembers the step at which it was last updated,
and the first spike to reach it adds the biases of the silent steps at once (exact: integers). A bias that will carry
a neuron over its threshold by itself is foreseen: `due` holds a step by which the pixel must be looked at (never too
late; too early only costs a look). A neuron still at or above threshold after its spike goes on the list `carry` for
the next step.

Indexes of the two inner loops are unsigned: with signed ones Numba must allow for negative (wrapped) indexes and LLVM
emits scalar code, ten times slower. Every function runs unchanged with NUMBA_DISABLE_JIT=1.
"""

import numpy as np
from numba import njit

from .plan import MEMBRANE_LIMIT

LONG = 1 << 30  # steps; a pixel is looked at at least so often


@njit(cache=True, nogil=True)
def run_step(step, plan, state, spikes, n_spikes, synops):
    """One timestep: for each stage, integrate all that arrives, fire, reset. Equations: network.py.

    step: int64, counts from 1 after a reset. plan = (stages, edges, weights, bias, threshold, per_bias, reach,
    reach_start); state = (v, mark, updated, due, touched, carry, n_carry); spikes = (y, x, channel, count), from
    first_neuron of each stage on, n_spikes[stage] of them in use; those of stage 0 are the input. synops[edge] +=
    weights added. Returns how often a potential was clamped.
    """
    stages, edges, weights, bias, threshold, per_bias, reach, reach_start = plan
    v, mark, updated, due, touched, carry, n_carry = state
    clamped = 0
    for e in range(edges.shape[0]):
        edge, stage = edges[e], stages[edges[e]["target"]]
        n = _wake(step, stage, e + 1, v, bias, mark, updated, due, touched, carry, n_carry)
        n, added = _scatter(
            step, edge, stages, weights, reach, reach_start, v, bias, mark, updated, touched, n, spikes, n_spikes
        )
        synops[e] += added
        clamped += _fire(
            step, stage, e + 1, v, bias, threshold, per_bias, updated, due, touched, n, carry, n_carry, spikes, n_spikes
        )
    return clamped


@njit(cache=True, nogil=True)
def _scatter(
    step, edge, stages, weights, reach, reach_start, v, bias, mark, updated, touched, n_touched, spikes, n_spikes
):
    """v[q, out] += count * weight[in, tap, out] for each spike (y, x, in, count) and each (pixel q, tap) it reaches.

    What row y and column x reach is found in tables, which know of strides, pads, dilations and pools: reach[i] is
    (pixel, tap) along one axis, and those of the two axes add up.
    """
    source, stage = edge["source"], stages[edge["target"]]
    spike_y, spike_x, spike_channel, spike_count = spikes
    # What the loops need is taken out of the records first: a store to v could, for all LLVM knows, change them.
    rows, columns, taps, first_weight = edge["rows"], edge["columns"], edge["taps"], edge["first_weight"]
    in_per_group, n_out, biased = edge["in_per_group"], edge["out_per_group"], stage["biased"]
    channels, first_pixel, first_neuron = stage["channels"], stage["first_pixel"], stage["first_neuron"]
    first_channel = stage["first_channel"]
    added = 0
    for i in range(stages[source]["first_neuron"], stages[source]["first_neuron"] + n_spikes[source]):
        c_in, times = np.int64(spike_channel[i]), spike_count[i]
        group = c_in // in_per_group * n_out if n_out < channels else 0
        first_row, last_row = reach_start[rows + spike_y[i]], reach_start[rows + spike_y[i] + 1]
        first_column, last_column = reach_start[columns + spike_x[i]], reach_start[columns + spike_x[i] + 1]
        for a in range(first_row, last_row):
            for b in range(first_column, last_column):
                q, tap = reach[a, 0] + reach[b, 0], reach[a, 1] + reach[b, 1]
                start = first_neuron + q * channels
                if mark[first_pixel + q] != step:
                    mark[first_pixel + q] = step
                    touched[n_touched] = q
                    n_touched += 1
                    silent = step - 1 - updated[first_pixel + q]
                    if biased and silent > 0:
                        add_silent_steps(v, start, bias, first_channel, channels, silent)
                _add(v, start + group, weights, first_weight + (c_in * taps + tap) * n_out, n_out, times)
        added += (last_row - first_row) * (last_column - first_column) * n_out * times
    return n_touched, added


@njit(cache=True, nogil=True, inline="always")
def _add(v, start, weights, row, n, times):
    """v[start : start + n] += times * weights[row : row + n]: the innermost loop of all."""
    base, tap = np.uint64(start), np.uint64(row)
    if times == 1:
        for c in range(np.uint64(n)):
            v[base + c] += weights[tap + c]
    else:
        for c in range(np.uint64(n)):
            v[base + c] += times * weights[tap + c]


@njit(cache=True, nogil=True)
def _fire(
    step, stage, s, v, bias, threshold, per_bias, updated, due, touched, n_touched, carry, n_carry, spikes, n_spikes
):
    """v += bias; where v >= threshold: spike, then v -= threshold or v = 0. Only pixels on the list are looked at."""
    spike_y, spike_x, spike_channel, spike_count = spikes
    fires, to_zero, rises, width = stage["fires"], stage["reset_to_zero"], stage["rises"], stage["width"]
    first_pixel, first_neuron, n_channels = stage["first_pixel"], stage["first_neuron"], stage["channels"]
    channels, first = np.uint64(n_channels), np.uint64(stage["first_channel"])
    n, n_again, clamped = first_neuron, 0, 0
    for i in range(n_touched):
        q = np.int64(touched[i])
        updated[first_pixel + q] = step
        base = np.uint64(first_neuron + q * n_channels)
        above = beyond = False
        for c in range(channels):
            v[base + c] += bias[first + c]
            above |= v[base + c] >= threshold[first + c]
            beyond |= (v[base + c] > MEMBRANE_LIMIT) | (v[base + c] < -MEMBRANE_LIMIT)
        if beyond:
            clamped += _clamp(v, base, channels)
        if above and fires:
            again = False
            y, x = q // width, q % width
            for c in range(channels):
                over = v[base + c] - threshold[first + c]
                if over >= 0:
                    spike_y[n], spike_x[n], spike_channel[n], spike_count[n] = y, x, c, 1
                    n += 1
                    left = 0 if to_zero else over
                    again |= left >= threshold[first + c]
                    v[base + c] = left
            if again:
                carry[first_pixel + n_again] = q
                n_again += 1
        if rises:
            due[first_pixel + q] = step + _steps_to_threshold(channels, first, v, per_bias, threshold, base)
    n_spikes[s] = n - first_neuron
    n_carry[s] = n_again
    return clamped


@njit(cache=True, nogil=True)
def _clamp(v, base, channels):
    """v <- min(max(v, -limit), limit); returns how many that changed."""
    clamped = 0
    for c in range(channels):
        bounded = min(max(v[base + c], -MEMBRANE_LIMIT), MEMBRANE_LIMIT)
        clamped += bounded != v[base + c]
        v[base + c] = bounded
    return clamped


@njit(cache=True, nogil=True)
def _wake(step, stage, s, v, bias, mark, updated, due, touched, carry, n_carry):
    """Put on the list of this step: the pixels carried over, and those whose biases fall due."""
    first_pixel, pixels, rises = stage["first_pixel"], stage["height"] * stage["width"], stage["rises"]
    n = 0
    for i in range(n_carry[s]):
        q = carry[first_pixel + i]
        mark[first_pixel + q] = step
        touched[n] = q
        n += 1
    if rises:
        for q in range(pixels):
            if due[first_pixel + q] <= step and mark[first_pixel + q] != step:
                mark[first_pixel + q] = step
                touched[n] = q
                n += 1
    for i in range(n):
        bring_up_to(step - 1, np.int64(touched[i]), stage, v, bias, updated)
    return n


@njit(cache=True, nogil=True)
def start_stage(step, stage, s, v, threshold, per_bias, v_init, mark, updated, due, n_carry):
    """Every neuron of a stage at v_init, as if `step` had just been done."""
    channels, first = stage["channels"], stage["first_channel"]
    soonest = _steps_to_threshold(np.uint64(channels), np.uint64(first), v_init, per_bias, threshold, np.uint64(first))
    for q in range(stage["height"] * stage["width"]):
        base = stage["first_neuron"] + q * channels
        for c in range(channels):
            v[base + c] = v_init[first + c]
        updated[stage["first_pixel"] + q] = step
        mark[stage["first_pixel"] + q] = 0
        due[stage["first_pixel"] + q] = step + soonest
    n_carry[s] = 0


@njit(cache=True, nogil=True)
def bring_all_up_to(step, stage, v, bias, updated):
    """Add the biases of all silent steps, so that v is what a clocked engine would hold after `step`."""
    for q in range(stage["height"] * stage["width"]):
        bring_up_to(step, q, stage, v, bias, updated)


@njit(cache=True, nogil=True, inline="always")
def bring_up_to(step, q, stage, v, bias, updated):
    """v <- max(-limit, v + bias * silent steps): what as many steps without input would have done one by one."""
    silent = step - updated[stage["first_pixel"] + q]
    if silent > 0:
        updated[stage["first_pixel"] + q] = step
        if stage["biased"]:
            start = stage["first_neuron"] + q * stage["channels"]
            add_silent_steps(v, start, bias, stage["first_channel"], stage["channels"], silent)


@njit(cache=True, nogil=True)
def add_silent_steps(v, start, bias, first, channels, silent):
    """v <- min(max(v + silent * bias, -limit), limit) for the channels of one pixel; `start` is its first neuron."""
    base, row = np.uint64(start), np.uint64(first)
    for c in range(np.uint64(channels)):
        potential = v[base + c] + np.int64(bias[row + c]) * silent
        v[base + c] = min(max(potential, -MEMBRANE_LIMIT), MEMBRANE_LIMIT)


@njit(cache=True, nogil=True)
def _steps_to_threshold(channels, first, v, per_bias, threshold, base):
    """Fewest steps of bias alone that bring a neuron of one pixel to its threshold: 1 to LONG, never too many.

    ceil(missing / bias) by a multiplication in float32: an integer division for every neuron would cost more than the
    whole step. The two factors are larger than float32's rounding, so the result may be one too few (which costs a
    look) but not one too many. per_bias is 1 / bias where the bias is above 0, and huge elsewhere; missing is above 0
    but for neurons on `carry`.
    """
    soonest = np.int32(LONG)
    for c in range(channels):
        missing = np.float32(threshold[first + c] - v[base + c])
        steps = missing * per_bias[first + c] * np.float32(1 - 1e-6) + np.float32(0.999)
        soonest = min(soonest, np.int32(min(max(steps, np.float32(0)), np.float32(LONG))))  # casts only what fits
    return max(np.int64(soonest), 1)
