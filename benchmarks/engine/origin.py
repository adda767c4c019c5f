"""Where figures come from: what a reader needs to make them again, or to know why theirs differ."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import libraries, timing

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime", "onnx", "sinabs", "spikingjelly", "snntorch", "norse")


def origin(cpu: int, seed: int) -> dict[str, Any]:
    """The command, the commit, the machine, every version and the method."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": "python -m benchmarks.engine " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": git("rev-parse", "HEAD") + (" and changes" if git("status", "--porcelain", "-uno") else ""),
        "seed": seed,
        "machine": _machine(cpu),
        "versions": versions,
        "method": timing.__doc__,
        "rules_of_the_libraries": {name: rule for name, rule in libraries.RULES.items() if rule},
    }


def _machine(cpu: int) -> dict[str, Any]:
    try:
        lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
        fields = {key.strip(): value.strip() for key, value in reversed(lines)}
    except OSError:
        fields = {}
    return {
        "processor": fields.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "ran_on_core": cpu,
        "cache_of_the_last_level": fields.get("cache size", ""),
        "vector_extensions": [flag for flag in fields.get("flags", "").split() if flag.startswith(("avx", "fma"))],
        "system": f"{platform.system()} {platform.machine()}",
    }
