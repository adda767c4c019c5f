"""The fields of a message's header, typed: msgspec checks them all on receipt. What they mean is in docs/wire.md."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..pipeline.errors import DvsError

State = Literal["hello", "ready", "stop", "received", "told"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
Time = Annotated[int, Meta(ge=-(2**62), le=2**62)]  # leaves room for differences
Side = Annotated[int, Meta(ge=1, le=65_535)]


class MessageError(DvsError):
    """Frames that are not a message of this protocol, or that contradict the stream they belong to."""


class Header(msgspec.Struct, frozen=True):
    """The second frame. Unknown fields are ignored, so that a later minor version can add some."""

    version: int
    kind: Name
    source: Name  # node that sent it
    sequence: Count  # 0, 1, 2 ... per source, over all kinds
    dropped: Count  # data messages discarded on the way here so far, this source's inputs and all before them
    origin_ns: Time  # host monotonic time at which the data of this message was complete at its source
    origin_clock: Text  # whose monotonic clock that is
    sent_ns: Time  # host monotonic time at which this message was sent
    sent_clock: Text
    about: msgspec.Raw  # what the kind needs, below


class AboutInfo(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=4096)]
    width: Side
    height: Side
    channels: Side
    labels: Annotated[list[tuple[Text, Time, Time]], Meta(max_length=100_000)]
    timestep_us: Annotated[int, Meta(ge=1, le=2**62)] | None


class AboutEvents(msgspec.Struct, frozen=True):
    count: Count
    t_stop_us: Time


class AboutImage(msgspec.Struct, frozen=True):
    shape: tuple[Side, Side, Side]


class AboutFrame(msgspec.Struct, frozen=True):
    t_us: Time
    exposure_us: tuple[Time, Time]
    shape: Annotated[list[Side], Meta(min_length=2, max_length=3)]  # height, width, colours
    depth: Literal[8, 16]  # bits of a pixel's value
    x: Annotated[int, Meta(ge=0, le=65_535)]
    y: Annotated[int, Meta(ge=0, le=65_535)]


class AboutImu(msgspec.Struct, frozen=True):
    count: Annotated[int, Meta(ge=1, le=2**31)]


class AboutTriggers(msgspec.Struct, frozen=True):
    count: Annotated[int, Meta(ge=1, le=2**31)]


class AboutSlice(msgspec.Struct, frozen=True):
    count: Count
    t_start_us: Time
    t_stop_us: Time


class AboutCurrent(msgspec.Struct, frozen=True):
    shape: tuple[Side, Side, Side]
    t_start_us: Time
    t_stop_us: Time


class AboutClassification(msgspec.Struct, frozen=True):
    t_start_us: Time
    t_stop_us: Time
    index: Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    label: Text
    classes: Count
    synops: Count
    recording: Annotated[str, Meta(max_length=4096)]


class AboutStatus(msgspec.Struct, frozen=True):
    state: State


class AboutEnd(msgspec.Struct, frozen=True):
    pass


class AboutFailed(msgspec.Struct, frozen=True):
    node: Name
    error: str


ABOUT: dict[str, type[msgspec.Struct]] = {
    "info": AboutInfo,
    "events": AboutEvents,
    "frame": AboutFrame,
    "imu": AboutImu,
    "triggers": AboutTriggers,
    "image": AboutImage,
    "slice": AboutSlice,
    "current": AboutCurrent,
    "classification": AboutClassification,
    "status": AboutStatus,
    "end": AboutEnd,
    "failed": AboutFailed,
}
