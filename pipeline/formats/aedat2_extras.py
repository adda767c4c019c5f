"""AEDAT 2.0: samples of the motion sensor among the words of a DAVIS, and external inputs.

A sample is seven words, of acceleration, temperature and rotation (InvenSense MPU-6150): bits 28-30 say which, bits
12-27 are its 16 bits. Their scale is the camera's setting, which jAER keeps among the preferences in the header; where
it does not, jAER's defaults are taken. Frames of a DAVIS are spread over words as single readings of single pixels;
they are not put together here.
"""

import re

import numpy as np

from ..extras import FALLING, IMU_DTYPE, PULSE, RISING, Extra, imu_packet, trigger_packet

CODES = 7
_ORDER = (
    "accelerometer_x", "accelerometer_y", "accelerometer_z", "temperature", "gyroscope_x", "gyroscope_y", "gyroscope_z"
)  # fmt: skip
_DEFAULT = {"Accel": 4.0, "Gyro": 500.0}  # full scale: g, degrees per second
_OTHER_TYPE = 0xC00  # bits 10 and 11 of a word with bit 31: both set in those of the motion sensor
_EDGES = {2: FALLING, 3: RISING}  # the lowest bits of a DAVIS's word of an external input; others: a pulse


def scales(header: bytes) -> tuple[float, float]:
    """What one step of acceleration (g) and of rotation (degrees per second) is, after the header's preferences."""
    found = []
    for name, pattern in (("Accel", rb"ImuAccelScaleG(\d+)"), ("Gyro", rb"GyroFullScaleDegPerSec(\d+)")):
        match = re.search(pattern, header)
        found.append((float(match[1]) if match else _DEFAULT[name]) / 32768)
    return found[0], found[1]


class MotionSensor:
    """Puts samples together, also those that a block's end tears apart."""

    def __init__(self, accelerometer: float, gyroscope: float) -> None:
        self._accelerometer, self._gyroscope = accelerometer, gyroscope
        self._words = np.empty(0, np.int64)  # of a sample that has begun
        self._times = np.empty(0, np.int64)

    def push(self, addresses: np.ndarray, times: np.ndarray) -> Extra | None:
        """The samples that are complete with these words (int64, of all kinds; their times in µs); None: none."""
        ours = (addresses >> 31 & 1 == 1) & (addresses & _OTHER_TYPE == _OTHER_TYPE)
        words = np.concatenate([self._words, addresses[ours]])
        times = np.concatenate([self._times, times[ours]])
        code = words >> 28 & 7
        starts = np.flatnonzero(code[: max(len(code) - CODES + 1, 0)] == 0)
        starts = starts[(code[starts[:, None] + np.arange(CODES)] == np.arange(CODES)).all(axis=1)]
        begun = int(starts[-1]) + CODES if len(starts) else max(0, len(words) - CODES + 1)
        self._words, self._times = words[begun:], times[begun:]
        return self._packet(words, times, starts) if len(starts) else None

    def _packet(self, words: np.ndarray, times: np.ndarray, starts: np.ndarray) -> Extra:
        values = (words >> 12 & 0xFFFF).astype(np.uint16).view(np.int16).astype(np.float32)
        samples = np.zeros(len(starts), IMU_DTYPE)
        samples["t"] = times[starts]
        for at, name in enumerate(_ORDER):
            scale = self._gyroscope if name.startswith("gyro") else self._accelerometer
            samples[name] = values[starts + at] * np.float32(scale)
        samples["accelerometer_x"] *= -1  # as jAER turns it
        samples["temperature"] = values[starts + 3] / 340 + 35
        return imu_packet(samples)


def inputs_of(addresses: np.ndarray, times: np.ndarray, special_bits: int, frame_bits: int) -> Extra | None:
    """The words of external inputs among these; None: there are none. A DVS128 does not say which edge it was."""
    ours = (addresses & special_bits != 0) & (addresses & frame_bits == 0)
    if not ours.any():
        return None
    kinds = np.full(int(ours.sum()), PULSE)
    if frame_bits:  # a DAVIS
        low = addresses[ours] & 7
        for code, kind in _EDGES.items():
            kinds[low == code] = kind
    return trigger_packet(times[ours], kinds)
