"""Node `printer`: decisions for people, one line each: time, recording, label, how sure, latency.

A line fits the terminal, as wide as that is when it is printed: names are shortened first, then the bar goes.
"""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ..pipeline.stream import Classification, StreamInfo
from .measure import milliseconds
from .messages import Payload
from .node import Node
from .stage import clock_id

_BAR, _NAME, _LEAST = 10, 27, 12  # characters of the bar, of a name and a label, of these in a narrow terminal
_OTHERS = 41  # of a line besides those two: time, bar, how sure, latency and what is between


@dataclass(frozen=True)
class PrinterConfig:
    every_us: Annotated[
        int | None, Field(ge=0, description="a line at least so often in sensor time, µs; 0: for every decision")
    ] = None
    changes: Annotated[bool, Field(description="a line when the decision changes")] = True
    steady_us: Annotated[
        int, Field(ge=0, description="a change counts once it has lasted so long, µs; hides the flicker of a beginning")
    ] = 0
    ends: Annotated[bool, Field(description="a line at the end of each recording, with its label where known")] = True


class Printer(Node):
    """Decisions in, lines out. Without `every_us` a line comes only when the decision changes."""

    Config, accepts = PrinterConfig, Classification

    def open(self) -> None:
        self._stream: StreamInfo | None = None
        self._last: Classification | None = None

    def begin(self, stream: StreamInfo) -> StreamInfo:
        self._stream, self._last = stream, None
        self._start_us: int | None = None
        self._printed_us = self._changed_us = 0
        self._printed_index: int | None = None
        return stream

    def process(self, decision: Classification) -> Iterator[Payload]:
        if self._start_us is None:
            self._start_us = self._printed_us = decision.t_start_us
        if self._last is None or decision.index != self._last.index:
            self._changed_us = decision.t_start_us
        self._last = decision
        every, steady = self.config.every_us, decision.t_stop_us - self._changed_us >= self.config.steady_us
        changed = self.config.changes and decision.index != self._printed_index and steady
        if changed or (every is not None and decision.t_stop_us - self._printed_us >= every):
            self._printed_us, self._printed_index = decision.t_stop_us, decision.index
            self._line(f"{(decision.t_stop_us - self._start_us) / 1e6:8.3f} s", decision, self._latency())
        return iter(())

    def finish(self) -> Iterator[Payload]:
        if self.config.ends and self._stream is not None:
            if self._last is None:
                print(line(f"{'end':>10}", self._stream.name, "no decision", None, "", _columns()), flush=True)
            else:
                self._line(f"{'end':>10}", self._last, self._verdict(self._last.label))
        return iter(())

    def _line(self, when: str, decision: Classification, note: str) -> None:
        label = decision.label or "(undecided)"
        share = sureness(decision.scores)
        print(line(when, decision.recording, label, share, note, _columns()), flush=True)

    def _verdict(self, said: str) -> str:
        """Right or wrong, where one label holds for the whole recording."""
        truths = {span.label for span in self._stream.labels} if self._stream is not None else set()
        if len(truths) != 1:
            return ""
        return "right" if truths == {said} else f"WRONG: {truths.pop()}"

    def _latency(self) -> str:
        """From the completion of the slice at its source until this line, where one clock timed both."""
        message = self.message
        if message is None or message.origin_clock != clock_id():
            return ""
        return f"{milliseconds(time.monotonic_ns() - message.origin_ns):>9}"


def sureness(scores: np.ndarray) -> float:
    """The winner's lead over the second, as a share of its lead over the last: 0 (a tie) to 1."""
    if len(scores) < 2:
        return 0.0
    second, first = np.partition(scores, -2)[-2:]
    span = first - scores.min()
    return float((first - second) / span) if span > 0 else 0.0


def line(when: str, name: str, label: str, share: float | None, note: str, columns: int) -> str:
    """What is printed, at most so many columns wide; 0: as wide as it comes."""
    width = max(_LEAST, min(_NAME, (columns - _OTHERS) // 2)) if columns else _NAME
    start = f"{when}  {_short(name, width):{width}}  {_cut(label, width):{width}}"
    if share is None:
        return _cut(start.rstrip(), columns)
    full = round(share * _BAR)
    text = f"{start} {'█' * full}{'░' * (_BAR - full)} {share:4.2f}  {note}".rstrip()
    if columns and len(text) > columns:
        text = f"{start} {share:4.2f}  {note}".rstrip()
    return _cut(text, columns)


def _columns() -> int:
    """Of the terminal; 0: the output is none, or the terminal does not say."""
    return shutil.get_terminal_size((0, 0)).columns


def _cut(text: str, columns: int) -> str:
    return text if not columns or len(text) <= columns else text[: columns - 1] + "…"


def _short(name: str, width: int = _NAME) -> str:
    """Without a file's suffix, and with its end where it is long."""
    name = re.sub(r"\.[A-Za-z0-9]{2,8}$", "", name)
    return name if len(name) <= width else "…" + name[1 - width :]
