"""A spiking network as a description: an immutable graph of named layers, and its file.

The layers are in layers.py and neurons.py; running the network is engine/'s work, making one from a CNN convert/'s. A
file is one .npz: the arrays, and a JSON member `network.json` with everything else; it is never pickled.

Meaning of a timestep, for every layer in order (Rueckauer et al. 2017):
    v <- v + bias + sum of weight * spikes that arrive in this step      integrate everything first
    spike where v >= threshold                                           then fire
    v <- v - threshold (reset "subtract") or 0 (reset "zero")            then reset
Spikes reach the next layer within the same step. A last layer without neurons only integrates (a membrane readout).
Neurons, max pools and the input emit spikes; all layers between them are linear. The graph has no loops: a layer comes
after those that feed it, and everything leads to the last one.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from .errors import NetworkError, counted
from .files import written_whole
from .layers import Add, AvgPool2d, Concat, Conv2d, Delay, Flatten, Layer, Linear, Shape, SumPool2d, Upsample
from .neurons import IF, LIF, MaxPool2d, Neurons

__all__ = [
    "IF",
    "LIF",
    "Add",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "Delay",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Network",
    "Neurons",
    "Readout",
    "SumPool2d",
    "Upsample",
]

LAYER_TYPES: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (Conv2d, Linear, SumPool2d, AvgPool2d, MaxPool2d, Upsample, Flatten, Concat, Add, Delay, IF, LIF)
}

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
    """How a decision is read off the last layer.

        "membrane"         evidence V of output k: all that arrived at it; no neurons, no reset. The default
        "count"            evidence: the spikes of a last layer of neurons
        "softmax_rate"     outputs only integrate to V; in each step output k spikes with probability softmax(V)_k,
                           independently, without reset; evidence: these spikes (Rueckauer et al. 2017)
        "softmax_poisson"  outputs only integrate to V; an external Poisson generator of `rate` per timestep triggers
                           (at most once a timestep), each trigger draws one output from softmax(V); evidence: how often
                           each was drawn (Rueckauer et al. 2016)

    V is in the network's units, and with a window holds what arrived within it. The last two kinds are random, but the
    same for the same `seed` and input since the reset.
    """

    kind: Literal["membrane", "count", "softmax_rate", "softmax_poisson"]
    window_us: int | None = None  # evidence of the last so many µs; None: everything since the reset
    rate: float = 0.1  # triggers per timestep, above 0 and at most 100; of "softmax_poisson"
    seed: int = 0  # 0 to 2**63 - 1; of both kinds with softmax
    start_step: int = 0  # what the first so many timesteps after a reset bring does not count as evidence


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
        _check_wiring(self.layers)
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
            raise NetworkError(
                f"layer {last.name!r} has {counted(classes, 'output')} for {counted(len(self.labels), 'label')}"
            )
        _check_readout(self.readout, last)

    def shapes(self) -> dict[str, Shape]:
        """Output shape (channel, height, width) of "input" and every layer. Raises NetworkError at the first misfit."""
        return Network.shapes_of(self.input_shape, self.layers)

    @staticmethod
    def shapes_of(input_shape: Shape, layers: Sequence[Layer]) -> dict[str, Shape]:
        """The same for layers that are not a network yet."""
        shapes: dict[str, Shape] = {"input": input_shape}
        if not layers:
            raise NetworkError("the network has no layers")
        for layer in layers:
            if layer.name in shapes:
                raise NetworkError(f"two layers are called {layer.name!r}; every name must be its own")
            if type(layer) not in LAYER_TYPES.values():
                raise NetworkError(
                    f"layer {layer.name!r} is a {type(layer).__name__}, known are {', '.join(LAYER_TYPES)}"
                )
            for name in layer.inputs:
                if name not in shapes:
                    raise NetworkError(f"layer {layer.name!r} is fed by {name!r}, which does not come before it")
            shapes[layer.name] = layer.output_shape(tuple(shapes[name] for name in layer.inputs))
        return shapes

    def save(self, path: str | Path) -> None:
        """Write one .npz: the same network gives the same bytes. Raises NetworkError where it cannot be written."""
        arrays: dict[str, np.ndarray] = {}
        layers = [_layer_to_json(layer, arrays) for layer in self.layers]
        document = {"version": FILE_VERSION, **self.document(), "layers": layers}
        text = json.dumps(document, indent=1, ensure_ascii=False).encode()
        try:
            with written_whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                _write_member(archive, "network.json", text)
                for name, array in arrays.items():
                    buffer = io.BytesIO()
                    np.save(buffer, array, allow_pickle=False)
                    _write_member(archive, name + ".npy", buffer.getvalue())
        except OSError as error:
            raise NetworkError(f"{path} cannot be written: {error.strerror or error}") from error

    def document(self) -> dict[str, Any]:
        """All but the layers, as JSON takes it; `of_document` reads it."""
        return {
            "input_shape": self.input_shape,
            "labels": self.labels,
            "timestep_us": self.timestep_us,
            "state_window_us": self.state_window_us,
            "readout": asdict(self.readout),
            "provenance": dict(self.provenance),
        }

    @staticmethod
    def of_document(document: Mapping[str, Any], layers: tuple[Layer, ...]) -> "Network":
        shape, labels = tuple(document["input_shape"]), tuple(document["labels"])
        readout, provenance = Readout(**document["readout"]), document["provenance"]
        return Network(layers, shape, labels, readout, document["timestep_us"], document["state_window_us"], provenance)

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
            return Network.of_document(document, tuple(_layer_from_json(item, arrays) for item in document["layers"]))
        except FileNotFoundError:
            raise NetworkError(f"there is no network file {path}; make one with `dvs convert`") from None
        except IsADirectoryError:
            raise NetworkError(f"{path} is a folder; want one network file (.npz)") from None
        except BROKEN_FILE as error:
            raise NetworkError(
                f"{path} is not a network file of this program ({error}); `dvs convert` makes one"
            ) from error


def _check_readout(readout: Readout, last: Layer) -> None:
    kinds = get_args(get_type_hints(Readout)["kind"])
    if readout.kind not in kinds:
        raise NetworkError(f"the readout is {readout.kind!r}, want one of {', '.join(kinds)}")
    wrong = not isinstance(last, Neurons) if readout.kind == "count" else isinstance(last, Neurons | MaxPool2d)
    if wrong:
        raise NetworkError(
            f"readout {readout.kind!r} does not fit the last layer {last.name!r} ({type(last).__name__}): "
            "counting needs an IF or LIF last, every other kind a layer without spikes, such as a Conv2d or Linear"
        )
    if not 0 < readout.rate <= 100:
        raise NetworkError(f"readout.rate is {readout.rate}, want above 0 and at most 100 triggers per timestep")
    if not isinstance(readout.start_step, int) or readout.start_step < 0:
        raise NetworkError(f"readout.start_step is {readout.start_step!r}, want a whole number from 0")
    if not isinstance(readout.seed, int) or not 0 <= readout.seed < 1 << 63:
        raise NetworkError(f"readout.seed is {readout.seed!r}, want a whole number from 0 to 2**63 - 1")


def _check_wiring(layers: Sequence[Layer]) -> None:
    """What no layer can see alone: that everything leads to the end, and that max pools are fed spikes."""
    by_name = {layer.name: layer for layer in layers}
    fed = {name for layer in layers for name in layer.inputs}
    for layer in layers[:-1]:
        if layer.name not in fed:
            raise NetworkError(f"layer {layer.name!r} feeds no other layer; only the last one is read out")
    delays = [layer.name for layer in layers if isinstance(layer, Delay)]
    beside = [layer.name for layer in layers if "input" in layer.inputs and layer.name not in delays[:1]]
    if delays and beside:
        raise NetworkError(f"layer {beside[0]!r} stands beside the Delay {delays[0]!r}; put it behind the Delay")
    for layer in layers:
        if isinstance(layer, MaxPool2d):
            _check_gate(layer, layer.inputs[0], by_name)


def _check_gate(pool: MaxPool2d, source: str, by_name: Mapping[str, Layer]) -> None:
    """Follow what feeds a max pool back to the neurons, through everything that hands whole spikes on."""
    layer = by_name.get(source)
    if isinstance(layer, MaxPool2d | SumPool2d | Upsample | Flatten | Concat | Add | Delay):
        for name in layer.inputs:
            _check_gate(pool, name, by_name)
    elif isinstance(layer, Neurons):
        if layer.signed and pool.rule != "exact":
            raise NetworkError(
                f"max pool {pool.name!r} of rule {pool.rule!r} is fed negative spikes of {source!r}; want rule 'exact'"
            )
    elif layer is not None:
        raise NetworkError(
            f"max pool {pool.name!r} is fed by {source!r} ({type(layer).__name__}), which sends no spikes; "
            "put neurons before the pool"
        )


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
