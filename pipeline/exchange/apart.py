"""Read an HDF5 file in a process of its own, which may crash or never end without taking ours along.

The HDF5 library is C, and a damaged file can lead it in circles: changing single bytes of a sound file at random did so
within a few hundred attempts. So the file is read there, and what comes back is plain: one .npz without pickles, its
member `tree` JSON in which {"array": "a0"} stands for the array of that name. Costs about a third of a second.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DvsError, NetworkError
from ..network import MAX_FILE_BYTES
from .hdf5 import Tree, walk

SECONDS = 30.0  # for a file to be read, and
BYTES_PER_SECOND = 5e6  # of it besides


def read_tree(path: str | Path, seconds: float = SECONDS) -> Tree:
    """Everything in an HDF5 file. Raises NetworkError where it is not one, reaches beyond itself, or cannot be read."""
    path = Path(path)
    if find_spec("h5py") is None:
        raise DvsError("NIR files need h5py; install the extra: pip install 'dvs-run[nir]'")
    if not path.exists():
        raise NetworkError(f"there is no file {path}")
    if not path.is_file():
        raise NetworkError(f"{path} is a folder, a pipe or a device; want one NIR file")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "tree.npz")
        command = [sys.executable, "-P", "-c", f"import {__name__} as apart; apart.tell()", str(path), out]
        patience = seconds + path.stat().st_size / BYTES_PER_SECOND
        try:
            done = subprocess.run(command, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            raise NetworkError(f"{path} cannot be read: HDF5 was not done with it after {patience:.0f} s") from None
        if done.returncode != 0 or not os.path.exists(out):
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
            why = f"signal {-done.returncode}" if done.returncode < 0 else said or f"exit code {done.returncode}"
            raise NetworkError(f"{path} cannot be read: HDF5 broke down on it ({why}); is the file damaged?")
        with np.load(out, allow_pickle=False) as archive:
            told = json.loads(archive["tree"].tobytes())
            if "error" in told:
                raise NetworkError(told["error"])
            return _joined(told["tree"], archive)


def tell() -> None:
    """What runs in the other process: its arguments are the file to read and the one to write."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; where the limit is lower already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (3 * MAX_FILE_BYTES, 3 * MAX_FILE_BYTES))
    arrays: dict[str, np.ndarray] = {}
    try:
        told: Tree = {"tree": _parted(walk(Path(sys.argv[1])), arrays)}
    except NetworkError as error:
        told, arrays = {"error": str(error)}, {}
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(sys.argv[2], allow_pickle=False, tree=text, **arrays)


def _parted(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The tree with its arrays moved into `arrays`. Groups are lists of pairs: their names may be anything."""
    if isinstance(tree, dict):
        return {"group": [[name, _parted(value, arrays)] for name, value in tree.items()]}
    if isinstance(tree, np.ndarray):
        arrays[f"a{len(arrays)}"] = tree
        return {"array": f"a{len(arrays) - 1}"}
    return tree


def _joined(tree: Any, arrays: Any) -> Any:
    if isinstance(tree, dict):
        if "array" in tree:
            return arrays[tree["array"]]
        return {name: _joined(value, arrays) for name, value in tree["group"]}
    return tree
