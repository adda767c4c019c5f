"""What a timestep costs in the unit of the budget, and how many timesteps are worth trying within it."""

import math

import numpy as np

from ...errors import ConversionError
from ...network import Network
from ..calibration.events import EventWindows
from .budget import Budget
from .engine_time import engine_time_us
from .trial import Data, Setting, show

SPARE = 1.25  # timesteps beyond the budget of the first candidate: others may be faster


class Costs:
    """Of one search. `timesteps` is how long candidates are run."""

    def __init__(self, budget: Budget, timesteps: int, step_us: float | None, notes: tuple[str, ...] = ()) -> None:
        self._budget, self.timesteps, self._step_us, self.notes = budget, timesteps, step_us, notes

    def of(self, operations: np.ndarray) -> np.ndarray:
        """Cumulative cost after each timestep, float64 (T,). Time of images is an estimate here."""
        if self._budget.unit == "synops":
            return operations
        steps = np.arange(1, len(operations) + 1, dtype=np.float64)
        return steps * self._step_us if self._step_us is not None else steps

    def measured(self, network: Network) -> np.ndarray | None:
        """The same where only a measurement of this very network tells; else None."""
        return None


class EngineCosts(Costs):
    """Time of images: the engine's, measured."""

    def __init__(self, budget: Budget, pilot: Network, data: Data, setting: Setting, most: int, numbers: str) -> None:
        self._data, self._setting, self._numbers, self._most = data, setting, numbers, most
        spent = self._time(pilot, budget.amount, most)
        if spent[0] > budget.amount:
            raise ConversionError(
                f"one timestep of this network takes {spent[0] / 1000:.3g} ms on this machine, more than the budget of "
                f"{budget}; give more, or a number of timesteps"
            )
        within = int((spent <= budget.amount).sum())
        steps = min(most, math.ceil(within * SPARE))
        note = f"time is that of the engine in {numbers} on this machine, one image after the other"
        super().__init__(budget, steps, float(spent[within - 1]) / within, (note,))

    def measured(self, network: Network) -> np.ndarray | None:
        return self._time(network, self._budget.amount, self.timesteps)

    def _time(self, network: Network, limit_us: float, most: int) -> np.ndarray:
        shown = show(self._data, network, most, self._setting.coding, self._setting.seed)
        return engine_time_us(network, shown, limit_us, self._numbers)


def make_costs(budget: Budget, pilot: Network, data: Data, setting: Setting, most: int, numbers: str) -> Costs:
    """`most` is the largest number of timesteps where the budget does not say it."""
    notes: tuple[str, ...] = ()
    if setting.timestep_us is not None:
        wanted, step_us = _of_stream(budget, setting.timestep_us, most)
        if isinstance(data, EventWindows) and wanted > data.slices:
            seen = data.slices * data.timestep_us / 1000
            notes = (f"windows are {seen:g} ms long, so that the network is not run for longer",)
            wanted = data.slices
        return Costs(budget, max(1, wanted), step_us, notes)
    if budget.unit == "us":
        return EngineCosts(budget, pilot, data, setting, most, numbers)
    return Costs(budget, int(budget.amount) if budget.unit == "timesteps" else most, None)


def _of_stream(budget: Budget, timestep_us: int, most: int) -> tuple[int, float | None]:
    """Timesteps, and µs of one where the budget is of time: sensor time."""
    if budget.unit == "timesteps":
        return int(budget.amount), None
    if budget.unit == "synops":
        return most, None
    if budget.amount < timestep_us:
        raise ConversionError(
            f"the budget of {budget} is shorter than one timestep of {timestep_us / 1000:g} ms; give more, or "
            "train the CNN on shorter slices"
        )
    return int(budget.amount // timestep_us), float(timestep_us)
