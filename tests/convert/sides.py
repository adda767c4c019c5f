"""A small CNN that needs no training: is the left half of an 8x8 image brighter than the right? And such images."""

import numpy as np
import torch
from torch import nn

SHAPE = (1, 8, 8)


class Sides(nn.Sequential):
    """Blur, ReLU, the means of the four quarters, their difference. Two outputs: right, left."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(),
            nn.Linear(4, 2),
        )  # fmt: skip
        quarter = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
        with torch.no_grad():
            self[0].weight.copy_(torch.tensor([1 / 9, 1 / 18]).view(2, 1, 1, 1).expand(2, 1, 3, 3))
            self[0].bias.copy_(torch.tensor([0.0, -0.1]))
            self[4].weight.copy_(torch.stack([quarter, -quarter, 0.5 * quarter, -0.5 * quarter]))
            self[4].bias.zero_()
            self[6].weight.copy_(torch.tensor([[0.0, 1.0, 0.0, 0.5], [1.0, 0.0, 0.5, 0.0]]))
            self[6].bias.zero_()


def images(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 1, 8, 8) and whether the left half is brighter, int64 (n,)."""
    random = np.random.default_rng(seed)
    values = random.random((n, *SHAPE), np.float32) * 0.5
    labels = random.integers(0, 2, n)
    for value, label in zip(values, labels, strict=True):
        side = slice(0, 4) if label else slice(4, 8)
        value[0, :, side] += np.float32(random.uniform(0.02, 0.3))
    return values, labels


def model() -> nn.Module:
    """What --architecture names."""
    return Sides()
