"""What is damaged, of another kind or of somebody else among the kept kernels is one warning and made anew."""

import os

import pytest

from .tiny_package import call_anew, compiles, damages, files_of, only_file, start


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


def needs_root():
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")


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
