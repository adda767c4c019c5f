"""Nodes `outside_source` and `outside_sink`: the places of programs that are not dvs-run, in any language.

Such a program speaks what docs/wire.md says, at the addresses that the config gives these edges; docs/wire_client.py is
one. Here they only say what may flow on their edges; they do not run.
"""

from ..pipeline.errors import DvsError
from ..pipeline.events import EventPacket
from ..pipeline.stream import BinnedSlice, Classification, CurrentSlice, Image
from .node import Node, Source

_DATA = (EventPacket, Image, BinnedSlice, CurrentSlice, Classification)


class OutsideError(DvsError):
    """A node that another program is was to run here."""


def _refuse() -> None:
    raise OutsideError("this node is a program of its own; start the others with --node NAME,NAME (docs/wire.md)")


class OutsideSource(Source):
    """Whatever the program sends."""

    emits = _DATA

    def open(self) -> None:
        _refuse()


class OutsideSink(Node):
    """Whatever the program takes."""

    accepts = _DATA

    def open(self) -> None:
        _refuse()
