"""What a train config on events may say. Frame images (`data.kind: images`) have their own, in images.py.

`check` reports every mistake at once, each with its place in the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import DvsError, NetworkError
from .augment import Augmentation
from .models import build_model, is_plain
from .windows import WindowPlan


class TrainConfigError(DvsError):
    """A train config is wrong; the message lists every mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recordings(_Strict):
    """A folder of labelled recordings, FOLDER/LABEL/*: the names of the subfolders are the labels."""

    kind: Literal["recordings"]
    folder: Path
    sensor: tuple[int, int] | None = None  # width, height; None: as the files say
    duration_us: int | None = Field(None, ge=1)  # None: to the last event; else silence after it counts too
    validation: float = Field(0.15, gt=0, lt=1)  # share of each label that is not trained on


class NamedDataSet(_Strict):
    """A published data set, as pipeline/datasets knows it: one recording for each labelled span."""

    kind: Literal["dataset"]
    name: str  # nmnist, dvs-gesture, ..., tonic.SHD
    folder: Path
    part: str | None = None  # train, test, ...; None: the set's first
    duration_us: int | None = Field(None, ge=1)  # None: of the span, or to the last event; else silence counts too
    limit: int | None = Field(None, ge=1)  # so many recordings, drawn by a fixed seed; None: all
    validation: float = Field(0.15, gt=0, lt=1)  # share of each label that is not trained on


class Saccades(_Strict):
    """Images (IDX files) moved before the simulated camera by the three saccades of N-MNIST."""

    kind: Literal["saccades"]
    images: Path
    labels: Path
    count: int = Field(10_000, ge=1)  # training recordings, of the first so many images from `first` on
    validation: int = Field(1_000, ge=1)  # recordings of the images after those
    first: int = Field(0, ge=0)
    seed: int = 0
    cache: Path = Path("runs/cache")  # made once, read from here afterwards


class SimulatedGestures(_Strict):
    """The eleven gestures of DVS128 Gesture, simulated. Each recording draws its person and its lighting."""

    kind: Literal["simulated-gesture"]
    per_class: int = Field(200, ge=1)  # training recordings a class
    duration_us: int = Field(1_200_000, ge=10_000)
    people: tuple[int, int] = (0, 1_000)  # seeds of people and lightings for training: first, and one past the last
    validation_per_class: int = Field(30, ge=1)
    validation_duration_us: int = Field(1_800_000, ge=10_000)
    validation_people: tuple[int, int] = (1_000, 1_200)
    cache: Path = Path("runs/cache")

    @model_validator(mode="after")
    def _apart(self) -> "SimulatedGestures":
        (first, stop), (other_first, other_stop) = self.people, self.validation_people
        if not (0 <= first < stop and 0 <= other_first < other_stop):
            raise ValueError(f"people are {self.people} and {self.validation_people}, want first < stop, from 0 up")
        if first < other_stop and other_first < stop:
            raise ValueError(f"people {self.people} and validation_people {self.validation_people} overlap")
        return self


Data = Annotated[Recordings | NamedDataSet | Saccades | SimulatedGestures, Field(discriminator="kind")]


class Windows(_Strict):
    timestep_us: int = Field(5_000, ge=1)  # length of one slice
    slices: int = Field(ge=1)  # timesteps of a full window, the one that validation uses
    min_slices: int | None = Field(None, ge=1)  # random windows have at least so many; None: always full
    per_recording: int = Field(1, ge=1)  # random windows whose logits are averaged before the loss
    delays_us: list[Annotated[int, Field(ge=0)]] = Field(
        [0], min_length=1
    )  # the CNN also sees the window so much earlier
    evidence: bool = False  # a recording is judged by the sum over its windows, and the network starts anew in each

    @model_validator(mode="after")
    def _ordered(self) -> "Windows":
        if self.min_slices is not None and self.min_slices > self.slices:
            raise ValueError(f"min_slices is {self.min_slices}, want at most slices ({self.slices})")
        if self.delays_us != sorted(set(self.delays_us)) or any(delay % self.timestep_us for delay in self.delays_us):
            raise ValueError(
                f"delays_us is {self.delays_us}, want rising multiples of timestep_us ({self.timestep_us})"
            )
        return self

    @property
    def plan(self) -> WindowPlan:
        least = self.min_slices or self.slices
        return WindowPlan(self.timestep_us, self.slices, least, self.per_recording, tuple(self.delays_us))


