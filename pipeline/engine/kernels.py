"""One timestep: spikes in, potentials updated, spikes out. Read `run_step` first.

What a step costs: `add` (adding.py) adds one row of weights for every (group of spikes, kernel tap), `fire` (firing.py)
looks at the cells that something was added to, not at all neurons; the innermost loops of both are in rows.py. Nothing
else grows with the size of a layer but `_wake` and the search for dirty cells, one byte or word per cell.

Groups. Spikes whose targets and taps are the same (those of one cell: a window of a pool, or one pixel) are added
together: the sum of their rows first, in registers, then that sum once to the potentials.

Biases without touching idle neurons. Stored is m = v - e * bias, where e is the number of steps since the stage was
last rebased: a bias then moves the threshold (theta - e * bias, one subtraction per channel), not the neurons. That a
bias carries a neuron over its threshold by itself is foreseen: `due` holds a step by which the cell must be looked at,
never too late (too early only costs a look). Stages with a leak or a floor (KEPT) store v itself and make up for the
silent steps of a cell when it is next touched (leaks.py).

Rebasing. Stored potentials and e * bias must stay within the number format. When one leaves +-limit, e * bias is added
to all of the stage, what is beyond +-limit / 2 is clamped and counted, and e starts again: see `rebase`.
"""

import numpy as np

from ..kernel_cache import kernel
from .adding import add
from .firing import fire
from .layout import AXIS, FIRST_MARK, GROUP, KEPT, MARKS, NEVER, PLAIN, POOL, READOUT, Pointers, X, Y
from .leaks import bring_up
from .pools import pool_spikes
from .rows import pointer


@kernel
def run_step(
    step, limit, has_drive, stages, edges, axes, reach, weights, bias, threshold, floor, decay, per_bias, channel_of,
    v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, fired, synops, total, rows, times, tally, drive,
    pools, leads, pooled, marked,
):  # fmt: skip
    """One timestep of all stages: what the arrays hold is said in memory.py. Returns clamped potentials.

    Equations: layers.py. step counts from 1 after a reset. The groups and spikes of stage 0 are the input.
    """
    pointers = Pointers(
        pointer(weights), pointer(bias), pointer(threshold), pointer(floor), pointer(decay), pointer(per_bias),
        pointer(v), pointer(moved), pointer(dirty), pointer(due), pointer(updated), pointer(reach), pointer(total),
        pointer(rows), pointer(times), pointer(tally), pointer(channel_of), pointer(axes), pointer(groups),
        pointer(spikes), pointer(fired),
    )  # fmt: skip
    clamped = 0
    for s in range(1, stages.shape[0]):
        stage = stages[s]
        if stage["kind"] == POOL:
            first = edges[stage["first_edge"]]
            _mark(first, stages[first["source"]], stage, n_groups[first["source"]], pointers)
            pool_spikes(
                step, stages, edges, axes, reach, s, pools, clocks, n_groups, groups, spikes, leads, pooled, marked,
                dirty,
            )  # fmt: skip
            continue
        if step <= clocks[2 * s]:  # it has not started yet: what arrives is lost
            n_groups[s] = 0
            continue
        busy = _wake(step, stage, s, clocks, pointers)
        driven = False
        for e in range(stage["first_edge"], stage["last_edge"]):
            driven |= has_drive and edges[e]["source"] == 0
            if n_groups[edges[e]["source"]] > 0:
                busy = True
                if stage["kind"] != READOUT:
                    _mark(edges[e], stages[edges[e]["source"]], stage, n_groups[edges[e]["source"]], pointers)
        if driven and stage["kind"] != READOUT:
            _mark_all(stage, pointers)
        elif not busy and not driven and step - clocks[2 * s] < stage["longest"]:
            n_groups[s] = 0
            continue
        if stage["kind"] == KEPT:
            bring_up(step - 1, stage, pointers)
        if driven:
            _add_drive(stage, v, drive)
        for e in range(stage["first_edge"], stage["last_edge"]):
            if n_groups[edges[e]["source"]] > 0:
                synops[e] += add(edges[e], stages[edges[e]["source"]], stage, n_groups[edges[e]["source"]], pointers)
        if stage["kind"] == READOUT:
            continue
        beyond = fire(step, limit, stage, s, clocks, n_groups, pointers)
        if beyond or step - clocks[2 * s] >= stage["longest"]:
            clamped += rebase(step, limit, stage, s, clocks, v, bias, due)
    return clamped


