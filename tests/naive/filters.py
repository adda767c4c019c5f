"""Every filter and representation again, event by event, with Python's integers. The fast ones: pipeline/filters."""

import math
from fractions import Fraction

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE


def random_events(n, sensor, duration_us, seed):
    """n events in order of time within [0, duration_us), some at one time, crowded so that neighbours meet."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n))
    events["x"], events["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    events["p"] = rng.random(n) < 0.5
    return events


def as_array(rows):
    return np.array(rows, EVENT_DTYPE)


def polarity(events, sensor, keep="both", become="same"):
    made = {"same": lambda p: p, "swapped": lambda p: not p, "on": lambda p: True, "off": lambda p: False}[become]
    return [(t, x, y, made(p)) for t, x, y, p in events.tolist() if keep == "both" or p == (keep == "on")]


def region(events, sensor, x, y, width, height, keep="inside"):
    def inside(column, row):
        return x <= column < x + width and y <= row < y + height

    return [event for event in events.tolist() if inside(event[1], event[2]) == (keep == "inside")]


def crop(events, sensor, x, y, width, height):
    return [(t, column - x, row - y, p) for t, column, row, p in region(events, sensor, x, y, width, height)]


def _laid(events, sensor, turn):
    """Each event's pixel set in an empty image, and sought in the image that `turn` makes of it."""
    out = []
    for t, x, y, p in events.tolist():
        image = np.zeros((sensor.height, sensor.width), bool)
        image[y, x] = True
        row, column = np.argwhere(turn(image))[0]
        out.append((t, int(column), int(row), p))
    return out


def flip(events, sensor, axis):
    turns = {"horizontal": np.fliplr, "vertical": np.flipud, "both": lambda image: np.fliplr(np.flipud(image))}
    return _laid(events, sensor, turns[axis])


