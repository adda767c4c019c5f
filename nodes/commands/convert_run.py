"""`dvs convert`, step by step: load, read data, choose, convert, save, judge. The options are in convert.py."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ...pipeline.convert import Cnn, Conversion, Method, import_cnn
from ...pipeline.convert import convert as convert_cnn
from ...pipeline.convert.conversion import with_delays
from ...pipeline.convert.load import LoadedModel, load_model
from ...pipeline.convert.search import Choice, Parts, choose
from ...pipeline.convert.search.page import choice_section
from ...pipeline.errors import counted
from ...pipeline.network import Delay, Network
from .convert_choice import Progress, print_choice
from .convert_data import class_names, the_classes, the_parts
from .convert_order import Order, Settings, more_settings
from .convert_report import print_check, print_layers
from .convert_verdict import judge, show

if TYPE_CHECKING:
    from ...pipeline.convert.verdict import Verdict

LOOK = 128  # timesteps, where nothing else says how many
__all__ = ["Order", "Settings", "more_settings", "run"]


@dataclass(frozen=True)
class _Job:
    """What is known once everything is read."""

    order: Order
    loaded: LoadedModel
    cnn: Cnn
    labels: list[str]
    parts: Parts[Any]
    method: Method
    timestep_us: int | None
    notes: tuple[str, ...]

    @property
    def calibration(self) -> Any:
        """What the CNN sees of the calibration part."""
        data = self.parts.calibration
        return data.frames() if hasattr(data, "frames") else data.values


def run(order: Order) -> int:
    """The exit code."""
    order.check()
    out, page = order.targets()
    console = Console(highlight=False)
    with Progress() as progress:
        job = _read(order)
        _say_what_is_there(job, console)
        choice = _choose(job, progress) if order.budget is not None else None
        conversion, network = _convert(job, choice, progress)
        network.save(out)
        verdict = _judge(job, conversion, network, choice, progress) if order.verdict else None
    if choice is not None:
        print_choice(choice, console)
    if verdict is None:
        print_layers(conversion.report, network, console)
    print_check(conversion.report, console)
    if verdict is not None:
        show(verdict, page, [] if choice is None else [choice_section(choice)], console)
    _say_what_was_written(out, page, network, choice, console)
    return 0 if verdict is None or verdict.passed() else 1


def _read(order: Order) -> _Job:
    loaded = load_model(order.model, architecture=order.architecture, input_shape=order.shape(), output=order.output)
    cnn = import_cnn(loaded.model, loaded.input_shape, loaded.output)
    method = order.settings.method(loaded, searching=order.budget is not None)
    timestep_us = order.timestep_us or loaded.extra.get("timestep_us")
    known = the_classes(order.classes) if order.classes is not None else loaded.labels
    calibration, validation = order.sources()
    choosing = order.budget is not None
    outputs = prod(cnn.shapes()[cnn.output])
    judging = order.verdict
    parts = the_parts(order.model, loaded, known, calibration, validation, timestep_us, choosing, judging, outputs)
    labels, notes = class_names(loaded, order.classes, outputs, parts.calibration.labels)
    return _Job(order, loaded, cnn, labels, parts, method, timestep_us, (*loaded.notes, *notes))


def _choose(job: _Job, progress: Progress) -> Choice:
    order, extra = job.order, job.loaded.extra
    budget, data = order.wanted_budget(), job.parts.choice
    assert budget is not None
    assert data is not None
    return choose(
        job.cnn,
        job.parts.calibration,
        data,
        job.labels,
        budget,
        base=job.method,
        fixed=order.settings.fixed,
        readout=order.settings.readout(job.method),
        timestep_us=job.timestep_us,
        state_window_us=extra.get("state_window_us"),
        allowed=order.max_loss,
        seconds=order.search_seconds,
        seed=order.seed,
        progress=progress,
    )


def _convert(job: _Job, choice: Choice | None, progress: Progress) -> tuple[Conversion, Network]:
    """The conversion without delays, which is what calibration inputs fit, and the network with them."""
    order, extra = job.order, job.loaded.extra
    method = job.method if choice is None else choice.method
    conversion = convert_cnn(
        job.loaded.model,
        job.loaded.input_shape,
        job.labels,
        job.calibration,
        method=method,
        thresholds=extra.get("thresholds"),
        timestep_us=job.timestep_us,
        state_window_us=extra.get("state_window_us"),
        readout=order.settings.readout(method),
        output=job.loaded.output,
        check_timesteps=order.timesteps or LOOK,
        max_error=order.max_error or None,
        source=f"{order.model.name}, sha256 {job.loaded.sha256}",
        progress=progress.behind,
    )
    network = conversion.network
    if choice is not None:
        network = replace(network, provenance={**network.provenance, "chosen": choice.described()})
    conversion = replace(conversion, network=network)
    delays = tuple(extra.get("delays_us") or ())
    return conversion, network if delays in ((), (0,)) else with_delays(network, delays)


def _judge(job: _Job, conversion: Conversion, network: Network, choice: Choice | None, progress: Progress) -> "Verdict":
    order = job.order
    timesteps = order.timesteps or LOOK if choice is None else choice.knee.timesteps
    return judge(
        job.loaded.model,
        conversion,
        network,
        job.parts.verdict,
        timesteps,
        order.max_loss,
        order.samples,
        job.parts.notes,
        order.model.name,
        progress,
    )


def _say_what_is_there(job: _Job, console: Console) -> None:
    parts, shape = job.parts, "x".join(map(str, job.loaded.input_shape))
    console.print(
        f"{job.order.model.name}: inputs of {shape}, {counted(len(job.labels), 'class', 'classes')}", markup=False
    )
    chosen_on = "" if parts.choice is None else f"{len(parts.choice):,} to choose on, "
    unseen = "" if parts.verdict is not parts.calibration else ", the same"
    console.print(
        f"{len(parts.calibration):,} inputs to calibrate on, {chosen_on}{len(parts.verdict):,} to judge on{unseen}"
    )
    accuracy = job.loaded.extra.get("accuracy")
    if isinstance(accuracy, dict) and "validation" in accuracy:
        n = accuracy.get("n", "?")
        console.print(f"the CNN: {accuracy['validation']:.2%} of {n} samples, when it was trained")
    for note in (*job.notes, *parts.calibration.notes):
        console.print(f"note: {note}", markup=False)
    console.print()


def _say_what_was_written(
    out: Path, page: Path | None, network: Network, choice: Choice | None, console: Console
) -> None:
    clock = f", slices of {network.timestep_us} µs" if network.timestep_us else ""
    console.print(f"written to {out} ({out.stat().st_size / 1000:,.0f} kB{clock})", markup=False)
    if page is not None:
        console.print(f"the verdict with its plots: {page}", markup=False)
    if choice is not None:
        waits = network.readout.start_step if isinstance(network.layers[0], Delay) else 0  # for its delayed input
        steps = counted(choice.knee.timesteps + waits, "timestep")
        console.print(f"chosen to decide after {steps}: --timesteps of `dvs evaluate`", markup=False)
