"""The innermost loops of all, twice: in explicit vectors (simd.py), and as plain loops where those are not wanted.

Both give the same bits, because all numbers are whole. All arrays are handed in as what `pointer` makes of them.

What was tried: an array as the running sum of a plain loop costs a load and a store per addition, twice the time of
sums that stay in registers. Passing arrays instead of pointers made Numba count references in the innermost loop, at
five times the time. Signed indexes of arrays must allow for wrapped ones (a[-1]) and come out scalar; those of pointers
need not. Adding row after row to the potentials (no grouping) is as fast for single spikes and 2 to 5 times slower for
ten and more. Finding, resetting and foreseeing in three passes over a cell, the last two only where something fired,
cost 1.5 times as much as in one pass without a branch. One accumulator as wide as a row of 9 taps (288 lanes, no power
of two) is split badly by LLVM, ten times slower; hence the pairs and triples of accumulators. Asking for the next
group's potentials in advance (prefetch) cost more than it gained.
"""

import numpy as np
from numba import config

from ..kernel_cache import kernel
from . import simd
from .addresses import address

if config.DISABLE_JIT or config.BOUNDSCHECK:  # arrays know their bounds, pointers do not

    @kernel
    def pointer(array):
        """The array itself, so that indexes are checked."""
        return array

else:
    pointer = address

