"""Every kernel again, in the slowest and most obvious way that could be right. Tests hold the fast ones against these.

One section a module; nothing here is imported by the package.
"""

import math

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import (
    LIF,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Linear,
    MaxPool2d,
    Neurons,
    SumPool2d,
    Upsample,
)

# ---- train: augmentations and frames ---------------------------------------------------------------------------------


def random_training_events(n, sensor, duration_us, seed):
    """n events in order of time within [0, duration_us)."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n))
    events["x"], events["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    events["p"] = rng.random(n) < 0.5
    return events


def move_events(events, sensor, matrix):
    """Each event to the pixel nearest to matrix @ (x, y, 1); those that leave the sensor are gone."""
    moved = []
    for t, x, y, p in events.tolist():
        column = math.floor(matrix[0][0] * x + matrix[0][1] * y + matrix[0][2] + 0.5)
        row = math.floor(matrix[1][0] * x + matrix[1][1] * y + matrix[1][2] + 0.5)
        if 0 <= column < sensor.width and 0 <= row < sensor.height:
            moved.append((t, column, row, p))
    return moved


def mean_count_frame(events, sensor, slices):
    frame = np.zeros((2, sensor.height, sensor.width))
    for _, x, y, p in events.tolist():
        frame[int(p), y, x] += 1
    return (frame / slices).astype(np.float32)


# --- engine: a clocked, dense spiking network; every neuron is updated in every timestep ------------------------------


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
        self.random = np.random.default_rng(self.network.readout.seed)
        self.start_hidden()

    def start_hidden(self):
        self.v, self.since_rebase, self.gates = {}, {}, {}
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
        if current:
            spikes["input"] = np.rint(spikes["input"].astype(float) * 2**16).astype(np.int64)
        for layer in self.network.layers:
            name = layer.name
            if isinstance(layer, Delay):
                spikes[name] = self.delayed(layer, spikes["input"])
            elif isinstance(layer, MaxPool2d):
                arrived = sum(along(spikes[source], route, self.shapes) for source, route in self.routes[name])
                spikes[name] = out[name] = self.gates[name].step(arrived)
            elif isinstance(layer, Neurons):
                spikes[name] = out[name] = self.fire(layer, self.arriving(name, spikes, current) + self.bias[name])
            elif name in self.ends:
                out[name] = self.arriving(name, spikes, current) + self.bias[name]
        self.evidence.append(out[self.network.layers[-1].name])
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
            return sum(self.drawn).astype(float)
        total, last = sum(self.evidence), self.network.layers[-1].name
        if self.network.readout.kind != "count":
            total = total * self.units[last][:, None, None]
        return total.reshape(-1).astype(float)

    def draw(self):
        """Spikes of a spiking softmax on what has arrived since the reset, each output's in its own units."""
        unit = spread(self.units[self.network.layers[-1].name], self.evidence[0].shape).reshape(-1)
        v = sum(self.evidence).reshape(-1) * unit
        chance = np.exp(v - v.max())
        uniform = self.random.random(len(v) + 2)
        if self.network.readout.kind == "softmax_rate":
            return (uniform[:-2] * chance.sum() < chance).astype(int)
        spikes = np.zeros(len(v), int)
        if uniform[-2] < 1 - math.exp(-self.network.readout.rate):
            passed = np.cumsum(chance) > uniform[-1] * chance.sum()
            spikes[passed.argmax() if passed.any() else len(v) - 1] = 1
        return spikes


def sum_rows(weights, rows, at, length, times=None):
    """The sum of parts of rows, each so many times."""
    total = [0] * length
    for i, row in enumerate(rows.tolist()):
        for c in range(length):
            total[c] += int(weights[row + at + c]) * (1 if times is None else int(times[i]))
    return total


