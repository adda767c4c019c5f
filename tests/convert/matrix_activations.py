"""Networks of the matrix: activations, pools, and traps that lie in the numbers."""

import torch
from torch import nn
from torch.nn import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    Hardtanh,
    LeakyReLU,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    functional,
)

from .matrix import Case
from .matrix_parts import act, behind, bn, called, chain, conv, front


def cases() -> list[Case]:
    return [*_activations(), *_pools(), *_traps()]


def _activations() -> list[Case]:
    return [
        Case("one ReLU used twice", lambda: act(ReLU())),
        Case("ReLU in place", lambda: act(ReLU(inplace=True))),
        Case(
            "F.relu",
            lambda: called(lambda m, x: m.fc(functional.relu(m.conv2(functional.relu(m.conv1(x)))).flatten(1))),
        ),
        Case(
            "torch.relu, x.relu() and clamp(min=0)",
            lambda: called(lambda m, x: m.fc(m.conv2(torch.relu(m.conv1(x)).relu()).clamp(min=0).flatten(1))),
        ),
        Case("a ReLU behind a ReLU", lambda: front(ReLU(), AvgPool2d(2), ReLU())),
        Case("ReLU6", lambda: act(ReLU6()), before=scale_first(8.0)),
        Case(
            "F.relu6 and F.hardtanh from 0",
            lambda: called(
                lambda m, x: m.fc(functional.hardtanh(m.conv2(functional.relu6(m.conv1(x))), 0, 0.7).flatten(1))
            ),
        ),
        Case(
            "clamp to 0..1", lambda: called(lambda m, x: m.fc(m.conv2(m.conv1(x).clamp(0, 1)).clamp(0, 1).flatten(1)))
        ),
        Case("Hardtanh", lambda: act(Hardtanh()), before=scale_first(3.0)),
        Case("LeakyReLU", lambda: act(LeakyReLU(0.1))),
        Case("F.leaky_relu", lambda: called(lambda m, x: m.fc(functional.leaky_relu(m.conv1(x), 0.2).flatten(1)))),
        Case("PReLU, one slope a channel", lambda: chain(conv(3), PReLU(8), conv(), PReLU(8))),
        Case(
            "LeakyReLU, then an average pool",
            lambda: chain(conv(3), LeakyReLU(0.1), AvgPool2d(2), conv(), LeakyReLU(0.1)),
        ),
        Case("LeakyReLU, then a max pool", lambda: chain(conv(3), LeakyReLU(0.1), MaxPool2d(2))),
        Case(
            "constants",
            lambda: called(lambda m, x: -m.fc((2 * m.relu(0.5 * m.conv1(x / 2) + 0.1) * 3).flatten(1)) / 4 - 1),
        ),
    ]


def _pools() -> list[Case]:
    return [
        Case("max pool behind the ReLU", lambda: behind(MaxPool2d(2))),
        Case("max pool before the ReLU", lambda: chain(conv(3), MaxPool2d(2), ReLU())),
        Case("overlapping max pool", lambda: behind(MaxPool2d(3, 2))),
        Case("padded max pool", lambda: behind(MaxPool2d(3, 2, 1))),
        Case("padded max pool before the ReLU", lambda: chain(conv(3), MaxPool2d(3, 2, 1), ReLU())),
        Case("max pool of uneven size", lambda: behind(MaxPool2d((1, 3)))),
        Case("max pool with ceil_mode", lambda: behind(MaxPool2d(3, 2, ceil_mode=True))),
        Case("global max pool", lambda: front(AdaptiveMaxPool2d(1))),
        Case("two max pools", lambda: front(MaxPool2d(2), conv(), ReLU(), MaxPool2d(2))),
        Case("max pool, then average pool", lambda: front(MaxPool2d(2), AvgPool2d(2))),
        Case("average pool, then max pool", lambda: front(AvgPool2d(2), MaxPool2d(2))),
        Case("max pool behind a batch norm and a ReLU", lambda: chain(conv(3), bn(), ReLU(), MaxPool2d(2))),
        Case("max pool behind ReLU6", lambda: chain(conv(3), ReLU6(), MaxPool2d(2))),
        Case("average pool before the ReLU", lambda: chain(conv(3), AvgPool2d(2), ReLU())),
        Case("overlapping average pool", lambda: behind(AvgPool2d(3, 2))),
        Case("padded average pool", lambda: behind(AvgPool2d(3, 2, 1))),
        Case("average pool with a divisor of its own", lambda: behind(AvgPool2d(2, divisor_override=3))),
        Case("average pool of the input", lambda: chain(AvgPool2d(2), conv(3), ReLU())),
        Case("two average pools in a row", lambda: front(AvgPool2d(2), AvgPool2d(3))),
        Case("global average pool", lambda: front(conv(), ReLU(), AdaptiveAvgPool2d(1))),
        Case("adaptive average pool to 4x4", lambda: front(AdaptiveAvgPool2d(4))),
        Case(
            "mean over the picture",
            lambda: called(lambda m, x: m.fc(m.relu(m.conv2(m.relu(m.conv1(x)))).mean((2, 3))), 8),
        ),
    ]


def _traps() -> list[Case]:
    return [
        Case("large biases", lambda: behind(AvgPool2d(2)), before=large_biases),
        Case("all logits negative", front, after=negative_logits),
        Case("channels that are dead", lambda: front(conv(), ReLU()), before=silence(2, [1, 4])),
        Case("one channel 50 times stronger", lambda: front(conv(), ReLU()), after=scale_channel(50.0)),
        Case("one huge outlier in the calibration", lambda: front(conv(), ReLU()), calibration=blazing),
        Case("activations around 1e-6", lambda: front(conv(), ReLU()), after=scale_all(1e-6)),
        Case("activations around 1e6", lambda: front(conv(), ReLU()), after=scale_all(1e6)),
        Case("negative inputs", lambda: front(conv(), ReLU()), prepare=normalized),
        Case("inputs of 0..255", lambda: chain(conv(3), bn(), ReLU()), prepare=lambda x: 255 * x),
        Case("a ReLU at the end", lambda: Sequential(*front(), ReLU()), readout="count"),
    ]


def large_biases(model: nn.Module) -> None:
    """Biases of +1 and -1 in turn: what a picture adds is little beside them."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.bias[::2], layer.bias[1::2] = 1.0, -1.0


def scale_channel(factor: float):
    """One channel of the first conv is `factor` times stronger, and its reader as much weaker: the same function."""

    def tweak(model: nn.Module) -> None:
        model[0].weight[0] *= factor
        model[0].bias[0] *= factor
        model[2].weight[:, 0] /= factor

    return tweak


def scale_all(factor: float):
    def tweak(model: nn.Module) -> None:
        for weight in (model[0].weight, model[0].bias):
            weight *= factor
        model[2].weight /= factor

    return tweak


def scale_first(factor: float):
    def tweak(model: nn.Module) -> None:
        model[0].weight *= factor

    return tweak


def blazing(x: torch.Tensor) -> torch.Tensor:
    """One picture of the calibration has a pixel 30 times as bright as white."""
    x = x.clone()
    x[0, :, 5, 5] = 30.0
    return x


def silence(layer: int, channels=slice(None)):
    def tweak(model: nn.Module) -> None:
        model[layer].bias[channels] = -30.0

    return tweak


def negative_logits(model: nn.Module) -> None:
    model[-1].bias -= 50.0


def normalized(x: torch.Tensor) -> torch.Tensor:
    return (x - 0.5) / 0.25
