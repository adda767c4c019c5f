"""Node `printer`: decisions for people, one line each: time, recording, label, how sure, latency."""

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

_BAR = 10  # characters


@dataclass(frozen=True)
class PrinterConfig:
    every_us: Annotated[
        int | None,
        Field(ge=0, description="a line at least so often (sensor time, µs), and when the decision changes; 0: always"),
    ] = None
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
        self._printed_us = 0
        self._printed_index: int | None = None
        return stream

    def process(self, decision: Classification) -> Iterator[Payload]:
        if self._start_us is None:
            self._start_us = decision.t_start_us
        self._last = decision
        every = self.config.every_us
        due = every is not None and decision.t_stop_us - self._printed_us >= every
        if decision.index != self._printed_index or due:
            self._printed_us, self._printed_index = decision.t_stop_us, decision.index
            seconds = (decision.t_stop_us - self._start_us) / 1e6
            name = _short(decision.recording)
            label = decision.label or "(undecided)"
            _print(f"{seconds:8.3f} s  {name:24}  {label:26}  {_bar(decision.scores)}  {self._latency()}")
        return iter(())

    def finish(self) -> Iterator[Payload]:
        stream, last = self._stream, self._last
        if self.config.ends and stream is not None:
            said = last.label or "undecided" if last is not None else "no decision"
            truths = {span.label for span in stream.labels}
            truth = ""
            if len(truths) == 1:
                only = truths.pop()
                truth = "   right" if only == said else f"   WRONG: it is {only}"
            _print(f"       end  {_short(stream.name):24}  {said}{truth}")
        return iter(())

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


def _bar(scores: np.ndarray) -> str:
    share = sureness(scores)
    full = round(share * _BAR)
    return "█" * full + "░" * (_BAR - full) + f" {share:4.2f}"


def _short(name: str) -> str:
    return name if len(name) <= 24 else "…" + name[-23:]


def _print(line: str) -> None:
    print(line, flush=True)
