"""`dvs early NETWORK`: choose when the network may decide early, on training data. The work is pipeline/early's."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...pipeline.early import (
    ExitRule,
    Recorder,
    StreamRule,
    check_request,
    choose_exit,
    choose_stream,
    gains_network,
    save_rule,
)
from ...pipeline.early.file import made_for
from ...pipeline.errors import DvsError
from ...pipeline.evaluate import find_trials, judge_images, judge_recordings
from ...pipeline.network import Network
from .early_report import StreamRecorder
from .labelled import Progress, check_targets, check_writable, read_labelled, the_encoder


def early(
    model: Annotated[Path, typer.Argument(help="a network of `dvs convert` (.npz)")],
    out: Annotated[Path, typer.Option(help="the thresholds to write (.json)")],
    recordings: Annotated[
        Path | None, typer.Option(help="training recordings: FOLDER/LABEL/FILE, or files with NAME_labels.csv beside")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="training images (IDX, plain or gzipped)")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="their labels (IDX); without it, the file of MNIST's name")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="number of the first image: best one the weights never saw")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="take only so many images or recordings")] = None,
    stream: Annotated[
        bool, typer.Option(help="for an endless stream: a label or unknown all the time, not one answer")
    ] = False,
    reliability: Annotated[float, typer.Option(help="share of the early answers that keep the promise")] = 0.99,
    promise: Annotated[str, typer.Option(help="an early answer is `right`, or the `final` one")] = "right",
    rule: Annotated[str, typer.Option(help="`margin` of first over second, or a `sequential` test")] = "margin",
    proof: Annotated[
        str, typer.Option(help="`exact`: proven on half of the samples; `none`: as published, promises too much")
    ] = "exact",
    confidence: Annotated[float, typer.Option(help="of the proof")] = 0.95,
    leak_us: Annotated[int, typer.Option(min=1, help="stream: time constant of the evidence")] = 300_000,
    release: Annotated[
        float, typer.Option(min=0, max=1, help="stream: share of the margin at which a label goes")
    ] = 0.5,
    steady_us: Annotated[int, typer.Option(min=0, help="stream: how long a label must lead, or not")] = 50_000,
    least_rate_hz: Annotated[float, typer.Option(min=0, help="stream: fewer events a second are nothing")] = 0.0,
    encoding: Annotated[str, typer.Option(help="of images: `poisson` spikes, or constant `current`")] = "poisson",
    timesteps: Annotated[int, typer.Option(min=1, help="that an image is shown")] = 64,
    rate_per_step: Annotated[float, typer.Option(help="Poisson: spikes per timestep of a white pixel")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="of the Poisson spikes, and of the halves")] = 0,
    window_us: Annotated[int | None, typer.Option(min=1, help="length of a slice, if not the network's own")] = None,
    numbers: Annotated[str, typer.Option(help="number format of the engine: int8, int16 or float32")] = "int16",
) -> None:
    """Choose thresholds on training data for a stated reliability, and prove them on the half that did not choose.

    dvs early net.npz --images train-images-idx3-ubyte --first 55000 --reliability 0.99 --out net.early.json
    """
    if (recordings is None) == (images is None):
        raise DvsError("say what to choose on: either --recordings FOLDER or --images FILE")
    if stream and recordings is None:
        raise DvsError("--stream is for recordings of an event camera; an image gets one answer: leave --stream out")
    check_request(rule, promise, proof, reliability, confidence)
    check_writable(out)
    network = Network.load(model)
    encoder = the_encoder(encoding, timesteps, rate_per_step, seed)
    if stream:
        wanted = StreamRule(1.0, leak_us, release, steady_us, least_rate_hz)
        recorder, targets = _see_recordings(network, recordings, window_us, numbers, limit, StreamRecorder())
        chosen: ExitRule | StreamRule = choose_stream(
            wanted, recorder.traces(targets), reliability, proof, confidence, seed
        )
    else:
        if images is not None:
            pixels, targets = read_labelled(images, labels, limit, first)
            recorder = _see_images(network, pixels, targets, encoder, numbers)
        else:
            recorder, targets = _see_recordings(network, recordings, window_us, numbers, limit, Recorder())
        chosen = choose_exit(recorder.traces(targets), reliability, rule, promise, proof, confidence, seed)
    given = encoding if images is not None else "events"
    timestep_us = None if images is not None else window_us or network.timestep_us
    _write(chosen, made_for(network, model.name, numbers, given, timestep_us), out)


def _see_images(network: Network, pixels: np.ndarray, targets: np.ndarray, encoder: Any, numbers: str) -> Recorder:
    from ...pipeline.engine import Engine

    check_targets(targets, network.labels)
    recorder = Recorder()
    with Progress(len(targets)) as progress:
        judge_images(Engine(network, numbers=numbers), pixels, targets, encoder, (), progress, recorder)
    return recorder


def _see_recordings(
    network: Network, folder: Path | None, window_us: int | None, numbers: str, limit: int | None, recorder: Any
) -> tuple[Any, np.ndarray]:
    from ...pipeline.engine import Engine

    assert folder is not None
    if isinstance(recorder, StreamRecorder):
        network = gains_network(network, window_us)
    trials = find_trials(folder, network.labels)[:limit]
    with Progress(len(trials)) as progress:
        outcome = judge_recordings(Engine(network, window_us, numbers), trials, progress, recorder)
    return recorder, outcome.targets


def _write(rule: ExitRule | StreamRule, target: dict[str, Any], out: Path) -> None:
    from dataclasses import replace

    save_rule(replace(rule, made_for=target), out)
    promise = rule.promise
    n, wrong = promise.get("early", promise.get("said", 0)), promise["wrong"]
    proven = f"at least {promise['proven']:.2%} proven" if "proven" in promise else "not proven"
    tested = promise.get("tested_on", promise.get("chosen_on"))
    print(f"{promise['means']}: {promise['reliability']:.2%} stated, {proven}")
    print(f"on {tested:,} samples: {n:,} times something was said early, {wrong:,} times wrong")
    print(f"written to {out}; look at it with `dvs evaluate {target['network']} --early {out.name}` on test data")
