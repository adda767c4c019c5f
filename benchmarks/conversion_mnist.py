"""LeNet-5 with max pooling, trained by others, converted without retraining: gated and exact max pools.

    python -m benchmarks.conversion_mnist [choice] [test] --model mnist_lenet5_maxpool.json --data data/mnist

"choice" is on validation images of the training set: all rules with one method, both in use with every method. "test"
is what `dvs convert` does unasked, with the gated and with the exact max pool, on all test images. Figures:
conversion-mnist-lenet.json.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.idx import read_images, read_labels

from .conversions import Bench, Shown

CALIBRATION, VALIDATION_FROM = 512, 2000
METHODS = {name: Method.preset(name) for name in ("standard", "single", "calibrated", "burst", "fine")}
RULES = ("fir", "average", "exponential", "or", "exact")
TESTED = ("standard",)  # what is done unasked: nothing was chosen
TEST_RULES = ("fir", "exact")
TIMESTEPS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["choice", "test"])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four IDX files")
    parser.add_argument("--validation", type=int, default=1000, help="images of the training set")
    parser.add_argument("--pieces", type=Path, default=Path("runs/conversion-mnist"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    train = _images(given.data, "train", VALIDATION_FROM + given.validation)
    command = (
        f"python -m benchmarks.conversion_mnist choice test --validation {given.validation} "
        f"--model {given.model.name} --data data/mnist"
    )
    bench = Bench(
        "conversion-mnist-lenet",
        command,
        load_model(given.model).model,
        [str(digit) for digit in range(10)],
        train.images[:CALIBRATION],
        given.pieces,
    )
    if "choice" in given.parts:
        name = f"training images {VALIDATION_FROM}.."
        shown = Shown(train.images[VALIDATION_FROM:], train.labels[VALIDATION_FROM:], name)
        first = next(iter(METHODS.items()))
        for rule in RULES:
            for name, method in METHODS.items() if rule in TEST_RULES else [first]:
                bench.row("choice", f"{name}, {rule}", replace(method, pool_rule=rule), TIMESTEPS, shown)
    if "test" in given.parts:
        shown = _images(given.data, "t10k", 10_000)
        for rule in TEST_RULES:
            for name in TESTED:
                bench.row("test", f"{name}, {rule}", replace(METHODS[name], pool_rule=rule), TIMESTEPS, shown)


def _images(folder: Path, part: str, n: int) -> Shown:
    images = torch.from_numpy(read_images(folder / f"{part}-images-idx3-ubyte")[:n])
    labels = read_labels(folder / f"{part}-labels-idx1-ubyte")[:n]
    return Shown(images, labels, f"all {n} of {part}")


if __name__ == "__main__":
    main()
