"""Is the asynchronous engine exact at full size? Thousands of events at 128x128 pixels beside its recursive twin.

    python -m benchmarks.engine.asynchronous_exact --out benchmarks/results/asynchronous-exact.json    # some minutes

The twin is DepthFirst of tests/naive, which the tests use too. One thing of it is replaced: what a single spike adds is
found from coordinates, because a dense convolution for each of 10^5 spikes would take days; `check_impulses` holds that
against the dense way first, on borders, corners and random places. After every event the spikes of every layer and the
SynOps must be the twin's, after every CHECKED-th all potentials, the scores and the decision. Half-way nothing comes
for SILENCE_US, so that biases fire neurons by themselves. The networks and events are those of asynchronous.py.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dvs_run.pipeline.engine import AsyncEngine
from dvs_run.pipeline.network import Conv2d, Layer, Linear, Network, SumPool2d
from tests.naive import DepthFirst

from . import workloads
from .asynchronous import DENSITY, RATE, events_of
from .origin import origin, write

SIZE, EVENTS = 128, 2_000
CHECKED = 250
SILENCE_US = 10_000
NUMBERS = ("int8", "int16", "float32")

Place = tuple[int, int, int]  # channel, row, column


class Local(DepthFirst):  # type: ignore[misc]
    """The twin, with the targets of a spike found from its coordinates."""

    def impulse(self, end: str, i: int, source: str, place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        """As in DepthFirst; for sum pools whose windows do not overlap, and 3x3 convolutions like those of the nets."""
        if (end, i) not in self.impulses:
            self.impulses[end, i] = self.twin.whole_weights(end, self.twin.routes[end][i][1])
        weight, name = self.impulses[end, i]
        route = self.twin.routes[end][i][1]
        for layer, _ in route[:-1]:
            place = pooled(layer, place)
        last, shape = route[-1][0], self.twin.shapes[route[-1][0].inputs[0]]
        places, weights = targets(last, weight, place, shape, self.twin.shapes[last.name])
        return places, weights, np.ones(len(places), np.int64), name


def pooled(layer: Layer, place: Place) -> Place:
    if not (isinstance(layer, SumPool2d) and layer.kernel == layer.stride and layer.padding == (0, 0)):
        raise SystemExit(f"{layer.name} is no sum pool of windows side by side; this proof knows nothing else there")
    return place[0], place[1] // layer.kernel[0], place[2] // layer.kernel[1]


def targets(
    layer: Layer, weight: np.ndarray, place: Place, shape: tuple[int, int, int], out: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 3) of a layer's output `out` that a spike at `place` of its input `shape` reaches; their weights."""
    channel, row, column = place
    if isinstance(layer, Linear):
        flat = int(np.ravel_multi_index(place, shape))
        return np.stack([np.arange(out[0]), *np.zeros((2, out[0]), np.int64)], 1), weight[:, flat]
    assert isinstance(layer, Conv2d)
    if (layer.stride, layer.dilation, layer.groups) != ((1, 1), (1, 1), 1):
        raise SystemExit(f"{layer.name} has a stride, dilation or groups; this proof knows plain convolutions only")
    places, weights = [], []
    for tap_row, tap_column in np.ndindex(*layer.weight.shape[2:]):
        y, x = row + layer.padding[0] - tap_row, column + layer.padding[1] - tap_column
        if 0 <= y < out[1] and 0 <= x < out[2]:
            places.append(np.stack([np.arange(out[0]), np.full(out[0], y), np.full(out[0], x)], 1))
            weights.append(weight[:, channel, tap_row, tap_column])
    return np.concatenate(places), np.concatenate(weights)


