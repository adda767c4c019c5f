"""Asynchronous mode: events per second, and how long a single event is worked on inside the kernel.

    python -m benchmarks.engine.asynchronous --out benchmarks/results/asynchronous.json

Throughput is of packets of PACKET events, the call from Python included: the thread's own time, for each packet the
least of several runs, because one core of a busy machine is measured. Service times are of single events, by a clock
around the kernel in compiled code; the least of several runs for each event, then percentiles over the events.
Calibrated networks with biases, events of moving blobs; spikes are checked by tests, not here.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from dvs_run.pipeline.engine import AsyncEngine
from dvs_run.pipeline.engine.depth_first import push_events
from dvs_run.pipeline.events import EVENT_DTYPE

from . import workloads
from .workloads import Slices

SIZES, RATE, DENSITY, PACKET = (128, 64, 32), 200_000, 0.01, 500


def measure(seed: int = 0, sizes: tuple[int, ...] = SIZES, rounds: int = 9, numbers: str = "int8") -> dict[str, Any]:
    """Figures for each input size; ns per event, µs of service."""
    found: dict[str, Any] = {"rate": RATE, "density": DENSITY, "numbers": numbers, "rounds": rounds}
    for size in sizes:
        network, slices = workloads.make(f"gesture{size}", RATE, DENSITY, numbers, seed)
        engine, events = AsyncEngine(network, numbers), events_of(slices, size, seed)
        engine.warm_up()
        per_event = _throughput(engine, events, rounds)
        synops = sum(engine.synops_per_layer.values()) / len(events)
        found[f"gesture{size}"] = {
            "events": len(events),
            "ns_per_event": round(per_event),
            "events_per_second": round(1e9 / per_event),
            "synops_per_event": round(synops),
            "ns_per_synop": round(per_event / synops, 4),
            "spikes_per_event": {n: round(k / len(events), 3) for n, k in engine.spikes_per_layer.items()},
            "service_us": _service(engine, events, rounds),
        }
    return found


def events_of(slices: Slices, size: int, seed: int) -> np.ndarray:
    """The events of binned slices, at random times within them."""
    random = np.random.default_rng([seed, 13])
    parts = []
    for piece in slices:
        cells = np.repeat(piece.cells, piece.counts)  # type: ignore[union-attr]
        random.shuffle(cells)
        part = np.zeros(len(cells), EVENT_DTYPE)
        part["t"] = np.sort(random.integers(piece.t_start_us, piece.t_stop_us, len(cells)))
        part["p"], part["y"], part["x"] = cells // (size * size), cells // size % size, cells % size
        parts.append(part)
    return np.concatenate(parts)


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


def _service(engine: AsyncEngine, events: np.ndarray, rounds: int) -> dict[str, float]:
    least = np.full(len(events), np.iinfo(np.int64).max)
    for _ in range(rounds):
        engine.reset()
        took = np.zeros(len(events), np.int64)
        began, cycles = time.perf_counter_ns(), _each(events[:0], took, *engine._arguments)
        cycles = _each(events, took, *engine._arguments)
        per_cycle = (time.perf_counter_ns() - began) / cycles
        least = np.minimum(least, took)
    micros = least * per_cycle / 1e3
    return {f"p{p:g}": round(float(np.percentile(micros, p)), 2) for p in (50, 95, 99, 100)}


@intrinsic
def _cycles(typingctx):  # type: ignore[no-untyped-def]
    """The processor's counter of (nominal) cycles."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        from llvmlite import ir

        return builder.call(
            builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(ir.IntType(64), [])), []
        )

    return types.int64(), codegen


@njit(nogil=True)
def _each(events, took, *arguments):  # type: ignore[no-untyped-def]
    """took[i] = cycles of event i. Returns cycles of all."""
    nothing = np.zeros(0, np.int32)
    first = _cycles()
    for i in range(events.shape[0]):
        began = _cycles()
        push_events(events[i : i + 1], nothing, *arguments)
        took[i] = _cycles() - began
    return _cycles() - first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.seed, tuple(arguments.sizes), arguments.rounds), indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
