"""Time several competitors in turn, on one core, and say who else was using it.

Every round runs each competitor once over the same slices, in an order that moves on by one each round, so that a slow
minute of the machine falls on all of them. A dense rival whose pass takes long is timed on the first slices only: what
is in them does not matter to it. What counts is the median over the rounds. A measurement is marked where the thread
that ran it got less than 95 % of the core; the medians leave marked ones out as long as enough others remain.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

FOREIGN = 0.05  # share of the core that others may take of a measurement
SHORTEST_S = 0.02  # a measurement lasts at least so long: fast competitors run over the slices several times
LONGEST_S, FEWEST = 0.1, 20  # of a pass of a dense rival; slices that it runs over at least
ENOUGH = 5  # measurements that are not marked, for the others to be left out


class Competitor(Protocol):
    """One way to run a network over the slices it was made with."""

    dense: Any  # whatever is not None says that its time does not depend on what is in a slice

    def reset(self) -> None:
        """Fresh state; not timed."""

    def run(self, steps: int | None = None) -> None:
        """Every slice, or the first `steps`, in a plain Python loop; timed."""


@dataclass(frozen=True)
class Timing:
    """µs per slice of one competitor."""

    median: float
    cpu_median: float  # the same by the clock of the thread, which stands still while others have the core
    quartiles: tuple[float, float]
    least: float
    measurements: int
    marked: int  # of them, during which others took more than FOREIGN of the core

    def as_json(self) -> dict[str, Any]:
        return {key: _rounded(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Load:
    """How busy the core was with others, and how busy the other cores were, in each round: shares of the time."""

    foreign: list[float]
    elsewhere: list[float]


def pin(cpu: int) -> None:
    """This process, and whatever it starts, on one core. Thread pools must have been told before they were imported."""
    os.sched_setaffinity(0, {cpu})


def interleave(
    competitors: Mapping[str, Competitor], steps: int, rounds: int, tell: Callable[[int], None] = lambda _: None
) -> tuple[dict[str, Timing], Load]:
    """Each competitor's time per slice, over so many rounds."""
    names = list(competitors)
    micros: dict[str, list[float]] = {name: [] for name in names}
    shares: dict[str, list[float]] = {name: [] for name in names}
    passes = {name: _passes(competitors[name], steps) for name in names}
    load = Load([], [])
    for number in range(rounds):
        before = Busy.now()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            run, repeats = passes[name]
            wall, own = _measure(competitors[name], run, repeats)
            micros[name].append(wall * 1e6 / (run * repeats))
            shares[name].append(1 - own / wall)
        foreign, elsewhere = before.until(Busy.now())
        load.foreign.append(round(foreign, 3))
        load.elsewhere.append(round(elsewhere, 3))
        tell(number)
    return {name: summary(np.array(micros[name]), np.array(shares[name])) for name in names}, load


def summary(micros: np.ndarray, foreign: np.ndarray) -> Timing:
    """Median and quartiles, of the measurements that are not marked if there are enough."""
    clean = foreign <= FOREIGN
    used = micros[clean] if clean.sum() >= min(ENOUGH, len(micros)) else micros
    low, middle, high = np.percentile(used, [25, 50, 75])
    own = float(np.median(micros * (1 - foreign)))
    return Timing(float(middle), own, (float(low), float(high)), float(micros.min()), len(micros), int((~clean).sum()))


@dataclass(frozen=True)
class Busy:
    """Clocks at one moment: how long each core has been at work, and this process."""

    wall: float
    own: float
    cores: dict[int, float]  # seconds that were not idle, the hypervisor's share included

    @staticmethod
    def now() -> "Busy":
        cores = {}
        tick = os.sysconf("SC_CLK_TCK")
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:  # not Linux: nothing is known of the others
            lines = []
        for line in lines:
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
                cores[int(name[3:])] = (user + nice + system + irq + softirq + steal) / tick
        return Busy(time.perf_counter(), time.process_time(), cores)

    def until(self, later: "Busy") -> tuple[float, float]:
        """Shares of the time since: others on the cores that are ours, and anyone on the rest."""
        wall = max(later.wall - self.wall, 1e-9)
        ours = os.sched_getaffinity(0)
        here = sum(later.cores[c] - self.cores[c] for c in self.cores if c in ours)
        there = [later.cores[c] - self.cores[c] for c in self.cores if c not in ours]
        foreign = max(here - (later.own - self.own), 0.0) / wall if self.cores else 0.0
        return foreign, sum(there) / (len(there) * wall) if there else 0.0


def _measure(competitor: Competitor, steps: int, repeats: int) -> tuple[float, float]:
    wall = own = 0.0
    for _ in range(repeats):
        competitor.reset()
        began, thread = time.perf_counter(), time.thread_time()
        competitor.run(steps)
        wall, own = wall + time.perf_counter() - began, own + time.thread_time() - thread
    return wall, own


def _passes(competitor: Competitor, steps: int) -> tuple[int, int]:
    """Over how many slices a measurement goes, and how often."""
    took = min(_measure(competitor, steps, 1)[1] for _ in range(2))
    if competitor.dense is not None and took > LONGEST_S:
        shorter = min(max(round(steps * LONGEST_S / took), FEWEST), steps)
        took, steps = took * shorter / steps, shorter
    return steps, max(1, round(SHORTEST_S / max(took, 1e-9)))


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(item, 2) for item in value]
    return round(value, 2) if isinstance(value, float) else value
