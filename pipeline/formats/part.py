"""A part of a recording, by time: from where reading begins, and which events of it are wanted.

Reading begins at the last place before the part that is known: of the file's own table, else of the index that earlier
readings left beside it (index.py), else at the beginning. The events are those of the whole recording, cut. Damage
before the part need not be met, and of a file with a table what lies there is not counted (an index knows the counts).
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from ..errors import RecordingError
from . import guard
from .index import Index, complain, load_index
from .source import Batch, Mark, Place, Reading, Source, Stopped


class Part:
    """From start_us to stop_us after the first event of the recording, as the options of one reading say."""

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source, self._reading = source, reading
        self._start_us, self._stop_us = reading.options.start_us, reading.options.stop_us
        self._first_us: int | None = None  # time of the recording's first event
        self._index: Index | None = None

    def batches(self) -> Iterator[Batch]:
        """Raw batches that hold the part. Each is checked, and the clock advanced, before the next is taken."""
        mark = self._known_mark() if self._start_us else None
        if mark is not None:
            self._reading.go_to(mark)
            batches = self._source.decoded(self._reading, mark.place)
            try:
                first = next(batches, None) if self._source.holds(mark.place) else None
            except (RecordingError, Stopped):  # damage, or not where the file's packets are
                first = None
            if first is not None and int(first[0].events["t"][0]) == mark.next_us:
                yield from self._noted(chain((first,), batches))
                return
            path, at = self._reading.path, mark.place.byte_offset
            complain(f"{path}: other events at byte {at} than its table or index says; it is read from its beginning")
            self._forget()
        yield from self._noted(self._source.decoded(self._reading))

    def cut(self, events: np.ndarray) -> tuple[np.ndarray, int | None]:
        """Those of some good events that are wanted, and the end of the part, µs, if they reach beyond it."""
        if not len(events):
            return events, None
        if self._first_us is None:
            self._first_us = int(events["t"][0])
            if self._index is not None:
                self._index.first_us = self._first_us
        begin, end, end_us = 0, len(events), None
        if self._start_us:
            start_us = self._first_us + self._start_us
            begin = end if events["t"][-1] < start_us else int(np.searchsorted(events["t"], start_us))
        if self._stop_us is not None and events["t"][-1] >= self._first_us + self._stop_us:
            end_us = self._first_us + self._stop_us
            end = int(np.searchsorted(events["t"], end_us))
        return events[begin:end], end_us

    def close(self) -> None:
        """Keep what was learnt of the recording."""
        if self._index is not None:
            self._index.save(self._reading.path)

    def _noted(self, batches: Iterator[tuple[Batch, Place | None]]) -> Iterator[Batch]:
        """Batches, the places between them noted in the index."""
        for batch, place in batches:
            if self._index is not None and len(batch.events):
                self._index.meet(int(batch.events["t"][0]))
            yield batch
            if self._index is not None and place is not None:
                self._index.note(place, self._reading)

    def _forget(self) -> None:
        """What was known has turned out wrong."""
        self._reading.go_to(None)
        self._first_us = None
        if self._index is not None:
            self._index.clear()

    def _known_mark(self) -> Mark | None:
        """The last known place before the part."""
        table = self._source.landmarks()
        if table:
            self._first_us = table[0].next_us
            start_us = self._first_us + self._start_us
            before = [mark for mark in table[1:] if mark.clock[guard.LAST] < start_us]
            return before[-1] if before else None
        self._index = load_index(self._reading.path, self._reading.options, self._source.sensor, self._source.holds)
        if self._index is None or self._index.first_us is None:
            return None
        self._first_us = self._index.first_us
        return self._index.before(self._first_us + self._start_us)
