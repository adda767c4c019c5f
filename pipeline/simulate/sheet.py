"""A contact sheet of gestures: one row a class, a picture every 80 ms, white ON, blue OFF (needs matplotlib)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DvsError
from .gesture import CLASSES, SENSOR, simulate_gesture

SHOWN_US, EVERY_US, PICTURES = 40_000, 80_000, 10


def write_sheet(path: str | Path, labels: Sequence[str], seed: int, person: int, lighting: int) -> None:
    """Draw the sheet into a file whose suffix matplotlib knows (.png, .pdf, .svg)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DvsError("a contact sheet needs matplotlib; install the extra: pip install 'dvs-run[plot]'") from None
    figure = Figure(figsize=(1.12 * PICTURES, 1.24 * len(labels)))
    axes = figure.subplots(len(labels), PICTURES, squeeze=False)
    for row, label in zip(axes, labels, strict=True):
        events = simulate_gesture(CLASSES.index(label), seed, person, lighting, PICTURES * EVERY_US)
        for k, axis in enumerate(row):
            axis.imshow(picture(events, k * EVERY_US), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_title(label, loc="left", fontsize=9, pad=2)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.985, bottom=0.003, wspace=0.03, hspace=0.17)
    try:
        figure.savefig(path, dpi=116)
    except (OSError, ValueError) as error:
        raise DvsError(f"{path}: the sheet cannot be written: {error}") from error


def picture(events: np.ndarray, t_start_us: int) -> np.ndarray:
    """uint8[128, 128, 3]: the last polarity of each pixel within SHOWN_US."""
    shown = events[(events["t"] >= t_start_us) & (events["t"] < t_start_us + SHOWN_US)]
    image = np.full((SENSOR.height, SENSOR.width, 3), 26, np.uint8)
    image[shown["y"], shown["x"]] = np.where(shown["p"][:, None], 255, np.array([60, 110, 255])).astype(np.uint8)
    return image
