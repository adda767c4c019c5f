"""What the neurons of a NIR file mean in timesteps, which the file does not say and every library decides for itself.

NIR (Pedersen et al., Nature Communications 15, 8122, 2024) has equations in continuous time. With
    tau dv/dt = (v_leak - v) + r I,    a spike where v > v_threshold,    then v <- v_reset
every library runs steps of the form
    v <- d v + (1 - d) v_leak + g I;    n spikes where v is above or at v_threshold;    reset
and they differ in how d and g come from tau and r, in `>` or `>=`, in the reset and in the most spikes of a step. A
Meaning is one such choice; MEANINGS has those of NIR's own text (a step of forward Euler) and of three libraries.

Our neurons integrate their input as it is, rest at 0 and are reset to 0. That is no restriction: in
    u = (v - v_reset) / g
they are u <- d u + I + (1 - d) (v_leak - v_reset) / g, with the threshold (v_threshold - v_reset) / g; the constant is
a bias. No weight is touched. `v > threshold` is `v >= the next float32 above`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import NetworkError
from ..layers import Shape
from .nir_graph import Node

AS_ONE = 1e-6  # gains this near to 1 are 1: files hold tau and r in float32
MANY = 255  # spikes a step, where a library knows no limit: more would leave our weights little resolution


@dataclass(frozen=True)
class Meaning:
    """How neurons are to be understood. The defaults of a library: its files do not say if it was told otherwise."""

    origin: str
    reset: Literal["zero", "subtract"] = "zero"  # "zero": to v_reset; "subtract": by the threshold
    fires: Literal["above", "at"] = "above"  # v > threshold, or v >= threshold
    max_spikes: int = 1  # of one neuron in one timestep
    floor: float | None = None  # potentials go no lower than this share of the threshold, -1 for instance
    leak: Literal["euler", "exponential"] = "euler"  # d = 1 - dt / tau, or exp(-dt / tau)
    gain: Literal["leaked", "whole"] = "leaked"  # of LIF: g = r (1 - d), or r; of IF always r
    tau: Literal["seconds", "seconds*timestep", "timesteps"] = "seconds"  # what a time constant in the file is
    timestep_us: int | None = None  # the library's own; None: it has none

    def equations(self) -> str:
        """One line for people."""
        tau = {"seconds": "tau", "seconds*timestep": "(tau / dt)", "timesteps": "(tau dt)"}[self.tau]
        decay = f"1 - dt / {tau}" if self.leak == "euler" else f"exp(-dt / {tau})"
        gain = "r (1 - d)" if self.gain == "leaked" else "r"
        reset = "reset to v_reset" if self.reset == "zero" else "reset by subtraction"
        many = "1 spike" if self.max_spikes == 1 else f"{self.max_spikes} spikes"
        floor = f", floor at {self.floor:g} thresholds" if self.floor is not None else ""
        sign = ">" if self.fires == "above" else ">="
        return f"LIF d = {decay}, g = {gain}; IF g = r; v {sign} threshold, {reset}, up to {many} a timestep{floor}"


MEANINGS = {
    "nir": Meaning("nir"),
    "norse": Meaning("norse", tau="seconds*timestep", timestep_us=1000),
    "sinabs": Meaning("sinabs", "subtract", "at", MANY, leak="exponential", tau="timesteps"),
    "snntorch": Meaning("snntorch", timestep_us=100),
}


@dataclass(frozen=True)
class Dynamics:
    """A population in our units, float64 (channels,) each."""

    threshold: np.ndarray  # float32 (channels,): already moved to the next number where v > threshold is meant
    v_init: np.ndarray
    decay: np.ndarray | None  # None: no leak
    bias: np.ndarray  # to be added to what arrives, per timestep
    floor: np.ndarray | None


def dynamics(node: Node, shape: Shape, meaning: Meaning, timestep_us: int | None) -> Dynamics:
    """What the IF or LIF `node` is to a population of `shape`. Raises NetworkError where it has no equal here."""
    channels = shape[0]
    threshold = per_channel(node, "v_threshold", shape)
    v_reset = per_channel(node, "v_reset", shape, np.zeros(channels))
    if meaning.reset == "subtract" and v_reset.any():
        raise NetworkError(
            f"node {node.name!r} has v_reset {v_reset[v_reset != 0][0]:g}, which reset by subtraction does not know; "
            "read it with --reset zero"
        )
    if (threshold <= v_reset).any():
        at = int(np.argmin(threshold - v_reset))
        raise NetworkError(
            f"node {node.name!r} has a threshold of {threshold[at]:g} and a reset potential of {v_reset[at]:g}, which "
            "has to be lower"
        )
    rest, decay, gain = np.zeros(channels), np.ones(channels), per_channel(node, "r", shape, infinite=True)
    if node.type == "LIF":
        rest = per_channel(node, "v_leak", shape)
        decay, gain = _leak(node, shape, meaning, timestep_us, gain)
    if not (np.isfinite(gain).all() and (gain > 0).all()):
        raise NetworkError(f"node {node.name!r} has a gain of {gain.min():g} (from its r), want above 0 and finite")
    gain = np.where(np.abs(gain - 1) < AS_ONE, 1.0, gain)
    scaled = ((threshold - v_reset) / gain).astype(np.float32)
    if meaning.fires == "above":
        scaled = np.nextafter(scaled, np.float32(np.inf))
    leaks = bool((decay < 1).any())
    if leaks and meaning.origin == "snntorch" and meaning.reset == "subtract":
        raise NetworkError(
            f"node {node.name!r} leaks, and snntorch's reset by subtraction takes the threshold off after the leak "
            "(or, with reset_delay=False, loses what is left above it); here it comes off before. Train with "
            "reset_mechanism='zero', or accept other spike counts with --origin nir --reset subtract"
        )
    floor = None if meaning.floor is None else (meaning.floor * threshold - v_reset) / gain
    return Dynamics(
        scaled, (rest - v_reset) / gain, decay if leaks else None, (1 - decay) * (rest - v_reset) / gain, floor
    )


def _leak(
    node: Node, shape: Shape, meaning: Meaning, timestep_us: int | None, resistance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decay and gain of a LIF."""
    tau = per_channel(node, "tau", shape, infinite=True)
    if np.isinf(tau).all() and np.isinf(resistance).all():  # how snntorch writes beta = 1: tau = r dt = dt / 0
        return np.ones(shape[0]), np.ones(shape[0])
    if (tau <= 0).any():
        raise NetworkError(f"node {node.name!r} has a time constant of {tau.min():g}, want above 0")
    steps = tau if meaning.tau == "timesteps" else tau / _seconds(node, meaning, timestep_us)
    if meaning.tau == "seconds*timestep":
        steps = steps / _seconds(node, meaning, timestep_us)
    decay = 1 - 1 / steps if meaning.leak == "euler" else np.exp(-1 / steps)
    kept = decay.astype(np.float32)
    if (kept <= 0).any() or (kept >= 1).any():
        hint = " (norse 1.1 writes tau * dt: --origin norse)" if meaning.tau == "seconds" and (kept < 0).any() else ""
        raise NetworkError(
            f"node {node.name!r} leaks to {kept.min():g} .. {kept.max():g} of its potential in a timestep: tau is "
            f"{steps.min():.4g} .. {steps.max():.4g} timesteps, want more than 1 and finite; is --timestep-us that of "
            f"the file's maker?{hint}"
        )
    return decay, resistance * (1 - decay) if meaning.gain == "leaked" else resistance


