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


def aedat(path, container, sensor):
    import aedat

    return (packet["events"] for packet in aedat.Decoder(path) if "events" in packet)


def dv_processing(path, container, sensor):
    import dv_processing as dv

    recording = dv.io.MonoCameraRecording(path)
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            yield batch.numpy()


def tonic(path, container, sensor):
    """tonic's helpers, which give words, and their fields told apart by NumPy; its own readers of AEDAT raise."""
    from tonic import io

    if container == "nmnist":
        return io.read_mnist_file(path, np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]))
    version, start, _ = io.read_aedat_header_from_file(path)
    words = io.get_aer_events_from_file(path, version, start)
    address, width, height = words["address"], *sensor
    events = np.empty(len(words), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
    events["t"] = words["timeStamp"]
    if container == "aedat2":  # a DAVIS
        events["x"], events["y"] = width - 1 - (address >> 12 & 0x3FF), height - 1 - (address >> 22 & 0x1FF)
        events["p"] = address >> 11 & 1
    else:
        events["x"], events["y"], events["p"] = address >> 17, address >> 2 & 0x7FFF, address >> 1 & 1
    return events


def numpy(path, container, sensor):
    return np.load(path) if container == "npy" else np.load(path)["events"]


READERS = {
    f.__name__: f
    for f in (
        faery, faery_packets, expelliarmus, expelliarmus_chunks, event_stream, evlib, aestream, aedat, dv_processing,
        tonic, numpy,
    )
}  # fmt: skip
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
    elif task["writer"] == "dv_processing":
        import dv_processing as dv

        codec = getattr(dv.CompressionType, task["options"].get("compression", "LZ4"))
        config = dv.io.MonoCameraWriter.EventOnlyConfig("DVS_1", tuple(task["sensor"]), codec)
        writer = dv.io.MonoCameraWriter(task["path"], config)
        for start in range(0, len(events), 10_000):
            store = dv.EventStore()
            for t, x, y, p in events[start : start + 10_000].tolist():
                store.push_back(t, x, y, p)
            writer.writeEvents(store)
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
