"""The two ends of a step: input becomes spikes or current of the first stages, the last stage becomes evidence.

The step itself is kernels.py's.
"""

import numpy as np

from ..kernel_cache import kernel
from .layout import AXIS, COUNT, FIRST, GROUP, LAST, NEVER, WEIGHT, X, Y

PAIRS = 8  # from one cell in so many on, the two events of a pixel are looked for, to be added together
CURRENT_BITS = 16  # pixel values of constant-current input are rounded to 2**-16


@kernel
def load_input(cells, counts, n, max_count, size, stage, cell_height, groups, spikes, n_groups):
    """Cells of a BinnedSlice become the spikes of stage 0. Returns -1, or the index of the first invalid cell."""
    cell_width = stage["cell_width"]
    width = stage["width"] * cell_width
    pixels = stage["height"] * cell_height * width
    second, last = n, -1  # where the second of two channels begins
    for i in range(n):
        cell = cells[i]
        if cell < 0 or cell >= size or counts[i] < 1 or counts[i] > max_count:
            n_groups[0] = 0
            return i
        if cell >= pixels:
            second = min(second, i)
        if cell <= last:
            last = size  # not in ascending order
        elif last < size:
            last = cell
    if size != 2 * pixels or last == size or PAIRS * n < size:
        second = n
    i, j, group, spike = 0, second, 0, 0
    while i < second or j < n:
        here = cells[i] if i < second else NEVER
        there = cells[j] - pixels if j < n else NEVER
        cell = np.uint32(min(here, there))
        start, weight = spike, 0
        if here <= there:
            spikes[2 * spike], spikes[2 * spike + 1] = cell // np.uint32(pixels), counts[i]
            weight += counts[i]
            spike, i = spike + 1, i + 1
        if there <= here:
            spikes[2 * spike], spikes[2 * spike + 1] = 1, counts[j]
            weight += counts[j]
            spike, j = spike + 1, j + 1
        pixel = cell % np.uint32(pixels)
        y, x = pixel // np.uint32(width), pixel % np.uint32(width)
        if cell_height > 1:
            y //= np.uint32(cell_height)
        if cell_width > 1:
            x //= np.uint32(cell_width)
        groups[GROUP * group + Y], groups[GROUP * group + X] = y, x
        groups[GROUP * group + FIRST], groups[GROUP * group + COUNT] = start, spike - start
        groups[GROUP * group + WEIGHT] = 0 if weight == spike - start else weight
        group += 1
    n_groups[0] = group
    return -1


