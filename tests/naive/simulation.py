"""The simulated camera and its pictures, one pixel, one shape, one point at a time. Fast ones: pipeline/simulate."""

import math

import numpy as np


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
