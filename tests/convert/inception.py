"""Inception-v3 (Szegedy et al. 2016) with all its blocks, and GoogLeNet (2015), as plain modules of our own.

`width` multiplies every channel count as in architectures.py. Inception-v3 wants images of at least 75x75.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from .architectures import scaled


class Conv(nn.Module):
    """Convolution without bias, batch norm (eps 1e-3, as trained), ReLU by function."""

    def __init__(self, channels: int, out: int, kernel: int | tuple[int, int], **options) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, bias=False, **options)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Branches(nn.Module):
    """Parallel branches, joined along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class AveragedBranch(nn.Module):
    """A padded 3x3 average pool by function, its border divided by 9 all the same, then a 1x1."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = Conv(channels, out, 1)

    def forward(self, x):
        return self.conv(functional.avg_pool2d(x, kernel_size=3, stride=1, padding=1))


def block_a(channels: int, pooled: int, width: float) -> tuple[nn.Module, int]:
    """1x1; 1x1 5x5; 1x1 3x3 3x3; average pool 1x1."""
    c48, c64, c96, pooled = scaled(width, 48, 64, 96, pooled)
    made = Branches(
        Conv(channels, c64, 1),
        nn.Sequential(Conv(channels, c48, 1), Conv(c48, c64, 5, padding=2)),
        nn.Sequential(Conv(channels, c64, 1), Conv(c64, c96, 3, padding=1), Conv(c96, c96, 3, padding=1)),
        AveragedBranch(channels, pooled),
    )
    return made, 2 * c64 + c96 + pooled


def block_b(channels: int, width: float) -> tuple[nn.Module, int]:
    """The grid halves: 3x3; 1x1 3x3 3x3; max pool of the block's own input."""
    c64, c96, c384 = scaled(width, 64, 96, 384)
    made = Branches(
        Conv(channels, c384, 3, stride=2),
        nn.Sequential(Conv(channels, c64, 1), Conv(c64, c96, 3, padding=1), Conv(c96, c96, 3, stride=2)),
        nn.MaxPool2d(3, 2),
    )
    return made, c384 + c96 + channels


def block_c(channels: int, inner: int, width: float) -> tuple[nn.Module, int]:
    """1x1; 1x1 1x7 7x1; 1x1 7x1 1x7 7x1 1x7; average pool 1x1."""
    inner, c192 = scaled(width, inner, 192)

    def flat(a: int, b: int) -> Conv:
        return Conv(a, b, (1, 7), padding=(0, 3))

    def tall(a: int, b: int) -> Conv:
        return Conv(a, b, (7, 1), padding=(3, 0))

    made = Branches(
        Conv(channels, c192, 1),
        nn.Sequential(Conv(channels, inner, 1), flat(inner, inner), tall(inner, c192)),
        nn.Sequential(
            *(Conv(channels, inner, 1), tall(inner, inner), flat(inner, inner), tall(inner, inner), flat(inner, c192))
        ),
        AveragedBranch(channels, c192),
    )
    return made, 4 * c192


def block_d(channels: int, width: float) -> tuple[nn.Module, int]:
    """The grid halves again: 1x1 3x3; 1x1 1x7 7x1 3x3; max pool."""
    c192, c320 = scaled(width, 192, 320)
    made = Branches(
        nn.Sequential(Conv(channels, c192, 1), Conv(c192, c320, 3, stride=2)),
        nn.Sequential(
            Conv(channels, c192, 1),
            Conv(c192, c192, (1, 7), padding=(0, 3)),
            Conv(c192, c192, (7, 1), padding=(3, 0)),
            Conv(c192, c192, 3, stride=2),
        ),
        nn.MaxPool2d(3, 2),
    )
    return made, c320 + c192 + channels


