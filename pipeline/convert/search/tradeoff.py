"""Accuracy against cost: curves, the points that no other beats, and the knee among them. Plain figures, no torch.

The knee is the cheapest point in budget whose accuracy is within one standard error of the best in budget (the one
standard error rule of Breiman, Friedman, Olshen & Stone 1984, section 3.4.3, with cost for the size of a tree). Where
the user allows a loss against the CNN, the knee keeps to it with a standard error to spare, or is the best point: at
the very edge, other samples would refute every second choice. Of points of equal cost the more accurate is taken, then
the one of fewer operations: no other point is as cheap and better.

The best of many noisy figures is flattered by chance. Whoever wants to know how good the knee is measures it on other
data.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tradeoff:
    """One candidate, after each of the timesteps 1 .. T."""

    candidate: str
    n: int  # samples
    right: np.ndarray  # int64 (T,): samples decided rightly, or as the CNN does
    operations: np.ndarray  # float64 (T,): cumulative, per sample
    cost: np.ndarray  # float64 (T,): cumulative, in the unit of the budget

    @property
    def share(self) -> np.ndarray:
        """float64 (T,)."""
        return self.right / self.n


@dataclass(frozen=True)
class Point:
    """One candidate that decides after one timestep."""

    candidate: str
    timesteps: int
    n: int
    right: int
    operations: float
    cost: float

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def standard_error(self) -> float:
        return standard_error(self.right, self.n)


def standard_error(right: int, n: int) -> float:
    """Of a share, right of n; with one right and one wrong added, so that it is not 0 where all were right."""
    share = (right + 1) / (n + 2)
    return math.sqrt(share * (1 - share) / (n + 2))


def points(curves: Iterable[Tradeoff], budget: float) -> list[Point]:
    """Every point of the curves within the budget."""
    return [
        Point(
            curve.candidate,
            step + 1,
            curve.n,
            int(curve.right[step]),
            float(curve.operations[step]),
            float(curve.cost[step]),
        )
        for curve in curves
        for step in np.flatnonzero(curve.cost <= budget * (1 + 1e-9)).tolist()
    ]


def pareto(found: Sequence[Point]) -> list[Point]:
    """The points that no other beats, dearer ones behind: each is more accurate than all that cost as much or less."""
    front: list[Point] = []
    for point in sorted(found, key=_cheapest):
        if not front or point.share > front[-1].share:
            front.append(point)
    return front


def knee(found: Sequence[Point], wanted: float | None = None) -> Point:
    """See the top. `wanted`: the share that the user wants to keep."""
    best = max(found, key=lambda point: (point.share, -point.cost))
    least = best.share - best.standard_error
    if wanted is not None:
        least = max(least, min(wanted + best.standard_error, best.share))
    return min((point for point in found if point.share >= least - 1e-12), key=_cheapest)


def _cheapest(point: Point) -> tuple[float, float, float]:
    return (point.cost, -point.share, point.operations)
