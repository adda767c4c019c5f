"""Networks of the matrix that cannot become integrate-and-fire neurons without a loss: refused by the layer's name."""

import torch
from torch import nn
from torch.nn import ReLU, functional

from .matrix import Case
from .matrix_parts import act, behind, bn, called, chain, conv, front


def cases() -> list[Case]:
    return [*_curves(), *_norms(), *_products(), *_layers(), *_programs()]


def refused(name: str, make, message: str) -> Case:
    return Case(name, make, refused=message)


def _curves() -> list[Case]:
    """Activations that are no straight lines."""
    modules = (
        nn.SiLU(), nn.GELU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.Mish(),
        nn.Hardswish(), nn.Softsign(), nn.LogSigmoid(), nn.Tanhshrink(), nn.GLU(1),
    )  # fmt: skip
    made = [
        refused(type(module).__name__, lambda module=module: act(module), rf"layer '1' \({type(module).__name__}\)")
        for module in modules
        if not isinstance(module, nn.GLU)
    ]
    return [
        *made,
        refused("GLU", lambda: front(nn.GLU(1)), r"layer '2' \(GLU\)"),
        refused("F.gelu", lambda: called(lambda m, x: m.fc(functional.gelu(m.conv1(x)).flatten(1))), "'gelu'"),
        refused("torch.tanh", lambda: called(lambda m, x: m.fc(torch.tanh(m.conv1(x)).flatten(1))), "'tanh'"),
        refused("softmax in the middle", lambda: front(nn.Softmax(1), conv(), ReLU()), "softmax may only be the end"),
        refused("softmax over the wrong axis", lambda: nn.Sequential(*front(), nn.Softmax(dim=0)), "Softmax"),
        refused("exp", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).exp().flatten(1))), "'exp'"),
        refused("a power of 2", lambda: called(lambda m, x: m.fc((m.conv1(x) ** 2).flatten(1))), "'pow_1'"),
        refused("rounding", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).round().flatten(1))), "'round_1'"),
    ]


def _norms() -> list[Case]:
    """Statistics that change with every input."""
    return [
        refused("LayerNorm", lambda: behind(nn.LayerNorm([8, 12, 12])), r"'2' \(LayerNorm\)"),
        refused("GroupNorm", lambda: behind(nn.GroupNorm(2, 8)), r"'2' \(GroupNorm\)"),
        refused("InstanceNorm", lambda: behind(nn.InstanceNorm2d(8)), r"'2' \(InstanceNorm2d\)"),
        refused("LocalResponseNorm", lambda: behind(nn.LocalResponseNorm(3)), "LocalResponseNorm|'2'|'pad'"),
        refused(
            "batch norm without statistics",
            lambda: chain(conv(3), bn(track_running_stats=False), ReLU()),
            r"'1' \(BatchNorm2d\).*statistics",
        ),
        refused(
            "division by the norm of the features",
            lambda: called(lambda m, x: (lambda a: m.fc(a / a.norm(dim=1, keepdim=True)))(m.conv1(x).flatten(1))),
            "'norm'|'truediv'",
        ),
        refused("F.normalize", lambda: called(lambda m, x: m.fc(functional.normalize(m.conv1(x).flatten(1)))), "norm"),
    ]


def _products() -> list[Case]:
    """Two values that both depend on the input, multiplied or compared."""

    def excited(m, x):
        a = m.relu(m.conv1(x))
        return m.fc((a * torch.sigmoid(m.squeeze(a.mean((2, 3), keepdim=True)))).flatten(1))

    def gated(m, x):
        a = m.relu(m.conv1(x))
        return m.fc((a * m.relu(m.conv2(a))).flatten(1))

    def attended(m, x):
        tokens = m.relu(m.conv1(x)).flatten(2).transpose(1, 2)
        return m.fc(m.attention(tokens, tokens, tokens)[0].flatten(1))

    return [
        refused("squeeze and excitation", lambda: called(excited, squeeze=nn.Conv2d(8, 8, 1)), "'sigmoid'|'mul'"),
        refused("product of two branches", lambda: called(gated), "'mul'"),
        refused("attention", lambda: called(attended, attention=nn.MultiheadAttention(8, 2, batch_first=True)),
                "attention|'transpose'"),
        refused("matmul of two branches", lambda: called(lambda m, x: (lambda a: m.fc(
            (a @ a.transpose(-1, -2)).flatten(1)))(m.relu(m.conv1(x)))), "'matmul'|'transpose'"),
        refused("division by the data", lambda: called(lambda m, x: m.fc(
            (1 / (m.relu(m.conv1(x)) + 1)).flatten(1))), "divi|reciprocal"),
        refused("torch.where on the data", lambda: called(lambda m, x: (lambda a: m.fc(
            torch.where(a > 0.3, a, -a).flatten(1)))(m.conv1(x))), "'where'|'gt'"),
    ]  # fmt: skip


