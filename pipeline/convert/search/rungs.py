"""Successive halving: many candidates on few samples, then few on many (Jamieson & Talwalkar 2016), with a time limit.

A third stays each time. Half of the places go to the candidates that are quickly right, the other half to those that
are most right in the end: few samples cannot tell which of both the knee will be. All see the same samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FINALISTS = 6
LEAST_SAMPLES = 16  # of a rung
LEAST_FINALISTS = 3
WORTH = 200  # samples of the last rung, below which there are rather fewer candidates
LEAST_LAST = 100  # samples of the last rung, however long they take


@dataclass(frozen=True)
class Rung:
    """So many candidates on so many samples."""

    candidates: int
    samples: int


def plan(candidates: int, samples: int, affordable: float) -> list[Rung]:
    """Rungs of at most about `affordable` runs of one candidate on one sample; the last one on all samples if possible.

    Where time is short there are fewer candidates, the first ones, and fewer samples: few samples tell nobody which of
    two good methods is better.
    """
    counts = [candidates]
    while counts[-1] > FINALISTS:
        counts.append(max(math.ceil(counts[-1] / 3), FINALISTS))
    shares = [3.0 ** (rung - len(counts) + 1) for rung in range(len(counts))]
    work = sum(count * share for count, share in zip(counts, shares, strict=True))
    most = min(float(samples), affordable / work)
    if most < min(samples, WORTH) and candidates > LEAST_FINALISTS:
        return plan(max(LEAST_FINALISTS, candidates * 3 // 4), samples, affordable)
    most = max(most, min(samples, LEAST_LAST))
    return [
        Rung(count, min(samples, max(math.ceil(most * share), LEAST_SAMPLES)))
        for count, share in zip(counts, shares, strict=True)
    ]


def survivors(places: int, quick: Sequence[tuple[float, ...]], right: Sequence[tuple[float, ...]]) -> list[int]:
    """Indexes of those that stay, ascending. Both keys are better when smaller; taken in turn from both orders."""
    by_speed = sorted(range(len(quick)), key=lambda index: (*quick[index], index))
    by_rightness = sorted(range(len(right)), key=lambda index: (*right[index], index))
    kept: list[int] = []
    for pair in zip(by_speed, by_rightness, strict=True):
        kept += [index for index in dict.fromkeys(pair) if index not in kept]
    return sorted(kept[:places])


def order_of_samples(n: int, seed: int) -> np.ndarray:
    """A rung of m samples takes the first m of these, so that later ones hold the earlier ones."""
    return np.random.default_rng(seed).permutation(n)
