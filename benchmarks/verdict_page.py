"""docs/verdict-example.html: the verdict on recordings/networks/mnist.npz, on MNIST's test images.

    python -m benchmarks.verdict_page --data data/mnist            # 10,000 images clocked, 1,000 in the engine

The CNN is the network's own weights with their scales taken out again, in torch; what batch norms it was trained with
are folded into them. No setting of the network was chosen on these images.
"""

import argparse
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from dvs_run.pipeline.convert import Method, import_cnn
from dvs_run.pipeline.convert.page import write_page
from dvs_run.pipeline.convert.verdict import Verdict, measure_stages
from dvs_run.pipeline.idx import read_images, read_labels
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, SumPool2d

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "recordings/networks/mnist.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's IDX files (plain or gzipped)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/verdict-example.html")
    parser.add_argument("--limit", type=int, default=10_000, help="images")
    parser.add_argument("--engine", type=int, default=1_000, help="images that the engine sees")
    parser.add_argument("--timesteps", type=int, default=64)
    parser.add_argument("--allowed", type=float, default=0.5, help="points of loss")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = Network.load(SHIPPED)
    pixels = read_images(_file(arguments.data, "t10k-images-idx3-ubyte"))
    labels = read_labels(_file(arguments.data, "t10k-labels-idx1-ubyte"), len(pixels))
    model = cnn_of(network)
    conversion = SimpleNamespace(network=network, cnn=import_cnn(model, network.input_shape), method=Method())
    images = torch.from_numpy(pixels)[: arguments.limit]
    measured = measure_stages(
        model,
        conversion,
        images,
        labels[: arguments.limit],
        arguments.timesteps,
        engine_samples=arguments.engine,
        progress=_tell,
    )
    title = f"{SHIPPED.name}: MNIST, {len(images):,} test images"
    verdict = Verdict(measured, arguments.allowed, network.provenance, title)
    write_page(verdict, arguments.out)
    print(verdict.sentence, verdict.cost, verdict.worst, *verdict.warnings, sep="\n")


def cnn_of(network: Network) -> nn.Sequential:
    """The CNN whose activations the network's rates stand for: W λ / λ_before, and average pools for sums."""
    lambdas, modules = network.provenance["lambdas"], OrderedDict[str, nn.Module]()
    before, area = 1.0, 1
    for layer, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        if isinstance(layer, Conv2d | Linear):
            own = 1.0 if following is None else lambdas[following.name]
            weight = (torch.from_numpy(np.array(layer.weight)).double() * (own / before * area)).float()
            if isinstance(layer, Linear):
                modules["flatten"] = nn.Flatten()
                module: nn.Module = nn.Linear(weight.shape[1], weight.shape[0])
            else:
                module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], layer.stride, layer.padding)
            bias = np.zeros(len(weight)) if layer.bias is None else np.array(layer.bias, float) * own
            module.load_state_dict({"weight": weight, "bias": torch.from_numpy(bias).float()})
            modules[layer.name], before, area = module, own, 1
        elif isinstance(layer, IF):
            modules[layer.name] = nn.ReLU()
        elif isinstance(layer, SumPool2d):
            modules[layer.name] = nn.AvgPool2d(layer.kernel, layer.stride)
            area *= layer.kernel[0] * layer.kernel[1]
    return nn.Sequential(modules).eval()


def _file(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).exists() else folder / f"{name}.gz"


def _tell(stage: str, done: int, n: int) -> None:
    if done % 500 == 0 or done == n:
        print(f"  {stage}: {done:,} of {n:,}", flush=True)


if __name__ == "__main__":
    main()
