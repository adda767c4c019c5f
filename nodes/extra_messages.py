"""What a camera gives besides events, as messages: `frame`, `imu` and `triggers`, to bytes and back. docs/wire.md."""

from typing import Any

import msgspec
import numpy as np

from ..pipeline.extras import IMU_DTYPE, TRIGGER_DTYPE, TRIGGER_KINDS, CameraFrame, Extra, ImuPacket, TriggerPacket
from ..pipeline.stream import StreamInfo
from .header import AboutFrame, AboutImu, AboutTriggers, MessageError


def pack_extra(payload: Extra) -> tuple[msgspec.Struct, bytes]:
    """What goes into the header, and the raw bytes beside it."""
    match payload:
        case CameraFrame(t_us, exposure_us, pixels, x, y):
            depth = 8 * pixels.dtype.itemsize
            about = AboutFrame(t_us, exposure_us, list(pixels.shape), depth, x, y)  # type: ignore[arg-type]
            return about, np.ascontiguousarray(pixels, f"<u{depth // 8}").tobytes()
        case ImuPacket(samples):
            return AboutImu(len(samples)), np.ascontiguousarray(samples, IMU_DTYPE).tobytes()
        case TriggerPacket(triggers):
            return AboutTriggers(len(triggers)), np.ascontiguousarray(triggers, TRIGGER_DTYPE).tobytes()


def _frame(about: AboutFrame, payload: bytes, stream: StreamInfo) -> CameraFrame:
    if len(about.shape) == 3 and about.shape[2] not in (1, 3, 4):
        raise MessageError(f"its shape is {about.shape}, want (height, width) or (height, width, 3 or 4)")
    dtype = np.dtype(f"<u{about.depth // 8}")
    pixels = _array(payload, dtype, int(np.prod(about.shape, dtype=object)))
    return CameraFrame(about.t_us, about.exposure_us, pixels.reshape(about.shape), about.x, about.y)


def _imu(about: AboutImu, payload: bytes, stream: StreamInfo) -> ImuPacket:
    samples = _array(payload, IMU_DTYPE, about.count)
    _check_times(samples["t"])
    values = np.frombuffer(payload, "<f4").reshape(about.count, -1)[:, 2:]
    if not np.isfinite(values).all():
        raise MessageError("a value is not finite")
    return ImuPacket(samples)


def _triggers(about: AboutTriggers, payload: bytes, stream: StreamInfo) -> TriggerPacket:
    triggers = _array(payload, TRIGGER_DTYPE, about.count)
    _check_times(triggers["t"])
    if triggers["kind"].max() >= len(TRIGGER_KINDS):
        raise MessageError(f"a trigger is of the kind {triggers['kind'].max()}, want 0 to {len(TRIGGER_KINDS) - 1}")
    return TriggerPacket(triggers)


def _array(payload: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    """The payload as `count` elements. MessageError unless it has just so many."""
    if len(payload) != count * dtype.itemsize:
        raise MessageError(f"the payload has {len(payload)} bytes, want {count * dtype.itemsize}")
    return np.frombuffer(payload, dtype)


def _check_times(times: np.ndarray) -> None:
    if times.min() < -(2**62) or times.max() > 2**62:
        raise MessageError(f"times run from {times.min()} to {times.max()} µs, want less than 2^62")


UNPACKERS: dict[str, Any] = {"frame": _frame, "imu": _imu, "triggers": _triggers}