if simd.ON and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def sum_rows(total, weights, rows, times, first, n, at, length):
        """total[:length] = sum of weights[rows[i] + at : + length] over first <= i < first + n; length: k * 16.

        times: None, or how often each row counts. 3x3 kernels have rows of 9 * 16, 9 * 32, 9 * 64 lanes and multiples.
        """
        c = 0
        while c + 576 <= length:
            a, b, d = simd.zeros(weights, 256), simd.zeros(weights, 256), simd.zeros(weights, 64)
            for i in range(first, first + n):
                row = rows[i] + at + c
                a = simd.plus_row(a, weights, row, times, i)
                b = simd.plus_row(b, weights, row + 256, times, i)
                d = simd.plus_row(d, weights, row + 512, times, i)
            simd.put(total, c, a)
            simd.put(total, c + 256, b)
            simd.put(total, c + 512, d)
            c += 576
        if c + 288 <= length:
            a, e = simd.zeros(weights, 256), simd.zeros(weights, 32)
            for i in range(first, first + n):
                row = rows[i] + at + c
                a = simd.plus_row(a, weights, row, times, i)
                e = simd.plus_row(e, weights, row + 256, times, i)
            simd.put(total, c, a)
            simd.put(total, c + 256, e)
            c += 288
        if c + 144 <= length:
            f, g = simd.zeros(weights, 128), simd.zeros(weights, 16)
            for i in range(first, first + n):
                row = rows[i] + at + c
                f = simd.plus_row(f, weights, row, times, i)
                g = simd.plus_row(g, weights, row + 128, times, i)
            simd.put(total, c, f)
            simd.put(total, c + 128, g)
            c += 144
        while c + 64 <= length:
            d = simd.zeros(weights, 64)
            for i in range(first, first + n):
                d = simd.plus_row(d, weights, rows[i] + at + c, times, i)
            simd.put(total, c, d)
            c += 64
        while c + 16 <= length:
            g = simd.zeros(weights, 16)
            for i in range(first, first + n):
                g = simd.plus_row(g, weights, rows[i] + at + c, times, i)
            simd.put(total, c, g)
            c += 16

    @kernel(forceinline=True)
    def add_lanes(v, q, source, at, length):
        """v[q : q + length] += source[at : at + length]; length: k * 16."""
        c = 0
        while c + 32 <= length:
            simd.add_to(v, q + c, simd.load(source, at + c, 32))
            c += 32
        if c < length:
            simd.add_to(v, q + c, simd.load(source, at + c, 16))

    @kernel(forceinline=True)
    def fire_cell(v, base, moved, threshold, bias, per_bias, first, size, to_zero, most, fired, word):
        """v <- v - threshold, or 0, where v >= moved, for i < size; then bit i % 16 of fired[word + i // 16] is set.

        v begins at `base`, its constants at `first`; moved is the threshold minus the biases that v does not hold yet.
        Returns (how many fired, the larger of most and |v| before, whether any that fired will fire again in the next
        step though nothing arrives, min of (moved - v) * per_bias thereafter).
        """
        n, again = 0, 0
        least = simd.load(per_bias, first, 16)
        for i in range(0, size, 16):
            now, bar = simd.load(v, base + i, 16), simd.load(moved, first + i, 16)
            most = simd.larger_size(most, now)
            bits = simd.mask_at_least(now, bar)
            fired[word + i // 16] = bits
            n += simd.population(bits)
            left = simd.minus(bar if to_zero else now, simd.load(threshold, first + i, 16))
            after = simd.where_at_least(now, bar, left, now)
            simd.put(v, base + i, after)
            again |= bits & simd.mask_at_least(after, simd.minus(bar, simd.load(bias, first + i, 16)))
            gap = simd.scaled_gap(after, bar, simd.load(per_bias, first + i, 16))
            least = simd.smaller(gap, least) if i > 0 else gap
        return n, most, again != 0, simd.smallest(least)

    @kernel(forceinline=True)
    def nothing(v, base):
        """Where `fire_cell` begins with `most`: 0 in every lane."""
        return simd.filled(simd.load(v, base, 16), 0)

    @kernel(forceinline=True)
    def exceeds(most, limit):
        """Whether `most` is above the limit anywhere."""
        return simd.any_above(most, limit)

    @kernel(forceinline=True)
    def tally_bits(fired, word, size, lanes, v, tally):
        """tally[channel] = how many bits of a cell are set for it; the lanes of its pixels follow each other."""
        for c in range(0, lanes, 16):
            count = simd.filled(simd.load(v, 0, 16), 0)
            for i in range(c, size, lanes):
                count = simd.plus_bits(count, np.int64(fired[word + i // 16]))
            simd.put(tally, c, count)

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
    def sum_rows(total, weights, rows, times, first, n, at, length):
        for c in range(length):
            total[c] = 0
        for i in range(first, first + n):
            row = rows[i] + at
            if times is None:
                for c in range(length):
                    total[c] += weights[row + c]
            else:
                for c in range(length):
                    total[c] += times[i] * weights[row + c]

    @kernel
    def add_lanes(v, q, source, at, length):
        for c in range(length):
            v[q + c] += source[at + c]

    @kernel
    def fire_cell(v, base, moved, threshold, bias, per_bias, first, size, to_zero, most, fired, word):
        n, again, least = 0, False, np.float32(np.inf)
        for start in range(0, size, 16):
            bits = 0
            for i in range(start, start + 16):
                now, bar = v[base + i], moved[first + i]
                most = max(most, abs(now))
                if now >= bar:
                    v[base + i] = (bar if to_zero else now) - threshold[first + i]
                    again |= v[base + i] >= bar - bias[first + i]
                    bits |= 1 << (i - start)
                    n += 1
                least = min(least, np.float32(bar - v[base + i]) * per_bias[first + i])
            fired[word + start // 16] = bits
        return n, most, again, least

    @kernel
    def nothing(v, base):
        return abs(v[base] - v[base])

    @kernel
    def exceeds(most, limit):
        return most > limit

    @kernel
    def tally_bits(fired, word, size, lanes, v, tally):
        for c in range(lanes):
            tally[c] = 0
        for i in range(size):
            tally[i % lanes] += fired[word + i // 16] >> i % 16 & 1

    @kernel
    def smallest_gap(v, base, threshold, per_bias, first, size):
        least = np.float32(np.inf)
        for i in range(size):
            least = min(least, np.float32(threshold[first + i] - v[base + i]) * per_bias[first + i])
        return least


if simd.COMPRESSES and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def list_bits(fired, word, words, spikes, spike):
        """A spike (neuron, 1) for each bit that is set, ascending, from spikes[2 * spike] on. One past the last.

        May write up to 8 spikes beyond: what lies there is written later in the step, or spare.
        """
        for w in range(words):
            bits = np.int64(fired[word + w])
            simd.put_listed(spikes, spike, 16 * w, bits & 255)
            spike += simd.population(bits & 255)
            simd.put_listed(spikes, spike, 16 * w + 8, bits >> 8)
            spike += simd.population(bits >> 8)
        return spike

elif simd.ON and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def list_bits(fired, word, words, spikes, spike):
        for w in range(words):
            bits = np.int64(fired[word + w])
            while bits:
                spikes[2 * spike] = 16 * w + simd.trailing_zeros(bits)
                spikes[2 * spike + 1] = 1
                spike += 1
                bits &= bits - 1
        return spike

else:

    @kernel
    def list_bits(fired, word, words, spikes, spike):
        for w in range(words):
            for i in range(16):
                if fired[word + w] >> i & 1:
                    spikes[2 * spike], spikes[2 * spike + 1] = 16 * w + i, 1
                    spike += 1
        return spike


@kernel(forceinline=True)
def add_taps(v, q, source, at, reach, a0, a1, b0, b1, length):
    """v[q + pixel : + length] += source[at + tap : + length] for the taps a0 <= a < a1, b0 <= b < b1."""
    for a in range(a0, a1):
        for b in range(b0, b1):
            add_lanes(v, q + reach[2 * a] + reach[2 * b], source, at + reach[2 * a + 1] + reach[2 * b + 1], length)


@kernel(forceinline=True)
def add_patch(v, q, source, at, reach, a0, a1, b0, b1, lanes):
    """`add_taps`, with the usual lengths as constants."""
    if lanes == 16:
        add_taps(v, q, source, at, reach, a0, a1, b0, b1, 16)
    elif lanes == 32:
        add_taps(v, q, source, at, reach, a0, a1, b0, b1, 32)
    elif lanes == 64:
        add_taps(v, q, source, at, reach, a0, a1, b0, b1, 64)
    else:
        add_taps(v, q, source, at, reach, a0, a1, b0, b1, lanes)
