"""Events of the asynchronous engine, one after the other, and between them the passing of time, which biases need."""

import numpy as np

from ..kernel_cache import kernel
from .depth_first import put, reverse, work_off
from .depth_layout import BIAS, CELL, CHANNEL, DUE, LONG, LOW, MOVED, PER_BIAS, THRESHOLD, V_INIT, WAITING, V
from .depth_readout import turn_ring, winner
from .depth_rows import due_bits, lowest_bit
from .depth_state import move_thresholds, rebase, start_hidden
from .layout import NEVER, READOUT, ZERO
from .routes import LOOK, TICK_BITS, TICKS
from .rows import pointer, smallest_gap


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
            pass_time(events[i]["t"], now, stages, hubs, routes, looks, arrays)
        pending[0] = 0
        pending[CELL] = row_of[events[i]["y"]] | column_of[events[i]["x"]]
        pending[CHANNEL] = events[i]["p"] if channels > 1 else 0
        work_off(1, now, stages, hubs, routes, arrays)
        if i < classes.shape[0]:
            classes[i] = winner(now, stages, v, bias, evidence, synops, unit)
    now["reached_us"] = reached
    return winner(now, stages, v, bias, evidence, synops, unit)


@kernel
def pass_time(t_us, now, stages, hubs, routes, looks, arrays):
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
                turn_ring(now, stages, hubs, routes, arrays)
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
    top = put(at, k, stage["channels"], 0, cell, s, 1 if stage["reset"] == ZERO else 0, 0, arrays)
    gap = smallest_gap(arrays[V], at, arrays[MOVED], arrays[PER_BIAS], k, stage["lanes"])
    arrays[DUE][i] = _next_look(gap, tick)
    if top > 0:
        reverse(0, top, arrays[WAITING])
        work_off(top, now, stages, hubs, routes, arrays)
