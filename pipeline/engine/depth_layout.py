"""What the kernels of the asynchronous engine share: how a waiting spike and the clock are laid out, and constants."""

import numpy as np

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
