"""Choose an ExitRule on training samples, for a stated reliability 1 - e of its early answers.

The Top-K cutoff (Wu et al. 2023) takes for each timestep t, over 100 levels of the margin m,

    C(t, b) = share of the samples with m(t) > b whose decision is right at t and stays right
    b(t)    = the smallest level with C(t, b) >= 1 - e

That is `proof="none"`. It promises too much, for two reasons. C is a point estimate, the best of 100 on the same
samples. And C(t, b) counts samples that had stopped before t: those that stop at t are the harder rest, and the
errors of all t add up, to more than e of those that stopped. `proof="exact"`, the default, is honest: half of the
samples choose a rule for each of a ladder of inner levels e', the other half tests each rule as a whole. Of m early
answers w were wrong; a rule is proven where P(Binomial(m, e) <= w) <= d / (number of rules), 1 - d the confidence
(Clopper-Pearson, Bonferroni). The boldest proven rule is taken; where none is, choosing is refused. The only
assumption: the samples are exchangeable with those that will come (Learn then Test, Angelopoulos et al. 2021, is this
argument in general).

Wu's own remedy, dropout while choosing, works against weights that know the training samples. Here, choose on training
samples that the weights never saw: the validation part.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EventError
from .bounds import least_samples, lower_bound, tail
from .rule import KINDS, ExitRule, statistics
from .traces import Traces

LEVELS = 100  # of the margin, per timestep (Wu et al.)
INNER = (0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0)
CAUTIOUS = (1.25, 1.5, 2.0, 3.0)  # times the thresholds of the last inner level: few samples choose them too low
LADDER = (*((inner, 1.0) for inner in INNER), *((INNER[-1], factor) for factor in CAUTIOUS))  # from bold to cautious
LEAST_ERROR = 5e-4  # of a sequential test: for 0 it would wait for ever
PROMISES = {
    "right": "an early answer is right",
    "final": "an early answer is the one that the full length would give",
}


def choose_exit(
    traces: Traces,
    reliability: float = 0.99,
    kind: str = "margin",
    promise: str = "right",
    proof: str = "exact",
    confidence: float = 0.95,
    seed: int = 0,
) -> ExitRule:
    """The rule of a kind ("margin", "sequential") that stops earliest among those that keep the promise.

    promise "right": of the early answers a share of `reliability` is right; "final": is what the full length would say,
    which also a network of low accuracy can keep. proof "exact" holds with `confidence`; "none" is as published. `seed`
    draws the halves. Raises EventError for settings out of range, and where no rule can be proven on these samples.
    """
    check_request(kind, promise, proof, reliability, confidence)
    share = 1.0 - reliability
    said: dict[str, Any] = {"promise": promise, "means": PROMISES[promise], "reliability": reliability, "proof": proof}
    if proof == "none":
        rule = candidate(traces, kind, promise, share)
        steps = rule.exit_steps(traces.scores, traces.decisions, traces.lengths)
        return replace(rule, promise=said | {"chosen_on": len(traces), **_count(traces, steps, promise)})
    order = np.random.default_rng(seed).permutation(len(traces))
    if len(order) < 2:
        raise EventError("one sample came; half of them choose a rule and half of them test it, want at least 2")
    chosen_on, tested_on = traces.subset(order[::2]), traces.subset(order[1::2])
    delta = (1.0 - confidence) / len(LADDER)
    tried = []
    scales = fit_scales(chosen_on) if kind == "sequential" else None
    for inner, factor in LADDER:
        rule = candidate(chosen_on, kind, promise, inner, factor, scales)
        steps = rule.exit_steps(tested_on.scores, tested_on.decisions, tested_on.lengths)
        counts = _count(tested_on, steps, promise)
        if tail(counts["wrong"], counts["early"], share) <= delta:
            early, wrong = counts["early"], counts["wrong"]
            said |= {"confidence": confidence, "inner_level": inner, "times": factor, "rules_tried": len(LADDER)}
            said |= {"seed": seed, "chosen_on": len(chosen_on), "tested_on": len(tested_on), **counts}
            return replace(rule, promise=said | {"proven": lower_bound(early - wrong, early, 1.0 - delta)})
        tried.append(counts)
    raise EventError(_refusal(tried, reliability, confidence, delta, len(traces)))


def candidate(
    traces: Traces, kind: str, promise: str, inner: float, factor: float = 1.0, scales: np.ndarray | None = None
) -> ExitRule:
    """One rule for an inner level: b(t) by C(t, b) >= 1 - inner, or log-odds above log((1 - inner) / inner).

    factor: all thresholds times this. scales: what fit_scales gave for these samples, if it is known already.
    """
    ones = np.ones(traces.timesteps)
    if kind == "sequential":
        error = max(inner, LEAST_ERROR)
        odds = factor * math.log((1.0 - error) / error)
        return ExitRule("sequential", odds * ones, fit_scales(traces) if scales is None else scales)
    margins, kept = statistics("margin", traces.scores, ones), keeps(traces, promise)
    thresholds = np.full(traces.timesteps, math.inf)
    for t in range(traces.timesteps):
        running = (traces.lengths > t) & (traces.decisions[:, t] >= 0)
        thresholds[t] = factor * smallest_level(margins[running, t], kept[running, t], inner)
    return ExitRule("margin", thresholds, ones)


def keeps(traces: Traces, promise: str) -> np.ndarray:
    """Is the decision good from this timestep to the sample's end? bool (n, timestep)."""
    wanted = traces.targets if promise == "right" else traces.last
    good = (traces.decisions == wanted[:, None]) & (wanted >= 0)[:, None]
    return np.logical_and.accumulate(good[:, ::-1], axis=1)[:, ::-1]


