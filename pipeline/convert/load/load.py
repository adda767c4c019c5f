"""One door for every file that a CNN comes in. docs/models.md lists them, and how to save them.

    loaded = load_model("net.onnx")
    loaded = load_model("weights.safetensors", architecture="net.py:Net", input_shape=(3, 32, 32))

No file is executed, whatever it says: pickled modules and TorchScript are refused. Only code that the *user* names,
with `architecture`, is run. A file is known by its first bytes, not by its name.
"""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import ConversionError, RecordingError
from ...files import open_regular
from ...train.checkpoint import MAGIC, load_checkpoint
from ..activation import Shape
from .architecture import fill, make_architecture
from .exported import SAVE_ONNX, read_exported
from .layer_list import read_layer_list, shape_in
from .onnx.read import read_onnx
from .weights import Weights, check_tensors, check_unpacked_size, read_npz, read_safetensors, read_torch, weights_of

KERAS = "export it as ONNX: python -m tf2onnx.convert (docs/models.md)"


@dataclass(frozen=True)
class LoadedModel:
    """A CNN, ready to be converted."""

    model: nn.Module  # eval mode, on the CPU; takes (n, channel, height, width)
    input_shape: Shape  # channel, height, width
    labels: list[str] | None  # name of each output, where the file says it
    extra: dict[str, Any]  # of a `dvs train` checkpoint: timestep_us, calibration, ... (train/checkpoint.py)
    sha256: str  # of the file's bytes, in hex; for a .json of layers, of it and of its .npz
    notes: tuple[str, ...] = field(default=())  # what the user should know about how the file was read
    output: int | str | None = None  # which of the module's results is wanted; None: it returns one


@dataclass(frozen=True)
class _Asked:
    """What the user said of a file."""

    architecture: str | None
    input_shape: Sequence[int] | None
    output: int | str | None


@dataclass(frozen=True)
class _Found:
    """What one kind of file gave."""

    model: nn.Module
    input_shape: Sequence[int]
    labels: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load_model(
    path: str | Path,
    *,
    architecture: str | None = None,
    input_shape: Sequence[int] | None = None,
    output: int | str | None = None,
) -> LoadedModel:
    """The CNN of a file: `dvs train` checkpoint, ONNX, torch.export archive, .json of layers, or weights of any kind.

    architecture   "package.module:factory" or "file.py:factory": code of the user's own that makes the module. Needed
                   for files that hold weights only (.pt, .pth, .safetensors, .npz), refused for others
    input_shape    channel, height, width; needed where the file does not say it
    output         which of several, by name or number: those of a file are cut off but that one; among the results of
                   a module `import_cnn` chooses, see LoadedModel.output

    Raises ConversionError (or NetworkError for a damaged checkpoint): for a file that cannot be opened without running
    what it says, weights that do not fit, infinite or undefined weights, which are named.
    """
    path = Path(path)
    if input_shape is not None and (len(input_shape) != 3 or min(input_shape) < 1):
        raise ConversionError(f"the input shape is {','.join(map(str, input_shape))}, want CHANNEL,HEIGHT,WIDTH")
    read = _kind(path)
    found = read(path, _Asked(architecture, input_shape, output))
    shape = tuple(int(side) for side in found.input_shape)
    if input_shape is not None and shape != tuple(input_shape):
        raise ConversionError(
            f"{path} takes inputs of {','.join(map(str, shape))} (channel, height, width), but --input-shape says "
            f"{','.join(map(str, input_shape))}; leave it out"
        )
    check_tensors(found.model.state_dict(), str(path))
    files = [path, path.with_suffix(".npz")] if read is _layer_list else [path]
    return LoadedModel(
        model=found.model.eval().requires_grad_(False),
        input_shape=(shape[0], shape[1], shape[2]),
        labels=_labels(found.labels, path),
        extra=found.extra,
        sha256=_sha256(files),
        notes=found.notes,
        output=None if read in (_onnx, _exported) else output,
    )


_Reader = Callable[[Path, _Asked], _Found]


def _kind(path: Path) -> _Reader:
    """How to read a file, by its first bytes. Raises ConversionError for what is no model, or none that can be read."""
    if path.is_dir():
        keras = (path / "saved_model.pb").exists()
        raise ConversionError(
            f"{path} is {'a TensorFlow SavedModel; ' + KERAS if keras else 'a folder; want one file'}"
        )
    try:
        with open_regular(path) as file:
            start = file.read(16)
    except RecordingError as error:
        raise ConversionError(f"{error}; want a model (docs/models.md lists the kinds)") from error
    if start[:4] == b"PK\x03\x04":
        return _zip_kind(path)
    if start[:1] == b"\x80":  # a pickle, or a torch file before 1.6: both are read by the same guarded reader
        return _torch_file
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return _safetensors
    if start.lstrip()[:1] == b"{":
        return _layer_list
    if start[:4] == b"\x89HDF":
        raise ConversionError(f"{path} is an HDF5 file, as Keras writes them; {KERAS}")
    if start[4:8] == b"TFL3":
        raise ConversionError(f"{path} is a TensorFlow Lite file; {KERAS} --tflite")
    if start[:1] == b"\x08" or path.suffix == ".onnx":
        return _onnx
    raise ConversionError(
        f"{path} is no model that is known here (it begins with {start[:8].hex(' ') or 'nothing'}); docs/models.md "
        "lists the kinds"
    )


