"""A NIR file as a flat graph without loops, in order of execution; what the nodes mean is nir_layers.py's.

Subgraphs are taken apart: their nodes become "subgraph.node", their Input and Output pass on. Graphs with loops
(recurrent connections) are refused with the loop named: a Network has none.
"""

from collections import Counter
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from ..errors import NetworkError
from .hdf5 import Tree

DEEPEST = 8  # graphs within graphs


@dataclass(frozen=True)
class Node:
    """One node of a NIR file, and the nodes that feed it."""

    name: str
    type: str
    values: Tree  # its numbers and texts, as in the file
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in order of execution, without Input and Output."""

    nodes: tuple[Node, ...]
    entry: str  # name of the Input: what feeds the first nodes
    input_shape: tuple[int, ...] | None  # as in the file; None: it does not say
    last: str  # the node that leads to the Output


def read_graph(tree: Tree, path: object) -> Graph:
    """The graph of a file. Raises NetworkError, naming the node, unless it leads from one input to one output."""
    root = tree.get("node")
    if not isinstance(root, dict) or not isinstance(root.get("type"), str) or root["type"] != "NIRGraph":
        raise NetworkError(f"{path} is an HDF5 file without a NIRGraph in 'node'; is it a NIR file?")
    nodes, edges = _flattened(root, "", 0)
    known = {name for edge in edges for name in edge} - set(nodes)
    if known:
        raise NetworkError(f"{path}: an edge names {min(known)!r}, and there is no such node")
    edge, often = Counter(edges).most_common(1)[0] if edges else (("", ""), 0)
    if often > 1:
        raise NetworkError(f"{path}: the edge {' -> '.join(edge)} is listed {often} times; does it count as often?")
    entry, last = _ends(nodes, edges, path)
    order = _ordered(nodes, edges, path)
    sources = {name: tuple(found) for name, found in _sources(nodes, edges).items()}
    unfed = [name for name in order if not sources[name] and name != entry]
    if unfed:
        raise NetworkError(f"{path}: nothing feeds node {unfed[0]!r}, want everything fed by the Input {entry!r}")
    inner = tuple(
        Node(name, str(nodes[name]["type"]), nodes[name], sources[name])
        for name in order
        if nodes[name]["type"] not in ("Input", "Output")
    )
    if not inner:
        raise NetworkError(f"{path}: between Input and Output there is nothing")
    return Graph(inner, entry, _shape(nodes[entry], entry), last)


def _flattened(graph: Tree, prefix: str, depth: int) -> tuple[dict[str, Tree], list[tuple[str, str]]]:
    """Nodes and edges of a graph, those of graphs within it among them."""
    if depth > DEEPEST:
        raise NetworkError(f"graph {prefix!r} lies more than {DEEPEST} graphs deep")
    members = graph.get("nodes", {})
    edges = graph.get("edges", [])
    if isinstance(edges, np.ndarray) and not edges.size:
        edges = []
    if not isinstance(members, dict) or not isinstance(edges, list) or not all(_is_pair(edge) for edge in edges):
        raise NetworkError(f"graph {prefix or 'of the file'!r} has no table of nodes and list of edges (from, to)")
    nodes: dict[str, Tree] = {}
    inputs: dict[str, str] = {}  # of a subgraph: what stands in its place
    outputs: dict[str, str] = {}
    pairs: list[tuple[str, str]] = [(prefix + a, prefix + b) for a, b in edges]
    for name, node in members.items():
        if not isinstance(node, dict) or not isinstance(node.get("type"), str):
            raise NetworkError(f"node {prefix + name!r} has no type")
        if node["type"] != "NIRGraph":
            nodes[prefix + name] = node
            continue
        inner, inner_pairs = _flattened(node, f"{prefix}{name}.", depth + 1)
        inputs[prefix + name] = _only(inner, "Input", prefix + name)
        outputs[prefix + name] = _only(inner, "Output", prefix + name)
        nodes |= inner
        pairs += inner_pairs
    pairs = [(outputs.get(a, a), inputs.get(b, b)) for a, b in pairs]
    for name in [*inputs.values(), *outputs.values()]:
        pairs = _without(name, pairs)
        del nodes[name]
    return nodes, pairs


def _is_pair(edge: object) -> bool:
    return isinstance(edge, list) and len(edge) == 2 and all(isinstance(name, str) for name in edge)


def _only(nodes: dict[str, Tree], kind: str, graph: str) -> str:
    found = [name for name, node in nodes.items() if node["type"] == kind]
    if len(found) != 1:
        raise NetworkError(f"the subgraph {graph!r} has {len(found)} nodes {kind}, want one")
    return found[0]


def _without(name: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges once a node that only passes on is taken away."""
    before = [a for a, b in pairs if b == name]
    behind = [b for a, b in pairs if a == name]
    return [pair for pair in pairs if name not in pair] + [(a, b) for a in before for b in behind]


def _ends(nodes: dict[str, Tree], edges: list[tuple[str, str]], path: object) -> tuple[str, str]:
    """The Input, and the one node that leads to the Output."""
    inputs = [name for name, node in nodes.items() if node["type"] == "Input"]
    outputs = [name for name, node in nodes.items() if node["type"] == "Output"]
    for kind, found in (("Input", inputs), ("Output", outputs)):
        if len(found) != 1:
            names = f" ({', '.join(map(repr, found[:4]))})" if found else ""
            raise NetworkError(f"{path} has {len(found)} nodes of type {kind}{names}, want one")
    leading = [a for a, b in edges if b == outputs[0]]
    beyond = [b for a, b in edges if a == outputs[0]]
    if len(leading) != 1 or beyond:
        raise NetworkError(
            f"{path}: {len(leading)} nodes lead to the Output {outputs[0]!r}, {len(beyond)} come after; want 1 and 0"
        )
    return inputs[0], leading[0]


def _ordered(nodes: dict[str, Tree], edges: list[tuple[str, str]], path: object) -> list[str]:
    """Every node after those that feed it; raises NetworkError with the loop where there is one."""
    sorter = TopologicalSorter(_sources(nodes, edges))
    try:
        sorter.prepare()
    except CycleError as error:
        loop = " -> ".join(error.args[1][:9])
        raise NetworkError(
            f"{path}: nodes {loop} form a loop (a recurrent connection); a Network of this program has none"
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=_natural)
        order += ready
        sorter.done(*ready)
    return order


def _sources(nodes: dict[str, Tree], edges: list[tuple[str, str]]) -> dict[str, list[str]]:
    """What feeds each node."""
    found: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        found[target].append(source)
    return found


def _natural(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() and len(name) < 9 else -1, name)


def _shape(node: Tree, name: str) -> tuple[int, ...] | None:
    shape = node.get("shape")
    if shape is None or (isinstance(shape, np.ndarray) and shape.size == 0):
        return None
    if not isinstance(shape, np.ndarray) or shape.dtype.kind not in "iu" or shape.ndim > 1:
        raise NetworkError(f"the Input {name!r} has a shape that is no list of whole numbers")
    return tuple(int(side) for side in shape.reshape(-1))