def rotate(events, sensor, degrees):
    return _laid(events, sensor, lambda image: np.rot90(image, -degrees // 90))


def transpose(events, sensor):
    return _laid(events, sensor, np.transpose)


def downsample(events, sensor, columns, rows):
    return [(t, x // columns, y // rows, p) for t, x, y, p in events.tolist()]


def integrate(events, sensor, columns, rows, threshold=None, leak_hz=0, polarities="together"):
    threshold = threshold or columns * rows
    potential, last, out = {}, {}, []
    for t, x, y, p in events.tolist():
        cell = (x // columns, y // rows, p if polarities == "apart" else None)
        v = potential.get(cell, Fraction(0))
        loss = Fraction(leak_hz * (t - last.get(cell, t)), 1_000_000)
        v = max(v - loss, 0) if v > 0 else min(v + loss, 0)
        v += 1 if p or polarities == "apart" else -1
        if abs(v) >= threshold:
            out.append((t, cell[0], cell[1], p))
            v -= threshold if v > 0 else -threshold
        potential[cell], last[cell] = v, t
    return out


def refractory(events, sensor, period_us, since="kept"):
    last, out = {}, []
    for t, x, y, p in events.tolist():
        passes = (x, y) not in last or t - last[x, y] > period_us
        if passes:
            out.append((t, x, y, p))
        if passes or since == "any":
            last[x, y] = t
    return out


def correlation(events, sensor, window_us, witnesses=2, radius=1, polarity="same"):
    last, out = {}, []
    steps = range(-radius, radius + 1)
    for t, x, y, p in events.tolist():
        channel = p if polarity == "same" else None
        times = [last.get((x + dx, y + dy, channel)) for dx in steps for dy in steps if dx or dy]
        if sum(time is not None and t - time < window_us for time in times) >= witnesses:
            out.append((t, x, y, p))
        last[x, y, channel] = t
    return out


def background(events, sensor, window_us, neighbours=8):
    if neighbours == 8:
        return correlation(events, sensor, window_us, 1, 1, "any")
    last, out = {}, []
    for t, x, y, p in events.tolist():
        times = [last.get(pixel) for pixel in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1))]
        if any(time is not None and t - time < window_us for time in times):
            out.append((t, x, y, p))
        last[x, y] = t
    return out


def hot_pixel(events, sensor, learn_us=1_000_000, above_hz=50.0, times=5.0, again=True, listed=()):
    """A window at a time: what was hot in the last window that saw an event is dropped in this one."""
    out, hot, number = [], set(), None
    counts, learned = np.zeros((sensor.height, sensor.width), int), False
    for t, x, y, p in events.tolist():
        if learn_us is not None:
            now = (t - int(events["t"][0])) // learn_us
            if number is not None and now != number and not (learned and not again):
                hot, learned = _hot(counts, above_hz * learn_us / 1e6, times), True
                counts[:] = 0
            number = now
        counts[y, x] += 1
        if (x, y) not in hot and (x, y) not in listed:
            out.append((t, x, y, p))
    return out


def _hot(counts, least, times):
    found = set()
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            around = [
                counts[row, column]
                for row in range(max(0, y - 1), y + 2)
                for column in range(max(0, x - 1), x + 2)
                if row < counts.shape[0] and column < counts.shape[1] and (row, column) != (y, x)
            ]
            if counts[y, x] > least and counts[y, x] > times * sorted([0, 0, *around])[-2]:
                found.add((x, y))
    return found


def rate_limit(events, sensor, events_per_s, burst=1_000):
    credit, last, out = Fraction(burst), None, []
    for event in events.tolist():
        credit = min(Fraction(burst), credit + Fraction(events_per_s * (event[0] - (last or event[0])), 1_000_000))
        last = event[0]
        if credit >= 1:
            credit -= 1
            out.append(event)
    return out


def random_drop(events, sensor, keep, seed=0):
    numbers = np.random.PCG64(seed).random_raw(len(events))
    return [event for event, number in zip(events.tolist(), numbers.tolist(), strict=True) if number / 2**64 < keep]


def undistort(events, sensor, fx, fy, cx, cy, distortion, model="pinhole"):
    """Each pixel goes to the ideal pixel that the lens maps nearest to it: found by looking at all, finely."""
    moved = {}
    for y in range(sensor.height):
        for x in range(sensor.width):
            moved[x, y] = _ideal((x - cx) / fx, (y - cy) / fy, distortion, model)
    out = []
    for t, x, y, p in events.tolist():
        a, b = moved[x, y]
        column, row = math.floor(a * fx + cx + 0.5), math.floor(b * fy + cy + 0.5)
        if 0 <= column < sensor.width and 0 <= row < sensor.height:
            out.append((t, column, row, p))
    return out


def _ideal(u, v, distortion, model):
    """A fixed point: the ideal place is the one seen, divided by what the lens does there."""
    a, b = u, v
    for _ in range(500):
        at_u, at_v = distort(a, b, distortion, model)
        a, b = a + 0.5 * (u - at_u), b + 0.5 * (v - at_v)
    return a, b


def distort(a, b, distortion, model):
    """Where a lens puts the ideal point (a, b), as OpenCV's documentation writes it."""
    r = math.hypot(a, b)
    if model == "fisheye":
        angle = math.atan(r)
        bent = angle * (1 + sum(k * angle ** (2 * n) for n, k in enumerate(distortion, 1)))
        return (a, b) if r == 0 else (bent / r * a, bent / r * b)
    k1, k2, p1, p2, k3, k4, k5, k6 = [*distortion, *[0] * (8 - len(distortion))]
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return (
        a * radial + 2 * p1 * a * b + p2 * (r**2 + 2 * a**2),
        b * radial + p1 * (r**2 + 2 * b**2) + 2 * p2 * a * b,
    )


def polarity_frame(events, sensor):
    frame = np.zeros((2, sensor.height, sensor.width), int)
    for _, x, y, p in events.tolist():
        frame[int(p), y, x] += 1
    return frame


def voxel_grid(events, sensor, bins, t_start_us, t_stop_us):
    """(2, bins, height, width) of Fractions: every bin asks every event how near it is."""
    grid = np.full((2, bins, sensor.height, sensor.width), Fraction(0))
    for t, x, y, p in events.tolist():
        place = Fraction((bins - 1) * (t - t_start_us), t_stop_us - t_start_us)
        for b in range(bins):
            grid[int(p), b, y, x] += max(Fraction(0), 1 - abs(b - place))
    return grid


def decayed_surface(events, sensor, t_us, tau_us):
    surface = np.zeros((2, sensor.height, sensor.width))
    for t, x, y, p in events.tolist():
        surface[int(p), y, x] += math.exp(-(t_us - t) / tau_us)
    return surface


def time_surface(events, sensor, t_us, decay):
    """decay(age) of the youngest event of each pixel and polarity; 0 where there is none."""
    surface = np.zeros((2, sensor.height, sensor.width))
    for p, y, x in np.ndindex(surface.shape):
        times = [t for t, column, row, sign in events.tolist() if (column, row, sign) == (x, y, bool(p))]
        surface[p, y, x] = decay(t_us - max(times)) if times else 0.0
    return surface
