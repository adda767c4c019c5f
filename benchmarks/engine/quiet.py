"""What costs when little happens: a slice without an event, and one event at a time in asynchronous mode."""

import ctypes
import dataclasses
import statistics
import time

import numpy as np
from numba import njit

from dvs_run.pipeline.engine.asynchronous import AsyncEngine
from dvs_run.pipeline.engine.depth_first import push_events
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import BinnedSlice

from . import ours, workloads

SLICES = 2_000


def empty_slices(network: Network, numbers: str) -> dict[str, float]:
    """Median µs of a step without events: of a silent network (no biases), and of one that its biases keep firing."""
    silent = dataclasses.replace(
        network,
        layers=tuple(
            dataclasses.replace(layer, bias=None) if hasattr(layer, "bias") else layer for layer in network.layers
        ),
    )
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
    packets = [_events(piece, network.input_shape, seed) for piece in slices]
    events = np.concatenate(packets)
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
    service, pushed = _service(engine, events), _pushed(engine, events)
    return {
        "events_per_second": round(len(events) / statistics.median(whole)),
        **{f"service_us_p{q:g}": round(float(np.percentile(service, q)), 2) for q in (50, 99, 99.9)},
        **{f"push_of_one_us_p{q}": round(float(np.percentile(pushed, q)), 2) for q in (50, 99)},
        "density_per_ms_least": round(min(density.values()), 4),
        "density_per_ms_most": round(max(density.values()), 4),
        "synops_per_event": round(sum(engine.synops_per_layer.values()) / len(events)),
    }


def _events(piece: BinnedSlice, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """The events of a slice one by one, in an order and at times drawn within it."""
    random = np.random.default_rng([seed, piece.t_start_us])
    cells = random.permutation(np.repeat(piece.cells, piece.counts))
    events = np.empty(len(cells), EVENT_DTYPE)
    events["t"] = np.sort(random.integers(piece.t_start_us, piece.t_stop_us, len(cells)))
    events["p"], rest = np.divmod(cells, shape[1] * shape[2])
    events["y"], events["x"] = np.divmod(rest, shape[2])
    return events


def _service(engine: AsyncEngine, events: np.ndarray) -> np.ndarray:
    """µs of each event within the kernel, the class after it included."""
    stamp, nanos, one = np.zeros(2, np.int64), np.zeros(len(events), np.int64), np.zeros(1, np.int32)
    for _ in range(2):  # the first compiles
        engine.reset()
        _serve(events, one, stamp.ctypes.data, stamp, nanos, engine._arguments)
    return nanos / 1e3


def _pushed(engine: AsyncEngine, events: np.ndarray) -> np.ndarray:
    """µs of each `push` of a single event from Python, the class after it included."""
    engine.reset()
    took = np.empty(len(events))
    one = np.zeros(1, np.int32)
    for i in range(len(events)):
        event = events[i : i + 1]
        began = time.perf_counter()
        engine.push(event, one)
        took[i] = time.perf_counter() - began
    return took * 1e6


_now = ctypes.CDLL(None).clock_gettime
_now.argtypes, _now.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_int


@njit(nogil=True)
def _serve(events, one, address, stamp, nanos, arguments):
    """Each event by itself, timed by the monotonic clock, which writes seconds and nanoseconds to `stamp`."""
    for i in range(len(events)):
        _now(1, address)
        began = stamp[0] * 1_000_000_000 + stamp[1]
        push_events(events[i : i + 1], one, *arguments)
        _now(1, address)
        nanos[i] = stamp[0] * 1_000_000_000 + stamp[1] - began
