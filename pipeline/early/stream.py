"""Decide all the time on a stream that never ends: evidence leaks, labels do not flicker, silence is 'unknown'.

With g(t) what arrived at the outputs in the slice that ends at t, d the time since the last slice:

    e(t) = exp(-d / leak) e(t - d) + g(t)     evidence: no window, no reset; what was long ago has leaked away
    r(t) = q r(t - d) + (1 - q) events / d    events per second; q = exp(-d / steady), so that silence is soon noticed

While nothing is happening (r too low) the label is unknown and evidence only leaks: what biases say about an empty
scene is no evidence. Otherwise a label is taken up when its lead over the second has been `margin` or more for
`steady_us`, and given up when its lead (behind another: below 0) has been below `release * margin` for as long.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import EventError, NetworkError
from ..network import Network
from ..stream import BinnedSlice, Classification, CurrentSlice


@dataclass(frozen=True)
class StreamRule:
    """When a stream has a label, and when it is unknown."""

    margin: float  # lead of the first over the second that it takes, in units of the scores; above 0
    leak_us: int = 300_000  # time constant of the evidence, µs
    release: float = 0.5  # share of the margin, and of the rate, below which a label is given up; 0 to 1
    steady_us: int = 50_000  # how long either must last, µs
    least_rate_hz: float = 0.0  # events per second of the whole sensor below which nothing happens; 0: no limit
    promise: Mapping[str, Any] = field(default_factory=dict)  # what was promised and proven, for people: JSON values
    made_for: Mapping[str, Any] = field(default_factory=dict)  # see file.py; empty: for whoever uses it

    def __post_init__(self) -> None:
        checks = {
            f"margin is {self.margin}, want above 0": 0.0 < self.margin < math.inf,
            f"leak_us is {self.leak_us}, want at least 1 µs": self.leak_us >= 1,
            f"release is {self.release}, want 0 to 1": 0.0 <= self.release <= 1.0,
            f"steady_us is {self.steady_us}, want 0 or more µs": self.steady_us >= 0,
            f"least_rate_hz is {self.least_rate_hz}, want 0 or more": 0.0 <= self.least_rate_hz < math.inf,
        }
        faults = [text for text, good in checks.items() if not good]
        if faults:
            raise EventError("; ".join(faults))


def gains_network(network: Network, timestep_us: int | None) -> Network:
    """The same network, whose scores after a slice are what arrived in that slice alone: what StreamDecider takes.

    Raises NetworkError for readouts that draw: their counts cannot leak.
    """
    length = timestep_us or network.timestep_us
    if length is None:
        raise NetworkError("the network has no timestep; a stream needs the length of its slices (window_us)")
    if network.readout.kind not in ("membrane", "count"):
        raise NetworkError(
            f"the readout is {network.readout.kind!r}, whose draws cannot leak; convert with readout membrane or count"
        )
    readout = dataclasses.replace(network.readout, window_us=length)
    return dataclasses.replace(network, readout=readout)


class StreamDecider:
    """A StreamRule and its state: evidence, rate, the label that holds, and since when another would."""

    def __init__(self, rule: StreamRule, labels: tuple[str, ...]) -> None:
        if len(labels) < 2:
            raise EventError(f"there is no lead among {len(labels)} classes; want at least 2")
        self.rule, self._labels = rule, (*labels, "")  # the last: of index -1
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self.evidence = np.zeros(len(self._labels) - 1)
        self.lead = 0.0  # of the first over the second
        self.rate_hz = 0.0
        self.index = -1
        self.active = self.rule.least_rate_hz == 0
        self._reached_us: int | None = None
        self._doubt_us: int | None = None  # since when the label that holds has not led enough
        self._rival, self._rival_us = -1, 0  # who has led enough to be taken up, and since when

    def step(self, piece: BinnedSlice | CurrentSlice, gain: Classification) -> Classification:
        """Take one slice and what a gains_network said of it; the decision: scores are the evidence, -1 is unknown."""
        events = int(piece.counts.sum()) if isinstance(piece, BinnedSlice) else None
        index = self.advance(piece.t_start_us, piece.t_stop_us, events, gain.scores)
        return dataclasses.replace(gain, index=index, label=self._labels[index], scores=self.evidence.copy())

    def advance(self, start_us: int, stop_us: int, events: int | None, gain: np.ndarray) -> int:
        """The same in plain numbers: the label's index, or -1. events None: constant current, always active."""
        rule = self.rule
        before = start_us if self._reached_us is None else self._reached_us
        left = math.exp(-(stop_us - before) / rule.leak_us)
        self._reached_us = stop_us
        kept = math.exp(-(stop_us - before) / rule.steady_us) if rule.steady_us else 0.0
        self.rate_hz = self.rate_hz * kept + (1.0 - kept) * (events or 0) * 1e6 / (stop_us - start_us)
        if rule.least_rate_hz > 0:
            enough = rule.least_rate_hz * (rule.release if self.active else 1.0)
            self.active = events is None or self.rate_hz >= enough
        self.evidence = self.evidence * left
        if self.active:
            self.evidence = self.evidence + gain
        self._decide(start_us, stop_us)
        return self.index

    def _decide(self, start_us: int, stop_us: int) -> None:
        """Who leads, by how much and for how long; a slice counts as a whole."""
        first = int(self.evidence.argmax())
        top = np.partition(self.evidence, -2)
        self.lead = lead = float(top[-1] - top[-2])
        if not self.active:
            self.index, self._doubt_us, self._rival = -1, None, -1
            return
        rule = self.rule
        rival = first if lead >= rule.margin and first != self.index else -1
        if rival != self._rival:
            self._rival, self._rival_us = rival, start_us
        doubted = self.index >= 0 and (first != self.index or lead < rule.release * rule.margin)
        if not doubted:
            self._doubt_us = None
        elif self._doubt_us is None:
            self._doubt_us = start_us
        if rival >= 0 and stop_us - self._rival_us >= rule.steady_us:
            self.index, self._doubt_us, self._rival = rival, None, -1
        elif self._doubt_us is not None and stop_us - self._doubt_us >= rule.steady_us:
            self.index, self._doubt_us = -1, None
