"""What `dvs convert` calibrates, chooses and judges on: images or recordings, read once, in disjoint parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pipeline.datasets import is_named
from ...pipeline.errors import ConversionError, counted

if TYPE_CHECKING:
    from ...pipeline.convert.calibration import EventWindows, Inputs, Scaling
    from ...pipeline.convert.load import LoadedModel
    from ...pipeline.convert.search import Parts

    Data = Inputs | EventWindows

ARRAYS = (b"\x93NUM", b"PK\x03\x04", b"\0\0", b"\x1f\x8b", b"\x80")  # how files of images or mean counts begin
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
LIMIT = 3000  # inputs drawn where the user does not say how many


@dataclass(frozen=True)
class Source:
    """How the user describes data; of the verb's options those of the same name."""

    path: Path | None
    targets: Path | None
    scaling: "Scaling"
    fit: bool
    limit: int | None
    seed: int
    window_ms: float | None


def the_parts(
    model: Path,
    loaded: "LoadedModel",
    classes: Sequence[str] | None,
    calibration: Source,
    validation: Source,
    timestep_us: int | None,
    choosing: bool,
    judging: bool,
    outputs: int,
) -> "Parts[Any]":
    """All data of a conversion, for a model of so many outputs. Raises ConversionError where there is none, or where
    it has other classes."""
    from ...pipeline.convert.search import Parts, in_parts

    judged = None
    if validation.path is not None:
        judged = read(loaded, classes, validation, timestep_us, "--validation")
        refuse_other_classes(judged, outputs, validation)
    if calibration.path is not None:
        limited = replace(calibration, limit=calibration.limit or LIMIT)
        data = read(loaded, classes, limited, timestep_us, "--calibration")
        refuse_other_classes(data, outputs, calibration)
        judged = judged if judging else data  # nothing is kept for a verdict that is not wanted
        return as_recorded(in_parts(data, choosing, judged, seed=calibration.seed))
    data = carried(model, loaded, classes)
    if choosing:
        return as_recorded(in_parts(data, True, judged, seed=calibration.seed))
    notes = () if judged is not None else ON_THE_SAME
    return as_recorded(Parts(data, None, data if judged is None else judged, notes))


ON_THE_SAME = (
    "the verdict is on the calibration inputs that the checkpoint carries; give others with --validation to know how "
    "it does on data that it has not seen",
)


def carried(model: Path, loaded: "LoadedModel", classes: Sequence[str] | None) -> "Inputs":
    """The calibration inputs of a checkpoint."""
    from ...pipeline.convert.calibration import make_inputs

    inputs = loaded.extra.get("calibration")
    if inputs is None:
        raise ConversionError(
            f"{model} carries no calibration inputs; give some with --calibration (a few hundred training inputs in "
            "the shape and scale that the CNN was trained on: .npy, .npz, IDX, a folder of images or of recordings)"
        )
    return make_inputs(inputs, loaded.input_shape, None, classes, str(model))


def read(
    loaded: "LoadedModel", classes: Sequence[str] | None, source: Source, timestep_us: int | None, option: str
) -> "Data":
    """Images, or windows of recordings where the model has a timestep and the files are no images."""
    from ...pipeline.convert.calibration import read_inputs, read_recordings

    path = source.path
    assert path is not None
    if not path.exists() and not is_named(path):
        raise ConversionError(
            f"there is no calibration file {path}" if option == "--calibration" else f"there is no {path}"
        )
    if timestep_us is None or not _are_recordings(path):
        return read_inputs(
            path,
            loaded.input_shape,
            targets=source.targets,
            labels=classes,
            scaling=source.scaling,
            fit=source.fit,
            limit=source.limit,
            seed=source.seed,
        )
    return read_recordings(
        path,
        loaded.input_shape,
        timestep_us,
        window_ms=source.window_ms or window_of(loaded, timestep_us),
        labels=classes,
        delays_us=tuple(loaded.extra.get("delays_us") or (0,)),
        limit=source.limit,
        seed=source.seed,
    )


def refuse_other_classes(data: "Data", outputs: int, source: Source) -> None:
    """Raise ConversionError for labels that the model has no output for."""
    if data.targets is None or data.targets.max(initial=0) < outputs:
        return
    raise ConversionError(
        f"the labels of {source.targets or source.path} lie in {data.targets.min()}..{data.targets.max()}, want "
        f"0 to {outputs - 1}: the model has {counted(outputs, 'output')}"
    )


def window_of(loaded: "LoadedModel", timestep_us: int) -> float:
    """How many ms of a recording the CNN was trained to look at."""
    windows = (loaded.extra.get("config") or {}).get("windows") or {}
    if loaded.extra.get("state_window_us"):
        return float(loaded.extra["state_window_us"]) / 1000
    if not windows.get("slices"):
        raise ConversionError(
            "the model does not say how long it looks at a recording; give the length of its training "
            "windows, --window-ms"
        )
    return float(windows.get("min_slices") or windows["slices"]) * timestep_us / 1000


def class_names(
    loaded: "LoadedModel", classes: str | None, outputs: int, found: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """A name for each output, and notes: the user's, the model's, the data's, else numbers."""
    given = None if classes is None else the_classes(classes)
    names = given or loaded.labels or (list(found) if found is not None else None)
    if names is None:
        return [str(number) for number in range(outputs)], ["outputs are named by their numbers; --classes names them"]
    if len(names) != outputs:
        raise ConversionError(
            f"the model has {counted(outputs, 'output')}, but there {'is' if len(names) == 1 else 'are'} "
            f"{counted(len(names), 'class name')} ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''}); give "
            "one for each output with --classes"
        )
    return list(names), []


def the_classes(text: str) -> list[str]:
    """ "cat,dog", or a file with one name a line."""
    path = Path(text)
    if "," not in text and path.is_file():
        return [line.strip() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return [name.strip() for name in text.split(",")]


def as_recorded(parts: "Parts[Any]") -> "Parts[Any]":
    """The verdict on recordings is at the speed they were recorded at, where such windows are."""
    from ...pipeline.convert.calibration import EventWindows

    if isinstance(parts.verdict, EventWindows):
        plain = np.flatnonzero(parts.verdict.speeds == 1.0)
        if len(plain):
            return replace(parts, verdict=parts.verdict.subset(plain))
    return parts


def _are_recordings(path: Path) -> bool:
    if is_named(path):
        return True
    if path.is_dir():
        return not any(item.suffix.lower() in PICTURES for item in path.rglob("*") if item.is_file())
    with open(path, "rb") as file:
        return not file.read(4).startswith(ARRAYS)