@kernel
def _mark_all(stage, pointers):
    """Every cell of the stage is to be looked at."""
    dirty = pointers.dirty
    for cell in range(stage["first_cell"], stage["first_cell"] + stage["height"] * stage["width"]):
        dirty[cell] = 1


@kernel
def _add_drive(stage, v, drive):
    """v += the constant current of an image, for every neuron of the stage."""
    first = np.uint64(stage["first_neuron"])
    last = first + np.uint64(stage["height"] * stage["width"] * stage["size"])
    for i in range(first, last):
        v[i] += drive[i]


@kernel
def _wake(step, stage, s, clocks, pointers):
    """Make dirty the cells that must be looked at in this step although nothing may arrive. Whether there were any."""
    dirty, due = pointers.dirty, pointers.due
    if clocks[2 * s + 1] > step:
        return False
    rest = NEVER
    first = stage["first_cell"]
    for cell in range(first, first + stage["height"] * stage["width"]):
        if due[cell] <= step:
            dirty[cell] = 1
        else:
            rest = min(rest, due[cell])
    clocks[2 * s + 1] = rest
    return True


@kernel
def _mark(edge, source, stage, n_groups, pointers):
    """dirty[cell] = 1 for the cells of `stage` that the groups of an edge's source reach (some more with dilation)."""
    dirty, axes, groups = pointers.dirty, pointers.axes, pointers.groups
    first, base, width = source["first_group"], stage["first_cell"], stage["width"]
    rows, columns = edge["rows"], edge["columns"]
    for g in range(first, first + n_groups):
        row, column = AXIS * (rows + groups[GROUP * g + Y]), AXIS * (columns + groups[GROUP * g + X])
        start = base + axes[row + FIRST_MARK] + axes[column + FIRST_MARK]
        for a in range(axes[row + MARKS]):
            for b in range(axes[column + MARKS]):
                dirty[start + a * width + b] = 1


@kernel
def rebase(step, limit, stage, s, clocks, v, bias, due):
    """Add the biases since the last rebase to the stored potentials; clamp to +-limit / 2. Returns how many were.

    A neuron that was clamped may cross its threshold earlier than foreseen, so its cell is looked at in the next step.
    """
    elapsed = step - clocks[2 * s] if stage["kind"] == PLAIN else 0
    constant, size, half = stage["first_constant"], stage["size"], limit // 2
    clamped = 0
    for cell in range(stage["height"] * stage["width"]):
        at, before = stage["first_neuron"] + cell * size, clamped
        for j in range(size):
            potential = np.int64(v[at + j]) + elapsed * np.int64(bias[constant + j])
            bounded = min(max(potential, -half), half)
            clamped += bounded != potential
            v[at + j] = bounded
        if clamped != before:
            due[stage["first_cell"] + cell] = min(due[stage["first_cell"] + cell], step + 1)
            clocks[2 * s + 1] = min(clocks[2 * s + 1], step + 1)
    clocks[2 * s] = step
    return clamped


@kernel
def start_stage(step, stage, s, clocks, v, v_init, threshold, bias, due, updated, dirty):
    """Every neuron of a stage at v_init, as if `step` had just been done."""
    size, constant = stage["size"], stage["first_constant"]
    soonest = NEVER
    for i in range(constant, constant + size):
        if stage["foresees"] and bias[i] > 0:
            soonest = min(soonest, max((np.int64(threshold[i]) - np.int64(v_init[i])) // np.int64(bias[i]), 1))
    if stage["foresees"] and (stage["is_signed"] or stage["kind"] == KEPT):
        soonest = 1
    for cell in range(stage["height"] * stage["width"]):
        for j in range(size):
            v[stage["first_neuron"] + cell * size + j] = v_init[constant + j]
        due[stage["first_cell"] + cell] = min(step + soonest, NEVER)
        updated[stage["first_cell"] + cell] = step
        dirty[stage["first_cell"] + cell] = 0
    clocks[2 * s], clocks[2 * s + 1] = step, min(step + soonest, NEVER)


@kernel
def start_output(stage, v):
    """Nothing has arrived at the stage that is read out."""
    for i in range(stage["first_neuron"], stage["first_neuron"] + stage["height"] * stage["width"] * stage["size"]):
        v[i] = 0
