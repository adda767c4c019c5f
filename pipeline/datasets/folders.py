"""Data sets that are folders of files, read as they are published: N-MNIST, N-Caltech101, CIFAR10-DVS, MNIST-DVS.

CIFAR10-DVS and MNIST-DVS have no parts of their own. Their `train` and `test` are the first nine tenths of each class
by the numbers of the files and the rest, as most papers split them. Both were recorded by a DVS128 that lay on its
side; here x and y are exchanged (layout `dvs128-turned`), so that the pictures stand upright.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..cifar import CIFAR10_NAMES
from ..errors import RecordingError
from ..events import SensorSize
from .dataset import DataSet, FileReader, missing, samples_of

DIGITS = tuple("0123456789")
NMNIST_SENSOR = SensorSize(34, 34)
TURNED = FileReader(SensorSize(128, 128), layout="dvs128-turned")
TEST_SHARE = 10  # one of so many files is for testing, where a set has no parts

File = tuple[Path, str]  # and its label


def open_nmnist(folder: Path, part: str) -> DataSet:
    """N-MNIST (Orchard et al. 2015): Train/7/00042.bin is a seven."""
    of_part = part.capitalize()
    root = _folder(folder, [of_part, of_part.lower(), f"NMNIST/{of_part}", f"N-MNIST/{of_part}"])
    files = [] if root is None else _labelled(root, DIGITS, ".bin")
    if not files:
        raise missing(
            folder, "N-MNIST", f"{of_part}/0/*.bin",
            f"fetch {of_part}.zip from https://www.garrickorchard.com/datasets/n-mnist and unpack it in {folder}",
        )  # fmt: skip
    return DataSet("nmnist", part, folder, DIGITS, samples_of(files, FileReader(NMNIST_SENSOR, "nmnist")))


def open_ncaltech101(folder: Path, part: str) -> DataSet:
    """N-Caltech101 (Orchard et al. 2015): Caltech101/accordion/image_0001.bin. Addresses are those of the ATIS."""
    root = _folder(folder, ["Caltech101", "NCALTECH101/Caltech101", "."])
    names = () if root is None else sorted(path.name for path in root.iterdir() if path.is_dir())
    files = [] if root is None else _labelled(root, names, ".bin")
    if not files:
        raise missing(
            folder, "N-Caltech101", "Caltech101/accordion/*.bin",
            "fetch Caltech101.zip from https://www.garrickorchard.com/datasets/n-caltech101 and unpack it there",
        )  # fmt: skip
    names = sorted({label for _, label in files})
    reader = FileReader(SensorSize(240, 180), "nmnist")
    return DataSet("ncaltech101", part, folder, tuple(names), samples_of(_part(files, part, names), reader))


def open_cifar10_dvs(folder: Path, part: str) -> DataSet:
    """CIFAR10-DVS (Li et al. 2017): airplane/cifar10_airplane_0.aedat."""
    root = _folder(folder, ["airplane/..", "CIFAR10DVS/airplane/..", "extract/airplane/.."])
    files = [] if root is None else _labelled(root, CIFAR10_NAMES, ".aedat")
    if not files:
        raise missing(
            folder, "CIFAR10-DVS", "airplane/*.aedat",
            "fetch airplane.zip to truck.zip from https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 and "
            "unpack all ten there (tonic's files, .aedat4, are read as tonic.CIFAR10DVS)",
        )  # fmt: skip
    chosen = _part(files, part, CIFAR10_NAMES)
    return DataSet("cifar10-dvs", part, folder, tuple(CIFAR10_NAMES), samples_of(chosen, TURNED))


def open_mnist_dvs(folder: Path, part: str) -> DataSet:
    """MNIST-DVS (Serrano-Gotarredona and Linares-Barranco 2015): grabbed_data7/scale4/mnist_7_scale04_0001.aedat."""
    paths = sorted(folder.rglob("mnist_*.aedat")) if folder.is_dir() else []
    matches = ((path, re.match(r"mnist_(\d)_scale\d+_\d+$", path.stem)) for path in paths)
    files = [(path, match[1]) for path, match in matches if match]
    if not files:
        raise missing(
            folder, "MNIST-DVS", "mnist_0_scale04_0001.aedat anywhere below it",
            "fetch grabbed_data0.zip to grabbed_data9.zip from http://www2.imse-cnm.csic.es/caviar/MNISTDVS.html and "
            "unpack them there",
        )  # fmt: skip
    files = _part(files, part, DIGITS)
    return DataSet("mnist-dvs", part, folder, DIGITS, samples_of(files, TURNED))


def _folder(folder: Path, candidates: Sequence[str]) -> Path | None:
    """The first of the candidates below `folder` that there is."""
    return next(((folder / name) for name in candidates if (folder / name).is_dir()), None)


def _labelled(root: Path, labels: Iterable[str], suffix: str) -> list[File]:
    """ROOT/LABEL/FILE, the labels in the order given, the files in the order of the numbers in their names."""
    return [
        (path, label)
        for label in labels
        if (root / label).is_dir()
        for path in sorted((root / label).iterdir(), key=_by_number)
        if path.suffix == suffix
    ]


def _part(files: Sequence[File], part: str, labels: Iterable[str]) -> list[File]:
    """All files, or of each class the first nine tenths (train) or the rest (test)."""
    if part == "all":
        return list(files)
    chosen: list[File] = []
    for label in labels:
        of_label = sorted((file for file in files if file[1] == label), key=lambda file: _by_number(file[0]))
        split = len(of_label) - len(of_label) // TEST_SHARE
        chosen += of_label[:split] if part == "train" else of_label[split:]
    if not chosen:
        raise RecordingError(f"no class has the {TEST_SHARE} files that a part `test` takes; use the part `all`")
    return chosen


def _by_number(path: Path) -> tuple[str, tuple[int, ...], str]:
    """cifar10_cat_9 before cifar10_cat_10."""
    return str(path.parent), tuple(int(digits) for digits in re.findall(r"\d+", path.stem)), path.name