@kernel
def current_of(values, e, edges, stages, axes, reach, weights, cell_height, drive):
    """drive[neuron] += sum of weight * value over one edge, in units * 2**16; values: int64, channels first.

    Returns the number of multiply-accumulates with a value that is not 0.
    """
    edge = edges[e]
    source, target = stages[edge["source"]], stages[edge["target"]]
    width = source["width"] * source["cell_width"]
    pixels, out = source["height"] * cell_height * width, edge["out_per_group"]
    macs = 0
    for cell in range(values.shape[0]):
        if values[cell] == 0:
            continue
        channel, y, x = cell // pixels, cell % pixels // width, cell % pixels % width
        row, column = AXIS * (edge["rows"] + y // cell_height), AXIS * (edge["columns"] + x // source["cell_width"])
        first = target["first_neuron"] + edge["first_out"] + channel // edge["in_per_group"] * out
        for a in range(axes[row], axes[row + LAST]):
            for b in range(axes[column], axes[column + LAST]):
                q = first + reach[2 * a] + reach[2 * b]
                tap = edge["first_weight"] + channel * edge["channel_step"] + reach[2 * a + 1] + reach[2 * b + 1]
                for c in range(out):
                    drive[q + c] += np.int64(weights[tap + c]) * values[cell]
                macs += out
    return macs


@kernel
def read_potentials(stage, v, bias, gain):
    """gain[(channel, pixel)] = what arrived in this step at the stage that is read out; its potentials start again."""
    pixels, lanes, constant = stage["height"] * stage["width"], stage["lanes"], stage["first_constant"]
    for q in range(pixels):
        for c in range(stage["channels"]):
            i = stage["first_neuron"] + q * lanes + c
            gain[c * pixels + q] = np.int64(v[i]) + np.int64(bias[constant + c])
            v[i] = 0


@kernel
def read_spikes(stage, s, groups, spikes, n_groups, gain):
    """gain[(channel, pixel)] = spikes of this step of the stage that is read out."""
    pixels, width = stage["height"] * stage["width"], stage["width"]
    gain[:] = 0
    for g in range(stage["first_group"], stage["first_group"] + n_groups[s]):
        q = groups[GROUP * g + Y] * width + groups[GROUP * g + X]
        first = groups[GROUP * g + FIRST]
        for i in range(first, first + groups[GROUP * g + COUNT]):
            gain[spikes[2 * i] * pixels + q] += spikes[2 * i + 1]


@kernel
def slide(evidence, gain, drawn, ring, ring_stop_us, cursor, t_stop_us, window_us):
    """evidence += gain, minus the gain of slices that ended window_us before t_stop_us; cursor = (oldest, n).

    What those slices drew leaves `drawn` with them: of each slice the ring holds its gain, and where there is room what
    it drew. window_us 0: nothing is ever taken away.
    """
    for i in range(evidence.shape[0]):
        evidence[i] += gain[i]
    if window_us == 0:
        return
    size, n = ring_stop_us.shape[0], evidence.shape[0]
    stride = ring.shape[0] // size
    while cursor[1] > 0 and (ring_stop_us[cursor[0]] <= t_stop_us - window_us or cursor[1] == size):
        for i in range(n):
            evidence[i] -= ring[cursor[0] * stride + i]
        for i in range(n, stride):
            drawn[i - n] -= ring[cursor[0] * stride + i]
        cursor[0] = (cursor[0] + 1) % size
        cursor[1] -= 1
    newest = (cursor[0] + cursor[1]) % size
    for i in range(n):
        ring[newest * stride + i] = gain[i]
    for i in range(n, stride):
        ring[newest * stride + i] = 0
    ring_stop_us[newest] = t_stop_us
    cursor[1] += 1


@kernel
def draw(kind, rate, uniform, evidence, unit, drawn, ring, ring_stop_us, cursor):
    """Spiking softmax (papers: Rueckauer et al. 2016, 2017): drawn += spikes drawn from softmax(evidence * unit).

    kind 1: each output fires by itself with its probability. kind 2: a Poisson generator of `rate` per step triggers,
    and each trigger one output. uniform: float64[outputs + 2] in [0, 1), new ones for every step.
    """
    n, highest, total = evidence.shape[0], -np.inf, 0.0
    stride = ring.shape[0] // ring_stop_us.shape[0]
    newest = stride * ((cursor[0] + cursor[1] - 1) % ring_stop_us.shape[0]) + n if stride > n else -1
    for i in range(n):
        highest = max(highest, evidence[i] * unit[i])
    for i in range(n):
        total += np.exp(evidence[i] * unit[i] - highest)
    if kind == 1:
        for i in range(n):
            if uniform[i] * total < np.exp(evidence[i] * unit[i] - highest):
                _note(i, drawn, ring, newest)
    elif uniform[n] < 1.0 - np.exp(-rate):
        left, chosen = uniform[n + 1] * total, n - 1
        for i in range(n):
            left -= np.exp(evidence[i] * unit[i] - highest)
            if left < 0:
                chosen = i
                break
        _note(chosen, drawn, ring, newest)


@kernel
def _note(i, drawn, ring, newest):
    """Output i was drawn in this step."""
    drawn[i] += 1
    if newest >= 0:
        ring[newest + i] += 1


@kernel
def score(kind, evidence, unit, counts, scores):
    """scores = evidence * unit, or the counts of a spiking softmax. Returns the index of the highest; -1: all equal."""
    best, lowest = 0, np.inf
    for i in range(evidence.shape[0]):
        scores[i] = evidence[i] * unit[i] if kind == 0 else counts[i]
        lowest = min(lowest, scores[i])
        if scores[i] > scores[best]:
            best = i
    return best if scores[best] > lowest else -1
