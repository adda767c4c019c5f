"""Films, webcams and folders of pictures as light before the simulated camera, frame by frame (extra `video`, PyAV).

Times are those of the frames. Between two frames a pixel's voltage runs straight (pixel.py): what moves by more than
about a pixel from one frame to the next gives the right number of events, not their right order.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import DvsError, EventError, RecordingError
from ..events import EventPacket, SensorSize
from .pictures import read_picture
from .pixel import WHITE, Camera, PixelSettings

INSTALL = "films, webcams and pictures other than PNG need PyAV: pip install 'dvs-run[video]'"
PICTURES = (".png", ".npy", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
LARGEST = 8192  # pixels of a side
FORWARD_US = 600_000_000  # longer than any picture is shown
GAMMA = 2.2  # of what cameras write into films: a value v is light of (v / 255) ** 2.2
Fit = Literal["crop", "stretch"]


class Frames(Protocol):
    """Something that shows one picture after the other."""

    sensor: SensorSize  # of the camera that looks at it

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """(time from 0 in µs, rising; brightness as it is displayed, uint8 (height, width) of the sensor)."""


def filmed(shown: Frames, settings: PixelSettings, seed: int, gamma: float = GAMMA) -> Iterator[EventPacket]:
    """The events that a camera sees of it, a packet a frame; its first frame is what the pixels rest at.

    The same frames, settings and seed give the same events.
    """
    if not 0.1 <= gamma <= 10:
        raise EventError(f"gamma is {gamma}, want 1 (values are light) to about 2.2 (as films are made)")
    light = (WHITE * (np.arange(256) / 255) ** gamma).astype(np.float32)
    camera = Camera(shown.sensor, settings, seed)
    for t_us, picture in shown.frames():
        events = camera.push(t_us, light[picture])
        events.flags.writeable = False
        yield EventPacket(events, t_us)


@dataclass
class Film:
    """A film, or whatever else FFmpeg opens. RecordingError says where one ends that cannot be read further."""

    path: str | Path
    sensor: SensorSize = field(default_factory=lambda: SensorSize(1, 1))  # (1, 1): the film's own size
    fit: Fit = "crop"
    frames_per_second: float | None = None  # instead of the film's own times
    container: str | None = None  # FFmpeg's name of the input format: v4l2, lavfi, ...; None: as the file looks
    options: dict[str, str] = field(default_factory=dict)  # of that format: video_size, framerate
    live: bool = False  # a webcam: read what comes, never to be read twice

    def __post_init__(self) -> None:
        self._opened = self._open()
        stream = self._opened.streams.video[0]
        if stream.codec_context is None:
            self.close()
            raise RecordingError(f"{self.path}: its pictures are of a codec that PyAV does not have", self.path)
        if not 0 < min(stream.width, stream.height) <= max(stream.width, stream.height) <= LARGEST:
            self.close()
            raise RecordingError(
                f"{self.path}: pictures of {stream.width}x{stream.height}, want sides of 1 to {LARGEST}"
            )
        if self.sensor == SensorSize(1, 1):
            self.sensor = SensorSize(stream.width, stream.height)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        opened, first_us, last_us, number = self._opened or self._open(), None, -1, 0
        self._opened = None
        try:
            for frame in _decoded(opened, self.path):
                t_us = self._time_of(frame, number)
                number += 1
                first_us = t_us if first_us is None else first_us
                if t_us - first_us <= last_us:
                    continue  # shown no longer than the one before
                if t_us - first_us > last_us + FORWARD_US:
                    what = f"its pictures jump from {last_us / 1e6:.0f} to {(t_us - first_us) / 1e6:.0f} s"
                    raise RecordingError(f"{self.path}: {what}, more than ten minutes: damage", self.path)
                last_us = t_us - first_us
                yield last_us, _grey(frame, self.sensor, self.fit)
        finally:
            opened.close()
        if first_us is None:
            raise RecordingError(f"{self.path}: holds no picture", self.path)

    def close(self) -> None:
        """Let go of the file or of the webcam."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _time_of(self, frame: Any, number: int) -> int:
        if self.frames_per_second is None and frame.pts is not None and frame.time_base is not None:
            return round(frame.pts * frame.time_base * 1_000_000)
        return round(number * 1e6 / (self.frames_per_second or 30.0))

    def _open(self) -> Any:
        av, name = _av(), str(self.path)
        try:
            opened = av.open(name, format=self.container, options=self.options)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            what = "webcam" if self.live else "film"
            raise RecordingError(f"{name}: cannot be opened as a {what}: {reason}", name) from None
        if not opened.streams.video:
            opened.close()
            raise RecordingError(f"{name}: holds no pictures (sound only?)", name)
        opened.streams.video[0].thread_type = "SLICE" if self.live else "AUTO"  # threads a frame each are late
        return opened


