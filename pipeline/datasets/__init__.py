"""Published data sets of events, as sets of recordings with labels. One row a data set.

    data = open_dataset("dvs-gesture", "data/DvsGesture", "test")
    for sample in data:
        with sample.open() as recording:  # of pipeline/formats: packets of EVENT_DTYPE
            ...

Nothing is ever downloaded unless `download=True` says so (sets of tonic only): what is missing is told in a sentence
that says what to fetch and where to put it. Where a folder of recordings can be named on a command line, a part of a
data set can be too: NAME:FOLDER:PART (`named`). Sets that have no row are folders: FOLDER/LABEL/FILE.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import RecordingError
from .dataset import ALWAYS, DataSet, FileReader, Sample, samples_of
from .through_tonic import PREFIX, REFUSED, SETS, from_tonic

__all__ = [
    "ALWAYS", "DATASETS", "DataSet", "FileReader", "Row", "Sample", "from_tonic", "is_named", "known_datasets", "named",
    "open_dataset", "samples_of",
]  # fmt: skip


class Row(NamedTuple):
    """A row of the catalogue. `opener` is `module:function`, imported when used: (folder, part) -> DataSet."""

    name: str
    what: str  # for people: content and the folder that is wanted
    parts: tuple[str, ...]  # the first one is taken where none is said
    opener: str


DATASETS = (
    Row("nmnist", "N-MNIST: the folder with Train and Test", ("train", "test"), ".folders:open_nmnist"),
    Row("ncaltech101", "N-Caltech101: the folder Caltech101", ("all", "train", "test"), ".folders:open_ncaltech101"),
    Row(
        "cifar10-dvs", "CIFAR10-DVS, the original .aedat files: the folder with airplane ... truck",
        ("all", "train", "test"), ".folders:open_cifar10_dvs",
    ),
    Row(
        "mnist-dvs", "MNIST-DVS: the folder with grabbed_data0 ... 9, or one of its scales",
        ("all", "train", "test"), ".folders:open_mnist_dvs",
    ),
    Row(
        "dvs-gesture", "DVS128 Gesture, the original .aedat files: the folder with trials_to_train.txt",
        ("train", "test", "all"), ".gesture:open_dvs_gesture",
    ),
)  # fmt: skip


def known_datasets() -> dict[str, tuple[str, ...]]:
    """Every name that open_dataset knows, with its parts."""
    ours = {row.name: row.parts for row in DATASETS}
    return ours | {PREFIX + name: tuple(row.parts) for name, row in SETS.items()}


def open_dataset(name: str, folder: str | Path, part: str | None = None, *, download: bool = False) -> DataSet:
    """The recordings of one part of a data set (its first part where none is said), in the order of their names.

    Names of tonic's classes begin with `tonic.`: `tonic.SHD` (extra `datasets`); `download` lets tonic fetch what is
    missing. Raises RecordingError: an unknown name or part; files that are missing, and where they are to be had.
    """
    folder = Path(folder).expanduser()
    parts = known_datasets().get(name)
    if parts is None:
        told = REFUSED.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        raise RecordingError(
            f"{name} is not read as a set of labelled recordings: {told}" if told
            else f"there is no data set {name!r}; known are {', '.join(known_datasets())}; any other is a folder with "
            "FOLDER/LABEL/FILE"
        )  # fmt: skip
    if part is not None and part not in parts:
        raise RecordingError(f"{name} has no part {part!r}, only {', '.join(parts)}")
    part = part or parts[0]
    if name.startswith(PREFIX):
        from .through_tonic import open_tonic

        return open_tonic(name.removeprefix(PREFIX), folder, part, download)
    if download:
        raise RecordingError(f"{name} cannot be downloaded from here; tonic's sets can ({PREFIX}NMNIST, ...)")
    row = next(row for row in DATASETS if row.name == name)
    module, function = row.opener.split(":")
    opened: Any = getattr(importlib.import_module(module, __package__), function)(folder, part)
    assert isinstance(opened, DataSet)
    return opened


def is_named(where: str | Path) -> bool:
    """Whether this is NAME:FOLDER or NAME:FOLDER:PART with the name of a data set, and not a path."""
    name, mark, _ = str(where).partition(":")
    return bool(mark) and (name in known_datasets() or name.startswith(PREFIX))


def named(where: str | Path) -> DataSet | None:
    """The data set that NAME:FOLDER or NAME:FOLDER:PART means; None where it is a path."""
    if not is_named(where):
        return None
    name, _, rest = str(where).partition(":")
    folder, _, part = rest.rpartition(":")
    if not folder:
        return open_dataset(name, rest)
    return open_dataset(name, folder, part)
