"""The settings of a conversion, each a small rule that composes with the others; all are kept in the provenance.

    Method()                                                      percentile 99.9, reset by subtraction, v(0) half way
    Method(percentile=100, v_init=0.0)                            Diehl et al. 2015, with biases: Rueckauer et al. 2016
    Method(reset="zero", percentile=100, input="poisson")         as the earliest conversions did
    Method(form="thresholds")                                     the same network with the scales in its thresholds
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ..errors import ConversionError
from ..neurons import GATES

CHOICES = {
    "normalization": ("percentile", "none"),
    "over": ("all", "nonzero"),
    "per": ("layer", "channel"),
    "form": ("weights", "thresholds"),
    "reset": ("subtract", "zero"),
    "input": ("constant", "poisson"),
    "pool_rule": GATES,
}


@dataclass(frozen=True)
class Method:
    """How activations become firing rates. Raises ConversionError for a setting that has no meaning.

    The activation that a rate of 1 spike per timestep stands for is called the scale λ of a population.
    """

    normalization: Literal["percentile", "none"] = "percentile"  # of calibration activations; "none": every λ is 1
    percentile: float = 99.9  # above 0, at most 100 (which is the largest activation)
    over: Literal["all", "nonzero"] = "all"  # which activations the percentile counts
    per: Literal["layer", "channel"] = "layer"  # one λ for a population, or one for each of its channels
    lambdas: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # given, by the population's name
    form: Literal["weights", "thresholds"] = "weights"  # threshold 1 and scaled weights; or weights as they are
    threshold_scale: float | Mapping[str, float] = 1.0  # λ is multiplied by this, for all or by population
    reset: Literal["subtract", "zero"] = "subtract"
    v_init: float = 0.5  # membrane at the start, as a share of the threshold; of populations without a sign
    v_min: float | None = None  # the membrane is never below v_min * threshold; None: no such bound
    max_spikes: int = 1  # the most of one neuron in one timestep (burst)
    input: Literal["constant", "poisson"] = "constant"  # how the check and the accuracies feed images
    input_scale: float = 1.0  # spikes or current per timestep for an input value of 1
    pool_rule: Literal["fir", "average", "exponential", "or", "exact"] = "exact"  # of spiking max pools

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConversionError(f"{name} is {getattr(self, name)!r}, want {' or '.join(map(repr, known))}")
        if not 0 < self.percentile <= 100:
            raise ConversionError(f"percentile is {self.percentile}, want above 0 and at most 100 (99.9 is usual)")
        if not 0 <= self.v_init < 1:
            raise ConversionError(f"v_init is {self.v_init}, want a share of the threshold from 0 to below 1")
        if not 0 < self.input_scale < float("inf"):
            raise ConversionError(f"input_scale is {self.input_scale}, want above 0")
        if self.v_min is not None and not -float("inf") < self.v_min <= 0:
            raise ConversionError(f"v_min is {self.v_min}, want a share of the threshold of at most 0, such as -1")
        if not isinstance(self.max_spikes, int) or self.max_spikes < 1:
            raise ConversionError(f"max_spikes is {self.max_spikes!r}, want a whole number above 0")
        for name, value in self._scales():
            if not 0 < value < float("inf"):
                raise ConversionError(f"{name} is {value}, want above 0")

    def _scales(self) -> list[tuple[str, float]]:
        given = self.threshold_scale
        if isinstance(given, Mapping):
            return [(f"threshold_scale of {name!r}", value) for name, value in given.items()]
        return [("threshold_scale", given)]

    def threshold_scale_of(self, population: str) -> float:
        given = self.threshold_scale
        return float(given.get(population, 1.0)) if isinstance(given, Mapping) else float(given)

    def described(self) -> dict[str, Any]:
        """For the provenance: every setting that is not the default's, by name, and those that everybody asks for."""
        always = ("percentile", "over", "per", "reset", "v_init", "input_scale")
        plain = asdict(self)
        plain["lambdas"] = sorted(self.lambdas)  # their values are in the provenance's own "lambdas"
        default = Method
        return {
            f.name: plain[f.name]
            for f in fields(default)
            if f.name in always or (f.name != "lambdas" and getattr(self, f.name) != f.default)
        }

    @property
    def name(self) -> str:
        """One line for a person."""
        if self.lambdas:
            return "thresholds of the fine-tuning"
        return "percentile normalization" if self.normalization == "percentile" else "no normalization"
