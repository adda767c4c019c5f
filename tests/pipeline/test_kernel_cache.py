"""Compiled kernels come back from disk only if they are the right ones and whole; whatever else is there, results hold.

Most tests run a package of two small kernels, with the real kernel_cache.py and kernel_files.py copied into it.
"""

import functools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dvs_run.pipeline import kernel_cache, kernel_files

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


@pytest.fixture
def tiny(tmp_path):
    """The folder of the small package."""
    return make_tiny(tmp_path / "bundle")


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


def needs_root():
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")


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
    first = kernel_cache.digest_of_sources(tiny)
    (tiny / "other.py").write_text("nothing of a kernel")
    assert kernel_cache.digest_of_sources(tiny) == first
    assert kernel_cache.digest_of_sources(make_tiny(tmp_path / "elsewhere")) == first
    (tiny / "engine").mkdir()
    (tiny / "engine" / "plan.py").write_text("BLOCK = 4")
    assert kernel_cache.digest_of_sources(tiny) != first
    (tmp_path / "empty").mkdir()
    assert kernel_cache.digest_of_sources(tmp_path / "empty") is None


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """What this process would use, in an empty folder; nothing else is in reach."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_files, "PACKAGE", SOURCES)
    made = kernel_files.KernelFolders("key")
    made._folders = made._folders[:1]
    monkeypatch.setattr(kernel_cache, "_folders", made)
    return made


def only_file(folders):
    (found,) = Path(str(folders)).iterdir()
    return found


def increment(x):
    return x + 1


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


@compiles
def test_truncated_and_mutated_files_are_one_warning_and_replaced(folders):
    """All 400 are refused; to save time only every tenth is followed by the compilation."""
    call_anew(folders)
    path = only_file(folders)
    whole = path.read_bytes()
    for i, broken in enumerate(damages(whole, n=200, seed=1)):
        path.write_bytes(broken)
        folders._said.clear()
        with pytest.warns(RuntimeWarning, match="not used and made anew: .*: it is damaged") as said:
            assert folders.load(path.name) is None
        assert len(said) == 1
        if i % 10 == 0:
            with pytest.warns(RuntimeWarning, match="it is damaged") as said:
                assert call_anew(folders) == (2, True)
            assert len(said) == 1
            assert only_file(folders) == path
            assert call_anew(folders) == (2, False)


@compiles
@pytest.mark.parametrize("seed", range(2))
def test_a_process_starts_with_damaged_files(tiny, seed):
    start(tiny)
    for path, broken in zip(files_of(tiny), damages(b"x" * 3000, n=1, seed=seed), strict=True):
        path.write_bytes(broken)
    found = start(tiny)
    assert (found["result"], found["compiled"], len(found["said"])) == (41, 1, 1)
    assert start(tiny) == {**found, "loaded": 1, "compiled": 0, "said": []}


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (lambda path: path.mkdir(), "no plain file"),
        (lambda path: os.mkfifo(path), "no plain file"),
        (lambda path: path.symlink_to(__file__), "symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "symbolic links"),
    ],
    ids=["folder", "pipe", "link", "dangling link"],
)
def test_what_is_no_plain_file_is_not_opened(folders, plant, reason):
    folders.save("name", b"content")
    path = only_file(folders)
    path.unlink()
    plant(path)
    with pytest.warns(RuntimeWarning, match=reason):
        assert folders.load("name") is None


def test_a_file_that_others_can_write_is_not_used(folders):
    folders.save("name", b"content")
    for mode in (0o664, 0o646):
        only_file(folders).chmod(mode)
        folders._said.clear()
        with pytest.warns(RuntimeWarning, match="others can write it"):
            assert folders.load("name") is None
    folders.save("name", b"content")
    assert folders.load("name") == b"content"


def test_a_file_of_another_user_is_not_used(folders):
    needs_root()
    folders.save("name", b"content")
    os.chown(only_file(folders), 12345, -1)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert folders.load("name") is None


def test_an_unreadable_file_is_replaced(folders):
    folders.save("name", b"old")
    only_file(folders).chmod(0)
    if os.access(only_file(folders), os.R_OK):
        pytest.skip("root reads everything")
    with pytest.warns(RuntimeWarning, match="Permission denied"):
        assert folders.load("name") is None
    folders.save("name", b"new")
    assert folders.load("name") == b"new"


def test_a_file_is_of_one_name_and_one_key(folders):
    folders.save("name", b"content")
    path = only_file(folders)
    path.rename(path.with_name("other"))
    with pytest.warns(RuntimeWarning, match="damaged or of another kind"):
        assert folders.load("other") is None
    folders.key = "another"
    path.with_name("other").rename(path)
    folders._said.clear()
    with pytest.warns(RuntimeWarning, match="damaged or of another kind"):
        assert folders.load("name") is None


@compiles
def test_a_whole_file_that_numba_cannot_read_is_a_warning_and_replaced(folders):
    call_anew(folders)
    name = only_file(folders).name
    folders.save(name, b"no pickle")
    with pytest.warns(RuntimeWarning, match="cannot be loaded and is made anew"):
        assert call_anew(folders) == (2, True)
    assert call_anew(folders) == (2, False)


@compiles
def test_a_folder_that_others_can_write_is_not_used(tiny):
    place = Path(start(tiny)["place"])
    place.chmod(0o777)
    found = start(tiny)
    assert (found["result"], found["compiled"], len(found["said"])) == (41, 1, 1)
    assert "others can write it" in found["said"][0]
    assert list((tiny.parent / "home").glob("dvs-run/kernels-*/*"))


@compiles
def test_kernels_go_to_the_users_cache_where_the_package_cannot_be_written(tiny):
    block(tiny)
    home = tiny.parent / "home"
    assert start(tiny)["said"] == start(tiny)["said"] == []
    assert len(list(home.glob("dvs-run/kernels-*/*"))) == 2
    assert start(tiny)["loaded"] == 1


@compiles
def test_kernels_of_a_read_only_package_are_used_and_new_ones_go_home(tiny, tmp_path):
    """As in a container image whose kernels were compiled when it was made."""
    start(tiny)
    files_of(tiny)[0].unlink()
    folder = files_of(tiny)[0].parent
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("root writes everywhere")
    start(tiny)
    assert len(list((tiny.parent / "home").glob("dvs-run/kernels-*/*"))) == 1


@compiles
def test_without_package_and_home_they_go_to_a_private_folder_with_one_warning(tiny):
    block(tiny)
    (tiny.parent / "home").write_text("in the way")
    for compiled in (1, 0):
        found = start(tiny)
        assert (found["result"], found["compiled"], len(found["said"])) == (41, compiled, 1)
        assert "may not last" in found["said"][0]
    (place,) = tiny.parent.glob("dvs-run-kernels-*")
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_none_is_passed_over(monkeypatch, home):
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setenv("HOME", "~")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert kernel_files._places() == [kernel_files.PACKAGE / "__pycache__"]


@compiles
def test_where_nothing_can_be_kept_kernels_compile_in_memory_with_one_warning(tiny):
    block(tiny)
    (tiny.parent / "home").write_text("in the way")
    (tiny.parent / f"dvs-run-kernels-{os.geteuid()}").write_text("in the way")
    found = start(tiny)
    assert (found["result"], found["compiled"], len(found["said"])) == (41, 1, 1)
    assert "kept nowhere" in found["said"][0]


@pytest.mark.parametrize("planted", ["link", "writable"])
def test_a_temporary_folder_that_somebody_else_made_is_not_used(tmp_path, monkeypatch, planted):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(kernel_files, "_places", list)
    private = tmp_path / f"dvs-run-kernels-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir(0o700)
    if planted == "link":
        private.symlink_to(tmp_path / "elsewhere")
    else:
        private.mkdir()
        private.chmod(0o777)
    folders = kernel_files.KernelFolders("key")
    with pytest.warns(RuntimeWarning, match="kept nowhere"):
        folders.save("name", b"content")
    assert folders.load("name") is None
    assert not list(private.iterdir())


@compiles
def test_a_full_disk_is_one_warning_and_leaves_nothing(tiny):
    """A limit on the size of files stands for the disk; Python itself must not be hit, so it writes no bytecode."""
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000))
    found = start(tiny, limit, PYTHONDONTWRITEBYTECODE="1")
    assert (found["result"], found["compiled"], len(found["said"])) == (41, 1, 1)
    assert "File too large" in found["said"][0]
    assert not files_of(tiny)


@compiles
def test_processes_that_start_at_once_leave_a_whole_cache(tiny):
    command = [sys.executable, "-c", START]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment_of(tiny)) for _ in range(5)]
    for process in starts:
        found = json.loads(process.communicate(timeout=120)[0])
        assert (found["result"], found["said"]) == (41, [])
    assert len(files_of(tiny)) == 2
    assert start(tiny)["loaded"] == 1


def test_the_newest_folders_of_other_keys_stay(tmp_path):
    made = [tmp_path / f"kernels-{i}" for i in range(6)]
    for age, path in enumerate(made):
        path.mkdir()
        (path / "file").touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "others").mkdir()
    kernel_files.prune(tmp_path, spare=made[5], kept=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels-0", "kernels-1", "kernels-5", "others"]
    kernel_files.prune(tmp_path / "nowhere", spare=made[5])


def test_saving_survives_that_another_process_pruned_the_folder(folders):
    folders.save("name", b"content")
    shutil.rmtree(str(folders))
    assert folders.load("name") is None
    folders.save("name", b"content")
    assert folders.load("name") == b"content"


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
