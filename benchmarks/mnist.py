"""MNIST as spikes and as current: accuracy of recordings/networks/mnist.npz against timesteps, beside its CNN.

    python -m benchmarks.mnist --data data/mnist                            # 10,000 test images, both inputs
    python -m benchmarks.mnist --data data/mnist --choose mnist.pt          # percentiles, on validation images

Everything spiking runs on the event-driven Engine, image by image, as `dvs-run` would; the CNN runs in torch. With
--choose, the images are the validation part of the training set (the last 5,000) and nothing of the test set is read.
The figures go to benchmarks/results/mnist.json and mnist-choice.json, after each run.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.evaluate import judge_images
from dvs_run.pipeline.idx import read_images, read_labels
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.evaluate import Accuracy

from . import accuracy

CURVE = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128)
PERCENTILES = (99.0, 99.5, 99.9, 99.99)
VALIDATION = 5_000  # as in configs/train-mnist.yaml
SHIPPED = Path(__file__).resolve().parent.parent / "recordings/networks/mnist.npz"


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    part = "train" if arguments.choose else "t10k"
    images = read_images(arguments.data / f"{part}-images-idx3-ubyte")
    targets = read_labels(arguments.data / f"{part}-labels-idx1-ubyte", len(images))
    if arguments.choose:
        images, targets = images[-VALIDATION:], targets[-VALIDATION:]
        networks = {f"percentile {p}": _converted(arguments.choose, p) for p in PERCENTILES}
    else:
        networks = {SHIPPED.name: Network.load(SHIPPED)}
    images, targets = images[: arguments.limit], targets[: arguments.limit]
    cnn = _cnn(next(iter(networks.values())), images, targets)
    print(f"CNN: {cnn}", flush=True)
    results: dict[str, Any] = {
        "what": f"MNIST, {'validation' if arguments.choose else 'test'} images; Engine for every spike, 1 thread",
        "cnn": {"ran_on": "torch", **accuracy.as_json(cnn)},
        "runs": [],
    }
    for name, network in networks.items():
        for encoder in _encoders(arguments):
            results["runs"].append({"network": name, **_run(network, encoder, images, targets, cnn)})
            accuracy.write("mnist-choice" if arguments.choose else "mnist", results)


def _run(
    network: Network,
    encoder: PoissonEncoder | CurrentEncoder,
    images: np.ndarray,
    targets: np.ndarray,
    cnn: Accuracy,
) -> dict[str, Any]:
    engine = Engine(network)
    engine.warm_up()
    outcome = judge_images(engine, images, targets, encoder, CURVE, _tell)
    reached = Accuracy(outcome.right, outcome.n)
    curve = {step: round(right / outcome.n, 4) for step, right in outcome.right_after.items()}
    line = {
        "percentile": network.provenance["percentile"],
        "input": "constant current",
        "timesteps": encoder.timesteps,
        **accuracy.as_json(reached),
        "points_below_cnn": round(100 * (cnn.share - reached.share), 2),
        "accuracy_after_timesteps": curve,
        "synops_per_decision": round(outcome.synops),
        "macs_of_the_cnn": sum(engine.macs_per_layer.values()),
        "potentials_clamped": engine.clamped,
    }
    if isinstance(encoder, PoissonEncoder):
        line |= {"input": "Poisson", "rate_per_step": encoder.rate_per_step, "seed": encoder.seed}
    print(f"percentile {line['percentile']}, {line['input']}, T = {encoder.timesteps}: {reached}", flush=True)
    print("  " + "  ".join(f"{step}: {share:.2%}" for step, share in curve.items()), flush=True)
    return line


def _cnn(network: Network, images: np.ndarray, targets: np.ndarray) -> Accuracy:
    with torch.inference_mode():
        decisions = [accuracy.as_cnn(network, x).argmax(1).numpy() for x in torch.from_numpy(images).split(500)]
    return Accuracy(int((np.concatenate(decisions) == targets).sum()), len(targets))


def _converted(checkpoint: Path, percentile: float) -> Network:
    from dvs_run.pipeline.convert import Method, convert
    from dvs_run.pipeline.train.checkpoint import load_checkpoint

    model, spec, extra = load_checkpoint(checkpoint)
    method, shape = Method(percentile=percentile), tuple(spec["input"])
    return convert(model, shape, extra["labels"], extra["calibration"], method=method, max_error=None).network


def _encoders(arguments: argparse.Namespace) -> list[PoissonEncoder | CurrentEncoder]:
    poisson = PoissonEncoder(arguments.timesteps, rate_per_step=1.0, seed=arguments.seed)
    return [poisson] if arguments.choose else [poisson, CurrentEncoder(arguments.timesteps)]


def _tell(done: int) -> None:
    if done % 1000 == 0:
        print(f"  {done} images", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four IDX files")
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="of the Poisson spikes")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    parser.add_argument("--choose", type=Path, metavar="CHECKPOINT", help="compare percentiles on validation images")
    return parser.parse_args()


if __name__ == "__main__":
    main()
