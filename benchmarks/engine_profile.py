"""Where the time of a step goes: adding, firing, marking, waking, loading the input, reading out; layer by layer.

    python -m benchmarks.engine_profile --out benchmarks/results/engine-profile.json

"Fire" is all that is done about cells that were touched: finding them, comparing, resetting, listing spikes, foreseeing
when biases will fire them. The loop of `run_step` (pipeline/engine/kernels.py) stands here again, with the monotonic
clock read between its parts; no profiler and no rights are needed. That it is the same loop is checked: after the
slices it must have the scores and the potentials of `Engine.step`. Some 20 readings of the clock a step are part of the
figures; what they cost, and how long the step takes without them, is measured beside. The work is the same in every
round, so for each part of each step the least of the rounds counts: others on the machine can only add.
"""

import argparse
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit

from dvs_run.pipeline.engine import adding, firing, kernels, layout, rows
from dvs_run.pipeline.engine.layout import PLAIN, READOUT
from dvs_run.pipeline.network import Network

from . import engine_parts as parts
from .engine import ours, timing, workloads
from .engine.clock import now
from .engine.origin import origin, write

CONFIGURATIONS = ((10_000, 0.001), (200_000, 0.01), (1_000_000, 0.10))  # events a second, share of neurons that fire
PARTS = ("load the input", "wake", "mark", "add", "fire", "read out")
Arrays = namedtuple("Arrays", parts.NAMES)
LOAD, WAKE, MARK, ADD, FIRE, READ = range(6)
GROUPS, CELLS = 0, 1  # work[step, stage]: groups of spikes that arrive, cells that are looked at


def profile(network: Network, slices: workloads.Slices, numbers: str, rounds: int) -> dict[str, Any]:
    """Figures of one workload; raises SystemExit if the loop here is not the engine's."""
    engine = ours.make_engine(network, numbers)
    kinds = engine._plan.stages["kind"][1:]
    if not np.isin(kinds, (PLAIN, READOUT)).all():
        raise SystemExit("this profile knows layers of IF neurons and a membrane readout; the network has others")
    source, (part, arrays, spikes) = parts.make_source(slices), parts.stages_of(engine)
    steps, stamp = len(slices), np.zeros(2, np.int64)
    shape = (steps, len(kinds) + 1, len(PARTS))
    least, whole = np.full(shape, np.iinfo(np.int64).max), np.full(steps, np.iinfo(np.int64).max)
    for _ in range(rounds + 1):  # the first compiles
        engine.reset()
        ns, work = np.zeros(shape, np.int64), np.zeros((*shape[:2], 2), np.int64)
        timed_steps(stamp.ctypes.data, stamp, ns, work, source, part, spikes, Arrays(*arrays))
        check(network, slices, numbers, engine, part)
        least = np.minimum(least, ns)
        engine.reset()
        whole = np.minimum(whole, untimed_steps(stamp.ctypes.data, stamp, steps, source, part, spikes, arrays))
    clock = np.median([elapsed(stamp.ctypes.data, stamp, 1000) / 1000 for _ in range(50)])
    return as_figures(least, whole, work, float(clock), engine)


def check(network: Network, slices: workloads.Slices, numbers: str, engine: Any, part: parts.Part) -> None:
    """What was computed with clocks between the parts is what Engine.step computes."""
    stepped = ours.make_engine(network, numbers)
    scores = [stepped.step(piece).scores for piece in slices][-1]
    engine.steps = len(slices)  # the loop here does not count them
    same = [np.array_equal(v, engine.state()[name]) for name, v in stepped.state().items()]
    if not (np.array_equal(part.scores, scores) and all(same)):
        raise SystemExit("the loop of benchmarks/engine_profile.py is no longer that of run_step: its results differ")


def as_figures(ns: np.ndarray, whole: np.ndarray, work: np.ndarray, clock_ns: float, engine: Any) -> dict[str, Any]:
    """Means over the steps: µs of each part of a step, shares of their sum, and ns a group and a cell, by layer."""
    steps, stages = ns.shape[:2]
    by_part, by_stage = ns.sum((0, 1)) / steps, ns.sum(0) / steps
    layers = {}
    for s in range(1, stages):
        groups, cells = work[:, s].mean(0)
        layers[engine._names[s]] = {
            "groups": round(groups, 1),
            "add_ns_a_group": round(by_stage[s, ADD] / max(groups, 1e-9)),
            "cells_looked_at": round(cells, 1),
            "fire_ns_a_cell": round(by_stage[s, FIRE] / max(cells, 1e-9)),
        }
    reads = 2 + 4 * (stages - 2) + 3  # of the clock, a step
    return {
        "step_us": round(whole.mean() / 1e3, 2),
        "sum_of_parts_us": round(by_part.sum() / 1e3, 2),
        "clock_us": round(reads * clock_ns / 1e3, 2),
        "us": {name: round(us / 1e3, 2) for name, us in zip(PARTS, by_part, strict=True)},
        "share": {name: round(us / by_part.sum(), 3) for name, us in zip(PARTS, by_part, strict=True)},
        "layers": layers,
    }


@njit
def elapsed(address, stamp, times):  # type: ignore[no-untyped-def]
    """Nanoseconds that so many readings take."""
    began = now(address, stamp)
    last = began
    for _ in range(times):
        last = now(address, stamp)
    return last - began


