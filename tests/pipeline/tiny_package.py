"""A package of two small kernels, with the real kernel_cache.py and kernel_files.py beside them; and a kernel here."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dvs_run.pipeline import kernel_cache

SOURCES = Path(kernel_cache.__file__).parent
ONE = """
from .kernel_cache import kernel
from .two import double

@kernel
def both(x):
    return double(x) + 1
"""
TWO = """
from .kernel_cache import kernel

@kernel
def double(x):
    return 2 * x
"""
START = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from tiny.one import both
    result = both(20)
stats = both.stats
print(json.dumps({
    "result": result,
    "loaded": sum(stats.cache_hits.values()),
    "compiled": sum(stats.cache_misses.values()),
    "place": stats.cache_path,
    "said": [str(warning.message) for warning in said],
}))
"""
compiles = pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled")


def make_tiny(parent):
    package = parent / "tiny"
    package.mkdir(parents=True)
    for name in ("kernel_cache.py", "kernel_files.py"):
        shutil.copy(SOURCES / name, package)
    (package / "__init__.py").touch()
    (package / "one.py").write_text(ONE)
    (package / "two.py").write_text(TWO)
    return package


def environment_of(package, **changes):
    """No place but the package's own folder, unless a test says so."""
    without = ("NUMBA_CACHE_DIR", "DVS_RUN_SIMD", "NUMBA_BOUNDSCHECK", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in without}
    nowhere = {"XDG_CACHE_HOME": str(package.parent / "home"), "TMPDIR": str(package.parent)}
    return {**kept, **nowhere, "PYTHONPATH": str(package.parent), **changes}


def start(package, limit=None, **changes):
    """One process that calls the kernel once, and what it tells about it."""
    ran = subprocess.run(
        [sys.executable, "-c", START],
        capture_output=True,
        text=True,
        env=environment_of(package, **changes),
        timeout=120,
        check=False,
        cwd=package.parent,
        preexec_fn=limit,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def files_of(package):
    return sorted(package.glob("__pycache__/kernels-*/*"))


def block(package):
    """Make it impossible to write beside the package, for root too."""
    (package / "__pycache__").write_text("in the way")


def increment(x):
    return x + 1


def only_file(folders):
    (found,) = Path(str(folders)).iterdir()
    return found


def call_anew(folders):
    """The kernel as a new process would find it. Returns its result, and whether it was compiled."""
    folders._said.clear()
    fresh = kernel_cache.kernel(increment)
    return fresh(1), bool(fresh.stats.cache_misses)


def damages(content, n, seed):
    """Truncations, and changes of one bit."""
    chance = random.Random(seed)
    for _ in range(n):
        yield content[: chance.randrange(len(content))]
    for _ in range(n):
        at = chance.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
