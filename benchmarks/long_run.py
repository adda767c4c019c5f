"""Does the engine stay exact for a long time? A million steps beside a dense twin in float64, in each number format.

    python -m benchmarks.long_run [--steps 1000000] [--seed 1]

Every score of every step, and every potential and spike of each 500th, must be the twin's. What cannot go on for ever
does happen here: stored potentials are rebased, and one channel that is only ever inhibited meets the limit and is
clamped. Every sum of whole numbers is exact in float64 here. The result is benchmarks/results/long_run.json.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.engine.units import FORMATS
from dvs_run.pipeline.network import IF, LIF, Conv2d, Linear, Network, Neurons, Readout, SumPool2d
from dvs_run.pipeline.stream import BinnedSlice

from .accuracy import write

SHAPE, CHANNELS, HIDDEN = (2, 6, 6), 8, 16
MOST = 3  # events of a cell in a step, and spikes of a neuron
BLOCK = 500  # steps of one input density, after which potentials and spikes are compared
CASES = ("int8", "int16", "float32")


def network(seed: int) -> Network:
    """Convolution, pool, leaky neurons, neurons with several spikes and without a leak, and a membrane readout."""
    random = np.random.default_rng(seed)
    kernels = (random.normal(size=(CHANNELS, 2, 3, 3)) * 0.4).astype(np.float32)
    kernels[0] = -np.abs(kernels[0])  # only inhibited: its potential falls for ever
    bias = (random.normal(size=CHANNELS) * 0.05).astype(np.float32)
    bias[0], bias[1] = -0.1, 8.0  # the second fires in every step, and most of its potential is left
    decay = random.uniform(0.8, 0.99, HIDDEN).astype(np.float32)

    def weights(out: int, size: int) -> np.ndarray:
        return (random.normal(size=(out, size)) * 0.3).astype(np.float32)

    def ones(n: int) -> np.ndarray:
        return np.ones(n, np.float32)

    layers = (
        Conv2d("conv", ("input",), kernels, bias, (1, 1), (1, 1)),
        IF("if", ("conv",), ones(CHANNELS), ones(CHANNELS) / 2),
        SumPool2d("pool", ("if",), (2, 2), (2, 2)),
        Linear("mix", ("pool",), weights(HIDDEN, CHANNELS * 9), bias=np.resize(bias[2:], HIDDEN)),
        LIF("lif", ("mix",), ones(HIDDEN), ones(HIDDEN) / 2, decay=decay),
        Linear("more", ("lif",), weights(HIDDEN, HIDDEN), bias=np.resize(bias[2:], HIDDEN)),
        IF("several", ("more",), ones(HIDDEN), ones(HIDDEN) / 2, "zero", MOST),
        Linear("out", ("several",), weights(3, HIDDEN)),
    )
    return Network(layers, SHAPE, ("a", "b", "c"), Readout("membrane"), 1000)


class Stage:
    """One layer of neurons, dense."""

    def __init__(self, layer: Neurons, matrix: np.ndarray, bias: np.ndarray, unit: np.ndarray, limit: int) -> None:
        pixels = len(bias) // len(unit)
        per_neuron = np.repeat(unit, pixels)
        self.name, self.limit = layer.name, limit
        self.matrix, self.bias = np.rint(matrix / per_neuron), np.rint(bias / per_neuron)
        self.threshold = np.maximum(np.rint(np.repeat(layer.threshold.astype(float), pixels) / per_neuron), 1)
        start = np.rint(np.repeat(layer.v_init.astype(float), pixels) / per_neuron)
        self.v = np.minimum(start, self.threshold - 1)
        self.decay = layer.decay.astype(float) if isinstance(layer, LIF) else None
        self.to_zero, self.most = layer.reset == "zero", layer.max_spikes
        largest = np.abs(self.bias).max()
        self.longest = max(limit // 2 // largest, 1) if largest and self.decay is None else np.inf
        self.sent = np.zeros(len(bias))
        self.most_change = (
            MOST * np.abs(self.matrix).sum(axis=0).max() + np.abs(self.bias).max() + self.most * self.threshold.max()
        )
        self.safe_steps = 0  # steps in which nothing can go beyond the limit
        self.since_rebase = self.rebases = self.clamped = 0

    def step(self, x: np.ndarray) -> np.ndarray:
        """Spikes (neuron,) of one step, from those (neuron,) of the layer before."""
        v = self.v if self.decay is None else np.trunc(self.v * self.decay)
        v = v + (self.bias + x @ self.matrix)
        self.since_rebase += 1
        beyond = self._is_beyond(v)
        if self.most == 1:
            spikes = (v >= self.threshold).astype(float)
        else:
            spikes = np.maximum(np.minimum(np.floor(v / self.threshold), self.most), 0)
        v = np.where(spikes > 0, 0, v) if self.to_zero else v - spikes * self.threshold
        if beyond:
            bounded = np.clip(v, -(self.limit // 2), self.limit // 2)
            self.clamped += int((bounded != v).sum())
            v, self.since_rebase, self.rebases = bounded, 0, self.rebases + 1
        self.v = v
        self.sent += spikes
        return spikes

    def _is_beyond(self, v: np.ndarray) -> bool:
        """Whether it is time to rebase. Not looked at in steps in which no potential can have come so far."""
        self.safe_steps -= 1
        if self.since_rebase < self.longest and self.safe_steps > 0:
            return False
        stored = v - self.since_rebase * self.bias if self.decay is None else v
        largest = max(stored.max(), -stored.min())
        self.safe_steps = int((self.limit - max(largest, self.limit // 2)) / self.most_change)
        return bool(self.since_rebase >= self.longest or largest > self.limit)


class Twin:
    """The network above in whole numbers, every neuron in every step."""

    def __init__(self, engine: Engine) -> None:
        by_name: dict[str, Any] = {layer.name: layer for layer in engine.network.layers}
        limit = FORMATS[engine.numbers].limit
        pool = np.kron(np.eye(CHANNELS), _pooling())
        sources = {
            "if": (_matrix(by_name["conv"]), np.repeat(by_name["conv"].bias.astype(float), 36)),
            "lif": (pool @ by_name["mix"].weight.T.astype(float), by_name["mix"].bias.astype(float)),
            "several": (by_name["more"].weight.T.astype(float), by_name["more"].bias.astype(float)),
        }
        # Rounding comes before pooling: the pool only adds spikes up. Each column of the product is one weight.
        self.stages = [Stage(by_name[n], m, b, engine.units[n], limit) for n, (m, b) in sources.items()]
        self.unit = engine.units["out"]
        self.matrix = np.rint(by_name["out"].weight.T.astype(float) / self.unit)
        self.evidence = np.zeros(3)

    def step(self, x: np.ndarray) -> list[np.ndarray]:
        """The spikes of each stage."""
        made = []
        for stage in self.stages:
            x = stage.step(x)
            made.append(x)
        self.evidence = self.evidence + x @ self.matrix
        return made


def _pooling() -> np.ndarray:
    """(36 pixels, 9 windows)"""
    windows = np.zeros((6, 6, 3, 3))
    for y, x in np.ndindex(6, 6):
        windows[y, x, y // 2, x // 2] = 1
    return windows.reshape(36, 9)


def _matrix(conv: Conv2d) -> np.ndarray:
    """(inputs, neurons) of a 3x3 convolution that keeps the shape."""
    matrix = np.zeros((*SHAPE, CHANNELS, 6, 6))
    for y, x, ky, kx in np.ndindex(6, 6, 3, 3):
        row, column = y + ky - 1, x + kx - 1
        if 0 <= row < 6 and 0 <= column < 6:
            matrix[:, row, column, :, y, x] = conv.weight[:, :, ky, kx].T
    return matrix.reshape(72, CHANNELS * 36)


def blocks(seed: int, steps: int) -> Iterator[np.ndarray]:
    """Counts (step, cell) of BLOCK steps each: noise, bursts and silence."""
    random = np.random.default_rng(seed)
    for start in range(0, steps, BLOCK):
        shape = (min(BLOCK, steps - start), int(np.prod(SHAPE)))
        density = random.choice([0.0, 0.01, 0.1, 0.4])
        yield (random.random(shape) < density) * random.integers(1, MOST + 1, shape)


def compare(numbers: str, seed: int, steps: int) -> dict[str, Any]:
    """Run engine and twin side by side; raises SystemExit at the first difference."""
    engine = Engine(network(seed), numbers=numbers)
    engine.warm_up()
    twin = Twin(engine)
    done, synops, first_rss, began = 0, 0, 0.0, time.perf_counter()
    for counts in blocks(seed + 1, steps):
        for x in counts:
            cells = np.flatnonzero(x).astype(np.int32)
            piece = BinnedSlice(done * 1000, (done + 1) * 1000, cells, x[cells].astype(np.int32))
            decision, made = engine.step(piece), twin.step(x.astype(float))
            done += 1
            synops += decision.synops
            if not np.array_equal(decision.scores, twin.evidence * twin.unit):
                raise SystemExit(f"{numbers}, step {done}: scores {decision.scores}, the twin's {twin.evidence}")
        _compare_neurons(engine, twin, made, done)
        if done >= steps // 10 and not first_rss:
            first_rss = _resident_mib()
    if engine.clamped != sum(stage.clamped for stage in twin.stages):
        raise SystemExit(f"{numbers}: {engine.clamped} potentials were clamped, the twin's {twin.stages}")
    return {
        "steps": done,
        "differences": 0,
        "spikes": {stage.name: int(stage.sent.sum()) for stage in twin.stages},
        "synops": synops,
        "rebases": {stage.name: stage.rebases for stage in twin.stages},
        "clamped": engine.clamped,
        "resident_mib": {"after_a_tenth": round(first_rss, 1), "at_the_end": round(_resident_mib(), 1)},
        "seconds_with_twin": round(time.perf_counter() - began),
    }


def _compare_neurons(engine: Engine, twin: Twin, made: list[np.ndarray], done: int) -> None:
    potentials = engine.state()
    for stage, fired in zip(twin.stages, made, strict=True):
        whole = np.rint(potentials[stage.name] / engine.units[stage.name][:, None, None]).reshape(-1)
        if not np.array_equal(whole, stage.v) or not np.array_equal(engine.spike_counts(stage.name).ravel(), fired):
            raise SystemExit(f"{engine.numbers}, step {done}: {stage.name} is not the twin's")
        s = engine._names.index(stage.name)
        if stage.decay is None and engine.steps - engine._memory.clocks[2 * s] != stage.since_rebase:
            raise SystemExit(f"{engine.numbers}, step {done}: {stage.name} was not rebased when the twin was")


def _resident_mib() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1_000_000, help="in each number format")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    results: dict[str, Any] = {"commit": commit, "seed": arguments.seed, "network": "see benchmarks/long_run.py"}
    with ProcessPoolExecutor(len(CASES), get_context("spawn"), max_tasks_per_child=1) as workers:  # each its own memory
        runs = {n: workers.submit(compare, n, arguments.seed, arguments.steps) for n in CASES}
        for numbers, run in runs.items():
            results[numbers] = run.result()
            print(numbers, results[numbers], flush=True)
    print(write("long_run", results))


if __name__ == "__main__":
    main()
