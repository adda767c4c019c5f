"""One event at a time: its spike, and all spikes that follow from it, before the next. Start reading at `_work_off`.

What a spike costs is `_add`: one row of weights for every (pixel, tap) that it reaches, added and compared with the
thresholds in one go, since what it touches is in registers just then. asynchronous.py says what it all means.

Stored is m = v - B, with B = bias * ticks >> TICK_BITS, ticks counted since the `origin` of the stage; B then moves the
threshold, once a tick and channel, not the neurons. Neurons that a bias drives are looked at in turns: `due` of a pixel
is the first timestep in which its bias could bring one of its neurons to the threshold; what is added sets it to 0.
"""

import numpy as np
from numba import config

from ..kernel_cache import kernel
from . import simd
from .plan import AXIS, LAST, NEVER, READOUT, ZERO
from .routes import LOOK, REACH, TICK_BITS, TICKS
from .rows import pointer, smallest_gap

# A spike that waits is PENDING whole numbers: its stage, its cell (row << 16 | column), its channel, its place in v.
PENDING, CELL, CHANNEL, NEURON = 4, 1, 2, 3
# What is handed on as `arrays`.
(
    AXES, REACHED, WEIGHTS, THRESHOLD, V, MOVED, DUE, WAITING, TAKEN, SYNOPS, FIRED, EVIDENCE, RING, BIAS, PER_BIAS,
    V_INIT, LOW,
) = range(17)  # fmt: skip
AHEAD = 2  # timesteps for which an addition foresees what bias will do; more: fewer looks, but more false alarms
LONG = 1 << 30  # timesteps: an end of time for `due`

CLOCK_DTYPE = np.dtype(
    [
        ("timestep_us", "i8"),
        ("origin_us", "i8"),  # time of the first event
        ("reached_us", "i8"),  # time of the last event
        ("tick", "i8"),  # begun since the origin
        ("next_us", "i8"),  # when the next one begins; NEVER: time plays no part in this network
        ("slots", "i8"),  # timesteps of the readout's window; 0: everything counts
        ("state_ticks", "i8"),  # hidden layers start afresh every so many; 0: never
        ("limit", "i8"),  # of stored potentials
        ("clamped", "i8"),  # potentials that met it
    ]
)


@kernel
def push_events(
    events, classes, clock, row_of, column_of, channels, stages, hubs, routes, axes, reach, looks, weights, bias,
    threshold, v_init, per_bias, v, moved, low, due, pending, taken, synops, fired, evidence, ring, unit,
):  # fmt: skip
    """Work off every event; classes[i], where there is room, is the class then. Returns the last class, or -1.

    Returns -2 - i, having done nothing, if event i lies outside the input or before what was reached.
    """
    now, timed = clock[0], clock[0]["next_us"] != NEVER
    reached = now["reached_us"]
    for i in range(events.shape[0]):
        if events[i]["x"] >= column_of.shape[0] or events[i]["y"] >= row_of.shape[0] or events[i]["t"] < reached:
            return -2 - i
        reached = events[i]["t"]
    arrays = (
        pointer(axes), pointer(reach), pointer(weights), pointer(threshold),
        pointer(v), pointer(moved), pointer(due), pointer(pending), pointer(taken), pointer(synops), pointer(fired),
        pointer(evidence), pointer(ring), pointer(bias), pointer(per_bias), pointer(v_init), pointer(low),
    )  # fmt: skip
    if timed and events.shape[0] > 0 and now["tick"] < 0:
        now["origin_us"], now["tick"] = events[0]["t"], 0
        now["next_us"] = events[0]["t"] + (now["timestep_us"] + TICKS - 1) // TICKS
    for i in range(events.shape[0]):
        if timed and events[i]["t"] >= now["next_us"]:
            _pass_time(events[i]["t"], now, stages, hubs, routes, looks, arrays)
        pending[0] = 0
        pending[CELL] = row_of[events[i]["y"]] | column_of[events[i]["x"]]
        pending[CHANNEL] = events[i]["p"] if channels > 1 else 0
        _work_off(1, now, stages, hubs, routes, arrays)
        if i < classes.shape[0]:
            classes[i] = winner(now, stages, v, bias, evidence, synops, unit)
    now["reached_us"] = reached
    return winner(now, stages, v, bias, evidence, synops, unit)


