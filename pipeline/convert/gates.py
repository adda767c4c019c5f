"""Spiking max pools with torch, many inputs at once; the rules are told in neurons.MaxPool2d."""

import torch
from torch import Tensor
from torch.nn import functional

from ..neurons import MaxPool2d


class Gates:
    """State of one spiking max pool."""

    def __init__(self, layer: MaxPool2d, shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        self._layer, self._steps, self._weight = layer, 0, 1.0
        self._score = torch.zeros(shape, dtype=torch.float64)
        self._sent = torch.zeros(out_shape, dtype=torch.float64)

    def step(self, x: Tensor) -> Tensor:
        layer = self._layer
        self._steps += 1
        self._weight = max(self._weight / 1.005, 1e-150)
        if layer.rule == "or":
            return functional.max_pool2d(x, layer.kernel, layer.stride, layer.padding)
        if layer.rule == "fir":
            self._score += x.double() / self._steps
        else:
            self._score += x.double() * (self._weight if layer.rule == "exponential" else 1.0)
        most, leader = functional.max_pool2d(
            self._score, layer.kernel, layer.stride, layer.padding, return_indices=True
        )
        if layer.rule == "exact":
            out = most - self._sent
            self._sent = most
            return out.to(x.dtype)
        return x.flatten(2).gather(2, leader.flatten(2)).view(leader.shape)
