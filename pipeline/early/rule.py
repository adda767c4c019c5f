"""When has enough been seen of a static input? A rule that looks at the scores after each timestep and says stop.

Choosing its numbers is choose.py's work, endless streams are stream.py's. Two kinds, S the accumulated evidence:

    "margin"      m(t) = S_first(t) - S_second(t);  stop at the first t with m(t) > b(t)
                  Top-K cutoff (Wu et al. 2023): b(t) is chosen per timestep on training samples
    "sequential"  p_k(t) = softmax(a(t) S(t))_k;  stop at the first t with log(p_first / (1 - p_first)) > b
                  a sequential test of several hypotheses (MSPRT: Baum & Veeravalli 1994, equal priors). Where the
                  increments x(s) of S are independent given the class with log f_k(x) = a x_k + h(x), p is the
                  posterior and a is constant: the share of errors is then at most 1 / (1 + e^b), because
                  P(wrong | stop) = E[1 - p_first | stop]. Increments of a spiking network are neither independent
                  nor of such a family; a(t) is fitted per timestep for that, and the bound is a wish until
                  choose.py has tested the whole rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..errors import EventError
from ..stream import Classification

KINDS = ("margin", "sequential")


@dataclass(frozen=True)
class ExitRule:
    """Stop at the first timestep whose statistic exceeds its threshold, at the latest at the end."""

    kind: Literal["margin", "sequential"]
    thresholds: np.ndarray  # float64 (timestep,): b after timestep 1, 2, ...; inf: never stop there
    scales: np.ndarray  # float64 (timestep,): a, 1 / units of the scores; all 1 for "margin"
    promise: Mapping[str, Any] = field(default_factory=dict)  # what was promised and proven, for people: JSON values
    made_for: Mapping[str, Any] = field(default_factory=dict)  # see file.py; empty: for whoever uses it

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise EventError(f"the rule is {self.kind!r}, want one of {', '.join(KINDS)}")
        if self.thresholds.ndim != 1 or self.thresholds.shape != self.scales.shape or not len(self.thresholds):
            raise EventError(
                f"thresholds are {self.thresholds.shape}, scales {self.scales.shape}; want one of each a timestep"
            )
        if np.isnan(self.thresholds).any() or not np.isfinite(self.scales).all() or (self.scales < 0).any():
            raise EventError("a threshold is not a number, or a scale is negative or not finite")
        for array in (self.thresholds, self.scales):
            array.flags.writeable = False

    @property
    def timesteps(self) -> int:
        """At the latest, the decision falls after so many."""
        return len(self.thresholds)

    def statistic(self, step: int, scores: np.ndarray) -> float:
        """What is compared with the threshold of timestep `step` (1, 2, ...); scores: float64 (class,)."""
        return float(statistics(self.kind, scores[None, None], self.scales[step - 1 : step])[0, 0])

    def stops(self, step: int, decision: Classification) -> bool:
        """Is this decision, after timestep `step` (1, 2, ...) of its sample, the one to keep? True from the last on."""
        if step >= self.timesteps:
            return True
        return decision.index >= 0 and self.statistic(step, decision.scores) > self.thresholds[step - 1]

    def exit_steps(self, scores: np.ndarray, decisions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The same for whole samples: the timestep (1, 2, ...) at which each is decided, int64 (n,).

        Arrays as in Traces. A sample that is over before anything stopped it is decided at its end.
        """
        steps = min(scores.shape[1], self.timesteps)
        found = statistics(self.kind, scores[:, :steps], self.scales[:steps])
        stops = (found > self.thresholds[:steps]) & (decisions[:, :steps] >= 0)
        first = np.where(stops.any(1), stops.argmax(1) + 1, steps)
        return np.minimum(first, np.minimum(lengths, steps)).astype(np.int64)


def statistics(kind: str, scores: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Margins, or log-odds of the leader: float64 (n, timestep) of scores (n, timestep, class), scales (timestep,)."""
    if kind == "margin":
        top = np.partition(scores, -2, axis=-1)
        return top[..., -1] - top[..., -2]
    ordered = np.sort(scores * scales[None, :, None], axis=-1)
    second = ordered[..., -2:-1]  # exp of what is behind it is at most 1, and at least one is 1
    return ordered[..., -1] - second[..., 0] - np.log(np.exp(ordered[..., :-1] - second).sum(-1))
