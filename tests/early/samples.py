"""Synthetic evidence: a drift towards the right class that differs from sample to sample, and noise."""

import numpy as np

from dvs_run.pipeline.early import Traces
from dvs_run.pipeline.stream import BinnedSlice, Classification


def random_traces(n, seed, timesteps=24, classes=4, strength=0.6, shortest=None):
    """Some samples are easy, some are hard; the last decision of these is wrong. shortest: lengths are drawn."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    drift = np.eye(classes)[targets] * rng.gamma(2.0, strength, (n, 1))
    scores = (drift[:, None, :] + rng.normal(size=(n, timesteps, classes))).cumsum(1)
    lengths = np.full(n, timesteps)
    if shortest is not None:
        lengths = rng.integers(shortest, timesteps + 1, n)
        rows = np.minimum(np.arange(timesteps), lengths[:, None] - 1)
        scores = np.take_along_axis(scores, rows[:, :, None], axis=1)
    synops = np.minimum(np.arange(1, timesteps + 1), lengths[:, None]) * 100
    return Traces(scores, scores.argmax(2), lengths, targets, synops)


def answers(rule, traces):
    """Steps and decisions of a rule on all samples."""
    steps = rule.exit_steps(traces.scores, traces.decisions, traces.lengths)
    return steps, traces.decisions[np.arange(len(traces)), steps - 1]


def decision(scores, start=0, length=1000, index=None):
    scores = np.asarray(scores, float)
    best = int(scores.argmax()) if np.ptp(scores) else -1
    return Classification(start, start + length, best if index is None else index, "?", scores, 1)


def a_slice(start, events, length=5_000):
    """A slice in which so many events fell, all on one cell."""
    cells = np.zeros(min(events, 1), np.int32)
    return BinnedSlice(start, start + length, cells, np.full(len(cells), max(events, 1), np.int32))
