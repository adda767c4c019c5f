"""The input of a network that begins with a Delay: each slice beside earlier ones, as one longer list of cells.

An earlier slice counts only if it lies exactly `delay` before the present one: slices that were dropped on the way
leave a silence and shift nothing.
"""

import numpy as np

from ..errors import NetworkError
from ..network import Delay
from ..stream import BinnedSlice

MAX_KEPT_BYTES = 256 << 20  # for the earlier slices; beyond this the slices are absurdly short


class DelayLine:
    """Keeps the slices of the longest delay. Raises NetworkError where delays are no multiples of the timestep."""

    def __init__(self, layer: Delay, input_shape: tuple[int, int, int], timestep_us: int | None) -> None:
        if timestep_us is None or any(delay % timestep_us for delay in layer.delays_us):
            raise NetworkError(
                f"layer {layer.name!r} delays by {layer.delays_us} µs, which are not multiples of the timestep "
                f"({timestep_us} µs); use slices of a length that divides them"
            )
        self._delays_us = layer.delays_us
        self._timestep_us = timestep_us
        self._size = int(np.prod(input_shape))
        slots = max(layer.delays_us) // timestep_us + 1
        if slots * self._size * 8 > MAX_KEPT_BYTES:
            raise NetworkError(
                f"layer {layer.name!r} delays by up to {max(layer.delays_us)} µs, which is {slots - 1:,} slices of "
                f"{timestep_us} µs to keep, {slots * self._size * 8 >> 20:,} MiB; want at most "
                f"{MAX_KEPT_BYTES >> 20} MiB: use longer slices"
            )
        self._kept = np.zeros((slots, 2, self._size), np.int32)  # cells and counts of the last slices
        self._length = np.zeros(slots, np.int64)
        self._start_us = np.zeros(slots, np.int64)
        self._filled = np.zeros(slots, np.bool_)
        self._newest = 0
        self._out = np.zeros((2, self._size * len(layer.delays_us)), np.int32)

    def reset(self) -> None:
        self._filled[:] = False

    def forget_newest(self) -> None:
        """As if the last slice had been empty: it was refused."""
        self._length[self._newest] = 0

    def push(self, piece: BinnedSlice) -> tuple[np.ndarray, np.ndarray]:
        """Cells and counts of this slice with the delayed ones; valid until the next push."""
        n = len(piece.cells)
        if n and (piece.cells.min() < 0 or piece.cells.max() >= self._size):
            bad = int(np.argmax((piece.cells < 0) | (piece.cells >= self._size)))
            raise NetworkError(
                f"cell {bad} of a slice has index {piece.cells[bad]}; want 0 <= index < {self._size} (the input)"
            )
        slot = self._newest = piece.t_start_us // self._timestep_us % len(self._kept)
        self._kept[slot, 0, :n], self._kept[slot, 1, :n] = piece.cells, piece.counts
        self._length[slot], self._start_us[slot], self._filled[slot] = n, piece.t_start_us, True
        total = 0
        for group, delay in enumerate(self._delays_us):
            then = piece.t_start_us - delay
            slot = then // self._timestep_us % len(self._kept)
            if self._filled[slot] and self._start_us[slot] == then:
                stop = total + int(self._length[slot])
                self._out[0, total:stop] = self._kept[slot, 0, : stop - total]
                self._out[0, total:stop] += group * self._size
                self._out[1, total:stop] = self._kept[slot, 1, : stop - total]
                total = stop
        return self._out[0, :total], self._out[1, :total]
