"""One event at a time: its spike, and all spikes that follow from it, before the next. Read `work_off` first.

What a spike costs is `_add`: one row of weights for every (pixel, tap) that it reaches, added and compared with the
thresholds in one go, since what it touches is in registers just then. asynchronous.py says what it all means.

Stored is m = v - B, with B = bias * ticks >> TICK_BITS, ticks counted since the `origin` of the stage; B then moves the
threshold, once a tick and channel, not the neurons. Neurons that a bias drives are looked at in turns: `due` of a pixel
is the first timestep in which its bias could bring one of its neurons to the threshold; what is added sets it to 0.
"""

from ..kernel_cache import kernel
from .depth_layout import (
    AHEAD,
    AXES,
    CELL,
    CHANNEL,
    DUE,
    EVIDENCE,
    FIRED,
    LOW,
    MOVED,
    NEURON,
    PENDING,
    REACHED,
    RING,
    SYNOPS,
    TAKEN,
    THRESHOLD,
    WAITING,
    WEIGHTS,
    V,
)
from .depth_readout import outputs_of, slot
from .depth_rows import add_and_compare, any_at_least, lowest_bit, reached_bits
from .depth_state import rebase
from .layout import AXIS, LAST, READOUT, ZERO
from .routes import REACH, TICK_BITS


@kernel
def work_off(top, now, stages, hubs, routes, arrays):
    """Take the last of `top` pending spikes, add it to its targets, put those that spike on top, until none is left."""
    pending, fired, evidence, ring = arrays[WAITING], arrays[FIRED], arrays[EVIDENCE], arrays[RING]
    last, counting = stages.shape[0] - 1, stages[stages.shape[0] - 1]["kind"] != READOUT
    while top > 0:
        top -= 1
        s, cell = pending[PENDING * top], pending[PENDING * top + CELL]
        channel, first = pending[PENDING * top + CHANNEL], top
        fired[s] += 1
        repeats = hubs[s]["repeats"] != 0
        for r in range(hubs[s]["first_route"], hubs[s]["last_route"]):
            target = routes[r]["target"]
            hubs[target]["left"] -= 1
            if hubs[target]["left"] < 0:
                rebase(target, now, stages[target], hubs, arrays)
            top = _add(routes[r], cell >> 16, cell & 0xFFFF, channel, top, repeats, now["tick"] >> TICK_BITS, arrays)
        if top > first + 1 or repeats:
            reverse(first, top, pending)
            if repeats:
                top = _fire_once(first, top, stages, arrays)
        if counting and s == last:
            width = stages[s]["width"]
            output = channel * stages[s]["height"] * width + (cell >> 16) * width + (cell & 0xFFFF)
            evidence[output] += 1
            if now["slots"] > 0:
                ring[slot(now) * outputs_of(stages) + output] += 1


@kernel(forceinline=True)
def _add(route, row, column, channel, top, repeats, step, arrays):
    """One spike along one route: add, compare, and put the targets that are at or above threshold on top, ascending.

    They are reset at once, except where a spike `repeats`: there the last word on them is _fire_once's.
    """
    axes, synops = arrays[AXES], arrays[SYNOPS]
    lanes, out = route["lanes"], route["out"]
    from_row = route["first_weight"] + channel * route["channel_step"]
    q, k = route["first_neuron"], route["constant"]
    first_channel = route["first_out"]
    if route["grouped"] != 0:
        shift = channel // route["in_per_group"] * out
        q, k, first_channel = q + shift, k + shift, first_channel + shift
    along_y, along_x = route["rows"] + AXIS * row, route["columns"] + AXIS * column
    a0, a1, b0, b1 = axes[along_y], axes[along_y + LAST], axes[along_x], axes[along_x + LAST]
    synops[route["edge"]] += (a1 - a0) * (b1 - b0) * out
    turn, target = route["first_turn"], route["target"]
    soon = step + AHEAD if route["whole"] != 0 else 0
    to_zero = 2 if repeats else route["to_zero"]
    if lanes == 16:
        return _scatter(
            16, out, from_row, q, k, first_channel, a0, a1, b0, b1, turn, soon, target, to_zero, top, arrays
        )
    if lanes == 32:
        return _scatter(
            32, out, from_row, q, k, first_channel, a0, a1, b0, b1, turn, soon, target, to_zero, top, arrays
        )
    if lanes == 64:
        return _scatter(
            64, out, from_row, q, k, first_channel, a0, a1, b0, b1, turn, soon, target, to_zero, top, arrays
        )
    return _scatter(lanes, out, from_row, q, k, first_channel, a0, a1, b0, b1, turn, soon, target, to_zero, top, arrays)


