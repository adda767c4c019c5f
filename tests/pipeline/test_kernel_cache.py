"""Compiled kernels come back from disk only if they are the right ones: same sources, same versions, same machine.

What is damaged: test_kernel_damage.py; where they are kept: test_kernel_places.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dvs_run.pipeline import kernel_cache

from .tiny_package import (
    START,
    TWO,
    call_anew,
    compiles,
    environment_of,
    files_of,
    increment,
    make_tiny,
    only_file,
    start,
)


@compiles
def test_a_second_start_compiles_nothing(tiny):
    first, second = start(tiny), start(tiny)
    assert (first["result"], first["loaded"], first["compiled"], first["said"]) == (41, 0, 1, [])
    assert (second["result"], second["loaded"], second["compiled"], second["said"]) == (41, 1, 0, [])
    assert Path(first["place"]).parent == tiny / "__pycache__"
    assert len(files_of(tiny)) == 2


@compiles
def test_a_package_that_is_moved_keeps_its_kernels(tiny, tmp_path):
    start(tiny)
    (tmp_path / "far" / "away").mkdir(parents=True)
    moved = Path(shutil.move(tiny, tmp_path / "far" / "away" / "tiny"))
    for path in moved.rglob("*.py"):
        os.utime(path, (0, 0))  # as after some ways of copying
    found = start(moved)
    assert (found["result"], found["loaded"], found["compiled"]) == (41, 1, 0)
    assert found["place"].startswith(str(moved))


@compiles
def test_a_change_in_another_file_with_kernels_is_noticed(tiny):
    start(tiny)
    # one byte longer: Python itself takes a file for unchanged if its size and the second of its change are the same
    (tiny / "two.py").write_text(TWO.replace("2 * x", "3  * x"))
    found = start(tiny)
    assert (found["result"], found["loaded"], found["compiled"]) == (61, 0, 1)
    (tiny / "two.py").write_text(TWO)
    assert start(tiny)["loaded"] == 1  # the kernels from before are still there


@compiles
def test_a_setting_that_changes_the_code_has_kernels_of_its_own(tiny):
    usual, other, again = start(tiny), start(tiny, DVS_RUN_SIMD="0"), start(tiny, DVS_RUN_SIMD="0")
    assert usual["place"] != other["place"] == again["place"]
    assert (other["loaded"], again["loaded"]) == (0, 1)


def test_the_key_is_of_everything_that_compiled_code_depends_on(monkeypatch):
    processor = ("x86_64-unknown-linux-gnu", "znver3", "+avx2")
    key = kernel_cache.make_key("sources", processor)
    assert key == kernel_cache.make_key("sources", processor)
    others = {kernel_cache.make_key("changed", processor), kernel_cache.make_key("sources", (*processor[:2], "-avx2"))}
    for package in ("numba", "llvmlite", "numpy"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{package}.__version__", "0")
            others.add(kernel_cache.make_key("sources", processor))
    for setting in ("BOUNDSCHECK", "OPT"):
        with monkeypatch.context() as patch:
            patch.setattr(f"numba.config.{setting}", 1)
            others.add(kernel_cache.make_key("sources", processor))
    monkeypatch.setenv("DVS_RUN_SIMD", "0")
    others.add(kernel_cache.make_key("sources", processor))
    assert len(others | {key}) == 9


def test_the_digest_of_sources_is_of_kernels_and_the_engine_wherever_they_are(tmp_path, tiny):
    def digests(package):
        return [kernel_cache.digest_of_sources(group, package) for group in ("main", "engine", "outside")]

    first = digests(tiny)
    (tiny / "other.py").write_text("nothing of a kernel")
    assert digests(tiny) == first
    assert digests(make_tiny(tmp_path / "elsewhere")) == first
    assert first[1] is None  # there is no engine
    (tiny / "engine").mkdir()
    (tiny / "engine" / "plan.py").write_text("BLOCK = 4")
    main, engine, outside = digests(tiny)
    assert main == first[0]
    assert engine is not None
    assert outside != first[2]  # what is outside may call any kernel of the package
    (tmp_path / "empty").mkdir()
    assert digests(tmp_path / "empty") == [None, None, None]


def test_kernels_are_grouped_by_the_sub_package_that_they_are_in():
    from dvs_run.pipeline import binning
    from dvs_run.pipeline.engine import rows

    functions = (binning._cells, rows.list_bits, increment)
    assert [kernel_cache.group_of(function) for function in functions] == ["main", "engine", "outside"]


@compiles
def test_processes_that_start_at_once_leave_a_whole_cache(tiny):
    command = [sys.executable, "-c", START]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment_of(tiny)) for _ in range(5)]
    for process in starts:
        found = json.loads(process.communicate(timeout=120)[0])
        assert (found["result"], found["said"]) == (41, [])
    assert len(files_of(tiny)) == 2
    assert start(tiny)["loaded"] == 1


@compiles
def test_compiling_is_logged_once_and_loading_is_not(folders, caplog):
    kernel_cache._tell_of_compiling.cache_clear()
    with caplog.at_level("INFO", "dvs_run"):
        call_anew(folders)
        only_file(folders).unlink()
        call_anew(folders)
        assert [record.message[:17] for record in caplog.records] == ["compiling kernels"]
        kernel_cache._tell_of_compiling.cache_clear()
        assert call_anew(folders) == (2, False)
        assert len(caplog.records) == 1


def make_adder(step):
    def add(x):
        return x + step

    return kernel_cache.kernel(add)


@compiles
def test_kernels_that_differ_in_what_they_captured_are_told_apart(folders):
    assert [make_adder(step)(1) for step in (1, 2, 1.5)] == [2, 3, 2.5]
    again = [make_adder(step) for step in (1, 2, 1.5)]
    assert [adder(1) for adder in again] == [2, 3, 2.5]
    assert not any(adder.stats.cache_misses for adder in again)


@compiles
def test_recompiling_forgets_what_was_kept(folders):
    fresh = kernel_cache.kernel(increment)
    fresh(1)
    only_file(folders).write_bytes(b"damaged")
    fresh.recompile()
    assert fresh(1) == 2
    assert call_anew(folders) == (2, False)


def test_without_compilation_a_kernel_is_the_plain_function():
    code = """
import json
from dvs_run.pipeline.kernel_cache import kernel
assert kernel(json.dumps) is kernel(inline="always")(json.dumps) is json.dumps
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_package_alone_imports_no_numba():
    code = "import dvs_run.pipeline, dvs_run.pipeline.kernel_cache, sys; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