@kernel
def _work_off(top, now, stages, hubs, routes, arrays):
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
            _reverse(first, top, pending)
            if repeats:
                top = _fire_once(first, top, stages, arrays)
        if counting and s == last:
            width = stages[s]["width"]
            output = channel * stages[s]["height"] * width + (cell >> 16) * width + (cell & 0xFFFF)
            evidence[output] += 1
            if now["slots"] > 0:
                ring[_slot(now) * _outputs(stages) + output] += 1


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
                top = _put(at, k, out, first_channel, reach[a + 2] | reach[b + 2], target, to_zero, top, arrays)
            elif turn >= 0:
                due[turn + reach[a + 3] + reach[b + 3]] = soon
    return top


@kernel
def _put(at, k, out, first_channel, cell, target, to_zero, top, arrays):
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
def _reverse(first, top, pending):
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


# --- time -------------------------------------------------------------------------------------------------------------


@kernel
def _pass_time(t_us, now, stages, hubs, routes, looks, arrays):
    """Begin every tick up to t_us, and in each look at the pixels whose turn it is."""
    due, length = arrays[DUE], looks.shape[0] // LOOK
    threshold, bias, moved, low = arrays[THRESHOLD], arrays[BIAS], arrays[MOVED], arrays[LOW]
    tick, timestep = now["tick"], now["timestep_us"]
    reached = (t_us - now["origin_us"]) * TICKS // timestep
    while tick < reached:
        tick += 1
        now["tick"] = tick
        if tick % TICKS == 0:
            if now["state_ticks"] > 0 and tick % now["state_ticks"] == 0:
                start_hidden(tick, stages, hubs, arrays[V], arrays[V_INIT], threshold, bias, moved, low)
                for i in range(length):
                    due[i] = 0
            if now["slots"] > 0:
                _turn_ring(now, stages, hubs, routes, arrays)
        for s in range(1, stages.shape[0]):
            if stages[s]["biased"] and stages[s]["kind"] != READOUT:
                if (tick - hubs[s]["origin"]) >> TICK_BITS >= stages[s]["longest"]:
                    rebase(s, now, stages[s], hubs, arrays)
                move_thresholds(tick - hubs[s]["origin"], stages[s], threshold, bias, moved, low)
        turn = tick & (TICKS - 1)
        first, last = (turn * length + TICKS - 1) // TICKS, ((turn + 1) * length + TICKS - 1) // TICKS
        for start in range(first, last, 16):
            bits = due_bits(due, start, min(last - start, 16), tick >> TICK_BITS)
            while bits:
                i = start + lowest_bit(bits)
                bits &= bits - 1
                _look(i, tick, now, stages, hubs, routes, looks, arrays)
    now["next_us"] = now["origin_us"] + ((tick + 1) * timestep + TICKS - 1) // TICKS


@kernel(forceinline=True)
def _look(i, tick, now, stages, hubs, routes, looks, arrays):
    """Neurons of pixel i that their bias has brought to the threshold spike; then say when to look again."""
    at, s = looks[LOOK * i], looks[LOOK * i + 1]
    k, lanes = stages[s]["first_constant"], stages[s]["lanes"]
    gap = smallest_gap(arrays[V], at, arrays[MOVED], arrays[PER_BIAS], k, lanes)
    if gap > 0:  # no neuron is at its threshold
        arrays[DUE][i] = _next_look(gap, tick)
    else:
        _fire_pixel(i, tick, now, stages, hubs, routes, looks, arrays)


@kernel(forceinline=True)
def _next_look(gap, tick):
    """The timestep in which `gap` timesteps of bias have flowed: perhaps one too early, which costs a look, never late.

    The factor makes up for the rounding of float32.
    """
    steps = min(max(gap * np.float32(1 - 1e-6) + np.float32(0.999), np.float32(1)), np.float32(LONG))
    return min((tick >> TICK_BITS) + np.int64(steps), LONG)


@kernel
def _fire_pixel(i, tick, now, stages, hubs, routes, looks, arrays):
    at, s, cell = looks[LOOK * i], looks[LOOK * i + 1], looks[LOOK * i + 2]
    stage, k = stages[s], stages[s]["first_constant"]
    top = _put(at, k, stage["channels"], 0, cell, s, 1 if stage["reset"] == ZERO else 0, 0, arrays)
    gap = smallest_gap(arrays[V], at, arrays[MOVED], arrays[PER_BIAS], k, stage["lanes"])
    arrays[DUE][i] = _next_look(gap, tick)
    if top > 0:
        _reverse(0, top, arrays[WAITING])
        _work_off(top, now, stages, hubs, routes, arrays)


