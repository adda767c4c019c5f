"""What the verbs that run a network on labelled data share: the data, its encoding, a progress bar."""

from pathlib import Path

import numpy as np

from ...pipeline.encode import CurrentEncoder, PoissonEncoder
from ...pipeline.errors import DvsError, counted


def the_encoder(encoding: str, timesteps: int, rate_per_step: float, seed: int) -> PoissonEncoder | CurrentEncoder:
    """The encoder of images that the options ask for."""
    if encoding not in ("poisson", "current"):
        raise DvsError(f"encoding is {encoding!r}, want 'poisson' or 'current'")
    if encoding == "current":
        return CurrentEncoder(timesteps)
    return PoissonEncoder(timesteps, rate_per_step=rate_per_step, seed=seed)


def check_writable(out: Path | None) -> None:
    """Before the work, not after it."""
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise DvsError(f"{out} cannot be written: want a file in a folder that exists")


def read_labelled(
    images: Path, labels: Path | None, limit: int | None, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """`limit` images from number `first` on, (n, channel, height, width), and their labels."""
    from ...pipeline.idx import labels_beside, read_images, read_labels

    pixels = read_images(images)
    targets = read_labels(labels or labels_beside(images), len(pixels))
    stop = None if limit is None else first + limit
    return pixels[first:stop], targets[first:stop]


def check_targets(targets: np.ndarray, labels: tuple[str, ...] | list[str]) -> None:
    if len(targets) == 0:
        raise DvsError("there are no images to evaluate on")
    if targets.min() < 0 or targets.max() >= len(labels):
        known = counted(len(labels), "class", "classes")
        raise DvsError(f"the labels go from {targets.min()} to {targets.max()}, the model has {known}")


class Progress:
    """A progress bar on the terminal; nothing where the output goes elsewhere."""

    def __init__(self, total: int) -> None:
        from rich.progress import Progress as Bar

        self._bar = Bar(transient=True)
        self._task = self._bar.add_task("evaluating", total=total)

    def __enter__(self) -> "Progress":
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __call__(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def __exit__(self, *exception: object) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()
