"""Choose the method of a conversion within a budget, by trying a finite set of them on validation data.

Candidates (candidates.py) are converted with scales from the calibration part and run by the clocked network on the
validation part; one run gives the accuracy after every timestep. Successive halving (rungs.py) leaves a few, which are
tried once more with their mean rates corrected (methods/correct.py). The knee of the last rung (tradeoff.py) is chosen.

Accuracy is the share of samples decided as their label says; without labels, as the CNN decides. What was chosen is as
good as the verdict on other data says, not as the figures here, which chance has flattered.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConversionError
from ...network import Network, Readout
from ..calibration.events import EventWindows
from ..cnn import Cnn
from ..method import Method
from ..trace.graph import import_cnn
from ..verdict.validation import Validation
from ..verdict.verdict import check_allowed
from .budget import Budget, parse_budget, said
from .candidates import Candidate, candidates
from .costs import make_costs
from .rungs import Rung, order_of_samples, plan, survivors
from .tradeoff import Point, Tradeoff, knee, pareto, points
from .trial import Converter, Data, Setting, Trial, cnn_outputs, run_trial, show, wanted_decisions
from .windows_shown import Windows

Progress = Callable[[str, int, int], None]  # what, done, of how many
PILOT = 16  # samples whose run says how long the others take
MORE_TIME = "--search-seconds gives more"
MOST_SCALES = 256  # calibration inputs that the scales of candidates are measured on


@dataclass(frozen=True)
class Choice:
    """The method at the knee, and the whole trade-off."""

    budget: Budget
    method: Method
    knee: Point
    front: tuple[Point, ...]  # the points of the last rung that no other beats, within the budget
    curves: tuple[Tradeoff, ...]  # of every candidate, from the last rung that it was in
    finalists: tuple[str, ...]  # those of the last rung, between which the knee was chosen
    cnn_right: int  # of the CNN, on the samples of the last rung
    judged: str  # "accuracy", or "agreement" with the CNN where there are no labels
    notes: tuple[str, ...]

    def described(self) -> dict[str, Any]:
        """For the provenance of the network."""
        return {
            "budget": str(self.budget),
            "timesteps": self.knee.timesteps,
            "candidate": self.knee.candidate,
            "candidates": len(self.curves),
            self.judged: self.knee.share,
            "samples": self.knee.n,
            "cost": said(self.knee.cost, self.budget.unit),
            "operations": round(self.knee.operations),
        }


def choose(
    model: nn.Module | Cnn,
    calibration: Data,
    validation: Data,
    labels: Sequence[str],
    budget: Budget | str,
    *,
    base: Method | None = None,
    fixed: Collection[str] = (),
    readout: Readout | None = None,
    timestep_us: int | None = None,
    state_window_us: int | None = None,
    most_timesteps: int = 128,
    allowed: float | None = None,
    seconds: float | None = 300.0,
    numbers: str = "int16",
    seed: int = 0,
    progress: Progress = lambda what, done, n: None,
) -> Choice:
    """Find the method at the knee of accuracy against cost, within the budget.

    calibration     Inputs or EventWindows of the training set; scales are measured on it
    validation      others, disjoint; candidates are compared on it. Neither may be test data
    budget          timesteps, time or operations until the decision; see budget.py
    base, fixed     settings to start from, and the names of those that must stay; the others of candidates.py vary
    most_timesteps  where the budget is of operations or of time, no more are tried
    allowed         loss in points that the user allows: the knee keeps to it where any candidate does
    seconds         about how long it may take; fewer samples and candidates are tried then. None: no limit
    numbers         of the engine whose time is measured
    progress        called with what is done, how much of it, of how much

    Raises ConversionError where the data do not fit, or nothing is within the budget.
    """
    budget = parse_budget(budget) if isinstance(budget, str) else budget
    check_allowed(allowed)
    cnn = model if isinstance(model, Cnn) else import_cnn(model, validation_shape(validation))
    values = calibration.frames() if isinstance(calibration, EventWindows) else calibration.values
    given = torch.from_numpy(values)
    thinned = given[:: max(1, len(given) // MOST_SCALES)]
    base = base or Method()
    setting = Setting(cnn, labels, thinned, readout, timestep_us, state_window_us, base.input, seed)
    tried = candidates(base, fixed)
    return _Search(setting, validation, budget, most_timesteps, allowed, seconds, numbers, progress).run(tried, fixed)


def validation_shape(data: Data) -> tuple[int, int, int]:
    """Of the CNN's input."""
    if isinstance(data, EventWindows):
        return (2 * len(data.delays_us), data.sensor.height, data.sensor.width)
    channels, height, width = data.values.shape[1:]
    return (channels, height, width)