def _layers() -> list[Case]:
    def recurrent(kind):
        def scheme(m, x):
            return m.fc(m.cell(m.relu(m.conv1(x)).flatten(2).transpose(1, 2))[0].flatten(1))

        return lambda: called(scheme, cell=kind(8, 8, batch_first=True))

    return [
        refused("LSTM", recurrent(nn.LSTM), "LSTM|'transpose'"),
        refused("GRU", recurrent(nn.GRU), "GRU|'transpose'"),
        refused("transposed conv", lambda: front(nn.ConvTranspose2d(8, 8, 3), ReLU()), r"'2' \(ConvTranspose2d\)"),
        refused("Upsample, bilinear",
                lambda: front(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)), r"'2' \(Upsample\)"),
        refused("reflecting padding", lambda: chain(conv(3, padding_mode="reflect"), ReLU()),
                r"'0' \(Conv2d\).*reflect"),
        refused("padded average pool without the border",
                lambda: behind(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), "'2' .*count_include_pad"),
        refused("average pool with ceil_mode", lambda: behind(nn.AvgPool2d(3, 2, ceil_mode=True)),
                r"'2' \(AvgPool2d\).*ceil_mode"),
        refused("LPPool", lambda: front(nn.LPPool2d(2, 2)), "LPPool2d"),
        refused("embedding", lambda: called(lambda m, x: m.fc(m.table((m.relu(m.conv1(x)) * 3).long().flatten(1))
                .flatten(1)), 1152 * 2, table=nn.Embedding(100, 2)), "'long'|Embedding"),
        refused("Fourier transform", lambda: called(lambda m, x: m.fc(torch.fft.rfft2(m.relu(m.conv1(x))).abs()
                .flatten(1)), 8 * 12 * 7), "fft"),
        refused("cumulative sum", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).cumsum(1).flatten(1))),
                "'cumsum'"),
        refused("argmax at the end", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).flatten(1)).argmax(1)),
                "'argmax'"),
        refused("sorting", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).flatten(1).sort(1)[0])), "'sort'"),
        refused("max over channels", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).max(1)[0].flatten(1)), 144),
                "'max_1'"),
    ]  # fmt: skip


def _programs() -> list[Case]:
    """Forward functions that are no fixed graph of one input and one output."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = conv(3), nn.Linear(1152, 6)

        def forward(self, x, y=None, z=None):
            return self.fc((self.conv(x).relu() + self.conv(x if y is None else y)).flatten(1))

    class TwoInputs(Two):
        def forward(self, x, y):
            return self.fc((self.conv(x).relu() + self.conv(y)).flatten(1))

    class Stateful(Two):
        """Counts its calls: what it computes is not a function of its input."""

        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.fc(self.conv(x).relu().flatten(1)) * self.calls

    return [
        refused("two inputs", TwoInputs, "second input|'y'"),
        refused("two outputs", lambda: called(lambda m, x: (lambda a: (m.fc(a.flatten(1)), a))(m.relu(m.conv1(x)))),
                "returns"),
        refused("a branch on the data", lambda: called(lambda m, x: m.fc(m.relu(m.conv1(x)).flatten(1))
                if x.sum() > 0 else x), "cannot be traced"),
        refused("a loop on the data", lambda: called(lambda m, x: [m.fc(m.relu(m.conv1(x)).flatten(1))
                for _ in range(int(x.max()) + 1)][-1]), "cannot be traced"),
        refused("noise in evaluation", lambda: called(lambda m, x: m.fc(
            (m.relu(m.conv1(x)) + torch.rand(1)).flatten(1))), "another result for the same input"),
        refused("dropout that never rests", lambda: called(lambda m, x: m.fc(
            functional.dropout(m.relu(m.conv1(x)), 0.5).flatten(1))), "'dropout'"),
        refused("a forward that counts its calls", Stateful, "gives another result for the same input the second time"),
        refused("a constant for every pixel", lambda: called(lambda m, x: m.fc(
            (m.relu(m.conv1(x)) * torch.linspace(0, 1, 12)).flatten(1))), "'mul'.*shape"),
    ]  # fmt: skip