def reset_all(v, moved, threshold, bias, size, lanes, to_zero):
    """One cell, neuron by neuron; it begins at 16 in v and at 32 in the constants. `moved`: thresholds less the biases
    of earlier steps. (v, spikes of each channel, whether a neuron fires again in the next step by its bias)."""
    v, counts, again = v.copy(), [0] * lanes, False
    for i in range(size):
        if v[16 + i] >= moved[32 + i]:
            v[16 + i] = (moved[32 + i] if to_zero else v[16 + i]) - threshold[32 + i]
            again |= bool(v[16 + i] >= moved[32 + i] - bias[32 + i])
            counts[i % lanes] += 1
    return v, counts, again


class Gates:
    """A spiking max pool, window by window, in every step."""

    def __init__(self, layer, shape):
        self.layer, self.t, self.g = layer, 0, 1.0
        self.score = np.zeros(shape, float if layer.rule in ("fir", "exponential") else np.int64)
        self.sent = np.zeros(layer.output_shape((shape,)), np.int64)

    def step(self, x):
        self.t += 1
        self.g = max(self.g / 1.005, 1e-150)
        if self.layer.rule == "fir":
            self.score = self.score + x / self.t
        elif self.layer.rule == "exponential":
            self.score = self.score + x * self.g
        elif self.layer.rule == "or":
            self.score = x
        else:
            self.score = self.score + x
        out = np.zeros_like(self.sent)
        for c, row, column in np.ndindex(*out.shape):
            places = [(c, y, x) for y, x in self.window(row, column)]
            leader = max(places, key=lambda place: self.score[place])  # the first of equals
            most = self.score[leader] - self.sent[c, row, column]
            out[c, row, column] = most if self.layer.rule == "exact" else x[leader]
        self.sent += out
        return out

    def window(self, row, column):
        """Places (y, x) of one window within the input, row by row."""
        (ky, kx), (sy, sx), (py, px) = self.layer.kernel, self.layer.stride, self.layer.padding
        height, width = self.score.shape[1:]
        for y in range(row * sy - py, row * sy - py + ky):
            for x in range(column * sx - px, column * sx - px + kx):
                if 0 <= y < height and 0 <= x < width:
                    yield y, x


def routes_to(by_name, name):
    """Every way to the output of `name` from something that spikes: (source, [(linear layer, which input), ...])."""
    layer = by_name.get(name)
    if layer is None or isinstance(layer, Neurons | MaxPool2d | Delay):
        return [(name, [])]
    return [
        (source, [*route, (layer, which)])
        for which, before in enumerate(layer.inputs)
        for source, route in routes_to(by_name, before)
    ]


def along(signal, route, shapes, weight=None):
    """What a signal has become at the end of a route. Average pools only sum, `weight` stands in for the layer's."""
    for layer, which in route:
        if isinstance(layer, Conv2d | Linear):
            signal = weigh(layer, signal, weight)
        else:
            inputs = [np.zeros(shapes[name], signal.dtype) for name in layer.inputs]
            inputs[which] = signal
            signal = hand_on(layer, inputs)
    return signal


def constant_part(by_name, shapes, name):
    """What the biases alone give at the output of `name`, float64 (channel, height, width)."""
    layer = by_name.get(name)
    if layer is None or isinstance(layer, Neurons | MaxPool2d | Delay):
        return np.zeros(shapes[name])
    if isinstance(layer, Conv2d | Linear):
        return np.zeros(shapes[name]) if layer.bias is None else spread(layer.bias.astype(float), shapes[name])
    total = hand_on(layer, [constant_part(by_name, shapes, before) for before in layer.inputs])
    return total * (1.0 / (layer.kernel[0] * layer.kernel[1])) if isinstance(layer, AvgPool2d) else total


def hand_on(layer, inputs):
    """What a layer without weights and without state makes of its inputs; an average pool only sums."""
    if isinstance(layer, SumPool2d | AvgPool2d):
        return sum_pool(inputs[0], layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, Upsample):
        return np.repeat(np.repeat(inputs[0], layer.factor[0], 1), layer.factor[1], 2)
    if isinstance(layer, Flatten):
        return inputs[0].reshape(-1, 1, 1)
    if isinstance(layer, Concat):
        return np.concatenate(inputs)
    assert isinstance(layer, Add)
    return sum(inputs)


