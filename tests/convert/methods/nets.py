"""Two small CNNs to try methods on, and what they do as spiking networks."""

import torch
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.simulate import Clocked

SHAPE, LABELS = (2, 8, 8), list("abcde")


class Plain(nn.Module):
    """Two convolutions with a pool behind each, and a linear layer."""

    def __init__(self, pool=nn.AvgPool2d, bias=True):
        super().__init__()
        torch.manual_seed(3)
        self.one = nn.Conv2d(2, 6, 3, padding=1, bias=bias)
        self.two = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.pool, self.last = pool(2), nn.Linear(24, 5, bias=bias)

    def forward(self, x):
        x = self.pool(self.one(x).relu())
        return self.last(self.pool(self.two(x).relu()).flatten(1))


class Residual(nn.Module):
    """A residual block: what is added arrives without weights on one side."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.one, self.two = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(384, 5)

    def forward(self, x):
        x = self.one(x).relu()
        return self.last((self.two(x) + x).relu().flatten(1))


def inputs(n=24):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def converted(model, **settings):
    method = Method(**settings)
    return convert(model.eval(), SHAPE, LABELS, inputs(), method=method, max_error=None, check_timesteps=32)


def spike_trains(network, timesteps=20):
    state, trains = Clocked(network, 24, torch.float64), []
    for _ in range(timesteps):
        state.step(inputs().double(), is_current=True)
        trains.append({name: spikes.clone() for name, spikes in state.spikes.items()})
    return trains


class PoolFirst(Plain):
    def forward(self, x):
        x = self.pool(self.one(x)).relu()
        return self.last(self.pool(self.two(x)).relu().flatten(1))
