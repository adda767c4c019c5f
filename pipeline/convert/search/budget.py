"""What a decision may cost: a number of timesteps, a time, or a number of synaptic operations. `parse_budget` reads it.

A time means two things. For recordings it is sensor time, how long the network looks before it decides: 20 ms are 4
slices of 5 ms. For images, which have no clock, it is how long the engine computes on this machine.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ...errors import ConversionError

Unit = Literal["timesteps", "us", "synops"]
EXAMPLES = "32 (timesteps), 20ms, 500us, 1.5s, or 2M synops"
_UNITS: dict[str, tuple[Unit, float]] = {
    "": ("timesteps", 1),
    "timestep": ("timesteps", 1),
    "timesteps": ("timesteps", 1),
    "us": ("us", 1),
    "µs": ("us", 1),
    "ms": ("us", 1000),
    "s": ("us", 1_000_000),
    "synop": ("synops", 1),
    "synops": ("synops", 1),
}
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_FORM = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([kMG]?)\s*((?i:timesteps?|us|µs|ms|s|synops?|))")


@dataclass(frozen=True)
class Budget:
    """At most so much until the decision."""

    amount: float  # timesteps (whole), µs, or operations: SynOps and those of a constant current into the first layer
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 < self.amount < float("inf"):
            raise ConversionError(f"the budget is {self.amount:g} {self.unit}, want above 0, such as {EXAMPLES}")
        if self.unit == "timesteps" and self.amount != int(self.amount):
            raise ConversionError(f"the budget is {self.amount:g} timesteps, want a whole number, or {EXAMPLES}")

    def __str__(self) -> str:
        return said(self.amount, self.unit)


def parse_budget(text: str) -> Budget:
    """ "32", "20ms", "500 us", "1.5 s", "2M synops". Raises ConversionError for anything else."""
    found = _FORM.fullmatch(text.strip().replace("\N{GREEK SMALL LETTER MU}", "µ"))
    if found is None:
        raise ConversionError(f"the budget {text!r} is not understood; want {EXAMPLES}")
    number, thousands, word = found[1], found[2], found[3].lower()
    unit, factor = _UNITS[word]
    if thousands and unit != "synops":
        raise ConversionError(f"the budget {text!r} does not say {number}{thousands} of what; want {EXAMPLES}")
    return Budget(float(number) * factor * _THOUSANDS[thousands.lower()], unit)


def said(amount: float, unit: Unit) -> str:
    """A cost as a person says it: 12 timesteps, 18.4 ms, 1.93 M SynOps."""
    if unit == "timesteps":
        return f"{amount:.0f} timestep{'' if amount == 1 else 's'}"
    if unit == "us":
        return f"{amount / 1000:.3g} ms" if amount < 1_000_000 else f"{amount / 1e6:.3g} s"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.3g} {letter} SynOps"
    return f"{amount:.0f} SynOps"
