"""The node kinds that a config may ask for: a name, and where its class is. Loaded only when asked for.

Third parties add rows by entry points of the group `dvs_run.nodes` (name = "package.module:Class").
"""

import importlib
from importlib.metadata import entry_points

from ..pipeline.errors import DvsError
from .node import Node

GROUP = "dvs_run.nodes"
KINDS = {
    "recording": ".recording:Recording",
    "images": ".images:Images",
    "film": ".film:Film",
    "webcam": ".webcam:Webcam",
    "pictures": ".pictures:Pictures",
    "udp_in": ".udp_in:UdpIn",
    "samna": ".samna:Samna",
    "dv_network": ".dv_network:DvNetwork",
    "inivation": ".inivation:Inivation",
    "prophesee": ".prophesee:Prophesee",
    "outside_source": ".outside:OutsideSource",
    "filter": ".filter:Filter",
    "binner": ".binner:Binner",
    "encoder": ".encoder:Encoder",
    "classifier": ".classifier:Classifier",
    "decider": ".decider:Decider",
    "recorder": ".recorder:Recorder",
    "printer": ".printer:Printer",
    "file": ".file:File",
    "score": ".score:Score",
    "udp_out": ".udp_out:UdpOut",
    "outside_sink": ".outside:OutsideSink",
}


class KindError(DvsError):
    """A node kind is unknown, or cannot be loaded; the message says what to install."""


def known_kinds() -> list[str]:
    """Our own and those of installed packages."""
    return sorted(KINDS | {entry.name: entry.value for entry in entry_points(group=GROUP)})


def load_kind(kind: object) -> type[Node]:
    """The class of one kind. Raises KindError; an error inside a module is told as what it is, not as "unknown"."""
    where = None
    if isinstance(kind, str):
        where = KINDS.get(kind) or next((entry.value for entry in entry_points(group=GROUP, name=kind)), None)
    if where is None:
        raise KindError(f"there is no node kind {kind!r}; known are {', '.join(known_kinds())}")
    module, _, name = where.partition(":")
    try:
        found = getattr(importlib.import_module(module, __package__), name)
    except (ImportError, AttributeError) as error:
        raise KindError(f"node kind {kind!r} ({where}) cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Node)):
        raise KindError(f"node kind {kind!r} ({where}) is not a Node")
    return found
