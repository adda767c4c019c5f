"""What an engine said after every timestep of many labelled samples: the material from which a rule is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EventError
from ..stream import BinnedSlice, Classification, CurrentSlice


@dataclass(frozen=True)
class Traces:
    """Scores of n samples over time. A sample that ends early keeps its last scores in the rows behind its end."""

    scores: np.ndarray  # float64 (n, timestep, class): the accumulated evidence
    decisions: np.ndarray  # int64 (n, timestep): Classification.index, -1 undecided
    lengths: np.ndarray  # int64 (n,): timesteps of each sample, at least 1
    targets: np.ndarray  # int64 (n,): the right class
    synops: np.ndarray  # int64 (n, timestep): synaptic operations since the sample began

    def __post_init__(self) -> None:
        n, timesteps = self.decisions.shape if self.decisions.ndim == 2 else (0, 0)
        if not n or self.scores.ndim != 3 or self.scores.shape[:2] != (n, timesteps) or self.scores.shape[2] < 2:
            raise EventError(
                f"scores are {self.scores.shape}, decisions {self.decisions.shape}; want (n, timestep, class) with at "
                "least one sample and two classes, and (n, timestep)"
            )
        if self.targets.shape != (n,) or self.lengths.shape != (n,) or self.synops.shape != (n, timesteps):
            raise EventError(f"targets, lengths and synops must be of the same {n} samples and {timesteps} timesteps")
        if self.lengths.min() < 1 or self.lengths.max() > timesteps or not np.isfinite(self.scores).all():
            raise EventError(f"lengths must be 1 to {timesteps} timesteps, and scores finite")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def timesteps(self) -> int:
        return self.decisions.shape[1]

    @property
    def last(self) -> np.ndarray:
        """The decision at the end of each sample: int64 (n,)."""
        return self.decisions[:, -1]

    def subset(self, chosen: np.ndarray) -> "Traces":
        """The chosen samples."""
        return Traces(
            self.scores[chosen], self.decisions[chosen], self.lengths[chosen], self.targets[chosen], self.synops[chosen]
        )


class Recorder:
    """Watches an evaluation (evaluate.Watch): is called with every slice and decision, sample after sample."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # by sample: scores, decisions, SynOps
        self._now: list[Classification] = []
        self._number = -1

    def __call__(self, sample: int, piece: BinnedSlice | CurrentSlice, decision: Classification) -> None:
        if sample != self._number:
            self._keep()
            self._number = sample
        self._now.append(decision)

    def traces(self, targets: Sequence[int] | np.ndarray) -> Traces:
        """Of all samples that were seen; `targets` are those of all that were shown, by number.

        A sample without any timestep (an empty recording) has nothing to learn from and is left out.
        """
        self._keep()
        if not self._done:
            raise EventError("no sample had a single timestep; want images or recordings with events")
        numbers = sorted(self._done)
        lengths = np.array([len(self._done[number][1]) for number in numbers], np.int64)
        rows = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)  # behind the end, its last row again
        scores, decisions, synops = (
            np.stack([self._done[number][part][row] for number, row in zip(numbers, rows, strict=True)])
            for part in range(3)
        )
        return Traces(scores, decisions, lengths, np.asarray(targets, np.int64)[numbers], synops)

    def _keep(self) -> None:
        """Arrays take a tenth of the memory of the objects."""
        if self._now:
            self._done[self._number] = (
                np.stack([item.scores for item in self._now]),
                np.array([item.index for item in self._now], np.int64),
                np.cumsum([item.synops for item in self._now], dtype=np.int64),
            )
            self._now = []
