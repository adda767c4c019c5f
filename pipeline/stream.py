"""What flows from node to node: the beginning of a stream, images, time slices, decisions.

Event packets are in events.py. All of these are immutable: whoever receives one must not write into its arrays.
"""

from dataclasses import dataclass

import numpy as np

from .events import SensorSize


@dataclass(frozen=True)
class LabelSpan:
    """What is being shown during [t_start_us, t_stop_us), as a label file or a folder name says."""

    label: str
    t_start_us: int
    t_stop_us: int


@dataclass(frozen=True)
class StreamInfo:
    """The beginning of one recording, image or live stream; sent before anything of it. State is reset on it."""

    name: str  # for people: the file's name, the image's number, the camera's serial
    sensor: SensorSize
    channels: int = 2  # 2 polarities for events; the colour channels for images
    labels: tuple[LabelSpan, ...] = ()  # ground truth where it is known
    timestep_us: int | None = None  # length of the slices that follow; None before the binner or the encoder


@dataclass(frozen=True)
class Image:
    """One frame image, to be encoded as spikes or as current."""

    pixels: np.ndarray  # float32 (channel, height, width), 0..1


@dataclass(frozen=True)
class BinnedSlice:
    """Events (or input spikes) of one time slice, counted per cell. Only cells that saw one are listed."""

    t_start_us: int  # first microsecond of the slice
    t_stop_us: int  # one past the last: slices are half open, [start, stop)
    cells: np.ndarray  # int32[n], ascending flat index (p * height + y) * width + x
    counts: np.ndarray  # int32[n], at least 1


@dataclass(frozen=True)
class CurrentSlice:
    """One timestep of constant-current input: a real value for every cell, instead of spikes."""

    t_start_us: int
    t_stop_us: int
    values: np.ndarray  # float32 (channel, height, width)


@dataclass(frozen=True)
class Classification:
    """Label and scores after a slice."""

    t_start_us: int  # the slice after which it was made
    t_stop_us: int
    index: int  # of the winning class; -1 while nothing has been seen that favours any
    label: str  # its name; "" while undecided
    scores: np.ndarray  # float64 (class,): spike counts, or membrane potentials in units of the threshold
    synops: int  # synaptic operations of this slice, all layers
    recording: str = ""  # StreamInfo.name of the stream it belongs to
