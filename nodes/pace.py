"""When the data of a recording is due: against absolute deadlines, so that lateness never adds up.

A deadline is counted from the first event of the recording, not from the packet before: a late packet does not delay
the next one. Lateness is how long after its deadline a packet was ready to be handed on.
"""

import time
from collections.abc import Callable

from .measure import Histogram, milliseconds


class Pace:
    """The clock of one source. `speed`: sensor seconds per host second; None: as fast as the consumers take it."""

    def __init__(self, pace: str | float) -> None:
        self.speed: float | None = {"realtime": 1.0, "fastest": None}[pace] if isinstance(pace, str) else float(pace)
        self.lateness = Histogram()
        self._begin_ns = self._begin_us = 0

    def begin(self, t_us: int) -> None:
        """Sensor time t_us is now."""
        self._begin_ns, self._begin_us = time.monotonic_ns(), t_us

    def wait(self, t_us: int, wait_until: Callable[[int], bool]) -> int | None:
        """Wait until sensor time t_us is due; returns that host time, or None where nothing is paced."""
        if self.speed is None:
            return None
        deadline_ns = self._begin_ns + round((t_us - self._begin_us) * 1000 / self.speed)
        if time.monotonic_ns() < deadline_ns:
            wait_until(deadline_ns)
        self.lateness.add(max(0, time.monotonic_ns() - deadline_ns))
        return deadline_ns

    def __str__(self) -> str:
        if self.speed is None:
            return "fastest"
        how = "realtime" if self.speed == 1.0 else f"{self.speed:g} times realtime"
        late = self.lateness
        return (
            f"{how}; packets behind their deadline: p50 {milliseconds(late.percentile(50))}  "
            f"p99 {milliseconds(late.percentile(99))}  max {milliseconds(late.max_ns)}"
        )
