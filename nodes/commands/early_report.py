"""`dvs evaluate --early FILE`: a rule beside the network's own decision at the full length, on the same data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pipeline.early import ExitRule, Recorder, StreamRule, StreamTrace, check_fits, check_input, load_rule
from ...pipeline.early.report import judge_exits
from ...pipeline.early.stream_report import judge_streams
from ...pipeline.errors import NetworkError, counted
from ...pipeline.network import Network
from ...pipeline.stream import BinnedSlice, Classification, CurrentSlice

if TYPE_CHECKING:
    from rich.console import Console


class StreamRecorder:
    """Watches an evaluation (evaluate.Watch) of a gains_network."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[list[BinnedSlice], list[Classification]]] = {}

    def __call__(self, number: int, piece: BinnedSlice | CurrentSlice, decision: Classification) -> None:
        if not isinstance(piece, BinnedSlice):
            raise NetworkError("constant current came to a stream rule; it wants the slices of an event camera")
        pieces, said = self._seen.setdefault(number, ([], []))
        pieces.append(piece)
        said.append(decision)

    def traces(self, targets: np.ndarray) -> list[StreamTrace]:
        """Of all recordings with a slice; `targets` are those of all that were shown, by number."""
        return [StreamTrace.of(*seen, int(targets[number])) for number, seen in sorted(self._seen.items())]


def fitting_rule(path: Path, network: Network, numbers: str, given: str, timestep_us: int | None) -> Any:
    """The rule of a file. Raises NetworkError where it is not for this network, number format and input."""
    rule = load_rule(path)
    faults = [*check_fits(rule, network, numbers), *check_input(rule, given, timestep_us)]
    if isinstance(rule, StreamRule) and given != "events":
        faults.append("it is for streams of events; choose one for images with `dvs early --images`")
    if faults:
        raise NetworkError(f"{path}: {'; '.join(faults)}")
    return rule


def exit_figures(rule: ExitRule, recorder: Recorder, targets: np.ndarray, timestep_us: int) -> dict[str, Any]:
    """What an ExitRule would have answered, beside what was answered at the end."""
    return judge_exits(rule, recorder.traces(targets)).plain(timestep_us)


def stream_figures(
    rule: StreamRule, recorder: StreamRecorder, targets: np.ndarray, window_us: int | None
) -> dict[str, Any]:
    return judge_streams(rule, recorder.traces(targets), window_us).plain()


def print_exits(console: "Console", figures: dict[str, Any], proven: float | None) -> None:
    console.print(
        f"early: {_share(figures['accuracy'], figures['interval_95'])} right at the exit, "
        f"{_share(figures['accuracy_at_full_length'], figures['interval_95_at_full_length'])} at full length, "
        f"on the same {figures['n']:,}; {figures['lost']} lost, {figures['won']} won"
    )
    console.print(
        f"  decided after {figures['mean_timesteps']:.1f} timesteps ({figures['mean_ms']:.1f} ms) in the mean, "
        f"{figures['median_timesteps']:g} ({figures['median_ms']:g} ms) in the median, of "
        f"{figures['full_timesteps']:.1f}; {figures['synops_saved']:.1%} of the SynOps saved"
    )
    console.print(
        f"  {figures['early']:,} before the end; {figures['undecided'] / figures['n']:.2%} undecided, counted as wrong"
    )
    means = "right" if figures["promise"] == "right" else "what the full length says"
    _print_reliability(console, figures, f"of the early answers, {means}", proven)


def print_stream(console: "Console", figures: dict[str, Any], proven: float | None) -> None:
    console.print(
        f"stream: {_share(figures['right_at_the_end'], figures['interval_95'])} right at the end, the network's own "
        f"readout {_share(figures['accuracy_at_full_length'], figures['interval_95_at_full_length'])}, on the same "
        f"{counted(figures['n'], 'recording')}; {figures['undecided'] / figures['n']:.2%} never got a label"
    )
    if figures["mean_ms"] is not None:
        console.print(
            f"  first right label after {figures['mean_ms']:.0f} ms in the mean, {figures['median_ms']:.0f} ms in the "
            "median"
        )
    console.print(
        f"  of the time {figures['time_right']:.1%} right, {figures['time_wrong']:.1%} wrong, "
        f"{figures['time_unknown']:.1%} unknown; {figures['changes_a_recording']:.1f} changes of label a recording "
        f"(of the leader of the network's own scores: {figures['changes_a_recording_of_the_leader']:.1f})"
    )
    _print_reliability(console, figures, "of the recordings with a label, every label right", proven)


def _print_reliability(console: "Console", figures: dict[str, Any], what: str, proven: float | None) -> None:
    achieved, stated = figures["reliability_achieved"], figures["reliability_stated"]
    if achieved is None:
        console.print("  reliability: nothing was said early")
        return
    promised = "" if stated is None else f"; stated {stated:.2%}"
    promised += "" if proven is None else f", proven {proven:.2%}"
    console.print(f"  reliability {_share(achieved, figures['reliability_interval_95'])} ({what}){promised}")


def _share(share: float, interval: list[float]) -> str:
    return f"{share:.2%} (95 % interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f} %)"
