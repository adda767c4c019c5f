"""A spiking network as a description: an immutable graph of named layers, and its file.

The layers are in layers.py; running the network is engine/'s work, making one from a CNN convert/'s. A file is one
.npz: the arrays, and a JSON member `network.json` with everything else; it is never pickled.

Meaning of a timestep, for every layer in order (papers.md 0.2; Rueckauer et al. 2017):
    v <- v + bias + sum of weight * spikes that arrive in this step      integrate everything first
    spike where v >= threshold                                           then fire, at most once a step
    v <- v - threshold (reset "subtract") or 0 (reset "zero")            then reset
Spikes reach the next layer within the same step. A layer without an IF after it only integrates (a membrane readout).
"""

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import NetworkError
from .layers import IF, LAYER_TYPES, Conv2d, Delay, Layer, Linear, SumPool2d

__all__ = ["IF", "Conv2d", "Delay", "Layer", "Linear", "Network", "Readout", "SumPool2d"]

FILE_VERSION = 1
MAX_FILE_BYTES = 2 << 30  # a header that promises more is refused before anything is allocated
BROKEN_FILE = (  # what zipfile, json, numpy and our own reading raise on a file that is cut, mutated or something else
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Readout:
    """How a decision is read off the last layer."""

    kind: Literal["membrane", "count"]  # membrane: the last layer integrates; count: the spikes of a last IF layer
    window_us: int | None = None  # evidence of the last so many µs; None: everything since the reset


@dataclass(frozen=True)
class Network:
    """A converted network. Immutable; an Engine runs it. Raises NetworkError unless the graph is consistent."""

    layers: tuple[Layer, ...]  # in the order of execution; the last one is read out
    input_shape: tuple[int, int, int]  # (channel or polarity, height, width)
    labels: tuple[str, ...]  # name of each output
    readout: Readout
    timestep_us: int | None = None  # slice length that it was trained for; None: the input has no clock (images)
    state_window_us: int | None = None  # hidden layers start afresh every so many µs of the stream; None: never
    provenance: Mapping[str, Any] = field(default_factory=dict)  # how it was made: JSON values only

    def __post_init__(self) -> None:
        shapes = self.shapes()
        last = self.layers[-1]
        for what, value in (
            ("timestep_us", self.timestep_us),
            ("state_window_us", self.state_window_us),
            ("readout.window_us", self.readout.window_us),
        ):
            if value is not None and value < 1:
                raise NetworkError(f"{what} is {value}, want at least 1 µs, or None")
        classes = int(np.prod(shapes[last.name]))
        if classes != len(self.labels):
            raise NetworkError(f"layer {last.name!r} has {classes} outputs but there are {len(self.labels)} labels")
        if (self.readout.kind == "count") != isinstance(last, IF):
            raise NetworkError(
                f"readout {self.readout.kind!r} does not fit the last layer {last.name!r} ({type(last).__name__}): "
                "counting needs an IF last, reading the membrane needs a Conv2d or Linear last"
            )

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Output shape (channel, height, width) of "input" and every layer. Raises NetworkError at the first misfit."""
        return Network.shapes_of(self.input_shape, self.layers)

    @staticmethod
    def shapes_of(input_shape: tuple[int, int, int], layers: Sequence[Layer]) -> dict[str, tuple[int, int, int]]:
        """The same for layers that are not a network yet."""
        shapes: dict[str, tuple[int, int, int]] = {"input": input_shape}
        if not layers:
            raise NetworkError("the network has no layers")
        for layer in layers:
            if layer.name in shapes:
                raise NetworkError(f"two layers are called {layer.name!r}; every name must be its own")
            for name in layer.inputs:
                if name not in shapes:
                    raise NetworkError(f"layer {layer.name!r} is fed by {name!r}, which does not come before it")
            if len(layer.inputs) != 1:
                raise NetworkError(
                    f"layer {layer.name!r} has {len(layer.inputs)} inputs; this version runs chains only"
                )
            shapes[layer.name] = layer.output_shape(shapes[layer.inputs[0]])
        return shapes

    def save(self, path: str | Path) -> None:
        """Write one .npz: the same network gives the same bytes. Raises NetworkError where it cannot be written."""
        arrays: dict[str, np.ndarray] = {}
        document = {
            "version": FILE_VERSION,
            "input_shape": self.input_shape,
            "labels": self.labels,
            "timestep_us": self.timestep_us,
            "state_window_us": self.state_window_us,
            "readout": {"kind": self.readout.kind, "window_us": self.readout.window_us},
            "provenance": dict(self.provenance),
            "layers": [_layer_to_json(layer, arrays) for layer in self.layers],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False).encode()
        target = Path(path)
        partial = target.with_name(target.name + ".write")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                _write_member(archive, "network.json", text)
                for name, array in arrays.items():
                    buffer = io.BytesIO()
                    np.save(buffer, array, allow_pickle=False)
                    _write_member(archive, name + ".npy", buffer.getvalue())
            partial.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise NetworkError(f"{target} cannot be written: {error.strerror or error}") from error

    @staticmethod
    def load(path: str | Path) -> "Network":
        """Read what `save` wrote. Raises NetworkError for anything else; never executes what a file says."""
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise NetworkError(f"{path} is a pipe or a device; want one network file (.npz)")
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
                    raise NetworkError(f"{path} unpacks to more than {MAX_FILE_BYTES >> 30} GiB; is it a network?")
                document = json.loads(archive.read("network.json"))
                if document.get("version") != FILE_VERSION:
                    raise NetworkError(
                        f"{path} is of version {document.get('version')}, this program reads {FILE_VERSION}; "
                        "convert the network again with this version"
                    )
                arrays = {
                    name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                    for name in archive.namelist()
                    if name.endswith(".npy")
                }
            return Network(
                layers=tuple(_layer_from_json(item, arrays) for item in document["layers"]),
                input_shape=tuple(document["input_shape"]),
                labels=tuple(document["labels"]),
                readout=Readout(**document["readout"]),
                timestep_us=document["timestep_us"],
                state_window_us=document["state_window_us"],
                provenance=document["provenance"],
            )
        except FileNotFoundError:
            raise NetworkError(f"there is no network file {path}; make one with `dvs convert`") from None
        except IsADirectoryError:
            raise NetworkError(f"{path} is a folder; want one network file (.npz)") from None
        except BROKEN_FILE as error:
            raise NetworkError(
                f"{path} is not a network file of this program ({error}); `dvs convert` makes one"
            ) from error


def _layer_to_json(layer: Layer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    item: dict[str, Any] = {"type": type(layer).__name__}
    for entry in fields(layer):
        value = getattr(layer, entry.name)
        if isinstance(value, np.ndarray):
            key = f"{len(arrays):03d}.{entry.name}"
            arrays[key] = np.ascontiguousarray(value, dtype="<f4")
            value = {"array": key}
        item[entry.name] = value
    return item


def _layer_from_json(item: dict[str, Any], arrays: dict[str, np.ndarray]) -> Layer:
    item = dict(item)
    kind = item.pop("type")
    if kind not in LAYER_TYPES:
        raise NetworkError(f"layer {item.get('name')!r} is a {kind!r}, known are {', '.join(LAYER_TYPES)}")
    values: dict[str, Any] = {}
    for name, value in item.items():
        if isinstance(value, dict):
            value = arrays[value["array"]].astype(np.float32)
            value.flags.writeable = False
        values[name] = tuple(value) if isinstance(value, list) else value
    return LAYER_TYPES[kind](**values)


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """A fixed date, so that the same network gives the same file."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)
