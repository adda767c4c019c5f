"""Datagrams word by word, and wraps event by event. The fast ones: pipeline/datagrams.py and live_kernels.py."""


def unroll(times, period):
    """The times without wraps, relative to the first."""
    found = times[:1]
    for t in times[1:]:
        ways = [t] if not period else [t + k * period for k in range(-3, 4)]
        near = [way for way in ways if -period / 2 <= way - found[-1] < period / 2] or [t]
        found.append(near[0])
    return found


def decode_spif(data, untimed_us):
    """Events as tuples, and how many bytes were left over."""
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data) // 4 * 4, 4)]
    events, used = [], 0
    while words:
        word = f"{words[0]:032b}"
        timed = word[0] == "0"
        if timed and len(words) < 2:
            break
        t = words[1] if timed else untimed_us
        events.append((t, int(word[1:16], 2), int(word[17:], 2), word[16] == "1"))
        words = words[1 + timed :]
        used += 4 * (1 + timed)
    return events, len(data) - used


def decode_faery(data):
    events = []
    for i in range(0, len(data) // 13 * 13, 13):
        t, x, y = (int.from_bytes(data[i + a : i + b], "little") for a, b in ((0, 8), (8, 10), (10, 12)))
        events.append((t - (t >> 63) * 2**64, x, y, data[i + 12] != 0))
    return events, len(data) % 13


def decode_faery32(data):
    events = []
    for i in range(0, len(data) // 8 * 8, 8):
        t, x, yp = (int.from_bytes(data[i + a : i + b], "little") for a, b in ((0, 4), (4, 6), (6, 8)))
        events.append((t, x, yp // 2, yp % 2 == 1))
    return events, len(data) % 8
