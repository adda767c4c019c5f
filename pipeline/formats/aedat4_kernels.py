"""AEDAT 4's packets of events, decoded many at a time: their flatbuffers, and LZ4 where they are packed with it.

The package `aedat` decodes packet by packet, and what is to be done around each of them in Python cost as much again.
Here a block of the file is gone through in one call. Everything that a file says of sizes and places is checked before
it is followed.
"""

import numpy as np

from ..kernel_cache import kernel
from .lz4_frames import TOO_SMALL, half, unpack_frame, word

TAKEN, FULL, INCOMPLETE, NO_CONTENT_ROOM, NO_EVENT_ROOM, DAMAGED, UNKNOWN = range(7)  # why `take` stopped
OTHERS, LEAST, LARGEST, MOST_X, MOST_Y, WANTED = range(6)  # places in its counts; WANTED: so much room
COUNTS = 6
NONE, LZ4 = 0, 1
STORED = np.dtype({"names": ["t", "xy", "p"], "formats": ["<i8", "<u4", "u1"], "offsets": [0, 8, 12], "itemsize": 16})
PAIRED = np.dtype([("t", "<i8"), ("xy", "<u4"), ("p", "?")])  # EVENT_DTYPE in three stores


@kernel
def take(data, size, streams, codec, content, events, counts):
    """Events of the packets at the beginning of data[:size] of the first of `streams`, the file's; (bytes done, events,
    why it stopped).

    `content`: room for what is unpacked. Both buffers end with SLACK bytes that are not used. `events` as PAIRED.
    """
    at, kept, count = np.int64(0), np.int64(0), np.int64(0)
    while True:
        if at + 8 > size:
            return at, kept, TAKEN if at == size else INCOMPLETE
        number, length = np.int32(word(data, at)), word(data, at + 4)
        start, end = at + 8, at + 8 + length
        if end > size:
            return at, kept, INCOMPLETE
        if number != streams[0]:
            if not (streams == number).any():
                return at, kept, UNKNOWN
            counts[OTHERS] += 1
            at = end
            continue
        if kept and kept + count > events.shape[0]:  # nor will the next one fit, which is not unpacked in vain
            return at, kept, FULL
        buffer = data
        if codec == LZ4:
            unpacked = unpack_frame(data, start, end, content)
            if unpacked == TOO_SMALL:
                counts[WANTED] = 2 * content.shape[0]
                return at, kept, NO_CONTENT_ROOM
            if unpacked < 0:
                return at, kept, DAMAGED
            buffer, start, end = content, np.int64(0), unpacked
        count = add(buffer, start, end, events, kept, counts)
        if count == TOO_SMALL:
            return at, kept, FULL if kept else NO_EVENT_ROOM
        if count < 0:
            return at, kept, DAMAGED
        at, kept = at + 8 + length, kept + count


@kernel
def add(buffer, start, end, events, kept, counts):
    """The events of one unpacked packet, to events[kept:]; how many, or why not (negative)."""
    first, count = find_events(buffer, start, end)
    if count > events.shape[0] - kept:
        counts[WANTED] = count
        return np.int64(TOO_SMALL)
    if count > 0:
        stored = buffer[first : first + 16 * count].view(STORED)
        copy(stored, events[kept:], events[kept - 1]["t"] if kept else stored[0]["t"], counts)
    return count


@kernel(inline="always")
def copy(stored, events, last, counts):
    """Events of 16 bytes to such of 13, what guard.extremes would find to `counts`. `last`: the time before."""
    least, largest = counts[LEAST], counts[LARGEST]
    most_x, most_y = np.uint32(counts[MOST_X]), np.uint32(counts[MOST_Y])
    for i in range(stored.shape[0]):
        t, xy = stored[i]["t"], stored[i]["xy"]
        least, largest = min(least, t - last), max(largest, t - last)
        most_x, most_y = max(most_x, np.uint32(xy & np.uint32(0xFFFF))), max(most_y, np.uint32(xy >> np.uint32(16)))
        last = t
        events[i]["t"] = t
        events[i]["xy"] = xy
        events[i]["p"] = stored[i]["p"] != 0
    counts[LEAST], counts[LARGEST], counts[MOST_X], counts[MOST_Y] = least, largest, most_x, most_y


@kernel
def find_events(buffer, start, end):
    """Where in a flatbuffer EVTS, its size before it, the events begin, and how many they are; -1: it is none."""
    broken = np.int64(0), np.int64(-1)
    if end - start < 12 or word(buffer, start + 8) != 0x53545645:
        return broken
    stop = start + 4 + word(buffer, start)
    root = start + 4 + word(buffer, start + 4)
    if stop > end or root + 4 > stop:
        return broken
    shape = root - np.int64(np.int32(word(buffer, root)))
    if shape < start + 4 or shape + 4 > stop:
        return broken
    has_field = half(buffer, shape) >= 6 and shape + 6 <= stop
    field = half(buffer, shape + 4) if has_field else np.int64(0)
    if field == 0:
        return np.int64(0), np.int64(0)
    vector = root + field
    if vector + 4 > stop:
        return broken
    vector += word(buffer, vector)
    if vector + 4 > stop or 16 * word(buffer, vector) > stop - vector - 4:
        return broken
    return vector + 4, word(buffer, vector)
