"""Messages: a typed header and a raw payload, to frames and back. Sockets are wire.py's work; docs/wire.md is the spec.

Three frames: topic (the kind, ASCII), header (a msgpack map), payload (raw little-endian arrays; msgpack for reports).
Nothing is pickled. A receiver trusts nothing: version, kind, lengths, dtypes, order and bounds are checked before a
node sees the payload, and MessageError names the fault. What is checked against the stream (is this event on the
sensor?) needs the StreamInfo that opened it, which the caller keeps.

This file is longer than others so that both directions of every kind stand side by side.
A header is msgpack rather than a fixed struct: 2 µs more a message, but a new field does not break an old reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from ..pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from ..pipeline.extras import CameraFrame, Extra, ImuPacket, TriggerPacket
from ..pipeline.stream import BinnedSlice, Classification, CurrentSlice, Image, LabelSpan, StreamInfo
from .extra_messages import UNPACKERS as EXTRA_UNPACKERS
from .extra_messages import pack_extra
from .header import (
    ABOUT,
    AboutClassification,
    AboutCurrent,
    AboutEnd,
    AboutEvents,
    AboutFailed,
    AboutImage,
    AboutInfo,
    AboutSlice,
    AboutStatus,
    Header,
    MessageError,
    State,
)

VERSION = 1
MAX_MESSAGE_BYTES = 64 << 20  # of one frame: a 20-megapixel image, or 5 million events


@dataclass(frozen=True)
class Status:
    """What a node tells its neighbours and the launcher about itself."""

    state: State
    report: Mapping[str, Any] = field(default_factory=dict)  # msgpack values only


@dataclass(frozen=True)
class End:
    """The stream is over: nothing follows from this source."""


@dataclass(frozen=True)
class Failed:
    """A node cannot go on; the run ends."""

    node: str
    error: str  # one sentence
    traceback: str = ""  # empty where the sentence says all


Payload = StreamInfo | EventPacket | Extra | Image | BinnedSlice | CurrentSlice | Classification | Status | End | Failed

KINDS: dict[str, type] = {
    "info": StreamInfo,
    "events": EventPacket,
    "frame": CameraFrame,
    "imu": ImuPacket,
    "triggers": TriggerPacket,
    "image": Image,
    "slice": BinnedSlice,
    "current": CurrentSlice,
    "classification": Classification,
    "status": Status,
    "end": End,
    "failed": Failed,
}
KIND_OF = {cls: kind for kind, cls in KINDS.items()}
DATA_KINDS = frozenset(KINDS) - {"info", "status", "end", "failed"}  # the ones a queue may drop

_ENCODER = msgspec.msgpack.Encoder()
_HEADER_DECODER = msgspec.msgpack.Decoder(Header)
_NO_EVENTS = np.frombuffer(bytes(EVENT_DTYPE.itemsize), EVENT_DTYPE)[:0]  # read-only, like every array received
_NO_CELLS = np.frombuffer(bytes(4), "<i4")[:0]
_ABOUT_DECODERS: dict[str, Any] = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in ABOUT.items()}


@dataclass(frozen=True)
class Message:
    """One payload object with its header. Made by a producer, or by from_frames."""

    payload: Payload
    source: str
    sequence: int
    dropped: int = 0
    origin_ns: int = 0
    origin_clock: str = ""
    sent_ns: int = 0
    sent_clock: str = ""

    @property
    def kind(self) -> str:
        return KIND_OF[type(self.payload)]


def to_frames(message: Message) -> list[bytes]:
    """[topic, header, payload]: the frames are copies, the caller's arrays stay the caller's."""
    kind = KIND_OF.get(type(message.payload))
    if kind is None:
        raise MessageError(f"a {type(message.payload).__name__} cannot be sent; known are {', '.join(KINDS)}")
    about, payload = _pack(message.payload)
    header = Header(
        version=VERSION,
        kind=kind,
        source=message.source,
        sequence=message.sequence,
        dropped=message.dropped,
        origin_ns=message.origin_ns,
        origin_clock=message.origin_clock,
        sent_ns=message.sent_ns,
        sent_clock=message.sent_clock,
        about=msgspec.Raw(_ENCODER.encode(about)),
    )
    return [kind.encode(), _ENCODER.encode(header), payload]


def from_frames(frames: Sequence[bytes], stream: StreamInfo | None = None) -> Message:
    """The message, every field checked; its arrays are read-only views of the payload frame.

    `stream` is the last StreamInfo from the same source; without one, data has no sensor to lie on and is refused.
    Raises MessageError that names the fault.
    """
    if len(frames) != 3:
        raise MessageError(f"a message has 3 frames (topic, header, payload), this one has {len(frames)}")
    topic, head, payload = frames
    header = _decode_header(head)
    if topic != header.kind.encode():
        raise MessageError(f"topic {bytes(topic[:32])!r} does not match the kind {header.kind!r} of the header")
    if header.kind not in ABOUT:
        raise MessageError(f"kind {header.kind!r} from {header.source!r} is unknown; known are {', '.join(ABOUT)}")
    try:
        about = _ABOUT_DECODERS[header.kind].decode(header.about)
    except _UNDECODABLE as error:
        raise MessageError(f"{header.kind} from {header.source!r}: {error}") from None
    try:
        unpacked = _unpack(header.kind, about, payload, stream)
    except MessageError as error:
        raise MessageError(f"{header.kind} from {header.source!r}: {error}") from None
    return Message(
        unpacked,
        header.source,
        header.sequence,
        header.dropped,
        header.origin_ns,
        header.origin_clock,
        header.sent_ns,
        header.sent_clock,
    )


class _OnlyVersion(msgspec.Struct):
    version: int


_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _decode_header(data: bytes) -> Header:
    """The header; one of another version is named as such, whatever else is in it."""
    try:
        header = _HEADER_DECODER.decode(data)
        version = header.version
    except _UNDECODABLE as error:
        try:
            version = msgspec.msgpack.decode(data, type=_OnlyVersion).version
        except _UNDECODABLE:
            version = VERSION
        if version == VERSION:
            raise MessageError(f"the header is not one of this protocol: {error}") from None
    if version != VERSION:
        raise MessageError(f"protocol version {version}, this program speaks {VERSION}; update the older of the two")
    return header


def _pack(payload: Payload) -> tuple[msgspec.Struct, bytes]:
    """What goes into the header, and the raw bytes beside it."""
    match payload:
        case EventPacket(events, t_stop_us):
            return AboutEvents(len(events), t_stop_us), np.ascontiguousarray(events, EVENT_DTYPE).tobytes()
        case CameraFrame() | ImuPacket() | TriggerPacket():
            return pack_extra(payload)
        case BinnedSlice(t_start_us, t_stop_us, cells, counts):
            return AboutSlice(len(cells), t_start_us, t_stop_us), _raw(cells, "<i4") + _raw(counts, "<i4")
        case Classification():
            about = AboutClassification(
                payload.t_start_us,
                payload.t_stop_us,
                payload.index,
                payload.label,
                len(payload.scores),
                payload.synops,
                payload.recording,
            )
            return about, _raw(payload.scores, "<f8")
        case CurrentSlice(t_start_us, t_stop_us, values):
            return AboutCurrent(values.shape, t_start_us, t_stop_us), _raw(values, "<f4")
        case Image(pixels):
            return AboutImage(pixels.shape), _raw(pixels, "<f4")
        case StreamInfo(name, sensor, channels, labels, timestep_us):
            spans = [(span.label, span.t_start_us, span.t_stop_us) for span in labels]
            return AboutInfo(name, sensor.width, sensor.height, channels, spans, timestep_us), b""
        case Status(state, report):
            return AboutStatus(state), _ENCODER.encode(report)
        case Failed(node, error, traceback):
            return AboutFailed(node, error), traceback.encode()
        case End():
            return AboutEnd(), b""


def _unpack(kind: str, about: Any, payload: bytes, stream: StreamInfo | None) -> Payload:
    if kind in _UNPACKERS:
        if stream is None:
            raise MessageError("data came before any info that says what sensor it belongs to")
        return _UNPACKERS[kind](about, payload, stream)
    if kind == "info":
        _want_bytes(payload, 0)
        sensor = SensorSize(about.width, about.height)
        labels = tuple(LabelSpan(*span) for span in about.labels)
        return StreamInfo(about.name, sensor, about.channels, labels, about.timestep_us)
    if kind == "status":
        try:
            return Status(about.state, msgspec.msgpack.decode(payload, type=dict[str, Any]))
        except _UNDECODABLE as error:
            raise MessageError(f"the report is not a msgpack map: {error}") from None
    if kind == "failed":
        return Failed(about.node, about.error, bytes(payload).decode(errors="replace"))
    _want_bytes(payload, 0)
    return End()


def _events(about: AboutEvents, payload: bytes, stream: StreamInfo) -> EventPacket:
    _want_bytes(payload, about.count * EVENT_DTYPE.itemsize)
    if not about.count:
        return EventPacket(_NO_EVENTS, about.t_stop_us)
    events = np.frombuffer(payload, EVENT_DTYPE)
    times, polarities = events["t"], np.frombuffer(payload, np.uint8)[EVENT_DTYPE.itemsize - 1 :: EVENT_DTYPE.itemsize]
    if polarities.max() > 1:
        raise MessageError(f"a polarity byte is {polarities.max()}, want 0 or 1")
    if (times[1:] < times[:-1]).any():
        raise MessageError("event times run backwards")
    if times[0] < -(2**62) or times[-1] > about.t_stop_us:
        raise MessageError(f"the last event is at {times[-1]} µs, but the packet says it stops at {about.t_stop_us}")
    x, y = int(events["x"].max()), int(events["y"].max())
    if x >= stream.sensor.width or y >= stream.sensor.height:
        raise MessageError(f"events reach x={x}, y={y}, outside the {stream.sensor} sensor")
    return EventPacket(events, about.t_stop_us)


def _slice(about: AboutSlice, payload: bytes, stream: StreamInfo) -> BinnedSlice:
    _want_bytes(payload, 8 * about.count)
    _want_forward(about.t_start_us, about.t_stop_us)
    if not about.count:
        return BinnedSlice(about.t_start_us, about.t_stop_us, _NO_CELLS, _NO_CELLS)
    cells = np.frombuffer(payload, "<i4", about.count)
    counts = np.frombuffer(payload, "<i4", about.count, 4 * about.count)
    size = stream.channels * stream.sensor.height * stream.sensor.width
    if cells[0] < 0 or cells[-1] >= size or (cells[1:] <= cells[:-1]).any():
        raise MessageError(f"cells are not ascending within 0..{size - 1} ({stream.channels} x {stream.sensor})")
    if counts.min() < 1:
        raise MessageError(f"a count is {counts.min()}, want at least 1")
    return BinnedSlice(about.t_start_us, about.t_stop_us, cells, counts)


def _image(about: AboutImage, payload: bytes, stream: StreamInfo) -> Image:
    return Image(_dense(about.shape, payload, stream))


def _current(about: AboutCurrent, payload: bytes, stream: StreamInfo) -> CurrentSlice:
    _want_forward(about.t_start_us, about.t_stop_us)
    return CurrentSlice(about.t_start_us, about.t_stop_us, _dense(about.shape, payload, stream))


def _classification(about: AboutClassification, payload: bytes, stream: StreamInfo) -> Classification:
    _want_bytes(payload, 8 * about.classes)
    _want_forward(about.t_start_us, about.t_stop_us)
    if about.index >= about.classes:
        raise MessageError(f"class {about.index} of {about.classes}")
    scores = np.frombuffer(payload, "<f8") if about.classes else np.empty(0)
    if not np.isfinite(scores).all():
        raise MessageError("a score is not finite")
    return Classification(
        about.t_start_us, about.t_stop_us, about.index, about.label, scores, about.synops, about.recording
    )


_UNPACKERS: dict[str, Any] = {
    "events": _events,
    **EXTRA_UNPACKERS,
    "image": _image,
    "slice": _slice,
    "current": _current,
    "classification": _classification,
}


def _dense(shape: tuple[int, int, int], payload: bytes, stream: StreamInfo) -> np.ndarray:
    wanted = (stream.channels, stream.sensor.height, stream.sensor.width)
    if shape != wanted:
        raise MessageError(f"its shape is {shape}, the stream's is {wanted}")
    _want_bytes(payload, 4 * shape[0] * shape[1] * shape[2])
    values = np.frombuffer(payload, "<f4").reshape(shape)
    if not np.isfinite(values).all():
        raise MessageError("a value is not finite")
    return values


def _raw(array: np.ndarray, dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype).tobytes()


def _want_bytes(payload: bytes, wanted: int) -> None:
    if len(payload) != wanted:
        raise MessageError(f"the payload has {len(payload)} bytes, want {wanted}")


def _want_forward(t_start_us: int, t_stop_us: int) -> None:
    if t_start_us >= t_stop_us:
        raise MessageError(f"it runs from {t_start_us} to {t_stop_us} µs, want a stop after the start")
