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

LONG = 1e9  # steps; a pixel is looked at at least so often
CEILING = 1.0 - 1e-6  # ceil(x) = int(x + this): may be one too few, which costs a look; never one too many


@njit(cache=True, nogil=True)
def run_step(step, plan, state, spikes, n_spikes, synops):
    """One timestep: for each stage, integrate all that arrives, fire, reset. Equations: network.py.

    step: int64, counts from 1 after a reset. plan = (stages, edges, weights, bias, threshold, per_bias); state = (v,
    mark, updated, due, touched, carry, n_carry); spikes = (pixel, channel, count), from first_neuron of each stage
    on, n_spikes[stage] of them in use; those of stage 0 are the input. synops[edge] += weights added. Returns how
    often a potential was clamped.
    """
    stages, edges, weights, bias, threshold, per_bias = plan
    v, mark, updated, due, touched, carry, n_carry = state
    clamped = 0
    for e in range(edges.shape[0]):
        edge, stage = edges[e], stages[edges[e]["target"]]
        n = _wake(step, stage, e + 1, v, bias, mark, updated, due, touched, carry, n_carry)
        n, added = _scatter(step, edge, stages, weights, v, bias, mark, updated, touched, n, spikes, n_spikes)
        synops[e] += added
        clamped += _fire(
            step, stage, e + 1, v, bias, threshold, per_bias, updated, due, touched, n, carry, n_carry, spikes, n_spikes
        )
    return clamped


