"""Which sensor a recording is of, when its file does not say: the smallest known one that holds all of its events."""

from pathlib import Path

from ..errors import RecordingError
from ..events import SensorSize
from .source import Reading, ReadOptions, Source, Stopped

KNOWN = (  # the cameras whose recordings lack a size; from small to large
    SensorSize(34, 34),  # N-MNIST
    SensorSize(128, 128),  # DVS128
    SensorSize(240, 180),  # DAVIS240, ATIS of N-Caltech101
    SensorSize(346, 260),  # DAVIS346
    SensorSize(640, 480),
    SensorSize(1280, 720),
)


def sensor_of(
    source: Source, path: Path, least: SensorSize = KNOWN[0], known: tuple[SensorSize, ...] = KNOWN
) -> SensorSize:
    """Read `source` once, quickly and to its first fault, for the largest x and y. At least `least`; one of `known`."""
    width, height = least.width, least.height
    try:
        for x, y in source.extents(Reading(path, ReadOptions(on_error="stop", packet_events=1 << 16))):
            width, height = max(width, x + 1), max(height, y + 1)
    except Stopped:
        pass
    for sensor in known:
        if width <= sensor.width and height <= sensor.height:
            return sensor
    if max(width, height) > 8192:
        raise RecordingError(
            f"{path}: events reach x={width - 1}, y={height - 1}, beyond any known sensor; say which with `sensor`",
            path,
        )
    return SensorSize(width, height)
