"""Files that somebody named. To read: a pipe would block for ever, a device may never end, a folder holds no bytes.
To write: what is there stays until the new one is whole."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import RecordingError


def open_regular(path: str | Path) -> BinaryIO:
    """The file, open for reading. RecordingError if it is missing, no plain file, or not for us to read."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError(f"{path}: is a folder, want a file", path)
        if not stat.S_ISREG(mode):
            raise RecordingError(f"{path}: is a pipe or a device, want a file", path)
        return open(path, "rb")
    except FileNotFoundError:
        raise RecordingError(f"{path}: there is no such file", path) from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror or error}", path) from error


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """The file to write, which takes the place of `path` when all went well and is removed when not.

    A pipe or a device is written as it is. Raises OSError as it comes.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    partial = path.with_name(path.name + ".write")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
