"""What the arrays of a plan mean: records of stages and edges, groups of spikes, and the kernels' bundle of pointers.

plan.py fills them, kernels.py and its fellows read them.
"""

from collections import namedtuple

import numpy as np

LANES = 16  # neurons of a pixel are padded to a multiple of this
VECTOR_BYTES = 64  # arrays begin at a multiple of this
NEVER = 1 << 62  # a step that does not come
ROWS_EXACT = 256  # rows of int8 whose sum fits int16

INPUT, PLAIN, KEPT, READOUT, POOL = range(5)  # kinds of stages
SUBTRACT, ZERO, NONE = range(3)  # what a spike does to the potential
RESETS = {"subtract": SUBTRACT, "zero": ZERO, "none": NONE}

STAGE_DTYPE = np.dtype(
    [
        ("kind", "i8"),  # INPUT; PLAIN: IF neurons; KEPT: with leak or floor; READOUT: no neurons; POOL: a max pool
        ("height", "i8"),  # of the grid of cells
        ("width", "i8"),
        ("pixels", "i8"),  # of a cell
        ("cell_width", "i8"),  # pixels beside each other in a cell
        ("channels", "i8"),
        ("lanes", "i8"),  # channels, padded
        ("size", "i8"),  # pixels * lanes: neurons of a cell, padded
        ("first_neuron", "i8"),  # where its neurons begin in v
        ("first_cell", "i8"),  # where its cells begin in dirty, due, updated
        ("first_group", "i8"),  # where its groups of spikes begin
        ("first_spike", "i8"),  # where its spikes begin
        ("first_constant", "i8"),  # where its cell begins in bias, threshold, ...
        ("first_edge", "i8"),
        ("last_edge", "i8"),  # one past
        ("biased", "i8"),  # 1: a bias is not 0
        ("foresees", "i8"),  # 1: a bias may carry a neuron over its threshold without input
        ("reset", "i8"),
        ("max_spikes", "i8"),
        ("is_signed", "i8"),
        ("simple", "i8"),  # 1: at most one spike, not signed, reset by subtraction or to zero
        ("longest", "i8"),  # steps after which biases have to be added to the stored potentials
    ]
)
EDGE_DTYPE = np.dtype(
    [
        ("source", "i8"),
        ("target", "i8"),
        ("first_weight", "i8"),  # where its weights begin
        ("channel_step", "i8"),  # from the weights of one source channel to those of the next
        ("patch", "i8"),  # weights of all taps of a source channel if they lie together, else 0
        ("in_per_group", "i8"),
        ("out_per_group", "i8"),
        ("lanes", "i8"),  # out_per_group, padded
        ("first_out", "i8"),  # first channel of the target that it feeds
        ("groups", "i8"),
        ("rows", "i8"),  # axes[rows + y]: what cell row y of the source reaches
        ("columns", "i8"),
    ]
)
# What a cell row or column of a source reaches, AXIS whole numbers each: where its part of `reach` begins and ends,
# where the cells that it touches begin, and how many they are.
AXIS, LAST, FIRST_MARK, MARKS = 4, 1, 2, 3
# A group of spikes is GROUP whole numbers: its cell, where its spikes begin, how many they are, and the sum of their
# counts, 0 if all are 1. A spike is two: the neuron in its cell, and its count.
GROUP, Y, X, FIRST, COUNT, WEIGHT = 5, 0, 1, 2, 3, 4

# The arrays of a step as pointers: one argument for the kernels. What each holds: memory.py.
Pointers = namedtuple(
    "Pointers",
    "weights bias threshold floor decay per_bias v moved dirty due updated reach total rows times tally channel_of "
    "axes groups spikes fired",
)


def aligned(values: np.ndarray, spare: int = 64) -> np.ndarray:
    """A copy that begins at a multiple of VECTOR_BYTES, with `spare` zeros behind it that a vector may read."""
    memory = np.zeros((len(values) + spare) * values.itemsize + VECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    array = memory[start : start + (len(values) + spare) * values.itemsize].view(values.dtype)
    array[: len(values)] = values
    return array


def padded(channels: int) -> int:
    return -(-channels // LANES) * LANES
