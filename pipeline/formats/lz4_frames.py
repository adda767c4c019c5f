"""LZ4 frames, unpacked in a kernel: what AEDAT 4 files of the DV software are packed with.

As fast as the C library, without it, and among other kernels without a way through Python for every packet. Everything
that a frame says of lengths and places is checked before it is followed. Checksums, which DV does not write, are passed
over; frames that need a dictionary are refused.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from ..kernel_cache import kernel

SLACK = 32  # bytes over which copies may run, at the end of what is read and of what is written
TOO_SMALL, BROKEN = -2, -1  # what is told instead of a number of bytes
_MAGIC = 0x184D2204


def _copier(size: int) -> Any:
    """A function (target, to, source, at) that copies `size` bytes between arrays of bytes as one number."""
    if numba.config.DISABLE_JIT:

        def copy(target: np.ndarray, to: int, source: np.ndarray, at: int) -> None:
            target[to : to + size] = source[at : at + size]

        return copy

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.VectorType(ir.IntType(64), size // 8).as_pointer()

        def place(number: int) -> Any:
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            return builder.bitcast(builder.gep(array.data, [arguments[number + 1]]), pointer)

        loaded = builder.load(place(2))
        stored = builder.store(loaded, place(0))
        loaded.align = stored.align = 1
        return context.get_dummy_value()

    @intrinsic
    def copy_in_kernel(typing: Any, target: Any, to: Any, source: Any, at: Any) -> Any:
        return numba.types.void(target, to, source, at), generate

    return copy_in_kernel


_copy_8, _copy_16 = _copier(8), _copier(16)


@kernel
def unpack_frame(data, at, end, content):
    """Unpack an LZ4 frame, data[at:end], to `content`; the number of bytes, or why not. Both end with SLACK bytes."""
    if end - at < 7 or word(data, at) != _MAGIC or data[at + 4] & 0xC3 != 0x40:  # another version, or a dictionary
        return np.int64(BROKEN)
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
            return np.int64(BROKEN)
        if is_stored:
            if filled + length > content.shape[0] - SLACK:
                return np.int64(TOO_SMALL)
            _move(data, at, content, filled, length)
            filled += length
        else:
            filled = unpack_block(data, at, at + length, content, filled)
            if filled < 0:
                return filled
        at += length + (4 if flags & 16 else 0)
    return np.int64(BROKEN)


@kernel
def unpack_block(data, at, end, content, filled):
    """Unpack an LZ4 block: runs of bytes, each followed by a repetition of bytes that are `offset` back.

    Nearly all runs and repetitions are short, and are copied with room to spare and without a loop.
    """
    room = content.shape[0] - SLACK
    while at < end:
        token = np.int64(data[at])
        length = token >> 4
        at += 1
        if length < 15 and at + 18 <= end and filled + 16 <= room:
            _copy_16(content, filled, data, at)
        else:
            if length == 15:
                length, at = _longer(data, at, end, length)
            if at + length > end:
                return np.int64(BROKEN)
            if filled + length > room:
                return np.int64(TOO_SMALL)
            _move(data, at, content, filled, length)
        at, filled = at + length, filled + length
        if at + 2 > end:
            return filled if at == end else np.int64(BROKEN)
        offset = half(data, at)
        length = (token & 15) + 4
        at += 2
        if offset == 0 or offset > filled:
            return np.int64(BROKEN)
        if length < 19 and offset >= 8 and filled + 24 <= room:
            _copy_8(content, filled, content, filled - offset)
            _copy_8(content, filled + 8, content, filled - offset + 8)
            _copy_8(content, filled + 16, content, filled - offset + 16)
        else:
            if length == 19:
                length, at = _longer(data, at, end, length)
            if filled + length > room:
                return np.int64(TOO_SMALL)
            if offset >= 8:
                _move(content, filled - offset, content, filled, length)
            else:
                for k in range(length):
                    content[filled + k] = content[filled - offset + k]
        filled += length
    return np.int64(BROKEN)


@kernel(inline="always")
def _longer(data, at, end, length):
    """A length that goes on in further bytes, and the place after them."""
    more = np.int64(255)
    while more == 255 and at < end:
        more = np.int64(data[at])
        length += more
        at += 1
    return length, at


@kernel(inline="always")
def _move(source, at, target, to, length):
    """Copy bytes, eight at a time: up to 7 more than asked for, which are written over later."""
    for k in range(0, length, 8):
        _copy_8(target, to + k, source, at + k)


@kernel(inline="always")
def word(data, at):
    """A little-endian number of 32 bits."""
    low = np.int64(data[at]) | np.int64(data[at + 1]) << 8
    return low | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24


@kernel(inline="always")
def half(data, at):
    """A little-endian number of 16 bits."""
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8
