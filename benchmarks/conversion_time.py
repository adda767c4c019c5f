"""How long it takes to convert and calibrate VGG-16 on 1,000 images, with the check and a progress bar.

    python -m benchmarks.conversion_time                                   # 32x32 images, as on CIFAR-10
    python -m benchmarks.conversion_time --side 224 --images 200           # as on ImageNet

Random weights, batch norms fitted to random images: neither the time of a convolution nor that of a percentile
depends on the values. Figures go to benchmarks/results/conversion-time.json, by size.
"""

import argparse
import json
import os
import time

import torch

from dvs_run.nodes.commands.convert_choice import Progress
from dvs_run.pipeline.convert import convert
from tests.convert.architectures import vgg

from .accuracy import RESULTS, write

NAME, SEED, LABELS = "conversion-time", 0, [str(number) for number in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(SEED)
    model = vgg(16, side=given.side).train()
    images = torch.rand(given.images, 3, given.side, given.side)
    with torch.inference_mode():
        model(images[:8])  # statistics for the batch norms
    load, began, worked = os.getloadavg()[0], time.perf_counter(), time.process_time()
    with Progress() as progress:
        report = convert(
            model.eval(), (3, given.side, given.side), LABELS, images, max_error=None, progress=progress.behind
        ).report
    row = {
        "images": given.images,
        "threads": given.threads,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),  # of all threads together
        "load_average_before": round(load, 2),
        "macs": report.macs,
        "checked": f"{report.samples} images, {report.timesteps} timesteps",
    }
    path = RESULTS / f"{NAME}.json"
    sizes = json.loads(path.read_text())["sizes"] if path.exists() else {}
    sizes[f"{given.side}x{given.side}"] = row
    write(
        NAME,
        {"command": "python -m benchmarks.conversion_time --side SIDE --images IMAGES", "seed": SEED}
        | {"sizes": sizes},
    )
    print(row)


if __name__ == "__main__":
    main()
