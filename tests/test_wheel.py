"""The wheel holds the folders, whole, under dvs_run, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_every_module_of_both_folders(tmp_path):
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    wanted = set()
    for folder in ("pipeline", "nodes"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT)
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
            wanted.add(f"dvs_run/{name.as_posix()}")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(archive.read(n).decode() for n in archive.namelist() if n.endswith("entry_points.txt"))
    assert held == wanted
    assert "dvs-run = dvs_run.nodes.launcher:main" in entry_points
    assert "dvs = dvs_run.nodes.commands:main" in entry_points
