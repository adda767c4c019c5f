"""Small random CNNs that are graphs: branches, sums, concatenations, slices, of every layer that converts."""

import random

import torch
from torch import nn
from torch.nn import functional

SHAPE = (2, 8, 8)


class Graph(nn.Module):
    """Runs a list of (operation, numbers of the values it reads); the last value goes to a linear layer."""

    def __init__(self, program, modules, head):
        super().__init__()
        self.program, self.operations, self.head = program, nn.ModuleList(modules), head

    def forward(self, x):
        values = [x]
        for operation, reads in self.program:
            made = self.operations[operation] if isinstance(operation, int) else operation
            values.append(made(*(values[i] for i in reads)))
        return self.head(values[-1])


def random_graph(seed, steps=8):
    """A Graph in eval mode, its batch norms with statistics and gains of their own."""
    sketch = _Sketch(random.Random(seed))
    torch.manual_seed(seed)
    for _ in range(steps):
        sketch.grow()
    sketch.join()
    model = Graph(sketch.program, sketch.modules, sketch.head()).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5).mul_(torch.where(torch.rand(module.num_features) < 0.2, -1.0, 1.0))
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.2, 0.4)
                module.running_var.uniform_(0.3, 1.2)
    return model


class _Sketch:
    def __init__(self, choose):
        self.choose, self.program, self.modules = choose, [], []
        self.shapes, self.loose = [SHAPE], []

    def put(self, operation, reads, shape):
        if isinstance(operation, nn.Module):
            self.modules.append(operation)
            operation = len(self.modules) - 1
        self.program.append((operation, reads))
        self.shapes.append(shape)
        self.loose = [i for i in self.loose if i not in reads] + [len(self.shapes) - 1]

    def grow(self):
        """One more operation, on a recent value."""
        at = self.choose.choice(range(max(0, len(self.shapes) - 3), len(self.shapes)))
        kind = self.choose.choice(KINDS)
        kind(self, at, *self.shapes[at])

    def conv(self, at, c, h, w):
        k = self.choose.choice([k for k in (1, 2, 3) if k <= min(h, w)])
        groups = self.choose.choice([g for g in (1, 1, 1, 2, c) if c % g == 0])
        out = groups * self.choose.choice((1, 2, 3)) if groups > 1 else self.choose.choice((2, 3, 4))
        padding, stride = self.choose.choice((0, k // 2)), self.choose.choice((1, 1, 1, 2)) if h > 4 else 1
        layer = nn.Conv2d(c, out, k, stride, padding, groups=groups, bias=self.choose.random() < 0.7)
        self.put(layer, [at], (out, *((n + 2 * padding - k) // stride + 1 for n in (h, w))))

    def norm(self, at, c, h, w):
        self.put(nn.BatchNorm2d(c, eps=self.choose.choice((1e-5, 1e-2))), [at], (c, h, w))

    def relu(self, at, c, h, w):
        self.put(nn.ReLU(), [at], (c, h, w))

    def curve(self, at, c, h, w):
        curves = (nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(c), nn.Hardtanh(-0.5, 0.5), nn.Hardtanh(-0.2, 0.7),
                  nn.Hardsigmoid(), torch.abs, lambda x: x.clamp(max=0.4), lambda x: x.clamp(0, 0.6),
                  lambda x: 0.3 - 2 * x, lambda x: functional.threshold(x, 0.1, 0.1))  # fmt: skip
        self.put(self.choose.choice(curves), [at], (c, h, w))

    def pool(self, at, c, h, w):
        k = self.choose.choice([k for k in (2, 3) if k <= min(h, w)] or [1])
        stride, padding = self.choose.choice((1, k)), self.choose.choice((0, 0, k // 2))
        kind = self.choose.choice((nn.AvgPool2d, nn.MaxPool2d))
        self.put(kind(k, stride, padding), [at], (c, *((n + 2 * padding - k) // stride + 1 for n in (h, w))))

    def spread(self, at, c, h, w):
        if h <= 4:
            self.put(nn.Upsample(scale_factor=2), [at], (c, 2 * h, 2 * w))

    def pad(self, at, c, h, w):
        a, b = self.choose.choice((0, 1)), self.choose.choice((0, 1))
        if h < 10:
            self.put(nn.ZeroPad2d((a, b, b, 1)), [at], (c, h + b + 1, w + a + b))

    def choose_channels(self, at, c, h, w):
        if c > 1:
            n = (c + 1) // 2
            pick = self.choose.choice((lambda x: x[:, :n], lambda x: x.chunk(2, 1)[0], lambda x: x.flip(1)[:, :n]))
            self.put(pick, [at], (n, h, w))

    def add(self, at, c, h, w):
        others = [i for i, shape in enumerate(self.shapes) if shape == (c, h, w) and i != at]
        if others:
            join = self.choose.choice((torch.add, torch.sub, lambda a, b: a + 0.5 * b))
            self.put(join, [at, self.choose.choice(others)], (c, h, w))
        else:
            self.put(nn.Conv2d(c, c, 3, padding=1), [at], (c, h, w))
            self.put(torch.add, [at, len(self.shapes) - 1], (c, h, w))

    def cat(self, at, c, h, w):
        others = [i for i, shape in enumerate(self.shapes) if shape[1:] == (h, w)]
        other = self.choose.choice(others)
        if c + self.shapes[other][0] <= 10:
            self.put(lambda a, b: torch.cat([a, b], 1), [at, other], (c + self.shapes[other][0], h, w))

    def join(self):
        """Everything that nothing reads, flattened into one vector."""
        loose = self.loose or [0]
        count = sum(torch.Size(self.shapes[i]).numel() for i in loose)
        self.put(lambda *parts: torch.cat([part.flatten(1) for part in parts], 1), loose, (count,))

    def head(self):
        return nn.Linear(self.shapes[-1][0], 3)


KINDS = (
    _Sketch.conv,
    _Sketch.conv,
    _Sketch.conv,
    _Sketch.norm,
    _Sketch.relu,
    _Sketch.relu,
    _Sketch.relu,
    _Sketch.curve,
    _Sketch.pool,
    _Sketch.spread,
    _Sketch.pad,
    _Sketch.choose_channels,
    _Sketch.add,
    _Sketch.cat,
)