def _zip_kind(path: Path) -> _Reader:
    try:
        check_unpacked_size(path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ConversionError(f"{path} is a damaged archive ({error}); copy it again") from error
    tails = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in tails or any("/code/" in name for name in names):
        raise ConversionError(f"{path} is TorchScript, a program rather than layers, and is not run here; {SAVE_ONNX}")
    if "data.pkl" in tails:
        return _torch_file
    if "archive_format" in tails or any("/models/" in f"/{name}" and name.endswith(".json") for name in names):
        return _exported
    if "serialized_exported_program.json" in tails:
        raise ConversionError(f"{path} is a torch.export archive of an older torch; save it again with a newer one")
    if "network.json" in names:
        raise ConversionError(f"{path} is a spiking network already; run it with `dvs-run` or `dvs evaluate`")
    if "model.weights.h5" in tails:
        raise ConversionError(f"{path} is a Keras model; {KERAS}")
    if names and all(name.endswith(".npy") for name in names):
        return _npz
    raise ConversionError(
        f"{path} is an archive of {', '.join(names[:4]) or 'nothing'}; docs/models.md lists the kinds"
    )


def _torch_file(path: Path, asked: _Asked) -> _Found:
    document = read_torch(path)
    if isinstance(document, dict) and document.get("format") == MAGIC:
        _no_architecture(path, asked)
        model, spec, extra = load_checkpoint(path)
        return _Found(model, spec["input"], extra.get("labels"), extra)
    return _of_weights(weights_of(document, path), path, asked)


def _safetensors(path: Path, asked: _Asked) -> _Found:
    return _of_weights(read_safetensors(path), path, asked)


def _npz(path: Path, asked: _Asked) -> _Found:
    if path.with_suffix(".json").is_file() and asked.architecture is None:
        raise ConversionError(f"{path} holds weights; open the list of its layers, {path.with_suffix('.json').name}")
    return _of_weights(read_npz(path), path, asked)


def _of_weights(weights: Weights, path: Path, asked: _Asked) -> _Found:
    architecture = asked.architecture
    if architecture is None:
        raise ConversionError(
            f"{path} holds {len(weights.tensors)} tensors without the network that they belong to; say the code of "
            "yours that makes it, --architecture package.module:factory or net.py:factory, or save ONNX instead"
        )
    check_tensors(weights.tensors, str(path))
    model = make_architecture(architecture)
    notes = (*weights.notes, *fill(model, weights.tensors, architecture, str(path)))
    said = asked.input_shape or getattr(model, "input_shape", None)
    if not isinstance(said, Sequence) or len(said) != 3:
        raise ConversionError(f"{path}: weights do not say what goes in; give --input-shape CHANNEL,HEIGHT,WIDTH")
    labels = weights.extra.get("labels", weights.extra.get("classes"))
    return _Found(model, said, labels if isinstance(labels, list | tuple) else None, {}, notes)


def _onnx(path: Path, asked: _Asked) -> _Found:
    _no_architecture(path, asked)
    read = read_onnx(path, asked.input_shape, asked.output)
    return _Found(read.module, read.input_shape, notes=read.notes)


def _exported(path: Path, asked: _Asked) -> _Found:
    _no_architecture(path, asked)
    model, said = read_exported(path, asked.output)
    return _Found(model, said)


def _layer_list(path: Path, asked: _Asked) -> _Found:
    _no_architecture(path, asked)
    model, document = read_layer_list(path)
    said = shape_in(document) or asked.input_shape
    if said is None or len(said) != 3:
        raise ConversionError(f"{path} does not say what goes in; give --input-shape CHANNEL,HEIGHT,WIDTH")
    notes = (f"the file says of its input: {document['input']}",) if document.get("input") else ()
    return _Found(model, said, document.get("labels"), {}, notes)


def _no_architecture(path: Path, asked: _Asked) -> None:
    if asked.architecture is not None:
        raise ConversionError(f"{path} brings its own layers; leave --architecture {asked.architecture} out")


def _labels(labels: Any, path: Path) -> list[str] | None:
    if labels is None:
        return None
    if not isinstance(labels, list | tuple) or not all(isinstance(name, str) for name in labels):
        raise ConversionError(f"{path}: its labels are {str(labels)[:80]}, want a list of names")
    return list(labels)


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
