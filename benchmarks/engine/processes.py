"""What a user waits for and pays in memory: measured from outside, in processes of their own.

Second start: from the birth of the interpreter, and from its first import, to the first decision of a network that was
run before. Memory: of `dvs-run configs/gesture.yaml`, while it runs and at its highest.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dvs_run.pipeline.network import Network

ROOT = Path(__file__).resolve().parent.parent.parent
START = """
import time
born = time.clock_gettime(time.CLOCK_REALTIME)
import json, sys
import numpy as np
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import BinnedSlice
imported = time.clock_gettime(time.CLOCK_REALTIME)
network = Network.load(sys.argv[1])
engine = Engine(network, **json.loads(sys.argv[2]))
length = engine.timestep_us or 1000
one = np.ones(1, np.int32)
decision = engine.step(BinnedSlice(0, length, one, one))
decided = time.clock_gettime(time.CLOCK_REALTIME)
assert "torch" not in sys.modules
print(json.dumps([born, imported, decided]))
"""
PIPELINE = "import sys; from dvs_run.nodes.launcher import main; sys.exit(main([sys.argv[1]]))"


def second_start(network: Network, settings: dict[str, Any], times: int = 5) -> dict[str, float]:
    """Seconds to the first decision, cache warm: median of so many starts, and the one before them, which fills it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        network.save(path)
        runs = [_start(path, settings) for _ in range(times + 1)]
    whole, since_import, loading = zip(*runs, strict=True)
    return {
        "first_start_s": round(whole[0], 2),
        "process_to_decision_s": round(statistics.median(whole[1:]), 3),
        "import_to_decision_s": round(statistics.median(since_import[1:]), 3),
        "of_which_import_s": round(statistics.median(loading[1:]), 3),
    }


def pipeline_memory(config: Path = ROOT / "configs/gesture.yaml") -> dict[str, Any]:
    """MiB resident of a whole pipeline: the highest ever, and the median while it runs."""
    process = subprocess.Popen([sys.executable, "-c", PIPELINE, str(config)], stdout=subprocess.DEVNULL)
    highest, resident = 0.0, []
    while process.poll() is None:
        status = _status(process.pid)
        highest = max(highest, status.get("VmHWM", 0.0))
        resident.append(status.get("VmRSS", 0.0))
        time.sleep(0.05)
    steady = sorted(value for value in resident if value)
    return {
        "config": config.name,
        "exit_code": process.returncode,
        "highest_mib": round(highest, 1),
        "median_mib": round(statistics.median(steady), 1) if steady else None,
    }


def _start(path: Path, settings: dict[str, Any]) -> tuple[float, float, float]:
    began = time.clock_gettime(time.CLOCK_REALTIME)
    done = subprocess.run(
        [sys.executable, "-c", START, str(path), json.dumps(settings)], capture_output=True, text=True, check=True
    )
    born, imported, decided = json.loads(done.stdout.splitlines()[-1])
    return decided - began, decided - born, imported - born


def _status(pid: int) -> dict[str, float]:
    """VmHWM and VmRSS of a process in MiB; nothing where /proc is not, or the process has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS") if name in fields}