@dataclass
class PictureFolder:
    """Pictures of one folder, in the order of the numbers in their names, as a film of so many a second."""

    path: str | Path
    sensor: SensorSize = field(default_factory=lambda: SensorSize(1, 1))  # (1, 1): that of the first picture
    fit: Fit = "crop"
    frames_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.frames_per_second is None:
            raise RecordingError(f"{self.path}: a folder of pictures has no times; say frames_per_second", self.path)
        self._files = pictures_in(Path(self.path))
        if not self._files:
            raise RecordingError(f"{self.path}: holds no pictures ({', '.join(PICTURES[:4])}, ...)", self.path)
        if self.sensor == SensorSize(1, 1):
            height, width = read_grey(self._files[0]).shape
            self.sensor = SensorSize(width, height)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        assert self.frames_per_second is not None
        for number, file in enumerate(self._files):
            yield round(number * 1e6 / self.frames_per_second), fitted(read_grey(file), self.sensor, self.fit)

    def close(self) -> None:
        """Nothing is held."""


def open_frames(
    path: str | Path, sensor: SensorSize | None = None, fit: Fit = "crop", frames_per_second: float | None = None
) -> Film | PictureFolder:
    """A film, or a folder of pictures. RecordingError where it is neither."""
    if frames_per_second is not None and not 0.001 <= frames_per_second <= 1e6:
        raise RecordingError(f"frames_per_second is {frames_per_second}, want 0.001 to 1,000,000", path)
    kind = PictureFolder if Path(path).is_dir() else Film
    if kind is Film and not Path(path).is_file():
        raise RecordingError(f"there is no film {path}", path)
    return kind(path, sensor or SensorSize(1, 1), fit, frames_per_second)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, picture_9 before picture_10."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith("."))
    return sorted(files, key=lambda file: ([int(digits) for digits in re.findall(r"\d+", file.stem)], file.name))


def read_grey(path: Path) -> np.ndarray:
    """One picture, uint8 (height, width): PNG and .npy by ourselves, others through PyAV."""
    if path.suffix.lower() not in (".png", ".npy"):
        film = Film(path)
        try:
            return next(film.frames())[1]
        finally:
            film.close()
    picture = read_picture(path)
    if picture.ndim == 3:
        picture = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def fitted(picture: np.ndarray, sensor: SensorSize, fit: Fit) -> np.ndarray:
    """The picture at the size of the sensor, each pixel the mean of what it covers; `crop` keeps its proportions."""
    height, width = picture.shape
    if fit == "crop":
        scale = max(sensor.width / width, sensor.height / height)
        wide, high = min(width, round(sensor.width / scale)), min(height, round(sensor.height / scale))
        left, top = (width - wide) // 2, (height - high) // 2
        picture = picture[top : top + high, left : left + wide]
    if picture.shape == (sensor.height, sensor.width):
        return picture
    rows, columns = _shares(picture.shape[0], sensor.height), _shares(picture.shape[1], sensor.width)
    return np.rint(rows @ picture.astype(np.float32) @ columns.T).astype(np.uint8)


def _shares(have: int, want: int) -> np.ndarray:
    """float32 (want, have): which share of each of `want` equal parts of a line each of its `have` pixels is."""
    edges = np.arange(want + 1) * (have / want)
    at = np.arange(have)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    return (np.clip(overlap, 0, None) * (want / have)).astype(np.float32)


def _grey(frame: Any, sensor: SensorSize, fit: Fit) -> np.ndarray:
    """A frame of a film as it is meant to be seen: turned as it says, at the size of the sensor."""
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    across, down = (sensor.height, sensor.width) if quarters % 2 else (sensor.width, sensor.height)
    scale = max(across / frame.width, down / frame.height)
    wide, high = across, down
    if fit == "crop":
        wide, high = max(across, round(frame.width * scale)), max(down, round(frame.height * scale))
    try:
        image = frame.reformat(wide, high, format="gray", interpolation="AREA").to_ndarray()
    except (_av().error.FFmpegError, ValueError, MemoryError) as error:
        size = f"{frame.width}x{frame.height} pixels to {wide}x{high}"
        raise RecordingError(f"a picture cannot be brought from {size}: {error or 'too large'}") from None
    left, top = (wide - across) // 2, (high - down) // 2
    return np.rot90(image[top : top + down, left : left + across], quarters)


def _decoded(opened: Any, path: str | Path) -> Iterator[Any]:
    av = _av()
    try:
        yield from opened.decode(video=0)
    except av.error.FFmpegError as error:
        raise RecordingError(f"{path}: the film cannot be read further: {error.strerror or error}", path) from None


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DvsError(f"{INSTALL} ({error})") from None
    return av  # its logging stays off: it waits for the interpreter's lock in threads that close() waits for with it
