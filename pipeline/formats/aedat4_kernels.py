"""AEDAT 4's packets of events, decoded many at a time: their flatbuffers, and LZ4 where they are packed with it.

The package `aedat` decodes packet by packet, and what is to be done around each of them in Python cost as much again.
Here a block of the file is gone through in one call. Everything that a file says of sizes and places is checked before
it is followed. Checksums of LZ4, which DV does not write, are passed over.
"""

import numpy as np

from ..kernel_cache import kernel

TAKEN, FULL, INCOMPLETE, NO_CONTENT_ROOM, NO_EVENT_ROOM, DAMAGED, UNKNOWN = range(7)  # why `take` stopped
OTHERS, LEAST, LARGEST, MOST_X, MOST_Y, WANTED = range(6)  # places in its counts; WANTED: so much room
COUNTS = 6
NONE, LZ4 = 0, 1
STORED = np.dtype({"names": ["t", "xy", "p"], "formats": ["<i8", "<u4", "u1"], "offsets": [0, 8, 12], "itemsize": 16})
PAIRED = np.dtype([("t", "<i8"), ("xy", "<u4"), ("p", "?")])  # EVENT_DTYPE in three stores
SLACK = 32  # bytes after what is read and written, over which copies may run
_MAGIC = 0x184D2204
TOO_SMALL, _BROKEN = -2, -1  # what is told instead of a number of bytes or events


@kernel
def take(data, wide, size, streams, codec, content, wide_content, events, counts):
    """Events of the packets at the beginning of data[:size] of the first of `streams`, the file's; (bytes done, events,
    why it stopped).

    `content`: room for what is unpacked. Both buffers end with SLACK bytes that are not used, and come along as `wide`:
    as numbers of eight bytes, one that begins at each byte. `events` as PAIRED.
    """
    at = kept = 0
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
        buffer = data
        if codec == LZ4:
            unpacked = unpack_frame(data, wide, start, end, content, wide_content)
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


@kernel
def unpack_frame(data, wide, at, end, content, wide_content):
    """Unpack an LZ4 frame, data[at:end], to `content`; the number of bytes, or why not (negative)."""
    if end - at < 7 or word(data, at) != _MAGIC or data[at + 4] & 0xC3 != 0x40:  # another version, or a dictionary
        return np.int64(_BROKEN)
    flags = np.int64(data[at + 4])
    at += 7 + (8 if flags & 8 else 0)
    filled = np.int64(0)
    while at + 4 <= end:
        length = word(data, at) & 0x7FFF_FFFF
        is_stored = word(data, at) >> 31 == 1
        at += 4
        if length == 0:
            return filled
        if at + length > end:
            return np.int64(_BROKEN)
        if is_stored:
            if filled + length > content.shape[0] - SLACK:
                return np.int64(TOO_SMALL)
            move(wide, at, wide_content, filled, length)
            filled += length
        else:
            filled = unpack_block(data, wide, at, at + length, content, wide_content, filled)
            if filled < 0:
                return filled
        at += length + (4 if flags & 16 else 0)
    return np.int64(_BROKEN)


@kernel
def unpack_block(data, wide, at, end, content, wide_content, filled):
    """Unpack an LZ4 block: runs of bytes, each followed by a repetition of bytes that are `offset` back.

    Nearly all runs and repetitions are short, and are copied with room to spare and without a loop.
    """
    room = content.shape[0] - SLACK
    while at < end:
        token = np.int64(data[at])
        length = token >> 4
        at += 1
        if length < 15 and at + 18 <= end and filled + 16 <= room:
            wide_content[filled] = wide[at]
            wide_content[filled + 8] = wide[at + 8]
        else:
            if length == 15:
                length, at = longer(data, at, end, length)
            if at + length > end:
                return np.int64(_BROKEN)
            if filled + length > room:
                return np.int64(TOO_SMALL)
            move(wide, at, wide_content, filled, length)
        at, filled = at + length, filled + length
        if at + 2 > end:
            return filled if at == end else np.int64(_BROKEN)
        offset = half(data, at)
        length = (token & 15) + 4
        at += 2
        if offset == 0 or offset > filled:
            return np.int64(_BROKEN)
        if length < 19 and offset >= 8 and filled + 24 <= room:
            wide_content[filled] = wide_content[filled - offset]
            wide_content[filled + 8] = wide_content[filled - offset + 8]
            wide_content[filled + 16] = wide_content[filled - offset + 16]
        else:
            if length == 19:
                length, at = longer(data, at, end, length)
            if filled + length > room:
                return np.int64(TOO_SMALL)
            if offset >= 8:
                move(wide_content, filled - offset, wide_content, filled, length)
            else:
                for k in range(length):
                    content[filled + k] = content[filled - offset + k]
        filled += length
    return np.int64(_BROKEN)


@kernel(inline="always")
def longer(data, at, end, length):
    """A length that goes on in further bytes, and the place after them."""
    more = 255
    while more == 255 and at < end:
        more = np.int64(data[at])
        length += more
        at += 1
    return length, at


@kernel(inline="always")
def move(source, at, target, to, length):
    """Copy bytes, eight at a time: up to 7 more than asked for, which are written over later. Both as `wide`."""
    for k in range(0, length, 8):
        target[to + k] = source[at + k]


@kernel(inline="always")
def word(data, at):
    """A little-endian number of 32 bits."""
    low = np.int64(data[at]) | np.int64(data[at + 1]) << 8
    return low | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24


@kernel(inline="always")
def half(data, at):
    """A little-endian number of 16 bits."""
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8
