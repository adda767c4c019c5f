"""Stages whose neurons leak or have a floor (KEPT): what happened to a cell in the steps that did not touch it."""

import numpy as np

from ..kernel_cache import kernel
from .layout import Pointers


@kernel
def bring_up(step, stage, pointers):
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
    """v <- max(trunc(v * decay) + bias, floor) n times, for the neurons of a cell.

    Without a leak that is v + n * bias, once v is at or above the floor; with one it soon changes nothing any more.
    """
    bias, floor, decay, v = pointers.bias, pointers.floor, pointers.decay, pointers.v
    constant = stage["first_constant"]
    for j in range(stage["size"]):
        i, left = constant + j, n
        while left > 0:
            before = np.int64(v[at + j])
            if decay[i] == 1 and before >= floor[i]:
                v[at + j] = max(before + left * np.int64(bias[i]), np.int64(floor[i]))
                break
            after = max(np.int64(v[at + j] * decay[i]) + np.int64(bias[i]), np.int64(floor[i]))
            v[at + j] = after
            if after == before:
                break
            left -= 1


@kernel
def bring_all_up(step, stage, v, bias, floor, decay, updated):
    """Make up for the silent steps of all cells of a KEPT stage, `step` included."""
    pointers = Pointers(v, bias, v, floor, decay, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v)  # what is needed
    for cell in range(stage["height"] * stage["width"]):
        at = stage["first_cell"] + cell
        if updated[at] < step:  # else it starts later
            silent_steps(step - updated[at], stage, stage["first_neuron"] + cell * stage["size"], pointers)
            updated[at] = step


@kernel
def one_leak(stage, at, pointers):
    """v <- trunc(v * decay) + bias: what happens in a step before anything arrives."""
    bias, decay, v, constant = pointers.bias, pointers.decay, pointers.v, stage["first_constant"]
    for j in range(stage["size"]):
        v[at + j] = np.int64(v[at + j] * decay[constant + j]) + np.int64(bias[constant + j])
