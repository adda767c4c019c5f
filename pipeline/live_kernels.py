"""The loops behind live.py and datagrams.py: words of datagrams become events, counters that wrap become time."""

import numpy as np

from .kernel_cache import kernel


@kernel
def unroll(events, period):
    """t_i' = t_{i-1}' + the shortest way from t_{i-1}' to t_i around `period` (µs, 0: no wrap), in place.

    Returns the least and the largest time of at least one event, and the largest step back behind the latest before.
    """
    t = events[0]["t"]
    least, largest, back = t, t, np.int64(0)
    for i in range(1, events.shape[0]):
        step = events[i]["t"] - t
        if period > 0:
            step = (step + period // 2) % period - period // 2
        t += step
        if period > 0:
            events[i]["t"] = t
        least, largest, back = min(least, t), max(largest, t), max(back, largest - t)
    return least, largest, back


@kernel
def decode_spif(words, untimed_us, events):
    """A word is x in bits 16 to 30, p in 15, y in 0 to 14; unless bit 31 is set, the next word is its time.

    A word without a time is given `untimed_us`. Returns (events, words used): one word more is a time that is missing.
    """
    kept, i, n = 0, 0, words.shape[0]
    while i < n:
        word = np.int64(words[i])
        t = np.int64(untimed_us)
        if word >> 31 == 0:
            if i + 1 == n:
                break
            i += 1
            t = np.int64(words[i])
        events[kept]["t"] = t
        events[kept]["x"] = word >> 16 & 0x7FFF
        events[kept]["y"] = word & 0x7FFF
        events[kept]["p"] = word >> 15 & 1 == 1
        kept += 1
        i += 1
    return kept, i


@kernel
def decode_faery32(words, events):
    """Two words an event: its time; then x in bits 0 to 15, p in 16, y in 17 to 31."""
    for i in range(events.shape[0]):
        word = np.int64(words[2 * i + 1])
        events[i]["t"] = words[2 * i]
        events[i]["x"] = word & 0xFFFF
        events[i]["y"] = word >> 17
        events[i]["p"] = word >> 16 & 1 == 1


@kernel
def decode_faery64(octets, events):
    """13 bytes an event, lowest first: time in 8, x in 2, y in 2, polarity in 1 (brighter unless 0)."""
    for i in range(events.shape[0]):
        at = 13 * i
        t = np.int64(0)
        for k in range(8):
            t |= np.int64(octets[at + k]) << (8 * k)
        events[i]["t"] = t
        events[i]["x"] = np.int64(octets[at + 8]) | np.int64(octets[at + 9]) << 8
        events[i]["y"] = np.int64(octets[at + 10]) | np.int64(octets[at + 11]) << 8
        events[i]["p"] = octets[at + 12] != 0
