"""Decoders of single words, and the clock of recordings. The fast ones: pipeline/formats."""

from collections import deque

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE


def random_recorded_events(n, sensor, seed, first_us=0, mean_step_us=50):
    """n events in order of time, as a recording holds them; several may share a microsecond."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = first_us + np.cumsum(rng.geometric(1 / (mean_step_us + 1), n) - 1)
    events["x"], events["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    events["p"] = rng.random(n) < 0.5
    return events


def decode_aedat2(addresses, times, layout):
    """Events as tuples, and how many words were of frames and special. Bits are read off a string, highest first."""

    def bits(address, shift, mask):
        text = f"{address:032b}"
        return int(text[32 - shift - mask.bit_length() : 32 - shift], 2)

    events, frames, special = [], 0, 0
    for address, t in zip(addresses.tolist(), times.tolist(), strict=True):
        if address & layout.frame_bits:
            frames += 1
        elif address & layout.special_bits and not address & layout.zero_bits:
            special += 1
        else:
            x = layout.width - 1 - bits(address, layout.x_shift, layout.x_mask)
            y = layout.height - 1 - bits(address, layout.y_shift, layout.y_mask)
            if x < 0 or y < 0 or address & layout.zero_bits:
                x = y = 65_535
            events.append((t, x, y, bits(address, layout.p_shift, 1) == layout.on_bit))
    return events, frames, special


def decode_aedat31(payload, overflows):
    """The valid events of a polarity packet's bytes, as tuples."""
    events = []
    for start in range(0, len(payload), 8):
        data = int.from_bytes(payload[start : start + 4], "little")
        t = int.from_bytes(payload[start + 4 : start + 8], "little", signed=True)
        if data % 2:
            events.append((overflows * 2**31 + t, data // 2**17, data // 4 % 2**15, data // 2 % 2 == 1))
    return events


def decode_text(text, order, unit):
    """Lines of numbers; times are `unit` µs long."""
    events = []
    for line in text.splitlines():
        row = dict(zip(order, line.replace(",", " ").split(), strict=True))
        events.append((round(float(row["t"]) * unit), int(row["x"]), int(row["y"]), int(row["p"]) > 0))
    return events


def decode_nmnist(payload):
    """The events of an N-MNIST file's bytes, as tuples."""
    events, overflow = [], 0
    for start in range(0, len(payload) // 5 * 5, 5):
        x, y, *rest = payload[start : start + 5]
        word = int.from_bytes(bytes(rest), "big")
        if y == 240:
            overflow += 2**13
        else:
            events.append((overflow + word % 2**23, x, y, word >= 2**23))
    return events


class Clock:
    """What guard does with times, one event at a time, with Python's integers."""

    def __init__(self, period=0):
        self.period, self.offset, self.last = period, 0, None
        self.backwards = self.restarts = self.wraps = self.jumps = 0

    def deliver(self, raw, skip):
        """The time at which an event is delivered; None: this is a jump, or damage."""
        if abs(raw) > 2**61:
            self.jumps += skip
            return None
        if self.last is None:
            self.last = raw
        t = raw + self.offset
        gap = t + self.period - self.last
        if t < self.last - 10_000 and self.period and -10_000 <= gap <= min(60_000_000, self.period // 2):
            self.offset += self.period
            self.wraps += 1
            t += self.period
        elif t < self.last - 10_000:
            self.offset = self.last - raw
            self.restarts += 1
            t = self.last
        elif self.period and self.last - 10_000 <= t - self.period < self.last:
            t -= self.period
        elif t > self.last + 600_000_000:
            if not skip:
                return None
            self.offset = self.last - raw
            self.jumps += 1
            t = self.last
        if t < self.last:
            self.backwards += 1
            t = self.last
        self.last = t
        return t


def unpack_lz4(frame):
    """The content of an LZ4 frame (version 1, no dictionary), checksums passed over."""
    assert frame[:4] == b"\x04\x22\x4d\x18"
    flags, at, content = frame[4], 7, bytearray()
    at += 8 if flags & 8 else 0
    while length := int.from_bytes(frame[at : at + 4], "little"):
        block = frame[at + 4 : at + 4 + (length & 0x7FFF_FFFF)]
        at += 4 + len(block) + (4 if flags & 16 else 0)
        if length >> 31:
            content += block
        else:
            _unpack_lz4_block(block, content)
    return bytes(content)


def _unpack_lz4_block(block, content):
    block = deque(block)

    def longer(length):
        if length < 15:
            return length
        while True:
            more = block.popleft()
            length += more
            if more < 255:
                return length

    while True:
        token = block.popleft()
        for _ in range(longer(token >> 4)):
            content.append(block.popleft())
        if not block:
            return
        offset = block.popleft() + 256 * block.popleft()
        for _ in range(longer(token & 15) + 4):
            content.append(content[-offset])
