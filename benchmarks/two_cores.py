"""Whether a second core pays: two engines side by side, one network in two halves, layers split by channels.

    python -m benchmarks.two_cores --out benchmarks/results/two-cores.json

Everything is timed in turn, round after round, in bursts of some ms, which the scheduler often leaves alone even on a
busy machine. Threads are pinned to a core each and start together; what runs alone does so beside a thread that holds
the other core and rests. A burst counts if neither thread lost more than 5 % to others. All but "step from Python" runs
in loops without the GIL, so what Python costs is not part of it. "Pipelined" really is: two threads, each with its own
engine that runs its own stages, spikes handed over through a ring of SLOTS steps. Splitting by channels is not run but
bounded: each layer with all and with half of its output channels, on the spikes that really arrive there, plus two
measured hand-overs. How a burst is timed is in bursts.py, the loops are in engine_parts.py; docs/two-cores.md tells
what came out.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Conv2d, Linear, Network

from . import engine_parts as parts
from .bursts import Burst, Measured, both, measure, together
from .engine import ours, workloads
from .engine.origin import origin, write

WORKLOADS = ((200_000, 0.01), (1_000_000, 0.10))
LAYERS = {1: "conv1", 2: "conv2", 3: "conv3", 4: "fc1"}  # by stage; what follows, fc2, is the readout
STEPS = 10  # slices of a workload, gone through again and again
BURST_S = 0.003
SLOTS = 4  # steps that the first half may be ahead
ROUND_TRIPS = 4_000
REGISTER_LOOPS, MEMORY_BYTES = 1_000_000, 64 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", default="int8", choices=ours.NUMBERS)
    parser.add_argument("--cores", type=int, nargs=2, default=sorted(os.sched_getaffinity(0))[:2])
    options = parser.parse_args()
    record: dict[str, Any] = origin(options.cores, options.seed, "benchmarks.two_cores")
    record |= {"numbers": options.numbers, "rounds": options.rounds, "slots": SLOTS, "spins": parts.SPINS}
    controlled = measure(controls(), options.cores, options.rounds)
    hand_over_us = {which: us["hand-over"] for which, us in controlled.micros().items()}
    verdict = verdict_of(controlled) | {"hand_over_us": {which: round(us, 3) for which, us in hand_over_us.items()}}
    record["controls"] = {"verdict": verdict, **controlled.as_json()}
    record["workloads"] = []
    for rate, density in WORKLOADS:
        network, slices = workloads.make("gesture128", rate, density, seed=options.seed, steps=STEPS)
        exact = check(network, slices, options)
        found = measure(bursts(network, slices, options), options.cores, options.rounds)
        verdict = verdict_of(found, hand_over_us)
        record["workloads"].append(
            {"rate": rate, "density": density, "exact": exact, "verdict": verdict, **found.as_json()}
        )
        write(record, options.out)
    for entry in (record["controls"], *record["workloads"]):
        print(json.dumps({"rate": entry.get("rate"), **entry["verdict"]}, indent=1))


# --- what is measured -------------------------------------------------------------------------------------------------


def controls() -> dict[str, Burst]:
    """Loops without an engine: they tell what the two cores share. And the hand-over of nothing."""
    values = [np.zeros(MEMORY_BYTES // 8) for _ in range(2)]
    flags = np.zeros(32, np.int64)

    def clear() -> None:
        flags[:] = 0

    hand_over = [
        lambda: parts.hand_back_and_forth(ROUND_TRIPS, flags, parts.FILLED, parts.TAKEN, True),
        lambda: parts.hand_back_and_forth(ROUND_TRIPS, flags, parts.TAKEN, parts.FILLED, False),
    ]
    registers = [lambda: parts.add_in_registers(REGISTER_LOOPS)] * 2
    memory = [lambda values=values[i]: parts.add_in_memory(1, values) for i in range(2)]
    return {
        **both("registers", registers, 1),
        **both("memory", memory, 1),
        "hand-over": Burst(hand_over, 2 * ROUND_TRIPS, clear),
    }


def bursts(network: Network, slices: workloads.Slices, options: argparse.Namespace) -> dict[str, Burst]:
    """Everything that is measured of one workload."""
    source = parts.make_source(slices)
    engines = [ours.make_engine(network, options.numbers) for _ in range(2)]
    whole = [parts.stages_of(engine) for engine in engines]
    parts.run_whole(len(slices), source, *whole[0])
    began = time.perf_counter()
    parts.run_whole(len(slices), source, *whole[0])
    steps = len(slices) * max(round(BURST_S / (time.perf_counter() - began)), 1)
    stepping = [ours.EngineStep(ours.make_engine(network, options.numbers), slices) for _ in range(2)]

    def step(which: ours.EngineStep) -> None:
        for _ in range(steps // len(slices)):
            which.engine.reset()
            which.run()

    run = [lambda stages=stages: parts.run_whole(steps, source, *stages) for stages in whole]
    found = both("kernels", run, steps, prepare=lambda: [engine.reset() for engine in engines])
    found |= both("step from Python", [lambda w=w: step(w) for w in stepping], steps)
    for stage in LAYERS:
        found |= halves_in_turn(network, source, steps, stage, options.numbers)
        found |= layer_alone(network, source, steps, stage, options.numbers)
    return found


def halves_in_turn(network: Network, source: parts.Source, steps: int, stage: int, numbers: str) -> dict[str, Burst]:
    """The network up to `stage` and from there on: pipelined, and each by itself with slots for every slice."""
    engines, front, back, ring = split(network, stage, numbers, SLOTS)
    n = len(source.offsets) - 1
    alone_engines, alone_front, alone_back, slots = split(network, stage, numbers, n)
    slots.flags[parts.TAKEN] = parts.OPEN
    parts.run_front(n, source, *alone_front, slots)

    def prepare(which: Sequence[Engine], flags: np.ndarray, filled: int, taken: int) -> None:
        flags[parts.FILLED], flags[parts.TAKEN] = filled, taken
        for engine in which:
            engine.reset()

    jobs = pipeline_jobs(source, steps, front, back, ring)
    return {
        f"pipelined behind {LAYERS[stage]}": Burst(jobs, steps, lambda: prepare(engines, ring.flags, 0, 0)),
        f"up to {LAYERS[stage]}": Burst(
            [lambda: parts.run_front(steps, source, *alone_front, slots)],
            steps,
            lambda: prepare(alone_engines, slots.flags, 0, parts.OPEN),
        ),
        f"behind {LAYERS[stage]}": Burst(
            [lambda: parts.run_back(steps, *alone_back, slots)],
            steps,
            lambda: prepare(alone_engines, slots.flags, parts.OPEN, 0),
        ),
    }


def split(
    network: Network, stage: int, numbers: str, slots: int, count: bool = False
) -> tuple[list[Engine], parts.Stages, parts.Stages, parts.Slots]:
    """Two engines, the stages that each runs, and the slots between them."""
    engines = [ours.make_engine(network, numbers) for _ in range(2)]
    front = parts.stages_of(engines[0], 0, stage, count)
    back = parts.stages_of(engines[1], stage, None, count)
    return engines, front, back, parts.make_slots(engines[0], stage, slots)


def pipeline_jobs(
    source: parts.Source, steps: int, front: parts.Stages, back: parts.Stages, slots: parts.Slots
) -> list[Callable[[], object]]:
    return [
        lambda: parts.run_front(steps, source, *front, slots),
        lambda: parts.run_back(steps, *back, slots),
    ]


def layer_alone(network: Network, source: parts.Source, steps: int, stage: int, numbers: str) -> dict[str, Burst]:
    """One layer with all and with half of its output channels, on the spikes that reach it in the whole network."""
    n = len(source.offsets) - 1
    _, front, _, slots = split(network, stage - 1, numbers, n)
    slots.flags[parts.TAKEN] = parts.OPEN
    parts.run_front(n, source, *front, slots)
    found = {}
    for name, built in (("all", network), ("half", half_as_many(network, stage))):
        engine = ours.make_engine(built, numbers)
        stages = parts.stages_of(engine, stage - 1, stage)

        def prepare(engine: Engine = engine) -> None:
            slots.flags[parts.FILLED] = parts.OPEN
            engine.reset()

        def run(stages: parts.Stages = stages) -> None:
            parts.run_back(steps, *stages, slots)

        found[f"{LAYERS[stage]}, {name} channels"] = Burst([run], steps, prepare)
    return found


def half_as_many(network: Network, stage: int) -> Network:
    """The network with the first half of the output channels of one layer: these behave as in the whole."""
    layers = list(network.layers)
    weighty = [i for i, layer in enumerate(layers) if isinstance(layer, Conv2d | Linear)]
    here, after = layers[weighty[stage - 1]], layers[weighty[stage]]
    neurons = layers[weighty[stage - 1] + 1]
    half = here.weight.shape[0] // 2
    layers[weighty[stage - 1]] = dataclasses.replace(here, weight=here.weight[:half], bias=here.bias[:half])
    layers[weighty[stage - 1] + 1] = dataclasses.replace(
        neurons, threshold=neurons.threshold[:half], v_init=neurons.v_init[:half]
    )
    layers[weighty[stage]] = dataclasses.replace(after, weight=after.weight[:, : after.weight.shape[1] // 2])
    return dataclasses.replace(network, layers=tuple(layers))


def check(network: Network, slices: workloads.Slices, options: argparse.Namespace) -> dict[str, Any]:
    """Split behind any layer, the network spikes as often in every layer, ends with the same potentials and scores."""
    source = parts.make_source(slices)
    stepped = ours.make_engine(network, options.numbers)
    for piece in slices:
        scores = stepped.step(piece).scores
    one = ours.make_engine(network, options.numbers)
    whole = parts.stages_of(one, count=True)
    parts.run_whole(len(slices), source, *whole)
    assert np.array_equal(whole.part.scores, scores)
    potentials = stepped.state()
    for stage in LAYERS:
        engines, front, back, ring = split(network, stage, options.numbers, SLOTS, count=True)
        together(pipeline_jobs(source, len(slices), front, back, ring), options.cores)
        for engine in engines:
            engine.steps = len(slices)
        assert np.array_equal(np.concatenate([front.spikes, back.spikes[1:]]), whole.spikes), LAYERS[stage]
        assert np.array_equal(back.part.scores, scores), LAYERS[stage]
        for s, name in enumerate(list(potentials)[:-1], 1):
            assert np.array_equal(engines[s > stage].state()[name], potentials[name]), name
    return {"spikes": dict(zip(LAYERS.values(), whole.spikes[1:].tolist(), strict=False)), "slices": len(slices)}


# --- what follows from it ---------------------------------------------------------------------------------------------


def verdict_of(found: Measured, hand_over_us: dict[str, float] | None = None) -> dict[str, Any]:
    """How many times faster two cores are than one: by the medians of clean measurements, and by the fastest ones.

    hand_over_us: of one flag, by each of the two; None: nothing was split, this is where it is measured.
    """
    verdict: dict[str, Any] = {}
    for which, us in found.micros().items():
        gains: dict[str, float] = {}
        for name in us:
            kind = name.removesuffix(", both")
            if kind != name:
                gains[kind] = (us[f"{kind}, alone on core 0"] + us[f"{kind}, alone on core 1"]) / 2 / us[name]
            if name.startswith("pipelined"):
                gains[name] = us["kernels, alone on core 0"] / us[name]
                place = name.removeprefix("pipelined behind ")
                ideal = us["kernels, alone on core 0"] / max(us[f"up to {place}"], us[f"behind {place}"])
                gains[f"{name}, at best"] = ideal
        if hand_over_us is not None:
            gains["channels, at best"] = channels_at_best(us, hand_over_us[which])
        verdict[which] = {name: round(value, 3) for name, value in gains.items()}
    return verdict


def channels_at_best(us: dict[str, float], hand_over_us: float) -> float:
    """Speed-up if every layer that gains is split in two by channels, with two hand-overs each; no copying counted."""
    whole = sum(us[f"{layer}, all channels"] for layer in LAYERS.values())
    parted = sum(
        min(us[f"{layer}, all channels"], us[f"{layer}, half channels"] + 2 * hand_over_us) for layer in LAYERS.values()
    )
    return whole / parted


if __name__ == "__main__":
    main()
