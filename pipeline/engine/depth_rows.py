"""The innermost loops of depth_first.py, in explicit vectors and as plain ones, which give the same bits."""

import numpy as np
from numba import config

from ..kernel_cache import kernel
from . import simd

if simd.ON and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def add_and_compare(v, q, weights, row, threshold, k, lanes):
        """v[q : q + lanes] += weights[row : row + lanes]. Whether any is then >= threshold[k : k + lanes]."""
        reached = np.int64(0)
        for c in range(0, lanes, 16):
            after = simd.plus_row(simd.load(v, q + c, 16), weights, row + c, None, 0)
            simd.put(v, q + c, after)
            reached |= simd.mask_at_least(after, simd.load(threshold, k + c, 16))
        return reached != 0

    @kernel(forceinline=True)
    def any_at_least(v, q, threshold, k, lanes):
        """Whether any v[q : q + lanes] >= threshold[k : k + lanes]."""
        reached = np.int64(0)
        for c in range(0, lanes, 16):
            reached |= simd.mask_at_least(simd.load(v, q + c, 16), simd.load(threshold, k + c, 16))
        return reached != 0

    @kernel(forceinline=True)
    def reached_bits(v, q, threshold, k, n):
        """Bit c is set where v[q + c] >= threshold[k + c], for c < n <= 16."""
        return simd.mask_at_least(simd.load(v, q, 16), simd.load(threshold, k, 16)) & ((1 << n) - 1)

    @kernel(forceinline=True)
    def due_bits(due, first, n, step):
        """Bit i is set where due[first + i] <= step, for i < n <= 16."""
        return ~simd.mask_at_least(
            simd.load(due, first, 16), simd.filled(simd.load(due, first, 16), np.int32(step + 1))
        ) & ((1 << n) - 1)

    lowest_bit = simd.trailing_zeros

else:

    @kernel(forceinline=True)
    def add_and_compare(v, q, weights, row, threshold, k, lanes):
        """v[q : q + lanes] += weights[row : row + lanes]. Whether any is then >= threshold[k : k + lanes]."""
        reached = False
        for c in range(lanes):
            v[q + c] += weights[row + c]
            reached |= v[q + c] >= threshold[k + c]
        return reached

    @kernel
    def any_at_least(v, q, threshold, k, lanes):
        """Whether any v[q : q + lanes] >= threshold[k : k + lanes]."""
        reached = False
        for c in range(lanes):
            reached |= v[q + c] >= threshold[k + c]
        return reached

    @kernel
    def reached_bits(v, q, threshold, k, n):
        """Bit c is set where v[q + c] >= threshold[k + c], for c < n <= 16."""
        bits = 0
        for c in range(n):
            if v[q + c] >= threshold[k + c]:
                bits |= 1 << c
        return bits

    @kernel
    def due_bits(due, first, n, step):
        """Bit i is set where due[first + i] <= step, for i < n <= 16."""
        bits = 0
        for i in range(n):
            if due[first + i] <= step:
                bits |= 1 << i
        return bits

    @kernel
    def lowest_bit(bits):
        """Index of the lowest bit that is set, for bits != 0."""
        c = 0
        while bits & (1 << c) == 0:
            c += 1
        return c
