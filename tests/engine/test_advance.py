"""What is packed for a step is unpacked in the same order."""

import inspect
import re
from dataclasses import fields

from dvs_run.pipeline.engine import advance
from dvs_run.pipeline.engine.memory import Memory


def test_the_packed_arrays_are_taken_out_in_the_order_of_the_memory():
    source = inspect.getsource(advance.advance_packed)
    taken = re.findall(r"array_at\(packed, (\d+), [\w.]+\),  # (\w+)", source)
    assert taken == [(str(i), entry.name) for i, entry in enumerate(fields(Memory))]


def test_advance_names_its_arrays_in_the_order_of_the_memory():
    names = list(inspect.signature(getattr(advance.advance, "py_func", advance.advance)).parameters)
    assert names[5:] == [entry.name for entry in fields(Memory)]
