"""Every array that a step reads or writes, made once: a step allocates nothing."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import NetworkError
from ..network import Delay, Network
from .advance import SETTINGS_DTYPE
from .layout import GROUP, LANES, READOUT, ROWS_EXACT, aligned
from .plan import Plan
from .pools import pools_of

SPARE = 16  # numbers behind the last spike that rows.list_bits may write
DRAWING = {"membrane": 0, "count": 0, "softmax_rate": 1, "softmax_poisson": 2}


@dataclass(frozen=True)
class Memory:
    """In the order in which `advance` takes them. "Potentials" are of the number format's type for potentials."""

    settings: np.ndarray  # SETTINGS_DTYPE[1]
    unit: np.ndarray  # float64[output]: what 1 means in the evidence
    uniform: np.ndarray  # float64[outputs + 2]: chance for a spiking softmax
    stages: np.ndarray  # these eleven are the plan's
    edges: np.ndarray
    axes: np.ndarray
    reach: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray
    floor: np.ndarray
    decay: np.ndarray
    per_bias: np.ndarray
    channel_of: np.ndarray
    v: np.ndarray  # potentials of all stages, as stored: see kernels.py
    moved: np.ndarray  # potentials like `threshold`: thresholds moved by the biases, of the stage that fires
    dirty: np.ndarray  # uint8[cell]: 1 if it must be looked at in this step
    due: np.ndarray  # int64[cell]: a step by which it must be looked at again
    updated: np.ndarray  # int64[cell]: the step up to which its potentials are right (KEPT stages)
    clocks: np.ndarray  # int64[2 * stage]: step of its last rebase; next step in which one of its cells is due
    n_groups: np.ndarray  # int64[stage]: its groups of spikes in this step
    groups: np.ndarray  # int32, GROUP each: see kernels.py
    spikes: np.ndarray  # int32, 2 each
    fired: np.ndarray  # int32: a bit for each neuron of the cells that spiked, 16 in each number
    synops: np.ndarray  # int64[edge]
    total: np.ndarray  # sums of rows
    rows: np.ndarray  # int64: where the rows of a group begin
    times: np.ndarray  # like `total`: how often each counts
    tally: np.ndarray  # potentials[lane]: spikes of a cell per channel
    drive: np.ndarray  # like `v`: the constant current of an image
    pools: np.ndarray  # the four of max pools: see pools.py
    leads: np.ndarray
    pooled: np.ndarray
    marked: np.ndarray
    gain: np.ndarray  # int64[output]: what this step adds to the evidence
    evidence: np.ndarray  # int64[output]
    ring: np.ndarray  # int64: gains of the last slots, if old evidence is to be forgotten; and what they drew
    ring_stop_us: np.ndarray  # int64[slot]
    cursor: np.ndarray  # int64[2]: oldest slot in use, how many are
    drawn: np.ndarray  # int64[output]: spikes of a spiking softmax
    cells: np.ndarray  # int32: the input
    counts: np.ndarray  # int32

    def arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, entry.name) for entry in fields(self))

    def remembered(self) -> tuple[np.ndarray, ...]:
        """What must be kept from step to step."""
        return (
            self.v, self.dirty, self.due, self.updated, self.clocks, self.leads, self.pooled,
            self.evidence, self.ring, self.ring_stop_us, self.cursor, self.drawn,
        )  # fmt: skip


def allocate(plan: Plan, network: Network, timestep_us: int | None) -> Memory:
    """Room for an engine of `network`. Raises NetworkError for a readout window without a timestep."""
    stages, form, last = plan.stages, plan.format, plan.stages[-1]
    last_cells = int(last["height"] * last["width"])
    neurons = int(last["first_neuron"]) + last_cells * int(last["size"])
    cells = int(last["first_cell"]) + last_cells
    v = aligned(np.zeros(neurons, form.potential), 1024)  # spare: rows of padded lanes may reach beyond
    first = network.layers[0]
    length = int(np.prod(network.input_shape)) * (len(first.delays_us) if isinstance(first, Delay) else 1)
    most_rows = max(int(stages["size"].max()), ROWS_EXACT)
    longest_row = max(int(plan.edges["patch"].max()), int(plan.edges["lanes"].max()))
    pools, leads, pooled, marked = pools_of(plan)
    return Memory(
        settings=_settings(plan, network, length),
        **{name: getattr(plan, name) for name in PLANNED},
        v=v,
        moved=np.zeros_like(plan.threshold),
        dirty=aligned(np.zeros(cells, np.uint8)),
        due=aligned(np.zeros(cells, np.int64)),
        updated=aligned(np.zeros(cells, np.int64)),
        clocks=np.zeros(2 * len(stages), np.int64),
        n_groups=np.zeros(len(stages), np.int64),
        groups=np.zeros((int(last["first_group"]) + last_cells) * GROUP, np.int32),
        spikes=np.zeros((int(last["first_spike"]) + last_cells * int(last["size"])) * 2 + SPARE, np.int32),
        fired=np.zeros(neurons // LANES, np.int32),
        synops=np.zeros(len(plan.edges), np.int64),
        total=aligned(np.zeros(longest_row, form.total), 512),
        rows=np.zeros(most_rows, np.int64),
        times=np.zeros(most_rows, form.total),
        tally=aligned(np.zeros(int(stages["lanes"].max()), form.potential)),
        drive=np.zeros(len(v), form.potential),
        pools=pools,
        leads=np.zeros(leads),
        pooled=np.zeros(pooled, np.int64),
        marked=np.zeros(marked, np.uint8),
        cells=np.zeros(length, np.int32),
        counts=np.zeros(length, np.int32),
        **_readout(plan, network, timestep_us),
    )


PLANNED = (
    "stages", "edges", "axes", "reach", "weights", "bias", "threshold", "floor", "decay", "per_bias", "channel_of",
)  # fmt: skip


def _settings(plan: Plan, network: Network, length: int) -> np.ndarray:
    settings = np.zeros(1, SETTINGS_DTYPE)
    settings["max_count"], settings["input_size"], settings["limit"] = plan.max_count, length, plan.format.limit
    settings["cell_height"] = plan.cells[0][0]
    settings["start_step"] = network.readout.start_step
    settings["window_us"] = network.readout.window_us or 0
    settings["drawing"], settings["rate"] = DRAWING[network.readout.kind], network.readout.rate
    return settings


def _readout(plan: Plan, network: Network, timestep_us: int | None) -> dict[str, Any]:
    last = plan.stages[-1]
    pixels, channels = int(last["height"] * last["width"]), int(last["channels"])
    outputs, slots = pixels * channels, 1
    if network.readout.window_us is not None:
        if timestep_us is None:
            raise NetworkError("a readout window in µs needs a timestep: pass timestep_us to Engine")
        slots = -(-network.readout.window_us // timestep_us) + 1
    kept = outputs * (2 if DRAWING[network.readout.kind] and network.readout.window_us else 1)
    unit = plan.units[-1] if last["kind"] == READOUT else np.ones(channels)
    return {
        "unit": np.repeat(unit, pixels),
        "uniform": np.zeros(outputs + 2),
        "gain": np.zeros(outputs, np.int64),
        "evidence": np.zeros(outputs, np.int64),
        "ring": np.zeros(slots * kept, np.int64),
        "ring_stop_us": np.zeros(slots, np.int64),
        "cursor": np.zeros(2, np.int64),
        "drawn": np.zeros(outputs, np.int64),
    }
