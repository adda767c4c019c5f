"""Choose the margin of a StreamRule on training recordings, for a stated reliability.

What is counted is recordings, since the decisions within one are not independent: of those during which any label was
said, the share in which every label that was said was right. The argument is that of choose.py: one half of the
recordings spans the margins that are tried, the other half tests each; the smallest proven one is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import EventError
from ..stream import BinnedSlice, Classification
from .bounds import least_samples, lower_bound, tail
from .choose import check_request
from .stream import StreamDecider, StreamRule

MARGINS = 20  # tried between 0 and the largest lead


@dataclass(frozen=True)
class StreamTrace:
    """One labelled recording, slice by slice: what came in, and what a gains_network said."""

    times_us: np.ndarray  # int64 (slice, 2): start and stop
    events: np.ndarray  # int64 (slice,)
    gains: np.ndarray  # float64 (slice, class)
    target: int  # the one class that is shown throughout

    @staticmethod
    def of(pieces: Sequence[BinnedSlice], said: Sequence[Classification], target: int) -> "StreamTrace":
        """From the slices of a recording and the engine's decision after each. Raises EventError for none."""
        if not pieces or len(pieces) != len(said):
            raise EventError(f"{len(pieces)} slices and {len(said)} decisions; want as many of both, and at least one")
        return StreamTrace(
            np.array([(piece.t_start_us, piece.t_stop_us) for piece in pieces], np.int64),
            np.array([piece.counts.sum() for piece in pieces], np.int64),
            np.stack([item.scores for item in said]),
            target,
        )


def follow(rule: StreamRule, trace: StreamTrace) -> tuple[np.ndarray, np.ndarray]:
    """The label after each slice, int64 (slice,), -1 unknown; and the lead of the first over the second, float64."""
    decider = StreamDecider(rule, ("",) * trace.gains.shape[1])
    said, leads = [], []
    for (start, stop), events, gain in zip(trace.times_us.tolist(), trace.events.tolist(), trace.gains, strict=True):
        said.append(decider.advance(start, stop, events, gain))
        leads.append(decider.lead)
    return np.array(said, np.int64), np.array(leads)


def choose_stream(
    rule: StreamRule,
    traces: Sequence[StreamTrace],
    reliability: float = 0.95,
    proof: str = "exact",
    confidence: float = 0.95,
    seed: int = 0,
) -> StreamRule:
    """`rule` with the smallest margin that keeps the promise on these recordings; its own margin does not count.

    proof "exact" holds with `confidence` for exchangeable recordings, "none" is the share that was found. `seed` draws
    the halves. Raises EventError for values out of range, and where no margin can be proven.
    """
    check_request("margin", "right", proof, reliability, confidence)
    if len(traces) < 2:
        raise EventError(f"there {'is 1 recording' if traces else 'are no recordings'} to choose on, want at least 2")
    order = np.random.default_rng(seed).permutation(len(traces)).tolist()
    spans = [traces[i] for i in (order if proof == "none" else order[::2])]
    tests = spans if proof == "none" else [traces[i] for i in order[1::2]]
    largest = max(float(follow(rule, trace)[1].max()) for trace in spans)
    delta, share = (1.0 - confidence) / MARGINS, 1.0 - reliability
    best = (0, 0)
    for margin in (np.linspace(0.0, largest, MARGINS + 1)[1:] if largest > 0 else np.empty(0)).tolist():
        tried = replace(rule, margin=margin)
        said, wrong = count_recordings(tried, tests)
        best = max(best, (said, -wrong))
        proven = tail(wrong, said, share) <= delta if proof == "exact" else said > 0 and wrong <= share * said
        if proven:
            return replace(
                tried, promise=_promise(reliability, proof, confidence, delta, seed, len(tests), said, wrong)
            )
    raise EventError(
        f"no margin can be proven reliable to {reliability:.2%}: of {len(tests)} recordings to test on, at best "
        f"{best[0]} got a label, {-best[1]} of them a wrong one at some time, and it takes "
        f"{least_samples(share, delta)} without any; give more recordings, a lower reliability, a longer leak or "
        "proof 'none'"
    )


def count_recordings(rule: StreamRule, traces: Sequence[StreamTrace]) -> tuple[int, int]:
    """During how many recordings a label was said, and during how many of these a wrong one."""
    labels = [set(follow(rule, trace)[0].tolist()) - {-1} for trace in traces]
    wrong = sum(bool(said - {trace.target}) for said, trace in zip(labels, traces, strict=True))
    return sum(map(bool, labels)), wrong


def _promise(
    reliability: float, proof: str, confidence: float, delta: float, seed: int, tested: int, said: int, wrong: int
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "promise": "right",
        "means": "of the recordings during which a label is said, all that is said is right",
        "reliability": reliability,
        "proof": proof,
        "tested_on": tested,
        "said": said,
        "wrong": wrong,
    }
    if proof == "exact":
        found |= {"confidence": confidence, "margins_tried": MARGINS, "seed": seed}
        found |= {"proven": lower_bound(said - wrong, said, 1.0 - delta)}
    return found
