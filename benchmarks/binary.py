"""Networks of few levels and of bits as spikes, on MNIST: decisions held against the CNN's, error against operations.

    python -m benchmarks.binary --data data/mnist runs/mnist-sign.pt runs/mnist-heaviside.pt runs/mnist-floor.pt

Checkpoints are those of configs/train-mnist-*.yaml. Of each, on the test images: the CNN in float64; the spiking
network after one timestep of constant current, clocked and on the Engine in each number format; and, where all neurons
are of one bit, the clocked network on Poisson spikes, timestep by timestep. SynOps are counted as everywhere (borders
exact; a first layer that is fed current does its multiply-accumulates once); the CNN does `macs` multiply-accumulates.
The figures go to benchmarks/results/binary.json, after each checkpoint.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvs_run.pipeline.convert import Clocked, Conversion, Method, convert
from dvs_run.pipeline.convert.activation import BITS
from dvs_run.pipeline.convert.fold.check import in_double
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.idx import read_images, read_labels
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import CurrentSlice
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.evaluate import Accuracy

from . import accuracy

CURVE = (1, 2, 4, 8, 16, 32, 64)
BATCH = 250


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    files = {kind: next(given.data.glob(f"t10k-{kind}-*-ubyte*")) for kind in ("images", "labels")}
    images = torch.from_numpy(read_images(files["images"])[: given.limit])
    targets = torch.from_numpy(np.asarray(read_labels(files["labels"]), np.int64)[: len(images)])
    results: dict[str, Any] = {"what": "MNIST, test images; one thread; seed of the Poisson spikes 0", "networks": []}
    for checkpoint in given.checkpoints:
        line = {"checkpoint": checkpoint.name, **_measured(checkpoint, images, targets, given.engine, given.poisson)}
        results["networks"].append(line)
        accuracy.write("binary", results)


def _measured(checkpoint: Path, images: Tensor, targets: Tensor, engine: int, poisson: int) -> dict[str, Any]:
    model, spec, extra = load_checkpoint(checkpoint)
    shape = tuple(spec["input"])
    made = convert(model, shape, extra["labels"], extra["calibration"], method=Method(form="thresholds"))
    exact = in_double(model)
    with torch.inference_mode():
        wanted = torch.cat([exact(part.double()) for part in images.split(BATCH)])
    line: dict[str, Any] = {
        "cnn": _judged(wanted, targets),
        "macs": made.report.macs,
        "weights_of_one_bit": sorted(name for name, error in Engine(made.network, numbers="int8").rounding.items()
                                     if error == 0),
        "one_timestep": {"clocked": _clocked(made.network, images, wanted, targets)},
        "poisson": None,
    }  # fmt: skip
    for numbers in ("int8", "int16", "float32"):
        line["one_timestep"][numbers] = _engine(made.network, numbers, images, wanted, targets, engine)
    if all(node.kind in BITS for node in made.cnn.populations()):
        line["poisson"] = _poisson(made, images[:poisson], wanted[:poisson], targets[:poisson])
    print(line, flush=True)
    return line


def _clocked(network: Network, images: Tensor, wanted: Tensor, targets: Tensor) -> dict[str, Any]:
    scores, synops = [], 0.0
    for part in images.split(BATCH):
        state = Clocked(network, len(part), torch.float64)
        scores.append(state.step(part.double(), is_current=True))
        synops += float(state.synops.sum())
    found = torch.cat(scores)
    return {**_judged(found, targets), **_beside(found, wanted), "synops": round(synops / len(images))}


def _engine(
    network: Network, numbers: str, images: Tensor, wanted: Tensor, targets: Tensor, most: int
) -> dict[str, Any]:
    engine, scores, synops = Engine(network, numbers=numbers), [], 0
    first = engine.macs_per_layer[next(iter(engine.macs_per_layer))]
    for image in images[:most].numpy():
        engine.reset()
        made = engine.step(CurrentSlice(0, 1000, image))
        scores.append(made.scores)
        synops += made.synops
    found = torch.from_numpy(np.stack(scores))
    judged = {**_judged(found, targets[: len(found)]), **_beside(found, wanted[: len(found)])}
    return {**judged, "synops_and_first_macs": round(synops / len(found)), "macs_of_the_first_layer": first}


def _poisson(made: Conversion, images: Tensor, wanted: Tensor, targets: Tensor) -> list[dict[str, Any]]:
    """Error against operations: what is decided after so many timesteps of Poisson spikes, and at what cost."""
    random = torch.Generator().manual_seed(0)
    found: dict[int, list[Tensor]] = {timestep: [] for timestep in CURVE}
    synops = dict.fromkeys(CURVE, 0.0)
    for part in images.split(BATCH):
        state = Clocked(made.network, len(part))
        for timestep in range(1, max(CURVE) + 1):
            scores = state.step((torch.rand(part.shape, generator=random) < part).float())
            if timestep in found:
                found[timestep].append(scores)
                synops[timestep] += float(state.synops.sum())
    return [
        {"timesteps": t, **_judged(torch.cat(found[t]), targets), "synops": round(synops[t] / len(images)),
         "decisions_as_the_cnn": round(float((torch.cat(found[t]).argmax(1) == wanted.argmax(1)).float().mean()), 4)}
        for t in CURVE
    ]  # fmt: skip


def _judged(scores: Tensor, targets: Tensor) -> dict[str, Any]:
    return accuracy.as_json(Accuracy(int((scores.argmax(1) == targets).sum()), len(targets)))


def _beside(found: Tensor, wanted: Tensor) -> dict[str, Any]:
    off = (found - wanted).abs().amax(1) / wanted.abs().max()
    return {
        "decisions_unlike_the_cnn": int((found.argmax(1) != wanted.argmax(1)).sum()),
        "images_with_another_level_or_bit": int((off > 1e-4).sum()) if found.dtype == torch.float64 else None,
        "largest_difference": float(f"{float(off.max()):.2g}"),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four IDX files")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    parser.add_argument("--engine", type=int, default=1_000, help="images that the Engine is run on, at most")
    parser.add_argument("--poisson", type=int, default=1_000, help="images that are shown as Poisson spikes, at most")
    return parser.parse_args()


if __name__ == "__main__":
    main()
