"""One event at a time, each spike to its end before the next, by recursion. The fast one: AsyncEngine."""

import numpy as np

from dvs_run.pipeline.network import Neurons

from .clocked import Clocked
from .layers import along, spread


class DepthFirst:
    """What AsyncEngine computes, by recursion over dense arrays of whole numbers; every neuron has its turn.

    Weights, thresholds and biases are rounded to the engine's `units` by Clocked, whose routes serve here too.
    """

    def __init__(self, network, units, timestep_us=None):
        self.timestep_us = timestep_us or network.timestep_us
        scale = self.timestep_us / network.timestep_us if network.timestep_us and timestep_us else 1.0
        self.network, self.twin = network, Clocked(network, units, scale)
        self.layers = [layer for layer in network.layers if isinstance(layer, Neurons)]
        self.last = network.layers[-1].name
        self.edges = [(end, i) for end in self.twin.ends for i in range(len(self.twin.routes[end]))]
        self.thresholds = {layer.name: self.twin.threshold(layer) for layer in self.layers}
        self.impulses = {}
        self.reset()

    def reset(self):
        shapes = self.twin.shapes
        self.spikes = dict.fromkeys(["input", *(layer.name for layer in self.layers)], 0)
        self.synops, self.tick, self.t0 = {}, 0, None
        self.gained = []  # (timestep, output values) of all that was gathered
        self.start_hidden()
        pixels = [
            (layer.name, y, x)
            for layer in self.layers
            if (self.twin.bias[layer.name] > 0).any()
            for y, x in np.ndindex(*shapes[layer.name][1:])
        ]
        self.turns = [[] for _ in range(64)]
        for i, pixel in enumerate(pixels):
            self.turns[i * 64 // len(pixels)].append(pixel)

    def start_hidden(self):
        self.v, self.started = {}, self.tick
        for layer in self.layers:
            start = np.minimum(self.twin.whole(layer, layer.v_init), self.twin.threshold(layer) - 1)
            self.v[layer.name] = spread(start, self.twin.shapes[layer.name])

    def potential(self, name):
        return self.v[name] + self.twin.bias[name] * (self.tick - self.started) // 64

    def push(self, t, x, y, p):
        if self.t0 is None:
            self.t0 = t
        while (t - self.t0) * 64 // (self.timestep_us or 1 << 62) > self.tick:
            self.tick += 1
            self.begin_tick()
        self.work_off("input", (int(p) if self.network.input_shape[0] == 2 else 0, y, x))

    def begin_tick(self):
        window = self.network.state_window_us
        if window and self.tick % (window // self.timestep_us * 64) == 0:
            self.start_hidden()
        for name, y, x in self.turns[self.tick % 64]:
            self.fire(self.at_threshold(name, [(c, y, x) for c in range(self.twin.shapes[name][0])]))

    def work_off(self, source, place):
        self.spikes[source] += 1
        if source == self.last:
            gain = np.zeros(self.twin.shapes[source], int)
            gain[place] = 1
            self.gained.append((self.tick // 64, gain))
        added = []
        for number, (end, i) in enumerate(self.edges):
            if self.twin.routes[end][i][0] != source:
                continue
            places, weights, times, name = self.impulse(end, i, source, place)
            self.synops[name] = self.synops.get(name, 0) + int(times.sum())
            if end in self.v:
                self.v[end][tuple(places.T)] += weights
                added.append((number, end, places))
            else:
                gain = np.zeros(self.twin.shapes[end], int)
                gain[tuple(places.T)] = weights
                self.gained.append((self.tick // 64, gain))
        # what several edges lead to comes with the last of them
        reached = {neuron: number for number, end, places in added for neuron in self.at_threshold(end, places)}
        by_edge_row_column_channel = lambda neuron: (reached[neuron], *neuron[1][1:], neuron[1][0])  # noqa: E731
        self.fire(sorted(reached, key=by_edge_row_column_channel))

    def at_threshold(self, name, places):
        """Those of the neurons at `places` (n, 3) that are at or above threshold: [(name, place)]."""
        places = np.array(places).reshape(-1, 3)
        at = tuple(places.T)
        potentials = self.v[name][at] + self.twin.bias[name][at] * (self.tick - self.started) // 64
        return [(name, tuple(place)) for place in places[potentials >= self.thresholds[name][at[0]]].tolist()]

    def impulse(self, end, i, source, place):
        """(places (n, 3) of `end` that a spike reaches along a route, what it adds to each, how many weights those are,
        name of the layer that they are of)."""
        key = (end, i, source, place)
        if key not in self.impulses:
            spike = np.zeros(self.twin.shapes[source], np.int64)
            spike[place] = 1
            route = self.twin.routes[end][i][1]
            weight, name = self.twin.whole_weights(end, route)
            if name is None:
                times = along(spike, route, self.twin.shapes)
                weights = times * weight[:, None, None]
            else:
                weights = along(spike, route, self.twin.shapes, weight)
                times = along(spike, route, self.twin.shapes, np.ones_like(weight))
            places = np.argwhere(times)
            self.impulses[key] = places, weights[times != 0], times[times != 0], name or end
        return self.impulses[key]

    def fire(self, neurons):
        """These, at or above threshold, are reset, then their spikes worked off, each to its end."""
        for name, place in neurons:
            if self.twin.by_name[name].reset == "subtract":
                self.v[name][place] -= self.thresholds[name][place[0]]
            else:
                self.v[name][place] -= self.potential(name)[place]
        for name, place in neurons:
            self.work_off(name, place)

    def evidence(self):
        """What the readout has gathered, in whole numbers: since the reset, or in the timesteps of its window."""
        total = np.zeros(self.twin.shapes[self.last], int)
        now, first = self.tick // 64, 0
        if self.network.readout.window_us:
            first = max(now + 1 - -(-self.network.readout.window_us // self.timestep_us), 0)
        for step, gain in self.gained:
            if step >= first:
                total = total + gain
        if self.last not in self.v:
            total = total + self.twin.bias[self.last] * self.tick // 64 - self.twin.bias[self.last] * first
        return total.reshape(-1)
