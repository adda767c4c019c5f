"""Kernels can be imported also where neither the packages nor a home can be written."""

import os
import subprocess
import sys

import pytest

from dvs_run.pipeline import kernel_cache


@pytest.fixture
def nothing_writable(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_cache, "_can_be_written", lambda place: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/nowhere")
    monkeypatch.setattr("numba.config.CACHE_DIR", "/nowhere")
    return tmp_path


def test_where_numba_finds_a_place_nothing_is_changed(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "made" / "later"))
    assert kernel_cache.find_place() is None
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "made" / "later")


def test_kernels_go_to_a_private_folder_the_same_at_every_start(nothing_writable):
    with pytest.warns(RuntimeWarning, match="neither in /nowhere nor in .*; they go to .*dvs-run-kernels"):
        first = kernel_cache.find_place()
    with pytest.warns(RuntimeWarning, match="Set NUMBA_CACHE_DIR"):
        assert kernel_cache.find_place() == first
    assert first.stat().st_mode & 0o777 == 0o700
    assert os.environ["NUMBA_CACHE_DIR"] == str(first)


def test_a_folder_that_others_can_write_or_have_put_there_is_not_used(nothing_writable):
    planted = nothing_writable / f"dvs-run-kernels-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.warns(RuntimeWarning):
        found = kernel_cache.find_place()
    assert found != planted
    planted.rmdir()
    (nothing_writable / "elsewhere").mkdir(0o700)
    planted.symlink_to(nothing_writable / "elsewhere")
    with pytest.warns(RuntimeWarning):
        assert kernel_cache.find_place() not in (planted, found)


def test_a_place_can_be_written_if_its_nearest_parent_can(tmp_path):
    assert kernel_cache._can_be_written(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not kernel_cache._can_be_written(tmp_path / "file")
    assert not kernel_cache._can_be_written(tmp_path / "file" / "b")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert not kernel_cache._can_be_written(tmp_path / "dangling")


def test_a_kernel_runs_from_there(tmp_path):
    """As in a container: the folder of the packages and the home are somebody else's."""
    code = """
import os
real = os.access
os.access = lambda place, mode: str(place).startswith(os.environ["TMPDIR"]) and real(place, mode)
import dvs_run.pipeline
from dvs_run.pipeline.formats import guard
from dvs_run.pipeline.events import EVENT_DTYPE
import numpy as np
print(guard.guard(np.zeros(2, EVENT_DTYPE), 1, 1, 0, False, guard.new_state())[0], os.environ["NUMBA_CACHE_DIR"])
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": "/proc/none", "XDG_CACHE_HOME": ""}
    environment.pop("NUMBA_CACHE_DIR", None)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    kept, place = ran.stdout.split()
    assert (kept, ran.returncode) == ("2", 0)
    assert place.startswith(str(tmp_path))
    assert "RuntimeWarning: compiled kernels can be kept neither in" in ran.stderr
    if not os.environ.get("NUMBA_DISABLE_JIT"):
        assert list(tmp_path.glob("*/*/*.nbi"))