@kernel(forceinline=True)
def move_thresholds(ticks, stage, threshold, bias, moved, low):
    """moved = threshold - B, and low = what stays below it for AHEAD timesteps; a pixel's channels serve for all."""
    first = stage["first_constant"]
    for i in range(first, first + stage["lanes"]):
        moved[i] = threshold[i] - ((np.int64(bias[i]) * ticks) >> TICK_BITS)
        low[i] = moved[i] - AHEAD * max(bias[i], bias[i] * 0)


@kernel
def start_hidden(tick, stages, hubs, v, v_init, threshold, bias, moved, low):
    """Every neuron at v_init. `tick`: a multiple of TICKS."""
    for s in range(1, stages.shape[0]):
        stage, size = stages[s], stages[s]["size"]
        if stage["kind"] == READOUT:
            continue
        for cell in range(stage["height"] * stage["width"]):
            for j in range(size):
                v[stage["first_neuron"] + cell * size + j] = v_init[stage["first_constant"] + j]
        hubs[s]["origin"], hubs[s]["left"] = tick, hubs[s]["room"]
        move_thresholds(0, stage, threshold, bias, moved, low)


@kernel
def rebase(s, now, stage, hubs, arrays):
    """Add the bias of past timesteps to the stored potentials, clamp potentials to +-limit / 2, and count from anew.

    Of a stage that is read out: move what it has gathered into the evidence.
    """
    v, bias, due = arrays[V], arrays[BIAS], arrays[DUE]
    hubs[s]["left"] = hubs[s]["room"]
    if stage["kind"] == READOUT:
        flush(now, stage, arrays)
        return
    tick, half, clamped = max(now["tick"], 0), now["limit"] // 2, 0
    past, begun = tick - hubs[s]["origin"], tick & (TICKS - 1)
    for cell in range(stage["height"] * stage["width"]):
        for j in range(stage["size"]):
            n, b = stage["first_neuron"] + cell * stage["size"] + j, np.int64(bias[stage["first_constant"] + j])
            potential = np.int64(v[n]) + ((b * past) >> TICK_BITS)
            bounded = min(max(potential, -half), half)
            clamped += bounded != potential
            v[n] = bounded - ((b * begun) >> TICK_BITS)
    hubs[s]["origin"] = tick - begun
    move_thresholds(begun, stage, arrays[THRESHOLD], bias, arrays[MOVED], arrays[LOW])
    now["clamped"] += clamped
    if clamped > 0:  # what was clamped may reach its threshold earlier than foreseen
        for i in range(hubs[s]["first_turn"], hubs[s]["first_turn"] + hubs[s]["turns"]):
            due[i] = 0


# --- readout ----------------------------------------------------------------------------------------------------------


@kernel(forceinline=True)
def _outputs(stages):
    last = stages[stages.shape[0] - 1]
    return last["channels"] * last["height"] * last["width"]


@kernel(forceinline=True)
def _slot(now):
    """Where in the ring the evidence of this timestep is gathered."""
    return (max(now["tick"], 0) >> TICK_BITS) % now["slots"]


@kernel
def flush(now, stage, arrays):
    """What has arrived at the stage that is read out becomes evidence."""
    v, evidence, ring = arrays[V], arrays[EVIDENCE], arrays[RING]
    pixels, outputs = stage["height"] * stage["width"], stage["channels"] * stage["height"] * stage["width"]
    for q in range(pixels):
        for c in range(stage["channels"]):
            n = stage["first_neuron"] + q * stage["lanes"] + c
            evidence[c * pixels + q] += np.int64(v[n])
            if now["slots"] > 0:
                ring[_slot(now) * outputs + c * pixels + q] += np.int64(v[n])
            v[n] = 0


@kernel
def _turn_ring(now, stages, hubs, routes, arrays):
    """A timestep begins: the oldest one leaves the window."""
    evidence, ring, last = arrays[EVIDENCE], arrays[RING], stages.shape[0] - 1
    if stages[last]["kind"] == READOUT:
        now["tick"] -= TICKS  # what has arrived came in the timestep before
        flush(now, stages[last], arrays)
        now["tick"] += TICKS
    first = _slot(now) * _outputs(stages)
    for i in range(_outputs(stages)):
        evidence[i] -= ring[first + i]
        ring[first + i] = 0


