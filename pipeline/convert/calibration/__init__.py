"""Inputs to calibrate and to choose on, in the shape and scale that the CNN was trained on.

inputs.py    images and arrays
files.py     the files and folders they come in
events.py    windows of labelled recordings
"""

from .events import EventWindows, read_recordings
from .inputs import Inputs, Scaling, make_inputs, parse_number, parse_numbers, read_inputs, split

__all__ = [
    "EventWindows",
    "Inputs",
    "Scaling",
    "make_inputs",
    "parse_number",
    "parse_numbers",
    "read_inputs",
    "read_recordings",
    "split",
]
