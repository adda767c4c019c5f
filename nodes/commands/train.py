"""`dvs train CONFIG`: train the CNN that a config describes. The work is pipeline/train's."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ...pipeline.errors import DvsError


def train(
    config: Annotated[Path, typer.Argument(help="a train config, e.g. configs/train-gesture.yaml")],
    resume: Annotated[bool, typer.Option(help="go on from the last finished epoch, if there is one")] = False,
) -> None:
    """Train a CNN on binned slices of events, or on images; `dvs convert` turns the result into a spiking network."""
    from ..config import ConfigError, load_yaml

    try:
        document = load_yaml(config)
    except ConfigError as error:
        typer.echo(f"dvs train: {error}", err=True)
        raise typer.Exit(2) from error
    if importlib.util.find_spec("torch") is None:
        raise DvsError("training needs torch; install the extra: pip install 'dvs-run[train]'")
    from ...pipeline.train.config import TrainConfigError

    try:
        _trainer(document, resume)(document)
    except TrainConfigError as error:
        typer.echo(f"dvs train: {config}: {error}", err=True)
        raise typer.Exit(2) from error


def _trainer(document: Mapping[str, Any], resume: bool) -> Callable[[Mapping[str, Any]], Path]:
    data = document.get("data")
    if isinstance(data, Mapping) and data.get("kind") == "images":
        from ...pipeline.train.images import train_images

        return lambda settings: train_images(settings, resume=resume)
    from ...pipeline.train.loop import train_events

    return lambda settings: train_events(settings, resume)
