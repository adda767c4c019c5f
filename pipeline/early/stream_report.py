"""What a StreamRule said on labelled recordings, each shown from a fresh state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..interval import wilson
from .stream import StreamRule
from .tune import StreamTrace, follow


@dataclass(frozen=True)
class Told:
    """Labels over time beside the targets. Every field has one entry a recording."""

    stated: float | None  # the reliability that was promised
    said: tuple[np.ndarray, ...]  # int64 (slice,): the label after each slice, -1 unknown
    first_us: tuple[int | None, ...]  # from the beginning to the first right label; None: there was none
    changes: tuple[int, ...]  # how often the label changed, to and from unknown included
    raw_changes: tuple[int, ...]  # how often the leader of the network's own scores changed
    last: np.ndarray  # int64 (n,): the network's own decision at the end; -1 undecided
    targets: np.ndarray  # int64 (n,)

    def plain(self) -> dict[str, Any]:
        """All figures as JSON values; times in ms of the sensor's clock."""
        n = len(self.targets)
        labels = [set(said.tolist()) - {-1} for said in self.said]
        some = sum(map(bool, labels))
        wrong = sum(bool(found - {target}) for found, target in zip(labels, self.targets.tolist(), strict=True))
        right_last = sum(int(said[-1] == target) for said, target in zip(self.said, self.targets, strict=True))
        first = [time / 1e3 for time in self.first_us if time is not None]
        shares = [
            ((said < 0).mean(), (said == target).mean(), ((said >= 0) & (said != target)).mean())
            for said, target in zip(self.said, self.targets, strict=True)
        ]
        unknown, right, wrong_time = np.mean(shares, axis=0).tolist()
        full = int((self.last == self.targets).sum())
        return {
            "n": n,
            "undecided": n - some,
            "right_at_the_end": right_last / n,
            "interval_95": list(wilson(right_last, n)),
            "accuracy_at_full_length": full / n,
            "interval_95_at_full_length": list(wilson(full, n)),
            "mean_ms": float(np.mean(first)) if first else None,
            "median_ms": float(np.median(first)) if first else None,
            "time_unknown": unknown,
            "time_right": right,
            "time_wrong": wrong_time,
            "changes_a_recording": float(np.mean(self.changes)),
            "changes_a_recording_of_the_leader": float(np.mean(self.raw_changes)),
            "reliability_stated": self.stated,
            "reliability_achieved": 1.0 - wrong / some if some else None,
            "reliability_interval_95": list(wilson(some - wrong, some)),
            "said": some,
        }


def judge_streams(rule: StreamRule, traces: Sequence[StreamTrace], window_us: int | None) -> Told:
    """What the rule says of each recording; window_us: of the network's own readout (None: everything)."""
    said = tuple(follow(rule, trace)[0] for trace in traces)
    leaders = [_leaders(trace, window_us) for trace in traces]
    first: list[int | None] = []
    for trace, labels in zip(traces, said, strict=True):
        hits = np.flatnonzero(labels == trace.target)
        first.append(int(trace.times_us[hits[0], 1] - trace.times_us[0, 0]) if len(hits) else None)
    return Told(
        rule.promise.get("reliability"),
        said,
        tuple(first),
        tuple(int((np.diff(labels) != 0).sum()) for labels in said),
        tuple(int((np.diff(leader) != 0).sum()) for leader in leaders),
        np.array([leader[-1] for leader in leaders], np.int64),
        np.array([trace.target for trace in traces], np.int64),
    )


def _leaders(trace: StreamTrace, window_us: int | None) -> np.ndarray:
    """Who leads after each slice, by all gains or those of the window: int64 (slice,), -1 where all are equal."""
    sums = np.concatenate([np.zeros((1, trace.gains.shape[1])), trace.gains.cumsum(0)])
    stops = trace.times_us[:, 1]
    oldest = np.zeros(len(stops), np.int64)
    if window_us is not None:
        oldest = np.searchsorted(stops, stops - window_us, side="right")
    evidence = sums[1:] - sums[oldest]
    return np.where(np.ptp(evidence, axis=1) > 0, evidence.argmax(1), -1)