def check_impulses(network: Network, units: dict[str, np.ndarray], random: np.random.Generator, n: int) -> int:
    """Hold `impulse` against the dense way at the corners of every source and n places anywhere. Returns how many."""
    local, dense = Local(network, units), DepthFirst(network, units)
    compared = 0
    for end, i in local.edges:
        source = local.twin.routes[end][i][0]
        channels, height, width = local.twin.shapes[source]
        corners = [(0, 0, 0), (channels - 1, height - 1, width - 1), (0, 0, width - 1), (0, height - 1, 0)]
        anywhere = [tuple(int(random.integers(0, size)) for size in (channels, height, width)) for _ in range(n)]
        for place in corners + anywhere:
            found, wanted = local.impulse(end, i, source, place), dense.impulse(end, i, source, place)
            order = np.lexsort(found[0].T[::-1])  # argwhere lists places in this order
            same = [np.array_equal(a[order], b) for a, b in zip(found[:3], wanted[:3], strict=True)]
            if not all(same) or found[3] != wanted[3]:
                raise SystemExit(f"a spike at {place} of {source} does not add to {end} what it should")
            compared += 1
    return compared


def compare(network: Network, events: np.ndarray, numbers: str, checked: int = CHECKED) -> dict[str, Any]:
    """Run engine and twin side by side; raises SystemExit at the first difference."""
    engine = AsyncEngine(network, numbers)
    twin, began, potentials = Local(network, engine.units), time.perf_counter(), 0
    for n, event in enumerate(events, 1):
        engine.push(events[n - 1 : n])
        twin.push(*event.item())
        synops = {name: count for name, count in engine.synops_per_layer.items() if count}
        if engine.spikes_per_layer != twin.spikes or synops != twin.synops:
            raise SystemExit(f"{numbers}, event {n}: spikes {engine.spikes_per_layer}, the twin's {twin.spikes}")
        if n % checked == 0 or n == len(events):
            potentials += same_state(engine, twin, f"{numbers}, event {n}")
    return {
        "events": len(events),
        "differences": 0,
        "spikes": engine.spikes_per_layer,
        "synops": sum(engine.synops_per_layer.values()),
        "ticks_of_bias": twin.tick,
        "potentials_compared": potentials,
        "clamped": engine.clamped,
        "seconds_with_twin": round(time.perf_counter() - began),
    }


def same_state(engine: AsyncEngine, twin: Local, where: str) -> int:
    """Every potential, the scores and the decision. Returns how many potentials."""
    count = 0
    for name, potential in engine.state().items():
        whole = np.rint(potential / engine.units[name][:, None, None])
        if not np.array_equal(whole, twin.potential(name)):
            raise SystemExit(f"{where}: potentials of {name} are not the twin's")
        count += whole.size
    scores, decision = twin.evidence() * engine.units[twin.last], engine.decision()
    index = int(scores.argmax()) if scores.max() > scores.min() else -1
    if not np.array_equal(decision.scores, scores) or decision.index != index:
        raise SystemExit(f"{where}: scores {decision.scores}, the twin's {scores}")
    return count


def workload(size: int, events: int, numbers: str, seed: int) -> tuple[Network, np.ndarray]:
    """Network and events of asynchronous.py, the second half of them SILENCE_US later."""
    network, slices = workloads.make(f"gesture{size}", RATE, DENSITY, numbers, seed)
    found = events_of(slices, network.input_shape, seed)[:events]
    found["t"][len(found) // 2 :] += SILENCE_US
    return network, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=SIZE, help="pixels along each side")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--numbers", nargs="+", default=list(NUMBERS), choices=NUMBERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = origin(None, options.seed, "benchmarks.engine.asynchronous_exact")
    record |= {"network": f"gesture{options.size}", "rate": RATE, "density": DENSITY, "silence_us": SILENCE_US}
    for numbers in options.numbers:
        network, events = workload(options.size, options.events, numbers, options.seed)
        units = AsyncEngine(network, numbers).units
        impulses = check_impulses(network, units, np.random.default_rng(options.seed), n=1)
        record[numbers] = {"impulses_compared": impulses, **compare(network, events, numbers)}
        print(json.dumps({numbers: record[numbers]}), flush=True)
        write(record, options.out)


if __name__ == "__main__":
    main()
