"""Other people's readers, for decode.py: run by a Python that has them, it reads a line of JSON and answers with one.

    {"reader": "faery", "container": "evt3", "path": "x.raw", "sensor": [640, 480]}  ->  {"seconds": ..}
    {..., "check": true}  ->  {"events": .., "digest": ..}

Seconds are of the processor, all threads together. A reader that is not installed, or that raises, answers
{"error": ..}. Nothing here knows of this project.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator

import numpy as np


def faery(path, container, sensor):
    import faery

    return faery.events_stream_from_file(path).to_array()


def faery_packets(path, container, sensor):
    import faery

    return iter(faery.events_stream_from_file(path))


def expelliarmus(path, container, sensor):
    from expelliarmus import Wizard

    return Wizard(encoding=container).read(path)


def expelliarmus_chunks(path, container, sensor):
    from expelliarmus import Wizard

    return Wizard(encoding=container, fpath=path, chunk_size=65_536).read_chunk()


def event_stream(path, container, sensor):
    import event_stream

    for packet in event_stream.Decoder(path):
        packet["y"] = sensor[1] - 1 - packet["y"]  # it counts rows from the bottom, as the file does
        yield packet


def evlib(path, container, sensor):
    import evlib

    return evlib.load_events(path).collect()


def aestream(path, container, sensor):
    import aestream

    return aestream.FileInput(path, tuple(sensor)).load()


READERS = {
    f.__name__: f for f in (faery, faery_packets, expelliarmus, expelliarmus_chunks, event_stream, evlib, aestream)
}
_NAMES = {"t": ("t", "timestamp"), "x": ("x",), "y": ("y",), "p": ("p", "on", "polarity", "is_increase")}


def digest(events):
    """Of the columns, whatever their names and order; one for all readers."""
    if isinstance(events, list):
        events = np.concatenate(events)
    columns = getattr(events, "columns", None)  # a polars frame
    digests = []
    for name, dtype in (("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")):
        if columns is None:
            key = next(k for k in _NAMES[name] if k in (events.dtype.fields or {}))
            column = events[key]
        else:
            series = events[next(k for k in _NAMES[name] if k in columns)]
            column = series.to_physical().to_numpy()
        column = column > 0 if name == "p" else column
        digests.append(hashlib.sha256(np.ascontiguousarray(column.astype(dtype)).tobytes()).hexdigest()[:12])
    return " ".join(digests)


def write(task):
    """A file by another program, from the .npy of events (t, x, y, p) at `source`."""
    events = np.load(task["source"])
    if task["writer"] == "faery":
        import faery

        array = np.empty(len(events), faery.EVENTS_DTYPE)
        for ours, theirs in zip("txyp", array.dtype.names, strict=True):
            array[theirs] = events[ours]
        faery.events_stream_from_array(array, tuple(task["sensor"])).to_file(task["path"], **task["options"])
    else:
        from expelliarmus import Wizard

        array = np.empty(len(events), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
        for name in "txyp":
            array[name] = events[name]
        Wizard(encoding=task["container"]).save(fpath=task["path"], arr=array)
    return {"bytes": os.path.getsize(task["path"])}


def answer(task):
    if "writer" in task:
        return write(task)
    began = time.process_time()
    events = READERS[task["reader"]](task["path"], task["container"], task["sensor"])
    if isinstance(events, Iterator):  # packets: kept only if they are checked
        events = list(events) if task.get("check") else sum(map(len, events))
    seconds = time.process_time() - began
    if not task.get("check"):
        return {"seconds": seconds}
    return {"events": sum(map(len, events)) if isinstance(events, list) else len(events), "digest": digest(events)}


def main():
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except BaseException as error:  # faery's panics are no Exception
            reply = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    sys.stdout = os.fdopen(os.dup(1), "w")  # answers go here; what the readers print goes to stderr
    os.dup2(2, 1)
    main()
