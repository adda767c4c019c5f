"""The two ends of a step: input becomes spikes or current of the first stage, the last stage becomes evidence.

The step itself is kernels.py's.
"""

import numpy as np
from numba import njit

from .kernels import bring_all_up_to, bring_up_to

CURRENT_BITS = 16  # pixel values of constant-current input are rounded to 2**-16


@njit(cache=True, nogil=True)
def load_input(cells, counts, max_count, stages, spikes, n_spikes):
    """Cells of a BinnedSlice become the spikes of stage 0. Returns -1, or the index of the first invalid cell."""
    width, pixels = stages[0]["width"], stages[0]["height"] * stages[0]["width"]
    size = pixels * stages[0]["channels"]
    spike_y, spike_x, spike_channel, spike_count = spikes
    for i in range(cells.shape[0]):
        cell = np.int64(cells[i])
        if cell < 0 or cell >= size or counts[i] < 1 or counts[i] > max_count:
            return i
        pixel = cell % pixels
        spike_y[i], spike_x[i], spike_channel[i], spike_count[i] = (
            pixel // width,
            pixel % width,
            cell // pixels,
            counts[i],
        )
    n_spikes[0] = cells.shape[0]
    return -1


@njit(cache=True, nogil=True)
def add_current(step, stage, state, bias, drive):
    """v += drive for every neuron of stage 1, before `run_step(step)`: the constant current of `current_of`."""
    v, mark, updated, due, touched, carry, n_carry = state
    channels = stage["channels"]
    pixels = stage["height"] * stage["width"]
    for q in range(pixels):
        bring_up_to(step - 1, q, stage, v, bias, updated)
        base = np.uint64(stage["first_neuron"] + q * channels)
        row = np.uint64(q * channels)
        for c in range(np.uint64(channels)):
            v[base + c] += drive[row + c]
        carry[stage["first_pixel"] + q] = q
    n_carry[1] = pixels  # every pixel is to be looked at in this step


@njit(cache=True, nogil=True)
def current_of(values, stages, edge, weights, reach, reach_start, total):
    """total[neuron] = sum of weight * value over the first edge, in units * 2**16; values: int64, channels first.

    Returns the number of multiply-accumulates with a value that is not 0.
    """
    width, pixels = stages[0]["width"], stages[0]["height"] * stages[0]["width"]
    n, channels = edge["out_per_group"], stages[1]["channels"]
    macs = 0
    total[:] = 0
    for cell in range(values.shape[0]):
        if values[cell] == 0:
            continue
        channel, y, x = cell // pixels, cell % pixels // width, cell % pixels % width
        group = channel // edge["in_per_group"] * n
        for a in range(reach_start[edge["rows"] + y], reach_start[edge["rows"] + y + 1]):
            for b in range(reach_start[edge["columns"] + x], reach_start[edge["columns"] + x + 1]):
                q, tap = reach[a, 0] + reach[b, 0], reach[a, 1] + reach[b, 1]
                row = edge["first_weight"] + (channel * edge["taps"] + tap) * n
                for c in range(n):
                    total[q * channels + group + c] += np.int64(weights[row + c]) * values[cell]
                macs += n
    return macs


@njit(cache=True, nogil=True)
def read_out(step, stage, s, state, bias, spikes, n_spikes, gain):
    """gain[neuron] = what this step adds to the evidence: spikes of an IF stage, else the current that arrived."""
    v, mark, updated, due, touched, carry, n_carry = state
    spike_y, spike_x, spike_channel, spike_count = spikes
    first, width, channels = stage["first_neuron"], stage["width"], stage["channels"]
    if stage["fires"]:
        gain[:] = 0
        for i in range(first, first + n_spikes[s]):
            gain[(spike_y[i] * width + spike_x[i]) * channels + spike_channel[i]] += 1
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
