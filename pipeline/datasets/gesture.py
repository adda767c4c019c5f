"""DVS128 Gesture (Amir et al. 2017) as IBM publishes it: .aedat 3.1, each with its labels, and two lists of recordings.

A recording is one person in one lighting making all gestures one after the other; userNN_LIGHT_labels.csv says when.
Events between the labelled spans are delivered too: that is what a camera sees.
"""

from pathlib import Path

from ..errors import RecordingError
from ..events import SensorSize
from ..formats import GESTURES, labels_path, read_labels
from ..stream import LabelSpan
from .dataset import DataSet, FileReader, Sample, missing

SENSOR = SensorSize(128, 128)
LISTS = {"train": ("trials_to_train.txt",), "test": ("trials_to_test.txt",)}
FETCH = (
    "fetch DvsGesture.tar.gz from https://research.ibm.com/interactive/dvsgesture/, unpack it, and name the folder "
    "that holds trials_to_train.txt (tonic's files, .npy, are read as tonic.DVSGesture)"
)


def open_dvs_gesture(folder: Path, part: str) -> DataSet:
    """The recordings that the lists name, each with its labelled spans. RecordingError: a file is missing or broken."""
    lists = LISTS.get(part) or (*LISTS["train"], *LISTS["test"])
    root = next((at for at in (folder, folder / "DvsGesture") if (at / lists[0]).is_file()), None)
    if root is None:
        raise missing(folder, "DVS128 Gesture", lists[0], FETCH)
    reader = FileReader(SENSOR, "aedat31")
    paths = [path for name in lists for path in _listed(root / name)]
    samples = [Sample(path, _labels(path), reader, person=path.name.partition("_")[0]) for path in paths]
    return DataSet("dvs-gesture", part, folder, GESTURES, tuple(samples))


def _listed(path: Path) -> list[Path]:
    """The recordings that a list names, one a line. RecordingError where one is not beside it."""
    try:
        names = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: the list of recordings cannot be read: {error}", path) from error
    files = [path.with_name(Path(name).name) for name in names if name]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise RecordingError(
            f"{path} names {len(files)} recordings, of which {len(absent)} are not beside it "
            f"({', '.join(absent[:3])}); {FETCH}",
            path,
        )
    if not files:
        raise RecordingError(f"{path}: the list names no recordings; {FETCH}", path)
    return files


def _labels(recording: Path) -> tuple[LabelSpan, ...]:
    labels = read_labels(recording)
    if not labels:
        raise RecordingError(
            f"{recording} has no labels; want {labels_path(recording).name} beside it; {FETCH}", recording
        )
    return labels
