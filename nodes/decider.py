"""Node `decider`: a classifier that says one thing early, or holds a steady label over an endless stream.

It stands where a classifier would. When to decide is pipeline/early's work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..pipeline.early.file import check_fits, check_input, load_rule
from ..pipeline.early.rule import ExitRule
from ..pipeline.early.stream import StreamDecider, StreamRule, gains_network
from ..pipeline.errors import DvsError, NetworkError, counted
from ..pipeline.network import Network
from ..pipeline.stream import BinnedSlice, Classification, CurrentSlice, StreamInfo
from .classifier import Classifier
from .node import Row

OWN = ("margin", "leak_us", "release", "steady_us", "least_rate_hz")  # settings that make a rule without a file


@dataclass(frozen=True)
class DeciderConfig:
    network: Annotated[str, Field(min_length=1, description="a network file (.npz), made by `dvs convert`")]
    thresholds: Annotated[
        str | None, Field(min_length=1, description="a file of thresholds for this network, made by `dvs early`")
    ] = None
    margin: Annotated[
        float | None,
        Field(gt=0, description="instead of a file: lead of the first over the second that takes a label up"),
    ] = None
    leak_us: Annotated[
        int | None, Field(ge=1, description="with margin: time constant of the evidence, µs; default 300000")
    ] = None
    release: Annotated[
        float | None,
        Field(ge=0, le=1, description="with margin: share of it below which a label is given up; default 0.5"),
    ] = None
    steady_us: Annotated[
        int | None, Field(ge=0, description="with margin: how long either must last, µs; default 50000")
    ] = None
    least_rate_hz: Annotated[
        float | None,
        Field(ge=0, description="with margin: events per second below which nothing is happening; default 0, no limit"),
    ] = None
    any_timestep: Annotated[
        bool, Field(description="false: refuse slices of another length than the network was trained for")
    ] = True
    numbers: Annotated[
        Literal["int8", "int16", "float32"],
        Field(description="number format of the engine: int8 is the fastest, int16 rounds the least"),
    ] = "int16"


class Decider(Classifier):
    """Slices in; one Classification a recording or image out (thresholds of an exit), or one after each slice."""

    Config: ClassVar[type] = DeciderConfig
    paths: ClassVar[tuple[str, ...]] = ("network", "thresholds")

    def check(self) -> list[str]:
        faults = self._contradictions()
        network = rule = None
        try:
            network = Network.load(self.config.network)
        except NetworkError as error:
            faults.append(f"network: {error}")
        try:
            rule = None if self.config.thresholds is None else load_rule(self.config.thresholds)
        except NetworkError as error:
            faults.append(f"thresholds: {error}")
        if network is not None and rule is not None:
            faults += [f"thresholds: {text}" for text in check_fits(rule, network, self.config.numbers)]
        own = self.config.thresholds is None and self.config.margin is not None
        if network is not None and (isinstance(rule, StreamRule) or own):
            faults += _unfit_for_streams(network)
        return faults

    def open(self) -> None:
        faults = self.check()
        if faults:
            raise NetworkError("; ".join(faults))
        rule = self._rule = self._read_rule()
        self._way: _First | _Always = _First(rule) if isinstance(rule, ExitRule) else _Always(rule)
        super().open()

    def begin(self, stream: StreamInfo) -> StreamInfo:
        stream = super().begin(stream)
        self._timestep_us, self._input_checked = stream.timestep_us, False
        self._way.begin(self._engine.network.labels)
        return stream

    def process(self, piece: BinnedSlice | CurrentSlice) -> Iterator[Classification]:
        if not self._input_checked:
            self._check_input(piece)
        if self._way.wants(piece):
            for said in super().process(piece):
                yield from self._way.take(piece, said)

    def finish(self) -> Iterator[Classification]:
        yield from self._way.finish()

    def report(self) -> list[Row]:
        return [*self._way.rows(), *_promise(self._rule), *super().report()]

    def _start(self, network: Network, timestep_us: int | None) -> None:
        always = isinstance(self._way, _Always)
        super()._start(gains_network(network, timestep_us) if always else network, timestep_us)

    def _read_rule(self) -> ExitRule | StreamRule:
        if self.config.thresholds is not None:
            return load_rule(self.config.thresholds)
        given = {key: getattr(self.config, key) for key in OWN if getattr(self.config, key) is not None}
        return StreamRule(**given)

    def _check_input(self, piece: BinnedSlice | CurrentSlice) -> None:
        self._input_checked = True
        given = "current" if isinstance(piece, CurrentSlice) else "events"
        if given == "events" and self._rule.made_for.get("input") == "poisson":
            given = "poisson"  # spikes either way; the network, which was checked, tells images from events
        faults = check_input(self._rule, given, self._timestep_us)
        if faults:
            raise NetworkError(f"thresholds {self.config.thresholds}: {'; '.join(faults)}")

    def _contradictions(self) -> list[str]:
        given = [key for key in OWN if getattr(self.config, key) is not None]
        if self.config.thresholds is not None:
            return [f"{key}: it is given beside thresholds, whose file says it; leave one of them out" for key in given]
        if self.config.margin is None:
            return ["thresholds: missing, want a file made by `dvs early`, or a margin of your own for a stream"]
        return []


class _First:
    """One answer a recording or image, as soon as the rule allows; the rest of it is not even computed."""

    def __init__(self, rule: ExitRule) -> None:
        self._rule = rule
        self._answered_after: list[int] = []  # timesteps, of each answer
        self._early = self._slices = 0

    def begin(self, labels: tuple[str, ...]) -> None:
        self._last: Classification | None = None
        self._step, self._stopped = 0, False

    def wants(self, piece: BinnedSlice | CurrentSlice) -> bool:
        self._slices += 1
        return not self._stopped

    def take(self, piece: BinnedSlice | CurrentSlice, said: Classification) -> Iterator[Classification]:
        self._last, self._step = said, self._step + 1
        if self._rule.stops(self._step, said):
            self._stopped = True
            self._early += self._step < self._rule.timesteps
            self._answered_after.append(self._step)
            yield said

    def finish(self) -> Iterator[Classification]:
        """What ended before any threshold was passed is decided by all of it."""
        if self._last is not None and not self._stopped:
            self._stopped = True
            self._answered_after.append(self._step)
            yield self._last

    def rows(self) -> list[Row]:
        n, used = len(self._answered_after), sum(self._answered_after)
        if not n:
            return []
        median = sorted(self._answered_after)[n // 2]
        early = f"{self._early:,} of {counted(n, 'answer')} before timestep {self._rule.timesteps}"
        return [
            ("early", f"{early}; answers after {used / n:.1f} timesteps in the mean, {median} in the median"),
            ("slices left out", f"{1 - used / self._slices:.1%} of {self._slices:,}"),
        ]


class _Always:
    """A label, or unknown, after every slice of a stream."""

    def __init__(self, rule: StreamRule) -> None:
        self._rule = rule
        self._slices = self._unknown = self._quiet = self._changes = self._duration_us = 0

    def begin(self, labels: tuple[str, ...]) -> None:
        self._decider = StreamDecider(self._rule, labels)

    def wants(self, piece: BinnedSlice | CurrentSlice) -> bool:
        return True

    def take(self, piece: BinnedSlice | CurrentSlice, said: Classification) -> Iterator[Classification]:
        before = self._decider.index
        decision = self._decider.step(piece, said)
        self._slices += 1
        self._unknown += decision.index < 0
        self._quiet += not self._decider.active
        self._changes += decision.index != before
        self._duration_us += piece.t_stop_us - piece.t_start_us
        yield decision

    def finish(self) -> Iterator[Classification]:
        return iter(())

    def rows(self) -> list[Row]:
        if not self._slices:
            return []
        unknown, quiet = self._unknown / self._slices, self._quiet / self._slices
        pace = self._changes / (self._duration_us / 60e6)
        return [
            ("unknown", f"{unknown:.1%} of the time; nothing was happening in {quiet:.1%}"),
            ("changes of label", f"{self._changes:,}, {pace:.1f} a minute"),
        ]


def _promise(rule: ExitRule | StreamRule) -> list[Row]:
    if not rule.promise:
        return []
    proven, stated = rule.promise.get("proven"), rule.promise["reliability"]
    how = "a figure of the samples that chose it" if proven is None else f"{proven:.2%} proven on samples of their own"
    return [("promise", f"{rule.promise['means']}: {stated:.2%} of them; {how}")]


def _unfit_for_streams(network: Network) -> list[str]:
    try:
        gains_network(network, None)
    except DvsError as error:
        return [f"network: {error}"]
    return []
