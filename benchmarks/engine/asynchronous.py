"""Asynchronous mode: events per second, how long a single event is worked on, and what calls and silences cost.

    python -m benchmarks.engine.asynchronous --out benchmarks/results/asynchronous.json

Throughput is of packets of PACKET events, the call from Python included: the thread's own time, for each packet the
least of several runs, because one core of a busy machine is measured. Service times are of single events, by the
monotonic clock on both sides of the kernel in compiled code (the reading of the clock included); the least of several
runs for each event, then percentiles over the events. The entry is the same for a packet without an event.
Calibrated networks with biases, and the same ones without, events of moving blobs; spikes are checked by
tests/engine and benchmarks/engine/asynchronous_exact.py, not here.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit

from dvs_run.pipeline.engine import AsyncEngine
from dvs_run.pipeline.engine.depth_events import push_events
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import Network

from . import timing, workloads
from .clock import now
from .origin import origin, write
from .workloads import Slices

SIZES, RATE, DENSITY, PACKET = (128, 64, 32), 200_000, 0.01, 500
SILENCE_US = 100_000
CALLS = 2_000


def measure(network: Network, slices: Slices, seed: int, rounds: int, numbers: str) -> dict[str, Any]:
    """Figures of one network, with its biases and without."""
    events = events_of(slices, network.input_shape, seed)
    engine = AsyncEngine(network, numbers)
    silent = AsyncEngine(workloads.without_biases(network), numbers)
    return {
        "events": len(events),
        **_figures(engine, events, rounds),
        "from_python_us": _calls(engine, events),
        "event_after_a_silence": _after_silence(engine, events, rounds),
        "without_biases": _figures(silent, events, rounds),
    }


def events_of(slices: Slices, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """The events of binned slices one by one, in an order and at times drawn within their slice."""
    random = np.random.default_rng([seed, 13])
    parts = []
    for piece in slices:
        cells = random.permutation(np.repeat(piece.cells, piece.counts))  # type: ignore[union-attr]
        part = np.zeros(len(cells), EVENT_DTYPE)
        part["t"] = np.sort(random.integers(piece.t_start_us, piece.t_stop_us, len(cells)))
        part["p"], rest = np.divmod(cells, shape[1] * shape[2])
        part["y"], part["x"] = np.divmod(rest, shape[2])
        parts.append(part)
    return np.concatenate(parts)


def service_us(engine: AsyncEngine, events: np.ndarray, rounds: int, size: int = 1) -> np.ndarray:
    """µs within the kernel of each event (size 1), or of as many packets without one (size 0), the class included.

    The least of so many rounds for each.
    """
    stamp, least = np.zeros(2, np.int64), np.full(len(events), np.iinfo(np.int64).max)
    nanos, one = np.zeros(len(events), np.int64), np.zeros(1, np.int32)
    engine.reset()
    serve(events[:1], size, one, stamp.ctypes.data, stamp, nanos, engine._arguments)  # compiles
    for _ in range(rounds):
        engine.reset()
        serve(events, size, one, stamp.ctypes.data, stamp, nanos, engine._arguments)
        least = np.minimum(least, nanos)
    return least / 1e3


def pushed_us(engine: AsyncEngine, events: np.ndarray, size: int = 1) -> np.ndarray:
    """µs of each `push` of one event (or of none) from Python, the class after it included."""
    engine.reset()
    took, one = np.empty(len(events)), np.zeros(1, np.int32)
    for i in range(len(events)):
        packet = events[i : i + size]
        began = time.perf_counter()
        engine.push(packet, one)
        took[i] = time.perf_counter() - began
    return took * 1e6


def _figures(engine: AsyncEngine, events: np.ndarray, rounds: int) -> dict[str, Any]:
    engine.warm_up()
    per_event = _throughput(engine, events, rounds)
    synops = sum(engine.synops_per_layer.values()) / len(events)
    spikes = {name: round(n / len(events), 3) for name, n in engine.spikes_per_layer.items()}
    service, entry = service_us(engine, events, rounds), service_us(engine, events[:CALLS], rounds, size=0)
    return {
        "ns_per_event": round(per_event),
        "events_per_second": round(1e9 / per_event),
        "synops_per_event": round(synops),
        "ns_per_synop": round(per_event / synops, 4),
        "spikes_per_event": spikes,
        "service_us": {f"p{p:g}": round(float(np.percentile(service, p)), 2) for p in (50, 95, 99, 100)},
        "entry_us": round(float(np.median(entry)), 2),
    }


def _throughput(engine: AsyncEngine, events: np.ndarray, rounds: int) -> float:
    """ns per event."""
    packets = [events[i : i + PACKET] for i in range(0, len(events), PACKET)]
    least = np.full(len(packets), np.inf)
    for _ in range(rounds):
        engine.reset()
        for i, packet in enumerate(packets):
            began = time.thread_time_ns()
            engine.push(packet)
            least[i] = min(least[i], time.thread_time_ns() - began)
    return float(least.sum() / len(events))


def _calls(engine: AsyncEngine, events: np.ndarray) -> dict[str, float]:
    """Medians of a `push` from Python, of nothing and of one event."""
    return {
        "push_of_nothing": round(float(np.median(pushed_us(engine, events[:CALLS], size=0))), 2),
        "push_of_one_event": round(float(np.median(pushed_us(engine, events[:CALLS]))), 2),
    }


def _after_silence(engine: AsyncEngine, events: np.ndarray, rounds: int) -> dict[str, float]:
    """The first event after a while without any, after the events of the benchmark: its ms, and spikes that came."""
    late, least = events[-1:].copy(), np.inf
    late["t"] += SILENCE_US
    for _ in range(rounds):
        engine.reset()
        engine.push(events)
        before = sum(engine.spikes_per_layer.values())
        began = time.thread_time_ns()
        engine.push(late)
        least = min(least, (time.thread_time_ns() - began) / 1e6)
    spikes = sum(engine.spikes_per_layer.values()) - before
    return {"silence_s": SILENCE_US / 1e6, "ms": round(least, 3), "spikes": spikes}


@njit(nogil=True)
def serve(events, size, one, address, stamp, nanos, arguments):  # type: ignore[no-untyped-def]
    """nanos[i] = time of event i within the kernel."""
    for i in range(len(events)):
        began = now(address, stamp)
        push_events(events[i : i + size], one, *arguments)
        nanos[i] = now(address, stamp) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--numbers", default="int8", choices=("int8", "int16", "float32"))
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    options = parser.parse_args()
    timing.pin(options.cpu)
    torch.set_num_threads(1)
    record = origin(options.cpu, options.seed, "benchmarks.engine.asynchronous")
    record |= {"rate": RATE, "density": DENSITY, "numbers": options.numbers, "rounds": options.rounds}
    before = timing.Busy.now()
    for size in options.sizes:
        network, slices = workloads.make(f"gesture{size}", RATE, DENSITY, options.numbers, options.seed)
        record[f"gesture{size}"] = measure(network, slices, options.seed, options.rounds, options.numbers)
        record["share_of_the_core_that_others_took"] = round(before.until(timing.Busy.now())[0], 3)
        print(json.dumps({size: record[f"gesture{size}"]}, indent=1), flush=True)
        write(record, options.out)


if __name__ == "__main__":
    main()
