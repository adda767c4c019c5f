"""The end of `dvs convert`: stages, layers and sentences on the terminal, and as a page. pipeline/convert measures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from ...pipeline.network import Network, Neurons
from .verdict_table import print_verdict

if TYPE_CHECKING:
    from ...pipeline.convert import Conversion
    from ...pipeline.convert.verdict import Verdict

CLOCKED_WORK = 15 * 10**11  # of a verdict: multiply-accumulates, and a hundred for every update of a neuron
ENGINE_WORK = 10**10  # SynOps in each number format
LEAST = 4  # samples, however long they take
NO_LABELS = "there are no labels: what the CNN decides is taken for right, so that accuracy means agreement with it"


def judge(
    model: Any,
    conversion: "Conversion",
    network: Network,
    data: Any,
    timesteps: int,
    allowed: float | None,
    most: int | None,
    notes: Sequence[str],
    title: str,
    progress: Callable[[str, int, int], None],
) -> "Verdict":
    """Measure `network` on data that it was not made on. `conversion` is without delays, `network` with them."""
    from ...pipeline.convert.calibration import EventWindows
    from ...pipeline.convert.search.parts import drawn
    from ...pipeline.convert.search.windows_shown import as_shown
    from ...pipeline.convert.verdict import Verdict, measure_stages

    affordable = most or samples_within(CLOCKED_WORK, network, timesteps)
    said = list(notes)
    if affordable < len(data):
        why = "" if most is not None else ", as each takes long; --samples takes more"
        said.append(f"judged on {affordable:,} of {len(data):,} samples{why}")
        data = drawn(data, affordable, 0)
    per_sample = conversion.report.synops * timesteps / conversion.report.timesteps
    engine = int(min(500, max(LEAST, ENGINE_WORK // max(per_sample, 1))))
    inputs = as_shown(data)
    if isinstance(data, EventWindows):
        conversion = replace(conversion, network=network)
        timesteps = min(timesteps + max(data.delays_us) // data.timestep_us, len(inputs[0]))
    targets = data.targets
    if targets is None:
        targets, said = decisions_of(model, conversion, inputs, data), [*said, NO_LABELS]
    measured = measure_stages(
        model, conversion, inputs, targets, timesteps, engine_samples=engine, batch=32, progress=progress
    )
    measured = replace(measured, notes=(*measured.notes, *said))
    return Verdict(measured, allowed, network.provenance, title)


def show(verdict: "Verdict", page: Path | None, sections: Sequence[str], console: Console) -> None:
    """Tables and sentences; the page too, if one is wanted."""
    from ...pipeline.convert.page import write_page

    print_verdict(verdict, console)
    if page is not None:
        write_page(verdict, page, sections)


def samples_within(work: int, network: Network, timesteps: int) -> int:
    """How many samples of so many timesteps the clocked network can afford."""
    from ...pipeline.convert.simulate import macs

    shapes = network.shapes()
    updates = sum(int(np.prod(shapes[layer.name])) for layer in network.layers if isinstance(layer, Neurons))
    return max(LEAST, work // max((sum(macs(network).values()) + 100 * updates) * timesteps, 1))


def decisions_of(model: Any, conversion: "Conversion", inputs: Any, data: Any) -> np.ndarray:
    """What the CNN decides, int64 (n,); 0 where all its outputs are alike."""
    from ...pipeline.convert.calibration import EventWindows
    from ...pipeline.convert.verdict.decide import cnn_run, decide, evaluating
    from ...pipeline.convert.verdict.validation import Images, Recordings

    if isinstance(data, EventWindows):
        shown: Any = Recordings(inputs, conversion.network, len(inputs[0]))
    else:
        shown = Images(inputs, conversion.network, 1, "constant")
    with evaluating(model, conversion.cnn.returned) as original:
        return np.maximum(decide(cnn_run(original, shown, 64)), 0)
