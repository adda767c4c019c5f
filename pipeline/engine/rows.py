"""The innermost loops of all, twice: in explicit vectors (simd.py), and as plain loops where those are not wanted.

Both give the same bits, because all numbers are whole. All arrays are handed in as what `pointer` makes of them.

What was tried: an array as the running sum of a plain loop costs a load and a store per addition, twice the time of
sums that stay in registers. Passing arrays instead of pointers made Numba count references in the innermost loop, at
five times the time. Signed indexes of arrays must allow for wrapped ones (a[-1]) and come out scalar; those of pointers
need not. Adding row after row to the potentials (no grouping) is as fast for single spikes and 2 to 5 times slower for
ten and more.
"""

import numpy as np
from numba import config

from ..kernel_cache import kernel
from . import simd

if config.DISABLE_JIT or config.BOUNDSCHECK:  # arrays know their bounds, pointers do not

    @kernel
    def pointer(array):
        """The array itself, so that indexes are checked."""
        return array

else:
    pointer = simd.address

if simd.ON and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def sum_rows(total, weights, rows, first, n, at, length):
        """total[:length] = sum of weights[rows[i] + at : + length] over first <= i < first + n; length: k * 16."""
        c = 0
        while c + 256 <= length:  # 8 vectors of 512 bits for int8
            lanes = simd.zeros(weights, 256)
            for i in range(first, first + n):
                lanes = simd.plus_row(lanes, weights, rows[i] + at + c)
            simd.put(total, c, lanes)
            c += 256
        if c + 128 <= length:
            lanes = simd.zeros(weights, 128)
            for i in range(first, first + n):
                lanes = simd.plus_row(lanes, weights, rows[i] + at + c)
            simd.put(total, c, lanes)
            c += 128
        if c + 64 <= length:
            lanes = simd.zeros(weights, 64)
            for i in range(first, first + n):
                lanes = simd.plus_row(lanes, weights, rows[i] + at + c)
            simd.put(total, c, lanes)
            c += 64
        if c + 32 <= length:
            lanes = simd.zeros(weights, 32)
            for i in range(first, first + n):
                lanes = simd.plus_row(lanes, weights, rows[i] + at + c)
            simd.put(total, c, lanes)
            c += 32
        if c + 16 <= length:
            lanes = simd.zeros(weights, 16)
            for i in range(first, first + n):
                lanes = simd.plus_row(lanes, weights, rows[i] + at + c)
            simd.put(total, c, lanes)

    @kernel(forceinline=True)
    def sum_rows_times(total, weights, rows, times, first, n, at, length):
        """total[:length] = sum of times[i] * weights[rows[i] + at : + length] over first <= i < first + n."""
        c = 0
        while c + 128 <= length:
            lanes = simd.zeros(weights, 128)
            for i in range(first, first + n):
                lanes = simd.plus_row_times(lanes, weights, rows[i] + at + c, times[i])
            simd.put(total, c, lanes)
            c += 128
        while c + 16 <= length:
            lanes = simd.zeros(weights, 16)
            for i in range(first, first + n):
                lanes = simd.plus_row_times(lanes, weights, rows[i] + at + c, times[i])
            simd.put(total, c, lanes)
            c += 16

    @kernel(forceinline=True)
    def add_row(v, q, weights, row, length):
        """v[q : q + length] += weights[row : row + length]."""
        c = 0
        while c + 32 <= length:
            simd.add_to(v, q + c, simd.plus_row(simd.zeros(weights, 32), weights, row + c))
            c += 32
        if c < length:
            simd.add_to(v, q + c, simd.plus_row(simd.zeros(weights, 16), weights, row + c))

    @kernel(forceinline=True)
    def add_total(v, q, total, at, length):
        """v[q : q + length] += total[at : at + length]."""
        c = 0
        while c + 32 <= length:
            simd.add_to(v, q + c, simd.load(total, at + c, 32))
            c += 32
        if c < length:
            simd.add_to(v, q + c, simd.load(total, at + c, 16))

    @kernel(forceinline=True)
    def find_at_least(v, base, threshold, first, size, limit, found):
        """found[:n] = the i < size with v[base + i] >= threshold[first + i], ascending.

        Returns (n, whether any |v| exceeds limit).
        """
        n, beyond = 0, False
        for i in range(0, size, 16):
            lanes = simd.load(v, base + i, 16)
            beyond |= simd.any_beyond(lanes, limit)
            bits = simd.mask_at_least(lanes, simd.load(threshold, first + i, 16))
            while bits:
                found[n] = i + simd.trailing_zeros(bits)
                n += 1
                bits &= bits - 1
        return n, beyond

    @kernel(forceinline=True)
    def smallest_gap(v, base, threshold, per_bias, first, size):
        """min over i < size of (threshold[first + i] - v[base + i]) * per_bias[first + i], in float32."""
        least = simd.scaled_gap(
            simd.load(v, base, 16), simd.load(threshold, first, 16), simd.load(per_bias, first, 16)
        )
        for i in range(16, size, 16):
            gap = simd.scaled_gap(
                simd.load(v, base + i, 16), simd.load(threshold, first + i, 16), simd.load(per_bias, first + i, 16)
            )
            least = simd.smaller(gap, least)
        return simd.smallest(least)

else:

    @kernel
    def sum_rows(total, weights, rows, first, n, at, length):
        for c in range(length):
            total[c] = 0
        for i in range(first, first + n):
            row = rows[i] + at
            for c in range(length):
                total[c] += weights[row + c]

    @kernel
    def sum_rows_times(total, weights, rows, times, first, n, at, length):
        for c in range(length):
            total[c] = 0
        for i in range(first, first + n):
            row, t = rows[i] + at, times[i]
            for c in range(length):
                total[c] += t * weights[row + c]

    @kernel
    def add_row(v, q, weights, row, length):
        for c in range(length):
            v[q + c] += weights[row + c]

    @kernel
    def add_total(v, q, total, at, length):
        for c in range(length):
            v[q + c] += total[at + c]

    @kernel
    def find_at_least(v, base, threshold, first, size, limit, found):
        n, beyond = 0, False
        for i in range(size):
            beyond |= (v[base + i] > limit) | (v[base + i] < -limit)
        for start in range(0, size, 16):
            above = False
            for i in range(start, start + 16):
                above |= v[base + i] >= threshold[first + i]
            if above:
                for i in range(start, start + 16):
                    if v[base + i] >= threshold[first + i]:
                        found[n] = i
                        n += 1
        return n, beyond

    @kernel
    def smallest_gap(v, base, threshold, per_bias, first, size):
        least = np.float32(np.inf)
        for i in range(size):
            least = min(least, np.float32(threshold[first + i] - v[base + i]) * per_bias[first + i])
        return least
