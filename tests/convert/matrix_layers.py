"""Networks of the matrix: convolutions and linear layers of every kind, and batch norm in every place."""

from torch import nn
from torch.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    Dropout,
    Dropout2d,
    Flatten,
    Identity,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    Sequential,
    Softmax,
    ZeroPad2d,
)

from .matrix import Case
from .matrix_parts import behind, bn, chain, conv, front


def cases() -> list[Case]:
    return [*_layers(), *_norms()]


def flip_gains(model: nn.Module) -> None:
    """Some channels with negative gain, one with none."""
    model[1].weight[::2] *= -1
    model[1].weight[3] = 0


def narrow(model: nn.Module) -> None:
    """Makes the variance about as small as eps: a fold without eps is then wrong by tens of percent."""
    model[0].weight *= 0.005


def _layers() -> list[Case]:
    return [
        Case("conv, average pool, linear", lambda: front(AvgPool2d(2))),
        Case("linear layers only", lambda: chain(Flatten(), Linear(432, 64), ReLU())),
        Case("one linear layer, no neurons", chain),
        Case("no bias", lambda: chain(conv(3, bias=False), ReLU(), conv(bias=False), ReLU())),
        Case("strided conv", lambda: chain(conv(3), ReLU(), conv(stride=2), ReLU())),
        Case("strides that differ", lambda: front(conv(stride=(1, 3)), ReLU())),
        Case("dilated conv", lambda: front(conv(dilation=2, padding=2), ReLU())),
        Case("grouped conv", lambda: front(conv(groups=4), ReLU())),
        Case("depthwise and pointwise conv", lambda: front(conv(groups=8), ReLU(), conv(8, 12, 1), ReLU())),
        Case("1x1 conv", lambda: front(conv(8, 12, 1), ReLU())),
        Case(
            "1x7 and 7x1 conv",
            lambda: front(conv(8, 8, (1, 7), padding=(0, 3)), ReLU(), conv(8, 8, (7, 1)), ReLU()),
        ),
        Case("padding 'same' of an odd kernel", lambda: front(conv(8, 8, 5, padding="same"), ReLU())),
        Case("padding 'same' of an even kernel", lambda: front(conv(8, 8, 4, padding="same"), ReLU())),
        Case(
            "ZeroPad2d before a conv",
            lambda: front(ZeroPad2d((1, 2, 0, 1)), conv(padding=0), ReLU()),
        ),
        Case(
            "conv as the last layer, global pool",
            lambda: Sequential(conv(3), ReLU(), conv(), ReLU(), conv(8, 6, 1), AdaptiveAvgPool2d(1), Flatten()),
        ),
        Case("conv to conv without a ReLU", lambda: chain(conv(3), conv(), ReLU())),
        Case(
            "linear to linear without a ReLU",
            lambda: front(AvgPool2d(3), Flatten(), Linear(128, 32), Linear(32, 16), ReLU()),
        ),
        Case("linear bottleneck: 1x1, no ReLU, 3x3", lambda: front(conv(8, 4, 1), conv(4, 8), ReLU())),
        Case("dropout and identity", lambda: front(Dropout2d(0.2), Identity(), Flatten(), Dropout(0.3))),
        Case("softmax at the end", lambda: Sequential(*front(), Softmax(dim=1))),
        Case("log softmax at the end", lambda: Sequential(*front(), LogSoftmax(dim=1))),
        Case("weight norm", lambda: chain(nn.utils.parametrizations.weight_norm(conv(3)), ReLU())),
        Case("ten convolutions", lambda: front(*(layer for _ in range(9) for layer in (conv(), ReLU())))),
        Case(
            "one channel, not square",
            lambda: chain(conv(1), ReLU(), AvgPool2d(2), shape=(1, 8, 20)),
            shape=(1, 8, 20),
        ),
    ]


def _norms() -> list[Case]:
    return [
        Case("batch norm behind the conv", lambda: chain(conv(3, bias=False), bn(), ReLU(), conv(), bn(), ReLU())),
        Case("batch norm with an eps of 0.1", lambda: chain(conv(3), bn(eps=0.1), ReLU())),
        Case("batch norm of a variance like eps", lambda: chain(conv(3), bn(), ReLU()), before=narrow),
        Case("batch norm without gains", lambda: chain(conv(3), bn(affine=False), ReLU())),
        Case("batch norm with negative and no gains", lambda: chain(conv(3), bn(), ReLU()), before=flip_gains),
        Case("batch norm twice", lambda: chain(conv(3), bn(), bn(), ReLU())),
        Case("batch norm behind the ReLU, then linear", lambda: front(bn())),
        Case(
            "batch norm behind the ReLU, then an unpadded conv",
            lambda: front(bn(), conv(padding=0), ReLU()),
        ),
        Case("batch norm behind the ReLU, then a padded conv", lambda: behind(bn())),
        Case("batch norm between pool and conv", lambda: front(AvgPool2d(2), bn(), conv(padding=0), ReLU())),
        Case("batch norm, pool, ReLU", lambda: chain(conv(3), bn(), AvgPool2d(2), ReLU())),
        Case("batch norm behind a max pool", lambda: front(MaxPool2d(2), bn())),
        Case("batch norm of the input", lambda: chain(bn(3), conv(3, padding=0), ReLU())),
        Case("batch norm of the input, then a padded conv", lambda: chain(bn(3), conv(3), ReLU())),
        Case(
            "batch norm behind a linear layer",
            lambda: chain(Flatten(), Linear(432, 32), BatchNorm1d(32), ReLU()),
        ),
        Case("batch norm of flattened features", lambda: front(AvgPool2d(4), Flatten(), BatchNorm1d(72))),
        Case("batch norm of the logits", lambda: Sequential(*front(), BatchNorm1d(6))),
    ]
