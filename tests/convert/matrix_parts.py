"""What the networks of the matrix are put together from: on 3x12x12 pictures, 8 channels, six classes."""

from collections.abc import Callable

import torch
from torch import nn

from .matrix import CLASSES, SHAPE, Wired


def conv(i: int = 8, o: int = 8, kernel=3, **options) -> nn.Conv2d:
    """Keeps the size unless told otherwise."""
    return nn.Conv2d(i, o, kernel, **{"padding": kernel // 2 if isinstance(kernel, int) else 0, **options})


def bn(channels: int = 8, **options) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, **options)


def chain(*layers: nn.Module, shape: tuple[int, int, int] = SHAPE) -> nn.Sequential:
    """The layers, flattened, and a linear layer of six classes."""
    body = nn.Sequential(*layers, nn.Flatten()).eval()
    with torch.no_grad():
        features = body(torch.zeros(2, *shape)).shape[1]
    return nn.Sequential(*body, nn.Linear(features, CLASSES))


def front(*layers: nn.Module) -> nn.Sequential:
    """A conv and a ReLU before `layers`."""
    return chain(conv(3), nn.ReLU(), *layers)


def act(activation: nn.Module) -> nn.Sequential:
    """An activation between two convs and behind the second; one module in both places."""
    return chain(conv(3), activation, conv(), activation)


def behind(layer: nn.Module) -> nn.Sequential:
    """A layer between two convs with ReLUs, its output padded by the second."""
    return chain(conv(3), nn.ReLU(), layer, conv(), nn.ReLU())


def called(scheme: Callable[[Wired, torch.Tensor], torch.Tensor], features: int = 1152, **others: nn.Module) -> Wired:
    """conv1, conv2, a third conv, fc and one ReLU, called by a function; `others` may replace them."""
    modules = {"conv1": conv(3), "conv2": conv(), "conv3": conv(), "relu": nn.ReLU(), **others}
    return Wired(scheme, **modules, fc=nn.Linear(features, CLASSES))
