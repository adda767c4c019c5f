"""Damage to files, reproducible by a number: what a failing disk, a careless program or an enemy does to a recording.

Reading the damaged files is fuzz_reader.py's work, and counting what came of it fuzz.py's.
"""

import random
from collections.abc import Callable

HUGE = (
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def mutate(data: bytes, number: int, header: int) -> tuple[bytes, int]:
    """One of endlessly many damaged versions of `data`, and the first byte that differs (or at which it ends).

    `header`: how many of the first bytes are a header; a good part of the damage is done there.
    """
    rng = random.Random(number)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(KINDS)(changed, rng, min(header, len(changed)))
        if not changed:
            changed += b"\0"
    return bytes(changed), first_difference(data, bytes(changed))


def first_difference(one: bytes, other: bytes) -> int:
    """The first place at which two files differ; the length of both if they do not."""
    shared = min(len(one), len(other))
    if one[:shared] == other[:shared]:
        return shared
    low, high = 0, shared  # one[:low] is equal, one[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low


def _flip_bits(changed: bytearray, rng: random.Random, header: int) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)


def _overwrite(changed: bytearray, rng: random.Random, header: int) -> None:
    at, length = _range(changed, rng)
    changed[at : at + length] = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))


def _insert(changed: bytearray, rng: random.Random, header: int) -> None:
    at, length = _range(changed, rng)
    changed[at:at] = rng.choice((rng.randbytes(length), bytes(length), b"\n" * length))


def _delete(changed: bytearray, rng: random.Random, header: int) -> None:
    at, length = _range(changed, rng)
    del changed[at : at + length]


def _duplicate(changed: bytearray, rng: random.Random, header: int) -> None:
    at, length = _range(changed, rng)
    to = rng.choice((at, rng.randrange(len(changed))))
    changed[to:to] = changed[at : at + length]


def _truncate(changed: bytearray, rng: random.Random, header: int) -> None:
    del changed[rng.randrange(len(changed)) :]


def _edit_header(changed: bytearray, rng: random.Random, header: int) -> None:
    """A byte of the header, digits preferred: sizes, versions, offsets."""
    digits = [i for i in range(header) if 48 <= changed[i] <= 57]
    at = rng.choice(digits) if digits and rng.random() < 0.7 else rng.randrange(max(header, 1))
    changed[at] = rng.choice(b"0123456789-.;= \n\0\xff")


def _claim_much(changed: bytearray, rng: random.Random, header: int) -> None:
    """A large number of 1 to 8 bytes, in the header or anywhere, where a size may stand."""
    length = rng.choice((1, 2, 4, 4, 8))
    end = header if rng.random() < 0.5 and header >= length else len(changed)
    at = rng.randrange(max(end - length, 0) + 1)
    number = (rng.choice(HUGE) - rng.choice((0, 0, 1))) & ((1 << 8 * length) - 1)
    changed[at : at + length] = number.to_bytes(length, rng.choice(("little", "big")))


def _range(changed: bytearray, rng: random.Random) -> tuple[int, int]:
    """A place, and how many bytes from there on: mostly few."""
    at = rng.randrange(len(changed))
    return at, rng.choice((1, 1, 2, 3, rng.randrange(1, 65), rng.randrange(1, len(changed) + 1)))


KINDS: tuple[Callable[[bytearray, random.Random, int], None], ...] = (
    _flip_bits, _flip_bits, _overwrite, _insert, _delete, _duplicate, _truncate, _edit_header, _claim_much,
)  # fmt: skip