def block_e(channels: int, width: float) -> tuple[nn.Module, int]:
    """1x1; 1x1 then 1x3 beside 3x1; 1x1 3x3 then 1x3 beside 3x1; average pool 1x1."""
    c192, c320, c384, c448 = scaled(width, 192, 320, 384, 448)

    def split() -> Branches:
        return Branches(Conv(c384, c384, (1, 3), padding=(0, 1)), Conv(c384, c384, (3, 1), padding=(1, 0)))

    made = Branches(
        Conv(channels, c320, 1),
        nn.Sequential(Conv(channels, c384, 1), split()),
        nn.Sequential(Conv(channels, c448, 1), Conv(c448, c384, 3, padding=1), split()),
        AveragedBranch(channels, c192),
    )
    return made, c320 + 4 * c384 + c192


class InceptionV3(nn.Module):
    """Stem, blocks 3 A, B, 4 C, D, 2 E, global pool. The auxiliary head speaks in training only."""

    def __init__(self, classes: int = 1000, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c80, c192 = scaled(width, 32, 64, 80, 192)
        self.stem = nn.Sequential(
            *(Conv(3, c32, 3, stride=2), Conv(c32, c32, 3), Conv(c32, c64, 3, padding=1), nn.MaxPool2d(3, 2)),
            *(Conv(c64, c80, 1), Conv(c80, c192, 3), nn.MaxPool2d(3, 2)),
        )
        self.before_aux, channels = _in_a_row(
            c192,
            *(lambda n, pooled=pooled: block_a(n, pooled, width) for pooled in (32, 64, 64)),
            lambda n: block_b(n, width),
            *(lambda n, inner=inner: block_c(n, inner, width) for inner in (128, 160, 160, 192)),
        )
        self.aux = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
        self.behind_aux, channels = _in_a_row(
            channels, lambda n: block_d(n, width), lambda n: block_e(n, width), lambda n: block_e(n, width)
        )
        self.pool, self.dropout, self.fc = nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Linear(channels, classes)

    def forward(self, x):
        x = self.before_aux(self.stem(x))
        aux = self.aux(x) if self.training else None
        x = self.fc(torch.flatten(self.dropout(self.pool(self.behind_aux(x))), 1))
        return (x, aux) if self.training else x


def googlenet_block(channels: int, plan: tuple[int, ...], width: float) -> tuple[nn.Module, int]:
    """1x1; 1x1 3x3; 1x1 5x5; max pool (3x3, padded, stride 1) 1x1. With biases and without batch norm, as in 2015."""
    one, before3, three, before5, five, pooled = scaled(width, *plan)

    def conv(a: int, b: int, kernel: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, kernel, padding=kernel // 2), nn.ReLU()]

    made = Branches(
        nn.Sequential(*conv(channels, one, 1)),
        nn.Sequential(*conv(channels, before3, 1), *conv(before3, three, 3)),
        nn.Sequential(*conv(channels, before5, 1), *conv(before5, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(channels, pooled, 1)),
    )
    return made, one + three + five + pooled


def googlenet(classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """For 32x32: a 3x3 in front, the blocks 3a, 3b, a pool, 4a and 4e, global pool."""
    (front,) = scaled(width, 192)
    first, channels = googlenet_block(front, (64, 96, 128, 16, 32, 32), width)
    second, channels = googlenet_block(channels, (128, 128, 192, 32, 96, 64), width)
    third, channels = googlenet_block(channels, (192, 96, 208, 16, 48, 64), width)
    fourth, channels = googlenet_block(channels, (256, 160, 320, 32, 128, 128), width)
    return nn.Sequential(
        *(nn.Conv2d(3, front, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), first, second),
        *(nn.MaxPool2d(3, 2, padding=1), third, fourth),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(channels, classes)),
    )


def _in_a_row(channels: int, *makers: Callable[[int], tuple[nn.Module, int]]) -> tuple[nn.Sequential, int]:
    """Blocks, each made for the channels that the one before it gives; and how many the last gives."""
    blocks = []
    for make in makers:
        block, channels = make(channels)
        blocks.append(block)
    return nn.Sequential(*blocks), channels