@kernel(forceinline=True)
def _scatter(lanes, out, from_row, q, k, first_channel, a0, a1, b0, b1, turn, soon, target, to_zero, top, arrays):
    """The loop over what one spike reaches; inlined once for each usual number of lanes."""
    reach, weights, v, low, due = arrays[REACHED], arrays[WEIGHTS], arrays[V], arrays[LOW], arrays[DUE]
    for a in range(REACH * a0, REACH * a1, REACH):
        at_row, tap_row = q + reach[a], from_row + reach[a + 1]
        for b in range(REACH * b0, REACH * b1, REACH):
            at, tap = at_row + reach[b], tap_row + reach[b + 1]
            if add_and_compare(v, at, weights, tap, low, k, lanes):
                if turn >= 0:
                    due[turn + reach[a + 3] + reach[b + 3]] = 0
                    if not any_at_least(v, at, arrays[MOVED], k, lanes):
                        continue  # a false alarm: its bias will bring it there
                top = put(at, k, out, first_channel, reach[a + 2] | reach[b + 2], target, to_zero, top, arrays)
            elif turn >= 0:
                due[turn + reach[a + 3] + reach[b + 3]] = soon
    return top


@kernel
def put(at, k, out, first_channel, cell, target, to_zero, top, arrays):
    """The neurons at v[at :] that are at or above threshold spike: reset them, and let their spikes wait."""
    threshold, v, moved, pending = arrays[THRESHOLD], arrays[V], arrays[MOVED], arrays[WAITING]
    for start in range(0, out, 16):
        bits = reached_bits(v, at + start, moved, k + start, min(out - start, 16))
        while bits:
            c = start + lowest_bit(bits)
            bits &= bits - 1
            if to_zero == 0:
                v[at + c] -= threshold[k + c]
            elif to_zero == 1:
                v[at + c] = moved[k + c] - threshold[k + c]
            pending[PENDING * top], pending[PENDING * top + CELL] = target, cell
            pending[PENDING * top + CHANNEL], pending[PENDING * top + NEURON] = first_channel + c, at + c
            top += 1
    return top


@kernel
def reverse(first, top, pending):
    """So that the first to be put there is the first to be taken."""
    low, high = PENDING * first, PENDING * (top - 1)
    while low < high:
        for i in range(PENDING):
            pending[low + i], pending[high + i] = pending[high + i], pending[low + i]
        low += PENDING
        high -= PENDING


@kernel
def _fire_once(first, top, stages, arrays):
    """Of pending[first : top], last put first, keep each neuron once, and only if it is at its threshold in the end."""
    threshold, v, moved, pending, taken = arrays[THRESHOLD], arrays[V], arrays[MOVED], arrays[WAITING], arrays[TAKEN]
    kept = first
    for i in range(first, top):
        n, s = pending[PENDING * i + NEURON], pending[PENDING * i]
        k = stages[s]["first_constant"] + pending[PENDING * i + CHANNEL]
        if taken[n] != 0 or v[n] < moved[k]:
            continue
        taken[n] = 1
        v[n] = (moved[k] if stages[s]["reset"] == ZERO else v[n]) - threshold[k]
        for j in range(PENDING):
            pending[PENDING * kept + j] = pending[PENDING * i + j]
        kept += 1
    for i in range(first, kept):
        taken[pending[PENDING * i + NEURON]] = 0
    return kept
