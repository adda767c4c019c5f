"""AEDAT 4: frames, motion samples and triggers, as the package `aedat` gives them, in our dtypes."""

from typing import Any

import numpy as np

from ..extras import IMU_DTYPE, TRIGGER_KINDS, CameraFrame, Extra, imu_packet, trigger_packet


def extra_of(packet: dict[str, Any]) -> Extra | None:
    """What a packet of another stream holds; None: nothing, or a kind that we do not know. KeyError if it is broken."""
    if "frame" in packet:
        frame = packet["frame"]
        exposure_us = frame["exposure_begin_t"], frame["exposure_end_t"]
        pixels = np.asarray(frame["pixels"])
        pixels.flags.writeable = False
        return CameraFrame(frame["t"], exposure_us, pixels, frame["offset_x"], frame["offset_y"])
    if "imus" in packet and len(packet["imus"]):
        return imu_packet(np.asarray(packet["imus"]).view(IMU_DTYPE))
    if "triggers" in packet and len(packet["triggers"]):
        triggers = np.asarray(packet["triggers"])
        known = triggers[triggers["source"] < len(TRIGGER_KINDS)]
        return trigger_packet(known["t"], known["source"]) if len(known) else None
    return None