@kernel
def total(i, now, stage, v, bias, evidence):
    """All evidence for output i in whole numbers: what was gathered, what has just arrived, and its bias."""
    if stage["kind"] != READOUT:
        return evidence[i]
    pixels, tick = stage["height"] * stage["width"], max(now["tick"], 0)
    c, q = i // pixels, i % pixels
    before = max((tick >> TICK_BITS) - now["slots"] + 1, 0) if now["slots"] > 0 else 0
    flowed = ((np.int64(bias[stage["first_constant"] + c]) * tick) >> TICK_BITS) - np.int64(
        bias[stage["first_constant"] + c]
    ) * before
    return evidence[i] + np.int64(v[stage["first_neuron"] + q * stage["lanes"] + c]) + flowed


@kernel
def winner(now, stages, v, bias, evidence, synops, unit):
    """The output with the highest evidence, the first of equals; -1 before anything arrived, or if all are equal."""
    stage, best, highest, lowest = stages[stages.shape[0] - 1], 0, -np.inf, np.inf
    seen = np.int64(0)
    for e in range(synops.shape[0]):
        seen += synops[e]
    if seen == 0:
        return -1
    for i in range(evidence.shape[0]):
        score = total(i, now, stage, v, bias, evidence) * unit[i]
        lowest = min(lowest, score)
        if score > highest:
            best, highest = i, score
    return best if highest > lowest else -1


# --- the innermost loops ----------------------------------------------------------------------------------------------

if simd.ON and not config.BOUNDSCHECK:

    @kernel(forceinline=True)
    def add_and_compare(v, q, weights, row, threshold, k, lanes):
        """v[q : q + lanes] += weights[row : row + lanes]. Whether any is then >= threshold[k : k + lanes]."""
        reached = np.int64(0)
        for c in range(0, lanes, 16):
            after = simd.plus_row(simd.load(v, q + c, 16), weights, row + c)
            simd.put(v, q + c, after)
            reached |= simd.mask_at_least(after, simd.load(threshold, k + c, 16))
        return reached != 0

    @kernel(forceinline=True)
    def any_at_least(v, q, threshold, k, lanes):
        """Whether any v[q : q + lanes] >= threshold[k : k + lanes]."""
        reached = np.int64(0)
        for c in range(0, lanes, 16):
            reached |= simd.mask_at_least(simd.load(v, q + c, 16), simd.load(threshold, k + c, 16))
        return reached != 0

    @kernel(forceinline=True)
    def reached_bits(v, q, threshold, k, n):
        """Bit c is set where v[q + c] >= threshold[k + c], for c < n <= 16."""
        return simd.mask_at_least(simd.load(v, q, 16), simd.load(threshold, k, 16)) & ((1 << n) - 1)

    @kernel(forceinline=True)
    def due_bits(due, first, n, step):
        """Bit i is set where due[first + i] <= step, for i < n <= 16."""
        return ~simd.mask_at_least(
            simd.load(due, first, 16), simd.filled(simd.load(due, first, 16), np.int32(step + 1))
        ) & ((1 << n) - 1)

    lowest_bit = simd.trailing_zeros

else:

    @kernel(forceinline=True)
    def add_and_compare(v, q, weights, row, threshold, k, lanes):
        """v[q : q + lanes] += weights[row : row + lanes]. Whether any is then >= threshold[k : k + lanes]."""
        reached = False
        for c in range(lanes):
            v[q + c] += weights[row + c]
            reached |= v[q + c] >= threshold[k + c]
        return reached

    @kernel
    def any_at_least(v, q, threshold, k, lanes):
        """Whether any v[q : q + lanes] >= threshold[k : k + lanes]."""
        reached = False
        for c in range(lanes):
            reached |= v[q + c] >= threshold[k + c]
        return reached

    @kernel
    def reached_bits(v, q, threshold, k, n):
        """Bit c is set where v[q + c] >= threshold[k + c], for c < n <= 16."""
        bits = 0
        for c in range(n):
            if v[q + c] >= threshold[k + c]:
                bits |= 1 << c
        return bits

    @kernel
    def due_bits(due, first, n, step):
        """Bit i is set where due[first + i] <= step, for i < n <= 16."""
        bits = 0
        for i in range(n):
            if due[first + i] <= step:
                bits |= 1 << i
        return bits

    @kernel
    def lowest_bit(bits):
        """Index of the lowest bit that is set, for bits != 0."""
        c = 0
        while bits & (1 << c) == 0:
            c += 1
        return c