@njit(nogil=True)
def untimed_steps(address, stamp, steps, source, part, spikes, arrays):  # type: ignore[no-untyped-def]
    """Nanoseconds of each step as the engine runs it."""
    took = np.zeros(steps, np.int64)
    for i in range(steps):
        began = now(address, stamp)
        parts.take_input(i, source, part)
        kernels.run_step(i + 1, part.settings[0]["limit"], False, *arrays)
        parts.finish(i, part, spikes)
        took[i] = now(address, stamp) - began
    return took


@njit(nogil=True)
def timed_steps(address, stamp, ns, work, source, part, spikes, arrays):  # type: ignore[no-untyped-def]
    """run_step for plain stages, step after step: fills ns[step, stage, part] and work[step, stage]."""
    pointers = pointers_of(arrays)
    for i in range(ns.shape[0]):
        before = now(address, stamp)
        parts.take_input(i, source, part)
        before = lap(address, stamp, ns[i, 0], LOAD, before)
        for s in range(1, arrays.stages.shape[0]):
            limit = part.settings[0]["limit"]
            before = timed_stage(address, stamp, ns[i, s], work[i, s], before, i + 1, limit, s, arrays, pointers)
        parts.finish(i, part, spikes)
        lap(address, stamp, ns[i, 0], READ, before)


@njit
def timed_stage(address, stamp, ns, work, before, step, limit, s, arrays, pointers):  # type: ignore[no-untyped-def]
    """One stage of run_step; the time when it is done."""
    stage, edges, n_groups, clocks = arrays.stages[s], arrays.edges, arrays.n_groups, arrays.clocks
    busy = kernels._wake(step, stage, s, clocks, pointers)
    before = lap(address, stamp, ns, WAKE, before)
    for e in range(stage["first_edge"], stage["last_edge"]):
        arriving = n_groups[edges[e]["source"]]
        work[GROUPS] += arriving
        busy |= arriving > 0
        if arriving > 0 and stage["kind"] != READOUT:
            kernels._mark(edges[e], arrays.stages[edges[e]["source"]], stage, arriving, pointers)
    before = lap(address, stamp, ns, MARK, before)
    if not busy and step - clocks[2 * s] < stage["longest"]:
        n_groups[s] = 0
        return before
    for e in range(stage["first_edge"], stage["last_edge"]):
        arriving = n_groups[edges[e]["source"]]
        if arriving > 0:
            source = arrays.stages[edges[e]["source"]]
            arrays.synops[e] += adding.add(edges[e], source, stage, arriving, pointers)
    before = lap(address, stamp, ns, ADD, before)
    if stage["kind"] == READOUT:
        return before
    work[CELLS] = looked_at(stage, arrays.dirty)
    before = now(address, stamp)  # counting them is not the engine's work
    beyond = firing.fire(step, limit, stage, s, clocks, n_groups, pointers)
    if beyond or step - clocks[2 * s] >= stage["longest"]:
        kernels.rebase(step, limit, stage, s, clocks, arrays.v, arrays.bias, arrays.due)
    return lap(address, stamp, ns, FIRE, before)


@njit
def pointers_of(arrays):  # type: ignore[no-untyped-def]
    pointer = rows.pointer
    return layout.Pointers(
        pointer(arrays.weights), pointer(arrays.bias), pointer(arrays.threshold), pointer(arrays.floor),
        pointer(arrays.decay), pointer(arrays.per_bias), pointer(arrays.v), pointer(arrays.moved),
        pointer(arrays.dirty), pointer(arrays.due), pointer(arrays.updated), pointer(arrays.reach),
        pointer(arrays.total), pointer(arrays.rows), pointer(arrays.times), pointer(arrays.tally),
        pointer(arrays.channel_of), pointer(arrays.axes), pointer(arrays.groups), pointer(arrays.spikes),
        pointer(arrays.fired),
    )  # fmt: skip


@njit
def lap(address, stamp, ns, which, before):  # type: ignore[no-untyped-def]
    """Put down what has passed since `before`; the time now."""
    reached = now(address, stamp)
    ns[which] = reached - before
    return reached


@njit
def looked_at(stage, dirty):  # type: ignore[no-untyped-def]
    n = 0
    for cell in range(stage["first_cell"], stage["first_cell"] + stage["height"] * stage["width"]):
        n += dirty[cell] != 0
    return n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--network", default="gesture128", help="a name of benchmarks/engine/workloads.py")
    parser.add_argument("--numbers", default="int8", choices=ours.NUMBERS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    options = parser.parse_args()
    timing.pin(options.cpu)
    torch.set_num_threads(1)
    record = origin(options.cpu, options.seed, "benchmarks.engine_profile")
    record |= {"network": options.network, "numbers": options.numbers, "rounds": options.rounds, "workloads": []}
    before = timing.Busy.now()
    for rate, density in CONFIGURATIONS:
        network, slices = workloads.make(options.network, rate, density, options.numbers, options.seed)
        found = profile(network, slices, options.numbers, options.rounds)
        record["workloads"].append({"rate": rate, "density": density, **found})
        record["share_of_the_core_that_others_took"] = round(before.until(timing.Busy.now())[0], 3)
        write(record, options.out)
        show(rate, density, found)


def show(rate: float, density: float, found: dict[str, Any]) -> None:
    print(f"\n{rate / 1e3:g} kev/s, {100 * density:g} %: {found['step_us']} µs a step")
    for name, us in found["us"].items():
        print(f"  {name:15} {us:8.1f} µs  {100 * found['share'][name]:5.1f} %")
    for name, layer in found["layers"].items():
        print(f"  {name:8}", "  ".join(f"{what} {value}" for what, value in layer.items()), flush=True)


if __name__ == "__main__":
    main()
