"""The work on events: formats, slicing, encoding, the spiking network, its engine, conversion, simulation.

Nothing here knows of sockets, processes or YAML: that is nodes/' work. Heavy parts (formats, simulate, convert, train)
are imported by their own names, so that `import dvs_run.pipeline` stays light.
"""

if __name__ == "pipeline":
    raise ImportError(
        "this folder is the package dvs_run.pipeline, not `pipeline`: install the project (`pip install .`) "
        "and import `dvs_run.pipeline`"
    )

from .errors import ConversionError, DvsError, EventError, NetworkError, RecordingError
from .events import EVENT_DTYPE, EventPacket, SensorSize, as_events
from .stream import BinnedSlice, Classification, CurrentSlice, Image, LabelSpan, StreamInfo

__all__ = [
    "EVENT_DTYPE",
    "BinnedSlice",
    "Classification",
    "ConversionError",
    "CurrentSlice",
    "DvsError",
    "EventError",
    "EventPacket",
    "Image",
    "LabelSpan",
    "NetworkError",
    "RecordingError",
    "SensorSize",
    "StreamInfo",
    "as_events",
]