class _Search:
    """The state of one search."""

    def __init__(
        self,
        setting: Setting,
        validation: Data,
        budget: Budget,
        most: int,
        allowed: float | None,
        seconds: float | None,
        numbers: str,
        progress: Progress,
    ) -> None:
        self.setting, self.data, self.budget, self.allowed = setting, validation, budget, allowed
        self.most, self.numbers, self.progress, self.seconds = most, numbers, progress, seconds
        self.converter = Converter(setting)
        self.outputs = cnn_outputs(setting.cnn, validation)
        self.wanted = wanted_decisions(validation, self.outputs)
        self.order = order_of_samples(len(validation), setting.seed)
        self.curves: dict[str, Tradeoff] = {}
        self.shown: dict[int, Windows] = {}  # the first so many samples, which all candidates of a rung see
        self.notes: list[str] = []

    def run(self, tried: list[Candidate], fixed: Collection[str]) -> Choice:
        pilot = self.converter.network(tried[0])
        self.costs = make_costs(self.budget, pilot, self.data, self.setting, self.most, self.numbers)
        self.until = None if self.seconds is None else time.monotonic() + self.seconds  # compiling does not count
        self._pilot(tried[0], pilot)
        left, number = tried, 0
        while True:
            rungs = plan(len(left), len(self.data), self._affordable(len(left)))
            rung, number = rungs[0], number + 1
            if rung.candidates < len(left) == len(tried):
                self.notes.append(f"time was short: {rung.candidates} of {len(left)} methods were tried; {MORE_TIME}")
            left = left[: rung.candidates]
            trials = self._rung(left, rung, f"round {number} of {number + len(rungs) - 1}")
            if len(rungs) == 1:
                break
            left = [left[index] for index in self._survivors(trials, rung, rungs[1].candidates)]
        if rung.samples < len(self.data):
            self.notes.append(f"time was short: {rung.samples} of {len(self.data)} samples were used; {MORE_TIME}")
        trials += self._corrected(trials, rung, fixed)
        return self._choice(trials, rung.samples)

    def _pilot(self, candidate: Candidate, network: Network) -> None:
        """How long does a candidate take on a sample? The first run pays for what is loaded then."""
        few = self.order[: min(PILOT, len(self.data))]
        self._try(candidate, network, few[:1])
        began = time.monotonic()
        self._try(candidate, network, few)
        self.each = (time.monotonic() - began) / len(few)  # seconds
        self.making = 2 * self.each  # of one network

    def _affordable(self, candidates: int) -> float:
        """Runs of one candidate on one sample that time is left for; a third of it is kept for what is behind them."""
        if self.until is None:
            return float("inf")
        left = 0.7 * (self.until - time.monotonic()) - 1.5 * candidates * self.making
        return max(left, 0.0) / self.each

    def _rung(self, tried: list[Candidate], rung: Rung, what: str) -> list[Trial]:
        trials, making, began = [], 0.0, time.monotonic()
        for done, candidate in enumerate(tried):
            self.progress(f"{what}: {candidate.name}", done, len(tried))
            making -= time.monotonic()
            network = self.converter.network(candidate)
            making += time.monotonic()
            trials.append(self._try(candidate, network, self.order[: rung.samples]))
            self._keep(trials[-1], rung.samples)
        self.progress(what, len(tried), len(tried))
        self.making = making / len(tried)
        self.each = (time.monotonic() - began - making) / len(tried) / rung.samples
        return trials

    def _try(self, candidate: Candidate, network: Network, chosen: np.ndarray) -> Trial:
        data, steps = self.data.subset(chosen), self.costs.timesteps
        if isinstance(data, EventWindows):
            shown: Validation = self.shown.setdefault(len(chosen), Windows(data, steps))
        else:
            shown = show(data, network, steps, self.setting.coding, self.setting.seed)
        return run_trial(candidate, network, shown, self.wanted[chosen], self.outputs[chosen])

    def _keep(self, trial: Trial, n: int, cost: np.ndarray | None = None) -> Tradeoff:
        cost = self.costs.of(trial.operations) if cost is None else cost
        steps = min(len(cost), len(trial.right))
        curve = Tradeoff(trial.candidate.name, n, trial.right[:steps], trial.operations[:steps], cost[:steps])
        self.curves[curve.candidate] = curve
        return curve

    def _survivors(self, trials: list[Trial], rung: Rung, places: int) -> list[int]:
        curves = [self.curves[trial.candidate.name] for trial in trials]
        found = points(curves, self.budget.amount)
        if not found:
            raise self._nothing(curves)
        target = knee(found, self._wanted_share(rung.samples)).share
        quick, right = [], []
        for trial, curve in zip(trials, curves, strict=True):
            inside = points([curve], self.budget.amount)
            reached = [point.cost for point in inside if point.share >= target - 1e-12]
            best = max((point.share for point in inside), default=0.0)
            quick.append((min(reached, default=float("inf")), -best, trial.distance))
            right.append((-best, trial.distance))
        return survivors(places, quick, right)

    def _corrected(self, trials: list[Trial], rung: Rung, fixed: Collection[str]) -> list[Trial]:
        """Each finalist once more, with its mean rates made right at the timestep that would be chosen of it."""
        if "correction" in fixed:
            return []
        found = []
        for done, trial in enumerate(trials):
            inside = points([self.curves[trial.candidate.name]], self.budget.amount)
            if not inside or (self.until is not None and time.monotonic() > self.until):
                continue
            steps = knee(inside, self._wanted_share(rung.samples)).timesteps
            method = replace(trial.candidate.method, correction="both", correction_timesteps=steps)
            candidate = Candidate(f"{trial.candidate.name}, corrected at {steps}", method)
            self.progress(f"corrected: {candidate.name}", done, len(trials))
            found.append(self._try(candidate, self.converter.network(candidate), self.order[: rung.samples]))
            self._keep(found[-1], rung.samples)
        return found

    def _choice(self, trials: list[Trial], n: int) -> Choice:
        for trial in trials:
            exact = self.costs.measured(trial.network)
            if exact is not None:
                self._keep(trial, n, exact)
        final = [self.curves[trial.candidate.name] for trial in trials]
        found = points(final, self.budget.amount)
        if not found:
            raise self._nothing(final)
        chosen = knee(found, self._wanted_share(n))
        method = next(trial.candidate.method for trial in trials if trial.candidate.name == chosen.candidate)
        return Choice(
            self.budget,
            method,
            chosen,
            tuple(pareto(found)),
            tuple(self.curves.values()),
            tuple(curve.candidate for curve in final),
            self._cnn_right(n),
            "agreement" if self.data.targets is None else "accuracy",
            (*self.notes, *self.costs.notes),
        )

    def _cnn_right(self, n: int) -> int:
        chosen = self.order[:n]
        return int((self.outputs[chosen].argmax(1) == self.wanted[chosen]).sum())

    def _wanted_share(self, n: int) -> float | None:
        return None if self.allowed is None else self._cnn_right(n) / n - self.allowed / 100

    def _nothing(self, curves: Sequence[Tradeoff]) -> ConversionError:
        least = min(float(curve.cost[0]) for curve in curves)
        return ConversionError(
            f"no network decides within {self.budget}: the first timestep costs {said(least, self.budget.unit)}; "
            "give more, or a smaller CNN"
        )
