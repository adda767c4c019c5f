"""Networks of the matrix that are no chains: residual sums, concatenations, dense and inception blocks, flattenings."""

import torch
from torch import nn
from torch.nn import AvgPool2d, LeakyReLU, MaxPool2d, PReLU, ReLU, Sequential, Upsample, functional

from dvs_run.pipeline.train.binary import HeavisideActivation, SignActivation, make_binary
from dvs_run.pipeline.train.quantized import FloorReLU, PactReLU, QuantizedReLU

from .inception import Branches, googlenet_block
from .matrix import Case
from .matrix_parts import bn, called, chain, conv, front


def cases() -> list[Case]:
    return [*_sums(), *_concatenations(), *_blocks(), *_shapes(), *_levels()]


def wired(name: str, scheme, features: int = 1152, **others) -> Case:
    """A case of conv1, conv2, conv3, relu and fc, with other modules by name, each made by a function."""
    tweaks = {key: others.pop(key) for key in ("before", "after", "prepare") if key in others}
    return Case(name, lambda: called(scheme, features, **{n: make() for n, make in others.items()}), **tweaks)


def end(m, x: torch.Tensor) -> torch.Tensor:
    return m.fc(x.flatten(1))


def first(m, x: torch.Tensor) -> torch.Tensor:
    return m.relu(m.conv1(x))


def sum_of(m, x, function):
    """function(a) of the first features, then ReLU and the head."""
    return end(m, m.relu(function(first(m, x))))


def louder(model: nn.Module) -> None:
    """The second branch is 40 times louder than the first."""
    model.conv2.weight *= 40


def dead_branch(model: nn.Module) -> None:
    model.conv2.bias[:] = -30.0


def _sums() -> list[Case]:
    return [
        wired("residual, ReLU behind the sum", lambda m, x: sum_of(m, x, lambda a: a + m.conv2(a))),
        wired("residual in place", lambda m, x: sum_of(m, x, lambda a: m.conv2(a).add_(a))),
        wired("residual of two ReLUs, none behind the sum",
              lambda m, x: (lambda a: end(m, a + m.relu(m.conv2(a))))(first(m, x))),
        wired("residual of two ReLUs, then a conv",
              lambda m, x: (lambda a: end(m, m.relu(m.conv3(a + m.relu(m.conv2(a))))))(first(m, x))),
        wired("residual without any ReLU, then a conv",
              lambda m, x: (lambda a: end(m, m.relu(m.conv3(a + m.conv2(a)))))(first(m, x))),
        wired("residual with a projection",
              lambda m, x: (lambda a: end(m, m.relu(m.bn1(m.conv2(a)) + m.bn2(m.project(a)))))(first(m, x)), 288,
              conv2=lambda: conv(stride=2), project=lambda: conv(8, 8, 1, stride=2), bn1=bn, bn2=bn),
        wired("residual whose shortcut is pooled and padded with channels of zeros",
              lambda m, x: (lambda a: end(m, m.relu(m.conv2(a) + functional.pad(m.pool(a), (0, 0, 0, 0, 2, 2)))))(
                  first(m, x)), 432, conv2=lambda: conv(8, 12, stride=2), pool=lambda: AvgPool2d(2)),
        wired("pre-activation residual",
              lambda m, x: (lambda a: end(m, m.relu(m.bn2(a + m.conv2(m.relu(m.bn1(a)))))))(m.conv1(x)),
              bn1=bn, bn2=bn),
        wired("residual of the picture", lambda m, x: end(m, m.relu(x + m.conv2(m.relu(m.conv1(x))))), 432,
              conv2=lambda: conv(8, 3)),
        wired("sum of three branches", lambda m, x: sum_of(m, x, lambda a: a + m.conv2(a) + m.conv3(a))),
        wired("sum of a branch with itself", lambda m, x: sum_of(m, x, lambda a: a + a)),
        wired("difference of two branches", lambda m, x: sum_of(m, x, lambda a: a - m.conv2(a))),
        wired("residual times 0.2", lambda m, x: sum_of(m, x, lambda a: a + 0.2 * m.conv2(a))),
        wired("batch norm behind a sum", lambda m, x: sum_of(m, x, lambda a: m.bn(a + m.conv2(a))), bn=bn),
        wired("average pool behind a sum", lambda m, x: sum_of(m, x, lambda a: m.pool(a + m.conv2(a))), 288,
              pool=lambda: AvgPool2d(2)),
        wired("max pool behind a sum of ReLUs",
              lambda m, x: (lambda a: end(m, m.pool(a + m.relu(m.conv2(a)))))(first(m, x)), 288,
              pool=lambda: MaxPool2d(2)),
        wired("sum of branches of very different size", lambda m, x: sum_of(m, x, lambda a: a + m.conv2(a)),
              before=louder),
        wired("a branch that is dead", lambda m, x: (lambda a: end(m, a + m.relu(m.conv2(a))))(first(m, x)),
              before=dead_branch),
        wired("one conv used twice", lambda m, x: end(m, m.relu(m.conv2(m.relu(m.conv2(first(m, x))))))),
        wired("two heads added", lambda m, x: (lambda a: m.fc2(a) + end(m, m.relu(m.conv2(a))))(first(m, x)),
              fc2=lambda: Sequential(nn.Flatten(), nn.Linear(1152, 6))),
    ]  # fmt: skip


