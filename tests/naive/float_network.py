"""A network in float64, one input, one neuron at a time: what a conversion is held against."""

import numpy as np

from dvs_run.pipeline.network import LIF, AvgPool2d, Conv2d, Linear, MaxPool2d, Neurons

from .layers import Gates, hand_on, spread, weigh


def run_float(network, inputs):
    """Scores after every step, and spikes of every layer of neurons so far; inputs: (channel, height, width) a step."""
    steps = list(values_float(network, inputs))
    scores = np.cumsum([values[network.layers[-1].name].reshape(-1) for values in steps], axis=0)
    neurons = [layer.name for layer in network.layers if isinstance(layer, Neurons)]
    return scores, {name: sum(values[name] for values in steps) for name in neurons}


def values_float(network, inputs):
    """What every layer gives in each step, by name; the input too."""
    shapes = network.shapes()
    v, gates = {}, {}
    for layer in network.layers:
        if isinstance(layer, Neurons):
            v[layer.name] = spread(layer.v_init.astype(float), shapes[layer.name])
        elif isinstance(layer, MaxPool2d):
            gates[layer.name] = Gates(layer, shapes[layer.inputs[0]])
    for x in inputs:
        values = {"input": np.asarray(x, float)}
        for layer in network.layers:
            arriving = [values[name] for name in layer.inputs]
            if isinstance(layer, Neurons):
                values[layer.name] = fire_float(layer, arriving[0], v[layer.name])
            elif isinstance(layer, MaxPool2d):
                values[layer.name] = gates[layer.name].step(arriving[0]).astype(float)
            else:
                values[layer.name] = linear_float(layer, arriving)
        yield values


def fire_float(layer, arrived, v):
    """Spikes of one layer of neurons, one after the other; their potentials v are changed."""
    fired = np.zeros_like(arrived)
    for index in np.ndindex(*arrived.shape):
        c, threshold = index[0], float(layer.threshold[index[0]])
        potential = v[index] * (float(layer.decay[c]) if isinstance(layer, LIF) else 1.0) + arrived[index]
        if layer.v_min is not None:
            potential = max(potential, float(layer.v_min[c]))
        if potential >= threshold:
            fired[index] = min(potential // threshold, layer.max_spikes)
        elif layer.signed and -potential >= threshold:
            fired[index] = -min(-potential // threshold, layer.max_spikes)
        if layer.reset == "subtract":
            potential -= fired[index] * threshold
        elif layer.reset == "zero" and fired[index]:
            potential = 0.0
        v[index] = potential
    return fired


def linear_float(layer, inputs):
    if isinstance(layer, Conv2d | Linear):
        z = weigh(layer, inputs[0], layer.weight.astype(float))
        return z if layer.bias is None else z + layer.bias.astype(float)[:, None, None]
    z = hand_on(layer, inputs)
    return z / (layer.kernel[0] * layer.kernel[1]) if isinstance(layer, AvgPool2d) else z
