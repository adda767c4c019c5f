"""Dense representations of events: frames, voxel grids, time surfaces; for training and for looking.

Functions take the events of one slice; the two surfaces remember, and give the same however the stream is cut. Axes are
(polarity, height, width), with time bins in front of height; polarity 0 is darker, 1 brighter. The network's own input
is sparse: binning.py.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from .errors import EventError
from .events import EVENT_DTYPE, SensorSize
from .kernel_cache import kernel

FOREVER = 2**62  # µs: no event lies further from zero


def count_frame(events: np.ndarray, sensor: SensorSize) -> np.ndarray:
    """How many events each pixel had, whatever their polarity: N(y, x) = #{i: x_i = x, y_i = y}. int32 (height, width).

    Raises EventError if an event lies outside the sensor; so do all functions here.
    """
    return polarity_frame(events, sensor).sum(0, dtype=np.int32)


def signed_frame(events: np.ndarray, sensor: SensorSize) -> np.ndarray:
    """Brighter less darker events: D(y, x) = N(1, y, x) - N(0, y, x). int32 (height, width)."""
    frame = polarity_frame(events, sensor)
    return frame[1] - frame[0]


def polarity_frame(events: np.ndarray, sensor: SensorSize) -> np.ndarray:
    """How many events of each polarity each pixel had: N(p, y, x). int32 (2, height, width)."""
    _check(events, sensor)
    frame = np.zeros((2, sensor.height, sensor.width), np.int32)
    add_counts(events, frame)
    return frame


def voxel_grid(
    events: np.ndarray,
    sensor: SensorSize,
    bins: int,
    t_start_us: int,
    t_stop_us: int,
    polarity: Literal["signed", "apart"] = "signed",
) -> np.ndarray:
    """Events of one slice, each shared linearly between the two nearest of `bins` points in time.

    Zhu et al. 2019, "Unsupervised event-based learning of optical flow, depth, and egomotion", equations 1 and 2, with
    the bounds of the slice in place of its first and last event, so that the grid does not hang on single events:
        t*_i = (bins - 1) (t_i - t_start) / (t_stop - t_start)
        V(b, y, x) = sum_i s_i max(0, 1 - |b - t*_i|) over the events of pixel (x, y)
    "signed": s = +1 for brighter, -1 for darker, float32 (bins, height, width). "apart": s = 1, one grid a polarity,
    float32 (2, bins, height, width). Whatever the bins, the weights of one event add up to 1. All events must lie
    within [t_start_us, t_stop_us).
    """
    if bins < 1 or t_stop_us <= t_start_us:
        raise EventError(
            f"{bins} bins from {t_start_us} to {t_stop_us} µs; want at least 1, and a stop after the start"
        )
    _check(events, sensor, t_start_us, t_stop_us)
    grid = np.zeros((2 if polarity == "apart" else 1, bins, sensor.height, sensor.width), np.float32)
    share_in_time(events, t_start_us, t_stop_us - t_start_us, grid)
    return grid if polarity == "apart" else grid[0]


class TimeSurface:
    """When each pixel last had an event, T(p, y, x), seen through a decay.

    Lagorce et al. 2017, "HOTS", equations 2 and 3, over the whole sensor. Pixels without an event yet are 0.
    """

    def __init__(self, sensor: SensorSize) -> None:
        self.sensor = sensor
        self.times = np.full((2, sensor.height, sensor.width), -(2**63))  # int64, µs; -2**63: no event yet
        self._last_us = -FOREVER

    def push(self, events: np.ndarray) -> None:
        """Take the next events of the stream, sorted by time."""
        self._last_us = _check(events, self.sensor, self._last_us)
        note_times(events, self.times)

    def exponential(self, t_us: int, tau_us: float) -> np.ndarray:
        """S(p, y, x) = exp(-(t - T(p, y, x)) / tau): 1 for an event just now. float32 (2, height, width)."""
        return self._seen(t_us, lambda age: np.exp(-age / tau_us))

    def linear(self, t_us: int, window_us: float) -> np.ndarray:
        """S(p, y, x) = max(0, 1 - (t - T(p, y, x)) / window). float32 (2, height, width)."""
        return self._seen(t_us, lambda age: np.maximum(0.0, 1.0 - age / window_us))

    def _seen(self, t_us: int, decay: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        _check_now(t_us, self._last_us)
        known = self.times >= -FOREVER
        surface = np.zeros(self.times.shape, np.float32)
        surface[known] = decay((t_us - self.times[known]).astype(np.float64))
        return surface


class DecayedSurface:
    """All events of each pixel, each forgotten exponentially: E(p, y, x) = sum_i exp(-(t - t_i) / tau).

    A leaky integrator a pixel (Cohen et al. 2018 call it the event-based count with decay): in contrast to a time
    surface it tells a busy pixel from one with a single recent event. `tau_us` is in µs of sensor time.
    """

    def __init__(self, sensor: SensorSize, tau_us: float) -> None:
        if not tau_us > 0:
            raise EventError(f"tau_us is {tau_us}, want more than 0 µs")
        self.sensor, self.tau_us = sensor, float(tau_us)
        self._sums = np.zeros((2, sensor.height, sensor.width))  # as they were at the last event of each
        self._times = np.zeros((2, sensor.height, sensor.width), np.int64)
        self._last_us = -FOREVER

    def push(self, events: np.ndarray) -> None:
        """Take the next events of the stream, sorted by time."""
        self._last_us = _check(events, self.sensor, self._last_us)
        add_decayed(events, self.tau_us, self._sums, self._times)

    def at(self, t_us: int) -> np.ndarray:
        """E at time t_us, which no event lies behind. float32 (2, height, width)."""
        _check_now(t_us, self._last_us)
        age = np.where(self._sums > 0, t_us - self._times, 0)
        return (self._sums * np.exp(-age / self.tau_us)).astype(np.float32)


def picture(surface: np.ndarray, most: float | None = None) -> np.ndarray:
    """A surface in colour: white where nothing was, blue for brighter, red for darker, full at `most`.

    `surface`: (height, width), signed; or (2, height, width), darker and brighter. `most` None: its greatest value.
    Returns uint8 (height, width, 3), red, green, blue.
    """
    if surface.ndim not in (2, 3) or (surface.ndim == 3 and len(surface) != 2):
        raise EventError(
            f"a surface of shape {surface.shape} has no picture, want (height, width) or (2, height, width)"
        )
    off, on = surface if surface.ndim == 3 else (np.maximum(-surface, 0), np.maximum(surface, 0))
    most = float(max(off.max(initial=0), on.max(initial=0))) if most is None else most
    off, on = (np.clip(part / (most or 1.0), 0.0, 1.0) for part in (off, on))
    return np.rint(255 * (1 - np.stack([on, np.maximum(on, off), off], axis=-1))).astype(np.uint8)


def _check(events: np.ndarray, sensor: SensorSize, first_us: int = -FOREVER, stop_us: int = FOREVER) -> int:
    """Time of the last event (without any: first_us). Raises EventError if an event lies outside sensor or times."""
    if events.dtype != EVENT_DTYPE:
        raise EventError(f"events have dtype {events.dtype}, want EVENT_DTYPE; use events.as_events first")
    stray = first_stray(events, sensor.width, sensor.height, first_us, stop_us)
    if stray < 0:
        return int(events["t"][-1]) if len(events) else first_us
    t, x, y, _ = events[stray].item()
    if x >= sensor.width or y >= sensor.height:
        raise EventError(
            f"event {stray} at x={x}, y={y} lies outside the {sensor} sensor; is the sensor that of the recording?"
        )
    bound = f"after {first_us} µs" if stop_us == FOREVER else f"within [{first_us}, {stop_us}) µs"
    raise EventError(f"event {stray} is at {t} µs, want it {bound}; give the events of one slice, in order of time")


def _check_now(t_us: int, last_us: int) -> None:
    if t_us < last_us:
        raise EventError(f"a surface was asked for {t_us} µs, but events until {last_us} µs are in it; ask for later")


@kernel
def first_stray(events, width, height, first, stop):
    """The first event outside the sensor or outside [first, stop), or -1."""
    for i in range(events.shape[0]):
        t = events[i]["t"]
        if events[i]["x"] >= width or events[i]["y"] >= height or t < first or t >= stop:
            return i
    return -1


@kernel
def add_counts(events, frame):
    """frame[p, y, x] += 1 for each event."""
    for i in range(events.shape[0]):
        frame[1 if events[i]["p"] else 0, events[i]["y"], events[i]["x"]] += 1


@kernel
def share_in_time(events, start, length, grid):
    """grid[., b, y, x] += s max(0, 1 - |b - (bins - 1) (t - start) / length|); with 1 grid s is the sign, else 1."""
    bins = grid.shape[1]
    apart = grid.shape[0] == 2
    for i in range(events.shape[0]):
        x, y, p = events[i]["x"], events[i]["y"], events[i]["p"]
        place = (events[i]["t"] - start) * (bins - 1)
        b = place // length
        later = (place - b * length) / length
        channel, sign = (1 if p else 0, 1.0) if apart else (0, 1.0 if p else -1.0)
        grid[channel, b, y, x] += np.float32(sign * (1.0 - later))
        if later > 0:
            grid[channel, b + 1, y, x] += np.float32(sign * later)


@kernel
def note_times(events, times):
    """times[p, y, x] = t for each event."""
    for i in range(events.shape[0]):
        times[1 if events[i]["p"] else 0, events[i]["y"], events[i]["x"]] = events[i]["t"]


@kernel
def add_decayed(events, tau, sums, times):
    """E <- E exp(-(t - t_last) / tau) + 1 at [p, y, x] for each event."""
    for i in range(events.shape[0]):
        t, x, y = events[i]["t"], events[i]["x"], events[i]["y"]
        channel = 1 if events[i]["p"] else 0
        before = sums[channel, y, x]
        if before > 0:
            before *= np.exp((times[channel, y, x] - t) / tau)
        sums[channel, y, x] = before + 1.0
        times[channel, y, x] = t