def _concatenations() -> list[Case]:
    return [
        wired("concat of branches of very different scales",
              lambda m, x: (lambda a: end(m, torch.cat([a, m.relu(m.conv2(a))], 1)))(first(m, x)), 2304,
              before=louder),
        wired("concat, then a conv",
              lambda m, x: (lambda a: end(m, m.relu(m.join(torch.cat((a, m.relu(m.conv2(a))), dim=1)))))(first(m, x)),
              join=lambda: conv(16, 8), before=louder),
        wired("concat of the picture and features",
              lambda m, x: end(m, m.relu(m.join(torch.cat([x, first(m, x)], 1)))), join=lambda: conv(11, 8)),
        wired("concat, batch norm, ReLU",
              lambda m, x: (lambda a: end(m, m.relu(m.bn(torch.cat([a, m.conv2(a)], 1)))))(first(m, x)), 2304,
              bn=lambda: bn(16)),
        wired("concat of a ReLU and of a conv without",
              lambda m, x: (lambda a: end(m, m.relu(m.join(torch.cat([a, m.conv2(a)], 1)))))(first(m, x)),
              join=lambda: conv(16, 8)),
        wired("concat of flattened branches",
              lambda m, x: (lambda a: m.fc(torch.cat([a.flatten(1), m.relu(m.conv2(a)).flatten(1)], 1)))(first(m, x)),
              2304),
        wired("CReLU: relu(x) beside relu(-x)",
              lambda m, x: (lambda a: end(m, torch.cat([m.relu(a), m.relu(-a)], 1)))(m.conv1(x)), 2304),
        wired("concat, then a max pool",
              lambda m, x: (lambda a: end(m, m.pool(torch.cat([a, m.relu(m.conv2(a))], 1))))(first(m, x)), 576,
              pool=lambda: MaxPool2d(2), before=louder),
        wired("one feature map into two branches of different pools",
              lambda m, x: (lambda a: m.fc(torch.cat([m.avg(a).flatten(1), m.max(a).flatten(1)], 1)))(first(m, x)),
              576, avg=lambda: AvgPool2d(2), max=lambda: MaxPool2d(2)),
    ]  # fmt: skip


