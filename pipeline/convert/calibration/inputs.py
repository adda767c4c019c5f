"""Inputs to calibrate and to choose on: images in the shape and scale that the CNN was trained on, checked.

Inputs are split once into a calibration part (scales, thresholds, biases are measured on it) and a validation part
(what is chosen, is chosen on it). Neither may be the test set: what was chosen on data is not measured by it. Opening
files is files.py's work, recordings of events are events.py's.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from ...errors import ConversionError, counted
from ...idx import read_labels
from ..activation import Shape
from .files import drawn, is_idx, read_file, read_folder

TEST_NAMES = {"test", "testing", "t10k"}  # a file that has one in its name, or a folder of this name


@dataclass(frozen=True)
class Scaling:
    """What is done to the numbers of a file: (x * scale - mean) / std."""

    scale: float | None = None  # None: bytes are divided by 255, other numbers are taken as they are
    mean: tuple[float, ...] = ()  # one number, or one per channel; (): 0
    std: tuple[float, ...] = ()  # (): 1

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 (n, channel, height, width) of values of any type in that layout."""
        scale = self.scale if self.scale is not None else 1 / 255 if values.dtype == np.uint8 else 1.0
        scaled = values.astype(np.float32) * np.float32(scale)
        for name, numbers, change in (("mean", self.mean, np.subtract), ("std", self.std, np.divide)):
            if not numbers:
                continue
            if len(numbers) not in (1, values.shape[1]) or (name == "std" and 0 in numbers):
                raise ConversionError(
                    f"--{name} is {numbers}, want one number or {values.shape[1]}, one per channel"
                    f"{', none of them 0' if name == 'std' else ''}"
                )
            change(scaled, np.array(numbers, np.float32).reshape(1, -1, 1, 1), out=scaled)
        return scaled


@dataclass(frozen=True)
class Inputs:
    """Images, each once, checked: finite, not all the same."""

    values: np.ndarray  # float32 (n, channel, height, width)
    targets: np.ndarray | None  # int64 (n,): index of the right class; None: not known
    labels: tuple[str, ...] | None  # name of each class, where the source or the model says it
    groups: np.ndarray  # int64 (n,): equal images have one number, so that a split does not tear them apart
    notes: tuple[str, ...] = ()  # what the user should know about how they were read

    def __len__(self) -> int:
        return len(self.values)

    def subset(self, indices: np.ndarray) -> "Inputs":
        """The chosen images, copied, in the order given."""
        targets = None if self.targets is None else self.targets[indices]
        return replace(self, values=self.values[indices], targets=targets, groups=self.groups[indices])


class Splittable(Protocol):
    """Inputs, or event windows."""

    @property
    def targets(self) -> np.ndarray | None: ...
    @property
    def groups(self) -> np.ndarray: ...
    def subset(self, indices: np.ndarray) -> Self: ...


Parts = TypeVar("Parts", bound=Splittable)


def read_inputs(
    path: str | Path,
    shape: Shape,
    *,
    targets: str | Path | None = None,
    labels: Sequence[str] | None = None,
    scaling: Scaling | None = None,
    fit: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> Inputs:
    """Images of a .npy, .npz, IDX (also gzipped) or torch file, or of a folder (LABEL/IMAGE, or images alone).

    shape     channel, height, width of the CNN's input. (n, height, width) is taken for one channel, (n, height, width,
              channel) is turned; anything else is refused
    targets   IDX or .npy file of labels; without it those in the file (member `labels`), beside an IDX file, or the
              names of folders
    labels    the model's class names: folders are matched by name, numbers are checked against their count
    fit       images of another size are scaled and cut about their centre; without it they are refused (folders only)
    limit     draw so many at random, by `seed`; all of them where there are fewer

    Raises ConversionError or RecordingError with a sentence: unknown kind, wrong shape or type, empty, not finite, all
    the same, labels that do not fit.
    """
    path, scaling = Path(path), scaling or Scaling()
    if path.is_dir():
        return _finish(*read_folder(path, shape, labels, fit, limit, seed), path, shape, labels, scaling)
    values, found = read_file(path)
    if targets is not None:
        found = read_file(Path(targets))[0].reshape(-1) if not is_idx(Path(targets)) else read_labels(targets)
    values = np.atleast_1d(values)
    chosen = drawn(len(values), limit, seed)
    if found is not None and found.size != len(values):
        raise ConversionError(
            f"{path} holds {counted(len(values), 'input')}, but {counted(found.size, 'label')} came along"
        )
    values = np.asarray(values[chosen]) if len(chosen) < len(values) else np.asarray(values)
    return _finish(values, None if found is None else found.reshape(-1)[chosen], None, path, shape, labels, scaling)


def make_inputs(
    values: Any, shape: Shape, targets: Any = None, labels: Sequence[str] | None = None, source: str = "calibration"
) -> Inputs:
    """Inputs from arrays or tensors in memory, such as those that a checkpoint carries; checked as files are."""
    values = np.asarray(values.detach().cpu().float() if hasattr(values, "detach") else values)
    found = None if targets is None else np.asarray(targets).reshape(-1)
    if found is not None and len(found) != len(values):
        raise ConversionError(f"{source}: {counted(len(values), 'input')}, but {counted(len(found), 'label')}")
    return _finish(values, found, None, Path(source), shape, labels, Scaling(scale=1.0))


def split(inputs: Parts, validation: float = 0.5, seed: int = 0) -> tuple[Parts, Parts]:
    """A calibration part and a validation part, disjoint, with the same share of each class (where known).

    Equal images, and windows of one recording, stay together. `validation` is the share that goes to the second part;
    each part gets at least one of every class that has two. Raises ConversionError where there is nothing to split.
    """
    if not 0 < validation < 1:
        raise ConversionError(f"the validation share is {validation}, want above 0 and below 1")
    _, first, group = np.unique(inputs.groups, return_index=True, return_inverse=True)
    if len(first) < 2:
        raise ConversionError(f"{counted(len(first), 'input')} cannot be split into two parts; give a few hundred")
    classes = np.zeros(len(first), np.int64) if inputs.targets is None else inputs.targets[first]
    random = np.random.default_rng(seed)
    kept = np.zeros(len(first), bool)  # groups for validation
    for target in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == target))
        wanted = min(max(round(validation * len(members)), 1), len(members) - 1)
        kept[members[:wanted]] = True
    if not kept.any():  # one of each class only: split over the classes
        kept[random.permutation(len(first))[: max(round(validation * len(first)), 1)]] = True
    in_validation = kept[group]
    return inputs.subset(np.flatnonzero(~in_validation)), inputs.subset(np.flatnonzero(in_validation))


