"""Every kernel again, in the slowest and most obvious way that could be right. Tests hold the fast ones against these.

One section a module; nothing here is imported by the package.
"""

import math

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import IF, Conv2d, Linear, SumPool2d

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
    """What Engine computes, with dense arrays of Python-sized integers and no idea of what can be left out.

    `units` (weight layer name -> unit) are the engine's: weights, biases and thresholds are multiples of them.
    """

    LIMIT = 1 << 30

    def __init__(self, network, units, bias_scale=1.0):
        self.network, self.units, self.bias_scale = network, units, bias_scale
        self.shapes = network.shapes()
        self.neuron_of = {layer.inputs[0]: layer for layer in network.layers if isinstance(layer, IF)}
        self.synops = {}
        self.reset()

    def reset(self):
        self.v, self.total, self.steps, self.evidence = {}, 0, 0, []
        self.start_hidden()

    def start_hidden(self):
        for name, neuron in self.neuron_of.items():
            unit, shape = self.units[self.weights_before(name).name], self.shapes[name]
            threshold = np.maximum(np.rint(neuron.threshold.astype(float) / unit), 1)
            start = np.minimum(np.rint(neuron.v_init.astype(float) / unit), threshold - 1)
            self.v[name] = np.broadcast_to(start[:, None, None], shape).astype(np.int64)

    def weights_before(self, name):
        by_name = {layer.name: layer for layer in self.network.layers}
        layer = by_name[name]
        while not isinstance(layer, Conv2d | Linear):
            layer = by_name[layer.inputs[0]]
        return layer

    def step(self, inputs, current=False):
        """inputs: int (channel, height, width) spike counts, or float values of constant current. Returns spikes."""
        signal, out = np.asarray(inputs), {}
        if current:
            signal = np.rint(signal.astype(float) * 2**16).astype(np.int64)
        for layer in self.network.layers:
            if isinstance(layer, SumPool2d):
                signal = sum_pool(signal, layer.kernel, layer.stride)
            elif isinstance(layer, Conv2d | Linear):
                signal = self.weigh(layer, signal, current)
                out[layer.name] = signal
            elif isinstance(layer, IF):
                if current:  # up to here in multiples of 2**-16
                    signal, current = (signal + 2**15) >> 16, False
                signal = self.fire(layer, signal)
                out[layer.name] = signal
        self.steps += 1
        self.evidence.append(signal)
        return out

    def weigh(self, layer, signal, current):
        unit = self.units[layer.name]
        weight = np.rint(layer.weight.astype(float) / unit).astype(np.int64)
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.astype(float)
        bias = np.rint(bias * self.bias_scale / unit).astype(np.int64)
        if isinstance(layer, Linear):
            weight = weight.reshape(len(weight), *signal.shape)
            options = ((1, 1), (0, 0), (1, 1), 1)
        else:
            options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        if current:
            z = convolve(signal, weight, *options)
            bias = bias << 16
        else:
            z = convolve(signal.astype(np.int64), weight, *options)
            ones = np.ones_like(weight)
            self.synops[layer.name] = self.synops.get(layer.name, 0) + int(
                convolve(signal.astype(np.int64), ones, *options).sum()
            )
        return z + bias[:, None, None]

    def fire(self, layer, z):
        name = layer.inputs[0]
        unit = self.units[self.weights_before(name).name]
        threshold = np.maximum(np.rint(layer.threshold.astype(float) / unit), 1).astype(np.int64)[:, None, None]
        v = np.clip(self.v[name] + z, -self.LIMIT, self.LIMIT)
        spikes = v >= threshold
        self.v[name] = np.where(spikes, 0 if layer.reset == "zero" else v - threshold, v)
        return spikes.astype(np.int64)


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


def sum_pool(signal, kernel, stride):
    channels, height, width = signal.shape
    rows = (height - kernel[0]) // stride[0] + 1
    columns = (width - kernel[1]) // stride[1] + 1
    pooled = np.zeros((channels, rows, columns), signal.dtype)
    for y in range(rows):
        for x in range(columns):
            top, left = y * stride[0], x * stride[1]
            pooled[:, y, x] = signal[:, top : top + kernel[0], left : left + kernel[1]].sum(axis=(1, 2))
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
    """Scores after every step, and spikes of every IF layer so far; inputs: (channel, height, width) a step."""
    shapes = network.shapes()
    v, spikes, scores = {}, {}, []
    for layer in network.layers:
        if isinstance(layer, IF):
            v[layer.name] = np.broadcast_to(np.float64(layer.v_init)[:, None, None], shapes[layer.name]).copy()
            spikes[layer.name] = np.zeros(shapes[layer.name])
    output = np.zeros(shapes[network.layers[-1].name])
    for x in inputs:
        values = {"input": np.asarray(x, float)}
        for layer in network.layers:
            values[layer.name] = float_layer(layer, values[layer.inputs[0]], v, spikes)
        output += values[network.layers[-1].name]
        scores.append(output.reshape(-1).copy())
    return np.array(scores), spikes


def float_layer(layer, x, v, spikes):
    if isinstance(layer, SumPool2d):
        return sum_pool(x, layer.kernel, layer.stride)
    if isinstance(layer, IF):
        fired = np.zeros_like(x)
        for index in np.ndindex(*x.shape):
            threshold = float(layer.threshold[index[0]])
            v[layer.name][index] += x[index]
            if v[layer.name][index] >= threshold:
                fired[index] = 1
                v[layer.name][index] = v[layer.name][index] - threshold if layer.reset == "subtract" else 0.0
        spikes[layer.name] += fired
        return fired
    weight = layer.weight.astype(float)
    if isinstance(layer, Linear):
        z = convolve(x, weight.reshape(len(weight), *x.shape), (1, 1), (0, 0), (1, 1), 1)
    else:
        z = convolve(x, weight, layer.stride, layer.padding, layer.dilation, layer.groups)
    return z if layer.bias is None else z + layer.bias.astype(float)[:, None, None]


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
