"""All of one step in one call from Python: input, network, evidence, scores."""

import numpy as np

from ..kernel_cache import kernel
from .ends import draw, load_input, read_potentials, read_spikes, score, slide
from .kernels import run_step
from .plan import READOUT

SETTINGS_DTYPE = np.dtype(
    [
        ("max_count", "i8"),  # the most events of one cell
        ("input_size", "i8"),  # cells of the input
        ("cell_height", "i8"),  # of the input, in pixels
        ("limit", "i8"),  # of stored potentials
        ("window_us", "i8"),  # of the evidence; 0: everything since the reset
        ("drawing", "i8"),  # 0: scores are the evidence; 1, 2: counts of a spiking softmax, see ends.draw
        ("rate", "f8"),  # of a Poisson readout
    ]
)


@kernel
def advance(
    cells, counts, n, step, t_stop_us, has_drive, settings, unit, uniform,
    stages, edges, axes, reach, weights, bias, threshold, floor, decay, per_bias, channel_of,
    v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, synops, total, rows, times, found, tally, drive,
    pools, estimate, emitted,
    gain, evidence, ring, ring_stop_us, cursor, drawn, scores,
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
        channel_of, v, moved, dirty, due, updated, clocks, n_groups, groups, spikes, synops, total, rows, times, found,
        tally, drive, pools, estimate, emitted,
    )  # fmt: skip
    added = -before
    for e in range(synops.shape[0]):
        added += synops[e]
    last = stages.shape[0] - 1
    if stages[last]["kind"] == READOUT:
        read_potentials(stages[last], v, bias, gain)
    else:
        read_spikes(stages[last], last, groups, spikes, n_groups, gain)
    slide(evidence, gain, ring, ring_stop_us, cursor, t_stop_us, chosen["window_us"])
    if chosen["drawing"] != 0:
        draw(chosen["drawing"], chosen["rate"], uniform, evidence, unit, drawn)
    return score(chosen["drawing"], evidence, unit, drawn, scores), added, clamped
