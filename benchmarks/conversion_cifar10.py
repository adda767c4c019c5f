"""A CIFAR-10 CNN trained by others, converted without retraining: what each setting does, and the best on test images.

    python -m benchmarks.conversion_cifar10 [PART ...] --model cifar10_4conv_avgpool.json
                                            --data data/cifar-10-batches-bin

PART   choice     every preset, and variants of two, on validation images: what is best is chosen here
       test       what was chosen (CHOSEN), on all test images
       ablation   {reset} x {percentile} x {input} x {v(0)}, on the first --some test images
       ecc        current normalization, thresholding for residual elimination, each alone; spikes and counts; likewise

With another --model, such as a VGG with batch norm of `dvs train`, give another --result; "ecc" then also folds its
batch norms with epsilons that are not theirs, as a converter without consistency maintenance (CMB) does.

Calibration and validation images are of the training set. Nothing is chosen on test images: "ablation" and "ecc" show
there what each setting does, whatever it does.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from dvs_run.pipeline.cifar import CIFAR10_NAMES, read_cifar10
from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.methods.presets import PRESETS

from .conversions import Bench, Shown, as_inputs

CALIBRATION, VALIDATION_FROM = 512, 2000
ABLATION = {
    f"{reset}, {percentile}, {coding}, v(0)={start}": Method(
        reset=reset, percentile=percentile, input=coding, v_init=start
    )
    for reset in ("subtract", "zero")
    for percentile in (100.0, 99.9, 99.0)
    for coding in ("constant", "poisson")
    for start in (0.0, 0.5)
}
ECC = {
    "percentile 99.9 instead of CN": Method(v_init=0.0),
    "CN": Method(percentile=100, v_init=0.0),
    "CN, TRE": Method(percentile=100, v_init=0.5),
    "CN, TRE of 2/3": Method(percentile=100, v_init=2 / 3),
    "CN, TRE, pools that spike": Method.preset("ecc2022"),
    "CN, TRE, thresholds x 0.5": Method(percentile=100, v_init=0.5, threshold_scale=0.5),
    "CN, TRE, several spikes of 1/4": Method(percentile=100, v_init=0.5, threshold_scale=0.25, max_spikes=64),
}
CANDIDATES = {preset.name: preset.method for preset in PRESETS} | {
    "calibrated at 16": replace(Method.preset("calibrated"), correction_timesteps=16),
    "calibrated at 64": replace(Method.preset("calibrated"), correction_timesteps=64),
    "burst of 99.9": replace(Method.preset("burst"), percentile=99.9),
    "burst of 1/4": replace(Method.preset("burst"), threshold_scale=0.25),
}
EPSILONS = (0.0, 1e-3, 1e-2)  # torch's own is 1e-5, Keras' 1e-3
CHOSEN = {"fine": 16, "standard": 64}  # timesteps: the most accurate on validation images; what is done unasked
ROWS = {
    "choice": CANDIDATES,
    "test": {name: CANDIDATES[name] for name in CHOSEN},
    "ablation": ABLATION,
    "ecc": ECC,
}
TIMESTEPS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(ROWS))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--validation", type=int, default=1000, help="images of the training set")
    parser.add_argument("--some", type=int, default=1000, help="test images of ablation and ecc")
    parser.add_argument("--tested", type=int, default=10_000, help="test images of test")
    parser.add_argument("--pieces", type=Path, default=Path("runs/conversion-cifar10"))
    parser.add_argument("--result", default="conversion-cifar10", help="name of the file in benchmarks/results")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = read_cifar10(given.data, "train")
    last = VALIDATION_FROM + given.validation
    validation = Shown(
        as_inputs(images[VALIDATION_FROM:last]), labels[VALIDATION_FROM:last], f"training images {VALIDATION_FROM}.."
    )
    command = (
        f"python -m benchmarks.conversion_cifar10 {' '.join(ROWS)} --validation {given.validation} --some {given.some} "
        f"--tested {given.tested} --model {given.model.name} --result {given.result} --data data/cifar-10-batches-bin"
    )
    bench = Bench(
        given.result,
        command,
        load_model(given.model).model,
        CIFAR10_NAMES,
        as_inputs(images[:CALIBRATION]),
        given.pieces,
    )
    images, labels = read_cifar10(given.data, "test")
    some = Shown(as_inputs(images[: given.some]), labels[: given.some], f"first {given.some} test images")
    name = "all test images" if given.tested >= len(images) else f"first {given.tested} test images"
    tested = Shown(as_inputs(images[: given.tested]), labels[: given.tested], name)
    of_part = {"choice": validation, "test": tested, "ablation": some, "ecc": some}
    for part in given.parts:
        shown = of_part[part]
        for name, method in ROWS[part].items():
            if given.only in name:
                timesteps = CHOSEN[name] if part == "test" else TIMESTEPS
                bench.row(part, name, method, timesteps, shown, counts=part == "ecc")
        for epsilon in EPSILONS if part == "ecc" and norms(bench.model) else ():
            name = f"CN, TRE, epsilon {epsilon:g} (without CMB)"
            if given.only in name:
                wrong = with_epsilon(bench.model, epsilon)
                bench.row(part, name, ECC["CN, TRE"], TIMESTEPS, shown, counts=True, converted=wrong)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def with_epsilon(model: nn.Module, epsilon: float) -> nn.Module:
    """A copy whose batch norms are folded as if their epsilon were another: for the ablation alone."""
    wrong = copy.deepcopy(model)
    for norm in norms(wrong):
        norm.eps = epsilon
    return wrong


if __name__ == "__main__":
    main()
