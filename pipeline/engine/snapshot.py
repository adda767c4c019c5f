"""What an engine remembers of its stream, copied, and of which engine it is."""

import hashlib
from dataclasses import dataclass

import numpy as np

from ..slicer import TimeSlicer
from .delays import DelayLine
from .memory import Memory
from .plan import Plan


@dataclass(frozen=True)
class Snapshot:
    """What `Engine.snapshot` copied; only for `Engine.restore`."""

    arrays: tuple[np.ndarray, ...]
    counters: tuple
    random: np.random.Generator | None
    delays: DelayLine | None
    slicer: TimeSlicer | None
    image: tuple[np.ndarray, np.ndarray] | None
    of: str  # digest of the network as it runs


def digest_of(plan: Plan, memory: Memory, settings: str) -> str:
    """Of all that must be the same for a snapshot to mean the same."""
    digest = hashlib.sha256(settings.encode())
    for array in (
        plan.stages, plan.edges, plan.axes, plan.reach, plan.weights, plan.bias, plan.threshold, plan.v_init,
        plan.floor, plan.decay, memory.pools, *plan.units,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
