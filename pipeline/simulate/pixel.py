"""The pixels of a simulated event camera: frames of light intensity in, events with sub-frame times out.

The model is the field's (v2e: Hu, Liu, Delbruck 2021; ESIM: Rebecq et al. 2018), written anew. Each pixel

    V* = lin-log(I)                 photoreceptor: logarithmic, linear in the dark
    dV/dt = (V* - V) / tau(I)       finite bandwidth: first-order low-pass, its corner proportional to I
    d = V - V_memorised + leak * t  ON event at d >= threshold_on, OFF event at d <= -threshold_off

and after an event is held in reset for the refractory period, at whose end it memorises the voltage of that moment.
Between two frames V runs in a straight line, so a crossing is solved for, not searched. Shot noise is a Poisson
process in continuous time, drawn per pixel by its own generator: the events depend on the frames and the seed, not on
how the frames are grouped into calls. docs/simulator.md has the equations and what is left out.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..errors import EventError
from ..events import EVENT_DTYPE, SensorSize
from .pixel_kernel import photoreceptors, run
from .seeded import hash64, normal, uniform

WHITE = 255.0  # intensity of a white surface under nominal light; frames may exceed it
_SMALLEST_THRESHOLD = 0.01  # mismatch never makes a threshold smaller, as in v2e


@dataclass(frozen=True)
class PixelSettings:
    """What a pixel is like. The defaults are those of a DVS128 in a lit room."""

    threshold_on: float = 0.22  # rise of log intensity (natural logarithm) per ON event
    threshold_off: float = 0.22  # fall of log intensity per OFF event
    threshold_mismatch: float = 0.1  # standard deviation over the pixels, as a share of the threshold
    linear_below: float = 20.0  # intensity (white = 255) under which the photoreceptor is linear
    cutoff_hz: float = 300.0  # corner frequency at white, falling with intensity; 0 = unlimited
    refractory_us: float = 500.0  # time after an event in which the pixel is blind
    leak_hz: float = 0.1  # mean rate of leak events (ON) of a pixel that sees nothing
    leak_mismatch: float = 0.5  # standard deviation over the pixels of the logarithm of the leak rate
    shot_noise_hz: float = 1.0  # mean rate of noise events (ON and OFF) of a pixel in the dark
    shot_noise_in_white: float = 0.25  # their rate at white, as a share of that in the dark
    hot_pixels: float = 0.0005  # share of the pixels that leak at `hot_pixel_hz`
    hot_pixel_hz: float = 30.0  # mean rate of leak events of a hot pixel
    start_spread: float = 0.8  # memorised voltages start within this share of the thresholds; 0 = all at rest

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise EventError(f"pixel setting {field.name} is {value}, want a number of at least 0")
        for name, least in (
            ("threshold_on", _SMALLEST_THRESHOLD),
            ("threshold_off", _SMALLEST_THRESHOLD),
            ("linear_below", 1),
        ):
            if getattr(self, name) < least:
                raise EventError(f"pixel setting {name} is {getattr(self, name)}, want at least {least}")
        for name in ("shot_noise_in_white", "hot_pixels", "start_spread"):
            if getattr(self, name) > 1:
                raise EventError(f"pixel setting {name} is a share and {getattr(self, name)}, want 0 to 1")

    @classmethod
    def ideal(cls, threshold: float = 0.2, refractory_us: float = 0.0) -> "PixelSettings":
        """All pixels alike, at rest, infinitely fast and free of noise: for tests and for reasoning."""
        return cls(threshold, threshold, 0, 20, 0, refractory_us, 0, 0, 0, 0, 0, 0, 0)


class Camera:
    """An array of pixels with state. The first frame sets where they rest; each later one may bring events."""

    def __init__(self, sensor: SensorSize, settings: PixelSettings | None = None, seed: int = 0) -> None:
        self.sensor = sensor
        self.settings = settings or PixelSettings()
        self.seed = seed
        count = sensor.width * sensor.height
        self._buffer = np.empty(1 << 14, EVENT_DTYPE)
        self._scratch = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.bool_)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is the first, and all noise begins anew from the seed."""
        self._pixels = _new_pixels(len(self._scratch[0]), self.settings, self.seed)
        self._last_us: int | None = None

    def push(self, t_us: int | np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Events up to and including `t_us`, sorted by time.

        `frame` is (height, width) of linear light intensity, 0 dark, 255 white, at time `t_us`; or a stack
        (n, height, width) with n rising times. Raises EventError where shapes, times or values do not fit.
        """
        times, frames = self._checked(t_us, frame)
        if self._last_us is None:
            self._last_us = int(times[0])
            self._settle(frames[0])
            times, frames = times[1:], frames[1:]
        if not len(times):
            return np.empty(0, EVENT_DTYPE)
        found = self._advance(times, frames)
        self._last_us = int(times[-1])
        return found[np.argsort(found["t"], kind="stable")]

    def _advance(self, times: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Run the kernel, giving it a larger buffer as often as it asks for one."""
        settings, at_frame, at_pixel, count = self.settings, 0, 0, 0
        corner = 2 * math.pi * settings.cutoff_hz * 1e-6 / (WHITE + settings.linear_below) or math.inf
        before = np.concatenate([[self._last_us], times[:-1]]).astype(np.int64)
        while True:
            at_frame, at_pixel, count = run(
                before, times, frames, frames.view(np.int32), self.sensor.width,
                float(settings.linear_below), corner, float(settings.refractory_us),
                float(settings.shot_noise_hz), float(settings.shot_noise_in_white), *self._pixels, *self._scratch,
                self._buffer, at_frame, at_pixel, count,
            )  # fmt: skip
            if at_frame == len(times):
                return self._buffer[:count]
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])

    def _settle(self, frame: np.ndarray) -> None:
        """Let every pixel have seen `frame` for ever, and draw the time of its first noise event."""
        settings, pixels = self.settings, self._pixels
        dark = float(settings.linear_below)
        photoreceptors(frame, frame.view(np.int32), math.inf, dark, pixels.voltage, pixels.voltage)
        if settings.shot_noise_hz:
            waits = -np.log1p(-uniform(self.seed, 8, len(frame))) * 1e6 / settings.shot_noise_hz
            pixels.noise_us[:] = self._last_us + waits

    def _checked(self, t_us: int | np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        times, frames = np.atleast_1d(np.asarray(t_us, np.int64)), np.asarray(frame, np.float32)
        shape = (self.sensor.height, self.sensor.width)
        if frames.ndim == 2:
            frames = frames[None]
        if frames.ndim != 3 or frames.shape[1:] != shape:
            raise EventError(f"frame has shape {np.shape(frame)}, want {shape} (height, width) or a stack of such")
        if times.ndim != 1 or len(times) != len(frames):
            raise EventError(f"{len(frames)} frames come with {times.size} times, want one time for each")
        last = np.concatenate([[self._last_us if self._last_us is not None else times[0] - 1], times])
        if (np.diff(last) <= 0).any():
            at = int(np.argmax(np.diff(last) <= 0))
            raise EventError(f"frame at {last[at + 1]} µs follows one at {last[at]} µs; frame times must rise")
        if frames.size and not (frames.min() >= 0 and frames.max() < np.inf):
            raise EventError("frame has a value that is negative or not finite, want light intensities from 0 up")
        return times, np.ascontiguousarray(frames).reshape(len(frames), -1)


class _Pixels(NamedTuple):
    """Per-pixel constants and state, in the order in which the kernel takes them; float32 where that will do: the
    kernel's speed is that of the memory.
    """

    on: np.ndarray  # threshold_on of this pixel
    off: np.ndarray  # threshold_off
    leak: np.ndarray  # rise of the difference by leakage, per µs
    voltage: np.ndarray  # V at the last frame
    difference: np.ndarray  # d at the last frame; NaN = held in reset, which the quick comparison cannot pass
    held_us: np.ndarray  # until when it is held
    noise_us: np.ndarray  # when the next noise event is due
    generator: np.ndarray  # state of this pixel's random numbers


def _new_pixels(count: int, settings: PixelSettings, seed: int) -> _Pixels:
    s = settings
    on, off = (
        np.maximum(theta * (1 + s.threshold_mismatch * normal(seed, salt, count)), _SMALLEST_THRESHOLD)
        for theta, salt in ((s.threshold_on, 1), (s.threshold_off, 2))
    )
    leak_hz = np.full(count, float(s.leak_hz))
    if s.leak_mismatch and s.leak_hz:
        leak_hz *= np.exp(s.leak_mismatch * normal(seed, 3, count) - s.leak_mismatch**2 / 2)  # the mean stays
    hot = uniform(seed, 4, count) < s.hot_pixels
    leak_hz[hot] = -s.hot_pixel_hz * np.log1p(-uniform(seed, 5, count)[hot])  # exponentially distributed rates
    leak = leak_hz * on * 1e-6
    difference = s.start_spread * (uniform(seed, 6, count) * (on + off) - off)
    generator = hash64(seed, 7, count) | np.uint64(1)  # xorshift must not start at zero
    constants = on.astype(np.float32), off.astype(np.float32), leak.astype(np.float32)
    voltage, held_us, noise_us = np.zeros(count, np.float32), np.full(count, -np.inf), np.full(count, np.inf)
    return _Pixels(*constants, voltage, difference.astype(np.float32), held_us, noise_us, generator)
