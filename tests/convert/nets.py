"""Small random CNNs, one or more for every layer that converts, and what they are fed."""

import torch
from torch import nn
from torch.nn import functional

SHAPE = (3, 16, 16)
LABELS = tuple("abcdef")


def inputs(n=24, shape=SHAPE, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def fitted(make, seed=0, shape=SHAPE):
    """The module that `make` builds, seeded, its batch norms fitted to inputs and given random gains, in eval mode."""
    torch.manual_seed(seed)
    model = make()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            if norm.affine:
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.3, 0.3)
        model.train()
        for _ in range(12 if norms else 0):
            model(inputs(64, shape, seed=int(torch.randint(1000, ()))))
    return model.eval()


class Forward(nn.Module):
    """conv, conv, linear, called by a function of your own."""

    def __init__(self, forward, features=8 * 16 * 16, **modules):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(features, 6)
        self.act = nn.ReLU()
        for name, module in modules.items():
            setattr(self, name, module)
        self.scheme = forward

    def forward(self, x):
        return self.scheme(self, x)


def _sequential(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


def conv(i, o, *a, **k):
    return lambda: nn.Conv2d(i, o, *a, **k)


def lin(i, o, **k):
    return lambda: nn.Linear(i, o, **k)


def relu():
    return nn.ReLU()


def flat():
    return nn.Flatten()


def pool(k=2, **options):
    return lambda: nn.AvgPool2d(k, **options)


def bn(n, **options):
    return lambda: nn.BatchNorm2d(n, **options)


SUPPORTED = {
    "conv, average pool, linear": _sequential(conv(3, 8, 3, padding=1), relu, pool(), flat, lin(512, 6)),
    "average pool before the ReLU": _sequential(conv(3, 8, 3, padding=1), pool(), relu, flat, lin(512, 6)),
    "strided conv, overlapping pool before the ReLU": _sequential(
        conv(3, 8, 3, stride=2, dilation=2), pool(3, stride=2), relu, flat, lin(32, 6)
    ),
    "overlapping pool": _sequential(conv(3, 8, 3), relu, pool(3, stride=2), flat, lin(288, 6)),
    "pool with a divisor of its own": _sequential(conv(3, 8, 3), relu, pool(2, divisor_override=3), flat, lin(392, 6)),
    "the same before the ReLU": _sequential(conv(3, 8, 3), pool(2, divisor_override=3), relu, flat, lin(392, 6)),
    "pool first": _sequential(pool(), conv(3, 8, 3), relu, flat, lin(288, 6)),
    "two pools in a row": _sequential(conv(3, 8, 3, padding=1), relu, pool(), pool(), flat, lin(128, 6)),
    "global pool": _sequential(conv(3, 16, 3), relu, lambda: nn.AdaptiveAvgPool2d(1), flat, lin(16, 6)),
    "adaptive pool to 4x4": _sequential(
        conv(3, 8, 3, padding=1), relu, lambda: nn.AdaptiveAvgPool2d(4), flat, lin(128, 6)
    ),
    "global pool of the last conv": _sequential(
        conv(3, 8, 3), relu, conv(8, 6, 3), lambda: nn.AdaptiveAvgPool2d(1), flat
    ),
    "strides that differ": _sequential(conv(3, 8, 5, stride=(2, 3), padding=(2, 1)), relu, flat, lin(320, 6)),
    "no bias": _sequential(conv(3, 8, 3, bias=False), relu, flat, lin(1568, 6, bias=False)),
    "groups": _sequential(conv(3, 8, 3), relu, conv(8, 8, 3, groups=4), relu, flat, lin(1152, 6)),
    "depthwise, pointwise": _sequential(
        conv(3, 8, 3), relu, conv(8, 8, 3, groups=8), relu, conv(8, 12, 1), relu, flat, lin(1728, 6)
    ),
    "dilation": _sequential(conv(3, 8, 3, dilation=2), relu, flat, lin(1152, 6)),
    "padding same": _sequential(conv(3, 8, 5, padding="same"), relu, flat, lin(2048, 6)),
    "batch norm": _sequential(conv(3, 8, 3, bias=False), bn(8), relu, flat, lin(1568, 6)),
    "batch norm with an eps of 0.1": _sequential(conv(3, 8, 3), bn(8, eps=0.1), relu, flat, lin(1568, 6)),
    "batch norm without gains": _sequential(conv(3, 8, 3), bn(8, affine=False), relu, flat, lin(1568, 6)),
    "batch norm, pool, ReLU": _sequential(conv(3, 8, 3, padding=1), bn(8), pool(), relu, flat, lin(512, 6)),
    "pool, batch norm, ReLU": _sequential(conv(3, 8, 3, padding=1), pool(), bn(8), relu, flat, lin(512, 6)),
    "batch norm behind the ReLU, linear": _sequential(conv(3, 8, 3), relu, bn(8), flat, lin(1568, 6)),
    "batch norm behind the ReLU, unpadded conv": _sequential(
        conv(3, 8, 3), relu, bn(8), conv(8, 8, 3, groups=2), relu, flat, lin(1152, 6)
    ),
    "batch norm of the input": _sequential(bn(3), conv(3, 8, 3), relu, flat, lin(1568, 6)),
    "batch norm behind a linear": _sequential(
        flat, lin(768, 32), lambda: nn.BatchNorm1d(32), relu, lin(32, 6), lambda: nn.BatchNorm1d(6)
    ),
    "batch norm of flattened features": _sequential(
        conv(3, 4, 5, stride=3), relu, pool(), flat, lambda: nn.BatchNorm1d(16), lin(16, 6)
    ),
    "dropout, identity": _sequential(
        conv(3, 8, 3), relu, lambda: nn.Dropout2d(0.3), nn.Identity, flat, lambda: nn.Dropout(0.5), lin(1568, 6)
    ),
    "softmax at the end": _sequential(conv(3, 8, 3), relu, flat, lin(1568, 6), lambda: nn.LogSoftmax(dim=1)),
    "six convolutions": _sequential(
        conv(3, 8, 3, padding=1),
        relu,
        *[f for _ in range(5) for f in (conv(8, 8, 3, padding=1), relu)],
        flat,
        lin(2048, 6),
    ),
    "F.relu and view": lambda: Forward(
        lambda m, x: m.fc(functional.relu(m.conv2(functional.relu(m.conv1(x)))).view(x.size(0), -1))
    ),
    "one ReLU used twice": lambda: Forward(lambda m, x: m.fc(m.act(m.conv2(m.act(m.conv1(x)))).flatten(1))),
    "one conv used twice": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv2(m.act(m.conv2(m.act(m.conv1(x)))))).flatten(1))
    ),
    "methods and functions": lambda: Forward(
        lambda m, x: m.fc(
            torch.flatten(
                functional.dropout(
                    functional.avg_pool2d(m.conv2(torch.relu(m.conv1(x))).clamp(min=0), 2), 0.5, training=m.training
                ).contiguous(),
                1,
            )
        ),
        features=512,
    ),
    "reshape with arithmetic": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv2(m.act(m.conv1(x)))).reshape(-1, x.shape[2] * x.shape[3] * 8))
    ),
    "mean over the image": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv2(m.act(m.conv1(x)))).mean((2, 3))), features=8
    ),
    "mean, kept, then squeezed": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv1(x)).mean([-1, -2], keepdim=True).squeeze(-1).squeeze(-1)), features=8
    ),
    "constants": lambda: Forward(lambda m, x: -m.fc((2 * m.act(0.5 * m.conv1(x / 2) + 0.1) * 3).flatten(1)) / 4 - 1),
    "white minus the image": lambda: Forward(
        lambda m, x: m.fc(m.act(functional.conv2d(1 - x, m.conv1.weight)).flatten(1)), features=8 * 14 * 14
    ),
    "mean and deviation of the channels": lambda: Forward(
        lambda m, x: m.fc(m.act(functional.conv2d((x - m.mean.view(1, 3, 1, 1)) / m.std, m.conv1.weight)).flatten(1)),
        features=8 * 14 * 14,
        mean=nn.Parameter(torch.tensor([0.4, 0.5, 0.6])),
        std=nn.Parameter(torch.full((3, 1, 1), 0.5)),
    ),
    "linear layers only": _sequential(flat, lin(768, 64), relu, lin(64, 32), relu, lin(32, 6)),
    "weight norm": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 6)
    ),
    "a ReLU twice in a row": _sequential(conv(3, 8, 3), relu, relu, pool(), relu, flat, lin(392, 6)),
    "max pool": _sequential(conv(3, 8, 3, padding=1), relu, lambda: nn.MaxPool2d(2), flat, lin(512, 6)),
    "max pool before the ReLU": _sequential(conv(3, 8, 3, padding=1), lambda: nn.MaxPool2d(2), relu, flat, lin(512, 6)),
    "padded, overlapping max pools, one with ceil_mode": _sequential(
        conv(3, 8, 3), relu, lambda: nn.MaxPool2d(3, 2, 1), conv(8, 8, 3, padding=1), relu,
        lambda: nn.MaxPool2d(2, ceil_mode=True), flat, lin(128, 6),
    ),
    "max pool of signed values": _sequential(
        conv(3, 8, 3), lambda: nn.MaxPool2d(2), conv(8, 8, 3), relu, flat, lin(200, 6)
    ),
    "max pool of the input": _sequential(lambda: nn.MaxPool2d(2), conv(3, 8, 3), relu, flat, lin(288, 6)),
    "global max pool": _sequential(conv(3, 8, 3), relu, lambda: nn.AdaptiveMaxPool2d(1), flat, lin(8, 6)),
    "ReLU6": _sequential(lambda: Gain(12), conv(3, 8, 3), nn.ReLU6, flat, lin(1568, 6)),
    "two-sided clip": _sequential(conv(3, 8, 3), lambda: nn.Hardtanh(-0.3, 0.3), flat, lin(1568, 6)),
    "lopsided clip": _sequential(conv(3, 8, 3), lambda: nn.Hardtanh(-0.1, 0.3), flat, lin(1568, 6)),
    "threshold": _sequential(conv(3, 8, 3), lambda: nn.Threshold(0.2, 0.2), flat, lin(1568, 6)),
    "Hardsigmoid": _sequential(conv(3, 8, 3), nn.Hardsigmoid, flat, lin(1568, 6)),
    "LeakyReLU": _sequential(conv(3, 8, 3), lambda: nn.LeakyReLU(0.1), conv(8, 8, 3), relu, flat, lin(1152, 6)),
    "PReLU per channel": _sequential(conv(3, 8, 3), lambda: nn.PReLU(8), pool(), flat, lin(392, 6)),
    "absolute values": lambda: Forward(lambda m, x: m.fc(m.conv1(x).abs().flatten(1))),
    "a ceiling alone": lambda: Forward(lambda m, x: m.fc(m.conv1(x).clamp(max=0.1).flatten(1))),
    "no activation between two convs": lambda: Forward(lambda m, x: m.fc(m.act(m.conv2(m.conv1(x))).flatten(1))),
    "residual": lambda: Forward(lambda m, x: (lambda a: m.fc(m.act(a + m.conv2(a)).flatten(1)))(m.act(m.conv1(x)))),
    "residual behind the ReLU": lambda: Forward(
        lambda m, x: (lambda a: m.fc((a + m.act(m.conv2(a))).flatten(1)))(m.act(m.conv1(x)))
    ),
    "difference of branches, in place": lambda: Forward(
        lambda m, x: (lambda a: m.fc(m.act(m.conv2(a).sub_(0.5 * a)).flatten(1)))(m.act(m.conv1(x)))
    ),
    "concatenation": lambda: Forward(
        lambda m, x: (lambda a: m.fc(torch.cat([a, m.act(m.conv2(a)), x], 1).flatten(1)))(m.act(m.conv1(x))), 19 * 256
    ),
    "dense block": lambda: Forward(
        lambda m, x: (lambda a: m.fc(m.act(m.bn(torch.cat([a, m.conv2(m.act(a))], 1))).flatten(1)))(m.conv1(x)),
        16 * 256, bn=nn.BatchNorm2d(16),
    ),
    "batch norm before a padded conv": _sequential(
        conv(3, 8, 3), relu, bn(8), conv(8, 8, 3, padding=1), relu, flat, lin(1568, 6)
    ),
    "halves of the channels": lambda: Forward(
        lambda m, x: (lambda h: m.fc(torch.cat([h[0] - h[1], m.act(h[1])], 1).flatten(1)))(
            m.act(m.conv1(x)).chunk(2, 1)
        )
    ),
    "channel shuffle": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv2(functional.channel_shuffle(m.act(m.conv1(x)), 4))).flatten(1))
    ),
    "flattened with the channels last": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv1(x)).permute(0, 2, 3, 1).flatten(1))
    ),
    "up-sampling": _sequential(conv(3, 4, 3), relu, lambda: nn.Upsample(scale_factor=2), conv(4, 4, 3, stride=2), relu,
                               flat, lin(676, 6)),
    "padding of one side": _sequential(lambda: nn.ZeroPad2d((0, 1, 0, 1)), conv(3, 8, 3, stride=2), relu, flat,
                                       lin(512, 6)),
    "padding with zero channels": lambda: Forward(
        lambda m, x: m.fc(m.act(m.conv1(x) + functional.pad(x, (0, 0, 0, 0, 2, 3))).flatten(1))
    ),
    "padded average pool": _sequential(conv(3, 8, 3), relu, pool(3, stride=1, padding=1), flat, lin(1568, 6)),
    "a pool at the end": _sequential(conv(3, 6, 3), relu, lambda: nn.AdaptiveAvgPool2d(1), flat),
    "a ReLU at the end": _sequential(conv(3, 8, 3), relu, flat, lin(1568, 6), relu),
    "a ReLU of the input": _sequential(relu, flat, lin(768, 6)),
}  # fmt: skip


class Gain(nn.Module):
    """A constant factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor
