"""Every error that a caller may want to catch.

DvsError
 ├─ EventError       events break the contract (dtype, order, outside the sensor)
 ├─ RecordingError   a recording cannot be read, or not to its end; what was good has been delivered
 ├─ FilterError      settings of a filter are wrong, or do not fit the sensor
 ├─ NetworkError     a network's description is inconsistent, or does not fit the stream it is given
 └─ ConversionError  a layer of a CNN has no exact or measured spiking equivalent here

Each message names the thing, what was found, what is wanted, and the way out.
"""

from pathlib import Path


class DvsError(Exception):
    """Base of all errors of this project: its message is one sentence that a user can act on."""


class EventError(DvsError):
    """Events break the contract of EVENT_DTYPE or lie outside their sensor."""


class RecordingError(DvsError):
    """A recording cannot be read (further). Every good event before the fault has been delivered already."""

    def __init__(
        self,
        message: str,
        path: str | Path | None = None,
        byte_offset: int | None = None,  # where in the file the fault begins
        last_good_us: int | None = None,  # time of the last event delivered, µs
        events_read: int = 0,  # events delivered before the fault
    ) -> None:
        super().__init__(message)
        self.path = path
        self.byte_offset = byte_offset
        self.last_good_us = last_good_us
        self.events_read = events_read


class FilterError(DvsError):
    """Settings of filters are wrong, or do not fit the sensor; `faults` has one (where, sentence) each."""

    def __init__(self, message: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults or (("", message),)


class NetworkError(DvsError):
    """A network's description is inconsistent, or does not fit what it is asked to run on."""


class ConversionError(DvsError):
    """A layer of a CNN is not supported; the message names the layer and the way out."""


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun, as in "1 channel" and "2,048 channels"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def first_line(error: Exception, most: int = 200) -> str:
    """What an error of others says, cut to one line; its kind where it says nothing."""
    return str(error).splitlines()[0][:most] if str(error) else type(error).__name__
