"""What a camera gives besides events: pictures, samples of its motion sensor, triggers. On the clock of its events.

Which container holds which, and how they are read, is formats/' work: `Recording.extras`.
"""

from dataclasses import dataclass

import numpy as np

IMU_DTYPE = np.dtype(
    [
        ("t", "<i8"),  # µs, on the clock of the events
        ("temperature", "<f4"),  # °C, of the sensor
        ("accelerometer_x", "<f4"),  # g, to the right as the camera sees; as the maker of the camera defines it
        ("accelerometer_y", "<f4"),
        ("accelerometer_z", "<f4"),
        ("gyroscope_x", "<f4"),  # degrees per second
        ("gyroscope_y", "<f4"),
        ("gyroscope_z", "<f4"),
        ("magnetometer_x", "<f4"),  # µT; 0 where the sensor has none
        ("magnetometer_y", "<f4"),
        ("magnetometer_z", "<f4"),
    ]
)
TRIGGER_DTYPE = np.dtype(
    [
        ("t", "<i8"),  # µs, on the clock of the events
        ("kind", "u1"),  # index into TRIGGER_KINDS
        ("channel", "u1"),  # which input, from 0
    ]
)
TRIGGER_KINDS = (  # in the numbers of AEDAT 4
    "clock_reset",
    "external_rising",
    "external_falling",
    "external_pulse",
    "generator_rising",
    "generator_falling",
    "frame_start",
    "frame_stop",
    "exposure_start",
    "exposure_stop",
)
RISING, FALLING, PULSE = 1, 2, 3  # of an external input


@dataclass(frozen=True)
class CameraFrame:
    """A picture that the camera took; not to be confused with a frame, the counts of a slice."""

    t_us: int  # as the file dates it: the end of the exposure, or its middle
    exposure_us: tuple[int, int]  # from, to; equal where the file does not say
    pixels: np.ndarray  # uint8 or uint16 (height, width), or (height, width, 3 or 4) for colour: RGB, RGBA
    x: int = 0  # where its upper left pixel lies on the sensor
    y: int = 0


@dataclass(frozen=True)
class ImuPacket:
    """Some samples of the motion sensor."""

    samples: np.ndarray  # IMU_DTYPE, at least one, read-only

    @property
    def t_us(self) -> int:
        return int(self.samples["t"][0])


@dataclass(frozen=True)
class TriggerPacket:
    """Some changes of the camera's inputs, or marks that it set itself."""

    triggers: np.ndarray  # TRIGGER_DTYPE, at least one, read-only

    @property
    def t_us(self) -> int:
        return int(self.triggers["t"][0])


Extra = CameraFrame | ImuPacket | TriggerPacket


def imu_packet(samples: np.ndarray) -> ImuPacket:
    samples.flags.writeable = False
    return ImuPacket(samples)


def trigger_packet(times: np.ndarray, kinds: np.ndarray | int, channels: np.ndarray | int = 0) -> TriggerPacket:
    triggers = np.empty(len(times), TRIGGER_DTYPE)
    triggers["t"], triggers["kind"], triggers["channel"] = times, kinds, channels
    triggers.flags.writeable = False
    return TriggerPacket(triggers)
