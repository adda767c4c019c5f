"""Spiking max pools: which spikes pass, by the rules that neurons.MaxPool2d tells.

A step touches only the places that spiked and the windows that hold one of them: every rule is made so that nothing
else changes. Whatever feeds a max pool has cells of one pixel; where a place's windows lie is in the plan's reach.
"""

import numpy as np

from ..kernel_cache import kernel
from ..neurons import GATES, MaxPool2d
from .layout import AXIS, COUNT, FIRST, GROUP, LAST, WEIGHT, X, Y
from .plan import Plan

FIR, AVERAGE, EXPONENTIAL, OR, EXACT = range(len(GATES))  # in the order of GATES

POOL_DTYPE = np.dtype(
    [
        ("rule", "i8"),
        ("height", "i8"),  # of its input, in pixels
        ("width", "i8"),
        ("kernel_height", "i8"),
        ("kernel_width", "i8"),
        ("stride_y", "i8"),
        ("stride_x", "i8"),
        ("padding_y", "i8"),
        ("padding_x", "i8"),
        ("fading", "i8"),  # where its g is kept in `leads`; the scores of its places follow, channels last
        ("first_arrived", "i8"),  # where the spikes of its places in this step lie in `pooled`, channels last
        ("first_sent", "i8"),  # where the spikes that its windows have sent lie in `pooled`, like neurons in v
        ("first_mark", "i8"),  # likewise in `marked`: windows that hold a spike in this step
    ]
)


def pools_of(plan: Plan) -> tuple[np.ndarray, int, int, int]:
    """POOL_DTYPE[stage], meaningful for max pools; and how long `leads`, `pooled` and `marked` have to be."""
    pools = np.zeros(len(plan.stages), POOL_DTYPE)
    leads = pooled = marked = 1
    for s, population in enumerate(plan.populations):
        layer = population.layer
        if not isinstance(layer, MaxPool2d):
            continue
        stage = plan.stages[s]
        source = plan.stages[plan.edges[stage["first_edge"]]["source"]]
        places = int(source["height"] * source["width"] * source["channels"])
        windows = int(stage["height"] * stage["width"] * stage["size"])
        pools[s] = (
            GATES.index(layer.rule), source["height"], source["width"], *layer.kernel, *layer.stride, *layer.padding,
            leads, pooled, pooled + places, marked,
        )  # fmt: skip
        leads, pooled, marked = leads + 1 + places, pooled + places + windows, marked + windows
    return pools, leads, pooled, marked


def clear_pools(step: int, pools: np.ndarray, clocks: np.ndarray, leads: np.ndarray, pooled: np.ndarray) -> None:
    """All max pools as if nothing had ever spiked and `step` had just been done."""
    leads[:], pooled[:] = 0, 0
    for s in np.flatnonzero(pools["kernel_height"]):
        leads[pools[s]["fading"]] = 1
        clocks[2 * s] = step


@kernel
def pool_spikes(
    step, stages, edges, axes, reach, s, pools, clocks, n_groups, groups, spikes, leads, pooled, marked, dirty
):  # fmt: skip
    """One step of max pool s: its groups of spikes from those of its source. Cells that these reach are dirty."""
    pool, stage, edge = pools[s], stages[s], edges[stages[s]["first_edge"]]
    leads[pool["fading"]] = max(leads[pool["fading"]] / 1.005, 1e-150)
    n_groups[s] = 0
    n = n_groups[edge["source"]]
    if n == 0:
        return
    source = stages[edge["source"]]
    elapsed = step - clocks[2 * s]
    _take_in(elapsed, edge, source, n, axes, reach, pool, groups, spikes, leads, pooled, marked)
    n_groups[s] = _send(stage, source["channels"], pool, groups, spikes, leads, pooled, marked, dirty)
    first, channels = source["first_group"], source["channels"]
    for g in range(first, first + n):  # what arrived is of this step only
        place = pool["first_arrived"] + (groups[GROUP * g + Y] * pool["width"] + groups[GROUP * g + X]) * channels
        start = groups[GROUP * g + FIRST]
        for i in range(start, start + groups[GROUP * g + COUNT]):
            pooled[place + spikes[2 * i]] = 0


