"""What this core can do at most, measured in the same run: the numbers against which an engine's speed is read.

    add f32        v[i] += w[i]            a membrane update straight to memory: two loads and a store an element
    add i16        v[i] += w[i]            the same with half the bytes
    sum i8 to i16  acc += w[i]             weights summed in registers: one load an element, no store
    fma f32        matrix product          multiply-accumulates of the best dense code there is here

in 10^9 elements (multiply-accumulates) per second, for working sets of each cache level. The first three are plain
Numba loops as the engine's are, so they say what its loops could reach, not what hand-written assembly could.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from numba import njit

WORKING_SETS = {"L1": 24 << 10, "L2": 512 << 10, "L3": 6 << 20}  # bytes touched by one pass
APART = 1088  # bytes between what is added to and what is added: at a multiple of 4096 loads would wait for stores
SHORTEST_S = 0.02
MATRIX = 768


def measure(rounds: int = 7) -> dict[str, dict[str, float]]:
    """Median over rounds, {what: {working set: 10^9 per second}}."""
    found: dict[str, dict[str, float]] = {"add f32": {}, "add i16": {}, "sum i8 to i16": {}, "fma f32": {}}
    for level, size in WORKING_SETS.items():
        for name, kind in (("add f32", np.dtype(np.float32)), ("add i16", np.dtype(np.int16))):
            n = size // 2 // kind.itemsize
            both = np.zeros(2 * n + APART // kind.itemsize, kind)
            v, w = both[:n], both[-n:]
            found[name][level] = _rate(lambda passes, v=v, w=w: _add(v, w, passes), n, rounds)
        weights = np.ones(size, np.int8)
        found["sum i8 to i16"][level] = _rate(lambda passes, w=weights: _sum(w, passes), size, rounds)
    left, right = torch.rand(2, MATRIX, MATRIX)
    found["fma f32"]["any"] = _rate(lambda n: [torch.mm(left, right) for _ in range(n)], MATRIX**3, rounds)
    return found


@njit(nogil=True)
def _add(v, w, times):
    """v[i] += w[i], so many times over."""
    for _ in range(times):
        for i in range(np.uint64(v.shape[0])):
            v[i] += w[i]


@njit(nogil=True)
def _sum(w, times):
    """The sum of int8 weights in int16 registers, so many times over; wraps, as only the time matters."""
    total = np.int16(0)
    for _ in range(times):
        part = np.int16(0)
        for i in range(np.uint64(w.shape[0])):
            part = np.int16(part + np.int16(w[i]))
        total = np.int16(total ^ part)
        w[0] = np.int8(total)  # or else every pass would be the same, and done once
    return total


def _rate(work: Callable[[int], object], elements: int, rounds: int) -> float:
    """10^9 elements a second, of `work(passes)`."""
    passes = 1
    work(1)
    while (took := _seconds(work, passes)) < SHORTEST_S:
        passes = max(passes * 2, round(passes * SHORTEST_S / max(took, 1e-6)))
    return round(elements * passes / float(np.median([_seconds(work, passes) for _ in range(rounds)])) / 1e9, 1)


def _seconds(work: Callable[[int], object], passes: int) -> float:
    began = time.perf_counter()
    work(passes)
    return time.perf_counter() - began
