"""What a validation found, as plain figures: stages, the curve over time, and layers. stages.py fills them in.

Losses are of paired data: the CNN and the network decided on the same samples, so the interval is Tango's score
interval of the difference of two paired proportions (interval.py), narrower than that of two accuracies, and honest
where nothing was lost. McNemar's test gives a p value and no size; a bootstrap fails where no decision differs.
"""

from dataclasses import dataclass, field

import numpy as np

from ...interval import paired, wilson


@dataclass(frozen=True)
class Stage:
    """Decisions of one form of the network, beside those of the CNN on the same samples."""

    name: str
    n: int  # samples
    right: int
    cnn_right: int
    lost: int  # samples that the CNN got right and this wrong
    won: int  # the reverse
    agreeing: int  # same decision as the CNN, right or wrong
    undecided: int = 0  # all outputs alike; counted as wrong

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson."""
        return wilson(self.right, self.n)

    @property
    def agreement(self) -> float:
        return self.agreeing / self.n

    @property
    def loss(self) -> float:
        """Points: accuracy of the CNN minus this one's, on the same samples."""
        return 100 * (self.lost - self.won) / self.n

    @property
    def loss_interval(self) -> tuple[float, float]:
        """Points, 95 %, of paired data (Tango 1998)."""
        low, high = paired(self.lost, self.won, self.n)
        return 100 * low, 100 * high


@dataclass(frozen=True)
class Curve:
    """Of the converted network, after each of the timesteps 1 .. T, per sample in the mean."""

    stage: str  # name of the Stage it was recorded on
    n: int
    error: tuple[float, ...]  # share of wrong decisions (undecided ones among them)
    agreement: tuple[float, ...]  # share of decisions that are the CNN's
    synops: tuple[float, ...]  # cumulative synaptic operations: one addition per synapse that a spike reaches
    first_layer: float  # operations of a constant current into the first layer, done once: 2 per MAC
    updates: tuple[float, ...]  # cumulative neuron updates of a clocked machine (no SynOps): every neuron, every step

    @property
    def operations(self) -> tuple[float, ...]:
        return tuple(self.first_layer + count for count in self.synops)


@dataclass(frozen=True)
class LayerFidelity:
    """One population of neurons, or a last layer that only integrates (its spiking columns are None).

    Errors are relative: norm of the difference / norm of the CNN's activation, over neurons and samples, in units of λ.
    Where the neurons reset by subtraction, do not leak and have no floor, rate + (v(T) - v(0)) / (T θ) is exactly what
    arrived per timestep (Rueckauer et al. 2017), and the error splits into what arrived wrong and what the layer added:
    `clipping` (more arrived than it may fire), `early` (it fired more than arrived in the end: excitation came before
    inhibition), `late` (it could not fire any more what arrived late) and `rounding` (whole spikes in T timesteps).
    """

    name: str
    weights: tuple[str, ...]  # weight layers that feed it
    sources: tuple[str, ...]  # populations that feed these; () where only the input does
    behind_max_pool: bool
    neurons: int
    macs: int  # of the CNN, per sample
    synops: float | None  # of its weight layers, per sample and all timesteps; MACs where a constant current arrives
    error: float
    reset: str = ""
    rate: float | None = None  # mean spikes per timestep
    active_rate: float | None = None  # the same of those neurons and samples that fired at all
    correlation: float | None = None  # Pearson, of activation and rate; None also where one of both is constant
    clipped: float | None = None  # share of activations above what the neuron may fire
    dead: float | None = None  # share of neurons whose activation was never above 0
    residual: float | None = None  # mean |v(T) - v(0)| in thresholds, where activation or rate are not 0
    arrived: float | None = None
    clipping: float | None = None
    early: float | None = None
    late: float | None = None
    rounding: float | None = None
    density: np.ndarray | None = field(default=None, compare=False)  # int64 (rate, activation), see fidelity.py
    silent: float | None = None  # share of pairs with activation and rate 0, which `density` leaves out
    rates: np.ndarray | None = field(default=None, compare=False)  # int64: histogram of rates above 0
    parts: float = 1.0  # spikes that stand for the scale of the calibration: pictures have it as their unit


@dataclass(frozen=True)
class Measured:
    """All figures of one validation. `stages[0]` is the CNN."""

    coding: str  # how samples were shown: constant, poisson or events
    timesteps: int
    stages: tuple[Stage, ...]
    curve: Curve
    layers: tuple[LayerFidelity, ...]
    layer_samples: int  # samples that the layers' figures are of
    macs: int  # multiply-accumulates of the CNN per sample
    cnn_operations: int  # 2 per MAC, and 1 per neuron with a bias (Rueckauer et al. 2017)
    neurons: int
    folding_error: float  # largest difference of the imported CNN / largest output
    notes: tuple[str, ...] = ()

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)
