"""`dvs evaluate MODEL`: how often a network (.npz), or the CNN it came from (.pt), is right on labelled data."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ...pipeline.early import ExitRule, Recorder, StreamRule, gains_network
from ...pipeline.encode import CurrentEncoder, PoissonEncoder
from ...pipeline.errors import DvsError, counted
from ...pipeline.evaluate import (
    Outcome,
    Watch,
    accuracy_text,
    find_trials,
    judge_images,
    judge_recordings,
    read_trial,
    unwatched,
)
from ...pipeline.files import written_whole
from ...pipeline.interval import wilson
from ...pipeline.network import Network
from .early_report import StreamRecorder, exit_figures, fitting_rule, print_exits, print_stream, stream_figures
from .labelled import Progress, check_targets, check_writable, read_labelled, the_encoder

if TYPE_CHECKING:
    from rich.console import Console

CURVE = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="a network of `dvs convert` (.npz), or a checkpoint of `dvs train` (.pt)")
    ],
    recordings: Annotated[
        Path | None, typer.Option(help="folder of recordings: FOLDER/LABEL/FILE, or files with NAME_labels.csv beside")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="images (IDX, plain or gzipped)")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="their labels (IDX); without it, the file of MNIST's name")
    ] = None,
    encoding: Annotated[str, typer.Option(help="of images: `poisson` spikes, or constant `current`")] = "poisson",
    timesteps: Annotated[int, typer.Option(min=1, help="that an image is shown")] = 64,
    rate_per_step: Annotated[float, typer.Option(help="Poisson: spikes per timestep of a white pixel")] = 1.0,
    seed: Annotated[int, typer.Option(help="of the Poisson spikes")] = 0,
    window_us: Annotated[int | None, typer.Option(min=1, help="length of a slice, if not the network's own")] = None,
    numbers: Annotated[str, typer.Option(help="number format of the engine: int8, int16 or float32")] = "int16",
    limit: Annotated[int | None, typer.Option(min=1, help="take only the first so many images or recordings")] = None,
    early: Annotated[
        Path | None, typer.Option(help="thresholds of `dvs early`: what is decided early, beside the full length")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write the figures as JSON, too")] = None,
) -> None:
    """Accuracy with its 95 % interval, the confusion matrix, and SynOps per decision beside the MACs of the CNN."""
    if (recordings is None) == (images is None):
        raise DvsError("say what to evaluate on: either --recordings FOLDER or --images FILE")
    encoder = the_encoder(encoding, timesteps, rate_per_step, seed)
    check_writable(out)
    is_cnn = _is_checkpoint(model)
    if is_cnn and early is not None:
        raise DvsError(f"--early is for spiking networks, {model} is a checkpoint; `dvs convert` makes a network of it")
    if images is not None:
        pixels, targets = read_labelled(images, labels, limit)
        found = (
            _cnn_on_images(model, pixels, targets)
            if is_cnn
            else _on_images(model, pixels, targets, encoder, numbers, early)
        )
    else:
        assert recordings is not None
        found = (
            _cnn_on_recordings(model, recordings, limit)
            if is_cnn
            else _on_recordings(model, recordings, window_us, numbers, limit, early)
        )
    _print(*found, out)


Early = tuple[Any, dict[str, Any]] | None  # a rule and what it did
Found = tuple[Outcome, tuple[str, ...], int, Early]  # outcome, names of the classes, MACs of the CNN per pass, early


def _is_checkpoint(model: Path) -> bool:
    """torch and numpy both write zip files; only a network holds network.json."""
    import zipfile

    if not model.is_file():
        raise DvsError(f"there is no file {model}; `dvs convert` makes networks, `dvs train` makes checkpoints")
    try:
        with zipfile.ZipFile(model) as archive:
            return not any(name == "network.json" for name in archive.namelist())
    except zipfile.BadZipFile:
        raise DvsError(f"{model} is neither a network of `dvs convert` nor a checkpoint of `dvs train`") from None


def _on_images(
    model: Path,
    pixels: np.ndarray,
    targets: np.ndarray,
    encoder: PoissonEncoder | CurrentEncoder,
    numbers: str,
    early: Path | None,
) -> Found:
    from ...pipeline.engine import Engine

    engine, recorder = Engine(Network.load(model), numbers=numbers), Recorder()
    check_targets(targets, engine.network.labels)
    encoding = "poisson" if isinstance(encoder, PoissonEncoder) else "current"
    rule = None if early is None else fitting_rule(early, engine.network, numbers, encoding, None)
    with Progress(len(targets)) as progress:
        outcome = judge_images(
            engine, pixels, targets, encoder, CURVE, progress, unwatched if rule is None else recorder
        )
    found = None if rule is None else (rule, exit_figures(rule, recorder, targets, encoder.timestep_us))
    return outcome, engine.network.labels, sum(engine.macs_per_layer.values()), found


def _on_recordings(
    model: Path, folder: Path, window_us: int | None, numbers: str, limit: int | None, early: Path | None
) -> Found:
    from ...pipeline.engine import Engine

    network = Network.load(model)
    engine = Engine(network, window_us, numbers)
    rule = None if early is None else fitting_rule(early, network, numbers, "events", engine.timestep_us)
    recorder = Recorder()
    watch: Watch = recorder if isinstance(rule, ExitRule) else unwatched
    trials = find_trials(folder, network.labels)[:limit]
    with Progress(len(trials)) as progress:
        outcome = judge_recordings(engine, trials, progress, watch)
    found: Early = None
    if isinstance(rule, ExitRule):
        found = (rule, exit_figures(rule, recorder, outcome.targets, engine.timestep_us or 1))
    elif isinstance(rule, StreamRule):  # a second run: its scores must be those of each slice alone
        gains, streams = Engine(gains_network(network, window_us), window_us, numbers), StreamRecorder()
        judge_recordings(gains, trials, watch=streams)
        found = (rule, stream_figures(rule, streams, outcome.targets, network.readout.window_us))
    return outcome, network.labels, sum(engine.macs_per_layer.values()), found


def _cnn_on_images(model: Path, pixels: np.ndarray, targets: np.ndarray) -> Found:
    load_checkpoint = _torch_door()

    from ...pipeline.train.images import predict

    cnn, _, extra = load_checkpoint(model)
    check_targets(targets, extra["labels"])
    decisions = predict(cnn, pixels).numpy()
    return Outcome(targets, decisions, 0.0, 1.0, {}), tuple(extra["labels"]), 0, None


def _cnn_on_recordings(model: Path, folder: Path, limit: int | None) -> Found:
    """The CNN on the mean counts of consecutive windows, its outputs summed: as `dvs train` validates it."""
    load_checkpoint = _torch_door()
    from ...pipeline.train.evaluate import recording_scores
    from ...pipeline.train.windows import WindowPlan, pack

    cnn, spec, extra = load_checkpoint(model)
    windows = extra.get("config", {}).get("windows")
    if not windows:
        raise DvsError(f"{model} was not trained on recordings; evaluate it with --images")
    trials = find_trials(folder, extra["labels"])[:limit]
    read = [read_trial(trial) for trial in trials]
    sensor = read[0][2]
    delays = tuple(windows.get("delays_us") or (0,))
    if spec["input"] != [2 * len(delays), sensor.height, sensor.width]:
        raise DvsError(
            f"{folder} was recorded with {sensor} pixels, the CNN wants {spec['input'][2]}x{spec['input'][1]}"
        )
    data = pack(
        [events for events, _, _ in read],
        [duration for _, duration, _ in read],
        [trial.target for trial in trials],
        extra["labels"],
        sensor,
    )
    plan = WindowPlan(windows["timestep_us"], windows["slices"], windows["slices"], delays_us=delays)
    scores = recording_scores(cnn, data, plan, whole=True)
    decisions = np.array([item.sum(0).argmax() for item in scores])
    return Outcome(data.targets, decisions, 0.0, 0.0, {}), tuple(extra["labels"]), 0, None


def _torch_door() -> Any:
    try:
        from ...pipeline.train.checkpoint import load_checkpoint
    except ImportError as error:
        raise DvsError(f"a checkpoint needs torch ({error}); install the extra: pip install 'dvs-run[train]'") from None
    return load_checkpoint


def _print(outcome: Outcome, labels: tuple[str, ...], macs: int, early: Early, out: Path | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"accuracy {accuracy_text(outcome.right, outcome.n)}")
    for step, right in outcome.right_after.items():
        console.print(f"  after {counted(step, 'timestep'):>15} {right / outcome.n:8.2%}")
    undecided = int((outcome.decisions < 0).sum())
    if undecided:
        console.print(f"{undecided} undecided (nothing favoured any class), counted as wrong")
    if macs:
        console.print(
            f"{outcome.synops:,.0f} SynOps per decision in "
            f"{counted(round(outcome.timesteps), 'timestep')}; the CNN takes "
            f"{macs:,} MACs a pass"
        )
    if early is not None:
        rule, figures = early
        (print_stream if isinstance(rule, StreamRule) else print_exits)(console, figures, rule.promise.get("proven"))
    _print_confusion(console, outcome.confusion(len(labels)), labels)
    if out is not None:
        try:
            with written_whole(out) as partial:
                partial.write_text(json.dumps(_plain(outcome, labels, macs, early), indent=1) + "\n")
        except OSError as error:
            raise DvsError(f"{out} cannot be written: {error.strerror or error}") from None


def _print_confusion(console: "Console", matrix: np.ndarray, labels: tuple[str, ...]) -> None:
    """Rows: the right class; columns: the decision. Numbers stand for names above, where these are long."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    console.print("rows: the right class; columns: the decision")
    table.add_column("", no_wrap=True)
    shown = [*range(len(labels)), *([len(labels)] if matrix[:, -1].any() else [])]
    for column in shown:
        table.add_column("none" if column == len(labels) else str(column), justify="right", no_wrap=True)
    for row, name in enumerate(labels):
        title = name if name == str(row) else f"{row} {name}"
        table.add_row(title, *[str(matrix[row, column] or ".") for column in shown])
    console.print(table)


def _plain(outcome: Outcome, labels: tuple[str, ...], macs: int, early: Early) -> dict[str, Any]:
    low, high = wilson(outcome.right, outcome.n)
    return {
        "right": outcome.right,
        "n": outcome.n,
        "accuracy": outcome.right / outcome.n,
        "interval_95": [low, high],
        "right_after_timesteps": outcome.right_after,
        "synops_per_decision": outcome.synops,
        "timesteps_per_decision": outcome.timesteps,
        "macs_of_the_cnn": macs,
        "labels": list(labels),
        "confusion": outcome.confusion(len(labels)).tolist(),
        **({} if early is None else {"early": {**early[1], "promised": dict(early[0].promise)}}),
    }
