"""Every kernel again, in the slowest and most obvious way that could be right. Tests hold the fast ones against these.

One file a subject; nothing here is imported by the package.
"""

from .clocked import Clocked
from .depth_first import DepthFirst
from .float_network import fire_float, linear_float, run_float, values_float
from .formats import (
    Clock,
    decode_aedat2,
    decode_aedat31,
    decode_nmnist,
    decode_text,
    random_recorded_events,
    unpack_lz4,
)
from .layers import Gates, along, constant_part, convolve, hand_on, routes_to, spread, sum_pool, weigh
from .prophesee import decode_dat, decode_es, decode_evt2, decode_evt3, decode_evt21, triggers_of_evt2, triggers_of_evt3
from .rows import fire_cell, sum_rows
from .simulation import Pixel, draw_capsule, draw_capsules, film, log_intensity, slide, undo_png_filters
from .slicing import bin_events, slice_by_time
from .training import mean_count_frame, move_events, random_training_events

__all__ = [
    "Clock",
    "Clocked",
    "DepthFirst",
    "Gates",
    "Pixel",
    "along",
    "bin_events",
    "constant_part",
    "convolve",
    "decode_aedat2",
    "decode_aedat31",
    "decode_dat",
    "decode_es",
    "decode_evt2",
    "decode_evt21",
    "decode_evt3",
    "decode_nmnist",
    "decode_text",
    "draw_capsule",
    "draw_capsules",
    "film",
    "fire_cell",
    "fire_float",
    "hand_on",
    "linear_float",
    "log_intensity",
    "mean_count_frame",
    "move_events",
    "random_recorded_events",
    "random_training_events",
    "routes_to",
    "run_float",
    "slice_by_time",
    "slide",
    "spread",
    "sum_pool",
    "sum_rows",
    "triggers_of_evt2",
    "triggers_of_evt3",
    "undo_png_filters",
    "values_float",
    "weigh",
    "unpack_lz4",
]
