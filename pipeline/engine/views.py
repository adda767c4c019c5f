"""What a person asks of the arrays: potentials and spikes as (channel, height, width), counts per layer by name."""

from collections.abc import Iterable

import numpy as np

from ..network import Network
from .layout import COUNT, FIRST, GROUP, LANES, PLAIN, X, Y
from .memory import Memory
from .plan import Plan


def bias_scale(network: Network, timestep_us: int | None) -> float:
    """Timestep of the run over the timestep that the biases were made for."""
    return timestep_us / network.timestep_us if network.timestep_us is not None and timestep_us is not None else 1.0


def sums_by_name(names: Iterable[str], counts: np.ndarray) -> dict[str, int]:
    """The counts of those that share a name together, in the order of their first."""
    sums: dict[str, int] = {}
    for name, count in zip(names, counts.tolist(), strict=True):
        sums[name] = sums.get(name, 0) + count
    return sums


def stored_grid(plan: Plan, s: int, v: np.ndarray) -> np.ndarray:
    """Stored potentials of a stage: float64 (channel, height, width), in units."""
    stage, (cell_height, cell_width) = plan.stages[s], plan.cells[s]
    height, width, lanes = int(stage["height"]), int(stage["width"]), int(stage["lanes"])
    first = int(stage["first_neuron"])
    cells = v[first : first + height * width * int(stage["size"])]
    cells = cells.reshape(height, width, cell_height, cell_width, lanes).transpose(4, 0, 2, 1, 3)
    return cells.reshape(lanes, height * cell_height, width * cell_width)[: int(stage["channels"])].astype(float)


def spike_counts(plan: Plan, memory: Memory, s: int) -> np.ndarray:
    """Spikes of a stage in the last step: int64 (channel, height, width)."""
    stage, (cell_height, cell_width) = plan.stages[s], plan.cells[s]
    counts = np.zeros(plan.populations[s].shape, np.int64)
    first, lanes, words = int(stage["first_group"]), int(stage["lanes"]), int(stage["size"]) // LANES
    groups, spikes = memory.groups.reshape(-1, GROUP), memory.spikes.reshape(-1, 2)
    first_word = int(stage["first_neuron"]) // LANES
    for number, group in enumerate(groups[first : first + memory.n_groups[s]].tolist()):
        listed = spikes[group[FIRST] : group[FIRST] + group[COUNT]].tolist()
        if stage["kind"] == PLAIN and stage["simple"]:  # these may be listed per channel; the bits tell the pixels
            bits = memory.fired[first_word + number * words : first_word + (number + 1) * words]
            listed = [(i, 1) for i in np.flatnonzero(bits[:, None] >> np.arange(LANES) & 1).tolist()]
        for neuron, times in listed:
            pixel, channel = divmod(neuron, lanes)
            y, x = divmod(pixel, cell_width)
            counts[channel, group[Y] * cell_height + y, group[X] * cell_width + x] += times
    return counts
