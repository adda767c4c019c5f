"""A clocked, dense spiking network in whole numbers: every neuron is updated in every timestep. The fast one: Engine.

What linear layers and max pools do is in layers.py.
"""

import math

import numpy as np

from dvs_run.pipeline.network import LIF, AvgPool2d, Concat, Conv2d, Delay, Linear, MaxPool2d, Neurons

from .layers import Gates, along, constant_part, routes_to, spread


class Clocked:
    """What Engine computes, with dense arrays of whole numbers and no idea of what can be left out.

    `units` are the engine's: for each layer of neurons, and for the layer that is read out, what 1 means, per channel.
    What arrives at neurons comes along routes, from something that spikes through linear layers; the weights of each
    route are rounded to the unit of the neurons at its end. `bias_scale`: timestep of the run over the network's.
    """

    def __init__(self, network, units, bias_scale=1.0, limit=1 << 30):
        self.network, self.units, self.bias_scale, self.limit = network, dict(units), bias_scale, limit
        self.shapes = network.shapes()
        self.by_name = {layer.name: layer for layer in network.layers}
        self.ends = {  # what spikes or is read out, and the name of what feeds it
            layer.name: layer.inputs[0] for layer in network.layers if isinstance(layer, Neurons | MaxPool2d)
        }
        last = network.layers[-1]
        if last.name not in self.ends:
            self.ends[last.name] = last.name
            if last.name not in units:  # called by the weights that lead to it
                weighted = [layer.name for layer in network.layers if isinstance(layer, Conv2d | Linear)]
                self.units[last.name] = units[weighted[-1]]
        self.routes = {end: routes_to(self.by_name, feeding) for end, feeding in self.ends.items()}
        self.bias = {}
        for end, feeding in self.ends.items():
            if not isinstance(self.by_name[end], MaxPool2d):
                constant = constant_part(self.by_name, self.shapes, feeding)
                whole = np.rint(constant * bias_scale / self.units[end][:, None, None])
                self.bias[end] = whole.astype(np.int64)
        self.synops, self.clamped = {}, 0
        self.reset()

    def reset(self):
        self.evidence, self.past, self.drawn = [], [], []
        self.steps = 0  # since the readout began
        self.random = np.random.default_rng(self.network.readout.seed)
        self.start_hidden()

    def start_hidden(self):
        self.v, self.since_rebase, self.gates = {}, {}, {}
        self.state_steps = 0  # since the neurons began
        for layer in self.network.layers:
            name = layer.name
            if isinstance(layer, Neurons):
                start = np.minimum(self.whole(layer, layer.v_init), self.threshold(layer) - 1)
                self.v[name] = spread(np.maximum(start, -(self.limit // 2)), self.shapes[name])
                self.since_rebase[name] = 0
            elif isinstance(layer, MaxPool2d):
                self.gates[name] = Gates(layer, self.shapes[layer.inputs[0]])

    def whole(self, layer, values):
        return np.rint(values.astype(float) / self.units[layer.name]).astype(np.int64)

    def threshold(self, layer):
        return np.maximum(self.whole(layer, layer.threshold), 1)

    def step(self, inputs, current=False):
        """inputs: int (channel, height, width) spike counts, or float values of constant current.

        Returns the spikes of each layer of neurons and each max pool, and the current into a layer that is read out.
        """
        spikes, out = {"input": np.asarray(inputs)}, {}
        self.steps, self.state_steps = self.steps + 1, self.state_steps + 1
        if current:
            spikes["input"] = np.rint(spikes["input"].astype(float) * 2**16).astype(np.int64)
        for layer in self.network.layers:
            name = layer.name
            if isinstance(layer, Delay):
                spikes[name] = self.delayed(layer, spikes["input"])
            elif isinstance(layer, MaxPool2d):
                arrived = sum(along(spikes[source], route, self.shapes) for source, route in self.routes[name])
                spikes[name] = out[name] = self.gates[name].step(arrived)
            elif isinstance(layer, Neurons) and self.state_steps <= layer.start_step:
                spikes[name] = out[name] = np.zeros(self.shapes[name], np.int64)
            elif isinstance(layer, Neurons):
                spikes[name] = out[name] = self.fire(layer, self.arriving(name, spikes, current) + self.bias[name])
            elif name in self.ends:
                out[name] = self.arriving(name, spikes, current) + self.bias[name]
        started = self.steps > self.network.readout.start_step
        self.evidence.append(out[self.network.layers[-1].name] * started)
        if self.network.readout.kind.startswith("softmax"):
            self.drawn.append(self.draw())
        return out

    def delayed(self, layer, frame):
        self.past.append(frame)
        steps = [round(delay / (self.network.timestep_us * self.bias_scale)) for delay in layer.delays_us]
        return np.concatenate([self.past[-1 - n] if n < len(self.past) else np.zeros_like(frame) for n in steps])

    def arriving(self, end, spikes, current):
        """The weighted spikes of all routes. Constant current, in multiples of 2**-16, is summed, then rounded once."""
        total = np.zeros(self.shapes[end], np.int64)
        fine = total.copy()
        for source, route in self.routes[end]:
            weight, name = self.whole_weights(end, route)
            size = np.abs(spikes[source].astype(np.int64))
            if name is None:  # without weights each spike arrives as it is, at the neurons of its own channel
                arrived = along(spikes[source], route, self.shapes) * weight[:, None, None]
                added = along(size, route, self.shapes)
            else:
                arrived = along(spikes[source].astype(np.int64), route, self.shapes, weight)
                added = along(size, route, self.shapes, np.ones_like(weight))
            if current and source == "input":
                fine = fine + arrived
            else:
                total = total + arrived
                self.synops[name or end] = self.synops.get(name or end, 0) + int(added.sum())
        return total + ((fine + 2**15) >> 16)

    def whole_weights(self, end, route):
        """(weights of a route in units of the neurons at its end, name of their layer); None: of a route without."""
        unit, scale = self.units[end], 1.0
        weighted = [k for k, (layer, _) in enumerate(route) if isinstance(layer, Conv2d | Linear)]
        for layer, _ in route:
            if isinstance(layer, AvgPool2d):
                scale = scale * (1.0 / (layer.kernel[0] * layer.kernel[1]))
        if not weighted:
            return np.rint(scale / unit).astype(np.int64), None
        for layer, which in reversed(route[weighted[0] + 1 :]):
            if isinstance(layer, Concat):  # the channels of the end that come from these weights
                first = sum(self.shapes[name][0] for name in layer.inputs[:which])
                unit = unit[first : first + self.shapes[layer.inputs[which]][0]]
        layer = route[weighted[0]][0]
        unit = unit.reshape(-1, *[1] * (layer.weight.ndim - 1))
        return np.rint(layer.weight.astype(float) * scale / unit).astype(np.int64), layer.name

    def fire(self, layer, arrived):
        shape, v = self.shapes[layer.name], self.v[layer.name]
        threshold = spread(self.threshold(layer), shape)
        if isinstance(layer, LIF):
            v = np.trunc(v.astype(float) * spread(layer.decay.astype(float) ** self.bias_scale, shape)).astype(np.int64)
        v = v + arrived
        if layer.v_min is not None:
            floor = np.maximum(self.whole(layer, layer.v_min), -(self.limit // 2))
            start = np.minimum(self.whole(layer, layer.v_init), self.threshold(layer) - 1)
            v = np.maximum(v, spread(np.minimum(floor, np.maximum(start, -(self.limit // 2))), shape))
        beyond = self.beyond_limit(layer, v)
        spikes = np.where(v >= threshold, np.minimum(v // threshold, layer.max_spikes), 0)
        if layer.signed:
            spikes = np.where(-v >= threshold, -np.minimum(-v // threshold, layer.max_spikes), spikes)
        if layer.reset == "subtract":
            v = v - spikes * threshold
        elif layer.reset == "zero":
            v = np.where(spikes != 0, 0, v)
        if beyond:
            bounded = np.clip(v, -(self.limit // 2), self.limit // 2)
            self.clamped += int((bounded != v).sum())
            v, self.since_rebase[layer.name] = bounded, 0
        self.v[layer.name] = v
        return spikes

    def beyond_limit(self, layer, v):
        """Whether potentials, as an engine may store them, or the biases that it leaves out need to be bounded now."""
        if isinstance(layer, LIF) or layer.v_min is not None:  # stored as they are
            return (np.abs(v) > self.limit).any()
        self.since_rebase[layer.name] += 1
        bias, steps = self.bias[layer.name], self.since_rebase[layer.name]
        largest = int(np.abs(bias).max())
        long_ago = largest > 0 and steps >= max(self.limit // 2 // largest, 1)
        return long_ago or (np.abs(v - steps * bias) > self.limit).any()

    def scores(self):
        """What the readout has gathered since the reset, in the network's units, (class,)."""
        if self.drawn:
            return sum(self.recent(self.drawn)).astype(float)
        total, last = sum(self.recent(self.evidence)), self.network.layers[-1].name
        if self.network.readout.kind != "count":
            total = total * self.units[last][:, None, None]
        return total.reshape(-1).astype(float)

    def recent(self, steps):
        """Those of the last steps that the readout's window still holds."""
        window = self.network.readout.window_us
        if window is None:
            return steps
        return steps[-math.ceil(window / (self.network.timestep_us * self.bias_scale)) :]

    def draw(self):
        """Spikes of a spiking softmax on what has arrived since the reset, each output's in its own units."""
        unit = spread(self.units[self.network.layers[-1].name], self.evidence[0].shape).reshape(-1)
        v = sum(self.recent(self.evidence)).reshape(-1) * unit
        chance = np.exp(v - v.max())
        uniform = self.random.random(len(v) + 2)
        if self.network.readout.kind == "softmax_rate":
            return (uniform[:-2] * chance.sum() < chance).astype(int)
        spikes = np.zeros(len(v), int)
        if uniform[-2] < 1 - math.exp(-self.network.readout.rate):
            passed = np.cumsum(chance) > uniform[-1] * chance.sum()
            spikes[passed.argmax() if passed.any() else len(v) - 1] = 1
        return spikes
