"""Random numbers that depend on a seed and on nothing else: the same on every machine, with every version of NumPy.

Also the generator that each pixel of the camera carries (xorshift: shifts and exclusive ors only, so that it needs no
wrapping multiplication and runs unchanged without the compiler).
"""

import math

import numpy as np

from ..kernel_cache import kernel


def hash64(seed: int, salt: int, count: int) -> np.ndarray:
    """`count` well-mixed uint64 (splitmix64); the same on every machine and with every version of NumPy."""
    start = (seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) % (1 << 64)
    z = _mix(np.full(1, start, np.uint64)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _mix(z)


def uniform(seed: int, salt: int, count: int) -> np.ndarray:
    """float64[count] in [0, 1)."""
    return (hash64(seed, salt, count) >> np.uint64(11)) * 2.0**-53


def normal(seed: int, salt: int, count: int) -> np.ndarray:
    """float64[count], standard normal (Box and Muller)."""
    u = uniform(seed, salt, 2 * count)
    return np.sqrt(-2 * np.log1p(-u[:count])) * np.cos(2 * math.pi * u[count:])


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def next_uniform(state):
    """One step of xorshift64: (new state uint64, number in [0, 1))."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state, float(state >> np.uint64(11)) * 2.0**-53
