"""How long the engine computes until it has decided, measured on this machine, one input after the other."""

import time

import numpy as np

from ...engine import Engine
from ...network import Network
from ..verdict.validation import Validation

SAMPLES = 7


def engine_time_us(
    network: Network, shown: Validation, limit_us: float, numbers: str = "int16", seconds: float = 10.0
) -> np.ndarray:
    """Cumulative µs after each timestep, float64 (T,): the median of some samples, from a fresh state.

    Ends at about twice `limit_us`, at most after `shown.timesteps`. Compiling is not counted; no more samples
    are taken after so many seconds.
    """
    engine = Engine(network, numbers=numbers)
    engine.warm_up()
    found: list[np.ndarray] = []
    began, length = time.perf_counter(), shown.timesteps
    for index in np.linspace(0, shown.n - 1, min(SAMPLES, shown.n)).astype(int).tolist():
        engine.reset()
        spent = np.full(length, np.inf)
        total = 0.0
        for step, piece in enumerate(shown.pieces(index)):
            before = time.perf_counter_ns()
            engine.step(piece)
            total += (time.perf_counter_ns() - before) / 1000
            spent[step] = total
            if step + 1 >= length or total > 2 * limit_us:
                break
        found.append(spent)
        if time.perf_counter() - began > seconds:
            break
    middle = np.sort(found, axis=0)[len(found) // 2]  # one sample that another program interrupted does not count
    return np.asarray(middle[np.isfinite(middle)])
