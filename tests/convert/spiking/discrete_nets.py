"""Networks of few levels and of bits, with random weights, and pictures for them."""

import torch
from torch import nn

from dvs_run.pipeline.train.binary import HeavisideActivation, SignActivation, make_binary
from dvs_run.pipeline.train.quantized import FloorReLU, PactReLU, QuantizedReLU

SHAPE, LABELS = (2, 10, 10), tuple("abcde")


def conv(i=6, o=6, **options):
    return nn.Conv2d(i, o, 3, **{"padding": 1, **options})


def one_bit(scheme="xnor", **options):
    return make_binary(conv(**options), scheme)


def bn(channels=6):
    """A trained batch norm: its gains have both signs."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.3, 1.5).mul_(torch.where(torch.rand(channels) < 0.4, -1.0, 1.0))
        norm.bias.normal_(0, 0.3)
    return norm


def qcfs(levels=4, ceiling=0.8):
    return QuantizedReLU(levels, ceiling)


class Residual(nn.Module):
    """Bits and levels that are added, concatenated and read twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.fc = conv(2), one_bit("connect"), nn.Linear(1200, 5)
        self.norm, self.sign, self.levels = bn(), SignActivation(), qcfs(8, 6.0)

    def forward(self, x):
        bits = self.sign(self.first(x))
        return self.fc(torch.cat([bits + self.levels(self.norm(self.second(bits))), bits], 1).flatten(1))


Sign, Heaviside, Max, Mean = SignActivation, HeavisideActivation, nn.MaxPool2d, nn.AvgPool2d
MODELS = {
    "QCFS, pools behind it": lambda: [
        conv(2),
        qcfs(),
        Mean(2),
        conv(),
        qcfs(8),
        Max(2),
        nn.Flatten(),
        nn.Linear(24, 5),
    ],
    "PACT, pools before it": lambda: [
        conv(2),
        Max(2),
        PactReLU(3, 0.6),
        conv(),
        Mean(2),
        PactReLU(2, 0.5),
        nn.Flatten(),
        nn.Linear(24, 5),
    ],
    "whole spikes without a ceiling": lambda: [
        conv(2),
        FloorReLU(0.1),
        conv(),
        FloorReLU(0.05),
        nn.Flatten(),
        nn.Linear(600, 5),
    ],
    "whole spikes, rounded to the nearest": lambda: [
        conv(2),
        FloorReLU(0.1, stochastic=True),
        conv(),
        FloorReLU(0.05, stochastic=True),
        nn.Flatten(),
        nn.Linear(600, 5),
    ],
    "one-bit weights, QCFS": lambda: [
        conv(2),
        qcfs(),
        one_bit(),
        bn(),
        qcfs(),
        one_bit("connect", bias=False),
        Mean(2),
        qcfs(4, 9.0),
        nn.Flatten(),
        nn.Linear(150, 5),
    ],
    "signs, no borders": lambda: [
        conv(2),
        bn(),
        Sign(),
        one_bit("connect", padding=0),
        bn(),
        Sign(),
        nn.Flatten(),
        nn.Linear(384, 5),
    ],
    "signs, borders of zeros": lambda: [
        conv(2),
        bn(),
        Sign(),
        one_bit("connect"),
        bn(),
        Sign(),
        one_bit(),
        bn(),
        Sign(),
        nn.Flatten(),
        nn.Linear(600, 5),
    ],
    "signs of sums without offsets": lambda: [
        conv(2, bias=False),
        Sign(),
        one_bit("connect", bias=False),
        Sign(),
        nn.Flatten(),
        nn.Linear(600, 5),
    ],
    "max pools between weights and signs": lambda: [
        conv(2),
        Max(2),
        bn(),
        Sign(),
        one_bit("connect"),
        Max(2),
        bn(),
        Sign(),
        nn.Flatten(),
        nn.Linear(24, 5),
    ],
    "max pools behind signs": lambda: [
        conv(2, bias=False),
        Sign(),
        Max(2),
        one_bit("connect"),
        Sign(),
        Max(2, padding=1),
        nn.Flatten(),
        nn.Linear(54, 5),
    ],
    "average pools behind signs": lambda: [
        conv(2),
        bn(),
        Sign(),
        Mean(2),
        one_bit("connect", padding=0),
        bn(),
        Sign(),
        Mean(3, 1, 1),
        nn.Flatten(),
        nn.Linear(54, 5),
    ],
    "steps, max pools before and behind": lambda: [
        conv(2),
        bn(),
        Heaviside(),
        one_bit("connect"),
        Max(2),
        bn(),
        Heaviside(),
        Max(2),
        one_bit(),
        bn(),
        Heaviside(),
        nn.Flatten(),
        nn.Linear(24, 5),
    ],
    "signs behind levels": lambda: [conv(2), qcfs(), one_bit("connect"), bn(), Sign(), nn.Flatten(), nn.Linear(600, 5)],
    "a residual of bits and levels": lambda: [Residual()],
}


def model_of(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(*MODELS[name]()).eval()
        last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
        with torch.no_grad():
            last.bias -= model(images()).mean(0)  # or one class would win everywhere
        return model


def images(n=24, seed=2):
    """0..1, a good part of them black, so that sums of exactly 0 occur."""
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    x[x < 0.3] = 0
    x[:, :, 6:, 6:] = 0
    return x
