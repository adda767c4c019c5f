"""The layers of a spiking network that hold state and emit spikes: neurons and spiking max pools.

What lies between them is layers.py's; the meaning of a timestep as a whole is told in network.py.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .errors import NetworkError
from .layers import Layer, Pair, Shape, only, pooled_shape

RESETS = ("subtract", "zero", "none")
GATES = ("fir", "average", "exponential", "or", "exact")


@dataclass(frozen=True)
class Neurons(Layer):
    """What IF and LIF share: integrate everything that arrives in a step, then fire, then reset.

        v <- v + input                            input: weighted spikes and biases of the step
        v <- max(v, v_min)                        if v_min is given
        n <- min(floor(v / threshold), max_spikes)    if v >= threshold, else 0
        n <- -min(floor(-v / threshold), max_spikes)  if signed and v <= -threshold
        v <- v - n * threshold | 0 if n != 0 | v      reset "subtract" | "zero" | "none"

    n is what it sends. More than one spike a step removes the ceiling of one spike per timestep (Sorbaro et al. 2020),
    negative spikes take back what was sent too early. A start_step keeps a deep layer silent while what its biases and
    the first spikes before it bring means nothing yet ("voltage clamp", Rueckauer et al. 2017).
    """

    threshold: np.ndarray  # float32 (channels,), > 0, in the units of v
    v_init: np.ndarray  # float32 (channels,), membrane potential after a reset of the network, e.g. threshold / 2
    reset: Literal["subtract", "zero", "none"] = "subtract"
    max_spikes: int = 1  # the most spikes of one neuron in one step
    signed: bool = False  # True: fires negative spikes at or below -threshold
    v_min: np.ndarray | None = None  # float32 (channels,), v is never integrated below this; None: no such bound
    start_step: int = 0  # for so many timesteps after a reset v stays at v_init, and what arrives is lost

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = only(self, shapes)
        self._check_array("threshold", self.threshold, shape[0])
        self._check_array("v_init", self.v_init, shape[0])
        if (self.threshold <= 0).any():
            raise NetworkError(f"layer {self.name!r} has a threshold of {self.threshold.min()}, want all above 0")
        if (self.v_init >= self.threshold).any():
            raise NetworkError(f"layer {self.name!r} starts with v_init at or above its threshold; want it below")
        if self.v_min is not None:
            self._check_array("v_min", self.v_min, shape[0])
            if (self.v_min > self.v_init).any():
                raise NetworkError(f"layer {self.name!r} starts with v_init below its v_min; want it at or above")
        if self.reset not in RESETS:
            raise NetworkError(f"layer {self.name!r} has reset {self.reset!r}, want one of {', '.join(RESETS)}")
        if not isinstance(self.max_spikes, int) or isinstance(self.max_spikes, bool) or self.max_spikes < 1:
            raise NetworkError(f"layer {self.name!r} has max_spikes {self.max_spikes!r}, want a whole number above 0")
        if not isinstance(self.start_step, int) or isinstance(self.start_step, bool) or self.start_step < 0:
            raise NetworkError(f"layer {self.name!r} has start_step {self.start_step!r}, want a whole number from 0")
        if not isinstance(self.signed, bool):
            raise NetworkError(f"layer {self.name!r} has signed {self.signed!r}, want True or False")
        return shape

    def _check_array(self, what: str, array: np.ndarray, channels: int) -> None:
        if not isinstance(array, np.ndarray) or array.shape != (channels,) or not np.isfinite(array).all():
            found = f"shape {array.shape}" if isinstance(array, np.ndarray) else f"type {type(array).__name__}"
            raise NetworkError(f"layer {self.name!r}: {what} has {found}, want an array of {channels} finite values")


@dataclass(frozen=True)
class IF(Neurons):
    """Integrate-and-fire neurons without a leak (Rueckauer et al. 2017)."""


@dataclass(frozen=True)
class LIF(Neurons):
    """Leaky integrate-and-fire neurons: before it integrates, v <- v * decay in every step.

    With a time constant tau, decay = exp(-timestep / tau); in slices k times as long as network.timestep_us the engine
    uses decay ** k. Integrating engines round v * decay towards 0, so that a potential left alone does reach 0.
    """

    decay: np.ndarray = field(kw_only=True)  # float32 (channels,), above 0 and below 1, per network.timestep_us

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = super().output_shape(shapes)
        self._check_array("decay", self.decay, shape[0])
        if (self.decay <= 0).any() or (self.decay >= 1).any():
            raise NetworkError(
                f"layer {self.name!r} has decays from {self.decay.min()} to {self.decay.max()}, want all above 0 and "
                "below 1; without a leak it is an IF"
            )
        return shape


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """Spiking max pooling (Rueckauer et al. 2017): the spikes of whichever input leads its window.

    x[j] is the spike count of input j in step t, counted from 1 since the state was last reset. Every input keeps a
    score R[j]; after the scores took in x of this step, each window passes x[j] of its place j with the largest R,
    ties going to the first in row-major order. Padding never wins.

        "fir"          R <- R + x / t                       early spikes count more; what Rueckauer et al. report
        "average"      R <- R + x                           the order of the mean rates R / t
        "exponential"  R <- R + g * x, g = 1.005 ** -t      the order of R' <- 1.005 R' + 0.995 x
        "or"           (no score)                           passes the largest x of the window: any spike, for 0 and 1
        "exact"        R <- R + x                           sends max R - (all that it sent before): after every step
                                                            the sum of its spikes is the count of its busiest input

    The scores of "fir" and "exponential" are float64, all others integers. g follows the recurrence g <- max(g / 1.005,
    1e-150) from 1, one division a step, so that late spikes lose their weight and never their meaning.

    Every rule is written so that a step touches only what spiked: a score changes only when its own input spikes (for
    "exponential" because a factor common to all scores of a window leaves their order alone), and a window in which
    nothing spiked sends nothing. Negative spikes have no leader; only "exact" takes them.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)  # at most half the kernel
    rule: Literal["fir", "average", "exponential", "or", "exact"] = "exact"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        if self.rule not in GATES:
            raise NetworkError(f"layer {self.name!r} has rule {self.rule!r}, want one of {', '.join(GATES)}")
        return pooled_shape(self, only(self, shapes), self.kernel, self.stride, self.padding)
