"""A small CNN, converted and measured; and figures as a measurement gives them."""

import functools
from dataclasses import replace

import numpy as np
from torch import nn

from dvs_run.pipeline.convert import Method, convert
from dvs_run.pipeline.convert.verdict import measure_stages
from dvs_run.pipeline.convert.verdict.measured import Curve, LayerFidelity, Measured, Stage
from dvs_run.pipeline.engine import Engine

from .. import nets
from ..spikes import whole_numbers

TIMESTEPS = 24


@functools.cache
def small(channels=3, size=16):
    """conv, ReLU, average pool, conv, ReLU, linear; seeded."""
    return nets.fitted(
        lambda: nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * (size // 2 - 2) ** 2, 6),
        ),
        shape=(channels, size, size),
    )


@functools.cache
def converted(exact=False, **settings):
    """`small` as a network; exact: with whole numbers for weights, so that neither network rounds anything."""
    conversion = convert(
        small(), nets.SHAPE, nets.LABELS, nets.inputs(32), method=Method(**settings), max_error=None, check_timesteps=4
    )
    return in_whole_numbers(conversion) if exact else conversion


def in_whole_numbers(conversion):
    return replace(conversion, network=whole_numbers(conversion.network, Engine(conversion.network, numbers="float32")))


def pictures(n, coding="constant"):
    """Black and white for constant current, whose sums the engine rounds to whole numbers; else grey."""
    images = nets.inputs(n, seed=9)
    return images.round() if coding == "constant" else images


def measured(conversion, model=None, n=40, timesteps=TIMESTEPS, inputs=None, **settings):
    inputs = pictures(n, settings.get("coding", "constant")) if inputs is None else inputs
    labels = np.arange(n) % len(nets.LABELS)
    settings.setdefault("numbers", ())
    return measure_stages(model or small(), conversion, inputs, labels, timesteps, batch=16, **settings)


def layer(name="relu1", **figures):
    plain = {
        "weights": ("conv1",), "sources": (), "behind_max_pool": False, "neurons": 10, "macs": 100, "synops": 50.0,
        "error": 0.01, "reset": "subtract", "rate": 0.1, "active_rate": 0.2, "clipped": 0.001, "dead": 0.0,
        "arrived": 0.0, "clipping": 0.0, "early": 0.0, "late": 0.0, "rounding": 0.01,
    }  # fmt: skip
    return LayerFidelity(name=name, **{**plain, **figures})


CURVE = Curve(
    "converted, clocked", 1000, (0.5, 0.03, 0.012, 0.02, 0.012), (1.0,) * 5, (1.0, 2, 3, 4, 5), 10.0, (7.0,) * 5
)
FOUND = Measured(
    "constant", 5,
    (
        Stage("CNN", 1000, 990, 990, 0, 0, 1000),
        Stage("CNN as imported", 1000, 990, 990, 0, 0, 1000),
        Stage("converted, clocked", 1000, 988, 990, 4, 2, 992, 1),
        Stage("event-driven int8", 100, 80, 99, 20, 1, 79),
    ),
    CURVE, (layer(),), 10, 100, 206, 10, 1e-7, ("a note",),
)  # fmt: skip
