"""A NIR file of our own writing back as the same Network, bit for bit.

Weights, biases and thresholds are the nodes'; metadata has what NIR cannot say. Then the network is written out once
more, in memory, and compared with the file: where another program has changed a node so that both no longer agree, the
node is named and nothing is guessed.
"""

import json
from dataclasses import fields
from typing import Any

import numpy as np

from ..errors import NetworkError
from ..network import BROKEN_FILE, LAYER_TYPES, Network
from .hdf5 import Tree
from .nir_write import ARRAYS, FORMAT, KEY, NATIVE, to_tree

NAMES = {"threshold": "v_threshold"}  # NIR's names of our arrays


def is_own(tree: Tree) -> bool:
    """Whether a graph carries our metadata."""
    node = tree.get("node")
    metadata = node.get("metadata") if isinstance(node, dict) else None
    return isinstance(metadata, dict) and KEY in metadata


def restore(tree: Tree, path: object) -> Network:
    """The Network that `nir_write.to_tree` made this tree of. Raises NetworkError where the file says otherwise."""
    try:
        network = _restored(tree, path)
        changed = _first_difference(to_tree(network)["node"], tree["node"])
    except NetworkError:
        raise
    except BROKEN_FILE as error:
        raise NetworkError(f"{path}: the metadata {KEY!r} are not as this program writes them ({error})") from error
    if changed:
        raise NetworkError(
            f"{path}: {changed} is not what the metadata {KEY!r} belong to; was the file changed by another program? "
            "Read it as that program means it: --origin nir, norse, sinabs or snntorch"
        )
    return network


def _restored(tree: Tree, path: object) -> Network:
    document = json.loads(tree["node"]["metadata"][KEY])
    if document.get("format") != FORMAT:
        raise NetworkError(
            f"{path}: the metadata {KEY!r} are of format {document.get('format')}, this program reads {FORMAT}"
        )
    nodes, arrays = tree["node"]["nodes"], tree["node"]["metadata"].get(ARRAYS, {})
    layers = (_layer(item, nodes.get(item["node"], {}), arrays) for item in document["layers"])
    return Network.of_document(document, tuple(layers))


def _layer(described: dict[str, Any], node: Tree, arrays: Tree) -> Any:
    kind = LAYER_TYPES.get(described["type"])
    if kind is None:
        raise NetworkError(f"layer {described.get('name')!r} is of a type that is not known; is the file newer?")
    values: dict[str, Any] = {}
    for entry in fields(kind):
        value = described[entry.name]
        if isinstance(value, dict):
            value = _array(node if value["array"] in NATIVE else arrays, value["array"])
        values[entry.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _array(place: Tree, key: str) -> np.ndarray:
    """An array of a layer, a copy that is not written to. Thresholds lie there per neuron, ours are per channel."""
    values = place[NAMES.get(key, key)]
    if key == "threshold":
        values = values.reshape(len(values), -1)[:, 0]
    array = np.array(values, np.float32, order="C")
    array.flags.writeable = False
    return array


def _first_difference(ours: Tree, found: Tree) -> str | None:
    """The first thing in the nodes and edges of `found` that is not as in `ours`, in words; None: there is none."""
    if sorted(map(tuple, ours["edges"])) != sorted(map(tuple, found["edges"])):
        return "the wiring"
    if set(ours["nodes"]) != set(found["nodes"]):
        return "the list of nodes"
    for name, node in ours["nodes"].items():
        for key in sorted({*node, *found["nodes"][name]} - {"metadata"}):
            if not _same(key, node.get(key), found["nodes"][name].get(key)):
                return f"{key!r} of node {name!r}"
    return None


def _same(key: str, ours: Any, found: Any) -> bool:
    if key == "v_reset" and ours is None:  # what readers add that know v_reset
        return not np.any(found)
    if key == "type" or ours is None or found is None:
        return bool(ours == found) if isinstance(ours, str) and isinstance(found, str) else False
    return np.shape(ours) == np.shape(found) and bool(np.array_equal(ours, found))
