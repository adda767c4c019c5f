"""The rules again, in the slowest and most obvious way: sample by sample, from the definitions, without state."""

import math
from fractions import Fraction

import numpy as np


def binomial_tail(wrong, n, share):
    share = Fraction(share)
    return float(sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(wrong + 1)))


def margin(scores):
    first, second = sorted(scores, reverse=True)[:2]
    return first - second


def log_odds(scores, scale):
    """log(p / (1 - p)) of the most likely class, p = softmax(scale * scores)."""
    highest = max(scores)
    weights = [math.exp(scale * (score - highest)) for score in scores]
    weights.remove(max(weights))
    return -math.log(sum(weights))


def confidence(traces, t, level, wanted):
    """C(t, level) of the Top-K cutoff (Wu et al. 2023): None where no sample has such a margin."""
    kept = [
        all(traces.decisions[i, later] == wanted[i] for later in range(t, traces.timesteps))
        for i in range(len(traces))
        if t < traces.lengths[i] and margin(traces.scores[i, t]) > level
    ]
    return sum(kept) / len(kept) if kept else None


def threshold(traces, t, reliability, wanted, levels=100):
    """The smallest of 100 levels whose confidence is enough; inf where there is none."""
    running = [margin(traces.scores[i, t]) for i in range(len(traces)) if t < traces.lengths[i]]
    for k in range(levels):
        level = max(running, default=0) * k / levels
        found = confidence(traces, t, level, wanted)
        if found is not None and found >= reliability - 1e-12:
            return level
    return math.inf


def exit_step(rule, scores, decisions, length):
    for step in range(1, min(length, rule.timesteps) + 1):
        if step in (length, rule.timesteps) or decisions[step - 1] < 0:
            continue
        found = margin(scores[step - 1])
        if rule.kind == "sequential":
            found = log_odds(scores[step - 1], rule.scales[step - 1])
        if found > rule.thresholds[step - 1]:
            return step
    return min(length, rule.timesteps)


class Stream:
    """Every decision from the whole history: sums over all that came, and looking back for how long it was so."""

    def __init__(self, rule, classes):
        self.rule, self.classes = rule, classes
        self.history = []  # (start, stop, events, gain, active, first, lead, label)

    def evidence(self, now):
        total = np.zeros(self.classes)
        for _, stop, _, gain, active, *_ in self.history:
            if active:
                total = total + gain * math.exp(-(now - stop) / self.rule.leak_us)
        return total

    def rate(self, now):
        total, before = 0.0, None
        for start, stop, events, *_ in self.history:
            since = stop - (start if before is None else before)
            new = 1 - self.kept(since)
            total += new * events * 1e6 / (stop - start) * self.kept(now - stop)
            before = stop
        return total

    def kept(self, time_us):
        return math.exp(-time_us / self.rule.steady_us) if self.rule.steady_us else float(time_us == 0)

    def step(self, start, stop, events, gain):
        rule = self.rule
        was_active, label = (self.history[-1][4], self.history[-1][7]) if self.history else (False, -1)
        self.history.append((start, stop, events, np.asarray(gain, float), True, 0, 0.0, label))
        active = True
        if rule.least_rate_hz > 0:
            active = self.rate(stop) >= rule.least_rate_hz * (rule.release if was_active else 1.0)
        self.history[-1] = (*self.history[-1][:4], active, 0, 0.0, label)
        evidence = self.evidence(stop)
        order = np.argsort(-evidence, kind="stable")
        first, lead = int(order[0]), float(evidence[order[0]] - evidence[order[1]])
        self.history[-1] = (start, stop, events, np.asarray(gain, float), active, first, lead, label)
        label = self._label(label)
        self.history[-1] = (*self.history[-1][:7], label)
        return label

    def _label(self, label):
        if not self.history[-1][4]:
            return -1
        rule, stop, first = self.rule, self.history[-1][1], self.history[-1][5]
        if first != label and self._lasted(lambda item: item[5] == first and item[6] >= rule.margin, label) is not None:
            since = self._lasted(lambda item: item[5] == first and item[6] >= rule.margin, label)
            if stop - since >= rule.steady_us:
                return first
        if label >= 0:
            since = self._lasted(lambda item: item[5] != label or item[6] < rule.release * rule.margin, label)
            if since is not None and stop - since >= rule.steady_us:
                return -1
        return label

    def _lasted(self, holds, label):
        """Since when it has held without a break, with this label and while something was happening; None: not now."""
        since = None
        for number in range(len(self.history) - 1, -1, -1):
            item = self.history[number]
            label_before = self.history[number - 1][7] if number else -1
            if not item[4] or label_before != label or not holds(item):
                break
            since = item[0]
        return since
