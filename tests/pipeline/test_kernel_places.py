"""Where kernels are kept: beside the package, in the user's cache, in a private folder, or nowhere, which is told."""

import functools
import os
import resource
import shutil
from pathlib import Path

import pytest

from dvs_run.pipeline import kernel_files

from .tiny_package import block, compiles, files_of, start


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
