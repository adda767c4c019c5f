"""The verdict on a conversion: what was measured, whether it is good enough, which layer is worst and what to do.

stages.py measures, measured.py holds the figures, page/page.py and the terminal show them; here is what they mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import ConversionError, counted
from .measured import LayerFidelity, Measured, Stage

Cause = Literal["dead", "clipping", "early spikes", "late spikes", "rounding", "reset", "max pool", "input", "unknown"]
LONGEST_NAME = 60  # of a layer, in a sentence
UNREMARKABLE = 0.05  # relative error of a layer below which nobody need act


def check_allowed(points: float | None, name: str = "allowed") -> None:
    """Raise ConversionError for a loss that nothing can be held against. `name`: what the user calls it."""
    if points is not None and not 0 <= points < math.inf:
        raise ConversionError(f"{name} is {points:g}, want a number of points of accuracy from 0, such as 0.5")


@dataclass(frozen=True)
class Culprit:
    """The largest single error that one layer brought in, and by what."""

    layer: LayerFidelity
    cause: Cause
    size: float  # relative, as LayerFidelity's errors


@dataclass(frozen=True)
class Verdict:
    """`allowed` is the loss in points that the user allows; None: he did not say. Nothing here is measured.

    Raises ConversionError where `allowed` is no number of points from 0.
    """

    measured: Measured
    allowed: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def __post_init__(self) -> None:
        check_allowed(self.allowed)

    @property
    def converted(self) -> Stage:
        """The stage that the loss is of: the one that the curve was recorded on."""
        return self.measured.stage(self.measured.curve.stage)

    @property
    def loss(self) -> float:
        """Points."""
        return self.converted.loss

    def passed(self, allowed: float | None = None) -> bool:
        """Whether the loss as measured is at most so many points (those of the verdict, if not given)."""
        limit = self.allowed if allowed is None else allowed
        return limit is None or self.loss <= limit + 1e-9

    @property
    def margin(self) -> float:
        """Points around the CNN's accuracy that count as having arrived: what is allowed, else half a point."""
        return 0.5 if self.allowed is None else self.allowed

    @property
    def settled(self) -> int | None:
        """First timestep from which on the error stays within `margin` of the CNN's."""
        limit = 1 - self.converted.cnn_right / self.converted.n + self.margin / 100 + 1e-12
        late = [step for step, error in enumerate(self.measured.curve.error, 1) if error > limit]
        first = late[-1] + 1 if late else 1
        return first if first <= self.measured.timesteps else None

    @property
    def sentence(self) -> str:
        """The finding, behind PASSED or FAILED where a loss is allowed."""
        judged = "" if self.allowed is None else f"{'PASSED' if self.passed() else 'FAILED'}: "
        return judged + self.finding

    @property
    def finding(self) -> str:
        """What the conversion cost, in one sentence."""
        stage, allowed = self.converted, self.allowed
        low, high = stage.loss_interval
        limit = "" if allowed is None else f", {allowed:g} allowed"
        text = (
            f"a loss of {points(self.loss)} (95 % interval {signed(low)} to {signed(high)}){limit}: "
            f"{percent(stage.accuracy)} after {counted(self.measured.timesteps, 'timestep')}, the CNN "
            f"{percent(stage.cnn_right / stage.n)}, on the same {counted(stage.n, 'sample')}"
        )
        if allowed is not None and self.passed() and high > allowed:
            text += "; it takes more samples to be sure of it"
        elif not self.passed() and low <= (allowed or 0.0):
            text += "; so few samples cannot tell it from what is allowed"
        return f"{text[0].upper()}{text[1:]}."

    @property
    def cost(self) -> str:
        """When it gets there, and at how many operations."""
        curve, settled = self.measured.curve, self.settled
        if settled is None:
            shown = counted(self.measured.timesteps, "timestep")
            return f"It is not within {self.margin:g} points of the CNN after {shown}."
        ratio = curve.operations[settled - 1] / max(self.measured.cnn_operations, 1)
        return (
            f"It stays within {self.margin:g} points of the CNN from timestep {settled} on, at {ratio:.2f} times the "
            "CNN's operations (a MAC being two, a SynOp one)."
        )

    @property
    def culprit(self) -> Culprit | None:
        return find_culprit(self.measured.layers)

    @property
    def worst(self) -> str:
        """Which layer is worst, and what to do."""
        culprit = self.culprit
        return "" if culprit is None else advise(culprit, self.measured.timesteps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Stages that do not do what the converted network does."""
        found = [
            f"{stage.name}: a loss of {points(stage.loss)} on {stage.n:,} samples (95 % interval "
            f"{signed(stage.loss_interval[0])} to {signed(stage.loss_interval[1])})."
            for stage in self.measured.stages[1:]
            if stage.name != self.converted.name and stage.loss_interval[0] > max(self.allowed or 0.0, 0.0)
        ]
        return (*found, *self.measured.notes)


def find_culprit(layers: tuple[LayerFidelity, ...]) -> Culprit | None:
    """A dead layer if there is one, else the largest error that any layer brought in; None without spiking layers."""
    by_name = {layer.name: layer for layer in layers}
    found: list[Culprit] = []
    for layer in layers:
        if layer.dead == 1.0:
            return Culprit(layer, "dead", layer.error)
        if layer.rate is None:
            continue
        before = max((by_name[name].error for name in layer.sources if name in by_name), default=0.0)
        if layer.arrived is None:
            cause: Cause = "reset" if layer.reset == "zero" else "unknown"
            found.append(Culprit(layer, cause, max(layer.error - before, 0.0)))
            continue
        found += [
            Culprit(layer, "clipping", layer.clipping or 0.0),
            Culprit(layer, "early spikes", layer.early or 0.0),
            Culprit(layer, "late spikes", layer.late or 0.0),
            Culprit(layer, "rounding", layer.rounding or 0.0),
        ]
        if not layer.sources:
            found.append(Culprit(layer, "input", layer.arrived))
        elif layer.behind_max_pool:
            found.append(Culprit(layer, "max pool", max(layer.arrived - before, 0.0)))
    return max(found, key=lambda culprit: culprit.size, default=None)


def advise(culprit: Culprit, timesteps: int) -> str:
    """One sentence: the layer, what is wrong with it, and the way out."""
    layer, size = culprit.layer, culprit.size
    name = layer.name if len(layer.name) <= LONGEST_NAME else layer.name[: LONGEST_NAME - 1] + "…"
    if culprit.cause == "dead":
        return f"The worst layer is {name}: no sample excites any of its neurons; are the inputs scaled as in training?"
    reason, remedy = _CAUSES[culprit.cause]
    text = reason.format(
        clipped=percent(layer.clipped or 0.0),
        spikes=(layer.active_rate or 0.0) * timesteps,
        shown=counted(timesteps, "timestep"),
    )
    if size < UNREMARKABLE:
        return f"No layer stands out; the largest single error is {percent(size, 1)} in {name}, where {text}."
    if culprit.cause == "rounding" and (layer.active_rate or 0.0) * timesteps >= 8:
        remedy = "more timesteps bring it closer"
    return f"The worst layer is {name} ({percent(size, 1)} of its activation): {text}. Way out: {remedy}."


_CAUSES: dict[Cause, tuple[str, str]] = {
    "clipping": (
        "{clipped} of its activations lie above the highest rate and are clipped",
        "a higher percentile, one scale per channel, or neurons that may fire more than once a timestep",
    ),
    "early spikes": (
        "neurons fire before the inhibition arrives that should hold them back, and no spike can be taken back",
        "more timesteps, a lower v_init, or a readout that begins later",
    ),
    "late spikes": (
        "more arrives towards the end than one spike a timestep can carry",
        "more timesteps, neurons that may fire more than once a timestep, or a higher percentile",
    ),
    "rounding": (
        "rates are whole spikes in {shown}, {spikes:.1f} per active neuron",
        "more timesteps, one scale per channel, or a lower percentile, so that it fires more",
    ),
    "reset": ("a reset to zero throws away what exceeded the threshold", "reset by subtraction"),
    "max pool": (
        "the max pool before it passes other spikes than those of the strongest neuron",
        "the pool of rule 'exact', the pool moved before the neurons, or an average pool",
    ),
    "input": (
        "what arrives from the input differs from what the CNN saw (random spikes do, for a while)",
        "constant current, a higher input rate, or more timesteps",
    ),
    "unknown": (
        "its rates are further off than those before it; its neurons leak, have a floor, or start afresh, so that the "
        "error cannot be split",
        "neurons without leak and floor, or more timesteps",
    ),
}


def percent(share: float, digits: int = 2) -> str:
    """98.51 %."""
    return f"{100 * share:.{digits}f} %"


def signed(value: float) -> str:
    """Two digits and a true minus; never -0.00."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def points(loss: float) -> str:
    """0.12 points; 1.00 point."""
    return f"{signed(loss)} point{'' if round(loss, 2) == 1 else 's'}"
