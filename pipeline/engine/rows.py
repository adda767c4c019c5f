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
    def find_at_least(v, base, threshold, first, size, limit, fired, word):
        """Bit i % 16 of fired[word + i // 16] is set where v[base + i] >= threshold[first + i], for i < size.

        Returns (how many bits are set, whether any |v| exceeds limit).
        """
        n, beyond = 0, False
        for i in range(0, size, 16):
            lanes = simd.load(v, base + i, 16)
            beyond |= simd.any_beyond(lanes, limit)
            bits = simd.mask_at_least(lanes, simd.load(threshold, first + i, 16))
            fired[word + i // 16] = bits
            n += simd.population(bits)
        return n, beyond

    @kernel(forceinline=True)
    def list_bits(fired, word, words, spikes, spike):
        """A spike (neuron, 1) for each bit that is set, ascending, from spikes[2 * spike] on. One past the last."""
        for w in range(words):
            bits = np.int64(fired[word + w])
            while bits:
                spikes[2 * spike] = 16 * w + simd.trailing_zeros(bits)
                spikes[2 * spike + 1] = 1
                spike += 1
                bits &= bits - 1
        return spike

    @kernel(forceinline=True)
    def reset_all(v, base, moved, threshold, bias, first, size, lanes, to_zero, tally):
        """v <- v - threshold, or 0, where v >= moved; tally[channel] = how many that were.

        Returns whether any is still at the threshold that the next step will have.
        """
        again = 0
        for c in range(0, lanes, 16):
            zero = simd.filled(simd.load(v, base, 16), 0)
            one, none, count = simd.filled(zero, 1), simd.filled(zero, -1), zero
            for i in range(c, size, lanes):
                now, bar = simd.load(v, base + i, 16), simd.load(moved, first + i, 16)
                left = simd.minus(bar if to_zero else now, simd.load(threshold, first + i, 16))
                simd.put(v, base + i, simd.where_at_least(now, bar, left, now))
                over = simd.minus(left, simd.minus(bar, simd.load(bias, first + i, 16)))
                again |= simd.mask_at_least(simd.where_at_least(now, bar, over, none), zero)
                count = simd.plus(count, simd.where_at_least(now, bar, one, zero))
            simd.put(tally, c, count)
        return again != 0

    @kernel(forceinline=True)
    def smallest_gap(v, base, threshold, per_bias, first, size):
        """min over i < size of (threshold[first + i] - v[base + i]) * per_bias[first + i], in float32."""
        least = simd.scaled_gap(simd.load(v, base, 16), simd.load(threshold, first, 16), simd.load(per_bias, first, 16))
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
    def find_at_least(v, base, threshold, first, size, limit, fired, word):
        n, beyond = 0, False
        for i in range(size):
            beyond |= (v[base + i] > limit) | (v[base + i] < -limit)
        for start in range(0, size, 16):
            above = False
            for i in range(start, start + 16):
                above |= v[base + i] >= threshold[first + i]
            bits = 0
            if above:
                for i in range(start, start + 16):
                    if v[base + i] >= threshold[first + i]:
                        bits |= 1 << (i - start)
                        n += 1
            fired[word + start // 16] = bits
        return n, beyond

    @kernel
    def list_bits(fired, word, words, spikes, spike):
        for w in range(words):
            for i in range(16):
                if fired[word + w] >> i & 1:
                    spikes[2 * spike], spikes[2 * spike + 1] = 16 * w + i, 1
                    spike += 1
        return spike

    @kernel
    def reset_all(v, base, moved, threshold, bias, first, size, lanes, to_zero, tally):
        again = False
        for c in range(lanes):
            tally[c] = 0
        for i in range(size):
            if v[base + i] >= moved[first + i]:
                left = (moved[first + i] if to_zero else v[base + i]) - threshold[first + i]
                v[base + i] = left
                again |= left >= moved[first + i] - bias[first + i]
                tally[i % lanes] += 1
        return again

    @kernel
    def smallest_gap(v, base, threshold, per_bias, first, size):
        least = np.float32(np.inf)
        for i in range(size):
            least = min(least, np.float32(threshold[first + i] - v[base + i]) * per_bias[first + i])
        return least
