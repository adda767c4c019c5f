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
CURRENT_BITS = 16  # pixel values of constant-current input are rounded to 2**-16


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
def load_input(cells, counts, max_count, stages, spikes, n_spikes):
    """Cells of a BinnedSlice become the spikes of stage 0. Returns -1, or the index of the first invalid cell."""
    pixels = stages[0]["height"] * stages[0]["width"]
    size = pixels * stages[0]["channels"]
    pixel, channel, count = spikes
    for i in range(cells.shape[0]):
        cell = np.int64(cells[i])
        if cell < 0 or cell >= size or counts[i] < 1 or counts[i] > max_count:
            return i
        pixel[i] = cell % pixels
        channel[i] = cell // pixels
        count[i] = counts[i]
    n_spikes[0] = cells.shape[0]
    return -1


@njit(cache=True, nogil=True)
def add_current(step, stage, state, bias, drive):
    """v += drive for every neuron of stage 1, before `run_step(step)`: the constant current of `current_of`."""
    v, mark, updated, due, touched, carry, n_carry = state
    channels = stage["channels"]
    pixels = stage["height"] * stage["width"]
    for q in range(pixels):
        _bring_up_to(step - 1, q, stage, v, bias, updated)
        base = np.uint64(stage["first_neuron"] + q * channels)
        row = np.uint64(q * channels)
        for c in range(np.uint64(channels)):
            v[base + c] += drive[row + c]
        carry[stage["first_pixel"] + q] = q
    n_carry[1] = pixels  # every pixel is to be looked at in this step


@njit(cache=True, nogil=True)
def current_of(values, stages, edge, weights, total):
    """total[neuron] = sum of weight * value over the first edge, in units * 2**16; values: int64, channels first.

    Returns the number of multiply-accumulates with a value that is not 0.
    """
    source, stage = stages[0], stages[1]
    width = source["width"]
    pixels = source["height"] * width
    macs = 0
    total[:] = 0
    for cell in range(values.shape[0]):
        value = values[cell]
        if value == 0:
            continue
        channel = cell // pixels
        y, x = (cell % pixels) // width, (cell % pixels) % width
        group = channel // edge["in_per_group"]
        n = edge["out_per_group"]
        for py in range(_first(y, edge["pool_y"], edge["hop_y"]), _last(y, edge["hop_y"], edge["pooled_y"]) + 1):
            for px in range(_first(x, edge["pool_x"], edge["hop_x"]), _last(x, edge["hop_x"], edge["pooled_x"]) + 1):
                for oy in range(stage["height"]):
                    ky = py + edge["pad_y"] - oy * edge["stride_y"]
                    if ky < 0 or ky % edge["gap_y"] != 0 or ky // edge["gap_y"] >= edge["kernel_y"]:
                        continue
                    for ox in range(stage["width"]):
                        kx = px + edge["pad_x"] - ox * edge["stride_x"]
                        if kx < 0 or kx % edge["gap_x"] != 0 or kx // edge["gap_x"] >= edge["kernel_x"]:
                            continue
                        tap = (channel * edge["kernel_y"] + ky // edge["gap_y"]) * edge["kernel_x"] + kx // edge[
                            "gap_x"
                        ]
                        row = edge["first_weight"] + tap * n
                        base = (oy * stage["width"] + ox) * stage["channels"] + group * n
                        for c in range(n):
                            total[base + c] += np.int64(weights[row + c]) * value
                        macs += n
    return macs


@njit(cache=True, nogil=True)
def read_out(step, stage, s, state, bias, spikes, n_spikes, gain):
    """gain[neuron] = what this step adds to the evidence: spikes of an IF stage, else the current that arrived."""
    v, mark, updated, due, touched, carry, n_carry = state
    pixel, channel, count = spikes
    first = stage["first_neuron"]
    if stage["fires"]:
        gain[:] = 0
        for i in range(first, first + n_spikes[s]):
            gain[pixel[i] * stage["channels"] + channel[i]] += 1
    else:
        bring_all_up_to(step, stage, v, bias, updated)
        for i in range(gain.shape[0]):
            gain[i] = v[first + i]
            v[first + i] = 0


@njit(cache=True, nogil=True)
def slide(evidence, gain, ring, ring_stop_us, cursor, t_stop_us, window_us):
    """evidence += gain, minus the gain of slices that ended window_us before t_stop_us; cursor = (oldest, n)."""
    size = ring.shape[0]
    while cursor[1] > 0 and (ring_stop_us[cursor[0]] <= t_stop_us - window_us or cursor[1] == size):
        for i in range(evidence.shape[0]):
            evidence[i] -= ring[cursor[0], i]
        cursor[0] = (cursor[0] + 1) % size
        cursor[1] -= 1
    newest = (cursor[0] + cursor[1]) % size
    for i in range(evidence.shape[0]):
        evidence[i] += gain[i]
        ring[newest, i] = gain[i]
    ring_stop_us[newest] = t_stop_us
    cursor[1] += 1


@njit(cache=True, nogil=True)
def bring_all_up_to(step, stage, v, bias, updated):
    """Add the biases of all silent steps, so that v is what a clocked engine would hold after `step`."""
    for q in range(stage["height"] * stage["width"]):
        _bring_up_to(step, q, stage, v, bias, updated)


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
        for py in range(_first(y, pool_y, hop_y), _last(y, hop_y, pooled_y) + 1):
            top = py + pad_y
            for px in range(_first(x, pool_x, hop_x), _last(x, hop_x, pooled_x) + 1):
                left = px + pad_x
                ox_first, ox_last = _first(left, reach_x, stride_x), _last(left, stride_x, width)
                for oy in range(_first(top, reach_y, stride_y), _last(top, stride_y, height) + 1):
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
                            _bring_up_to(step - 1, q, stage, v, bias, updated)
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
        _bring_up_to(step - 1, np.int64(q), stage, v, bias, updated)
    if stage["rises"]:
        for q in range(stage["height"] * stage["width"]):
            p = stage["first_pixel"] + q
            if due[p] <= step and mark[p] != step:
                mark[p] = step
                touched[n] = q
                n += 1
                _bring_up_to(step - 1, q, stage, v, bias, updated)
    return n


@njit(cache=True, nogil=True, inline="always")
def _bring_up_to(step, q, stage, v, bias, updated):
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
def _first(position, window, stride):
    """First window of `stride` that covers a position: windows start at 0, stride, 2 * stride, ..."""
    first = position - window + 1
    if stride > 1:
        first = (first + stride - 1) // stride
    return max(np.int64(0), first)


@njit(cache=True, nogil=True)
def _last(position, stride, n):
    """Last of n such windows that covers a position."""
    if stride > 1:
        position //= stride
    return min(n - 1, position)
