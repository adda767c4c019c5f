"""Potentials of the asynchronous engine as a whole: their start, the moving of thresholds by biases, and rebasing."""

import numpy as np

from ..kernel_cache import kernel
from .depth_layout import AHEAD, BIAS, DUE, LOW, MOVED, THRESHOLD, V
from .depth_readout import flush
from .layout import READOUT
from .routes import TICK_BITS, TICKS


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
