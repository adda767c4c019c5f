"""All of one step in one call from Python: input, network, evidence, scores."""

import numpy as np
from numba import config

from ..kernel_cache import kernel
from .addresses import array_at
from .ends import draw, load_input, read_potentials, read_spikes, score, slide
from .kernels import run_step
from .layout import EDGE_DTYPE, READOUT, STAGE_DTYPE
from .pools import POOL_DTYPE

SETTINGS_DTYPE = np.dtype(
    [
        ("max_count", "i8"),  # the most events of one cell
        ("input_size", "i8"),  # cells of the input
        ("cell_height", "i8"),  # of the input, in pixels
        ("limit", "i8"),  # of stored potentials
        ("start_step", "i8"),  # of the evidence: what the steps up to this one bring does not count
        ("window_us", "i8"),  # of the evidence; 0: everything since the reset
        ("drawing", "i8"),  # 0: scores are the evidence; 1, 2: counts of a spiking softmax, see ends.draw
        ("rate", "f8"),  # of a Poisson readout
    ]
)


@kernel
def advance(
    n, step, t_stop_us, has_drive, scores,
    settings, unit, uniform, stages, edges, axes, reach, weights, bias, threshold, floor, decay, per_bias, channel_of,
    v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, fired, synops, total, rows, times, tally, drive,
    pools, leads, pooled, marked,
    gain, evidence, ring, ring_stop_us, cursor, drawn, cells, counts,
):  # fmt: skip
    """One timestep. Returns (index of the highest score or -1, SynOps added, potentials clamped), or
    (-2 - i, 0, 0), having done nothing, because cell i of the slice is invalid."""
    chosen = settings[0]
    bad = load_input(
        cells, counts, n, chosen["max_count"], chosen["input_size"], stages[0], chosen["cell_height"],
        groups, spikes, n_groups,
    )  # fmt: skip
    if bad >= 0:
        return -2 - bad, 0, 0
    before = 0
    for e in range(synops.shape[0]):
        before += synops[e]
    clamped = run_step(
        step, chosen["limit"], has_drive, stages, edges, axes, reach, weights, bias, threshold, floor, decay, per_bias,
        channel_of, v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, fired, synops, total, rows, times,
        tally, drive, pools, leads, pooled, marked,
    )  # fmt: skip
    added = -before
    for e in range(synops.shape[0]):
        added += synops[e]
    last = stages.shape[0] - 1
    if stages[last]["kind"] == READOUT:
        read_potentials(stages[last], v, bias, gain)
    else:
        read_spikes(stages[last], last, groups, spikes, n_groups, gain)
    if step <= chosen["start_step"]:
        gain[:] = 0
    slide(evidence, gain, drawn, ring, ring_stop_us, cursor, t_stop_us, chosen["window_us"])
    if chosen["drawing"] != 0:
        draw(chosen["drawing"], chosen["rate"], uniform, evidence, unit, drawn, ring, ring_stop_us, cursor)
    return score(chosen["drawing"], evidence, unit, drawn, scores), added, clamped


def pack(arrays):
    """Where arrays lie and how long they are, as int64: one argument instead of forty, which cost 10 us a call.

    They must stay alive, contiguous and where they are as long as this is used.
    """
    packed = []
    for array in arrays:
        packed += [array.ctypes.data, len(array)]
    return np.array(packed, np.int64)


@kernel
def advance_packed(n, step, t_stop_us, has_drive, scores, packed, weights, total, v):
    """`advance` with its arrays packed; weights, total and v also tell the number format."""
    return advance(
        n, step, t_stop_us, has_drive, scores,
        array_at(packed, 0, SETTINGS_DTYPE),  # settings
        array_at(packed, 1, np.float64),  # unit
        array_at(packed, 2, np.float64),  # uniform
        array_at(packed, 3, STAGE_DTYPE),  # stages
        array_at(packed, 4, EDGE_DTYPE),  # edges
        array_at(packed, 5, np.int64),  # axes
        array_at(packed, 6, np.int64),  # reach
        array_at(packed, 7, weights.dtype),  # weights
        array_at(packed, 8, v.dtype),  # bias
        array_at(packed, 9, v.dtype),  # threshold
        array_at(packed, 10, v.dtype),  # floor
        array_at(packed, 11, np.float64),  # decay
        array_at(packed, 12, np.float32),  # per_bias
        array_at(packed, 13, np.int64),  # channel_of
        array_at(packed, 14, v.dtype),  # v
        array_at(packed, 15, v.dtype),  # moved
        array_at(packed, 16, np.uint8),  # dirty
        array_at(packed, 17, np.int64),  # due
        array_at(packed, 18, np.int64),  # updated
        array_at(packed, 19, np.int64),  # clocks
        array_at(packed, 20, np.int64),  # n_groups
        array_at(packed, 21, np.int32),  # groups
        array_at(packed, 22, np.int32),  # spikes
        array_at(packed, 23, np.int32),  # fired
        array_at(packed, 24, np.int64),  # synops
        array_at(packed, 25, total.dtype),  # total
        array_at(packed, 26, np.int64),  # rows
        array_at(packed, 27, total.dtype),  # times
        array_at(packed, 28, v.dtype),  # tally
        array_at(packed, 29, v.dtype),  # drive
        array_at(packed, 30, POOL_DTYPE),  # pools
        array_at(packed, 31, np.float64),  # leads
        array_at(packed, 32, np.int64),  # pooled
        array_at(packed, 33, np.uint8),  # marked
        array_at(packed, 34, np.int64),  # gain
        array_at(packed, 35, np.int64),  # evidence
        array_at(packed, 36, np.int64),  # ring
        array_at(packed, 37, np.int64),  # ring_stop_us
        array_at(packed, 38, np.int64),  # cursor
        array_at(packed, 39, np.int64),  # drawn
        array_at(packed, 40, np.int32),  # cells
        array_at(packed, 41, np.int32),  # counts
    )  # fmt: skip


PACKED = not (config.DISABLE_JIT or config.BOUNDSCHECK)  # else arrays are handed over as such, with their bounds
