"""Where figures come from: what a reader needs to make them again, or to know why theirs differ."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime", "onnx", "sinabs", "spikingjelly", "snntorch", "norse")


def origin(cpu: int | list[int] | None, seed: int, command: str = "benchmarks.engine") -> dict[str, Any]:
    """What every file of figures begins with: command, date, commit, seed, machine (how busy, too) and versions.

    cpu: the core or cores that were pinned, None if none was.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": " ".join(["python -m", command, *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": git("rev-parse", "HEAD") + (" and changes" if git("status", "--porcelain", "-uno") else ""),
        "seed": seed,
        "machine": _machine(cpu),
        "versions": versions,
    }


def write(record: dict[str, Any], out: Path | None) -> None:
    """The record as JSON, if a place for it was named."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record, indent=1) + "\n")


def _machine(cpu: int | list[int] | None) -> dict[str, Any]:
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
        "load_average_at_the_start": [round(load, 2) for load in os.getloadavg()],
    }
