"""The innermost loops of the engine, neuron by neuron. The fast ones: pipeline/engine/rows.py."""

import numpy as np


def sum_rows(weights, rows, at, length, times=None):
    """The sum of parts of rows, each so many times."""
    total = [0] * length
    for i, row in enumerate(rows.tolist()):
        for c in range(length):
            total[c] += int(weights[row + at + c]) * (1 if times is None else int(times[i]))
    return total


def fire_cell(v, moved, threshold, bias, per_bias, size, to_zero):
    """One cell, neuron by neuron; it begins at 16 in v and at 32 in the constants. `moved`: thresholds less the biases
    of earlier steps. (v, who fired, whether one of them fires again in the next step by its bias, the smallest gap to
    a threshold times per_bias)."""
    v, who, again, gaps = v.copy(), [], False, []
    for i in range(size):
        if v[16 + i] >= moved[32 + i]:
            v[16 + i] = (moved[32 + i] if to_zero else v[16 + i]) - threshold[32 + i]
            again |= bool(v[16 + i] >= moved[32 + i] - bias[32 + i])
            who.append(i)
        gaps.append(np.float32(moved[32 + i] - v[16 + i]) * per_bias[32 + i])
    return v, who, again, min(gaps)
