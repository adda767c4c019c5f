"""What the benchmarks of conversions share: a row is one method on labelled images, beside the CNN on the same images.

Images are simulated step by step in float32 (simulate.Clocked). Pieces of 500 images are kept in a folder, so a run
goes on where it was interrupted; figures go to benchmarks/results row by row.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.methods.counts import count_form
from dvs_run.pipeline.convert.report import poisson
from dvs_run.pipeline.convert.simulate import Clocked
from dvs_run.pipeline.interval import paired, wilson
from dvs_run.pipeline.network import Network

from .accuracy import RESULTS, write

PIECE, SEED = 500, 0
MARKS = (4, 8, 16, 32, 64)  # timesteps that are reported


@dataclass(frozen=True)
class Shown:
    """Images to be judged, and what they are called in the record."""

    images: Tensor  # float32 (n, channel, height, width), 0..1
    labels: np.ndarray
    name: str


@dataclass(frozen=True)
class Bench:
    result: str  # name of the file in benchmarks/results
    command: str
    model: nn.Module
    labels: Sequence[str]
    calibration: Tensor
    pieces: Path

    def row(
        self,
        part: str,
        name: str,
        method: Method,
        timesteps: int,
        shown: Shown,
        counts: bool = False,
        converted: nn.Module | None = None,
    ) -> None:
        """Convert, judge, and add the row to the record. converted: instead of the model, which stays the reference."""
        shape = tuple(self.calibration.shape[1:])
        settings = {"calibration": self.calibration, "method": method, "check_timesteps": 8, "max_error": None}
        network = convert(converted or self.model, shape, self.labels, **settings).network
        marks = [mark for mark in MARKS if mark <= timesteps]
        key = hashlib.sha256(repr((self.result, part, name, marks, asdict(method))).encode()).hexdigest()[:16]
        with torch.inference_mode():
            wanted = torch.cat([self.model(batch).argmax(1) for batch in shown.images.split(250)]).numpy()
        found = [
            _piece(network, shown.images[at : at + PIECE], method, marks, self.pieces / f"{key}-{at}.npz")
            for at in range(0, len(shown.images), PIECE)
        ]
        spikes = np.concatenate([decisions for decisions, _ in found], 1)
        synops = np.concatenate([operations for _, operations in found], 1).mean(1)
        row: dict[str, Any] = {
            "n": len(shown.images),
            "images": shown.name,
            "cnn": round(float((wanted == shown.labels).mean()), 4),
            "settings": {key: value for key, value in asdict(method).items() if value != asdict(Method())[key]},
            "spikes": {
                mark: compared(spikes[i], wanted, shown.labels) | {"synops": round(float(synops[i]))}
                for i, mark in enumerate(marks)
            },
        }
        if counts:
            decided = {mark: _counted(network, shown.images, mark) for mark in marks}
            row["counts"] = {mark: compared(found, wanted, shown.labels) for mark, found in decided.items()}
        if method.input == "poisson":  # what of the loss is the noise of the input, which no conversion can mend
            decided = _on_mean_input(self.model, shown.images, marks)
            row["cnn_on_mean_input"] = {mark: round(float((decided[mark] == shown.labels).mean()), 4) for mark in marks}
        print(part, name, {mark: f"{value['accuracy']:.2%}" for mark, value in row["spikes"].items()}, flush=True)
        self._record(part, name, row)

    def _record(self, part: str, name: str, row: Mapping[str, Any]) -> None:
        path = RESULTS / f"{self.result}.json"
        parts = json.loads(path.read_text())["parts"] if path.exists() else {}
        parts.setdefault(part, {})[name] = row
        about = {
            "command": self.command,
            "seed": SEED,
            "calibration": f"first {len(self.calibration)} training images",
            "simulated": "simulate.Clocked, float32",
        }
        write(self.result, {**about, "parts": parts})


def as_inputs(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float() / 255


def compared(found: np.ndarray, wanted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Beside the truth and the CNN, on the same images; intervals are of 95 %."""
    right, cnn = found == labels, wanted == labels
    lost, won, n = int((cnn & ~right).sum()), int((right & ~cnn).sum()), len(labels)
    return {
        "accuracy": round(float(right.mean()), 4),
        "wilson_95": [round(end, 4) for end in wilson(int(right.sum()), n)],
        "points_below_cnn": round(100 * (lost - won) / n, 2),
        "paired_95": [round(100 * end, 2) for end in paired(lost, won, n)],
        "agreement": round(float((found == wanted).mean()), 4),
    }


def _piece(
    network: Network, images: Tensor, method: Method, marks: Sequence[int], path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Decisions (mark, image) and SynOps (mark, image); -1 where all evidence is alike."""
    if path.exists():
        with np.load(path) as stored:
            return stored["decisions"], stored["synops"]
    kept = [_simulated(network, batch, method, marks, SEED + i) for i, batch in enumerate(images.split(50))]
    decisions, synops = (np.concatenate(arrays, 1) for arrays in zip(*kept, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, decisions=decisions, synops=synops)
    return decisions, synops


def _simulated(
    network: Network, images: Tensor, method: Method, marks: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    plain = replace(network.readout, kind="count" if network.readout.kind == "count" else "membrane")
    state = Clocked(replace(network, readout=plain), len(images))
    random, decisions, synops = torch.Generator().manual_seed(seed), [], []
    for step in range(1, max(marks) + 1):
        constant = method.input == "constant"
        scores = state.step(images if constant else poisson(images, random), is_current=constant)
        if step in marks:
            alike = (scores == scores[:, :1]).all(1)
            decisions.append(torch.where(alike, -1, scores.argmax(1)).numpy())
            synops.append(state.synops.numpy().copy())
    return np.stack(decisions), np.stack(synops)


def _on_mean_input(model: nn.Module, images: Tensor, marks: Sequence[int]) -> dict[int, np.ndarray]:
    """What the CNN decides on the mean of the very spikes that `_simulated` draws, by number of timesteps."""
    found: dict[int, list[Tensor]] = {mark: [] for mark in marks}
    for piece in images.split(PIECE):
        for i, batch in enumerate(piece.split(50)):
            random, total = torch.Generator().manual_seed(SEED + i), torch.zeros_like(batch)
            for step in range(1, max(marks) + 1):
                total += poisson(batch, random)
                if step in marks:
                    with torch.inference_mode():
                        found[step].append(model(total / step).argmax(1))
    return {mark: torch.cat(decided).numpy() for mark, decided in found.items()}


def _counted(network: Network, images: Tensor, timesteps: int) -> np.ndarray:
    return torch.cat([count_form(network, batch, timesteps)[0].argmax(1) for batch in images.split(50)]).numpy()
