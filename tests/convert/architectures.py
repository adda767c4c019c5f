"""The networks of the field as plain modules of our own, written from their papers, narrow enough for a test.

`width` multiplies every channel count (at least 1 remains), so that the wiring is the paper's and the arithmetic small.
Inception-v3 and GoogLeNet are in inception.py; pictures.py gives weights that carry a signal through all layers.
"""

import torch
from torch import nn


def scaled(width: float, *channels: int) -> tuple[int, ...]:
    return tuple(max(1, round(width * n)) for n in channels)


def lenet5(classes: int = 10, width: float = 1.0, pool: type[nn.Module] = nn.AvgPool2d) -> nn.Sequential:
    """LeCun et al. 1998 with ReLUs, for 1x28x28: 6C5-P2-16C5-P2-120-84."""
    a, b, c, d = scaled(width, 6, 16, 120, 84)
    return nn.Sequential(
        *(nn.Conv2d(1, a, 5, padding=2), nn.ReLU(), pool(2)),
        *(nn.Conv2d(a, b, 5), nn.ReLU(), pool(2), nn.Flatten()),
        *(nn.Linear(b * 25, c), nn.ReLU(), nn.Linear(c, d), nn.ReLU(), nn.Linear(d, classes)),
    )


VGG = {  # channels of the 3x3 convolutions, block by block; a pool of 2 ends each block
    7: ((128, 128), (256, 256), (512, 512)),
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    15: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    16: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
}


def vgg(
    depth: int,
    classes: int = 10,
    width: float = 1.0,
    side: int = 32,
    pool: type[nn.Module] = nn.AvgPool2d,
    batch_norm: bool = True,
) -> nn.Sequential:
    """Simonyan & Zisserman 2015 as used on 32x32 images, with batch norm; the pool behind the ReLU."""
    layers: list[nn.Module] = []
    channels = 3
    for block in VGG[depth]:
        for out in scaled(width, *block):
            layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(out)] * batch_norm
            layers.append(nn.ReLU(inplace=True))
            channels = out
        layers.append(pool(2))
    (hidden,) = scaled(width, 1024 if depth == 7 else 512)
    features = channels * (side // 2 ** len(VGG[depth])) ** 2
    layers += [nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers)


def vgg15(classes: int = 100, width: float = 1.0, side: int = 32) -> nn.Sequential:
    """Lu & Sengupta 2020: every block ends conv, average pool, ReLU; no bias and no batch norm anywhere."""
    layers: list[nn.Module] = []
    channels = 3
    for block in VGG[15]:
        for number, out in enumerate(scaled(width, *block), 1):
            layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=False))
            layers += [nn.AvgPool2d(2), nn.ReLU()] if number == len(block) else [nn.ReLU(), nn.Dropout(0.1)]
            channels = out
    (hidden,) = scaled(width, 4096)
    features = channels * (side // 32) ** 2
    layers += [nn.Flatten(), nn.Dropout(0.1), nn.Linear(features, hidden, bias=False), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(hidden, classes, bias=False))


class BasicBlock(nn.Module):
    """He et al. 2016: two 3x3 convolutions, a shortcut (projected where the shape changes), a ReLU behind the sum.

    One ReLU module serves both places, as in most public code.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = None
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


RESNET = {18: (2, 2, 2, 2), 20: (3, 3, 3), 34: (3, 4, 6, 3)}  # blocks of each stage


def resnet(depth: int, classes: int = 10, width: float = 1.0, small_images: bool = True) -> nn.Sequential:
    """ResNet-18 and -34 (stages of 64, 128, 256, 512 channels), ResNet-20 for CIFAR (16, 32, 64).

    small_images: a 3x3 convolution at the front; False: the 7x7 of stride 2 and the padded max pool for 224x224.
    """
    blocks = RESNET[depth]
    channels = scaled(width, *((16, 32, 64) if len(blocks) == 3 else (64, 128, 256, 512)))
    front = nn.Conv2d(3, channels[0], 3, 1, 1, bias=False)
    if not small_images:
        front = nn.Conv2d(3, channels[0], 7, 2, 3, bias=False)
    layers: list[nn.Module] = [front, nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)]
    if not small_images:
        layers.append(nn.MaxPool2d(3, 2, 1))
    before = channels[0]
    for stage, (count, out) in enumerate(zip(blocks, channels, strict=True)):
        for number in range(count):
            layers.append(BasicBlock(before, out, 2 if stage > 0 and number == 0 else 1))
            before = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class DenseLayer(nn.Module):
    """Huang et al. 2017: batch norm, ReLU, convolution; what comes out stands beside what came in."""

    def __init__(self, channels: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        steps: list[nn.Module] = [nn.BatchNorm2d(channels), nn.ReLU()]
        if bottleneck:
            steps += [nn.Conv2d(channels, 4 * growth, 1, bias=False), nn.BatchNorm2d(4 * growth), nn.ReLU()]
            channels = 4 * growth
        self.steps = nn.Sequential(*steps, nn.Conv2d(channels, growth, 3, padding=1, bias=False), nn.Dropout(0.2))

    def forward(self, x):
        return torch.cat([x, self.steps(x)], 1)


def densenet(
    depth: int = 40, classes: int = 10, growth: int = 12, bottleneck: bool = False, width: float = 1.0
) -> nn.Sequential:
    """Three dense blocks with average-pooled transitions; depth = 4 + 3 layers (6 with bottlenecks) for each block."""
    (growth,) = scaled(width, growth)
    count = (depth - 4) // (6 if bottleneck else 3)
    (channels,) = scaled(width, 16)
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for block in range(3):
        for _ in range(count):
            layers.append(DenseLayer(channels, growth, bottleneck))
            channels += growth
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if block < 2:
            layers += [nn.Conv2d(channels, channels, 1, bias=False), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def mobilenet_v1(classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """Howard et al. 2017, stride 1 in front (for 32x32): 3x3 depthwise, then 1x1, each with batch norm and ReLU6."""

    def with_norm(conv: nn.Conv2d) -> list[nn.Module]:
        return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True)]

    (before,) = scaled(width, 32)
    layers = with_norm(nn.Conv2d(3, before, 3, 1, 1, bias=False))
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
    for channels, stride in plan:
        (out,) = scaled(width, channels)
        layers += with_norm(nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False))
        layers += with_norm(nn.Conv2d(before, out, 1, bias=False))
        before = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class InvertedResidual(nn.Module):
    """Sandler et al. 2018: widen by a 1x1, filter depthwise, narrow by a 1x1 without an activation, add the input."""

    def __init__(self, channels: int, out: int, stride: int, widen: int) -> None:
        super().__init__()
        inner = channels * widen
        steps: list[nn.Module] = []
        if widen != 1:
            steps += [nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)]
        steps += [nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()]
        self.steps = nn.Sequential(*steps, nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out))
        self.added = stride == 1 and channels == out

    def forward(self, x):
        return x + self.steps(x) if self.added else self.steps(x)


def mobilenet_v2(classes: int = 10, width: float = 1.0) -> nn.Sequential:
    """For 32x32: strides of 1 in front and in the first two stages."""
    (before,) = scaled(width, 32)
    layers: list[nn.Module] = [nn.Conv2d(3, before, 3, 1, 1, bias=False), nn.BatchNorm2d(before), nn.ReLU6()]
    stages = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for widen, channels, count, first_stride in stages:
        (out,) = scaled(width, channels)
        for number in range(count):
            layers.append(InvertedResidual(before, out, first_stride if number == 0 else 1, widen))
            before = out
    (last,) = scaled(width, 1280)
    layers += [nn.Conv2d(before, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(last, classes))
