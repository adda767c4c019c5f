"""The matrix: one small network for each layer, activation, wiring and trap, and how the error of each is told.

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
from torch.nn import functional

from dvs_run.pipeline.convert import Clocked, Conversion, Readout, convert
from dvs_run.pipeline.convert.method import Method

from .pictures import fit_norms, pictures, ready

SHAPE = (3, 12, 12)
CLASSES = 6
TIMESTEPS = 128
LABELS = tuple("abcdef")
TRAINING = 80  # steps; nearly all networks then tell all classes apart

# Every network is held to TIMESTEPS of constant current. One spike a timestep tells an activation in steps of 1/128 of
# the largest, and that is 1 to 5 % of what varies between pictures, however it is calibrated. Finer spikes (a quarter
# of the scale each, or less, and as many a timestep as that takes) cost as many times the SynOps.
METHODS = {
    "standard": Method.preset("standard"),
    "fine": Method.preset("fine"),
    "single": Method(),
    "single, per channel": Method(per="channel"),
}
BARS = {"standard": 0.02, "fine": 0.005}


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


def network_of(case: Case, steps: int = TRAINING) -> nn.Module:
    """The network of a case in eval mode; one that is to convert is trained for so many steps of Adam, then tweaked."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = case.make()
        if not case.refused:
            x, label = images(case, 960, seed=3)
            ready(model, x[:240], label[:240], before=case.before)
            _train(model, x, label, steps)
            fit_norms(model, x[:240])
    if case.after is not None:
        with torch.no_grad():
            case.after(model)
    return model.eval()


def _train(model: nn.Module, x: Tensor, label: Tensor, steps: int) -> None:
    if not steps:
        return
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    model.train()
    for step in range(steps):
        some = torch.arange(step * 32, step * 32 + 32) % len(x)
        loss = functional.cross_entropy(10 * model(x[some]).flatten(1), label[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


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


def converted(case: Case, model: nn.Module, method: Method, **options) -> Conversion:
    """The conversion of a case's network, whatever its error."""
    return convert(
        model,
        case.shape,
        LABELS,
        calibration_of(case),
        method=method,
        readout=Readout(case.readout),
        check_timesteps=1,
        max_error=None,
        **options,
    )


def readouts(conversion: Conversion, x: Tensor, timesteps: int = TIMESTEPS) -> tuple[Tensor, float]:
    """r of the docstring (picture, class), and the SynOps of one picture."""
    network = conversion.network
    state = Clocked(network, len(x))
    for _ in range(timesteps):
        scores = state.step(x, is_current=True)
    counted = network.readout.kind == "count"
    scale = torch.as_tensor(network.provenance["lambdas"][network.layers[-1].name] if counted else 1.0)
    return scores / timesteps * scale, float(state.synops.mean())


def cases() -> list[Case]:
    """All that are to convert."""
    from . import matrix_activations, matrix_layers, matrix_wiring

    return [*matrix_layers.cases(), *matrix_activations.cases(), *matrix_wiring.cases()]


def refused_cases() -> list[Case]:
    from . import matrix_refused

    return matrix_refused.cases()