def _blocks() -> list[Case]:
    def dense(m, x):
        a = first(m, x)
        b = torch.cat([a, m.conv2(m.relu(m.bn1(a)))], 1)
        return end(m, m.relu(m.bn2(torch.cat([b, m.join(m.relu(m.bn3(b)))], 1))))

    return [
        wired("dense block", dense, 24 * 144, bn1=bn, bn3=lambda: bn(16), join=lambda: conv(16, 8),
              bn2=lambda: bn(24)),
        Case("inception block", lambda: front(googlenet_block(8, (4, 4, 6, 2, 4, 4), 1.0)[0], AvgPool2d(2))),
        Case("squeeze and expand", lambda: front(conv(8, 3, 1), ReLU(), Branches(
            Sequential(conv(3, 6, 1), ReLU()), Sequential(conv(3, 6), ReLU())), AvgPool2d(2))),
        Case("inverted residual with ReLU6", lambda: front(conv(8, 16, 1), bn(16), nn.ReLU6(), conv(16, 16, groups=16),
             bn(16), nn.ReLU6(), conv(16, 8, 1), bn())),
        wired("two inverted residuals", lambda m, x: (lambda a: (lambda b: end(m, m.relu(m.conv3(b + m.two(b)))))(
              a + m.one(a)))(m.conv1(x)), one=lambda: _narrow(), two=lambda: _narrow()),
        wired("U-net: down, up, concat",
              lambda m, x: (lambda a: end(m, m.relu(m.join(torch.cat([a, m.up(m.relu(m.conv2(m.down(a))))], 1)))))(
                  first(m, x)), down=lambda: AvgPool2d(2), up=lambda: Upsample(scale_factor=2),
              join=lambda: conv(16, 8)),
    ]  # fmt: skip


def _narrow() -> nn.Sequential:
    return Sequential(conv(8, 12, 1), bn(12), ReLU(), conv(12, 8, 1), bn())


def _shapes() -> list[Case]:
    def shaped(name, scheme, features=1152, **others):
        return wired(name, lambda m, x: m.fc(scheme(m, m.relu(m.conv2(first(m, x))))), features, **others)

    return [
        shaped("view(size(0), -1)", lambda m, a: a.view(a.size(0), -1)),
        shaped("reshape by arithmetic on shapes", lambda m, a: a.reshape(-1, a.shape[1] * a.shape[2] * a.shape[3])),
        shaped("flatten(start_dim=1) and unflatten", lambda m, a: torch.flatten(a.flatten(2), start_dim=1)),
        shaped("squeeze of a pooled map", lambda m, a: a.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1), 8),
        Case("Upsample, nearest", lambda: chain(conv(3, stride=2), ReLU(), Upsample(scale_factor=2), conv(), ReLU())),
        shaped("F.interpolate, nearest", lambda m, a: functional.interpolate(a, scale_factor=2.0).flatten(1), 4608),
        shaped("half of the channels", lambda m, a: a[:, :4].flatten(1), 576),
        shaped("chunk and concat in another order",
               lambda m, a: (lambda b: torch.cat([b[1], m.relu(m.narrow(b[0]))], 1).flatten(1))(a.chunk(2, 1)),
               narrow=lambda: conv(4, 4)),
        shaped("channel shuffle", lambda m, a: m.relu(m.conv3(nn.functional.channel_shuffle(a, 2))).flatten(1)),
    ]  # fmt: skip


def _levels() -> list[Case]:
    """Activations of few levels, which bursts count exactly in every timestep; weights of one bit."""

    def two(name, activation):
        return Case(name, lambda: chain(conv(3), bn(), activation(), conv(), bn(), activation()))

    return [
        two("quantized clipped ReLU (QCFS), 8 levels", lambda: QuantizedReLU(8, 2.0)),
        two("quantized clipped ReLU (PACT), 4 bits", lambda: PactReLU(4, 2.0)),
        two("rounding ReLU without a ceiling", lambda: FloorReLU(0.25)),
        two("sign activation", SignActivation),
        two("Heaviside activation", HeavisideActivation),
        Case("one-bit weights (XNOR), PReLU", lambda: front(make_binary(conv(), "xnor"), bn(), PReLU())),
        Case("one-bit weights and activations, max pool", lambda: chain(
            conv(3), bn(), SignActivation(), make_binary(conv(), "xnor"), bn(), SignActivation(), MaxPool2d(2))),
        Case("sign behind a ReLU", lambda: front(make_binary(conv(), "xnor"), bn(), SignActivation())),
        Case("LeakyReLU in a residual", lambda: called(
            lambda m, x: (lambda a: end(m, m.leaky(a + m.conv2(a))))(m.leaky(m.conv1(x))), leaky=LeakyReLU(0.1))),
    ]  # fmt: skip
