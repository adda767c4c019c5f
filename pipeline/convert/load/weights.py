"""Named tensors out of a file, without executing any of it: torch files, safetensors, .npz. No architecture here.

A torch file is a pickle, and a pickle is a program; torch.load(weights_only=True) runs only the few instructions that
make tensors and containers, and refuses the rest. Files that need more are refused here with what their author has to
save.
"""

import json
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ConversionError, first_line

MAX_BYTES = 16 << 30  # of all tensors of a file
MAX_HEADER = 64 << 20  # of a safetensors file: names and shapes only
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "state")
SAFETENSORS_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """Tensors by name, on the CPU, and what the file says beside them."""

    tensors: dict[str, Tensor]
    extra: dict[str, Any] = field(default_factory=dict)  # of a torch file that is a dict of more than tensors
    notes: tuple[str, ...] = ()


def read_torch(path: Path) -> Any:
    """Whatever a torch file holds that is plain data. Raises ConversionError for a file that holds code or objects."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for foreign and damaged files
        text = str(error)
        named = re.search(r"GLOBAL ([\w.]+)", text)
        if named or "Unsupported" in text or "weights_only" in text.lower():
            what = f"an object of the class {named[1]}" if named else "more than tensors and plain containers"
            raise ConversionError(
                f"{path} holds {what}; to load it would run code that the file names, so it is not loaded. Where you "
                "trust it, load it in Python yourself and save the weights alone: torch.save(model.state_dict(), "
                "'weights.pt'), then give --architecture package.module:factory"
            ) from error
        raise ConversionError(f"{path} is no torch file, or a damaged one ({first_line(error)})") from error


def weights_of(document: Any, path: Path) -> Weights:
    """The state dict of a torch file: the file itself, or the one part of it that is one."""
    if _is_state_dict(document):
        return Weights({str(name): tensor for name, tensor in document.items()})
    if isinstance(document, Mapping):
        parts = {name: part for name, part in document.items() if _is_state_dict(part)}
        chosen = next((name for name in NESTED if name in parts), next(iter(parts), None) if len(parts) == 1 else None)
        if chosen is not None:
            extra = {str(name): value for name, value in document.items() if name not in parts}
            note = f"the weights are those under {chosen!r} in {path.name}"
            return Weights({str(name): tensor for name, tensor in parts[chosen].items()}, extra, (note,))
        found = ", ".join(repr(name) for name in list(document)[:8])
    else:
        found = f"a {type(document).__name__}"
    raise ConversionError(
        f"{path} holds {found or 'nothing'}, want a state dict (names and tensors): "
        "torch.save(model.state_dict(), 'weights.pt')"
    )


def read_safetensors(path: Path) -> Weights:
    """A safetensors file: 8 bytes length, a JSON header of names, types and places, then the numbers."""
    try:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        if length > min(MAX_HEADER, len(data) - 8):
            raise ValueError(f"its header is said to have {length} bytes")
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        tensors = {
            name: _safetensor(body, item) for name, item in header.items() if name != "__metadata__"
        }  # each is checked against its own bytes
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise ConversionError(f"{path} is a damaged safetensors file: {first_line(error)}") from error
    return Weights(tensors)


def _safetensor(body: memoryview, item: Any) -> Tensor:
    dtype = SAFETENSORS_TYPES.get(item["dtype"])
    if dtype is None:
        raise ValueError(f"its type {item['dtype']} is not known here; save float32")
    start, stop = (int(place) for place in item["data_offsets"])
    shape = [int(side) for side in item["shape"]]
    wanted = math.prod(shape) * dtype.itemsize
    if not 0 <= start <= stop <= len(body) or stop - start != wanted or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of shape {shape[:6]} is said to lie in bytes {start} to {stop} of {len(body)}")
    if not wanted:
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[start:stop]), dtype=dtype).reshape(shape)


def read_npz(path: Path) -> Weights:
    """The arrays of an .npz, named and laid out as PyTorch does: conv1.weight (out, in, y, x), fc.weight (out, in)."""
    try:
        check_unpacked_size(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Weights({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConversionError(f"{path} cannot be read as arrays of numbers: {first_line(error)}") from error


def check_unpacked_size(path: Path) -> None:
    """Raises ConversionError for an archive that would unpack to more than any model."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES:
        raise ConversionError(f"{path} unpacks to {size >> 30} GiB, want at most {MAX_BYTES >> 30}; is it a model?")


def check_tensors(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises ConversionError for a tensor that no layer can use: not finite, sparse, or larger than its data."""
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ConversionError(f"{where}: tensor {name!r} is sparse or quantized; save the float model, dense")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ConversionError(f"{where}: tensor {name!r} says it is larger than its data; the file is damaged")
        if not tensor.dtype.is_floating_point:
            continue
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise ConversionError(
                f"{where}: tensor {name!r} holds {bad:,} infinite or undefined values of {tensor.numel():,}; the "
                "training has diverged, or the file is damaged: take an earlier checkpoint"
            )
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise ConversionError(f"{where}: the variance {name!r} is negative; the file is damaged")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items())
    )
