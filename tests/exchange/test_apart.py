"""Files that are cut, mutated or made to harm: a sentence each, nothing executed, no other file touched."""

import gzip
import os
import random
import signal

import h5py
import numpy as np
import pytest

from dvs_run.pipeline.errors import DvsError, NetworkError
from dvs_run.pipeline.exchange import MEANINGS, apart, hdf5, nir_read, read_nir, write_nir
from tests.exchange.nets import SAMPLES, conv_node, every_layer, graph, if_node, saved

NIR = MEANINGS["nir"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "net.nir"
    hdf5.write_tree(path, graph({"a": conv_node(), "n": if_node(3, 4, 4)}))
    return path


def test_a_file_is_read_in_another_process_as_in_this_one(tmp_path):
    write_nir(every_layer(), tmp_path / "net.nir")
    reading = read_nir(tmp_path / "net.nir")
    assert saved(reading.network, tmp_path) == saved(every_layer(), tmp_path)


def test_what_is_no_file_of_hdf5_is_a_sentence(tmp_path):
    (tmp_path / "text.nir").write_text("a text")
    with pytest.raises(NetworkError, match="text.nir cannot be read as an HDF5 file"):
        read_nir(tmp_path / "text.nir", NIR)
    with pytest.raises(NetworkError, match="there is no file"):
        read_nir(tmp_path / "none.nir", NIR)
    with pytest.raises(NetworkError, match="is a folder, a pipe or a device"):
        read_nir(tmp_path, NIR)
    os.mkfifo(tmp_path / "pipe.nir")
    with pytest.raises(NetworkError, match="is a folder, a pipe or a device"):
        read_nir(tmp_path / "pipe.nir", NIR)


def test_a_file_that_hdf5_is_never_done_with_is_given_up(sound):
    with pytest.raises(NetworkError, match="HDF5 was not done with it after 0 s"):
        apart.read_tree(sound, seconds=0.0)


def test_a_file_that_hdf5_crashes_on_is_a_sentence(sound, tmp_path, monkeypatch):
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(apart.sys, "executable", str(crash))
    with pytest.raises(NetworkError, match=rf"HDF5 broke down on it \(signal {int(signal.SIGSEGV)}\)"):
        apart.read_tree(sound)


def test_without_h5py_the_extra_is_named(sound, monkeypatch):
    monkeypatch.setattr(apart, "find_spec", lambda name: None)
    with pytest.raises(DvsError, match=r"pip install 'dvs-run\[nir\]'"):
        read_nir(sound, NIR)


def external_link(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.ones(3)
    file["node/nodes/x"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def soft_link(file, folder):
    file["node/nodes/x"] = h5py.SoftLink("/node/nodes/a")


def group_in_itself(file, folder):
    file["node/nodes/x"] = file["node"]


def numbers_elsewhere(file, folder):
    (folder / "raw").write_bytes(bytes(800))
    file["node"].create_dataset("x", (100,), "f8", external=[(str(folder / "raw"), 0, 800)])


def numbers_of_another_file(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.ones(3)
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (3,))
    file["node"].create_virtual_dataset("x", layout)


def promise_of_terabytes(file, folder):
    file["node"].create_dataset("x", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


def table(file, folder):
    file["node/x"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def reference(file, folder):
    file["node"].create_dataset("x", data=file["node"].ref, dtype=h5py.ref_dtype)


def too_many_texts(file, folder):
    file["node"].create_dataset("x", (300_000,), h5py.string_dtype())


def long_texts(file, folder):
    file["node"].create_dataset("x", (1, 5000), "S1000000", compression="gzip")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (external_link, "'/node/nodes/x' is a link to elsewhere"),
        (soft_link, "'/node/nodes/x' is a link to elsewhere"),
        (group_in_itself, "lies more than 16 groups deep; does a group hold itself"),
        (numbers_elsewhere, "'/node/x' keeps its numbers in another file"),
        (numbers_of_another_file, "'/node/x' keeps its numbers in another file"),
        (promise_of_terabytes, "'/node/x' and what comes before unpack to more than 2 GiB"),
        (table, "'/node/x' holds .*, want numbers or text"),
        (reference, "'/node/x' holds object, want numbers or text"),
        (too_many_texts, "'/node/x' is text of shape"),
        (long_texts, "'/node/x' and what comes before unpack to more than 2 GiB"),
    ],
)
def test_what_reaches_beyond_the_file_or_grows_without_bound_is_refused(harm, what, sound, tmp_path):
    path = tmp_path / "harm.nir"
    path.write_bytes(sound.read_bytes())
    with h5py.File(path, "r+") as file:
        harm(file, tmp_path)
    with pytest.raises(NetworkError, match=what):
        hdf5.walk(path)


def test_text_without_end_is_refused(sound, monkeypatch):
    monkeypatch.setattr(hdf5, "MOST_TEXT", 20)
    with pytest.raises(NetworkError, match="and what comes before hold more than"):
        hdf5.walk(sound)


def test_a_filter_that_would_be_loaded_from_the_disk_is_refused(sound, tmp_path, monkeypatch):
    path = tmp_path / "packed.nir"
    path.write_bytes(sound.read_bytes())
    with h5py.File(path, "r+") as file:
        file["node"].create_dataset("x", data=np.zeros(1000), compression="lzf")
    monkeypatch.delitem(hdf5.FILTERS, 32000)
    with pytest.raises(NetworkError, match="'/node/x' is packed with filter 32000"):
        hdf5.walk(path)


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files_are_read_or_refused(seed, tmp_path):
    rng = random.Random(seed)
    data = bytearray(gzip.decompress((SAMPLES / "norse_iaf.nir.gz").read_bytes()))
    for _ in range(40):
        data[rng.randrange(min(len(data), 20_000))] = rng.randrange(256)
    (tmp_path / "net.nir").write_bytes(data)
    with pytest.raises(NetworkError, match=str(tmp_path)):
        read_nir(tmp_path / "net.nir", MEANINGS["norse"])


WEIRD = (0, -1, 1e30, np.nan, [], [1, 2, 3], [[1.0, 2.0]], "x", "", ["a"], [["a", "b"]], {}, {"type": "IF"}, "Affine")


def test_mutated_graphs_are_read_or_refused(monkeypatch, tmp_path):
    """Two thousand times one to four entries of a sound graph are dropped, exchanged or replaced by nonsense."""
    rng = random.Random(1)
    monkeypatch.setattr(nir_read, "read_tree", lambda path: tree)
    refused = 0
    for _ in range(2000):
        inner = graph({"w": conv_node(), "n": if_node(3, 4, 4)})["node"]
        tree = graph({"inner": inner, "v": conv_node(4, 3), "m": if_node(4, 4, 4)})
        for _ in range(rng.randint(1, 4)):
            _mutate(rng, rng.choice([group for group in _groups(tree) if group] or [{"x": 0}]))
        try:
            read_nir("net.nir", NIR)
        except NetworkError:
            refused += 1
    assert 1000 < refused < 2000


def _groups(tree):
    yield tree
    for value in tree.values():
        if isinstance(value, dict):
            yield from _groups(value)


def _mutate(rng, group):
    name = rng.choice(list(group))
    choice = rng.random()
    if choice < 0.3:
        del group[name]
    elif choice < 0.8:
        weird = rng.choice(WEIRD)
        text = isinstance(weird, dict | str) or "a" in str(weird)
        group[name] = dict(weird) if isinstance(weird, dict) else weird if text else np.array(weird)
    else:
        group[rng.choice(["input", "output", "x", "v_reset"])] = group[name]
