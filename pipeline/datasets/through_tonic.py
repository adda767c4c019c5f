"""Data sets through tonic (extra `datasets`): its readers, our dtype, and nothing fetched that nobody asked for.

What is different from using tonic's classes: a class whose files are missing downloads nothing, but says what it wants
and where; extracted files suffice (tonic also wants the archive that they came from, and a certain number of them);
`tonic.datasets.X` is made with the arguments of a part (`train`, `test`, ...); events of all its dtypes (x, y, t, p in
any order, of any type, with or without y) become EVENT_DTYPE, sorted; labels are names. `from_tonic` does the latter
for an object of tonic's that one has made oneself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy.lib.recfunctions  # noqa: F401  tonic uses it without importing it

from ..cifar import CIFAR10_NAMES
from ..errors import RecordingError
from ..events import SensorSize
from ..formats import GESTURES
from ..stream import LabelSpan
from .dataset import ALWAYS, ArrayReader, DataSet, Sample

PREFIX = "tonic."
DIGITS = tuple("0123456789")
INSTALL = "tonic's data sets need the package tonic: pip install 'dvs-run[datasets]'"
TRAIN_TEST: Mapping[str, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
ALL: Mapping[str, Mapping[str, Any]] = {"all": {}}


@dataclass(frozen=True)
class TonicSet:
    """One class of tonic.datasets."""

    files: str  # pattern of what it reads, below its folder; {part}: the name of the part
    sensor: SensorSize
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: TRAIN_TEST)  # arguments of the class
    labels: Sequence[str] | None = None  # by target; None: the class's own; empty: its targets are no classes
    folder: str | None = None  # where it lies below the folder that is given; None: as the class is called


SETS = {
    "NMNIST": TonicSet("**/*.bin", SensorSize(34, 34), labels=DIGITS),
    "NCALTECH101": TonicSet("Caltech101/*/*.bin", SensorSize(240, 180), ALL),
    "CIFAR10DVS": TonicSet("*/*.aedat4", SensorSize(128, 128), ALL, CIFAR10_NAMES),
    "DVSGesture": TonicSet("*/user*/*.npy", SensorSize(128, 128), labels=GESTURES),
    "DVSLip": TonicSet("DVS-Lip/*/*/*.npy", SensorSize(128, 128)),
    "POKERDVS": TonicSet("pips_*/*/*.npy", SensorSize(35, 35)),
    "ASLDVS": TonicSet("**/*.mat", SensorSize(240, 180), ALL),
    "SHD": TonicSet("shd_*.h5", SensorSize(700, 1)),
    "SSC": TonicSet("ssc_*.h5", SensorSize(700, 1), {part: {"split": part} for part in ("train", "valid", "test")}),
    "NTIDIGITS18": TonicSet("n-tidigits.hdf5", SensorSize(64, 1), labels=()),
    "SMNIST": TonicSet("*-images-idx3-ubyte", SensorSize(99, 1), labels=DIGITS, folder="smnist"),
    "ThreeET_Eyetracking": TonicSet(
        "data/*.h5", SensorSize(240, 180), {part: {"split": part} for part in ("train", "val")}, ()
    ),
    "EBSSA": TonicSet("*.h5", SensorSize(240, 180), ALL, ()),
    "NERDD": TonicSet("DATA/*/*/Event/*.npz", SensorSize(1280, 720), ALL, (), folder="."),
}
_FILES = "its recordings have no classes; open its files themselves"
REFUSED = {
    "DSEC": f"{_FILES} (events.h5)",
    "MVSEC": f"{_FILES} (.bag)",
    "TUMVIE": f"{_FILES} (-events_left.h5)",
    "DAVISDATA": f"{_FILES} (.bag)",
    "VPR": f"{_FILES} (.bag)",
}


def open_tonic(name: str, folder: Path, part: str, download: bool = False) -> DataSet:
    """One part of one of tonic's sets, whose folder (`save_to`, or the set's own folder in it) is `folder`."""
    row, cls = SETS[name], _class(name)
    below = name if row.folder is None else row.folder
    root = folder.parent if folder.name == below and not (folder / below).is_dir() else folder
    own = root / below
    if not download and not any(own.glob(row.files)):
        source = next((getattr(cls, key) for key in ("url", f"{part}_url", "base_url") if getattr(cls, key, "")), "")
        where = f" from {source}" if source else ", as tonic's page on it says,"
        raise RecordingError(
            f"tonic.{name} is wanted in {own}, but there is no {row.files}; fetch its files{where} and unpack them "
            "there, or let tonic fetch them with open_dataset(..., download=True)",
            own,
        )
    made = _made(cls if download else _never_fetching(cls, own, row.files), name, root, row.parts[part])
    data = from_tonic(made, f"{PREFIX}{name}", own, part, row.sensor, row.labels)
    if not len(data):
        raise RecordingError(f"tonic.{name} finds no recordings of the part {part!r} in {own}", own)
    return data


def from_tonic(
    made: Any,
    name: str = "",
    folder: Path | None = None,
    part: str = "all",
    sensor: SensorSize | None = None,
    labels: Sequence[str] | None = None,
) -> DataSet:
    """A data set from an object of a class of tonic.datasets, or of one that is like them: it has a length and gives
    (events, target), its `sensor_size` is (width, height, polarities).

    `labels` are the names of the targets 0, 1, ...; without them the object's own `classes`, or the targets' numbers.
    """
    name = name or type(made).__name__
    folder = folder or Path(str(getattr(made, "location_on_system", ".")))
    if sensor is None and not getattr(made, "sensor_size", None):
        raise RecordingError(f"{name} does not say the size of its sensor; say it with `sensor`")
    sensor = sensor or SensorSize(*made.sensor_size[:2])
    targets = _targets(made) if labels is None or len(labels) else [None] * len(made)
    names = list(labels) if labels is not None else _names(made, targets)
    files: Any = getattr(made, "data", None)
    is_files = isinstance(files, list) and len(files) == len(targets) and all(isinstance(file, str) for file in files)
    samples = []
    for index, target in enumerate(targets):
        label = _label(target, names, name)
        spans = () if label is None else (LabelSpan(label, *ALWAYS),)
        reader = ArrayReader(partial(_events, made, index), sensor, "tonic")
        path = Path(files[index]) if is_files else folder / f"{name.removeprefix(PREFIX)}[{index}]"
        samples.append(Sample(path, spans, reader))
    if is_files:  # tonic leaves the order of some to the file system
        samples.sort(key=lambda sample: sample.path)
    return DataSet(name, part, folder, tuple(names), tuple(samples))


def _class(name: str) -> Any:
    try:
        import tonic.datasets
    except ImportError as error:
        raise RecordingError(f"{INSTALL} ({error})") from None
    return getattr(tonic.datasets, name)


def _never_fetching(cls: Any, own: Path, files: str) -> Any:
    """The class, content with files that are there, however many; wherever it would fetch, it raises."""

    def refuse(self: Any, *arguments: Any, **named: Any) -> None:
        raise RecordingError(f"{cls.__name__} is not complete in {own}: it would fetch what is missing ({files})", own)

    names = ("download", "_copy_and_extract_local_data", "_extract_archive")
    replaced: dict[str, Any] = {key: refuse for key in names if hasattr(cls, key)}
    for key in ("_check_exists", "_check_extracted"):
        if hasattr(cls, key):
            replaced[key] = lambda self: True
    return type(cls.__name__, (cls,), replaced)  # of the same name: tonic's folder is named after the class


def _made(cls: Any, name: str, root: Path, arguments: Mapping[str, Any]) -> Any:
    try:
        return cls(**{"root" if name == "NERDD" else "save_to": str(root)}, **arguments)
    except (RecordingError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # DVSLip ends the program where its files are missing
        raise RecordingError(
            f"tonic.{name} cannot be opened in {root}: {type(error).__name__}: {error}", root
        ) from error


def _events(made: Any, index: int) -> Any:
    """The events of one sample: what comes first, of what comes first."""
    found = made[index][0]
    return found[0] if isinstance(found, tuple) else found


def _targets(made: Any) -> list[Any]:
    """The target of every sample, without its events where the object has them apart."""
    for key in ("targets", "label_data", "labels"):
        found = getattr(made, key, None)
        if found is not None and len(found) == len(made):
            return list(found)
    if hasattr(made, "data_filename") and hasattr(made, "_speaker"):  # SHD and SSC
        import h5py

        with h5py.File(Path(made.location_on_system) / made.data_filename, "r") as file:
            return [int(target) for target in file["labels"]]
    return [made[index][1] for index in range(len(made))]


def _names(made: Any, targets: Sequence[Any]) -> list[str]:
    """Names of the targets, by number where they are numbers."""
    classes = getattr(made, "classes", None)
    if classes is not None and len(classes):
        return [name.decode() if isinstance(name, bytes) else str(name) for name in classes]
    if all(isinstance(target, str) for target in targets):
        return sorted(set(targets))
    return [
        str(number) for number in range(1 + max((int(target) for target in targets if _is_number(target)), default=-1))
    ]


def _label(target: Any, names: Sequence[str], name: str) -> str | None:
    if isinstance(target, str):
        return target
    if not _is_number(target) or not names:
        return None
    if not 0 <= int(target) < len(names):
        raise RecordingError(f"{name} has the target {target}, but only {len(names)} classes")
    return names[int(target)]


def _is_number(target: Any) -> bool:
    return hasattr(target, "__index__")