def parse_number(text: str) -> float:
    """A number or a fraction: "0.5", "1/255". Raises ConversionError for anything else."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise ConversionError(f"{text!r} is no number; want one such as 0.5 or 1/255") from error


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between: "0.485,0.456,0.406"; one number per channel, or one for all."""
    return tuple(parse_number(part) for part in text.split(","))


def _finish(
    values: np.ndarray,
    targets: np.ndarray | None,
    names: tuple[str, ...] | None,
    path: Path,
    shape: Shape,
    labels: Sequence[str] | None,
    scaling: Scaling,
) -> Inputs:
    """Lay out, scale and check. `names`: of the classes, as folders say them."""
    if values.dtype.kind not in "buif":
        raise ConversionError(f"{path} holds {values.dtype}, want numbers")
    values, notes = _laid_out(values, path, shape)
    if not len(values):
        raise ConversionError(f"{path} holds no inputs; want a few hundred of the training set")
    if values.dtype == np.uint8 and scaling.scale is None:
        notes.append("bytes were divided by 255")
    scaled = scaling.apply(values)
    if not np.isfinite(scaled).all():
        raise ConversionError(
            f"{path}: {int((~np.isfinite(scaled)).sum()):,} values are infinite or undefined; leave those inputs out"
        )
    low, high = float(scaled.min()), float(scaled.max())
    if low == high:
        raise ConversionError(f"{path}: all values are {low:g}, which says nothing about any layer; give real inputs")
    if values.dtype.kind == "f" and high > 16 and scaling == Scaling():
        notes.append(f"inputs lie in {low:g}..{high:g}; if the CNN was trained on 0..1, say --scale 1/255")
    if TEST_NAMES & {*re.split("[^a-z0-9]+", path.name.lower()), path.parent.name.lower()}:
        notes.append(f"{path.name} looks like a test set; what is chosen on it is not measured by it")
    checked = None if targets is None else _checked_targets(targets, path, labels)
    known = tuple(labels) if labels is not None else names
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in scaled]
    _, groups = np.unique(np.array(digests, "V16"), return_inverse=True)
    if len(np.unique(groups)) < len(scaled):
        notes.append(f"{len(scaled) - len(np.unique(groups)):,} of {len(scaled):,} inputs are copies of others")
    return Inputs(scaled, checked, known, groups.astype(np.int64), tuple(notes))


def _laid_out(values: np.ndarray, path: Path, shape: Shape) -> tuple[np.ndarray, list[str]]:
    """(n, channel, height, width), whatever the layout of the file."""
    channels, height, width = shape
    if values.shape[1:] == shape:
        return values, []
    if channels == 1 and values.shape[1:] == (height, width):
        return values[:, None], []
    if values.ndim == 4 and values.shape[1:] == (height, width, channels):
        return values.transpose(0, 3, 1, 2), ["inputs are (n, height, width, channel); they were turned"]
    raise ConversionError(
        f"{path} holds inputs of shape {values.shape}, want (n, {channels}, {height}, {width}): channel, height, width"
    )


def _checked_targets(targets: np.ndarray, path: Path, labels: Sequence[str] | None) -> np.ndarray:
    if targets.dtype.kind not in "iu":
        raise ConversionError(f"the labels of {path} are {targets.dtype}, want whole numbers from 0")
    high = len(labels) - 1 if labels is not None else 1 << 20
    if len(targets) and not 0 <= targets.min() <= targets.max() <= high:
        known = f"0 to {high} (the model has {len(labels)} classes)" if labels is not None else "numbers from 0"
        raise ConversionError(f"the labels of {path} lie in {targets.min()}..{targets.max()}, want {known}")
    return targets.astype(np.int64)
