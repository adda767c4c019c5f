"""Decoders of Prophesee's formats and of Event Stream, a word at a time, with Python's integers.

Each returns one list a word: the events that the word gives, mostly none or one. Fast: pipeline/formats/evt2.py, ...
"""


def words_of(data, size):
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data) // size * size, size)]


def decode_dat(data, version=2):
    x_bits, y_bits = (14, 14) if version == 2 else (9, 8)
    given = []
    for word in words_of(data, 8):
        t, address = word % 2**32, word // 2**32
        x, rest = address % 2**x_bits, address // 2**x_bits
        on = rest // 2**y_bits
        given.append([(t, x, rest % 2**y_bits, on > 0 if version == 2 else on % 2 == 1)])
    return given


def decode_evt2(data):
    given, high = [], None
    for word in words_of(data, 4):
        kind, events = word // 2**28, []
        if kind in (0, 1) and high is not None:
            events = [(high * 64 + word // 2**22 % 64, word // 2**11 % 2**11, word % 2**11, kind == 1)]
        if kind == 8:
            high = unwrap(high, word % 2**28, 2**28)
        given.append(events)
    return given


def decode_evt21(data, swapped=False):
    given, high = [], None
    for word in words_of(data, 8):
        upper, valid = (word % 2**32, word // 2**32) if swapped else (word // 2**32, word % 2**32)
        kind, events = upper // 2**28, []
        if kind in (0, 1) and high is not None:
            t, x, y = high * 64 + upper // 2**22 % 64, upper // 2**11 % 2**11, upper % 2**11
            events = [(t, x + k, y, kind == 1) for k in range(32) if valid // 2**k % 2]
        if kind == 8:
            high = unwrap(high, upper % 2**28, 2**28)
        given.append(events)
    return given


def decode_evt3(data):
    given, high, low, y, x, on = [], None, 0, None, None, False
    for word in words_of(data, 2):
        kind, value, events = word // 2**12, word % 2**12, []
        ready = high is not None and y is not None
        if kind == 0:
            y = value % 2**11
        elif kind == 1:
            y = None
        elif kind == 2 and ready:
            events = [(high * 4096 + low, value % 2**11, y, value >= 2**11)]
        elif kind == 3:
            x, on = value % 2**11, value >= 2**11
        elif kind in (4, 5) and ready and x is not None:
            length = 12 if kind == 4 else 8
            events = [(high * 4096 + low, x + k, y, on) for k in range(length) if value // 2**k % 2]
            x += length
        elif kind == 6:
            low = value
        elif kind == 8:
            before, high = high, unwrap(high, value, 2**12)
            low = low if high == before else 0
        given.append(events)
    return given


def unwrap(before, value, period):
    """The counter's value with its overflows: a step back by half of the period or more is one."""
    if before is None:
        return value
    now = before // period * period + value
    return now + period if now <= before - period // 2 else now


def decode_es(data, height, version=2, atis=False):
    """The events after the header; here a word is a record, be it of three or five bytes, or one byte of overflow."""
    given, t, at = [], 0, 0
    bits = {(2, False): 7, (2, True): 6, (1, False): 4, (1, True): 5}[version, atis]
    full = 2**bits - 1
    while at < len(data):
        first = data[at]
        step, flags = (first >> 8 - bits, first % 2 ** (8 - bits)) if version == 2 else (first & full, first >> bits)
        if step == full:
            t += full * flags
            given.append([])
            at += 1
            continue
        record = data[at : at + (5 if version == 2 else 3)]
        at += 5 if version == 2 else 3
        if at > len(data):
            break
        t += step
        if version == 2:
            x, y = int.from_bytes(record[1:3], "little"), int.from_bytes(record[3:5], "little")
            exposure, on = (flags % 2 == 1, flags >= 2) if atis else (False, flags == 1)
        else:
            word = int.from_bytes(record, "little") >> bits
            x, y = (word % 2**9, word // 2**9 % 2**8) if atis else (word % 2**10, word // 2**10 % 2**9)
            exposure, on = (atis and record[2] // 64 % 2 == 1), record[2] >= 128
        given.append([] if exposure else [(t, x, height - 1 - y if y < height else 65_535, on)])
    return given


def triggers_of_evt2(words):
    """(t, rising, channel) of each word of a trigger, after the first word of time; times with overflows of 34 bits."""
    found, time, overflows = [], None, 0
    for word in words:
        kind = word >> 28
        if kind == 8:
            now = (word % 2**28) * 64
            overflows += time is not None and now <= time - 2**33
            time = now
        elif kind == 10 and time is not None:
            found.append((overflows * 2**34 + time + word // 2**22 % 64, word % 2, word // 2**8 % 32))
    return found


def triggers_of_evt3(words):
    """(t, rising, channel) of each word of a trigger, after the first word of time; times with overflows of 24 bits."""
    found, high, low, overflows = [], None, 0, 0
    for word in words:
        kind, value = word >> 12, word % 2**12
        if kind == 8:
            overflows += high is not None and value <= high - 2**11
            low = low if high == value else 0
            high = value
        elif kind == 6:
            low = value
        elif kind == 10 and high is not None:
            found.append((overflows * 2**24 + high * 2**12 + low, word % 2, word // 2**8 % 16))
    return found
