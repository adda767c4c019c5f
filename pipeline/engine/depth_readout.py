"""The decision of the asynchronous engine: evidence of all that arrived, or of the last timesteps, and the winner."""

import numpy as np

from ..kernel_cache import kernel
from .depth_layout import EVIDENCE, RING, V
from .layout import READOUT
from .routes import TICK_BITS, TICKS


@kernel(forceinline=True)
def outputs_of(stages):
    last = stages[stages.shape[0] - 1]
    return last["channels"] * last["height"] * last["width"]


@kernel(forceinline=True)
def slot(now):
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
                ring[slot(now) * outputs + c * pixels + q] += np.int64(v[n])
            v[n] = 0


@kernel
def turn_ring(now, stages, hubs, routes, arrays):
    """A timestep begins: the oldest one leaves the window."""
    evidence, ring, last = arrays[EVIDENCE], arrays[RING], stages.shape[0] - 1
    if stages[last]["kind"] == READOUT:
        now["tick"] -= TICKS  # what has arrived came in the timestep before
        flush(now, stages[last], arrays)
        now["tick"] += TICKS
    first = slot(now) * outputs_of(stages)
    for i in range(outputs_of(stages)):
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
