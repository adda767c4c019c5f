"""What the user asked `dvs convert` for, checked as far as the command line alone can tell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ...pipeline.convert import Method
from ...pipeline.convert.calibration import Scaling, parse_number, parse_numbers
from ...pipeline.convert.search import Budget, parse_budget
from ...pipeline.convert.verdict.verdict import check_allowed
from ...pipeline.errors import ConversionError
from ...pipeline.network import Readout
from .convert_data import Source

if TYPE_CHECKING:
    from ...pipeline.convert.load import LoadedModel


SETTABLE = tuple(field.name for field in fields(Method) if field.name != "lambdas")


def more_settings(texts: Sequence[str]) -> dict[str, Any]:
    """ "clamp_steps=10" and the like. Raises typer.BadParameter for what is no setting of a method."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in SETTABLE:
            raise typer.BadParameter(f"--set {text}: want NAME=VALUE with one of {', '.join(SETTABLE)}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


@dataclass(frozen=True)
class Settings:
    """Of the method: a preset, and what overrides it; None where nothing was said."""

    preset: str | None
    given: dict[str, Any]
    readout_window_us: int | None

    @property
    def fixed(self) -> frozenset[str]:
        """Settings that a search must not vary: those that were given, and all of a preset."""
        from ...pipeline.convert.search.candidates import VARIED

        named = {name for name, value in self.given.items() if value is not None}
        return frozenset(named | set(VARIED) if self.preset is not None else named)

    def method(self, loaded: "LoadedModel", searching: bool) -> Method:
        """With the thresholds that the CNN was fine-tuned with, if it was.

        Where nothing else is asked for, spikes are the finer ones of "standard"; of a search they are what is varied.
        """
        changed: dict[str, Any] = {name: value for name, value in self.given.items() if value is not None}
        if loaded.extra.get("thresholds") is not None:
            changed["lambdas"] = dict(loaded.extra["thresholds"])
        plain = searching or changed.keys() & {"lambdas", "max_spikes", "threshold_scale"}
        return replace(Method.preset(self.preset or ("single" if plain else "standard")), **changed)

    def readout(self, method: Method) -> Readout | None:
        """None: as the method says."""
        if self.readout_window_us is None:
            return None
        return Readout(method.readout, self.readout_window_us, start_step=method.readout_delay)


@dataclass(frozen=True)
class Order:
    """The options of the verb, by their names; see convert.py."""

    model: Path
    out: Path | None
    page: Path | None
    write_page: bool
    architecture: str | None
    input_shape: str | None
    output: str | None
    classes: str | None
    calibration: Path | None
    labels: Path | None
    validation: Path | None
    validation_labels: Path | None
    scale: str | None
    mean: str | None
    std: str | None
    fit: bool
    limit: int | None
    seed: int
    timestep_us: int | None
    window_ms: float | None
    settings: Settings
    budget: str | None
    search_seconds: float
    max_loss: float | None
    timesteps: int | None
    samples: int | None
    verdict: bool
    max_error: float

    def check(self) -> None:
        """Raises typer.BadParameter, which ends with exit code 2, for options that do not go together."""
        if self.labels is not None and self.calibration is None:
            raise typer.BadParameter("--labels are those of --calibration; give that, too")
        if self.validation_labels is not None and self.validation is None:
            raise typer.BadParameter("--validation-labels are those of --validation; give that, too")
        if self.budget is not None and self.timesteps is not None:
            raise typer.BadParameter("--budget chooses the number of timesteps; leave --timesteps out")
        if self.max_loss is not None and not self.verdict:
            raise typer.BadParameter("--max-loss is judged by the verdict; leave --no-verdict out")
        if self.page is not None and not (self.verdict and self.write_page):
            raise typer.BadParameter("--page wants the verdict's page; leave --no-page and --no-verdict out")
        self._check_numbers()

    def _check_numbers(self) -> None:
        try:
            self.wanted_budget()
            self.shape()
            check_allowed(self.max_loss, "--max-loss")
        except ConversionError as error:
            raise typer.BadParameter(str(error)) from None
        if self.window_ms == inf:
            raise typer.BadParameter("--window-ms is infinite, want how many ms the CNN looks at a recording")
        if not 0 <= self.max_error < inf:
            raise typer.BadParameter(
                f"--max-error is {self.max_error:g}, want a share of the output from 0, such as 0.5"
            )

    def wanted_budget(self) -> Budget | None:
        return None if self.budget is None else parse_budget(self.budget)

    def shape(self) -> tuple[int, int, int] | None:
        if self.input_shape is None:
            return None
        sides = self.input_shape.replace("x", ",").split(",")
        if len(sides) != 3 or not all(side.strip().isdigit() for side in sides):
            raise ConversionError(f"--input-shape is {self.input_shape!r}, want CHANNEL,HEIGHT,WIDTH such as 3,32,32")
        return (int(sides[0]), int(sides[1]), int(sides[2]))

    def scaling(self) -> Scaling:
        return Scaling(
            None if self.scale is None else parse_number(self.scale),
            () if self.mean is None else parse_numbers(self.mean),
            () if self.std is None else parse_numbers(self.std),
        )

    def sources(self) -> tuple[Source, Source]:
        """Of calibration and of validation data."""
        shared = (self.scaling(), self.fit, self.limit, self.seed, self.window_ms)
        return (
            Source(self.calibration, self.labels, *shared),
            Source(self.validation, self.validation_labels, *shared),
        )

    def targets(self) -> tuple[Path, Path | None]:
        """Where network and page go. Raises ConversionError where they cannot."""
        out = self.out or Path(f"{self.model.stem}-snn.npz")
        if out.absolute() == self.model.absolute():
            raise ConversionError(f"--out {out} is the model itself; give another name")
        page = None
        if self.verdict and self.write_page:
            page = self.page or out.with_suffix(".html")
        for path in (out, page):
            if path is not None:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    reason = error.strerror or error
                    raise ConversionError(f"the folder of {path} cannot be made: {reason}") from None
        return out, page
