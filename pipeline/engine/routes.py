"""Turn a Plan round: for each layer that spikes, the edges that leave it, and where each lands, for depth_first.py.

plan.py orders edges by their targets, because a timestep gathers. A single spike scatters, and must find on its way
everything that a target needs in order to spike itself: its cell, and its turn to be looked at for its bias.
"""

from dataclasses import dataclass

import numpy as np

from .layout import AXIS, LAST, READOUT, aligned
from .plan import Plan

TICK_BITS = 6
TICKS = 1 << TICK_BITS  # of a timestep: biases flow, and neurons that they drive are looked at, in so many portions
REACH = 4  # whole numbers of one place reached: steps in v, in the weights, in cells (row << 16 | column), in `due`
LOOK = 3  # whole numbers of one pixel that takes turns: where it lies in v, its stage, its cell

ROUTE_DTYPE = np.dtype(
    [
        ("edge", "i8"),  # of the plan
        ("target", "i8"),  # stage
        ("first_neuron", "i8"),  # where what it feeds begins in v, at the target's first pixel
        ("constant", "i8"),  # likewise in threshold, bias, moved
        ("first_weight", "i8"),
        ("channel_step", "i8"),  # from the weights of one source channel to those of the next
        ("in_per_group", "i8"),
        ("out", "i8"),  # channels of the target that one spike reaches
        ("lanes", "i8"),  # out, padded
        ("first_out", "i8"),  # first channel of the target that it feeds
        ("grouped", "i8"),  # 1: which channels it feeds depends on that of the spike
        ("rows", "i8"),  # axes[rows + AXIS * y]: what cell row y of the source reaches
        ("columns", "i8"),
        ("whole", "i8"),  # 1: a spike reaches all channels of a pixel
        ("first_turn", "i8"),  # where the target's pixels begin in `due`; -1: its pixels take no turns
        ("to_zero", "i8"),  # 1: the target is reset to zero, 0: by subtraction
    ]
)
HUB_DTYPE = np.dtype(  # of a stage, beside its STAGE_DTYPE
    [
        ("first_route", "i8"),
        ("last_route", "i8"),  # one past
        ("repeats", "i8"),  # 1: one spike may reach a neuron twice
        ("room", "i8"),  # spikes that may arrive before its potentials have to be looked through
        ("left", "i8"),  # of them
        ("first_turn", "i8"),  # where its pixels begin among those that take turns
        ("turns", "i8"),  # how many they are: all or none
        ("origin", "i8"),  # tick since which its stored potentials lack the bias; a multiple of TICKS
    ]
)


@dataclass(frozen=True)
class Routes:
    """What depth_first.py needs beside a Plan."""

    routes: np.ndarray  # ROUTE_DTYPE, by source, then in the order of the plan's edges
    hubs: np.ndarray  # HUB_DTYPE[stage]
    reach: np.ndarray  # int64, REACH for each entry of the plan's reach
    looks: np.ndarray  # int32, LOOK for each pixel that takes turns: of layers with a bias above 0, row by row
    most_pending: int  # spikes that may wait at one time


def make_routes(plan: Plan) -> Routes:
    stages, edges = plan.stages, plan.edges
    hubs = np.zeros(len(stages), HUB_DTYPE)
    first_turn, looks = _turns(plan)
    routes = np.zeros(len(edges), ROUTE_DTYPE)
    order = np.argsort(edges["source"], kind="stable")
    for route, number in zip(routes, order, strict=True):
        edge, target = edges[number], stages[edges[number]["target"]]
        route["edge"], route["target"] = number, edge["target"]
        route["first_neuron"] = target["first_neuron"] + edge["first_out"]
        route["constant"] = target["first_constant"] + edge["first_out"]
        for name in ("first_weight", "channel_step", "in_per_group", "lanes", "first_out"):
            route[name] = edge[name]
        route["out"], route["grouped"] = edge["out_per_group"], edge["groups"] > 1
        route["rows"], route["columns"] = AXIS * edge["rows"], AXIS * edge["columns"]
        route["whole"] = edge["groups"] == 1 and edge["out_per_group"] == target["channels"]
        route["first_turn"] = first_turn[edge["target"]]
        route["to_zero"] = target["reset"] == 1
    reach = _reach(plan)
    for s, hub in enumerate(hubs):
        hub["first_route"], hub["last_route"] = np.searchsorted(edges["source"][order], [s, s + 1])
        hub["repeats"] = _repeats(plan, order[hub["first_route"] : hub["last_route"]])
        hub["room"] = _room(plan, s)
        if first_turn[s] >= 0:
            hub["first_turn"], hub["turns"] = (
                first_turn[s],
                stages[s]["height"] * stages[s]["width"] * stages[s]["pixels"],
            )
    return Routes(routes, hubs, reach, looks, _most_pending(plan, hubs, routes))


