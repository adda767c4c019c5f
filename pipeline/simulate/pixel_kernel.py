"""The pixel model's inner loops. What they compute is told in pixel.py; how they are laid out, here.

A frame interval takes three sweeps over the pixels. The first two are free of branches, so the compiler runs several
pixels at a time: the photoreceptors, then which pixels have something to do (few). The third gives those to `_fire`.
Measured on one core against a single loop with the C library's logarithm: a third of the time. Hence also the logarithm
of our own: it errs by less than 1e-6, a hundred-thousandth of a threshold, and alike on every machine.
`error_model="numpy"` says only that no division here asks whether its divisor is zero, which would keep loops scalar.
"""

import math

import numpy as np

from ..kernel_cache import kernel
from .seeded import next_uniform

LN2 = 0.6931471805599453


@kernel(error_model="numpy")
def photoreceptors(frame, bits, corner_dt, linear_below, voltage, new):
    """new[i] = V moved towards V* = lin-log(I) for each pixel.

    `bits` is the frame's float32 seen as int32: 2^e * (1 + m) has the logarithm e ln 2 + ln(1 + m), the latter by a
    polynomial that is exact at m = 0 and 1. `corner_dt` = 2 pi f dt / I; infinite = no low-pass. Backward Euler: stable
    for any dt.
    """
    slope, base = 1.0 / linear_below, math.log(linear_below) - 1.0
    for i in range(frame.shape[0]):
        intensity, old = float(frame[i]), float(voltage[i])
        e = float(np.int32(bits[i] >> np.int32(23)) - np.int32(127))
        m = float(np.int32(bits[i] & np.int32(0x7FFFFF))) * 2.0**-23
        bend = -0.09166992479 + m * (0.04503717777 - m * 0.01073043467)
        bend = 0.3068490998 + m * (-0.1928613586 + m * (0.1365198872 + m * bend))
        target = (e + m) * LN2 + m * (1.0 - m) * bend
        if intensity < linear_below:
            target = intensity * slope + base
        keep = 1.0 / (1.0 + corner_dt * (intensity + linear_below))
        new[i] = np.float32(target + keep * (old - target))


@kernel(error_model="numpy")
def _sweep(dt, t_stop, on, off, leak, voltage, difference, noise_us, new, moved, busy):
    """moved = d after the interval if nothing fires; busy where something may (NaN, held in reset, compares false)."""
    for i in range(moved.shape[0]):
        d = float(difference[i]) + (float(new[i]) - float(voltage[i]) + float(leak[i]) * dt)
        moved[i] = np.float32(d)
        busy[i] = not ((d < float(on[i])) & (d > -float(off[i])) & (noise_us[i] > t_stop))


@kernel(error_model="numpy")
def _commit(voltage, difference, new, moved, busy):
    """All pixels get their new voltage, those that were not busy their new d."""
    for i in range(voltage.shape[0]):
        voltage[i] = new[i]
        difference[i] = difference[i] if busy[i] else moved[i]


@kernel(error_model="numpy")
def run(
    before, times, frames, bits, width, linear_below, corner, refractory_us, noise_hz, noise_in_white,
    on, off, leak, voltage, difference, held_us, noise_us, generator, new, moved, busy,
    events, at_frame, at_pixel, count,
):  # fmt: skip
    """Every pixel through every frame interval (before[k], times[k]], from pixel `at_pixel` of frame `at_frame` on.

    Writes events from index `count`. Returns (frame, pixel, count) where to go on: frame == len(times) when done, else
    the buffer is full, and that pixel and all after it are untouched.
    """
    for k in range(at_frame, times.shape[0]):
        dt = float(times[k] - before[k])
        p = at_pixel  # sliced off here, because a loop that begins anywhere is not known to keep to the array
        photoreceptors(frames[k, p:], bits[k, p:], corner * dt, linear_below, voltage[p:], new[p:])
        _sweep(
            dt, float(times[k]), on[p:], off[p:], leak[p:], voltage[p:], difference[p:], noise_us[p:],
            new[p:], moved[p:], busy[p:],
        )  # fmt: skip
        stop = frames.shape[1]
        for i in range(at_pixel, frames.shape[1]):
            if busy[i]:
                slope = (float(new[i]) - float(voltage[i]) + float(leak[i]) * dt) / dt
                full, count = _fire(
                    i, before[k], dt, slope, float(frames[k, i]), width, refractory_us, noise_hz, noise_in_white,
                    on, off, difference, held_us, noise_us, generator, events, count,
                )  # fmt: skip
                if full:
                    stop = i
                    break
        _commit(voltage[p:stop], difference[p:stop], new[p:stop], moved[p:stop], busy[p:stop])
        if stop < frames.shape[1]:
            return k, stop, count
        at_pixel = 0
    return times.shape[0], 0, count


@kernel
def _fire(
    i, start, dt, slope, intensity, width, refractory_us, noise_hz, noise_in_white,
    on, off, difference, held_us, noise_us, generator, events, count,
):  # fmt: skip
    """The events of pixel i while d runs at `slope` for dt µs: (buffer full, count). When full, nothing has changed."""
    d, now, noise, state, n = float(difference[i]), 0.0, noise_us[i] - start, generator[i], count
    theta_on, theta_off = float(on[i]), float(off[i])
    if math.isnan(d):
        d, now = 0.0, held_us[i] - start
    while now < dt:
        crossing = math.inf
        if slope > 0.0:
            crossing = max(now, now + (theta_on - d) / slope)
        elif slope < 0.0:
            crossing = max(now, now - (theta_off + d) / slope)
        at, polarity = crossing, slope > 0.0
        if noise < crossing:
            at = noise
        if at > dt:
            break
        if noise < crossing:
            state, wait = next_uniform(state)
            state, chance = next_uniform(state)
            state, sign = next_uniform(state)
            noise += -math.log(1.0 - wait) * 1e6 / noise_hz
            brightness = min(intensity / 255.0, 1.0)
            if at < now or chance >= 1.0 + (noise_in_white - 1.0) * brightness:
                continue  # held in reset, or too bright for this one
            polarity = sign < 0.5
        if n == events.shape[0]:
            return True, count
        events[n]["t"] = start + math.floor(at)
        events[n]["x"] = i % width
        events[n]["y"] = i // width
        events[n]["p"] = polarity
        n += 1
        now, d = at + refractory_us, 0.0
    difference[i] = np.float32(d + slope * (dt - now)) if now < dt else np.float32(math.nan)
    held_us[i], noise_us[i], generator[i] = start + now, start + noise, state
    return False, n
