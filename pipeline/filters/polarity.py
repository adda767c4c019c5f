"""Filter `polarity`: keep one polarity, swap them, or make all events one."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting


@dataclass(eq=False)
class Polarity(Filter):
    """Events of one polarity, or of both, which may become the other or one."""

    keep: Annotated[Literal["both", "on", "off"], Setting("which events pass: brighter (on), darker (off), both")] = (
        "both"
    )
    become: Annotated[Literal["same", "swapped", "on", "off"], Setting("which polarity they have afterwards")] = "same"

    name: ClassVar[str] = "polarity"
    reasons: ClassVar[tuple[str, ...]] = ("other polarity",)

    def contradictions(self) -> list[str]:
        nothing = self.keep == "both" and self.become == "same"
        return ["keeps both polarities as they are; set keep to on or off, or become"] * nothing

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        off, on = {"same": (False, True), "swapped": (True, False), "on": (True, True), "off": (False, False)}[
            self.become
        ]
        return polarity(events, self.keep != "on", self.keep != "off", off, on, out)


@kernel
def polarity(events, keep_off, keep_on, off, on, out):
    """The events whose polarity is kept, with `off` in place of darker and `on` in place of brighter."""
    k = 0
    for i in range(events.shape[0]):
        p = events[i]["p"]
        out[k] = events[i]
        out[k]["p"] = on if p else off
        k += keep_on if p else keep_off
    return k