def weigh(layer, signal, weight):
    if isinstance(layer, Linear):
        return convolve(signal, weight.reshape(len(weight), *signal.shape), (1, 1), (0, 0), (1, 1), 1)
    return convolve(signal, weight, layer.stride, layer.padding, layer.dilation, layer.groups)


def spread(values, shape):
    """One value a channel -> (channel, height, width)."""
    return np.broadcast_to(np.asarray(values)[:, None, None], shape).copy()


def convolve(signal, weight, stride, padding, dilation, groups):
    """z[o, y, x] = sum over i, ky, kx of weight[o, i, ky, kx] * signal[i, y*stride + ky*dilation - padding, ...]."""
    out, per_group, kernel_y, kernel_x = weight.shape
    (py, px), (sy, sx), (dy, dx) = padding, stride, dilation
    padded = np.pad(signal, ((0, 0), (py, py), (px, px)))
    height = (padded.shape[1] - dy * (kernel_y - 1) - 1) // sy + 1
    width = (padded.shape[2] - dx * (kernel_x - 1) - 1) // sx + 1
    z = np.zeros((out, height, width), signal.dtype)
    for o in range(out):
        group = o // (out // groups)
        for y in range(height):
            for x in range(width):
                window = padded[
                    group * per_group : (group + 1) * per_group,
                    y * sy : y * sy + dy * (kernel_y - 1) + 1 : dy,
                    x * sx : x * sx + dx * (kernel_x - 1) + 1 : dx,
                ]
                z[o, y, x] = (weight[o] * window).sum()
    return z


def sum_pool(signal, kernel, stride, padding=(0, 0)):
    (py, px), (sy, sx) = padding, stride
    padded = np.pad(signal, ((0, 0), (py, py), (px, px)))
    rows, columns = (padded.shape[1] - kernel[0]) // sy + 1, (padded.shape[2] - kernel[1]) // sx + 1
    pooled = np.zeros((len(signal), rows, columns), signal.dtype)
    for y in range(rows):
        for x in range(columns):
            pooled[:, y, x] = padded[:, y * sy : y * sy + kernel[0], x * sx : x * sx + kernel[1]].sum(axis=(1, 2))
    return pooled


# --- slicing and binning ---------------------------------------------------------------------------------------------


def slice_by_time(events, window_us, origin_us=None):
    """[(start, stop, events of it)] of every window from the origin to the last event."""
    if len(events) == 0:
        return []
    start = int(events["t"][0]) if origin_us is None else origin_us
    slices = []
    while start <= int(events["t"][-1]):
        inside = (events["t"] >= start) & (events["t"] < start + window_us)
        slices.append((start, start + window_us, events[inside]))
        start += window_us
    return slices


def bin_events(events, sensor):
    grid = np.zeros((2, sensor.height, sensor.width), int)
    for _, x, y, p in events.tolist():
        grid[int(p), y, x] += 1
    return grid


# ---- formats: decoders of single words, and the clock ----------------------------------------------------------------


