"""What a count of errors proves about a probability: exact binomial tails, without any approximation of large numbers.

Intervals for the reader of a report are interval.py's; these one-sided bounds carry a promise.
"""

import math

import numpy as np


def tail(wrong: int, n: int, share: float) -> float:
    """P(W <= wrong) for W ~ Binomial(n, share): how likely so few errors are where the true share of errors is `share`.

    A share of errors of `share` or more is refuted at confidence 1 - delta where this is at most delta
    (Clopper and Pearson 1934). n = 0: 1.0, nothing is refuted by nothing.
    """
    if n == 0 or share <= 0.0 or wrong >= n:
        return 1.0
    if share >= 1.0:
        return 0.0
    i = np.arange(wrong, dtype=np.float64)
    steps = np.log((n - i) / (i + 1)) + math.log(share) - math.log1p(-share)
    logs = n * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)])  # log P(W = 0), ..., log P(W = wrong)
    highest = float(logs.max())
    return min(1.0, math.exp(highest) * float(np.exp(logs - highest).sum()))


def lower_bound(right: int, n: int, confidence: float) -> float:
    """Clopper-Pearson: with this confidence the true share of right answers is at least so high; 0 where n is 0."""
    low, high = 0.0, 1.0
    if n == 0 or right == 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if tail(n - right, n, 1.0 - middle) <= 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def least_samples(share: float, delta: float) -> int:
    """How many samples without a single error refute a share of errors of `share`: (1 - share)^n <= delta."""
    return math.ceil(math.log(delta) / math.log1p(-share))
