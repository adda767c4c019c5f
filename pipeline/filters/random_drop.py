"""Filter `random_drop`: each event passes with one probability, by itself. The same seed drops the same events.

The n-th event of a stream meets the n-th number of PCG64, whose raw sequence NumPy promises to keep; so neither packets
nor versions change what is dropped, and each stream begins with the first number again.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting


@dataclass(eq=False)
class RandomDrop(Filter):
    """A share `keep` of the events, chosen at random."""

    keep: Annotated[float, Setting("probability with which an event passes", low=0, high=1)]
    seed: Annotated[int, Setting("the same seed drops the same events of a stream", low=0, high=2**63 - 1)] = 0

    name: ClassVar[str] = "random_drop"
    reasons: ClassVar[tuple[str, ...]] = ("by chance",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._random = np.random.PCG64(self.seed)
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return random_drop(events, self._random.random_raw(len(events)) >> np.uint64(11), round(self.keep * 2**53), out)


@kernel
def random_drop(events, numbers, below, out):
    """The events whose number, uniform in 0..2**53 - 1, is less than `below`."""
    k = 0
    for i in range(events.shape[0]):
        out[k] = events[i]
        k += np.int64(numbers[i]) < below
    return k
