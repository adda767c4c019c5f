"""One timestep: spikes in, potentials updated, spikes out. Read `run_step` first; the innermost loops are in rows.py.

What a step costs: `_add` adds one row of weights for every (group of spikes, kernel tap) and is where the time goes;
`_fire` looks at the cells that something was added to, not at all neurons. Nothing else grows with the size of a
layer but `_wake` and the search for dirty cells, one byte or word per cell.

Groups. Spikes whose targets and taps are the same (those of one cell: a window of a pool, or one pixel) are added
together: the sum of their rows first, in registers, then that sum once to the potentials.

Biases without touching idle neurons. Stored is m = v - e * bias, where e is the number of steps since the stage was
last rebased: a bias then moves the threshold (theta - e * bias, one subtraction per channel), not the neurons. That a
bias carries a neuron over its threshold by itself is foreseen: `due` holds a step by which the cell must be looked at,
never too late (too early only costs a look). Stages with a leak or a floor (KEPT) store v itself and make up for the
silent steps of a cell when it is next touched.

Rebasing. Stored potentials and e * bias must stay within the number format. When one leaves +-limit, e * bias is added
to all of the stage, what is beyond +-limit / 2 is clamped and counted, and e starts again: see `rebase`.
"""

from collections import namedtuple

import numpy as np

from ..kernel_cache import kernel
from .plan import (
    AXIS,
    COUNT,
    FIRST,
    FIRST_MARK,
    GROUP,
    KEPT,
    LAST,
    MARKS,
    NEVER,
    NONE,
    PLAIN,
    POOL,
    READOUT,
    WEIGHT,
    ZERO,
    X,
    Y,
)  # fmt: skip
from .pools import pool_spikes
from .rows import (
    add_row,
    add_total,
    find_at_least,
    list_bits,
    pointer,
    reset_all,
    smallest_gap,
    sum_rows,
    sum_rows_times,
)

LONG = 1 << 30  # steps; a cell is looked at at least so often
MANY = 4  # spikes in 16 neurons, from which on a cell is reset as a whole and its spikes counted per channel
ROWS_EXACT = 256  # rows of int8 whose sum fits int16

# The arrays of a step as pointers: one argument for the functions below. What each holds: memory.py.
Pointers = namedtuple(
    "Pointers",
    "weights bias threshold floor decay per_bias v moved dirty due updated reach total rows times tally channel_of "
    "axes groups spikes fired",
)


