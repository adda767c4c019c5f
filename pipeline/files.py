"""Open a file that somebody named: a pipe would block for ever, a device may never end, a folder holds no bytes."""

import stat
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