def _seconds(node: Node, meaning: Meaning, timestep_us: int | None) -> float:
    if timestep_us is None:
        raise NetworkError(
            f"node {node.name!r} has a time constant in seconds, and nothing says how long a timestep is; give "
            "--timestep-us (the slices that the network was trained on)"
        )
    return timestep_us / 1e6


def per_channel(
    node: Node, name: str, shape: Shape, default: np.ndarray | None = None, infinite: bool = False
) -> np.ndarray:
    """One of a node's values for each channel, float64. Raises NetworkError where a channel's neurons differ in it."""
    values = node.values.get(name)
    if values is None and default is not None:
        return default
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.size:
        raise NetworkError(f"node {node.name!r} ({node.type}) has no numbers {name!r}")
    if np.isnan(values).any() or (not infinite and not np.isfinite(values).all()):
        raise NetworkError(f"node {node.name!r} has values in {name!r} that are no finite numbers")
    channels, height, width = shape
    values = values.astype(np.float64)
    while values.ndim and values.shape[0] == 1 and values.ndim > len(shape):
        values = values[0]  # a batch axis
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0])
    fitting = [(channels, height, width), (channels, 1, 1)] + ([(channels,)] if height == width == 1 else [])
    if values.shape not in fitting:
        raise NetworkError(
            f"node {node.name!r} has {name!r} of shape {values.shape} for neurons of shape {shape}; want one value, or "
            "one for each neuron"
        )
    flat = values.reshape(channels, -1)
    if (flat != flat[:, :1]).any():
        raise NetworkError(
            f"the neurons of one channel of node {node.name!r} differ in {name!r}; here they share it, so give each "
            "channel one value"
        )
    return flat[:, 0].copy()
