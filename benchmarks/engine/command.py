"""Run the configurations one after the other, check each, time everyone on it, and write down what came out."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import CurrentSlice

from . import ceilings, libraries, ours, processes, quiet, tables, timing, twin, workloads
from .dense import EagerStep, Kind, TorchStep
from .onnx_step import OnnxStep
from .origin import origin, write
from .plot import draw
from .workloads import Slices

ROOT = Path(__file__).resolve().parent.parent.parent
SUFFIX: dict[Kind, str] = {"snn": "", "convolutions": ", convolutions only", "cnn": ", one CNN pass"}
DENSE = ("onnxruntime", "torch.compile", "torch eager")


@dataclass(frozen=True)
class Configuration:
    """What is run: a network, how much comes in, how much fires."""

    name: str  # of workloads.make, or a trained network and a recording
    rate: float = 0.0  # events per second; 0 where the input is no stream of events
    density: float = 0.0  # share of neurons that fire in a step; 0 where the network decides

    def __str__(self) -> str:
        rate = f" {self.rate / 1000:g} kev/s" if self.rate else ""
        return self.name + rate + (f" {100 * self.density:g} %" if self.density else "")


TRAINED = {
    "trained-gesture": ("recordings/networks/gesture.npz", "recordings/gesture/arm_roll.aedat4"),
    "trained-nmnist": ("recordings/networks/nmnist.npz", "recordings/nmnist/7/00007.bin"),
}
LOADS = ((50_000, 0.003), (200_000, 0.01), (1_000_000, 0.03), (1_000_000, 0.10), (0, 1.0))
CONFIGURATIONS = [
    Configuration("gesture128", 10_000, 0.001),
    *(Configuration(f"gesture{size}", rate, density) for size in (128, 64, 32) for rate, density in LOADS),
    Configuration("vgg7-current", density=0.05),
    Configuration("vgg7-poisson", density=0.05),
    *(Configuration(name) for name in TRAINED),
]


def main() -> None:
    arguments = _arguments()
    timing.pin(arguments.cpu)
    torch.set_num_threads(1)
    if arguments.draw_from:
        _show(json.loads(arguments.draw_from.read_text()), arguments)
        return
    record = origin(arguments.cpu, arguments.seed)
    record["method"] = timing.__doc__
    record["rules_of_the_libraries"] = {name: rule for name, rule in libraries.RULES.items() if rule}
    record["ceilings"] = {"unit": "10^9 per second", **ceilings.measure(3 if arguments.quick else 7)}
    print(json.dumps(record["ceilings"]), flush=True)
    record["missing"], record["configurations"] = {}, []
    for configuration in _selected(arguments):
        record["configurations"].append(_run(configuration, arguments, record["missing"]))
        write(record, arguments.out)
    if not arguments.quick and not arguments.only:
        record["alone"] = _alone(arguments)
        write(record, arguments.out)
    for name, reason in record["missing"].items():
        print(f"missing: {name}: {reason}")
    _show(record, arguments)


def _show(record: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.plot:
        draw(record["configurations"], record["machine"]["processor"], arguments.plot)
    if arguments.tables:
        tables.write(record, arguments.tables)


def _run(configuration: Configuration, arguments: argparse.Namespace, missing: dict[str, str]) -> dict[str, Any]:
    """Check and time one configuration; everyone's figures."""
    network, slices = _workload(configuration, arguments.seed)
    began = time.perf_counter()
    engines = {f"engine {n}": ours.make_engine(network, n) for n in ours.formats(arguments.numbers)}
    for engine in engines.values():
        activity = twin.check(engine, slices)  # raises, and nothing is timed, unless every spike is right
    everyone: dict[str, timing.Competitor] = {n: ours.EngineStep(engine, slices) for n, engine in engines.items()}
    everyone |= _others(network, slices, arguments, missing)
    exact = _exact(network, slices, everyone)
    rounds = arguments.rounds or (3 if arguments.quick else 15)
    print(f"{configuration}: ready in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    timings, load = timing.interleave(everyone, len(slices), rounds)
    result = {
        **asdict(configuration),
        "steps": len(slices),
        "step_us": slices[0].t_stop_us - slices[0].t_start_us,
        "activity": _rounded(asdict(activity)),
        "synops_per_step": round(sum(_synops(engines, slices).values()) / len(slices)),
        "macs_per_step": sum(next(iter(engines.values())).macs_per_layer.values()),
        "rounding": {name: _rounded(dict(engine.rounding)) for name, engine in engines.items()},
        "clamped": {name: int(engine.clamped) for name, engine in engines.items()},
        "same_membranes_as_float64": exact,
        "times": {name: timed.as_json() for name, timed in timings.items()},
        "load": asdict(load),
    }
    result["ratios"] = _ratios(result["times"])
    _tell(configuration, result)
    return result


def _others(
    network: Network, slices: Slices, arguments: argparse.Namespace, missing: dict[str, str]
) -> dict[str, timing.Competitor]:
    """The dense baselines and the libraries; those that are not installed, or fail, are named in `missing`."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()  # what was compiled for the configuration before
    inputs = twin.delayed_frames(network, slices)
    kinds: list[Kind] = ["snn", "convolutions"]
    if network.input_shape[0] == 3:
        kinds.append("cnn")
    makers: dict[str, Callable[[], timing.Competitor]] = {}
    for kind in kinds:
        suffix = SUFFIX[kind]
        makers["onnxruntime" + suffix] = lambda kind=kind: OnnxStep(network, inputs, kind)
        if kind == "snn" or network.input_shape[0] == 3:  # a minute to compile, and never the fastest convolutions
            makers["torch.compile" + suffix] = lambda kind=kind: TorchStep(network, inputs, kind, compiled=True)
        makers["torch eager" + suffix] = lambda kind=kind: EagerStep(network, inputs, kind)
    for library in libraries.NEURONS:
        makers[library] = lambda library=library: libraries.LibraryStep(library, network, inputs, compiled=False)
        if library in libraries.COMPILED and not arguments.quick:
            makers[library + " compiled"] = lambda library=library: libraries.LibraryStep(
                library, network, inputs, compiled=True
            )
    found = {}
    for name, make in makers.items():
        if arguments.against and not any(part in name for part in arguments.against):
            continue
        try:
            found[name] = make()
        except Exception as error:  # a baseline that cannot be run is part of the result
            missing[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:200]
    return found


def _exact(network: Network, slices: Slices, everyone: dict[str, timing.Competitor]) -> dict[str, bool]:
    """Whether each baseline ends with the membranes of the network in float64, in the network's own numbers.

    A network that starts its hidden layers afresh every so often is not compared: the baselines do not do that.
    """
    if network.state_window_us is not None:
        return {}
    own = {layer.name: 1.0 for layer in network.layers}
    truth = twin.Twin(network, own)
    whole = all(np.array_equal(a, np.rint(a)) for layer in network.layers for a in _arrays(layer))
    if not whole:
        return {}
    with torch.inference_mode():
        for piece, frame in zip(slices, workloads.frames(slices, network.input_shape), strict=True):
            truth.step(frame, isinstance(piece, CurrentSlice))
    wanted = {name: v.flatten().numpy() for name, v in truth.v.items()}
    wanted[network.layers[-1].name] = truth.total.flatten().numpy()
    result = {}
    for name, competitor in everyone.items():
        if "," not in name and hasattr(competitor, "potentials"):
            competitor.reset()
            competitor.run()
            found = competitor.potentials()
            result[name] = all(np.array_equal(found[key].reshape(-1), v) for key, v in wanted.items())
    return result


def _ratios(times: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many times as long each kind of rival takes as each of our formats; the best of the kind counts."""
    kinds = {
        "dense": [name for name in times if name in DENSE],
        "convolutions only": [name for name in times if name.endswith("convolutions only")],
        "one CNN pass": [name for name in times if name.endswith("one CNN pass")],
        "library as it comes": [name for name in times if name in libraries.NEURONS],
        "library": [name for name in times if name.split(" ")[0] in libraries.NEURONS],
    }
    found: dict[str, Any] = {}
    for ours_name in (name for name in times if name.startswith("engine")):
        for kind, names in kinds.items():
            if names:
                best = min(names, key=lambda name: times[name]["median"])
                ratio, by_cpu = (
                    round(times[best][clock] / times[ours_name][clock], 2) for clock in ("median", "cpu_median")
                )
                found.setdefault(ours_name, {})[kind] = {"best": best, "ratio": ratio, "by_the_cpu_clock": by_cpu}
    return found


def _alone(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is not compared with anyone: silence, single events, the start, the memory."""
    network, _ = workloads.make("gesture128", 200_000, 0.01, seed=arguments.seed)
    found: dict[str, Any] = {}
    for numbers in ours.formats(arguments.numbers):
        settings = {"numbers": numbers} if len(ours.formats(arguments.numbers)) > 1 else {}
        found[numbers] = {
            "empty_slice_us": quiet.empty_slices(network, numbers),
            "second_start": processes.second_start(network, settings),
            "asynchronous": quiet.single_events(numbers, arguments.seed),
        }
    found["pipeline_memory"] = processes.pipeline_memory()
    print(json.dumps(found, indent=1), flush=True)
    return found


def _workload(configuration: Configuration, seed: int) -> tuple[Network, Slices]:
    if configuration.name in TRAINED:
        network, recording = TRAINED[configuration.name]
        return workloads.recorded(ROOT / network, ROOT / recording)
    return workloads.make(configuration.name, configuration.rate, configuration.density, seed=seed)


def _synops(engines: dict[str, Engine], slices: Slices) -> dict[str, int]:
    """Weights added for the slices, per layer, by the engine's own count."""
    engine = next(iter(engines.values()))
    engine.reset()
    before = dict(engine.synops_per_layer)
    for piece in slices:
        engine.step(piece)
    return {name: total - before[name] for name, total in engine.synops_per_layer.items()}


def _tell(configuration: Configuration, result: dict[str, Any]) -> None:
    print(f"\n{configuration}: densities {result['activity']['density']}")
    for name, timed in sorted(result["times"].items(), key=lambda item: item[1]["median"]):
        marked = f"  {timed['marked']} of {timed['measurements']} marked" if timed["marked"] else ""
        print(f"  {timed['median']:9.1f} µs  {timed['quartiles']}  {name}{marked}")
    print("  " + json.dumps(result["ratios"]), flush=True)


def _selected(arguments: argparse.Namespace) -> list[Configuration]:
    chosen = [c for c in CONFIGURATIONS if not arguments.only or any(part in str(c) for part in arguments.only)]
    if not chosen:
        raise SystemExit(f"--only {arguments.only} fits none of: " + "; ".join(map(str, CONFIGURATIONS)))
    return chosen


def _arrays(layer: Any) -> list[np.ndarray]:
    return [value for value in vars(layer).values() if isinstance(value, np.ndarray)]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return float(f"{float(np.max(value)):.4g}")
    return float(f"{float(value):.4g}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures here, after each configuration")
    parser.add_argument("--plot", type=Path, help="draw time per slice against event rate")
    parser.add_argument("--tables", type=Path, help="write the tables into this page, between its marks")
    parser.add_argument("--draw-from", type=Path, help="measure nothing, show what this file of figures holds")
    parser.add_argument("--only", nargs="+", help="configurations whose name contains one of these")
    parser.add_argument("--against", nargs="+", help="rivals whose name contains one of these; all, if not given")
    parser.add_argument("--numbers", type=lambda text: text.split(","), default=list(ours.NUMBERS))
    parser.add_argument("--rounds", type=int, help="measurements of each competitor (15; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, libraries only as they come, nothing alone")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()
