"""A program that is no dvs-run joins a graph: events in, decisions out, with ZeroMQ and nothing else (docs/wire.md).

dvs-run configs/outside.yaml --node binner,classifier &
python docs/wire_client.py 128 128 events.bin     # records of 13 bytes: t i64, x u16, y u16, p u8
"""

import io
import struct
import sys
import time

import zmq

CAMERA, DECISIONS = "tcp://127.0.0.1:7801", "tcp://127.0.0.1:7802"  # `listen:` of the binner, and of our own node
SIZED = dict(zip(range(0xC4, 0xE0), "BHIBHIfdBHIQbhiq-----BHIHIHI", strict=True))


def pack(value):
    """msgpack, in its longest forms, which every reader takes."""
    if isinstance(value, dict):
        return struct.pack(">BH", 0xDE, len(value)) + b"".join(pack(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return struct.pack(">BH", 0xDC, len(value)) + b"".join(map(pack, value))
    if isinstance(value, str):
        return struct.pack(">BH", 0xDA, len(value.encode())) + value.encode()
    return b"\xc0" if value is None else struct.pack(">Bq", 0xD3, value)


def unpack(data):
    """The msgpack value that begins here in a BytesIO."""
    code = data.read(1)[0]
    if code < 0x80 or code >= 0xE0:
        return code - 256 * (code >= 0xE0)
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code]
    size = code & (0x1F if code >= 0xA0 else 0x0F)
    if code in SIZED:
        (size,) = struct.unpack(f">{SIZED[code]}", data.read(struct.calcsize(f">{SIZED[code]}")))
    if 0xCA <= code <= 0xD3:
        return size
    if code < 0x90 or code >= 0xDE:
        return {unpack(data): unpack(data) for _ in range(size)}
    return [unpack(data) for _ in range(size)] if code < 0xA0 or code >= 0xDC else data.read(size).decode()


def message(source, kind, about, payload=b"", sequence=0):
    """The three frames."""
    now, clock = time.monotonic_ns(), "wire_client"
    stamps = {"origin_ns": now, "origin_clock": clock, "sent_ns": now, "sent_clock": clock}
    header = {"version": 1, "kind": kind, "source": source, "sequence": sequence, "dropped": 0, "about": about}
    return [kind.encode(), pack(header | stamps), payload]


def stream(width, height, records):
    """Everything that the camera says."""
    about = {"name": "wire_client", "width": width, "height": height, "channels": 2, "labels": [], "timestep_us": None}
    yield message("camera", "info", about)
    number = 0
    for number, start in enumerate(range(0, len(records), 13_000), 1):
        part = records[start : start + 13_000]
        t_stop_us = struct.unpack_from("<q", part, len(part) - 13)[0]  # no later event is before this one
        yield message("camera", "events", {"count": len(part) // 13, "t_stop_us": t_stop_us}, part, number)
    yield message("camera", "end", {}, sequence=number + 1)


def main(width, height, path):
    context, poller, outgoing = zmq.Context(), zmq.Poller(), None
    camera, decisions = context.socket(zmq.DEALER), context.socket(zmq.ROUTER)
    decisions.bind(DECISIONS)  # a consumer binds, and says ready when it is asked
    camera.connect(CAMERA)  # a producer connects, and waits for that
    poller.register(decisions, zmq.POLLIN)
    poller.register(camera, zmq.POLLIN)
    while True:
        found = dict(poller.poll())
        if decisions in found:
            classifier, kind, header, payload = decisions.recv_multipart()
            about = unpack(io.BytesIO(header))["about"]
            if kind == b"status" and about["state"] == "hello":  # its report names the graph: {"graph": FINGERPRINT}
                decisions.send_multipart([classifier, *message("decisions", "status", {"state": "ready"}, pack({}))])
                camera.send_multipart(message("camera", "status", {"state": "hello"}, payload))
            elif kind == b"classification":
                print(about["t_stop_us"], about["index"], about["label"], flush=True)
            elif kind == b"end":
                decisions.send_multipart([classifier, *message("decisions", "status", {"state": "received"}, pack({}))])
                return 0
            elif kind == b"failed":
                sys.exit(about["error"])
        if found.get(camera, 0) & zmq.POLLIN:
            state = unpack(io.BytesIO(camera.recv_multipart()[1]))["about"]["state"]
            if state == "stop":
                sys.exit("the graph does not want us")
            if state == "ready" and outgoing is None:
                with open(path, "rb") as file:
                    outgoing = stream(int(width), int(height), file.read())
                poller.register(camera, zmq.POLLIN | zmq.POLLOUT)
        if found.get(camera, 0) & zmq.POLLOUT:
            if (frames := next(outgoing, None)) is not None:
                camera.send_multipart(frames)
            else:
                poller.register(camera, zmq.POLLIN)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
