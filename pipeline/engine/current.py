"""Constant-current input: what an image adds to the potentials of the first layer in every step, computed once."""

import numpy as np

from ..errors import NetworkError
from .ends import CURRENT_BITS, current_of
from .layout import INPUT
from .memory import Memory
from .plan import Plan

LARGEST = 1 << 14  # value of a pixel


class Current:
    """Keeps the image that `memory.drive` was computed from."""

    def __init__(self, plan: Plan, memory: Memory, input_shape: tuple[int, int, int]) -> None:
        self._plan, self._memory, self._shape = plan, memory, input_shape
        self._values: np.ndarray | None = None

    def load(self, values: np.ndarray) -> int:
        """Returns the multiply-accumulates of a new image; the same one again costs none. Raises NetworkError."""
        if self._values is not None and np.array_equal(self._values, values):
            return 0
        if values.shape != self._shape or not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
            raise NetworkError(
                f"a current of shape {values.shape} came to an input of {self._shape}; "
                f"want that shape and finite values within +-{LARGEST}"
            )
        plan, memory = self._plan, self._memory
        scaled = np.rint(values.astype(np.float64).reshape(-1) * (1 << CURRENT_BITS)).astype(np.int64)
        total, work = np.zeros(len(memory.v), np.int64), np.zeros(len(plan.edges), np.int64)
        for e in np.flatnonzero(plan.edges["source"] == INPUT):
            work[e] = current_of(
                scaled, e, plan.edges, plan.stages, plan.axes, plan.reach, plan.weights, plan.cells[0][0], total
            )
        rounded = (total + (1 << (CURRENT_BITS - 1))) >> CURRENT_BITS
        if np.abs(rounded).max() > plan.format.input_limit:
            raise NetworkError("the current into the first layer is too large for its sums; scale the image to 0..1")
        memory.drive[: len(rounded)] = rounded
        memory.synops[:] += work
        self._values = values.copy()
        return int(work.sum())

    def image(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The image and what it adds, as copies."""
        return None if self._values is None else (self._values.copy(), self._memory.drive.copy())

    def show(self, image: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Go on with what `image` returned."""
        self._values = None if image is None else image[0].copy()
        if image is not None:
            self._memory.drive[:] = image[1]
