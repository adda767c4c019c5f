"""AEDAT 3.1: packets of special events, frames and motion samples, after libcaer's structures.

Every structure begins with 32 bits of which bit 0 says that it is valid, then 32 bits of time, whose overflows the
packet's header counts.
"""

import struct

import numpy as np

from ..extras import IMU_DTYPE, CameraFrame, Extra, imu_packet, trigger_packet

SPECIAL, FRAMES, IMU6, IMU9 = 0, 2, 3, 4  # types of packets
MAX_BYTES = 64 << 20  # of a packet; no logger writes a tenth of it
_SPECIAL = np.dtype([("data", "<u4"), ("t", "<i4")])  # bits 1-7 of data: type
_TYPES = {  # type of a special event: (kind, channel)
    1: (0, 0),
    2: (1, 0), 3: (2, 0), 4: (3, 0),
    6: (1, 1), 7: (2, 1), 8: (3, 1),
    9: (1, 2), 10: (2, 2), 11: (3, 2),
    12: (4, 0), 13: (5, 0),
    14: (6, 0), 15: (7, 0), 16: (8, 0), 17: (9, 0),
}  # fmt: skip
_AXES = [f"{sensor}_{axis}" for sensor in ("accelerometer", "gyroscope") for axis in "xyz"]
_IMU6 = np.dtype([("info", "<u4"), ("t", "<i4"), *((name, "<f4") for name in _AXES), ("temperature", "<f4")])
_IMU9 = np.dtype([*_IMU6.descr, *((f"magnetometer_{axis}", "<f4") for axis in "xyz")])
_FRAME = struct.Struct("<I8i")  # info, times of readout and of exposure (from, to), size, place; then uint16 pixels


def extras_of(kind: int, size: int, overflows: int, data: bytes) -> list[Extra]:
    """What a packet of `kind` with events of `size` bytes holds. ValueError where the two do not go together."""
    base = overflows << 31
    if kind == SPECIAL:
        return _triggers(_array(data, _SPECIAL, size), base)
    if kind in (IMU6, IMU9):
        return _samples(_array(data, _IMU6 if kind == IMU6 else _IMU9, size), base)
    if kind == FRAMES:
        if size < _FRAME.size:
            raise ValueError(f"frames of {size} bytes, want at least {_FRAME.size}")
        found = (_frame(data[at : at + size], base) for at in range(0, len(data) - size + 1, size))
        return [frame for frame in found if frame is not None]
    return []


def _array(data: bytes, dtype: np.dtype, size: int) -> np.ndarray:
    """The valid structures of a packet."""
    if size != dtype.itemsize:
        raise ValueError(f"structures of {size} bytes, want {dtype.itemsize}")
    array = np.frombuffer(data[: len(data) // size * size], dtype)
    return array[array[dtype.names[0]] & 1 == 1]  # type: ignore[index]


def _triggers(array: np.ndarray, base: int) -> list[Extra]:
    types = array["data"] >> 1 & 127
    known = np.isin(types, list(_TYPES))
    if not known.any():
        return []
    kinds, channels = np.array([_TYPES[kind] for kind in types[known].tolist()]).T
    return [trigger_packet(array["t"][known].astype(np.int64) + base, kinds, channels)]


def _samples(array: np.ndarray, base: int) -> list[Extra]:
    if not len(array):
        return []
    samples = np.zeros(len(array), IMU_DTYPE)
    for name in array.dtype.names or ():
        if name not in ("info", "t"):
            samples[name] = array[name]
    samples["t"] = array["t"].astype(np.int64) + base
    return [imu_packet(samples)]


def _frame(data: bytes, base: int) -> CameraFrame | None:
    """One frame; None: it is marked as invalid. Bits 1-3 of its first word: channels of colour."""
    info, _, _, begin, end, width, height, x, y = _FRAME.unpack_from(data)
    if not info & 1:
        return None
    channels = max(info >> 1 & 7, 1)
    wanted = width * height * channels
    if width < 1 or height < 1 or _FRAME.size + 2 * wanted > len(data):
        raise ValueError(f"a frame of {width}x{height} pixels in {len(data)} bytes")
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.frombuffer(data, "<u2", wanted, _FRAME.size).reshape(shape)
    return CameraFrame(base + end, (base + begin, base + end), pixels, x, y)
