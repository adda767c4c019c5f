"""The matrix: one small network for each layer, activation, wiring and trap, and how its error is told.

The networks are listed in matrix_layers.py, matrix_wiring.py and matrix_refused.py. Each either converts, and is then
held to one bar, or is refused by name; which of the two is part of the list, so that neither can turn into the other
unseen.

The error of a converted network is

    error = ||r - y|| / ||y - m||        over all test pictures and classes (Frobenius norm), float32

with y the CNN's outputs (before a softmax at its end), m their mean over the test pictures, class by class, and r the
time-stepped network's readout after T timesteps divided by T, times the readout's scale. Nothing is fitted: neither to
the test pictures, which calibration never saw, nor between r and y. The usual denominator is ||y||; a network whose
answer hardly depends on the picture would look well converted under it while it has lost all that it told pictures
apart by. Where the outputs have no mean the two are one; where they have, this one is larger, never smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .pictures import pictures, ready

SHAPE = (3, 12, 12)
CLASSES = 6
LABELS = tuple("abcdef")


@dataclass(frozen=True)
class Case:
    """One network of the matrix."""

    name: str  # what it tests, and its place in every table
    make: Callable[[], nn.Module]  # called with torch's generator seeded
    refused: str = ""  # what the refusal says (a regular expression); "": the network converts
    before: Callable[[nn.Module], None] | None = None  # what is done to the network before its last layer is fitted
    after: Callable[[nn.Module], None] | None = None  # what is done to it afterwards
    prepare: Callable[[Tensor], Tensor] | None = None  # what is done to the pictures, to all of them
    calibration: Callable[[Tensor], Tensor] | None = None  # what is done to the calibration pictures alone
    shape: tuple[int, int, int] = SHAPE
    readout: str = "membrane"


class Wired(nn.Module):
    """Modules by name, called by a function of your own."""

    def __init__(self, scheme: Callable[["Wired", Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.scheme = scheme

    def forward(self, x):
        return self.scheme(self, x)


def images(case: Case, n: int, seed: int) -> tuple[Tensor, Tensor]:
    x, label = pictures(n, case.shape, seed, CLASSES)
    return (case.prepare(x) if case.prepare else x), label


def calibration_of(case: Case) -> Tensor:
    x, _ = images(case, 132, seed=1)
    return case.calibration(x) if case.calibration else x


def unseen_of(case: Case, n: int = 48) -> Tensor:
    return images(case, n, seed=2)[0]


def network_of(case: Case, seed: int = 0) -> nn.Module:
    """The network of a case in eval mode; if it is to convert, its last layer is fitted to pictures of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = case.make()
        if not case.refused:
            ready(model, *images(case, 240, seed=3), seed, case.before)
    if case.after is not None:
        with torch.no_grad():
            case.after(model)
    return model.eval()


def wanted_of(model: nn.Module, x: Tensor) -> Tensor:
    """The CNN's outputs before a softmax at its end, (picture, class)."""
    if isinstance(model, nn.Sequential) and isinstance(model[-1], nn.Softmax | nn.LogSoftmax):
        model = model[:-1]
    with torch.no_grad():
        return model(x).flatten(1)


def error(found: Tensor, wanted: Tensor) -> float:
    """The error of the module's docstring; `found` and `wanted` are (picture, class)."""
    varying = wanted - wanted.mean(0)
    return float((found - wanted).norm() / varying.norm())


def flat_error(found: Tensor, wanted: Tensor) -> float:
    """The usual figure, told beside it: of the whole output instead of what varies in it."""
    return float((found - wanted).norm() / wanted.norm())
