"""Accuracy of trained CNNs on the test images of CIFAR-10 or MNIST, before any conversion.

    python -m benchmarks.cnn --data data runs/cifar10.pt runs/cifar10-quantized.pt runs/mnist-sign.pt

`--data` holds cifar-10-batches-bin/ and mnist/. Which set a checkpoint is for follows from its input: 3 channels are
CIFAR-10. The figures go to benchmarks/results/cnn.json, with each checkpoint's recipe and multiply-adds.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dvs_run.pipeline.cifar import read_cifar10
from dvs_run.pipeline.idx import read_images, read_labels
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.evaluate import Accuracy
from dvs_run.pipeline.train.images import predict

from . import accuracy


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    runs = []
    for path in arguments.checkpoints:
        model, spec, extra = load_checkpoint(path)
        images, targets = _test_images(arguments.data, spec["input"][0])
        right = int((predict(model, images).numpy() == targets).sum())
        reached = Accuracy(right, len(targets))
        print(f"{path.name}: {reached}; validation {extra['accuracy']['validation']:.2%}", flush=True)
        runs.append(
            {
                "checkpoint": path.name,
                **accuracy.as_json(reached),
                "validation": extra["accuracy"],
                "macs": macs(model, tuple(spec["input"])),
                "config": extra["config"],
            }
        )
        accuracy.write("cnn", {"what": "CNNs in torch on test images, 1 thread", "runs": runs})


def macs(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of one image: each weight of a convolution or linear layer, once for each output that uses it."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        total += weight[0].numel() * output[0].numel()

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return total


def _test_images(data: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    if channels == 3:
        return read_cifar10(data / "cifar-10-batches-bin", "test")
    images = _either(data / "mnist/t10k-images-idx3-ubyte")
    return read_images(images), read_labels(_either(data / "mnist/t10k-labels-idx1-ubyte"))


def _either(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar-10-batches-bin/ and mnist/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
