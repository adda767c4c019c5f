"""A file that somebody named is written whole or not at all, and a full disk is one sentence."""

import contextlib
import os
import resource
from pathlib import Path

import pytest

from dvs_run.pipeline.errors import DvsError, NetworkError, counted
from dvs_run.pipeline.files import written_whole
from dvs_run.pipeline.network import Network

SHIPPED = Path(__file__).parents[2] / "recordings" / "networks" / "gesture.npz"


@contextlib.contextmanager
def full_disk(room=5000):
    """A limit on the size of files stands for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with written_whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(error), written_whole(path) as partial:  # noqa: PT012  (the writing is what fails)
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_and_never_replaced(tmp_path):
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    with written_whole(link) as partial:
        partial.write_text("anything")
    assert link.is_symlink()
    assert list(tmp_path.iterdir()) == [link]


def test_a_network_on_a_full_disk_is_a_sentence_and_leaves_the_old_one(tmp_path):
    network, path = Network.load(SHIPPED), tmp_path / "n.npz"
    path.write_text("old")
    with full_disk(), pytest.raises(NetworkError, match="n.npz cannot be written: File too large"):
        network.save(path)
    with pytest.raises(NetworkError, match="/dev/full cannot be written: No space left on device"):
        network.save("/dev/full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_on_a_full_disk_is_a_sentence(tmp_path):
    torch = pytest.importorskip("torch")
    from dvs_run.pipeline.train.checkpoint import save_whole

    with full_disk(), pytest.raises(DvsError, match="m.pt cannot be written: "):
        save_whole(torch.zeros(10_000), tmp_path / "m.pt")
    with pytest.raises(DvsError, match="m.pt cannot be written: .*is the disk full, the folder there"):
        save_whole(torch.zeros(1), tmp_path / "nowhere" / "m.pt")
    assert not list(tmp_path.iterdir())


def test_nouns_follow_their_number():
    assert counted(1, "channel") == "1 channel"
    assert counted(2048, "class", "classes") == "2,048 classes"
