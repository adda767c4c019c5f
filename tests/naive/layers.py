"""What layers without a threshold do, dense, and the routes of spikes through them; the other twins build on these."""

import numpy as np

from dvs_run.pipeline.network import (
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
