"""A program that is not dvs-run joins a graph as its camera and as the reader of its decisions (docs/wire.md).

dvs-run configs/outside.yaml --node binner,classifier &
python docs/wire_client.py 128 128 events.bin     # records of 13 bytes: t i64, x u16, y u16, p u8
"""

import sys
import time
from pathlib import Path

import msgpack
import zmq


def message(source, kind, about, payload=b"", sequence=0):
    stamps = {"origin_ns": time.monotonic_ns(), "sent_ns": time.monotonic_ns()} | dict.fromkeys(CLOCKS, "wire_client")
    header = {"version": 1, "kind": kind, "source": source, "sequence": sequence, "dropped": 0, "about": about} | stamps
    return [kind.encode(), msgpack.packb(header), payload]


def receive():
    classifier, kind, header, report = decisions.recv_multipart()
    about = msgpack.unpackb(header)["about"]
    if kind == b"classification":
        print(about["t_stop_us"], about["index"], about["label"], flush=True)
    elif kind in (b"status", b"end"):  # hello, whose report names the graph, and "are you there?"; all has come
        state = {"state": "ready" if kind == b"status" else "received"}
        decisions.send_multipart([classifier, *message("decisions", "status", state, msgpack.packb({}))])
    return (kind, report) if kind != b"failed" else sys.exit(about["error"])


CLOCKS = "origin_clock", "sent_clock"
width, height, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
camera, decisions = (zmq.Context.instance().socket(kind) for kind in (zmq.DEALER, zmq.ROUTER))
decisions.bind("tcp://127.0.0.1:7802")  # a consumer binds, and says ready when it is asked
camera.connect("tcp://127.0.0.1:7801")  # a producer connects, says hello, and waits for that
camera.send_multipart(message("camera", "status", {"state": "hello"}, receive()[1]))
if msgpack.unpackb(camera.recv_multipart()[1])["about"]["state"] != "ready":
    sys.exit("the graph does not want us")
about = {"name": path, "width": width, "height": height, "channels": 2, "labels": [], "timestep_us": None}
camera.send_multipart(message("camera", "info", about))
records, number = Path(path).read_bytes(), 0
for number, start in enumerate(range(0, len(records), 13_000), 1):
    part = records[start : start + 13_000]
    until = {"count": len(part) // 13, "t_stop_us": int.from_bytes(part[-13:-5], "little")}  # no later event is earlier
    while decisions.poll(0) or not camera.poll(1, zmq.POLLOUT):  # the graph is busy: it may wait for us to read
        if decisions.poll(0):
            receive()
    camera.send_multipart(message("camera", "events", until, part, number))
camera.send_multipart(message("camera", "end", {}, sequence=number + 1))
while receive()[0] != b"end":
    pass
