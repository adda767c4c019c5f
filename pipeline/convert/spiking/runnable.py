"""Whether the engine can hold a network in its whole numbers, found when it is made and not when it is loaded.

A bias that dwarfs its weights leaves them no bits. Where it is negative and no spikes can ever lift its neurons to the
threshold, they are silent with any such bias, so a smaller one takes its place: nothing changes. Else it is refused.
"""

from dataclasses import replace

import numpy as np

from ...engine.cells import most_often
from ...engine.graph import Population, read
from ...engine.plan import make_plan
from ...errors import ConversionError, NetworkError
from ...layers import Conv2d, Layer, Linear
from ...network import Network
from ...neurons import IF, LIF, MaxPool2d

NUMBERS = "int16"  # the engine's usual format, and the one with the most room
OTHERS = ("int8", "float32")
DWARFS = 64.0  # times all that could lift a neuron; the formats bear far more
MARGIN = 1.25  # times the same: silent in weights that are rounded up, too, and still small enough for float32


def runnable(network: Network) -> tuple[Network, list[str]]:
    """The network as the engine takes it, and notes for the provenance.

    Raises ConversionError, naming a layer and the way out, where the engine would refuse to load it in its usual
    format; that another format refuses it is a note.
    """
    network, notes = _without_dwarfing_biases(network)
    try:
        make_plan(network, NUMBERS)
    except NetworkError as refusal:
        raise ConversionError(
            f"the engine cannot hold this network in {NUMBERS}: {refusal} If its neurons are to be silent, or to "
            "fire always, train that channel with a smaller bias or leave it out of the CNN"
        ) from refusal
    for numbers in OTHERS:
        try:
            make_plan(network, numbers)
        except NetworkError as refusal:
            notes.append(f"the engine can hold this network in {NUMBERS}, not in {numbers}: {refusal}")
    return network, notes


def _without_dwarfing_biases(network: Network) -> tuple[Network, list[str]]:
    """Smaller biases for neurons that can never fire: still so far below 0 that nothing lifts them."""
    layers = {layer.name: layer for layer in network.layers}
    readers = [name for layer in network.layers for name in layer.inputs]
    most: dict[str, float] = {"input": float("inf")}
    notes: list[str] = []
    for population in read(network):
        lift, layer = _lift(population, most), population.layer
        most[population.name] = _most(population, most)
        if not isinstance(layer, IF | LIF) or layer.signed:
            continue
        weights = layers.get(layer.inputs[0])
        if not isinstance(weights, Conv2d | Linear) or weights.bias is None or readers.count(weights.name) != 1:
            continue
        lift = np.maximum(lift, layer.threshold)
        silent = (layer.v_init <= layer.threshold) & (population.bias < -DWARFS * lift)
        if silent.any():
            bias = np.where(silent, -MARGIN * lift, weights.bias).astype(np.float32)
            layers[weights.name] = replace(weights, bias=bias)
            notes.append(
                f"{int(silent.sum())} of the {len(bias)} channels of {layer.name} can never fire; their biases "
                f"(down to {float(population.bias.min()):.3g}) are smaller now, and they are as silent as before"
            )
    return (replace(network, layers=tuple(layers.values())), notes) if notes else (network, notes)


def _lift(population: Population, most: dict[str, float]) -> np.ndarray:
    """The most that spikes can add to a neuron of each channel in a timestep; infinite where the input reaches it."""
    lift = np.zeros(population.shape[0])
    if isinstance(population.layer, MaxPool2d):
        return lift
    for term in population.terms:
        if term.weight is None:
            continue
        out = slice(term.first_channel, term.first_channel + len(term.weight))
        reached = most_often(term.row_reach) * most_often(term.column_reach)
        positive = np.abs(term.weight).sum(axis=(1, 2, 3)) * reached  # spikes may be negative too
        with np.errstate(invalid="ignore"):
            lift[out] += np.where(positive > 0, positive * most[term.source], 0.0)
    return lift


def _most(population: Population, most: dict[str, float]) -> float:
    """Spikes of one neuron in a timestep."""
    layer: Layer | None = population.layer
    if isinstance(layer, MaxPool2d):
        return most[population.terms[0].source]
    return float(layer.max_spikes) if isinstance(layer, IF | LIF) else float("inf")