def smallest_level(margins: np.ndarray, kept: np.ndarray, inner: float) -> float:
    """The smallest of LEVELS levels, 0 to the largest margin, above which a share of 1 - inner is kept; inf: none."""
    if not len(margins) or margins.max() <= 0:
        return math.inf
    order = np.argsort(margins)
    bad_below = np.concatenate([[0], np.cumsum(~kept[order])])
    levels = np.linspace(0.0, margins.max(), LEVELS, endpoint=False)
    below = np.searchsorted(margins[order], levels, side="right")  # samples with margin <= level
    above, bad = len(margins) - below, bad_below[-1] - bad_below[below]
    passing = np.flatnonzero(bad <= inner * above + 1e-9)  # 1 - 0.8 is a little less than 0.2
    return float(levels[passing[0]]) if len(passing) else math.inf


def fit_scales(traces: Traces) -> np.ndarray:
    """a(t) >= 0 that makes softmax(a(t) S(t)) most likely: float64 (timestep,).

    Targets are smoothed as if one more sample had been wrong (after Platt 1999), so that a(t) stays finite where all
    are right. The derivative of the log-likelihood falls with a; its zero is found by halving.
    """
    n, classes = len(traces), traces.scores.shape[2]
    scores = traces.scores - traces.scores.max(2, keepdims=True)
    wanted = np.full((n, classes), 1.0 / (classes * (n + 1)))
    wanted[np.arange(n), traces.targets] += n / (n + 1)
    scales = np.zeros(traces.timesteps)
    for t in range(traces.timesteps):
        here = scores[:, t]
        if not here.any():
            continue
        low, high = 0.0, 1e3 / -here.min()  # beyond, every score but the largest has lost for good
        for _ in range(30):
            middle = (low + high) / 2
            shares = np.exp(middle * here)
            shares /= shares.sum(1, keepdims=True)
            low, high = (middle, high) if ((wanted - shares) * here).sum() > 0 else (low, middle)
        scales[t] = low
    return scales


def _count(traces: Traces, steps: np.ndarray, promise: str) -> dict[str, int]:
    """How many stopped before their end, and how many of these broke the promise."""
    answers = traces.decisions[np.arange(len(traces)), steps - 1]
    early = steps < traces.lengths
    wanted = traces.targets if promise == "right" else traces.last
    return {"early": int(early.sum()), "wrong": int((early & (answers != wanted)).sum())}


def check_request(kind: str, promise: str, proof: str, reliability: float, confidence: float) -> None:
    """Raise EventError for what cannot be asked of a rule; it needs no data, so ask before they are read."""
    problems = []
    for what, found, known in (
        ("kind", kind, KINDS), ("promise", promise, tuple(PROMISES)), ("proof", proof, ("exact", "none")),
    ):  # fmt: skip
        if found not in known:
            problems.append(f"{what} is {found!r}, want {' or '.join(known)}")
    for what, value in (("reliability", reliability), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            problems.append(f"{what} is {value}, want above 0 and below 1, as 0.99")
    if problems:
        raise EventError("; ".join(problems))


def _refusal(tried: list[dict[str, int]], reliability: float, confidence: float, delta: float, n: int) -> str:
    least = least_samples(1.0 - reliability, delta)
    best = min(tried, key=lambda counts: counts["wrong"] / max(counts["early"], 1), default={"early": 0, "wrong": 0})
    most = max((counts["early"] for counts in tried), default=0)
    why = f"the best of {len(LADDER)} rules gave {best['early']:,} early answers, {best['wrong']:,} of them wrong"
    if most < least:
        why = f"{n:,} samples give at most {most:,} early answers to test on, and it takes {least:,} without an error"
    return (
        f"no rule can be proven reliable to {reliability:.2%} with confidence {confidence:.0%}: {why}; "
        "give more samples, a lower reliability, promise 'final', or proof 'none' (as published, without a proof)"
    )
