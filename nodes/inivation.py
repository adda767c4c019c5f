"""Node `inivation`: a DVS128, DAVIS or DVXplorer, through iniVation's dv-processing (extra `inivation`).

Its driver collects events for `packet_us`, undoes the wraps of the camera's clock, and tells nothing of what it drops.
"""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..pipeline.events import EVENT_DTYPE, SensorSize
from .camera import CameraPacket, CameraSource, want
from .live import EndAfter, LiveError

_POLL_S = 0.0005  # the driver does not wait; how long we do between two looks
_FILTER_US = 250  # the unit of the filters in a DAVIS


@dataclass(frozen=True)
class InivationConfig:
    serial: Annotated[str | None, Field(description="serial number; default: the first camera that is found")] = None
    packet_us: Annotated[
        int, Field(ge=100, le=1_000_000, description="the driver hands on events so often, µs of the camera's time")
    ] = 1_000
    region: Annotated[
        list[int] | None, Field(min_length=4, max_length=4, description="[x, y, width, height] that sends events")
    ] = None
    flip: Annotated[list[str], Field(max_length=2, description="horizontal, vertical or both")] = field(
        default_factory=list
    )
    biases: Annotated[
        dict[str, int | list[int]],
        Field(description="DVS128: NAME: value; DAVIS: NAME: [coarse, fine]; names as in dv-processing"),
    ] = field(default_factory=dict)
    contrast: Annotated[
        list[int] | None, Field(min_length=2, max_length=2, description="DVXplorer: thresholds [on, off]")
    ] = None
    readout: Annotated[
        str | None, Field(description="DVXplorer: frames of events a second, as CONSTANT_1000, VARIABLE_5000, ...")
    ] = None
    background_activity_us: Annotated[
        int | None, Field(ge=250, description="DAVIS: events without a neighbour for so long are dropped by the camera")
    ] = None
    refractory_us: Annotated[
        int | None, Field(ge=250, description="DAVIS: a pixel's events closer than this are dropped by the camera")
    ] = None
    skip_every: Annotated[
        int | None, Field(ge=2, description="DAVIS: the camera drops every so many-th event, to limit the rate")
    ] = None
    end_after_s: EndAfter = None

    def __post_init__(self) -> None:
        if strange := [word for word in self.flip if word not in ("horizontal", "vertical")]:
            raise LiveError(f"flip has {strange[0]!r}, want horizontal, vertical or both")


class Inivation(CameraSource):
    """Event packets of one camera."""

    Config, package, extra = InivationConfig, "dv_processing", "inivation"

    def find(self, driver: Any, serial: str | None) -> tuple[Any, str, SensorSize]:
        try:
            camera = driver.io.camera.open(serial) if serial else driver.io.camera.open()
        except IndexError:  # of a list of cameras that is empty
            raise ConnectionError("it finds none") from None
        name, size = camera.getCameraName(), camera.getEventResolution()
        if size is None:
            raise LiveError(f"{name} sends no events")
        self._set(driver, camera, name, (int(size[0]), int(size[1])))
        return camera, name, SensorSize(int(size[0]), int(size[1]))

    def serial_of(self, camera: Any) -> str:
        return str(camera.getSerialNumber())

    def read(self, camera: Any, seconds: float) -> CameraPacket | None:
        give_up = time.monotonic() + seconds
        while True:
            batch = camera.getNextEventBatch()
            if batch is not None:
                return CameraPacket(to_events(batch.numpy()))
            if not camera.isRunning():
                raise ConnectionError("it does not run any more")
            if time.monotonic() >= give_up:
                return None
            time.sleep(_POLL_S)

    def forget_backlog(self, camera: Any) -> None:
        while camera.getNextEventBatch() is not None:
            pass

    def let_go(self, camera: Any) -> None:
        """The driver closes it when nobody holds it any more."""

    def _set(self, driver: Any, camera: Any, name: str, size: tuple[int, int]) -> None:
        config = self.config
        camera.setTimeInterval(timedelta(microseconds=config.packet_us))
        if hasattr(camera, "setFramesRunning"):
            camera.setFramesRunning(False)  # nobody here looks at them, and they take their share of the cable
        if config.region is not None:
            camera.setCropArea(tuple(config.region))
        for word in config.flip:
            getattr(camera, f"setFlip{word.capitalize()}")(True)
        if config.contrast is not None:
            for which, value in zip(("On", "Off"), config.contrast, strict=True):
                want(camera, f"setContrastThreshold{which}", "contrast", name)(value)
        if config.readout is not None:
            known = driver.io.camera.DVXplorer.ReadoutFPS
            want(camera, "setReadoutFPS", "readout", name)(member(known, config.readout, "readout"))
        for setting, method, value in (
            ("background_activity_us", "setBackgroundActivityFilter", config.background_activity_us),
            ("refractory_us", "setRefractoryPeriodFilter", config.refractory_us),
        ):
            if value is not None:
                want(camera, method, setting, name)(value // _FILTER_US)
        if config.skip_every is not None:
            want(camera, "setSkipFilter", "skip_every", name)(config.skip_every)
        for bias, value in config.biases.items():
            self._set_bias(driver, camera, name, size, bias, value)

    @staticmethod
    def _set_bias(driver: Any, camera: Any, name: str, size: tuple[int, int], bias: str, value: Any) -> None:
        """By the kind that this camera has: one number (DVS128), or coarse and fine (DAVIS)."""
        kinds = driver.io.camera
        if hasattr(camera, "setBias"):
            if not isinstance(value, int):
                raise LiveError(f"biases.{bias} is {value}, want a whole number: {name} has no coarse and fine")
            camera.setBias(member(kinds.DVS128.Bias, bias, "biases"), value)
            return
        model = "Davis240" if size == (240, 180) else "Davis346"
        apply = want(camera, f"set{model}BiasCoarseFine", "biases", name)
        if isinstance(value, int) or len(value) != 2:
            raise LiveError(f"biases.{bias} is {value}, want [coarse, fine] for {name}")
        apply(member(getattr(kinds.DAVIS, f"{model}BiasCF"), bias, "biases"), *value)


def to_events(raw: np.ndarray) -> np.ndarray:
    """EVENT_DTYPE of an EventStore's array, whose records have 13 or 16 bytes, depending on the version."""
    events = np.empty(len(raw), EVENT_DTYPE)
    for ours, theirs in (("t", "timestamp"), ("x", "x"), ("y", "y"), ("p", "polarity")):
        events[ours] = raw[theirs]
    return events


def member(kind: Any, name: str, setting: str) -> Any:
    """The value of this name. Raises LiveError with those that there are."""
    members = kind.__members__
    if name not in members:
        raise LiveError(f"{setting} has {name!r}, which dv-processing does not know; known are {', '.join(members)}")
    return members[name]