class Augment(_Strict):
    """Limits of random changes; augment.Augmentation tells each one's meaning."""

    shift: float = Field(default=0.0, ge=0)
    scale: float = Field(default=0.0, ge=0, lt=1)
    rotation: float = Field(default=0.0, ge=0, le=180)
    stretch: float = Field(default=0.0, ge=0)
    drop: float = Field(default=0.0, ge=0, lt=1)
    flip: float = Field(default=0.0, ge=0, le=1)
    flip_labels: dict[str, str] = {}
    polarity_flip: float = Field(default=0.0, ge=0, le=1)
    noise_hz: float = Field(default=0.0, ge=0)
    hot_pixels: int = Field(default=0, ge=0)
    hot_pixel_hz: float = Field(default=200.0, ge=0)

    @property
    def augmentation(self) -> Augmentation:
        return Augmentation(**self.model_dump())


class Training(_Strict):
    epochs: int = Field(ge=1)
    batch: int = Field(64, ge=1)  # recordings a step
    learning_rate: float = Field(2e-3, gt=0)  # peak of the one-cycle schedule, AdamW
    weight_decay: float = Field(1e-2, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    seed: int = 0
    threads: int = Field(1, ge=1)
    calibration: int = Field(256, ge=1)  # training frames that travel in the checkpoint, for normalization


class Spiking(_Strict):
    """Fine-tune as the spiking network: spikes forward, the CNN's gradient backward (spiking.py)."""

    percentile: float = Field(99.5, gt=0, le=100)  # of each layer's activations becomes firing rate 1


class EventTraining(_Strict):
    """A train config with `data.kind` recordings, dataset, saccades or simulated-gesture."""

    data: Data
    model: dict[str, Any]  # models.build_model
    windows: Windows
    augment: Augment = Augment()
    training: Training
    spiking: Spiking | None = None  # wants start_from: the CNN that is fine-tuned
    start_from: Path | None = None  # checkpoint whose weights training starts from; None: random
    out: Path  # the checkpoint of the epoch that is best on validation

    @field_validator("model")
    @classmethod
    def _buildable(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            build_model(value)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _startable(self) -> "EventTraining":
        if self.spiking and self.start_from is None:
            raise ValueError("spiking fine-tuning wants start_from, a checkpoint of the CNN")
        if self.spiking and self.windows.min_slices not in (None, self.windows.slices):
            raise ValueError("spiking fine-tuning wants windows of one length; remove windows.min_slices")
        if self.spiking and not is_plain(self.model):
            raise ValueError("spiking fine-tuning knows ReLUs and real weights only; remove `activation` and `binary`")
        return self


def check(config: Mapping[str, Any]) -> EventTraining:
    """The checked config. Raises TrainConfigError that names every mistake."""
    try:
        return EventTraining.model_validate(dict(config))
    except ValidationError as error:
        raise TrainConfigError(mistakes(error)) from error


def mistakes(error: ValidationError) -> str:
    """Every mistake with its place in the file, one a line."""
    lines = [f"{_place(item['loc'])}: {_message(item)}" for item in error.errors()]
    many = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return f"the train config has {many}:\n  " + "\n  ".join(lines)


def _place(location: tuple[int | str, ...]) -> str:
    kinds = ("recordings", "dataset", "saccades", "simulated-gesture")  # pydantic puts the chosen kind into the path
    return ".".join(str(part) for part in location if part not in kinds) or "the whole file"


def _message(item: Any) -> str:
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "extra_forbidden":
        return "is no key that is known here"
    text = item["msg"].removeprefix("Value error, ")
    return text if isinstance(item.get("input"), dict) else f"{text} (found {item.get('input')!r})"
