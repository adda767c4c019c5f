"""What costs when little happens: a slice without an event, and one event at a time in asynchronous mode."""

import statistics
import time

import numpy as np

from dvs_run.pipeline.engine import AsyncEngine
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import BinnedSlice

from . import asynchronous, ours, workloads

SLICES = 2_000


def empty_slices(network: Network, numbers: str) -> dict[str, float]:
    """Median µs of a step without events: of a silent network (no biases), and of one that its biases keep firing."""
    silent = workloads.without_biases(network)
    return {"silent": _empty(silent, numbers), "driven_by_biases": _empty(network, numbers)}


def _empty(network: Network, numbers: str) -> float:
    engine = ours.make_engine(network, numbers)
    none, step = np.zeros(0, np.int32), workloads.STEP_US
    slices = [BinnedSlice(i * step, (i + 1) * step, none, none) for i in range(SLICES)]
    took = np.empty(SLICES)
    for i, piece in enumerate(slices):
        began = time.perf_counter()
        engine.step(piece)
        took[i] = time.perf_counter() - began
    return round(float(np.median(took)) * 1e6, 2)


def single_events(numbers: str, seed: int, steps: int = 150) -> dict[str, float]:
    """Asynchronous mode on the 128x128 network whose layers fire at about 1 % per ms, at 200,000 events a second.

    Events per second are those that `push` takes from Python in packets of 1 ms; the service time is that of one event
    with all that follows from it and the class after it, by a clock beside the kernel; and `push` of a single event
    from Python is what a camera loop would see. That the spikes are right is tests/engine's business.
    """
    network, slices = workloads.make("gesture128", 200_000, 0.01, seed=seed, steps=steps)
    events = asynchronous.events_of(slices, network.input_shape, seed)
    packets = np.split(events, np.searchsorted(events["t"], [piece.t_start_us for piece in slices[1:]]))
    engine = AsyncEngine(network, numbers)
    engine.warm_up()
    whole = []
    for _ in range(5):
        engine.reset()
        began = time.perf_counter()
        for packet in packets:
            engine.push(packet)
        whole.append(time.perf_counter() - began)
    sizes = {name: int(np.prod(shape)) for name, shape in network.shapes().items()}
    density = {name: n / (sizes[name] * steps) for name, n in engine.spikes_per_layer.items() if name != "input"}
    service, pushed = asynchronous.service_us(engine, events, rounds=1), asynchronous.pushed_us(engine, events)
    return {
        "events_per_second": round(len(events) / statistics.median(whole)),
        **{f"service_us_p{q:g}": round(float(np.percentile(service, q)), 2) for q in (50, 99, 99.9)},
        **{f"push_of_one_us_p{q}": round(float(np.percentile(pushed, q)), 2) for q in (50, 99)},
        "density_per_ms_least": round(min(density.values()), 4),
        "density_per_ms_most": round(max(density.values()), 4),
        "synops_per_event": round(sum(engine.synops_per_layer.values()) / len(events)),
    }
