"""A recording's pictures, motion samples and triggers, on a pass over the file of their own, beside that of its events.

Faults are those of `on_error`, as for events; a part (start_us, stop_us) is that of the events. Only an overflow of the
file's clock is undone; a reset in the middle of a recording, which the events' clock passes over, is not.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import RecordingError
from ..events import EventPacket
from ..extras import CameraFrame, Extra, ImuPacket, TriggerPacket
from .source import Reading, ReadOptions, Source, Stopped


def read(source: Source, path: Path, options: ReadOptions) -> Iterator[Extra]:
    """Everything but the events, in the file's order; each kind by itself is in order of time, if the file is."""
    reading = Reading(path, options)
    begin_us, end_us = _span(source, path, options)
    try:
        for extra in source.extras(reading):
            cut = extra if begin_us is None else _cut(extra, begin_us, end_us)
            if cut is not None:
                yield cut
    except Stopped:
        return
    except OSError as error:  # the disk, or the file was taken away
        if options.on_error == "raise":
            raise RecordingError(f"{path}: reading stopped: {error.strerror or error}", path) from error


def merged(packets: Iterator[EventPacket], extras: Iterator[Extra]) -> Iterator[EventPacket | Extra]:
    """Both by the time at which each packet begins; where they begin together, the extra comes first."""
    extra = next(extras, None)
    for packet in packets:
        begin_us = int(packet.events["t"][0]) if len(packet.events) else packet.t_stop_us
        while extra is not None and extra.t_us <= begin_us:
            yield extra
            extra = next(extras, None)
        yield packet
    while extra is not None:
        yield extra
        extra = next(extras, None)


def _span(source: Source, path: Path, options: ReadOptions) -> tuple[int | None, int | None]:
    """Where the wanted part begins and ends, on the recording's clock; None, None: all of it is wanted."""
    if not options.start_us and options.stop_us is None:
        return None, None
    try:
        batches = source.batches(Reading(path, replace(options, on_error="stop")))
        first_us = next((int(batch.events["t"][0]) for batch in batches if len(batch.events)), 0)
    except Stopped:
        first_us = 0
    return first_us + options.start_us, None if options.stop_us is None else first_us + options.stop_us


def _cut(extra: Extra, begin_us: int, end_us: int | None) -> Extra | None:
    """What of it lies within [begin_us, end_us); None: nothing."""
    if isinstance(extra, CameraFrame):
        return extra if extra.t_us >= begin_us and (end_us is None or extra.t_us < end_us) else None
    array = extra.samples if isinstance(extra, ImuPacket) else extra.triggers
    inside = array["t"] >= begin_us
    if end_us is not None:
        inside &= array["t"] < end_us
    if not inside.any():
        return None
    kept = np.ascontiguousarray(array[inside])
    kept.flags.writeable = False
    return ImuPacket(kept) if isinstance(extra, ImuPacket) else TriggerPacket(kept)