def random_recorded_events(n, sensor, seed, first_us=0, mean_step_us=50):
    """n events in order of time, as a recording holds them; several may share a microsecond."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = first_us + np.cumsum(rng.geometric(1 / (mean_step_us + 1), n) - 1)
    events["x"], events["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    events["p"] = rng.random(n) < 0.5
    return events


def decode_aedat2(addresses, times, layout):
    """Events as tuples, and how many words were of frames and special. Bits are read off a string, highest first."""

    def bits(address, shift, mask):
        text = f"{address:032b}"
        return int(text[32 - shift - mask.bit_length() : 32 - shift], 2)

    events, frames, special = [], 0, 0
    for address, t in zip(addresses.tolist(), times.tolist(), strict=True):
        if address & layout.frame_bits:
            frames += 1
        elif address & layout.special_bits and not address & layout.zero_bits:
            special += 1
        else:
            x = layout.width - 1 - bits(address, layout.x_shift, layout.x_mask)
            y = layout.height - 1 - bits(address, layout.y_shift, layout.y_mask)
            if x < 0 or y < 0 or address & layout.zero_bits:
                x = y = 65_535
            events.append((t, x, y, bits(address, layout.p_shift, 1) == layout.on_bit))
    return events, frames, special


def decode_aedat31(payload, overflows):
    """The valid events of a polarity packet's bytes, as tuples."""
    events = []
    for start in range(0, len(payload), 8):
        data = int.from_bytes(payload[start : start + 4], "little")
        t = int.from_bytes(payload[start + 4 : start + 8], "little", signed=True)
        if data % 2:
            events.append((overflows * 2**31 + t, data // 2**17, data // 4 % 2**15, data // 2 % 2 == 1))
    return events


def decode_nmnist(payload):
    """The events of an N-MNIST file's bytes, as tuples."""
    events, overflow = [], 0
    for start in range(0, len(payload) // 5 * 5, 5):
        x, y, *rest = payload[start : start + 5]
        word = int.from_bytes(bytes(rest), "big")
        if y == 240:
            overflow += 2**13
        else:
            events.append((overflow + word % 2**23, x, y, word >= 2**23))
    return events


class Clock:
    """What guard does with times, one event at a time, with Python's integers."""

    def __init__(self, period=0):
        self.period, self.offset, self.last = period, 0, None
        self.backwards = self.restarts = self.wraps = self.jumps = 0

    def deliver(self, raw, skip):
        """The time at which an event is delivered; None: this is a jump, or damage."""
        if abs(raw) > 2**61:
            self.jumps += skip
            return None
        if self.last is None:
            self.last = raw
        t = raw + self.offset
        gap = t + self.period - self.last
        if t < self.last - 10_000 and self.period and -10_000 <= gap <= min(60_000_000, self.period // 2):
            self.offset += self.period
            self.wraps += 1
            t += self.period
        elif t < self.last - 10_000:
            self.offset = self.last - raw
            self.restarts += 1
            t = self.last
        elif self.period and self.last - 10_000 <= t - self.period < self.last:
            t -= self.period
        elif t > self.last + 600_000_000:
            if not skip:
                return None
            self.offset = self.last - raw
            self.jumps += 1
            t = self.last
        if t < self.last:
            self.backwards += 1
            t = self.last
        self.last = t
        return t


# --- convert: a network in float64, one input, one neuron at a time ---------------------------------------------------


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


# --- simulate: one pixel at a time, one shape at a time, one image point at a time ------------------------------------


def log_intensity(intensity, linear_below):
    mantissa, exponent = math.frexp(intensity)
    if intensity < linear_below:
        return intensity * (1.0 / linear_below) + (math.log(linear_below) - 1.0)
    e, m = float(exponent - 1), 2 * mantissa - 1
    bend = 0.3068490998 + m * (
        -0.1928613586 + m * (0.1365198872 + m * (-0.09166992479 + m * (0.04503717777 - m * 0.01073043467)))
    )
    return (e + m) * 0.6931471805599453 + m * (1.0 - m) * bend


class Pixel:
    """One pixel of the simulated camera, from its constants."""

    def __init__(self, settings, on, off, leak, difference, noise_us, generator, voltage):
        self.settings, self.on, self.off, self.leak = settings, float(on), float(off), float(leak)
        self.difference, self.noise_us, self.generator = float(difference), float(noise_us), int(generator)
        self.voltage, self.held_us = float(voltage), -math.inf

    def random(self):
        mask = (1 << 64) - 1
        self.generator ^= (self.generator << 13) & mask
        self.generator ^= self.generator >> 7
        self.generator ^= (self.generator << 17) & mask
        return (self.generator >> 11) * 2.0**-53

    def advance(self, start, stop, intensity):
        """[(t, polarity)] of this pixel in (start, stop], at whose end it sees `intensity`."""
        s, dt, events = self.settings, float(stop - start), []
        target = log_intensity(intensity, s.linear_below)
        if s.cutoff_hz:
            corner = 2 * math.pi * s.cutoff_hz * 1e-6 / (255.0 + s.linear_below)
            target += 1.0 / (1.0 + corner * dt * (intensity + s.linear_below)) * (self.voltage - target)
        new = float(np.float32(target))
        rise = new - self.voltage + self.leak * dt
        self.voltage = new
        held = self.held_us > start
        if not held and self.noise_us > stop and -self.off < self.difference + rise < self.on:
            self.difference = float(np.float32(self.difference + rise))
            return events
        slope, noise = rise / dt, self.noise_us - start
        now, d = (self.held_us - start, 0.0) if held else (0.0, self.difference)
        while now < dt:
            at = math.inf
            if slope > 0:
                at = max(now, now + (self.on - d) / slope)
            elif slope < 0:
                at = max(now, now - (self.off + d) / slope)
            polarity = slope > 0
            if min(at, noise) > dt:
                break
            if noise < at:
                at = noise
                wait, chance, sign = self.random(), self.random(), self.random()
                noise += -math.log(1.0 - wait) * 1e6 / s.shot_noise_hz
                if at < now or chance >= 1.0 + (s.shot_noise_in_white - 1.0) * min(intensity / 255.0, 1.0):
                    continue
                polarity = sign < 0.5
            events.append((start + math.floor(at), polarity))
            now, d = at + s.refractory_us, 0.0
        if now < dt:
            self.difference = float(np.float32(d + slope * (dt - now)))
        else:
            self.difference = 0.0
        self.held_us, self.noise_us = start + now, start + noise
        return events


def film(times, frames, settings, constants):
    """[(t, x, y, p)] sorted by time; `constants`: a new camera's (on, off, leak, difference, noise_us, generator)."""
    width = frames[0].shape[1]
    pixels = []
    for intensity, *numbers in zip(frames[0].ravel().tolist(), *constants, strict=True):
        pixels.append(Pixel(settings, *numbers, np.float32(log_intensity(intensity, settings.linear_below))))
    events = []
    for start, stop, frame in zip(times[:-1], times[1:], frames[1:], strict=True):
        found = []
        for i, (pixel, intensity) in enumerate(zip(pixels, frame.ravel().tolist(), strict=True)):
            found += [(t, i % width, i // width, p) for t, p in pixel.advance(int(start), int(stop), intensity)]
        events += sorted(found, key=lambda event: event[0])
    return events


def draw_capsule(capsule, light, ambient, gain, frame):
    """The same picture, looking at every pixel."""
    x0, y0, r0, x1, y1, r1, albedo, stripes, phase, contrast = capsule.tolist()
    for (y, x), before in np.ndenumerate(frame.copy()):
        length2 = (x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)
        along = 0.0
        if length2:
            along = min(max(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length2, 0.0), 1.0)
        off_x, off_y = x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)
        radius = r0 + along * (r1 - r0)
        if off_x * off_x + off_y * off_y >= (radius + 0.5) * (radius + 0.5):
            continue
        coverage = min(radius + 0.5 - math.sqrt(off_x * off_x + off_y * off_y), 1.0)
        nx, ny = off_x / radius, off_y / radius
        nz = math.sqrt(max(0.0, 1.0 - nx * nx - ny * ny))
        lambert = max(0.0, nx * float(light[0]) + ny * float(light[1]) + nz * float(light[2]))
        colour = albedo * gain * (ambient + (1.0 - ambient) * lambert)
        if contrast > 0:
            wave = stripes * along + phase
            colour *= 1.0 + contrast * (4.0 * abs(wave - math.floor(wave) - 0.5) - 1.0)
        frame[y, x] = float(before) + coverage * (colour - float(before))


def draw_capsules(background, capsules, light, ambient, gain, frames):
    for k, frame in enumerate(frames):
        frame[:] = background.astype(float) * gain[k]
        for capsule in capsules[k]:
            draw_capsule(capsule, light, ambient, float(gain[k]), frame)


def slide(image, left, top, outside, frames):
    """Bilinear: each point of the frame between four of the image."""

    def at(row, column):
        inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
        return image[row, column] if inside else outside

    for k, y, x in np.ndindex(*frames.shape):
        u, v = x - math.floor(left[k]), y - math.floor(top[k])
        fx, fy = left[k] - math.floor(left[k]), top[k] - math.floor(top[k])
        low = at(v, u) + fx * (at(v, u - 1) - at(v, u))
        high = at(v - 1, u) + fx * (at(v - 1, u - 1) - at(v - 1, u))
        frames[k, y, x] = low + fy * (high - low)


def undo_png_filters(lines, step):
    """The bytes of a picture, from lines that begin with the number of their filter (PNG specification, part 9)."""
    width = lines.shape[1] - 1
    out = np.zeros((len(lines) + 1, width + step), int)  # a border of zeros above and to the left
    for y, line in enumerate(lines.tolist(), 1):
        for x in range(step, width + step):
            left, up, corner = int(out[y, x - step]), int(out[y - 1, x]), int(out[y - 1, x - step])
            nearest = min((left, up, corner), key=lambda v, g=left + up - corner: abs(g - v))
            out[y, x] = (line[x - step + 1] + (0, left, up, (left + up) // 2, nearest)[line[0]]) % 256
    return out[1:, step:]


# --- asynchronous engine: one event at a time, each spike to its end before the next ----------------------------------


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
        self.impulses = {}
        self.reset()

    def reset(self):
        shapes = self.twin.shapes
        self.spikes = dict.fromkeys(["input", *(layer.name for layer in self.layers)], 0)
        self.synops, self.tick, self.t0 = {}, 0, None
        self.gained = []  # (timestep, output values) of all that was gathered
        self.start_hidden()
        self.turns = [
            (layer, y, x)
            for layer in self.layers
            if (self.twin.bias[layer.name] > 0).any()
            for y, x in np.ndindex(*shapes[layer.name][1:])
        ]

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
        for i, (layer, y, x) in enumerate(self.turns):
            if i * 64 // len(self.turns) == self.tick % 64:
                self.fire([(layer.name, (c, y, x)) for c in range(self.twin.shapes[layer.name][0])])

    def work_off(self, source, place):
        self.spikes[source] += 1
        if source == self.last:
            gain = np.zeros(self.twin.shapes[source], int)
            gain[place] = 1
            self.gained.append((self.tick // 64, gain))
        reached = {}  # neuron: number of the last edge that led to it
        for number, (end, i) in enumerate(self.edges):
            if self.twin.routes[end][i][0] != source:
                continue
            weights, times, name = self.impulse(end, i, source, place)
            self.synops[name] = self.synops.get(name, 0) + int(times.sum())
            if end in self.v:
                self.v[end] = self.v[end] + weights
                reached |= {(end, tuple(target)): number for target in np.argwhere(times).tolist()}
            else:
                self.gained.append((self.tick // 64, weights))
        by_edge_row_column_channel = lambda neuron: (reached[neuron], *neuron[1][1:], neuron[1][0])  # noqa: E731
        self.fire(sorted(reached, key=by_edge_row_column_channel))

    def impulse(self, end, i, source, place):
        """(weights that a spike adds to each neuron of `end` along a route, how many it adds, name of their layer)."""
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
            self.impulses[key] = weights, times, name or end
        return self.impulses[key]

    def fire(self, neurons):
        """Those at or above threshold are reset, then their spikes worked off, each to its end."""
        firing = []
        for name, place in neurons:
            layer = self.twin.by_name[name]
            threshold = int(self.twin.threshold(layer)[place[0]])
            potential = int(self.potential(name)[place])
            if potential >= threshold:
                self.v[name][place] -= threshold if layer.reset == "subtract" else potential
                firing.append((name, place))
        for name, place in firing:
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
