"""Short pieces of work for one or two threads, timed in turn; for two_cores.py.

Threads are pinned to a core each and start together. What runs alone runs beside a thread that holds the other core and
rests, so that on a busy machine nobody else is given that core meanwhile.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import engine_parts as parts
from .engine import timing


@dataclass(frozen=True)
class Burst:
    """One measurement: what each thread does, and how many steps that are together."""

    jobs: Sequence[Callable[[], object]]  # the first on the first core; a sole one on core `core`
    units: float
    prepare: Callable[[], object] = lambda: None  # not timed
    core: int = 0


def both(name: str, jobs: Sequence[Callable[[], object]], units: float, **more: Any) -> dict[str, Burst]:
    """Each job alone on its core, and both at once."""
    alone = {f"{name}, alone on core {i}": Burst([job], units, core=i, **more) for i, job in enumerate(jobs)}
    return {**alone, f"{name}, both": Burst(jobs, 2 * units, **more)}


@dataclass(frozen=True)
class Measured:
    """µs a unit of each burst in each round, and the share of it that others took of a core."""

    us: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    foreign: list[float]  # share of both cores that others took in each round

    def micros(self) -> dict[str, dict[str, float]]:
        """By name: the medians of clean measurements, and the fastest clean ones (of all, where none was clean)."""
        middle = {name: timing.summary(us, self.shares[name]).median for name, us in self.us.items()}
        clean = {name: us[self.shares[name] <= timing.FOREIGN] for name, us in self.us.items()}
        least = {name: float((us if len(us) else self.us[name]).min()) for name, us in clean.items()}
        return {"medians": middle, "fastest": least}

    def as_json(self) -> dict[str, Any]:
        times = {name: timing.summary(us, self.shares[name]).as_json() for name, us in self.us.items()}
        return {"foreign_share_of_both_cores": self.foreign, "times": times}


def measure(found: dict[str, Burst], cores: Sequence[int], rounds: int) -> Measured:
    """Every burst once a round, in an order that moves on by one each round."""
    names = list(found)
    micros: dict[str, list[float]] = {name: [] for name in names}
    shares: dict[str, list[float]] = {name: [] for name in names}
    load = []
    for number in range(-1, rounds):  # the first round compiles and does not count
        before, first = timing.Busy.now(), number % len(names)
        for name in names[first:] + names[:first]:
            wall, foreign = run(found[name], cores)
            if number >= 0:
                micros[name].append(wall * 1e6 / found[name].units)
                shares[name].append(foreign)
        if number >= 0:
            load.append(round(before.until(timing.Busy.now())[0] / 2, 3))
    as_arrays = [{name: np.array(values) for name, values in kept.items()} for kept in (micros, shares)]
    return Measured(as_arrays[0], as_arrays[1], load)


def run(burst: Burst, cores: Sequence[int]) -> tuple[float, float]:
    """Seconds, and the share of them that others took."""
    burst.prepare()
    return together(burst.jobs, cores[::-1] if burst.core else cores)


def together(jobs: Sequence[Callable[[], object]], cores: Sequence[int]) -> tuple[float, float]:
    """Run each job in a thread on its core; a sole one beside a thread that rests on the other core.

    Returns seconds from the first start to the last end, and the share that others took, of the core where it was more.
    """
    flags, spans, shares = np.zeros(64, np.int64), [], []

    def work(i: int) -> None:
        os.sched_setaffinity(0, {cores[i]})  # of this thread
        parts.meet(flags, 8 * i, 8 - 8 * i)
        began, own = time.perf_counter(), time.thread_time()
        if i < len(jobs):
            jobs[i]()
        else:
            parts.rest(flags, 32)
        ended = time.perf_counter()
        shares.append(1 - (time.thread_time() - own) / (ended - began))
        if i < len(jobs):
            spans.append((began, ended))
        if len(spans) == len(jobs):
            flags[32] = 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(b for _, b in spans) - min(a for a, _ in spans), max(shares)
