"""Lay a Network out as flat arrays of whole numbers for the kernels.

The numbers themselves are units.py's, what lies together cells.py's, the meaning of the records layout.py's.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from ..layers import Conv2d, Linear
from ..network import Network
from ..neurons import IF, LIF, MaxPool2d
from .cells import cell_of, mean_length, rows_of, tiled
from .graph import Population, Reach, Term, read
from .layout import (
    EDGE_DTYPE,
    INPUT,
    KEPT,
    NEVER,
    PLAIN,
    POOL,
    READOUT,
    RESETS,
    STAGE_DTYPE,
    VECTOR_BYTES,
    aligned,
    padded,
)
from .units import FORMATS, Format, quantize


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
        self.cells = [cell_of(population, populations) for population in populations]
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
        most = [self.most[self.index[term.source]] for term in population.terms]
        whole = quantize(population, most, self.format, self.bias_scale)
        self.most[index] = _most_spikes(population, most)
        self.max_count = min(self.max_count, whole.max_count)
        self.units.append(whole.unit)
        padding = (0.0, self.format.unreachable, 0.0, 0.0, 0.0)
        self.constants.append([tiled(*pair, stage) for pair in zip(whole.constants(), padding, strict=True)])
        self._set_options(stage, population.layer, whole.bias)

    def _set_options(self, stage: np.void, layer: object, bias: np.ndarray) -> None:
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

    def _add_edge(self, number: int, index: int, term: Term) -> None:
        edge, source = self.edges[number], self.index[term.source]
        edge["source"], edge["target"] = source, index
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
        reached = mean_length(term.row_reach) * mean_length(term.column_reach)
        together = 2 * reached >= taps
        rows = rows_of(whole, term.groups, lanes)  # (source channel, tap, lanes)
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


def _most_spikes(population: Population, most: list[float]) -> float:
    """Of one neuron in one step; a pool sends what its source does, and 0 stands for the events of a cell."""
    if isinstance(population.layer, MaxPool2d):
        return most[0]
    return float(population.layer.max_spikes) if isinstance(population.layer, IF | LIF) else 0.0


def _kind(population: Population, index: int) -> int:
    if index == 0:
        return INPUT
    if isinstance(population.layer, MaxPool2d):
        return POOL
    if population.layer is None:
        return READOUT
    kept = isinstance(population.layer, LIF) or population.layer.v_min is not None  # type: ignore[attr-defined]
    return KEPT if kept else PLAIN


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