def _turns(plan: Plan) -> tuple[list[int], np.ndarray]:
    """For each stage where its pixels begin among those that take turns, and where all of these lie."""
    first_turn, parts, n = [], [], 0
    for s, stage in enumerate(plan.stages):
        if stage["kind"] == READOUT or not stage["foresees"]:
            first_turn.append(-1)
            continue
        first_turn.append(n)
        cell_height, cell_width = plan.cells[s]
        rows, columns = np.mgrid[: stage["height"] * cell_height, : stage["width"] * cell_width]
        row, column = rows // cell_height, columns // cell_width
        inside = rows % cell_height * cell_width + columns % cell_width
        place = stage["first_neuron"] + (row * stage["width"] + column) * stage["size"] + inside * stage["lanes"]
        part = np.stack([place, np.full_like(place, s), row << 16 | column], axis=-1)
        parts.append(part.reshape(-1, LOOK))
        n += len(parts[-1])
    return first_turn, np.concatenate([np.zeros((0, LOOK), int), *parts]).astype(np.int32).reshape(-1)


def _reach(plan: Plan) -> np.ndarray:
    """The plan's reach, with the cell that each place lies in and its step in `due`."""
    pairs = plan.reach.reshape(-1, 2)
    reach = np.zeros((len(pairs), REACH), np.int64)
    reach[:, :2] = pairs
    axes = plan.axes.reshape(-1, AXIS)
    for edge in plan.edges:
        source, target = plan.stages[edge["source"]], plan.stages[edge["target"]]
        cell_height, cell_width = plan.cells[edge["target"]]
        size, width, lanes = int(target["size"]), int(target["width"]), int(target["lanes"])
        for name, count, cell_step, pixel_step, most, shift, turn in (
            ("rows", source["height"], size * width, lanes * cell_width, cell_height, 16, width * cell_width),
            ("columns", source["width"], size, lanes, cell_width, 0, 1),
        ):
            for axis in axes[edge[name] : edge[name] + count]:
                part = reach[axis[0] : axis[LAST]]
                cell, inside = part[:, 0] // cell_step, part[:, 0] % cell_step // pixel_step
                part[:, 2], part[:, 3] = cell << shift, (cell * most + inside) * turn
    return aligned(reach.reshape(-1))


def _axes_of(plan: Plan, edge: np.void) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What each cell row and each cell column of the source reaches, as steps in v."""
    axes, steps = plan.axes.reshape(-1, AXIS), plan.reach.reshape(-1, 2)[:, 0]
    source = plan.stages[edge["source"]]
    rows, columns = (
        [steps[axis[0] : axis[LAST]] for axis in axes[edge[name] : edge[name] + count]]
        for name, count in (("rows", source["height"]), ("columns", source["width"]))
    )
    return rows, columns


def _repeats(plan: Plan, numbers: np.ndarray) -> bool:
    """Whether a spike may reach a neuron twice, by these edges of its stage."""
    fed: set[tuple[int, int]] = set()
    for edge in plan.edges[numbers]:
        last = int(edge["first_out"] + edge["groups"] * edge["out_per_group"])
        channels = {(int(edge["target"]), c) for c in range(int(edge["first_out"]), last)}
        if fed & channels or any(_most_often(axis) > 1 for axes in _axes_of(plan, edge) for axis in axes):
            return True
        fed |= channels
    return False


def _most_often(axis: np.ndarray) -> int:
    return int(np.unique(axis, return_counts=True)[1].max(initial=1))


def _room(plan: Plan, s: int) -> int:
    """Spikes until a potential, within +-limit / 2 before, could have moved by limit / 2."""
    most = 1.0
    for e in range(plan.stages[s]["first_edge"], plan.stages[s]["last_edge"]):
        term = plan.populations[s].terms[e - plan.stages[s]["first_edge"]]
        assert term.weight is not None
        unit = plan.units[s][term.first_channel : term.first_channel + len(term.weight)]
        rows, columns = _axes_of(plan, plan.edges[e])
        often = max(map(_most_often, rows)) * max(map(_most_often, columns))
        most = max(most, float(np.rint(np.abs(term.weight) / unit[:, None, None, None]).max()) * often)
    return max(int(plan.format.limit // 2 / most), 1)


def _most_pending(plan: Plan, hubs: np.ndarray, routes: np.ndarray) -> int:
    """Of each stage: how many a spike of it can make wait, and those in turn; a look begins with a pixel's."""
    pending = np.zeros(len(hubs), np.int64)
    for s in reversed(range(len(hubs))):  # edges lead to later stages only
        own = routes[hubs[s]["first_route"] : hubs[s]["last_route"]]
        for route in own:
            rows, columns = _axes_of(plan, plan.edges[route["edge"]])
            pending[s] += max(map(len, rows)) * max(map(len, columns)) * route["out"]
        pending[s] += max((int(pending[route["target"]]) for route in own), default=0)
    return int((pending + plan.stages["lanes"]).max()) + 1
