"""Which streams an AEDAT 4 file or connection has: a description in XML, in its header.

Only what reading needs is taken from it: the number, the kind and the sensor of each stream. A kind that is not known,
or an attribute that lacks, costs nothing but itself.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ..events import SensorSize

EVENTS, FRAMES, MOTION, TRIGGERS = "EVTS", "FRME", "IMUS", "TRIG"
NAMES = {EVENTS: "events", FRAMES: "frame", MOTION: "imus", TRIGGERS: "triggers"}  # for people
_LONGEST = 1 << 20  # characters; DV writes about a thousand a stream
_LARGEST_SIDE = 32_767  # coordinates are signed 16-bit


class Stream(NamedTuple):
    """One of the streams of a file."""

    kind: str  # four letters, as EVTS
    sensor: SensorSize | None = None  # as stated; None: not, or not as two numbers of pixels

    @property
    def name(self) -> str:
        """What it holds, for people: a word, or of an unknown kind the letters."""
        return NAMES.get(self.kind) or (self.kind[:20] if self.kind.isprintable() and self.kind else "unnamed")


def parse(description: str) -> dict[int, Stream]:
    """The streams by their number. ValueError says what is wrong with the description."""
    if len(description) > _LONGEST:
        raise ValueError(f"the header's description has {len(description):,} characters, want at most {_LONGEST:,}")
    if "<!DOCTYPE" in description:  # without one there are no entities that grow without end
        raise ValueError("the header's description declares a document type, which no writer does")
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError as error:
        raise ValueError(f"the header's description is broken: {error}") from None
    outputs = root.find(".//node[@name='outInfo']")
    nodes = [] if outputs is None else outputs.findall("node")
    streams = {int(name): _stream(node) for node in nodes if _is_number(name := node.get("name", ""))}
    if not streams:
        raise ValueError("the header names no streams")
    return dict(sorted(streams.items()))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _stream(node: ElementTree.Element) -> Stream:
    kind = dict(_attributes(node)).get("typeIdentifier", "")
    info = node.find("node[@name='info']")
    stated = {} if info is None else dict(_attributes(info))
    sides = [stated.get(key, "") for key in ("sizeX", "sizeY")]
    if not all(_is_number(side) and 1 <= int(side) <= _LARGEST_SIDE for side in sides):
        return Stream(kind)
    return Stream(kind, SensorSize(*map(int, sides)))


def _attributes(node: ElementTree.Element) -> Iterator[tuple[str, str]]:
    return ((attribute.get("key", ""), (attribute.text or "").strip()) for attribute in node.findall("attr"))


def describe(streams: Mapping[int, Stream], compression: str, source: str) -> bytes:
    """The description of these streams, as `parse` and others read it."""
    nodes = (_described(number, stream, compression, source) for number, stream in streams.items())
    return f'<dv version="2.0"><node name="outInfo" path="/outInfo/">{"".join(nodes)}</node></dv>'.encode()


def _described(number: int, stream: Stream, compression: str, source: str) -> str:
    attributes = {
        "compression": compression.upper(),
        "originalModuleName": "dvs_run",
        "originalOutputName": stream.name,
        "typeDescription": "Polarity events." if stream.kind == EVENTS else stream.name,
        "typeIdentifier": stream.kind,
    }
    sensor = stream.sensor
    sides = {"sizeX": sensor.width, "sizeY": sensor.height} if sensor else {}
    return (
        f'<node name="{number}" path="/outInfo/{number}/">'
        + "".join(f'<attr key="{key}" type="string">{escape(value)}</attr>' for key, value in attributes.items())
        + f'<node name="info" path="/outInfo/{number}/info/">'
        + "".join(f'<attr key="{key}" type="int">{value}</attr>' for key, value in sides.items())
        + f'<attr key="source" type="string">{escape(source)}</attr></node></node>'
    )
