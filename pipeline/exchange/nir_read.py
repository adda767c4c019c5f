"""A NIR file as a Network: one that we wrote exactly, one of another program as that program means it.

A NIR file does not say who wrote it, and the same file means other spikes in norse, sinabs and snntorch. So the caller
says whose it is; without that a foreign file is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import NetworkError
from ..layers import Shape
from ..network import BROKEN_FILE, Network, Readout
from .apart import read_tree
from .hdf5 import Tree
from .nir_graph import Graph, Node, read_graph
from .nir_layers import Layers
from .nir_neurons import MEANINGS, Meaning, per_channel
from .nir_own import is_own, restore


@dataclass(frozen=True)
class Reading:
    """A network from a file, and what a reader must know of how it was understood."""

    network: Network
    notes: tuple[str, ...]  # a sentence each; none for a file of our own
    own: bool  # True: we wrote it, and it is the same network


def read_nir(
    path: str | Path,
    meaning: Meaning | None = None,
    timestep_us: int | None = None,
    input_shape: Shape | None = None,
    labels: Sequence[str] | None = None,
    readout: Readout | None = None,
) -> Reading:
    """Read a NIR file.

    Without `meaning` the file must be of our own writing, and all other arguments are None. With it (MEANINGS, or one
    of them with fields replaced) our metadata are passed by. `timestep_us` is how long a timestep of the network is,
    in µs; `input_shape` (channel, height, width) is needed where the file has none, or has a flat one. `labels` name
    the outputs (else "0", "1", ...). `readout` is a count of the spikes if neurons come last, else the membrane.

    Raises NetworkError, naming the node, for what is no NIR graph or has no equal here. Executes nothing of the file.
    """
    tree = read_tree(path)
    if meaning is None:
        _check_own(tree, path, timestep_us, input_shape, labels, readout)
        return Reading(restore(tree, path), (), own=True)
    try:
        return _foreign(tree, path, meaning, timestep_us, input_shape, labels, readout)
    except NetworkError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise NetworkError(f"{where}{error}") from None
    except BROKEN_FILE as error:
        raise NetworkError(f"{path} is not a NIR graph that can be read ({type(error).__name__}: {error})") from error


def _check_own(tree: Tree, path: str | Path, *settings: object) -> None:
    if not is_own(tree):
        raise NetworkError(
            f"{path} was not written by this program, and NIR files do not say how their neurons are meant; give "
            f"--origin {', '.join(MEANINGS)} ('nir': its equations as they stand)"
        )
    if any(setting is not None for setting in settings):
        raise NetworkError(
            f"{path} was written by this program and says everything itself; leave the other options out, or read it "
            "as somebody else's with --origin"
        )


def _foreign(
    tree: Tree,
    path: str | Path,
    meaning: Meaning,
    timestep_us: int | None,
    input_shape: Shape | None,
    labels: Sequence[str] | None,
    readout: Readout | None,
) -> Reading:
    graph = read_graph(tree, path)
    step = timestep_us if timestep_us is not None else meaning.timestep_us
    notes = [f"read as {meaning.origin} means it: {meaning.equations()}"]
    layers = Layers(graph, _input_shape(graph, input_shape, notes), meaning, step, notes=notes)
    *inner, last = graph.nodes if graph.nodes[-1].name == graph.last else _led(graph)
    for node in inner:
        layers.add(node)
    _end(layers, last, readout)
    outputs = int(np.prod(layers.shape(layers.layers[-1].name)))
    counts = last.type in ("IF", "LIF")
    network = Network(
        layers=tuple(layers.layers),
        input_shape=layers.input_shape,
        labels=tuple(labels) if labels is not None else tuple(map(str, range(outputs))),
        readout=readout or Readout("count" if counts else "membrane"),
        timestep_us=step,
        provenance={"made by": "import of a NIR file", "origin": meaning.origin, "equations": meaning.equations()},
    )
    return Reading(network, tuple(notes), own=False)


def _led(graph: Graph) -> list[Node]:
    """The nodes, the one that leads to the Output last; raises NetworkError for those that lead nowhere."""
    fed = {source for node in graph.nodes for source in node.sources}
    idle = [node.name for node in graph.nodes if node.name not in fed and node.name != graph.last]
    if idle:
        raise NetworkError(f"node {idle[0]!r} leads to nothing; only the Output is read")
    raise NetworkError(f"the Output is fed by {graph.last!r}, which other nodes come after")


def _end(layers: Layers, last: Node, readout: Readout | None) -> None:
    """The last node: an integrator is our membrane readout, a leaky one is left out if the caller asks for that."""
    if last.type == "LI" and readout is not None and readout.kind == "membrane":
        layers.notes.append(f"node {last.name!r} (LI) is left out: evidence adds up here without its leak")
    elif last.type != "I":
        if last.type == "LI":
            raise NetworkError(
                f"the last node {last.name!r} is a leaky integrator, and the readouts here do not leak; with --readout "
                "membrane it is left out and evidence adds up from the start"
            )
        layers.add(last)
        layers.output(last.name)
        return
    source = layers.source(last)
    if last.type == "I":
        gain = per_channel(last, "r", layers.shape(source))
        if (gain != gain[0]).any() or gain[0] <= 0:
            raise NetworkError(f"the outputs of node {last.name!r} (I) differ in r; want the same for all, above 0")
        layers.notes.append(
            f"node {last.name!r} (I) is the membrane readout; scores are not scaled by its r {gain[0]:g}"
        )
    if source == "input":
        raise NetworkError(f"the last node {last.name!r} is fed by the input itself; there is no network")


def _input_shape(graph: Graph, wanted: Shape | None, notes: list[str]) -> Shape:
    """(channel, height, width) of what comes in."""
    found = graph.input_shape
    if found is not None and len(found) == 4 and found[0] == 1:
        found = found[1:]
        notes.append(f"the Input's shape {graph.input_shape} begins with a batch axis of 1, which is left out")
    if wanted is not None:
        if found is not None and int(np.prod(found)) != int(np.prod(wanted)):
            raise NetworkError(f"the Input has shape {found}, of another size than --input-shape {wanted}")
        return wanted
    if found is None or len(found) not in (1, 3) or min(found) < 1:
        raise NetworkError(
            f"the Input has {'no shape' if found is None else f'shape {found}'}; give (channel, height, width) with "
            "--input-shape, 2x128x128 for instance"
        )
    return found if len(found) == 3 else (found[0], 1, 1)
