"""What an event is, how large its sensor is, and how events travel: in packets.

Decoding files into events is formats/' work; cutting a stream into time slices is slicer.py's.
"""

from dataclasses import dataclass

import numpy as np

from .errors import EventError

EVENT_DTYPE = np.dtype(
    [
        ("t", "<i8"),  # µs since the recording began, or the Unix epoch where the file says so; signed
        ("x", "<u2"),  # pixel column, 0 at the left
        ("y", "<u2"),  # pixel row, 0 at the top
        ("p", "?"),  # polarity: True = brighter (ON), False = darker (OFF)
    ]
)


@dataclass(frozen=True)
class SensorSize:
    """Width and height of the pixel array. Arrays are (polarity, height, width)."""

    width: int
    height: int

    def __post_init__(self) -> None:
        for side in ("width", "height"):
            if not 1 <= getattr(self, side) <= 65_535:
                raise EventError(f"sensor {side} is {getattr(self, side)}, want 1 to 65535 pixels")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class EventPacket:
    """Events as the source delivers them, in order of time, with a promise about what comes later.

    The promise (a watermark) lets a time slice be closed as soon as its time is over, not when the next event arrives.
    """

    events: np.ndarray  # EVENT_DTYPE, sorted by t; may be empty; read-only by convention
    t_stop_us: int  # no event of a later packet lies before this time


def as_events(array: np.ndarray) -> np.ndarray:
    """The same bytes seen as EVENT_DTYPE: free for the 13-byte arrays of aedat, faery, neuromorphic-drivers and dv.

    `array` is a structured array of packed 13-byte records in the order t, x, y, p, whatever its field names and signs.
    Raises EventError for any other layout; copies nothing.
    """
    if array.dtype == EVENT_DTYPE:
        return array
    fields = array.dtype.fields
    if fields is None or array.dtype.itemsize != EVENT_DTYPE.itemsize or [f[1] for f in fields.values()][:1] != [0]:
        raise EventError(
            f"events have dtype {array.dtype}, want packed 13-byte records (t 8 bytes, x 2, y 2, p 1); "
            "copy the columns into np.empty(n, EVENT_DTYPE)"
        )
    offsets = sorted({offset for _, offset, *_ in fields.values()})
    if offsets != [0, 8, 10, 12]:
        raise EventError(f"event fields begin at bytes {offsets}, want t at 0, x at 8, y at 10, p at 12")
    return array.view(EVENT_DTYPE)
