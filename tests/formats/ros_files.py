"""ROS bags made by the packages of others: rosbags serializes messages and writes .bag and .db3, mcap writes .mcap."""

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap")

import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as BagWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Bag2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

EVENT = "uint16 x\nuint16 y\n{time} ts\nbool polarity\n"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\n{package}/Event[] events\n"
PACKET = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
    "bool is_bigendian\nuint8[] events\n"
)
KINDS = ("bag", "bag bz2", "bag lz4", "mcap", "mcap lz4", "mcap zstd", "mcap messages", "mcap loose", "db3", "db3 zstd")


def store_for(kind):
    """The types of ROS 1 or 2, with those of events."""
    store = get_typestore(Stores.ROS1_NOETIC if kind.startswith("bag") else Stores.ROS2_HUMBLE)
    time = "time" if kind.startswith("bag") else "builtin_interfaces/Time"
    for package in ("dvs_msgs", "prophesee_event_msgs"):
        store.register(get_types_from_msg(EVENT.format(time=time), f"{package}/msg/Event"))
        store.register(get_types_from_msg(ARRAY.format(package=package), f"{package}/msg/EventArray"))
    store.register(get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket"))
    return store


def header(store, kind):
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    extra = {"seq": 1} if kind.startswith("bag") else {}
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera", **extra)


def array(store, kind, events, sensor, package="dvs_msgs"):
    """A message with a time for each event."""
    event, time = store.types[f"{package}/msg/Event"], store.types["builtin_interfaces/msg/Time"]
    made = [
        event(x=x, y=y, ts=time(sec=t // 10**6, nanosec=t % 10**6 * 1000), polarity=p) for t, x, y, p in events.tolist()
    ]
    name = f"{package}/msg/EventArray"
    return name, store.types[name](header=header(store, kind), height=sensor.height, width=sensor.width, events=made)


def packet(store, kind, words, encoding, sensor, time_base=0, big=False):
    """A message of a camera's words."""
    name = "event_camera_msgs/msg/EventPacket"
    data = np.frombuffer(words, np.uint8)
    return name, store.types[name](
        header=header(store, kind), height=sensor.height, width=sensor.width, seq=1, time_base=time_base,
        encoding=encoding, is_bigendian=big, events=data,
    )  # fmt: skip


def write_bag(folder, kind, messages, chunk_bytes=1 << 20):
    """A bag of (topic, (type, message)) in their order; its path."""
    store, name, packing = store_for(kind), *(kind.split() + [""])[:2]
    if name == "mcap":
        return _write_mcap(folder / "made.mcap", store, messages, packing, chunk_bytes)
    if name == "bag":
        path = folder / "made.bag"
        path.unlink(missing_ok=True)
        writer = BagWriter(path)
        if packing:
            writer.set_compression(BagWriter.CompressionFormat[packing.upper()])
        writer.chunk_threshold = chunk_bytes
        serialize = store.serialize_ros1
    else:
        writer = Bag2Writer(folder / "made", version=8, storage_plugin=StoragePlugin.SQLITE3)
        if packing:
            writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
        serialize = store.serialize_cdr
    with writer:
        connections = {}
        for at, (topic, (kind_of, message)) in enumerate(messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind_of, typestore=store)
            writer.write(connections[topic], 10**9 + at, serialize(message, kind_of))
    return path if name == "bag" else next((folder / "made").glob("*.db3"))


def _write_mcap(path, store, messages, packing, chunk_bytes):
    compression = {"lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}.get(packing, CompressionType.NONE)
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_bytes, compression, use_chunking=packing != "loose")
        writer.start("ros2", "test")
        channels = {}
        for at, (topic, (kind, message)) in enumerate(messages):
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", b"")
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            data = bytes(store.serialize_cdr(message, kind))
            data = zstandard.compress(data) if packing == "messages" else data
            writer.add_message(channels[topic], 10**9 + at, data, 10**9 + at)
        writer.finish()
    return path
