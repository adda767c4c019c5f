"""What an ExitRule gained and lost on labelled samples that were shown to their end, too."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..interval import wilson
from .rule import ExitRule
from .traces import Traces


@dataclass(frozen=True)
class Exits:
    """Answers at the exit beside those at the full length, of the same samples."""

    promise: str  # "right" or "final": what was promised of early answers; "right" where nothing was
    reliability: float | None  # the share that was promised
    steps: np.ndarray  # int64 (n,): timesteps until the answer
    latest: np.ndarray  # int64 (n,): timesteps after which it would have fallen anyway
    lengths: np.ndarray  # int64 (n,): timesteps of the whole sample
    answers: np.ndarray  # int64 (n,): at the exit; -1 undecided, which counts as wrong
    last: np.ndarray  # int64 (n,): at the full length
    targets: np.ndarray  # int64 (n,)
    synops: np.ndarray  # int64 (n,): until the answer
    all_synops: np.ndarray  # int64 (n,): to the end

    @property
    def early(self) -> np.ndarray:
        """bool (n,): answered before it had to be; the promise is about these."""
        return self.steps < self.latest

    @property
    def kept(self) -> tuple[int, int]:
        """Of the early answers: how many kept the promise, and how many there were."""
        wanted = self.last if self.promise == "final" else self.targets
        return int((self.answers == wanted)[self.early].sum()), int(self.early.sum())

    def plain(self, timestep_us: int) -> dict[str, Any]:
        """All figures as JSON values; times in timesteps and in ms of the sensor's clock."""
        n, (kept, early) = len(self.steps), self.kept
        right, full = int((self.answers == self.targets).sum()), int((self.last == self.targets).sum())
        return {
            "n": n,
            "accuracy": right / n,
            "interval_95": list(wilson(right, n)),
            "accuracy_at_full_length": full / n,
            "interval_95_at_full_length": list(wilson(full, n)),
            "lost": int(((self.last == self.targets) & (self.answers != self.targets)).sum()),
            "won": int(((self.last != self.targets) & (self.answers == self.targets)).sum()),
            "mean_timesteps": float(self.steps.mean()),
            "median_timesteps": float(np.median(self.steps)),
            "mean_ms": float(self.steps.mean() * timestep_us / 1e3),
            "median_ms": float(np.median(self.steps) * timestep_us / 1e3),
            "full_timesteps": float(self.lengths.mean()),
            "early": early,
            "undecided": int((self.answers < 0).sum()),
            "promise": self.promise,
            "reliability_stated": self.reliability,
            "reliability_achieved": kept / early if early else None,
            "reliability_interval_95": list(wilson(kept, early)),
            "synops_per_decision": float(self.synops.mean()),
            "synops_saved": 1.0 - float(self.synops.sum() / max(self.all_synops.sum(), 1)),
        }


def judge_exits(rule: ExitRule, traces: Traces) -> Exits:
    """Where the rule would have stopped each sample. A rule for fewer timesteps stops at its own last one."""
    steps = rule.exit_steps(traces.scores, traces.decisions, traces.lengths)
    rows = np.arange(len(traces))
    return Exits(
        rule.promise.get("promise", "right"),
        rule.promise.get("reliability"),
        steps,
        np.minimum(traces.lengths, rule.timesteps),
        traces.lengths,
        traces.decisions[rows, steps - 1],
        traces.last,
        traces.targets,
        traces.synops[rows, steps - 1],
        traces.synops[:, -1],
    )
