"""Labelled pictures for small CNNs: one grating per class at a random place, a bright spot, noise. Seeded, within 0..1.

Uniform noise would not do: every layer behind the first averages it away, and all inputs look alike.
"""

import torch
from torch import Tensor


def pictures(n: int, shape: tuple[int, int, int], seed: int, classes: int = 6) -> tuple[Tensor, Tensor]:
    """n pictures float32 (n, *shape) and their classes int64 (n,), every class equally often. A class is an angle of
    the grating and the channel that it is strongest in; where it lies, how fine and how strong it is are by chance."""
    random = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    label = torch.arange(n) % classes
    angle = label * torch.pi / classes
    fineness = (0.8 + 0.4 * torch.rand(n, generator=random)) * 2 * torch.pi * 3 / width
    phase = torch.rand(n, generator=random) * 2 * torch.pi
    contrast = 0.3 + 0.5 * torch.rand(n, generator=random)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    along = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y
    wave = torch.sin(fineness.view(-1, 1, 1) * along + phase.view(-1, 1, 1)) * contrast.view(-1, 1, 1)
    colour = torch.full((n, channels), 0.4)
    colour[torch.arange(n), label % channels] = 1.0
    image = 0.5 + 0.5 * wave[:, None] * colour[:, :, None, None]
    spot_y, spot_x = torch.rand(2, n, 1, 1, generator=random) * torch.tensor([height, width]).view(2, 1, 1, 1)
    image += 0.5 * torch.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / (0.02 * height * width))[:, None]
    image += 0.05 * torch.randn(n, *shape, generator=random)
    return image.clamp(0, 1), label
