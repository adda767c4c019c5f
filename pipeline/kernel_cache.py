"""`@kernel`: a function compiled by Numba, without the GIL, its machine code kept on disk between processes.

Numba's own `cache=True` looks only at the file of the decorated function: it misses that a kernel in another file
changed, or the processor, or a setting. It also ends the program where a file of it is truncated or no folder can be
written. Here everything that compiled code depends on is one key, the name of one folder, and whatever is wrong with a
file means a warning and a compilation. Neither paths nor times are in the key: a package that is moved keeps its cache.
Kernels call only kernels of their own sub-package (tests/test_house.py), so each sub-package has a key: a reader that
changed leaves the engine compiled.

Chosen: Numba's dispatcher with another cache object in it (four methods), one file a kernel and signature, no index
that processes could race for. Tried: Numba's documented hook (NUMBA_CACHE_LOCATOR_CLASSES) moves files elsewhere but
reads them as they are.
"""

import contextlib
import functools
import hashlib
import inspect
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .kernel_files import PACKAGE, KernelFolders

# Settings of Numba under which the same source becomes other machine code. The processor is told by the code generator.
SETTINGS = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML", "DEBUGINFO_DEFAULT")


def kernel(function: Callable | None = None, **options: Any) -> Any:
    """Compile a function at its first call: `@kernel`, or with Numba's options: `@kernel(inline="always")`."""
    if function is None:
        return functools.partial(kernel, **options)
    from numba import njit

    compiled = njit(nogil=True, **options)(function)
    if compiled is not function:  # else NUMBA_DISABLE_JIT=1
        compiled._cache = KernelCache(function, options)
    return compiled


class KernelCache:
    """The compiled versions of one kernel on disk; Numba asks for one a signature."""

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        self._function = function
        self._options = repr(sorted(options.items()))
        module = function.__module__.rpartition("pipeline.")[2]
        self._start = f"{module}.{function.__qualname__}".replace("<", "").replace(">", "")
        self._group = group_of(function)
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        return str(_folders[self._group]) if self._group in _folders else None

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        if self._group in _folders:
            _folders[self._group].discard(f"{self._start}-")

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled kernel from disk, or None: then Numba compiles it and calls save_overload."""
        folders, name = _folders_for(self._group, target.codegen()), self._name(signature)
        payload = folders.load(name) if folders and name and self._enabled else None
        if folders is None or payload is None:
            _tell_of_compiling()
            return None
        try:
            from numba.core.compiler import CompileResult

            symbols, reduced = pickle.loads(payload)
            _provide(symbols, target)
            return CompileResult._rebuild(target, *reduced)
        except Exception as error:  # whatever it is, the source is there to be compiled
            reason = f"{type(error).__name__}: {error}"
        folders.complain("file", f"a compiled kernel cannot be loaded and is made anew: {self._start}: {reason}")
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what Numba has just compiled."""
        folders, name = _folders_for(self._group, result.codegen), self._name(signature)
        if not folders or not name or not self._enabled:
            return
        try:
            from numba.core.serialize import dumps

            if result.lifted or result.library.has_dynamic_globals:  # addresses of this process
                return
            payload = dumps((_symbols_of(result.library), result._reduce()))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            folders.complain("kept", f"the compiled kernel {self._start} cannot be kept: {reason}")
            return
        folders.save(name, payload)

    def _name(self, signature: Any) -> str | None:
        """Name of the file: the kernel, and what tells its versions apart. None: it cannot be told."""
        try:
            line = self._function.__code__.co_firstlineno  # two of one name: in the branches of an `if`
            parts = [str(signature), str(line), self._options, *map(_constant, _captured(self._function))]
            parts.append(_digest_of_file(inspect.getfile(self._function)))
        except (TypeError, OSError):
            return None
        return f"{self._start}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:20]}"


def _symbols_of(library: Any) -> list[str]:
    """What compiled code calls and reads outside itself."""
    module = library._final_module
    outside = [item.name for item in (*module.functions, *module.global_variables) if item.is_declaration]
    return [name for name in outside if not name.startswith("llvm.")]


def _provide(symbols: list[str], target: Any) -> None:
    """Have everything that compiled code needs. Numba's own cache loads all of Numba for it (0.3 s, SciPy's linear
    algebra too); nearly always its run time suffices. Code with a symbol missing would end the process.
    """
    from llvmlite.binding import address_of_symbol
    from numba.core.runtime import rtsys

    rtsys.initialize(target)
    if not all(map(address_of_symbol, symbols)):
        target.refresh()


@functools.cache
def _tell_of_compiling() -> None:
    """Once a process. Programs show it to whoever waits; a library's user sees it where logging is set up."""
    logging.getLogger("dvs_run.kernels").info(
        "compiling kernels, as at every first start on a processor; it may take a minute or more"
    )


_folders: dict[str, KernelFolders] = {}  # of this process, by group
_said: set[str] = set()


def _folders_for(group: str, codegen: Any) -> KernelFolders | None:
    """The folders of a group of kernels; None where the sources cannot be read, as from a zip file."""
    if group not in _folders:
        sources = digest_of_sources(group)
        if sources is None:
            return None
        _folders[group] = KernelFolders(f"{group}-{make_key(sources, codegen.magic_tuple())}", _said)
    return _folders[group]


def group_of(function: Callable) -> str:
    """The sub-package of a kernel; "main": the package's own modules; "outside": no module of this package."""
    package, module = __name__.rpartition(".")[0], function.__module__
    if not module.startswith(f"{package}."):
        return "outside"
    return module.removeprefix(f"{package}.").rpartition(".")[0].partition(".")[0] or "main"


def make_key(sources: str, processor: tuple) -> str:
    """Everything besides its signature that a compiled kernel depends on."""
    import llvmlite
    import numba
    import numpy as np

    parts = [sources, *map(str, processor), sys.implementation.cache_tag, getattr(sys, "abiflags", "")]
    parts += [numba.__version__, llvmlite.__version__, np.__version__]
    parts += [f"{name}={getattr(numba.config, name, None)}" for name in SETTINGS]
    parts.append(f"simd={os.environ.get('DVS_RUN_SIMD', '1') != '0'}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def digest_of_sources(group: str, package: Path = PACKAGE) -> str | None:
    """One digest of a group's files with kernels, of the engine's all. None: there are no sources.

    What is outside may call any kernel of the package, so it depends on all of them.
    """
    digest, files = hashlib.sha256(), 0
    for folder, inner, names in os.walk(package if group in ("main", "outside") else package / group):
        inner[:] = [] if group == "main" else sorted(name for name in inner if name != "__pycache__")
        for name in sorted(name for name in names if name.endswith(".py")):
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                if path.parent.name == "engine" or b"kernel_cache import" in content:
                    digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
                    files += 1
    return digest.hexdigest() if files else None


@functools.cache
def _digest_of_file(path: str) -> str:
    """Of the kernel's own file: it may stand outside the package."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _captured(function: Callable) -> list[Any]:
    """What a kernel that is made inside another function took from there; Numba compiles it in as constants."""
    return [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]


def _constant(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, tuple):
        return f"({','.join(map(_constant, value))})"
    function = getattr(value, "py_func", None)
    if function is not None:
        return f"{function.__module__}.{function.__qualname__}[{','.join(map(_constant, _captured(function)))}]"
    raise TypeError(f"{type(value).__name__} tells no constant")
