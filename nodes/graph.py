"""The graph of a config: nodes, the edges that live with their consumers, and what can be wrong with it.

Reading the file is config.py's work; nothing here opens a node or a socket.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import Field

from .catalogue import KindError, known_kinds, load_kind
from .node import Node, Source, classes
from .settings import Problem, check_settings, show, suggest

NAME = "letters, digits, _ and -, at most 40, a letter first"
WhenFull = Literal["wait", "drop_oldest", "latest"]
Address = Annotated[
    str | None,
    Field(pattern=r"^tcp://[^\s:/]+:[0-9]{1,5}$", description="tcp://HOST:PORT", examples=["tcp://HOST:PORT"]),
]  # IPv6 hosts: by name


@dataclass(frozen=True)
class Input:
    """Settings of one input: the edge lives with its consumer."""

    queue: Annotated[int, Field(ge=1, le=100_000, description="messages that may wait at this input")] = 64
    when_full: Annotated[
        WhenFull | None,
        Field(description="what a full queue does; default wait, behind a live camera drop_oldest"),
    ] = None
    listen: Annotated[Address, Field(description="where this input listens when its producer runs elsewhere")] = None
    reach: Annotated[Address, Field(description="where the producer finds it, if not at `listen`")] = None


@dataclass(frozen=True)
class Edge:
    """One input of one node."""

    producer: str
    consumer: str
    port: str  # name of the input at the consumer
    queue: int
    when_full: WhenFull
    listen: str | None = None
    reach: str | None = None

    def __str__(self) -> str:
        return f"{self.producer} -> {self.consumer}" + (f".{self.port}" if self.port != "input" else "")


@dataclass(frozen=True)
class NodeSpec:
    """A node as the config asks for it."""

    name: str
    kind: str
    cls: type[Node]
    config: Any  # instance of cls.Config
    inputs: tuple[Edge, ...]

    def make(self) -> Node:
        return self.cls(self.config)


@dataclass(frozen=True)
class Graph:
    """Nodes by name, producers before consumers."""

    nodes: dict[str, NodeSpec]

    def outputs(self, name: str) -> list[Edge]:
        return [edge for spec in self.nodes.values() for edge in spec.inputs if edge.producer == name]

    @property
    def fingerprint(self) -> str:
        """Same for two hosts that run the same graph; settings may differ (paths do)."""
        text = ";".join(f"{n.name}:{n.kind}:{[(e.port, e.producer) for e in n.inputs]}" for n in self.nodes.values())
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def draw(self) -> str:
        """The graph as a text tree, sources at the left."""
        drawn: set[str] = set()
        roots = [spec.name for spec in self.nodes.values() if not spec.inputs]
        return "\n".join(line for root in roots for line in self._draw(root, "", "", drawn))

    def _draw(self, name: str, first: str, rest: str, drawn: set[str]) -> Iterator[str]:
        spec = self.nodes[name]
        if name in drawn:
            yield f"{first}{name} (see above)"
            return
        drawn.add(name)
        settings = ", ".join(
            f"{key} {value}" for key, value in vars(spec.config).items() if value not in (None, False, [], ())
        )
        yield f"{first}{name}  [{spec.kind}]  {settings}".rstrip()
        edges = self.outputs(name)
        for number, edge in enumerate(edges):
            last = number == len(edges) - 1
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            lines = self._draw(edge.consumer, branch, below, drawn)
            yield f"{rest}{next(lines)}   <- queue {edge.queue}, {edge.when_full}"
            yield from (f"{rest}{below}{line}" for line in lines)


def build_graph(entries: Any, problems: list[Problem]) -> Graph | None:
    """The graph of the mapping under `nodes:`; None after adding to `problems`."""
    before = len(problems)
    if not isinstance(entries, dict) or not entries:
        problems.append(Problem("nodes", f"found {show(entries)}, want at least one node (name: {{kind: ...}})"))
        return None
    specs = {}
    for name, entry in entries.items():
        where = f"nodes.{name}"
        if not _is_name(name):
            problems.append(Problem(where, f"a node is called {name!r}; want {NAME}"))
        spec = _node_spec(str(name), entry, where, entries, problems)
        if spec is not None:
            specs[spec.name] = spec
    if len(problems) == before:
        _check_edges(specs, problems)
    if len(problems) > before:
        return None
    order = TopologicalSorter({name: [edge.producer for edge in spec.inputs] for name, spec in specs.items()})
    return Graph({name: specs[name] for name in order.static_order()})


def _is_name(name: object) -> bool:
    plain = str(name).replace("_", "").replace("-", "")
    return isinstance(name, str) and 1 <= len(name) <= 40 and plain.isalnum() and name.isascii() and name[0].isalpha()


def _node_spec(name: str, entry: Any, where: str, entries: dict[Any, Any], problems: list[Problem]) -> NodeSpec | None:
    if not isinstance(entry, dict) or "kind" not in entry:
        found = f"found {show(entry)}" if not isinstance(entry, dict) else "kind is missing"
        problems.append(Problem(where, f"{found}, want kind: one of {', '.join(known_kinds())}"))
        return None
    try:
        cls = load_kind(entry["kind"])
    except KindError as error:
        hint = suggest(str(entry["kind"]), known_kinds())
        text = str(error) if "did you mean" not in hint else f"there is no node kind {entry['kind']!r}{hint}"
        problems.append(Problem(f"{where}.kind", text))
        return None
    before = len(problems)
    edge_keys = ("input", "inputs", "queue", "when_full", "listen", "reach")
    settings = {key: value for key, value in entry.items() if key not in edge_keys and key != "kind"}
    known = ("kind",) if issubclass(cls, Source) else ("kind", *edge_keys)
    stray = {key: value for key, value in entry.items() if key in edge_keys} if issubclass(cls, Source) else {}
    config = check_settings(cls.Config, settings | stray, where, problems, known)
    inputs = () if issubclass(cls, Source) else _inputs(name, entry, where, cls, entries, problems)
    return NodeSpec(name, entry["kind"], cls, config, inputs) if len(problems) == before else None


def _inputs(
    name: str, entry: dict[str, Any], where: str, cls: type[Node], entries: dict[Any, Any], problems: list[Problem]
) -> tuple[Edge, ...]:
    """The edges into one node: `input: producer`, or `inputs: {port: producer, port: {from: producer, queue: ...}}`."""
    names = [str(other) for other in entries]
    common = {key: entry[key] for key in ("queue", "when_full", "listen", "reach") if key in entry}
    if ("input" in entry) == ("inputs" in entry):
        both = "input and inputs are both given, want one" if "input" in entry else "input is missing"
        problems.append(Problem(where, f"{both}; say which node it listens to (input: NAME)"))
        return ()
    ports = entry["inputs"] if "inputs" in entry else {"input": entry["input"]}
    if not isinstance(ports, dict) or not ports:
        problems.append(Problem(f"{where}.inputs", f"found {show(ports)}, want at least one PORT: NODE"))
        return ()
    if len(ports) > 1 and not cls.many_inputs:
        problems.append(Problem(f"{where}.inputs", f"a {entry['kind']} has one input, found {len(ports)}"))
    edges = []
    for port, value in ports.items():
        here = f"{where}.inputs.{port}" if "inputs" in entry else f"{where}.input"
        options = dict(value) if isinstance(value, dict) else {"from": value}
        producer = options.pop("from", None)
        if not isinstance(producer, str) or producer not in names:
            hint = suggest(producer, names) if isinstance(producer, str) else f"; there are {', '.join(names)}"
            problems.append(Problem(here, f"found {show(producer)}, want the name of a node{hint}"))
            continue
        settings = check_settings(Input, common | options, where, problems, ("from",))
        if settings is not None:
            full: WhenFull = settings.when_full or ("drop_oldest" if _is_live(entries[producer]) else "wait")
            edges.append(
                Edge(
                    producer, name, str(port), settings.queue, full, settings.listen, settings.reach or settings.listen
                )
            )
    return tuple(edges)


def _is_live(entry: Any) -> bool:
    try:
        return bool(getattr(load_kind(entry["kind"]), "live", False))
    except (KindError, TypeError, KeyError):
        return False  # reported where that node is checked


def _given(specs: dict[str, NodeSpec], name: str, above: tuple[str, ...] = ()) -> tuple[type, ...]:
    """What a node may emit: as its class says; of one that hands on, what its producers emit."""
    spec = specs[name]
    if not spec.cls.passes or name in above:  # a circle is told where the order is made
        return spec.cls.emits_with(spec.config)
    return tuple({one for edge in spec.inputs for one in _given(specs, edge.producer, (*above, name))})


def _check_edges(specs: dict[str, NodeSpec], problems: list[Problem]) -> None:
    """Types of every edge, and that no node feeds itself."""
    for spec in specs.values():
        for edge in spec.inputs:
            given, taken = _given(specs, edge.producer), classes(spec.cls.accepts)
            if not any(issubclass(one, taken) for one in given):
                made = " or ".join(cls.__name__ for cls in given) or "nothing: it is a sink"
                wanted = " or ".join(cls.__name__ for cls in taken)
                producer = f"{edge.producer} ({specs[edge.producer].kind})"
                text = f"{producer} emits {made}, but {spec.name} ({spec.kind}) takes {wanted}"
                problems.append(Problem(f"nodes.{spec.name}.input", text))
    if not any(issubclass(spec.cls, Source) for spec in specs.values()):
        problems.append(Problem("nodes", "no node is a source; a graph begins with a recording or with images"))
    try:
        TopologicalSorter({name: [edge.producer for edge in spec.inputs] for name, spec in specs.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        problems.append(Problem("nodes", f"the nodes feed themselves in a circle: {circle}"))
    for edge in (edge for spec in specs.values() for edge in spec.inputs):
        for key, address in (("listen", edge.listen), ("reach", None if edge.reach == edge.listen else edge.reach)):
            if address and not 1 <= int(address.rpartition(":")[2]) <= 65_535:
                problems.append(Problem(f"nodes.{edge.consumer}.{key}", f"{address}: want a port of 1 to 65535"))
    listening: dict[str, Edge] = {}
    for edge in (edge for spec in specs.values() for edge in spec.inputs if edge.listen):
        other = listening.setdefault(str(edge.listen), edge)
        if other is not edge:
            where = f"nodes.{edge.consumer}.listen"
            problems.append(
                Problem(where, f"{edge.listen} is taken by the input of {other.consumer}; give each its own")
            )