@kernel
def _take_in(elapsed, edge, source, n, axes, reach, pool, groups, spikes, leads, pooled, marked):
    """R[j] += x[j] / t | x[j] | g * x[j] for every place j that spiked, and a mark on every window that holds it."""
    rule, width, channels, first = pool["rule"], pool["width"], source["channels"], source["first_group"]
    arrived, lead, mark = pool["first_arrived"], pool["fading"] + 1, pool["first_mark"]
    fading = leads[pool["fading"]]
    for g in range(first, first + n):
        y, x, start = groups[GROUP * g + Y], groups[GROUP * g + X], groups[GROUP * g + FIRST]
        row, column = AXIS * (edge["rows"] + y), AXIS * (edge["columns"] + x)
        for i in range(start, start + groups[GROUP * g + COUNT]):
            channel, times = spikes[2 * i], spikes[2 * i + 1]
            place = (y * width + x) * channels + channel
            pooled[arrived + place] += times
            if rule == FIR:
                leads[lead + place] += times / elapsed
            elif rule == EXPONENTIAL:
                leads[lead + place] += times * fading
            elif rule != OR:
                leads[lead + place] += times
            for a in range(axes[row], axes[row + LAST]):
                for b in range(axes[column], axes[column + LAST]):
                    marked[mark + reach[2 * a] + reach[2 * b] + channel] = 1


@kernel
def _send(stage, channels, pool, groups, spikes, leads, pooled, marked, dirty):
    """The spikes of all marked windows, in order; takes the marks away. Returns the number of groups."""
    size, width, lanes, cell_width = stage["size"], stage["width"], stage["lanes"], stage["cell_width"]
    cell_height = stage["pixels"] // cell_width
    group, spike = stage["first_group"], stage["first_spike"]
    for cell in range(stage["height"] * width):
        if dirty[stage["first_cell"] + cell] == 0:
            continue
        dirty[stage["first_cell"] + cell] = 0
        start, weight, all_one = spike, 0, True
        for j in range(size):
            mark = pool["first_mark"] + cell * size + j
            if marked[mark] == 0:
                continue
            marked[mark] = 0
            y = cell // width * cell_height + j // lanes // cell_width
            x = cell % width * cell_width + j // lanes % cell_width
            times = _passed(y, x, j % lanes, channels, pool, pool["first_sent"] + cell * size + j, leads, pooled)
            if times != 0:
                spikes[2 * spike], spikes[2 * spike + 1] = j, times
                spike += 1
                weight += abs(times)
                all_one &= times == 1
        if spike > start:
            groups[GROUP * group + Y], groups[GROUP * group + X] = cell // width, cell % width
            groups[GROUP * group + FIRST], groups[GROUP * group + COUNT] = start, spike - start
            groups[GROUP * group + WEIGHT] = 0 if all_one else weight
            group += 1
    return group - stage["first_group"]


@kernel
def _passed(y, x, channel, channels, pool, sent, leads, pooled):
    """What one window sends: x of its leader, or max R - sent. Of equals the first leads, row by row."""
    rule, width = pool["rule"], pool["width"]
    top, left = y * pool["stride_y"] - pool["padding_y"], x * pool["stride_x"] - pool["padding_x"]
    best, leader = 0.0, np.int64(-1)
    for row in range(max(top, 0), min(top + pool["kernel_height"], pool["height"])):
        for column in range(max(left, 0), min(left + pool["kernel_width"], width)):
            place = (row * width + column) * channels + channel
            score = leads[pool["fading"] + 1 + place]
            if rule == OR:
                score = np.float64(pooled[pool["first_arrived"] + place])
            if leader < 0 or score > best:
                best, leader = score, place
    if rule != EXACT:
        return pooled[pool["first_arrived"] + leader]
    times = np.int64(best) - pooled[sent]
    pooled[sent] += times
    return times
