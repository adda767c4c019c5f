"""Files and folders that inputs come in, opened without executing anything. What is done with them: inputs.py."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import ConversionError, DvsError, RecordingError
from ...files import open_regular
from ...idx import labels_beside, read_idx, read_labels
from ..activation import Shape
from ..load.weights import check_tensors, check_unpacked_size, read_torch

INPUT_NAMES = ("inputs", "images", "x", "data", "x_train", "X")  # of the member of an .npz, or the key of a .pt
LABEL_NAMES = ("labels", "targets", "y", "label", "y_train", "Y")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def read_file(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs and labels, as they are in the file."""
    with open_regular(path) as file:
        start = file.read(8)
    if start[:2] in (b"\0\0", b"\x1f\x8b"):
        try:
            beside = labels_beside(path)
        except RecordingError:  # images alone
            return read_idx(path), None
        return read_idx(path), read_labels(beside)
    try:
        if start[:6] == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        if start[:4] == b"PK\x03\x04":
            check_unpacked_size(path)
            with zipfile.ZipFile(path) as archive:
                is_numpy = all(name.endswith(".npy") for name in archive.namelist())
            if is_numpy:
                with np.load(path, allow_pickle=False) as arrays:
                    return _chosen({name: arrays[name] for name in arrays.files}, path)
            document = read_torch(path)
            return _chosen(document if isinstance(document, dict) else {"inputs": document}, path)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise ConversionError(f"{path} cannot be read as arrays of numbers: {error}") from error
    raise ConversionError(
        f"{path} holds no inputs of a known kind (it begins with {start.hex(' ') or 'nothing'}); want .npy, .npz, IDX, "
        "a torch file of tensors, or a folder of images"
    )


def _chosen(arrays: dict[Any, Any], path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The array of inputs and the array of labels among those of a file."""
    tensors = {str(name): array for name, array in arrays.items() if isinstance(array, Tensor)}
    check_tensors(tensors, str(path))
    plain = {str(name): array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    for key, tensor in tensors.items():  # bytes stay bytes, half precision becomes float32
        plain[key] = (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    labels = next((plain[name] for name in LABEL_NAMES if name in plain), None)
    others = [name for name in plain if name not in LABEL_NAMES]
    name = next((name for name in INPUT_NAMES if name in plain), others[0] if len(others) == 1 else None)
    if name is None:
        raise ConversionError(f"{path} holds {', '.join(plain) or 'no arrays'}; want `inputs`, and `labels` if known")
    return plain[name], labels


def is_idx(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(2) in (b"\0\0", b"\x1f\x8b")


def read_folder(
    folder: Path, shape: Shape, labels: Sequence[str] | None, fit: bool, limit: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Images of FOLDER/LABEL/IMAGE, or FOLDER/IMAGE without labels. Bytes (n, channel, height, width)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise ConversionError(
            f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES[:5])}, ...); want FOLDER/LABEL/IMAGE (recordings of "
            "events are read as such where the model says its timestep)"
        )
    found = sorted({path.parent.name for path in paths if path.parent != folder})
    paths = [paths[index] for index in drawn(len(paths), limit, seed)]
    values = np.stack([_read_image(path, shape, fit) for path in paths])
    if not found or any(path.parent == folder for path in paths):
        return values, None, None
    order = list(found if labels is None else labels)
    unknown = [name for name in found if name not in order]
    if unknown:
        raise ConversionError(f"{folder / unknown[0]} is no class of the model, which knows {', '.join(order[:12])}")
    return values, np.array([order.index(path.parent.name) for path in paths], np.int64), tuple(order)


def _read_image(path: Path, shape: Shape, fit: bool) -> np.ndarray:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DvsError(f"reading images needs Pillow ({error}): pip install pillow") from None
    channels, height, width = shape
    if channels not in (1, 3):
        raise ConversionError(f"{path} is an image, but the CNN takes {channels} channels; want 1 (grey) or 3 (RGB)")
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > 1 << 26:
                raise ConversionError(f"{path} has {opened.width}x{opened.height} pixels; want a picture, not a map")
            image = opened.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ConversionError(f"{path} cannot be read as an image: {error}") from error
    if image.size != (width, height):
        if not fit:
            raise ConversionError(
                f"{path} has {image.width}x{image.height} pixels, want {width}x{height}; --fit scales it"
            )
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def drawn(count: int, limit: int | None, seed: int) -> np.ndarray:
    """Indices of what is used, ascending."""
    if limit is not None and limit < 1:
        raise ConversionError(f"the limit is {limit}, want at least 1 input")
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