@kernel
def run_step(
    step, limit, has_drive, stages, edges, axes, reach, weights, bias, threshold, floor, decay, per_bias, channel_of,
    v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, fired, synops, total, rows, times, tally, drive,
    pools, leads, pooled, marked,
):  # fmt: skip
    """One timestep of all stages: what the arrays hold is said where engine.py makes them. Returns clamped potentials.

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
            _bring_up(step - 1, stage, pointers)
        if driven:
            _add_drive(stage, v, drive)
        for e in range(stage["first_edge"], stage["last_edge"]):
            if n_groups[edges[e]["source"]] > 0:
                synops[e] += _add(edges[e], stages[edges[e]["source"]], stage, n_groups[edges[e]["source"]], pointers)
        if stage["kind"] == READOUT:
            continue
        beyond = _fire(step, limit, stage, s, clocks, n_groups, pointers)
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
def _add(edge, source, stage, n_groups, pointers):
    """v[q, out] += times * weight[in, tap, out] for each spike and each (pixel q, tap) it reaches. Returns how many."""
    weights, v, reach = pointers.weights, pointers.v, pointers.reach
    axes, groups, spikes = pointers.axes, pointers.groups, pointers.spikes
    # What the loops need is taken out of the records first: a store to v could, for all LLVM knows, change them.
    base, out = stage["first_neuron"] + edge["first_out"], edge["out_per_group"]
    first_weight, channel_step, lanes = edge["first_weight"], edge["channel_step"], edge["lanes"]
    in_per_group, grouped = edge["in_per_group"], edge["groups"] > 1
    rows, columns, first = edge["rows"], edge["columns"], source["first_group"]
    channel_of, first_constant = pointers.channel_of, source["first_constant"]
    added = 0
    for g in range(first, first + n_groups):
        row, column = AXIS * (rows + groups[GROUP * g + Y]), AXIS * (columns + groups[GROUP * g + X])
        a0, a1, b0, b1 = axes[row], axes[row + LAST], axes[column], axes[column + LAST]
        taps = (a1 - a0) * (b1 - b0)
        if taps == 0:
            continue
        start, n, weight = groups[GROUP * g + FIRST], groups[GROUP * g + COUNT], groups[GROUP * g + WEIGHT]
        if n > 1 and not grouped:
            if weight == 0:
                _add_group(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers)
            else:
                _add_group_times(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers)
            added += (n if weight == 0 else weight) * taps * out
            continue
        for i in range(start, start + n):
            channel, times = channel_of[first_constant + spikes[2 * i]], spikes[2 * i + 1]
            from_row = first_weight + channel * channel_step
            to = base + (channel // in_per_group * out if grouped else 0)
            for a in range(a0, a1):
                for b in range(b0, b1):
                    q, tap = to + reach[2 * a] + reach[2 * b], from_row + reach[2 * a + 1] + reach[2 * b + 1]
                    if times == 1:
                        add_row(v, q, weights, tap, lanes)
                    else:
                        for c in range(lanes):
                            v[q + c] += times * weights[tap + c]
            added += abs(times) * taps * out
    return added


@kernel(forceinline=True)
def _add_group(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers):
    """The same for several spikes of one cell: their rows are summed first, then added once."""
    weights, v, reach, total, rows = pointers.weights, pointers.v, pointers.reach, pointers.total, pointers.rows
    channel_of, spikes = pointers.channel_of, pointers.spikes
    first_weight, channel_step, lanes, patch = edge["first_weight"], edge["channel_step"], edge["lanes"], edge["patch"]
    for i in range(n):
        rows[i] = first_weight + channel_of[first_constant + spikes[2 * (start + i)]] * channel_step
    whole = 2 * (a1 - a0) * (b1 - b0) * lanes >= patch and patch > 0  # else most of a patch would be summed for nothing
    for i in range(0, n, ROWS_EXACT):
        part = min(n - i, ROWS_EXACT)
        if whole:
            sum_rows(total, weights, rows, i, part, 0, patch)
        for a in range(a0, a1):
            for b in range(b0, b1):
                q, tap = base + reach[2 * a] + reach[2 * b], reach[2 * a + 1] + reach[2 * b + 1]
                if not whole:
                    sum_rows(total, weights, rows, i, part, tap, lanes)
                    add_total(v, q, total, 0, lanes)
                else:
                    add_total(v, q, total, tap, lanes)


@kernel
def _add_group_times(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers):
    """The same for spikes that count several times, or less than nothing."""
    rows, times, channel_of, spikes = pointers.rows, pointers.times, pointers.channel_of, pointers.spikes
    first_weight, channel_step, lanes, patch = edge["first_weight"], edge["channel_step"], edge["lanes"], edge["patch"]
    whole = 2 * (a1 - a0) * (b1 - b0) * lanes >= patch and patch > 0
    m, room = 0, ROWS_EXACT
    for i in range(start, start + n):
        row = first_weight + channel_of[first_constant + spikes[2 * i]] * channel_step
        count = np.int64(spikes[2 * i + 1])
        while count != 0:  # as often as the sum of rows has room for it
            part = min(max(count, -ROWS_EXACT), ROWS_EXACT)
            if abs(part) > room:
                _add_times(m, whole, edge, base, a0, a1, b0, b1, pointers)
                m, room = 0, ROWS_EXACT
            rows[m], times[m] = row, part
            m += 1
            room -= abs(part)
            count -= part
    if m > 0:
        _add_times(m, whole, edge, base, a0, a1, b0, b1, pointers)


@kernel
def _add_times(m, whole, edge, base, a0, a1, b0, b1, pointers):
    """v += the sum of m rows, each so many times."""
    weights, v, reach, total, rows, times = (
        pointers.weights, pointers.v, pointers.reach, pointers.total, pointers.rows, pointers.times,
    )  # fmt: skip
    lanes, patch = edge["lanes"], edge["patch"]
    if whole:
        sum_rows_times(total, weights, rows, times, 0, m, 0, patch)
    for a in range(a0, a1):
        for b in range(b0, b1):
            q, tap = base + reach[2 * a] + reach[2 * b], reach[2 * a + 1] + reach[2 * b + 1]
            if not whole:
                sum_rows_times(total, weights, rows, times, 0, m, tap, lanes)
                add_total(v, q, total, 0, lanes)
            else:
                add_total(v, q, total, tap, lanes)


@kernel
def _fire(step, limit, stage, s, clocks, n_groups, pointers):
    """Where v >= threshold: spike, then reset. Only dirty cells are looked at, and are clean thereafter.

    Returns whether a stored potential went beyond +-limit.
    """
    bias, threshold, v, moved, dirty, due = (
        pointers.bias, pointers.threshold, pointers.v, pointers.moved, pointers.dirty, pointers.due,
    )  # fmt: skip
    tally, groups, spikes, fired = pointers.tally, pointers.groups, pointers.spikes, pointers.fired
    constant, size, width, kind = stage["first_constant"], stage["size"], stage["width"], stage["kind"]
    first_cell, base, foresees = stage["first_cell"], stage["first_neuron"], stage["foresees"]
    simple, to_zero, lanes, words = stage["simple"], stage["reset"] == ZERO, stage["lanes"], stage["size"] // 16
    first_group, first_word = stage["first_group"], base // 16
    # Leaks raise what is below 0, negative spikes have a second threshold: these stages are looked at in every step.
    every_step, per_bias = kind == KEPT or stage["is_signed"] != 0, pointers.per_bias
    elapsed = step - clocks[2 * s] if kind == PLAIN else 0
    for i in range(constant, constant + size):
        moved[i] = threshold[i] - elapsed * bias[i]
    group, spike = first_group, stage["first_spike"]
    soonest, beyond = clocks[2 * s + 1], False
    for cell in range(stage["height"] * width):
        if dirty[first_cell + cell] == 0:
            continue
        dirty[first_cell + cell] = 0
        start, at = spike, base + cell * size
        next_look = NEVER
        if simple and kind == PLAIN:
            word = first_word + (group - first_group) * words
            n, outside = find_at_least(v, at, moved, constant, size, limit, fired, word)
            again, weight = False, 0
            if n > 0:
                again = reset_all(v, at, moved, threshold, bias, constant, size, lanes, to_zero, tally)
            if n > MANY * words:
                for c in range(lanes):
                    spikes[2 * spike], spikes[2 * spike + 1] = c, tally[c]
                    spike += tally[c] > 0
                weight = n if n > spike - start else 0
            elif n > 0:
                spike = list_bits(fired, word, words, spikes, spike)
            beyond |= outside
            if again:
                next_look = step + 1
        else:
            spike, weight, again, outside = _fire_cell(stage, at, elapsed, limit, spike, pointers)
            beyond |= outside
            if again:
                next_look = step + 1
        if spike > start:
            groups[GROUP * group + Y], groups[GROUP * group + X] = cell // width, cell % width
            groups[GROUP * group + FIRST], groups[GROUP * group + COUNT] = start, spike - start
            groups[GROUP * group + WEIGHT] = weight
            group += 1
        if foresees and next_look == NEVER:
            next_look = step + (1 if every_step else _steps_to_threshold(v, at, moved, per_bias, constant, size))
        due[first_cell + cell] = next_look
        soonest = min(soonest, next_look)
    clocks[2 * s + 1] = soonest
    n_groups[s] = group - first_group
    return beyond


@kernel
def _fire_cell(stage, at, elapsed, limit, spike, pointers):
    """One cell with every option: several spikes a step, negative ones, no reset, a floor, a leak.

    Returns (one past its last spike, sum of its counts or 0 if all are 1, look again next step, beyond the limit).
    """
    bias, threshold, floor, v, spikes = pointers.bias, pointers.threshold, pointers.floor, pointers.v, pointers.spikes
    constant, most, reset, is_signed = stage["first_constant"], stage["max_spikes"], stage["reset"], stage["is_signed"]
    kept = stage["kind"] == KEPT
    weight, all_one, again, beyond = 0, True, False, False
    for j in range(stage["size"]):
        i = constant + j
        shift = 0 if kept else elapsed * np.int64(bias[i])
        potential = np.int64(v[at + j]) + shift
        if kept:
            potential = max(potential, np.int64(floor[i]))
        beyond |= abs(potential - shift) > limit
        theta, times = np.int64(threshold[i]), 0
        if potential >= theta:
            times = min(potential // theta, most)
        elif is_signed and -potential >= theta:
            times = -min(-potential // theta, most)
        if times != 0:
            if reset == ZERO:
                potential = np.int64(0)
            elif reset != NONE:
                potential -= times * theta
            spikes[2 * spike], spikes[2 * spike + 1] = j, times
            spike += 1
            weight += abs(times)
            all_one &= times == 1
            again |= potential >= theta - max(np.int64(bias[i]), 0) or (
                is_signed and -potential >= theta - max(-np.int64(bias[i]), 0)
            )
        v[at + j] = potential - shift
    return spike, 0 if all_one else weight, again, beyond


@kernel(forceinline=True)
def _steps_to_threshold(v, at, moved, per_bias, constant, size):
    """Fewest steps of bias alone that bring a neuron of one cell to its threshold: at least 1, never too many.

    ceil(missing / bias) by a multiplication in float32: a division for every neuron would cost more than the whole
    step. The factors are larger than float32's rounding, so the result may be one too few (which costs a look) but not
    one too many. per_bias is 1 / bias where the bias is above 0, and huge elsewhere.
    """
    least = smallest_gap(v, at, moved, per_bias, constant, size) * np.float32(1 - 1e-6) + np.float32(0.999)
    return np.int64(min(max(least, np.float32(1)), np.float32(LONG)))


@kernel
def _bring_up(step, stage, pointers):
    """Make up for the silent steps of the dirty cells of a KEPT stage, then leak and bias of `step` + 1 itself."""
    dirty, updated = pointers.dirty, pointers.updated
    first = stage["first_cell"]
    for cell in range(stage["height"] * stage["width"]):
        if dirty[first + cell] != 0:
            silent_steps(step - updated[first + cell], stage, stage["first_neuron"] + cell * stage["size"], pointers)
            one_leak(stage, stage["first_neuron"] + cell * stage["size"], pointers)
            updated[first + cell] = step + 1


@kernel
def silent_steps(n, stage, at, pointers):
    """v <- max(trunc(v * decay) + bias, floor) n times, for the neurons of a cell; stops where nothing changes."""
    bias, floor, decay, v = pointers.bias, pointers.floor, pointers.decay, pointers.v
    constant = stage["first_constant"]
    for _ in range(n):
        changed = False
        for j in range(stage["size"]):
            i = constant + j
            after = max(np.int64(v[at + j] * decay[i]) + np.int64(bias[i]), np.int64(floor[i]))
            changed |= after != v[at + j]
            v[at + j] = after
        if not changed:
            break


@kernel
def bring_all_up(step, stage, v, bias, floor, decay, updated):
    """Make up for the silent steps of all cells of a KEPT stage, `step` included."""
    pointers = Pointers(v, bias, v, floor, decay, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v)  # what is needed
    for cell in range(stage["height"] * stage["width"]):
        at = stage["first_cell"] + cell
        silent_steps(step - updated[at], stage, stage["first_neuron"] + cell * stage["size"], pointers)
        updated[at] = step


@kernel
def one_leak(stage, at, pointers):
    """v <- trunc(v * decay) + bias: what happens in a step before anything arrives."""
    bias, decay, v, constant = pointers.bias, pointers.decay, pointers.v, stage["first_constant"]
    for j in range(stage["size"]):
        v[at + j] = np.int64(v[at + j] * decay[constant + j]) + np.int64(bias[constant + j])


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
