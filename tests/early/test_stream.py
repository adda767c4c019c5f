"""Labels over an endless stream: leaking evidence, unknown in silence, no flicker, and the same bits in a replay."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.binning import bin_events
from dvs_run.pipeline.early import StreamDecider, StreamRule, StreamTrace, choose_stream, gains_network
from dvs_run.pipeline.early.stream_report import judge_streams
from dvs_run.pipeline.early.tune import count_recordings, follow
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import EventError, NetworkError
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout
from dvs_run.pipeline.slicer import TimeSlicer

from . import naive
from .samples import a_slice, decision

SLICE_US, LABELS = 5_000, ("a", "b", "c")
RULE = StreamRule(margin=10.0, leak_us=50_000, release=0.5, steady_us=10_000, least_rate_hz=1_000.0)


def labels_of(rule, gains, events=100):
    """The label after each slice of 5 ms, as one letter each; `.` is unknown."""
    decider, said = StreamDecider(rule, LABELS), ""
    for n, gain in enumerate(gains):
        count = events[n] if isinstance(events, list) else events
        said += decider.step(a_slice(n * SLICE_US, count), decision(gain)).label or "."
    return said


def test_a_label_is_taken_up_after_its_lead_has_lasted_and_given_up_after_it_leaked_away():
    rule = StreamRule(margin=10.0, leak_us=50_000, release=0.5, steady_us=10_000)
    # 10.9 after 3 slices; 23.1 after 8, which is below 5 after 16 more, and has been so for 10 ms after 17
    assert labels_of(rule, [(4, 0, 0)] * 8 + [(0, 0, 0)] * 20) == "..." + "a" * (5 + 16) + "...."


def test_a_short_burst_for_another_class_changes_nothing():
    gains = [(4, 0, 0)] * 12 + [(0, 60, 0)] + [(60, 0, 0)] + [(4, 0, 0)] * 12
    assert set(labels_of(StreamRule(10.0, 50_000, 0.5, 10_000), gains)[4:]) == {"a"}
    assert labels_of(StreamRule(10.0, 50_000, 0.5, 0), gains)[11:14] == "aba"


def test_a_lead_between_release_and_margin_keeps_a_label_but_takes_none_up():
    rule = StreamRule(margin=10.0, leak_us=50_000, release=0.5, steady_us=0)
    steady = 7.0 * (1 - math.exp(-0.1))  # leads by 7 in the long run
    assert set(labels_of(rule, [(steady, 0, 0)] * 200)) == {"."}
    assert set(labels_of(rule, [(12, 0, 0)] + [(steady, 0, 0)] * 200)) == {"a"}


def test_silence_is_unknown_even_where_biases_say_something():
    biased = [(0, 0, 9)] * 60
    assert set(labels_of(RULE, biased, events=0)) == {"."}
    assert labels_of(RULE, biased, events=100)[-1] == "c"


def test_a_label_goes_when_the_scene_falls_silent_and_its_evidence_does_not_come_back():
    said = labels_of(RULE, [(9, 0, 0)] * 20 + [(0, 0, 9)] * 60 + [(0, 9, 0)] * 20, [100] * 20 + [0] * 60 + [100] * 20)
    assert said[19] == "a"
    assert set(said[60:80]) == {"."}
    assert set(said[80:]) == {".", "b"}


def test_the_rate_counts_events_per_second_and_its_gate_does_not_flicker():
    decider = StreamDecider(StreamRule(1.0, 50_000, 0.5, 50_000, least_rate_hz=19_000.0), LABELS)
    active = []
    for n in range(200):
        decider.step(a_slice(n * SLICE_US, 100 if n < 100 else 70), decision((0, 0, 0)))
        active.append(decider.active)
    assert decider.rate_hz == pytest.approx(70 / SLICE_US * 1e6, rel=1e-3)
    assert 20 < active.index(True) < 40  # 95 % of 20,000 a second after 3 time constants
    assert active == [False] * active.index(True) + [True] * (200 - active.index(True))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_label_is_that_of_the_whole_history(data):
    """Quarters and a leak of about ln 2 a slice keep leads away from the margin by more than rounding.

    Histories in which two classes lead alike but for rounding are left out: who is first is then no one's claim.
    """
    rule = StreamRule(
        data.draw(st.sampled_from([1.03, 2.57, 6.11])),
        data.draw(st.sampled_from([3_000, 20_000])),
        data.draw(st.sampled_from([0.0, 0.47, 1.0])),
        data.draw(st.sampled_from([0, 5_000, 15_000])),
        data.draw(st.sampled_from([0.0, 3_111.0])),
    )
    decider, twin, t = StreamDecider(rule, LABELS), naive.Stream(rule, 3), 0
    for _ in range(data.draw(st.integers(1, 25))):
        gain = [data.draw(st.integers(-4, 12)) / 4 for _ in LABELS]
        events = data.draw(st.sampled_from([0, 5, 40]))
        t += data.draw(st.sampled_from([0, 0, 0, 2])) * SLICE_US  # some slices were lost
        found = decider.advance(t, t + SLICE_US, events, np.array(gain))
        wanted = twin.step(t, t + SLICE_US, events, gain)
        lead = naive.margin(twin.evidence(t + SLICE_US))
        assume(lead == decider.lead == 0 or lead > 1e-9)
        assert found == wanted
        assert decider.evidence == pytest.approx(twin.evidence(t + SLICE_US), rel=1e-9, abs=1e-9)
        t += SLICE_US


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-5, 20)] * 3), min_size=1, max_size=40))
def test_a_lead_below_the_margin_never_takes_a_label_up(gains):
    decider = StreamDecider(StreamRule(8.0, 30_000, 0.5, 0), LABELS)
    for n, gain in enumerate(gains):
        before = decider.index
        found = decider.advance(n * SLICE_US, (n + 1) * SLICE_US, 10, np.array(gain))
        second, first = np.sort(decider.evidence)[-2:]
        if found >= 0 and found != before:
            assert first - second >= 8.0
        if found >= 0:
            assert decider.evidence[found] == first
            assert first - second >= 4.0


def network(readout="membrane", timestep_us=SLICE_US, side=8):
    rng = np.random.default_rng(5)
    layers = [
        Conv2d("conv", ("input",), rng.normal(0, 0.3, (4, 2, 3, 3)).astype(np.float32)),
        IF("if", ("conv",), np.ones(4, np.float32), np.full(4, 0.5, np.float32)),
        Linear("out", ("if",), rng.normal(0, 0.3, (3, 4 * (side - 2) ** 2)).astype(np.float32)),
    ]
    if readout == "count":
        layers.append(IF("fire", ("out",), np.ones(3, np.float32), np.full(3, 0.5, np.float32)))
    return Network(tuple(layers), (2, side, side), LABELS, Readout(readout, 100_000), timestep_us)


def random_stream(seed, n=3_000, duration_us=300_000):
    rng = np.random.default_rng(seed)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n))
    events["x"], events["y"] = rng.integers(0, 8, (2, n))
    events["p"] = rng.integers(0, 2, n).astype(bool)
    events["t"][n // 2 :] += 400_000  # a silence in the middle
    return events


def decided(rule, events, cuts):
    """Everything that is decided on a stream that came in packets cut at these events."""
    engine = Engine(gains_network(network(), None))
    decider, slicer, made = StreamDecider(rule, LABELS), TimeSlicer(SLICE_US), []
    for part in np.split(events, cuts):
        stop = int(part["t"][-1]) + 1 if len(part) else 0
        for piece in slicer.push(EventPacket(part, stop)) if len(part) else ():
            binned = bin_events(piece.events, SensorSize(8, 8), piece.t_start_us, piece.t_stop_us)
            made.append(decider.step(binned, engine.step(binned)))
    return [(item.t_stop_us, item.index, item.scores.tobytes()) for item in made]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_decisions_do_not_depend_on_where_packets_are_cut(seed):
    rule, events = StreamRule(3.0, 40_000, 0.5, 10_000, 2_000.0), random_stream(seed)
    whole = decided(rule, events, [])
    assert {index for _, index, _ in whole} >= {-1}
    assert len({index for _, index, _ in whole}) > 1
    rng = np.random.default_rng(seed)
    for _ in range(3):
        cut = decided(rule, events, np.sort(rng.integers(0, len(events), 50)))
        assert cut == whole[: len(cut)]
        assert len(cut) >= len(whole) - 1


def test_a_replay_gives_the_same_bits_also_after_a_reset():
    rule, events = StreamRule(3.0, 40_000, 0.5, 10_000, 2_000.0), random_stream(4)
    assert decided(rule, events, []) == decided(rule, events, [])
    decider = StreamDecider(RULE, LABELS)
    once, again = (
        [decider.step(a_slice(n * SLICE_US, 90), decision((n % 7, 3, 1))).scores.tobytes() for n in range(50)]
        for _ in range(2)
        if decider.reset() is None
    )
    assert once == again


@pytest.mark.parametrize("readout", ["membrane", "count"])
def test_gains_are_what_arrived_in_one_slice_and_add_up_to_the_network_s_own_scores(readout):
    plain, gains = Engine(network(readout)), Engine(gains_network(network(readout), None))
    total, kept = [], []
    for n in range(40):
        cells = np.arange(n % 5, 128, 7, dtype=np.int32)
        piece = type(a_slice(0, 0))(n * SLICE_US, (n + 1) * SLICE_US, cells, np.ones(len(cells), np.int32))
        kept.append(gains.step(piece).scores)
        total.append(plain.step(piece).scores)
    window = 100_000 // SLICE_US
    assert np.allclose(total[-1], np.sum(kept[-window:], axis=0), rtol=1e-9)
    assert np.any(total[-1] != 0)


def test_a_network_without_a_clock_or_with_a_random_readout_is_refused():
    with pytest.raises(NetworkError, match="has no timestep; a stream needs"):
        gains_network(network(timestep_us=None), None)
    with pytest.raises(NetworkError, match="'softmax_rate', whose draws cannot leak"):
        gains_network(network("softmax_rate"), None)


def test_a_single_class_is_refused():
    with pytest.raises(EventError, match="no lead among 1 classes"):
        StreamDecider(RULE, ("alone",))


def test_every_wrong_value_of_a_rule_is_told_at_once():
    with pytest.raises(EventError, match="margin is 0.*leak_us is 0.*release is 2.*steady_us is -1.*least_rate"):
        StreamRule(0, 0, 2, -1, -1)


def random_recordings(n, seed, slices=40):
    rng = np.random.default_rng(seed)
    times = np.stack([np.arange(slices), np.arange(1, slices + 1)], 1) * SLICE_US
    made = []
    for target in rng.integers(0, 3, n).tolist():
        drift = np.eye(3)[target] * rng.gamma(2.0, 0.5)
        made.append(StreamTrace(times, np.full(slices, 50), drift + rng.normal(size=(slices, 3)), target))
    return made


def test_the_chosen_margin_keeps_its_promise_on_new_recordings():
    start = StreamRule(1.0, 60_000, 0.5, 10_000)
    rule = choose_stream(start, random_recordings(300, 1), 0.85)
    said, wrong = count_recordings(rule, random_recordings(400, 2))
    assert 1 - wrong / said >= 0.85
    assert said > 100
    assert rule.promise["proven"] >= 0.85
    assert rule.margin > choose_stream(start, random_recordings(300, 1), 0.6).margin


def test_a_margin_that_cannot_be_proven_is_refused():
    with pytest.raises(EventError, match="no margin can be proven reliable to 99.00%: of 20 recordings to test on"):
        choose_stream(StreamRule(1.0), random_recordings(40, 3), 0.99)
    with pytest.raises(EventError, match="proof is 'maybe'"):
        choose_stream(StreamRule(1.0), random_recordings(4, 3), 0.9, proof="maybe")


def test_the_report_on_streams_counts_by_hand():
    times = np.stack([np.arange(4), np.arange(1, 5)], 1) * SLICE_US
    rule = StreamRule(2.0, 1_000_000_000, 0.5, 0)
    right = StreamTrace(times, np.full(4, 9), np.array([[1.0, 0, 0], [3, 0, 0], [0, 0, 0], [0, 0, 0]]), 0)
    wrong = StreamTrace(times, np.full(4, 9), np.array([[0.0, 9, 0]] + [[0, 0, 0]] * 3), 0)
    silent = StreamTrace(times, np.full(4, 9), np.zeros((4, 3)), 0)
    assert follow(rule, right)[0].tolist() == [-1, 0, 0, 0]
    figures = judge_streams(rule, [right, wrong, silent], None).plain()
    assert (figures["n"], figures["undecided"], figures["said"]) == (3, 1, 2)
    assert figures["reliability_achieved"] == 0.5
    assert figures["mean_ms"] == 10.0
    assert figures["time_unknown"] == pytest.approx(5 / 12)
    assert figures["time_right"] == pytest.approx(3 / 12)
    assert figures["changes_a_recording"] == pytest.approx(1 / 3)
    assert figures["right_at_the_end"] == figures["accuracy_at_full_length"] == pytest.approx(1 / 3)
