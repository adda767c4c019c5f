"""Read the picture that is to be moved before the camera: PNG, .npy, or one image of an IDX file.

PNG is read with the standard library alone (8 bits a channel, not interlaced), so that no image library is needed.
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import RecordingError, counted
from ..files import open_regular
from ..idx import read_images
from ..kernel_cache import kernel

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # PNG colour type: grey, RGB, grey + alpha, RGBA
_MOST_PIXELS = 1 << 24


def read_picture(path: str | Path, index: int = 0) -> np.ndarray:
    """float32 (height, width) or (height, width, 3), 0..255. `index` chooses from an IDX or a stacked .npy file."""
    path = Path(path)
    with open_regular(path) as file:
        start = file.read(8)
    if start == _PNG:
        return _png(path)
    if start[:6] == b"\x93NUMPY":
        return _npy(path, index)
    if start[:2] in (b"\0\0", b"\x1f\x8b"):
        images = read_images(path)
        return 255 * _chosen(path, images, index).transpose(1, 2, 0).squeeze()
    raise RecordingError(f"{path}: is neither PNG nor .npy nor IDX; convert it to PNG", path, byte_offset=0)


def _chosen(path: Path, images: np.ndarray, index: int) -> np.ndarray:
    if not 0 <= index < len(images):
        raise RecordingError(f"{path}: has {counted(len(images), 'image')}, there is no index {index}", path)
    chosen: np.ndarray = images[index]
    return chosen


def _npy(path: Path, index: int) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}", path) from error
    if array.dtype.kind not in "uif":
        raise RecordingError(f"{path}: holds {array.dtype}, want numbers from 0 (black) to 255 (white)", path)
    if array.ndim == 4 or (array.ndim == 3 and array.shape[2] != 3):
        array = _chosen(path, array, index)
    if array.ndim not in (2, 3):
        raise RecordingError(
            f"{path}: has shape {array.shape}, want (height, width), ( , , 3) or a stack of such", path
        )
    return np.asarray(array, np.float32)


def _png(path: Path) -> np.ndarray:
    try:
        return _decode_png(path.read_bytes())
    except (struct.error, zlib.error, IndexError, ValueError) as error:
        raise RecordingError(f"{path}: the PNG cannot be read: {error or 'it is cut short'}", path) from error


def _decode_png(data: bytes) -> np.ndarray:
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or colour not in (*_CHANNELS, 3) or interlace:
        raise ValueError(
            f"{depth} bits a channel, colour type {colour}, interlace {interlace}; save it as plain 8-bit PNG"
        )
    if not 0 < width * height <= _MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels; want 1 to {_MOST_PIXELS}")
    at, packed, palette = 8, b"", b""
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        packed += body if kind == b"IDAT" else b""
        palette = body if kind == b"PLTE" else palette
        at += 12 + length
    channels = _CHANNELS.get(colour, 1)
    wanted = height * (width * channels + 1)
    flat = zlib.decompressobj().decompress(packed, wanted)
    if len(flat) != wanted:
        raise ValueError(f"its pixels end after {len(flat)} of {wanted} bytes")
    pixels = _unfilter(np.frombuffer(flat, np.uint8).reshape(height, -1), channels).reshape(height, width, channels)
    if colour == 3:
        return np.frombuffer(palette, np.uint8).reshape(-1, 3)[pixels[:, :, 0]].astype(np.float32)
    return pixels[:, :, : 3 if channels >= 3 else 1].squeeze(2 if channels < 3 else ()).astype(np.float32)


def _unfilter(lines: np.ndarray, step: int) -> np.ndarray:
    """Undo PNG's prediction of each byte from its neighbours; `step` bytes are a pixel."""
    strange = np.flatnonzero(lines[:, 0] > 4)
    if len(strange):
        raise ValueError(f"line {strange[0]} has filter {lines[strange[0], 0]}; want 0 to 4")
    out = np.zeros((len(lines) + 1, lines.shape[1] - 1 + step), np.uint8)  # a border of zeros above and to the left
    undo_filters(lines, step, out)
    return out[1:, step:]


@kernel
def undo_filters(lines, step, out):
    """out = line + guess (mod 256); guess: 0, left, up, their average, or the nearest of left, up, corner (Paeth)."""
    for y in range(lines.shape[0]):
        kind = lines[y, 0]
        for x in range(step, out.shape[1]):
            left, up, corner = np.int64(out[y + 1, x - step]), np.int64(out[y, x]), np.int64(out[y, x - step])
            guess = np.int64(0)
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) // 2
            elif kind == 4:
                by_left, by_up, by_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                guess = corner
                if by_left <= by_up and by_left <= by_corner:
                    guess = left
                elif by_up <= by_corner:
                    guess = up
            out[y + 1, x] = (lines[y, x - step + 1] + guess) & 255