@njit(cache=True, nogil=True)
def _scatter(step, edge, stages, weights, v, bias, mark, updated, touched, n_touched, spikes, n_spikes):
    """v[q, out] += count * weight[in, tap, out] for each spike (pixel, in, count) and each pixel q its taps reach."""
    source, stage = stages[edge["source"]], stages[edge["target"]]
    pixel, channel, count = spikes
    # What the loops need is taken out of the records first: a store to v could, for all LLVM knows, change them.
    width_in, in_per_group = source["width"], edge["in_per_group"]
    pool_y, pool_x, hop_y, hop_x = edge["pool_y"], edge["pool_x"], edge["hop_y"], edge["hop_x"]
    pooled_y, pooled_x, pad_y, pad_x = edge["pooled_y"], edge["pooled_x"], edge["pad_y"], edge["pad_x"]
    stride_y, stride_x, gap_y, gap_x = edge["stride_y"], edge["stride_x"], edge["gap_y"], edge["gap_x"]
    kernel_y, kernel_x, n_out, first_weight = (
        edge["kernel_y"],
        edge["kernel_x"],
        edge["out_per_group"],
        edge["first_weight"],
    )
    height, width, channels = stage["height"], stage["width"], stage["channels"]
    first_pixel, first_neuron = stage["first_pixel"], stage["first_neuron"]
    reach_y, reach_x = gap_y * (kernel_y - 1) + 1, gap_x * (kernel_x - 1) + 1
    added = 0
    for i in range(source["first_neuron"], source["first_neuron"] + n_spikes[edge["source"]]):
        y, x, c_in, times = pixel[i] // width_in, pixel[i] % width_in, np.int64(channel[i]), count[i]
        group = (c_in // in_per_group) * n_out
        for py in range(first_window(y, pool_y, hop_y), last_window(y, hop_y, pooled_y) + 1):
            top = py + pad_y
            for px in range(first_window(x, pool_x, hop_x), last_window(x, hop_x, pooled_x) + 1):
                left = px + pad_x
                ox_first, ox_last = first_window(left, reach_x, stride_x), last_window(left, stride_x, width)
                for oy in range(first_window(top, reach_y, stride_y), last_window(top, stride_y, height) + 1):
                    ky = top - oy * stride_y
                    if gap_y > 1:
                        if ky % gap_y != 0:
                            continue
                        ky //= gap_y
                    for ox in range(ox_first, ox_last + 1):
                        kx = left - ox * stride_x
                        if gap_x > 1:
                            if kx % gap_x != 0:
                                continue
                            kx //= gap_x
                        q = oy * width + ox
                        if mark[first_pixel + q] != step:
                            mark[first_pixel + q] = step
                            touched[n_touched] = q
                            n_touched += 1
                            bring_up_to(step - 1, q, stage, v, bias, updated)
                        row = first_weight + ((c_in * kernel_y + ky) * kernel_x + kx) * n_out
                        _add(v, first_neuron + q * channels + group, weights, row, n_out, times)
                        added += n_out * times
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
    pixel, channel, count = spikes
    fires, to_zero, rises = stage["fires"], stage["reset_to_zero"], stage["rises"]
    first_pixel, first_neuron, width = stage["first_pixel"], stage["first_neuron"], stage["channels"]
    channels, first = np.uint64(width), np.uint64(stage["first_channel"])
    n, n_again, clamped = first_neuron, 0, 0
    for i in range(n_touched):
        q = np.int64(touched[i])
        updated[first_pixel + q] = step
        base = np.uint64(first_neuron + q * width)
        above = 0
        for c in range(channels):
            potential = v[base + c] + bias[first + c]
            bounded = min(max(potential, -MEMBRANE_LIMIT), MEMBRANE_LIMIT)
            clamped += potential != bounded
            above += bounded >= threshold[first + c]
            v[base + c] = bounded
        if above > 0 and fires:
            again = False
            for c in range(channels):
                if v[base + c] >= threshold[first + c]:
                    pixel[n], channel[n], count[n] = q, c, 1
                    n += 1
                    v[base + c] = 0 if to_zero else v[base + c] - threshold[first + c]
                    again |= v[base + c] >= threshold[first + c]
            if again:
                carry[first_pixel + n_again] = q
                n_again += 1
        if rises:
            due[first_pixel + q] = step + _steps_to_threshold(width, first, v, per_bias, threshold, base)
    n_spikes[s] = n - first_neuron
    n_carry[s] = n_again
    return clamped


@njit(cache=True, nogil=True)
def _wake(step, stage, s, v, bias, mark, updated, due, touched, carry, n_carry):
    """Put on the list of this step: the pixels carried over, and those whose biases fall due."""
    n = 0
    for i in range(n_carry[s]):
        q = carry[stage["first_pixel"] + i]
        mark[stage["first_pixel"] + q] = step
        touched[n] = q
        n += 1
        bring_up_to(step - 1, np.int64(q), stage, v, bias, updated)
    if stage["rises"]:
        for q in range(stage["height"] * stage["width"]):
            p = stage["first_pixel"] + q
            if due[p] <= step and mark[p] != step:
                mark[p] = step
                touched[n] = q
                n += 1
                bring_up_to(step - 1, q, stage, v, bias, updated)
    return n


@njit(cache=True, nogil=True)
def start_stage(step, stage, s, v, threshold, per_bias, v_init, mark, updated, due, n_carry):
    """Every neuron of a stage at v_init, as if `step` had just been done."""
    channels, first = stage["channels"], stage["first_channel"]
    soonest = _steps_to_threshold(channels, np.uint64(first), v_init, per_bias, threshold, np.uint64(first))
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
    p = stage["first_pixel"] + q
    silent = step - updated[p]
    if silent <= 0:
        return
    updated[p] = step
    if stage["biased"]:
        base = stage["first_neuron"] + q * stage["channels"]
        for c in range(stage["channels"]):
            potential = v[base + c] + np.int64(bias[stage["first_channel"] + c]) * silent
            v[base + c] = min(max(potential, -MEMBRANE_LIMIT), MEMBRANE_LIMIT)


@njit(cache=True, nogil=True)
def _steps_to_threshold(channels, first, v, per_bias, threshold, base):
    """Fewest steps of bias alone that bring a neuron of one pixel to its threshold: 1 to LONG, never too many.

    ceil(missing / bias) by a multiplication: an integer division for every neuron would cost more than the whole step.
    per_bias is 1 / bias where the bias is above 0, and huge elsewhere; missing is above 0 but for neurons on `carry`.
    """
    soonest = np.int32(LONG)
    for c in range(np.uint64(channels)):
        steps = np.float64(threshold[first + c] - v[base + c]) * per_bias[first + c] + CEILING
        soonest = min(soonest, np.int32(min(steps, LONG)))
    return max(np.int64(soonest), 1)


@njit(cache=True, nogil=True)
def first_window(position, window, stride):
    """First window of `stride` that covers a position: windows start at 0, stride, 2 * stride, ..."""
    first = position - window + 1
    if stride > 1:
        first = (first + stride - 1) // stride
    return max(np.int64(0), first)


@njit(cache=True, nogil=True)
def last_window(position, stride, n):
    """Last of n such windows that covers a position."""
    if stride > 1:
        position //= stride
    return min(n - 1, position)
