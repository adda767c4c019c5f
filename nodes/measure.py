"""Figures of a run: a histogram of durations that stays small however long the run is."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

_PER_E = 100  # buckets per factor e: a percentile is read to within 1 %
_FLOOR_NS = 100  # anything shorter counts as this


class Histogram:
    """Durations in logarithmic buckets of 1 %; n, sum, first and max are exact."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.n = 0
        self.sum_ns = 0
        self.first_ns = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        bucket = int(math.log(max(duration_ns, _FLOOR_NS)) * _PER_E)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        if not self.n:
            self.first_ns = duration_ns
        self.n += 1
        self.sum_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)

    def percentile(self, percent: float) -> int:
        """The duration that `percent` of the samples do not exceed, ns; 0 without samples."""
        rank, seen = max(1, math.ceil(self.n * percent / 100)), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return min(self.max_ns, int(math.exp((bucket + 1) / _PER_E)))
        return 0

    def to_plain(self) -> dict[str, Any]:
        """For a report over the wire."""
        return {
            "buckets": list(self.buckets.items()),
            "n": self.n,
            "sum_ns": self.sum_ns,
            "first_ns": self.first_ns,
            "max_ns": self.max_ns,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Histogram":
        histogram = cls()
        histogram.buckets = {int(bucket): int(count) for bucket, count in plain["buckets"]}
        histogram.n, histogram.sum_ns = int(plain["n"]), int(plain["sum_ns"])
        histogram.first_ns, histogram.max_ns = int(plain["first_ns"]), int(plain["max_ns"])
        return histogram


def milliseconds(duration_ns: float) -> str:
    """With three digits that mean something: 0.412 ms, 12.3 ms, 1,234 ms."""
    ms = duration_ns / 1e6
    return f"{ms:.3f} ms" if ms < 1 else f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def percentiles(histogram: Histogram, points: Iterable[float] = (50, 95, 99)) -> str:
    """p50, p95, p99, max and n in one line."""
    parts = [f"p{point:g} {milliseconds(histogram.percentile(point))}" for point in points]
    return "  ".join([*parts, f"max {milliseconds(histogram.max_ns)}", f"n {histogram.n:,}"])
