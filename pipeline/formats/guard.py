"""The last check of every event that leaves a reader: within the sensor, in order of time, on one clock.

What was chosen. Events are delivered in the order of the file, so a reader holds nothing back and a packet's promise
about later times is exact. An event up to 10 ms behind its predecessor (what DVS128 hardware does) is given its
predecessor's time and counted. A larger step back is a counter that wrapped, where the container has a counter and
the step fits it, or else a clock that was set to zero while recording, as jAER's key does: time then goes on from
where it was, counted. A step forward beyond ten minutes is taken for damage, not for silence: a slicer would
otherwise fill it with millions of empty slices. Rivals: sorting within a window (delays every packet for the sake of
files that hardly exist), and refusing (loses real recordings whose clock was zeroed).
"""

from collections.abc import Sequence

import numpy as np

from ..kernel_cache import kernel

BACKWARDS_US = 10_000  # a step back up to this is jitter of the sensor's own clock
WRAP_GAP_US = 60_000_000  # a counter has wrapped only if the time without events that this implies is below this
FORWARD_US = 600_000_000  # a step forward beyond this is damage
MAX_RESTARTS = 100  # a clock that restarts more often than this is not a clock
MAX_TIME_US = 1 << 61  # times beyond are damage; keeps the sums below within 64 bits

# Places in the state (int64) that one reading carries from packet to packet.
LAST, OFFSET, STARTED, BACKWARDS, RESTARTS, WRAPS, JUMPS, OUTSIDE = range(8)
STATE_SIZE = 8
# Why _guard stopped.
ALL_GOOD, IS_OUTSIDE, IS_JUMP, IS_RESTARTING = range(4)


def new_state() -> np.ndarray:
    """The state before the first event of a recording."""
    return np.zeros(STATE_SIZE, np.int64)


def check(
    events: np.ndarray, width: int, height: int, period: int, skip: bool, state: np.ndarray, steady: bool = False
) -> tuple[int, int, int]:
    """What guard does; six times as fast for events that need no change, which nearly all do.

    `steady`: a decoder has seen already that they are within the sensor and go on without a step back or a leap.
    """
    if len(events) and not state[OFFSET]:
        first, last = int(events["t"][0]), int(events["t"][-1])
        before = int(state[LAST]) if state[STARTED] else first
        follows = before <= first <= before + FORWARD_US and abs(first) <= MAX_TIME_US >= abs(last)
        if follows and (steady or is_steady(extremes(events), width, height)):
            state[STARTED], state[LAST] = 1, last
            return len(events), len(events), ALL_GOOD
    kept, read, reason = guard(events, width, height, period, skip, state)
    return kept, read, reason


def is_steady(found: Sequence[int], width: int, height: int) -> bool:
    """Whether events need no change of which `extremes` found this."""
    least, largest, x, y = found
    return least >= 0 and largest <= FORWARD_US and x < width and y < height


@kernel
def extremes(events):
    """The smallest and the largest step of time (or 0), the largest x and the largest y of at least one event."""
    last, least, largest = events[0]["t"], np.int64(0), np.int64(0)
    x, y = events[0]["x"], events[0]["y"]
    for i in range(1, events.shape[0]):
        t = events[i]["t"]
        least, largest = min(least, t - last), max(largest, t - last)
        x, y = max(x, events[i]["x"]), max(y, events[i]["y"])
        last = t
    return least, largest, x, y


@kernel
def guard(events, width, height, period, skip, state):
    """Keep the good events at the front of `events` (changed in place), on one clock that never runs backwards.

    t' = t + offset, where offset grows by `period` (µs, 0: none) at a wrap. Returns (events kept, events read, reason);
    with `skip` bad events are left out and the reason is always ALL_GOOD.
    """
    kept = 0
    for i in range(events.shape[0]):
        x, y, raw = events[i]["x"], events[i]["y"], events[i]["t"]
        if x >= width or y >= height:
            if not skip:
                return kept, i, IS_OUTSIDE
            state[OUTSIDE] += 1
            continue
        if raw > MAX_TIME_US or raw < -MAX_TIME_US:
            if not skip:
                return kept, i, IS_JUMP
            state[JUMPS] += 1
            continue
        if state[STARTED] == 0:
            state[STARTED] = 1
            state[LAST] = raw
        step = raw + state[OFFSET] - state[LAST]
        if step < -BACKWARDS_US:
            if period > 0 and -BACKWARDS_US <= step + period <= min(WRAP_GAP_US, period // 2):
                state[OFFSET] += period
                state[WRAPS] += 1
                step += period
            else:
                if state[RESTARTS] >= MAX_RESTARTS and not skip:
                    return kept, i, IS_RESTARTING
                state[OFFSET] = state[LAST] - raw
                state[RESTARTS] += 1
                step = np.int64(0)
        elif period > 0 and -BACKWARDS_US <= step - period < 0:
            step -= period  # a late event from before the wrap
        elif step > FORWARD_US:
            if not skip:
                return kept, i, IS_JUMP
            state[OFFSET] = state[LAST] - raw
            state[JUMPS] += 1
            step = np.int64(0)
        if step < 0:
            state[BACKWARDS] += 1
            step = np.int64(0)
        state[LAST] += step
        events[kept]["t"] = state[LAST]
        events[kept]["x"] = x
        events[kept]["y"] = y
        events[kept]["p"] = events[i]["p"]
        kept += 1
    return kept, events.shape[0], ALL_GOOD
