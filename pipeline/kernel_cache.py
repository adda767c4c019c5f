"""A place for compiled kernels where Numba finds none: packages read-only, home missing, as in containers.

Numba keeps them beside the source or in the user's cache folder, and refuses to import a kernel where neither can be
written. Then they go to a folder of our own under the temporary one. What is read back from there is executed, so it
must be ours alone: a folder of that name that another user made is not used.
"""

import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path


def find_place() -> Path | None:
    """Make sure that kernels can be imported. None: Numba's own places will do, else the folder that they go to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    places = [Path(__file__).parent / "__pycache__", cache / "numba"]
    if "NUMBA_CACHE_DIR" in os.environ:
        places.insert(0, Path(os.environ["NUMBA_CACHE_DIR"]))
    if any(_can_be_written(place) for place in places):
        return None
    try:
        folder = _private_folder()
    except OSError:
        return None  # nothing can be written anywhere: Numba says so
    os.environ["NUMBA_CACHE_DIR"] = str(folder)  # for Numba when it is imported, and for child processes
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    warnings.warn(
        f"compiled kernels can be kept neither in {' nor in '.join(map(str, places))}; they go to {folder}. "
        "Set NUMBA_CACHE_DIR to a folder that stays, or every start may compile anew",
        RuntimeWarning,
        stacklevel=3,
    )
    return folder


def _can_be_written(place: Path) -> bool:
    """Whether files can be made there, or the folder can be made first."""
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """The same one at every start if it is ours, else a new one."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"dvs-run-kernels-{user}"
    folder.mkdir(0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="dvs-run-kernels-"))
