"""CNNs that other people trained import, fold and convert, with average and with max pooling.

Needs the data that the maintainers share (DVS_SHARED, or ../shared/data beside the repository); skipped without it.
"""

import io
import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Method, constant_current, convert, run
from dvs_run.pipeline.idx import read_images

SHARED = Path(os.environ.get("DVS_SHARED", Path(__file__).parents[3] / "shared/data"))
needs_models = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason=f"no {SHARED / 'models'}; say where the shared data is with DVS_SHARED"
)


def shared_model(name):
    """The torch module of an .npz with its .json of layers."""
    document = json.loads((SHARED / "models" / f"{name}.json").read_text())
    arrays = {key: torch.from_numpy(value) for key, value in np.load(SHARED / "models" / f"{name}.npz").items()}
    makers = {
        "conv2d": lambda item, w: nn.Conv2d(w.shape[1], w.shape[0], w.shape[2:], padding=item.get("padding", 0)),
        "linear": lambda item, w: nn.Linear(w.shape[1], w.shape[0]),
        "relu": lambda item, w: nn.ReLU(),
        "flatten": lambda item, w: nn.Flatten(),
        "avg_pool2d": lambda item, w: nn.AvgPool2d(item["kernel"]),
        "max_pool2d": lambda item, w: nn.MaxPool2d(item["kernel"]),
    }
    modules = OrderedDict()
    for index, item in enumerate(document["layers"]):
        layer_name = item.get("name", f"{item['op']}{index}")
        weight = arrays.get(f"{layer_name}.weight")
        module = makers[item["op"]](item, weight)
        if weight is not None:
            module.load_state_dict({"weight": weight, "bias": arrays[f"{layer_name}.bias"]})
        modules[layer_name] = module
    return nn.Sequential(modules).eval()


def cifar10(part, n):
    """The first n images, float32 (n, 3, 32, 32) in 0..1, and labels."""
    image = pytest.importorskip("PIL.Image", reason="the images are WebP; needs Pillow")
    index = np.load(SHARED / "cifar10" / f"{part}.npz")
    pixels, start = [], 0
    with open(SHARED / "cifar10" / f"{part}.webps", "rb") as file:
        for size in index["sheet_bytes"].tolist():
            sheet = np.asarray(image.open(io.BytesIO(file.read(size))).convert("RGB"))
            pixels.append(sheet.reshape(-1, 32, 32, 3))
            start += len(pixels[-1])
            if start >= n:
                break
    images = np.concatenate(pixels)[:n].transpose(0, 3, 1, 2)
    return torch.from_numpy(images.astype(np.float32) / 255), torch.from_numpy(index["labels"][:n].astype(np.int64))


@needs_models
def test_a_cifar10_cnn_of_other_people_converts():
    model = shared_model("cifar10_4conv_avgpool")
    labels = (SHARED / "cifar10" / "classes.txt").read_text().split()
    calibration, _ = cifar10("train", 64)
    images, targets = cifar10("test", 40)
    conversion = convert(model, (3, 32, 32), labels, calibration, check_timesteps=16, max_error=None)
    assert conversion.report.folding_error < 1e-5
    assert all(layer.correlation > 0.85 for layer in conversion.report.layers if layer.correlation is not None)
    *_, scores = run(conversion.network, constant_current(images, 40), is_current=True)
    with torch.inference_mode():
        wanted = model(images).argmax(1)
    assert (wanted == targets).float().mean() > 0.75  # 83.62 % of all 10,000
    assert (scores.argmax(1) == wanted).float().mean() > 0.85


@needs_models
@pytest.mark.parametrize("rule", ["exact", "fir"])
def test_a_lenet_with_max_pooling_of_other_people_converts(rule):
    model = shared_model("mnist_lenet5_maxpool")
    train, test = (
        torch.from_numpy(read_images(SHARED / "mnist" / f"{part}-images-idx3-ubyte.gz")) for part in ("train", "t10k")
    )
    conversion = convert(
        model, (1, 28, 28), "0123456789", train[:100], method=Method(pool_rule=rule), check_timesteps=16, max_error=None
    )
    assert conversion.report.folding_error < 1e-5
    images = test[:200]
    *_, scores = run(conversion.network, constant_current(images, 64), is_current=True)
    with torch.inference_mode():
        wanted = model(images).argmax(1)
    assert (scores.argmax(1) == wanted).float().mean() >= 0.99
