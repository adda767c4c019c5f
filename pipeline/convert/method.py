"""The settings of a conversion, each a small rule that composes with the others; all are kept in the provenance.

Method()                                                      percentile 99.9, reset by subtraction, v(0) half way
Method.preset("standard")                                     the same with finer spikes: what is done unasked
Method(percentile=100, v_init=0.0)                            Diehl et al. 2015, with biases: Rueckauer et al. 2016
Method(reset="zero", percentile=100, input="poisson")         as the earliest conversions did
Method(form="thresholds")                                     the same network with the scales in its thresholds
Method.preset("ecc2022")                                      the settings of a published system
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ..errors import ConversionError
from ..neurons import GATES

CHOICES = {
    "normalization": ("percentile", "weights", "spikes", "none"),
    "over": ("all", "nonzero"),
    "per": ("layer", "channel"),
    "form": ("weights", "thresholds"),
    "reset": ("subtract", "zero"),
    "stepped": ("auto", "burst", "rate"),
    "input": ("constant", "poisson"),
    "pool_rule": GATES,
    "max_pools": ("max", "average"),
    "average_pools": ("behind", "neurons", "before"),
    "residual": ("own", "shared"),
    "correction": ("none", "bias", "start", "both"),
    "readout": ("membrane", "count", "softmax_rate", "softmax_poisson"),
}
STARTS = ("uniform", "-bias")  # values of v_init that are words
WHOLE = {  # settings that are whole numbers: the least
    "max_spikes": 1,
    "signed_parts": 1,
    "balance_timesteps": 1,
    "correction_timesteps": 1,
    "clamp_steps": 0,
    "readout_delay": 0,
    "seed": 0,
}


@dataclass(frozen=True)
class Method:
    """How activations become firing rates. Raises ConversionError for a setting that has no meaning.

    The activation that a rate of 1 spike per timestep stands for is called the scale λ of a population.
    """

    normalization: Literal["percentile", "weights", "spikes", "none"] = "percentile"  # see methods/balance.py
    percentile: float = 99.9  # above 0, at most 100 (which is the largest activation)
    over: Literal["all", "nonzero"] = "all"  # which activations the percentile counts
    per: Literal["layer", "channel"] = "layer"  # one λ for a population, or one for each channel of a map. A channel
    # of a vector is one neuron, which a few hundred inputs do not tell the largest value of: vectors keep one λ
    lambdas: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # given, by the population's name
    form: Literal["weights", "thresholds"] = "weights"  # threshold 1 and scaled weights; or weights as they are
    threshold_scale: float | Mapping[str, float] = 1.0  # λ is multiplied by this, for all or by population
    residual: Literal["own", "shared"] = "own"  # λ of what is added without weights: its own, or the sum's
    balance_timesteps: int = 64  # of normalization "spikes", for each population
    reset: Literal["subtract", "zero"] = "subtract"
    v_init: float | Literal["uniform", "-bias"] = 0.5  # membrane at the start, as a share of the threshold; or
    # seeded anew for each channel in [-θ, θ), or so that it cancels the first bias. Of populations without a sign
    clamp_steps: int = 0  # neurons behind n + 1 weight layers start n times so many timesteps late
    v_min: float | None = None  # the membrane is never below v_min * threshold; None: no such bound
    max_spikes: int = 1  # the most of one neuron in one timestep (burst)
    signed_parts: int = 2  # of a population with spikes of both signs: so many stand for λ, up to so many a timestep.
    # Neurons round towards 0; those without a sign start half way to round to the nearest, which both signs cannot do
    stepped: Literal["auto", "burst", "rate"] = "auto"  # activations with steps: exact in every timestep by several
    # spikes, or as a rate, which is exact after as many timesteps as there are steps; "auto": bursts, of streams rates
    input: Literal["constant", "poisson"] = "constant"  # how the check and the accuracies feed images
    input_scale: float = 1.0  # spikes or current per timestep for an input value of 1
    pool_rule: Literal["fir", "average", "exponential", "or", "exact"] = "exact"  # of spiking max pools
    max_pools: Literal["max", "average"] = "max"  # "average" in their place: another CNN
    average_pools: Literal["behind", "neurons", "before"] = "behind"  # the neurons, or as neurons; "before" them it is
    # another CNN
    correction: Literal["none", "bias", "start", "both"] = "none"  # of mean rates, on calibration data
    correction_timesteps: int = 32  # at which they are right
    readout: Literal["membrane", "count", "softmax_rate", "softmax_poisson"] = "membrane"
    readout_delay: int = 0  # timesteps of which the readout counts no evidence
    seed: int = 0  # of v_init "uniform", and of Poisson input to the rules that run spikes

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConversionError(f"{name} is {getattr(self, name)!r}, want {' or '.join(map(repr, known))}")
        if not 0 < self.percentile <= 100:
            raise ConversionError(f"percentile is {self.percentile}, want above 0 and at most 100 (99.9 is usual)")
        if self.v_init not in STARTS and not (isinstance(self.v_init, float | int) and 0 <= self.v_init < 1):
            raise ConversionError(
                f"v_init is {self.v_init!r}, want a share of the threshold from 0 to below 1, or 'uniform' or '-bias'"
            )
        if not 0 < self.input_scale < float("inf"):
            raise ConversionError(f"input_scale is {self.input_scale}, want above 0")
        if self.v_min is not None and not -float("inf") < self.v_min <= 0:
            raise ConversionError(f"v_min is {self.v_min}, want a share of the threshold of at most 0, such as -1")
        for name, least in WHOLE.items():
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                above = "above 0" if least else "from 0"
                raise ConversionError(f"{name} is {count!r}, want a whole number {above}")
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

    @staticmethod
    def preset(name: str) -> "Method":
        """The settings of a published system (methods/presets.py). Raises ConversionError for an unknown name."""
        from .methods.presets import preset

        return preset(name).method

    def described(self) -> dict[str, Any]:
        """For the provenance: every setting that is not the default's, by name, and those that everybody asks for."""
        always = ("percentile", "over", "per", "reset", "v_init", "input_scale")
        plain = asdict(self)
        plain["lambdas"] = sorted(self.lambdas)  # their values are in the provenance's own "lambdas"
        return {
            f.name: plain[f.name]
            for f in fields(self)
            if f.name in always or (f.name != "lambdas" and getattr(self, f.name) != f.default)
        }

    @property
    def name(self) -> str:
        """One line for a person."""
        if self.lambdas:
            return "thresholds of the fine-tuning"
        return {
            "percentile": "percentile normalization",
            "weights": "normalization by the largest sum of weights",
            "spikes": "thresholds balanced on spikes",
            "none": "no normalization",
        }[self.normalization]
