"""The stream half of benchmarks/early.py: one margin for gestures, alone and in one long stream with pauses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvs_run.pipeline.binning import bin_events
from dvs_run.pipeline.early import StreamDecider, StreamRule, StreamTrace, Traces, choose_stream, gains_network
from dvs_run.pipeline.early.stream_report import judge_streams
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import BinnedSlice
from dvs_run.pipeline.train.windows import RecordingSet, cut

RELIABILITIES = (0.8, 0.9)
RULES = (  # leak, release, steady, events per second
    StreamRule(1.0, 400_000, 0.5, 50_000, 2_000.0),
    StreamRule(1.0, 400_000, 1.0, 0, 2_000.0),  # without hysteresis
)
PAUSE_US, PAUSE_HZ, IN_STREAM, ORDER_SEED = 1_000_000, 500, 60, 5


def traces_of(network: Network, traces: Traces, data: RecordingSet) -> list[StreamTrace]:
    """Gains from scores: their differences, what left the readout's window put back; gains_network's, to rounding."""
    step = network.timestep_us or 1
    window = traces.timesteps if network.readout.window_us is None else network.readout.window_us // step
    made = []
    for index in range(len(data)):
        gains = np.diff(traces.scores[index], axis=0, prepend=0.0)
        for t in range(window, len(gains)):
            gains[t] += gains[t - window]
        starts = step * np.arange(len(gains))
        times = np.stack([starts, starts + step], 1)
        edges = np.searchsorted(data.recording(index)["t"], np.append(starts, starts[-1] + step))
        made.append(StreamTrace(times, np.diff(edges), gains, int(data.targets[index])))
    return made


def tables(
    network: Network, chosen_on: list[StreamTrace], test: list[StreamTrace], data: RecordingSet
) -> list[dict[str, Any]]:
    """Every rule at every reliability: on test recordings by themselves, and in one stream."""
    rows = []
    for start in RULES:
        settings = {
            "leak_us": start.leak_us, "release": start.release, "steady_us": start.steady_us,
            "least_rate_hz": start.least_rate_hz,
        }  # fmt: skip
        for reliability in RELIABILITIES:
            row: dict[str, Any] = {**settings, "reliability": reliability}
            try:
                rule = choose_stream(start, chosen_on, reliability)
            except EventError as error:
                rows.append(row | {"refused": str(error)})
                continue
            told = judge_streams(rule, test, network.readout.window_us).plain()
            row |= {"margin": rule.margin, "promised": dict(rule.promise), "recordings": told}
            rows.append(row | {"one_stream": one_stream(network, rule, data)})
            print({key: value for key, value in rows[-1].items() if key != "promised"}, flush=True)
    return rows


def one_stream(network: Network, rule: StreamRule, data: RecordingSet) -> dict[str, Any]:
    """Test recordings in a row, each behind a pause with nothing but a little noise; the engine is never reset."""
    pieces, targets = _stream(network, data)
    gains = _gains(network, pieces)
    decider = StreamDecider(rule, network.labels)
    said = np.array([decider.step(piece, gain).index for piece, gain in zip(pieces, gains, strict=True)])
    leader = _leader(network, [gain.scores for gain in gains])
    step = network.timestep_us or 1
    minutes = len(pieces) * step / 60e6
    first = []
    for start in np.flatnonzero(np.diff(targets, prepend=-1) * (targets >= 0)):
        stop = start + int((targets[start:] != targets[start]).argmax() or len(targets) - start)
        hits = np.flatnonzero(said[start:stop] == targets[start])
        first.append((hits[0] + 1) * step / 1e3 if len(hits) else np.nan)
    shown, pause = targets >= 0, targets < 0
    settled = pause & np.roll(pause, rule.leak_us // step)  # the label may leak away for one time constant
    return {
        "minutes": round(minutes, 2),
        "time_right": round(float((said == targets)[shown].mean()), 4),
        "time_unknown": round(float((said < 0)[shown].mean()), 4),
        "time_wrong": round(float(((said != targets) & (said >= 0))[shown].mean()), 4),
        "unknown_in_pauses": round(float((said < 0)[settled].mean()), 4),
        "first_right_label_median_ms": float(np.nanmedian(first)),
        "never_right": int(np.isnan(first).sum()),
        "changes_a_minute": round(float((np.diff(said) != 0).sum() / minutes), 1),
        "network_s_own": {
            "time_right": round(float((leader == targets)[shown].mean()), 4),
            "unknown_in_pauses": round(float((leader < 0)[settled].mean()), 4),
            "changes_a_minute": round(float((np.diff(leader) != 0).sum() / minutes), 1),
        },
    }


_KEPT: dict[str, Any] = {}  # the stream and its gains are the same for every rule


def _gains(network: Network, pieces: Sequence[BinnedSlice]) -> list[Any]:
    if "gains" not in _KEPT:
        engine = Engine(gains_network(network, None))
        _KEPT["gains"] = [engine.step(piece) for piece in pieces]
    return _KEPT["gains"]


def _stream(network: Network, data: RecordingSet) -> tuple[list[BinnedSlice], np.ndarray]:
    """Slices, and the class that is shown during each (-1: a pause)."""
    if "stream" in _KEPT:
        return _KEPT["stream"]
    step, rng = network.timestep_us or 1, np.random.default_rng(ORDER_SEED)
    pieces: list[BinnedSlice] = []
    targets: list[int] = []
    for index in rng.permutation(len(data))[:IN_STREAM].tolist():
        noise = np.zeros(rng.poisson(PAUSE_HZ * PAUSE_US / 1e6), EVENT_DTYPE)
        noise["t"] = np.sort(rng.integers(0, PAUSE_US, len(noise)))
        noise["x"], noise["y"] = rng.integers(0, data.sensor.width, (2, len(noise)))
        for events, length, target in (
            (noise, PAUSE_US, -1),
            (data.recording(index), int(data.durations_us[index]), int(data.targets[index])),
        ):
            for t in range(0, length, step):
                at = len(pieces) * step
                part = cut(events, t, t + step).copy()
                part["t"] += at - t
                pieces.append(bin_events(part, data.sensor, at, at + step))
                targets.append(target)
    _KEPT["stream"] = (pieces, np.array(targets))
    return _KEPT["stream"]


def _leader(network: Network, gains: list[np.ndarray]) -> np.ndarray:
    """What the network's own sliding readout says after each slice."""
    window = (network.readout.window_us or len(gains) * 5_000) // (network.timestep_us or 1)
    sums = np.concatenate([np.zeros((1, len(gains[0]))), np.cumsum(gains, axis=0)])
    stops = np.arange(1, len(gains) + 1)
    evidence = sums[1:] - sums[np.maximum(stops - window, 0)]
    return np.where(np.ptp(evidence, axis=1) > 1e-9, evidence.argmax(1), -1)
