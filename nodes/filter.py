"""Node `filter`: a chain of filters on the events that pass, each with its counts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ..pipeline.events import EventPacket
from ..pipeline.stream import StreamInfo
from .node import Node, Row


@dataclass(frozen=True)
class FilterConfig:
    filters: Annotated[
        list[Any],
        Field(min_length=1, max_length=100, description="in order; each with its kind and settings (docs/filters.md)"),
    ]

    def __post_init__(self) -> None:
        _make(self.filters)  # every fault of every filter is told at once


class Filter(Node):
    """Event packets in, the same packets with what the filters left of them out."""

    Config, accepts, emits = FilterConfig, EventPacket, EventPacket
    paths: ClassVar[tuple[str, ...]] = ("filters.path",)

    def check(self) -> list[str]:
        return [f"filters: {text}" for one in _make(self.config.filters) for text in one.check()]

    def open(self) -> None:
        from ..pipeline.filters import FilterChain

        self._chain = FilterChain(_make(self.config.filters))
        self._chain.warm_up()

    def begin(self, stream: StreamInfo) -> StreamInfo:
        return replace(stream, sensor=self._chain.begin(stream.sensor))

    def process(self, packet: EventPacket) -> Iterator[EventPacket]:
        yield self._chain.push(packet)

    def report(self) -> list[Row]:
        rows = []
        for count, one in zip(self._chain.counts, self._chain.filters, strict=True):
            share = f" ({count.kept / count.taken:.1%})" if count.taken else ""
            why = "".join(f", {n:,} {reason}" for reason, n in count.dropped.items() if n)
            rows.append((count.name, f"{count.kept:,} of {count.taken:,} events kept{share}{why}"))
            rows += [(count.name, fact) for fact in one.facts()]
        return rows


def _make(entries: list[Any]) -> list[Any]:
    from ..pipeline.filters import make_filters  # Numba: not for those who run no filter

    return make_filters(entries)
