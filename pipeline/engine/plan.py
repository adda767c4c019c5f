"""Lay a Network out as flat arrays of whole numbers for the kernels.

Numbers. Every neuron population has a `unit` per channel: its weights, biases, thresholds and membrane potentials are
whole multiples of it. Sums of whole numbers do not depend on their order, so the event-driven engine, a dense one and
the slow twin in the tests agree to the bit. The formats differ in how fine the unit can be:

    int8     weights within +-127, potentials int32           the fastest
    int16    weights within +-32,767, potentials int32        the default: rounding is not felt
    float32  weights within +-4,096, potentials float32       whole numbers too: exact below 2**24

The price is the rounding of weights, told in `rounding`. A unit per channel costs nothing, because a neuron compares
its potential with its own threshold only; the readout multiplies by the units. float32 with weights as they are was
the rival: its sums depend on the order in which spikes arrive.

Layout. Channels last, padded to whole vectors of 16 (`lanes`). Pixels whose spikes reach the same targets (the windows
of a pool) lie together as one `cell`, so that their spikes form one group. The weights of a source channel lie as
[kernel tap][lanes]: all that a spike adds is one row.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from ..layers import Conv2d, Linear
from ..network import Network
from ..neurons import IF, LIF, MaxPool2d
from .graph import Population, Reach, Term, read

LANES = 16  # neurons of a pixel are padded to a multiple of this
VECTOR_BYTES = 64  # arrays begin at a multiple of this
MAX_CELL = 16  # pixels of a cell, at most
NEVER = 1 << 62  # a step that does not come


@dataclass(frozen=True)
class Format:
    """How numbers are kept."""

    weight: type
    total: type  # what rows of weights are summed in before they are added to potentials
    potential: type
    weight_max: int
    threshold_max: int
    limit: int  # potentials stay within about +-limit, see kernels.rebase
    input_limit: int  # the most that can arrive at a neuron in one step
    unreachable: float  # a threshold that no potential reaches
    counts: int  # events of one cell in one step that there must be room for, at the price of coarser weights


FORMATS = {
    "int8": Format(np.int8, np.int16, np.int32, 127, 1 << 20, 1 << 30, 1 << 29, 2.0**31 - 1, 256),
    "int16": Format(np.int16, np.int32, np.int32, 32_767, 1 << 20, 1 << 30, 1 << 29, 2.0**31 - 1, 256),
    "float32": Format(np.float32, np.float32, np.float32, 4_096, 1 << 13, 1 << 22, 1 << 23, 2.0**40, 64),
}
INPUT, PLAIN, KEPT, READOUT, POOL = range(5)  # kinds of stages
SUBTRACT, ZERO, NONE = range(3)  # what a spike does to the potential
RESETS = {"subtract": SUBTRACT, "zero": ZERO, "none": NONE}

STAGE_DTYPE = np.dtype(
    [
        ("kind", "i8"),  # INPUT; PLAIN: IF neurons; KEPT: with leak or floor; READOUT: no neurons; POOL: a max pool
        ("height", "i8"),  # of the grid of cells
        ("width", "i8"),
        ("pixels", "i8"),  # of a cell
        ("cell_width", "i8"),  # pixels beside each other in a cell
        ("channels", "i8"),
        ("lanes", "i8"),  # channels, padded
        ("size", "i8"),  # pixels * lanes: neurons of a cell, padded
        ("first_neuron", "i8"),  # where its neurons begin in v
        ("first_cell", "i8"),  # where its cells begin in dirty, due, updated
        ("first_group", "i8"),  # where its groups of spikes begin
        ("first_spike", "i8"),  # where its spikes begin
        ("first_constant", "i8"),  # where its cell begins in bias, threshold, ...
        ("first_edge", "i8"),
        ("last_edge", "i8"),  # one past
        ("biased", "i8"),  # 1: a bias is not 0
        ("foresees", "i8"),  # 1: a bias may carry a neuron over its threshold without input
        ("reset", "i8"),
        ("max_spikes", "i8"),
        ("is_signed", "i8"),
        ("simple", "i8"),  # 1: at most one spike, not signed, reset by subtraction or to zero
        ("longest", "i8"),  # steps after which biases have to be added to the stored potentials
    ]
)
EDGE_DTYPE = np.dtype(
    [
        ("source", "i8"),
        ("target", "i8"),
        ("first_weight", "i8"),  # where its weights begin
        ("channel_step", "i8"),  # from the weights of one source channel to those of the next
        ("patch", "i8"),  # weights of all taps of a source channel if they lie together, else 0
        ("in_per_group", "i8"),
        ("out_per_group", "i8"),
        ("lanes", "i8"),  # out_per_group, padded
        ("first_out", "i8"),  # first channel of the target that it feeds
        ("groups", "i8"),
        ("rows", "i8"),  # axes[rows + y]: what cell row y of the source reaches
        ("columns", "i8"),
        ("source_channels", "i8"),
    ]
)
# What a cell row or column of a source reaches, AXIS whole numbers each: where its part of `reach` begins and ends,
# where the cells that it touches begin, and how many they are.
AXIS, LAST, FIRST_MARK, MARKS = 4, 1, 2, 3
# A group of spikes is GROUP whole numbers: its cell, where its spikes begin, how many they are, and the sum of their
# counts, 0 if all are 1. A spike is two: the neuron in its cell, and its count.
GROUP, Y, X, FIRST, COUNT, WEIGHT = 5, 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Plan:
    """What the kernels run on. Stage 0 is the input; the last stage is read out. Constants are per neuron of a cell."""

    format: Format
    stages: np.ndarray  # STAGE_DTYPE[stage]
    edges: np.ndarray  # EDGE_DTYPE[edge], in order of their targets
    axes: np.ndarray  # int64, AXIS each: for each edge, axis and source cell the part of `reach` that it reaches
    reach: np.ndarray  # int64: pairs (steps to the target in v, steps to the tap in the weights); two axes add up
    weights: np.ndarray  # all edges
    bias: np.ndarray  # like potentials; in units per timestep
    threshold: np.ndarray  # likewise
    v_init: np.ndarray  # likewise; below the threshold
    floor: np.ndarray  # likewise: potentials go no lower
    decay: np.ndarray  # float64 likewise: what a step leaves of a potential
    per_bias: np.ndarray  # float32 likewise: 1 / bias where it is above 0, else a huge number
    channel_of: np.ndarray  # int64 likewise: the channel of a neuron of a cell
    units: tuple[np.ndarray, ...]  # float64 (channels,) per stage: what 1 means, in the units of the network
    rounding: dict[str, float]  # per weight layer: largest rounding error, relative to the largest weight
    max_count: int  # the most events of one cell in one step that cannot overflow
    populations: tuple[Population, ...]
    edge_names: tuple[str, ...]  # of each edge: its weight layer's, or its target's
    macs: dict[str, int]  # per weight layer: multiply-accumulates of the CNN, borders counted exactly
    cells: tuple[tuple[int, int], ...]  # per stage: (height, width) of its cells, in pixels


def make_plan(network: Network, numbers: str = "int16", bias_scale: float = 1.0) -> Plan:
    """Lay `network` out. `bias_scale`: timestep of the run over the timestep that the biases were made for.

    Raises NetworkError where layers follow each other in a way that the engine does not run, naming them.
    """
    if numbers not in FORMATS:
        raise NetworkError(f"numbers is {numbers!r}, want one of {', '.join(FORMATS)}")
    populations = read(network)
    return _Layout(FORMATS[numbers], populations, bias_scale).plan(_macs(network))


class _Layout:
    """What becomes the Plan, as it is collected."""

    def __init__(self, form: Format, populations: list[Population], bias_scale: float) -> None:
        self.format, self.populations, self.bias_scale = form, populations, bias_scale
        self.index = {population.name: i for i, population in enumerate(populations)}
        self.cells = [_cell_of(population, populations) for population in populations]
        n_edges = sum(len(p.terms) for p in populations)
        self.stages, self.edges = np.zeros(len(populations), STAGE_DTYPE), np.zeros(n_edges, EDGE_DTYPE)
        self.axes: list[tuple[int, int, int, int]] = []
        self.reach: list[tuple[int, int]] = []
        self.weights: list[np.ndarray] = []
        self.constants: list[list[np.ndarray]] = []
        self.units: list[np.ndarray] = []
        self.rounding: dict[str, float] = {}
        self.max_count = form.input_limit
        self.most = [0.0] * len(populations)  # spikes of one neuron in one step, at most; of the input: later

    def plan(self, macs: dict[str, int]) -> Plan:
        for index in range(len(self.populations)):
            self._add_stage(index)
        names, edge = [], 0
        for index, population in enumerate(self.populations):
            self.stages[index]["first_edge"] = edge
            for term in population.terms:
                self._add_edge(edge, index, term)
                names.append(term.weights.name if term.weights else population.name)
                edge += 1
            self.stages[index]["last_edge"] = edge
        columns = [np.concatenate(column) for column in zip(*self.constants, strict=True)]
        potential = self.format.potential
        return Plan(
            format=self.format,
            stages=self.stages,
            edges=self.edges,
            axes=np.array(self.axes, np.int64).reshape(-1),
            reach=np.array(self.reach, np.int64).reshape(-1),
            weights=aligned(np.concatenate([*self.weights, np.zeros(0)]).astype(self.format.weight), 512),
            bias=aligned(columns[0].astype(potential)),
            threshold=aligned(columns[1].astype(potential)),
            v_init=aligned(columns[2].astype(potential)),
            floor=aligned(columns[3].astype(potential)),
            decay=aligned(columns[4]),
            per_bias=aligned(np.where(columns[0] > 0, 1 / np.maximum(columns[0], 1), 1e9).astype(np.float32)),
            channel_of=np.concatenate([np.tile(np.arange(st["lanes"]), st["pixels"]) for st in self.stages]),
            units=tuple(self.units),
            rounding=self.rounding,
            max_count=self.max_count,
            populations=tuple(self.populations),
            edge_names=tuple(names),
            macs=macs,
            cells=tuple(self.cells),
        )

    def _add_stage(self, index: int) -> None:
        population, stage = self.populations[index], self.stages[index]
        channels, height, width = population.shape
        cell_height, cell_width = self.cells[index]
        stage["kind"] = _kind(population, index)
        stage["height"], stage["width"] = height // cell_height, width // cell_width
        stage["pixels"], stage["cell_width"] = cell_height * cell_width, cell_width
        stage["channels"], stage["lanes"] = channels, padded(channels)
        stage["size"] = stage["pixels"] * stage["lanes"]
        if index:
            before = self.stages[index - 1]
            cells = before["height"] * before["width"]
            stage["first_neuron"] = before["first_neuron"] + cells * before["size"]
            stage["first_cell"] = before["first_cell"] + cells
            stage["first_group"] = before["first_group"] + (
                cells if index > 1 else cells * before["pixels"] * before["channels"]
            )
            stage["first_spike"] = before["first_spike"] + cells * before["pixels"] * before["channels"]
            stage["first_constant"] = before["first_constant"] + before["size"]
        unit, constants = self._quantize(index)
        self.units.append(unit)
        form = self.format
        self.constants.append(
            [_tiled(values, stage, form.unreachable if row == 1 else 0.0) for row, values in enumerate(constants)]
        )
        self._set_options(stage, population.layer, *constants[:2])

    def _set_options(self, stage: np.void, layer: object, bias: np.ndarray, threshold: np.ndarray) -> None:
        stage["biased"] = bool((bias != 0).any())
        stage["longest"] = NEVER
        if not isinstance(layer, IF | LIF):
            return
        stage["reset"], stage["max_spikes"] = RESETS[layer.reset], layer.max_spikes
        stage["is_signed"] = layer.signed
        stage["simple"] = layer.max_spikes == 1 and not layer.signed and layer.reset != "none"
        stage["foresees"] = bool((bias > 0).any() or (layer.signed and (bias < 0).any()))
        if stage["kind"] == PLAIN and stage["biased"]:
            stage["longest"] = max(int(self.format.limit // 2 // np.abs(bias).max()), 1)

    def _quantize(self, index: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Unit per channel, and bias, threshold, v_init, floor and decay per channel in it."""
        population, form = self.populations[index], self.format
        layer, channels = population.layer, population.shape[0]
        low = np.full(channels, -2.0 * form.limit)
        if index == 0 or isinstance(layer, MaxPool2d):
            self.most[index] = self.most[self.index[population.terms[0].source]] if index else 0.0
            return np.ones(channels), [
                np.zeros(channels),
                np.full(channels, form.unreachable),
                np.zeros(channels),
                low,
                low * 0,
            ]
        threshold = None if layer is None else layer.threshold.astype(np.float64)  # type: ignore[attr-defined]
        unit = self._unit(index, threshold)
        bias = np.rint(population.bias * self.bias_scale / unit)
        self._check_bias(population, bias)
        if threshold is None or not isinstance(layer, IF | LIF):
            return unit, [bias, np.full(channels, form.unreachable), np.zeros(channels), low, np.ones(channels)]
        self.most[index] = layer.max_spikes
        whole = np.maximum(np.rint(threshold / unit), 1)
        start = np.clip(np.rint(layer.v_init.astype(np.float64) / unit), -(form.limit // 2), whole - 1)
        if layer.v_min is not None:
            low = np.maximum(np.rint(layer.v_min.astype(np.float64) / unit), -(form.limit // 2))
            low = np.minimum(low, start)  # however coarse the unit, a floor alone makes nobody fire
        decay = layer.decay.astype(np.float64) ** self.bias_scale if isinstance(layer, LIF) else np.ones(channels)
        return unit, [bias, whole, start, low, decay]

    def _unit(self, index: int, threshold: np.ndarray | None) -> np.ndarray:
        """The largest weight of a channel becomes weight_max units, unless its threshold or fan-in would be too large.

        A channel without weights takes the finest unit that its threshold allows.
        """
        population, form = self.populations[index], self.format
        largest, widest, of_input = np.zeros((3, population.shape[0]))
        for term in population.terms:
            assert term.weight is not None  # made sure by graph.read
            out = slice(term.first_channel, term.first_channel + len(term.weight))
            weight, source = np.abs(term.weight), self.index[term.source]
            largest[out] = np.maximum(largest[out], weight.max(axis=(1, 2, 3)))
            overlap = _most_often(term.row_reach) * _most_often(term.column_reach)
            fan_in = weight.sum(axis=(1, 2, 3)) * overlap
            most = self.most[source]  # 0: of the input, or of a max pool of the input
            (widest if most else of_input)[out] += fan_in * (most or 1.0)
        unit = largest / form.weight_max
        if threshold is not None:
            unit = np.maximum(unit, threshold / form.threshold_max)
        unit = np.maximum(unit, (widest + form.counts * of_input) / form.input_limit * (1 + 1e-9))
        unit = np.where(unit > 0, unit, 1.0)
        if of_input.any():
            with np.errstate(divide="ignore"):
                counts = (form.input_limit - widest / unit) / (of_input / unit)
            self.max_count = max(min(self.max_count, int(counts.min())), 1)
        return unit

    def _check_bias(self, population: Population, bias: np.ndarray) -> None:
        if not len(bias) or np.abs(bias).max() <= self.format.input_limit // 2:
            return
        longer = f" in slices {self.bias_scale:,g} times as long as trained for" if self.bias_scale > 1 else ""
        raise NetworkError(
            f"layer {population.name!r} has a bias {np.abs(population.bias).max():.3g} "
            f"that dwarfs its weights{longer}; " + ("use shorter slices" if longer else "was the network normalized?")
        )

    def _add_edge(self, number: int, index: int, term: Term) -> None:
        edge, source = self.edges[number], self.index[term.source]
        edge["source"], edge["target"], edge["source_channels"] = source, index, self.stages[source]["channels"]
        edge["rows"] = len(self.axes)
        if self.stages[index]["kind"] == POOL:
            self._add_axes(edge, term.row_reach, term.column_reach, 0, 0)
            return
        weight = term.weight
        assert weight is not None
        out, per_group, kernel_height, kernel_width = weight.shape
        unit = self.units[index][term.first_channel : term.first_channel + out]
        whole = np.rint(weight / unit[:, None, None, None])
        name = term.weights.name if term.weights else self.populations[index].name
        error = np.abs(whole * unit[:, None, None, None] - weight).max() / max(np.abs(weight).max(), 1e-300)
        self.rounding[name] = max(self.rounding.get(name, 0.0), float(error))
        edge["groups"], edge["in_per_group"] = term.groups, per_group
        edge["out_per_group"] = out // term.groups
        edge["lanes"] = lanes = padded(out // term.groups)
        edge["first_out"] = term.first_channel
        edge["first_weight"] = sum(len(part) for part in self.weights)
        taps = kernel_height * kernel_width
        reached = _mean_length(term.row_reach) * _mean_length(term.column_reach)
        together = 2 * reached >= taps
        rows = _rows(whole, term.groups, lanes)  # (source channel, tap, lanes)
        if not together:
            rows = rows.transpose(1, 0, 2)
        edge["patch"] = taps * lanes if together else 0
        edge["channel_step"], tap_step = (taps * lanes, lanes) if together else (lanes, len(rows[0]) * lanes)
        flat = np.ascontiguousarray(rows).reshape(-1)
        self.weights.append(np.concatenate([flat, np.zeros(-len(flat) % VECTOR_BYTES)]))
        self._add_axes(edge, term.row_reach, term.column_reach, kernel_width * tap_step, tap_step)

    def _add_axes(self, edge: np.void, rows: Reach, columns: Reach, row_tap: int, column_tap: int) -> None:
        """What each cell row and column of the source reaches, in steps of v and of the weights."""
        stage, (cell_height, cell_width) = self.stages[edge["target"]], self.cells[edge["target"]]
        size, lanes = stage["size"], stage["lanes"]
        along_y = (cell_height, size * stage["width"], lanes * cell_width, stage["width"], row_tap)
        along_x = (cell_width, size, lanes, 1, column_tap)
        source_cell = self.cells[edge["source"]]
        for name, axis, options, every in (("rows", rows, along_y, 0), ("columns", columns, along_x, 1)):
            cell, cell_step, pixel_step, mark_step, tap_step = (int(value) for value in options)
            edge[name] = len(self.axes)
            for pairs in axis[:: source_cell[every]]:
                first = len(self.reach)
                self.reach += [
                    (target // cell * cell_step + target % cell * pixel_step, tap * tap_step) for target, tap in pairs
                ]
                marked = [target // cell for target, _ in pairs] or [0]
                count = (max(marked) - min(marked) + 1) if pairs else 0
                self.axes.append((first, len(self.reach), min(marked) * mark_step, count))


def aligned(values: np.ndarray, spare: int = 64) -> np.ndarray:
    """A copy that begins at a multiple of VECTOR_BYTES, with `spare` zeros behind it that a vector may read."""
    memory = np.zeros((len(values) + spare) * values.itemsize + VECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    array = memory[start : start + (len(values) + spare) * values.itemsize].view(values.dtype)
    array[: len(values)] = values
    return array


def padded(channels: int) -> int:
    return -(-channels // LANES) * LANES


def _kind(population: Population, index: int) -> int:
    if index == 0:
        return INPUT
    if isinstance(population.layer, MaxPool2d):
        return POOL
    if population.layer is None:
        return READOUT
    kept = isinstance(population.layer, LIF) or population.layer.v_min is not None  # type: ignore[attr-defined]
    return KEPT if kept else PLAIN


def _cell_of(population: Population, populations: list[Population]) -> tuple[int, int]:
    """(height, width) in pixels of the largest blocks whose pixels reach the same targets through the same taps."""
    terms = [t for p in populations for t in p.terms if t.source == population.name]
    if not terms or any(term.weight is None for term in terms):
        return (1, 1)  # read out, or into a max pool, which must know its pixels
    height = _block([term.row_reach for term in terms], MAX_CELL)
    return height, _block([term.column_reach for term in terms], MAX_CELL // height)


def _block(reaches: list[Reach], most: int) -> int:
    size = len(reaches[0])
    for block in range(min(most, size), 1, -1):
        if size % block == 0 and all(r[i] == r[i - i % block] for r in reaches for i in range(size)):
            return block
    return 1


def _rows(whole: np.ndarray, groups: int, lanes: int) -> np.ndarray:
    """(out, in / groups, ky, kx) as (source channel, tap, lanes)."""
    out, per_group, height, width = whole.shape
    grouped = whole.reshape(groups, out // groups, per_group, height * width).transpose(0, 2, 3, 1)
    rows = np.zeros((groups * per_group, height * width, lanes))
    rows[:, :, : out // groups] = grouped.reshape(groups * per_group, height * width, out // groups)
    return rows


def _tiled(values: np.ndarray, stage: np.void, padding: float) -> np.ndarray:
    """Per channel -> per neuron of a cell. Padding neurons stay at 0, below a threshold that nothing reaches."""
    cell = np.full((int(stage["pixels"]), int(stage["lanes"])), padding)
    cell[:, : len(values)] = values
    return cell.reshape(-1)


def _macs(network: Network) -> dict[str, int]:
    """Multiply-accumulates of one pass of the CNN per weight layer: (output, tap) pairs that fall on the input."""
    shapes, macs = network.shapes(), {}
    for layer in network.layers:
        if isinstance(layer, Linear):
            macs[layer.name] = layer.weight.size
        elif isinstance(layer, Conv2d):
            inside = 1
            options = zip(layer.weight.shape[2:], layer.stride, layer.padding, layer.dilation, strict=True)
            for axis, (kernel, stride, padding, dilation) in enumerate(options, 1):
                size, out = shapes[layer.inputs[0]][axis], shapes[layer.name][axis]
                reached = np.arange(out)[:, None] * stride + np.arange(kernel)[None, :] * dilation - padding
                inside *= int(((reached >= 0) & (reached < size)).sum())
            macs[layer.name] = layer.weight.shape[0] * layer.weight.shape[1] * inside
    return macs


def _most_often(reach: Reach) -> int:
    """The most source positions that one (target, tap) reads."""
    seen: dict[tuple[int, int], int] = {}
    for pairs in reach:
        for pair in pairs:
            seen[pair] = seen.get(pair, 0) + 1
    return max(seen.values(), default=1)


def _mean_length(reach: Reach) -> float:
    return sum(map(len, reach)) / max(len(reach), 1)
