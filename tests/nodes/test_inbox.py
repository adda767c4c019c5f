"""One input under friends and strangers: who is heard, what is dropped, what is counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.nodes.graph import Edge
from dvs_run.nodes.inbox import Backlog, Inbox, LostError, NeighbourStopped
from dvs_run.nodes.messages import End, Failed, Message, Status, to_frames
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.stream import BinnedSlice, StreamInfo

INFO = StreamInfo("hands", SensorSize(7, 5))


def frames(payload, sequence=0, source="binner"):
    return to_frames(Message(payload, source, sequence))


def piece(start=0):
    return BinnedSlice(start, start + 5, np.array([3], "i4"), np.ones(1, "i4"))


class Answers(list):
    def __call__(self, identity, state, report):
        self.append((identity, state, report))


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def inbox(answers):
    """An input that may not lose anything, its producer connected."""
    made = Inbox(Edge("binner", "classifier", "input", 4, "wait"), "graph", answers)
    made.sort(b"peer", frames(Status("hello", {"graph": "graph"})))
    return made


def test_a_hello_is_answered_with_ready_as_often_as_it_comes(inbox, answers):
    inbox.sort(b"peer", frames(Status("hello", {"graph": "graph"})))
    assert answers == [(b"peer", "ready", {})] * 2


def test_a_producer_with_another_graph_is_told_to_stop(answers):
    inbox = Inbox(Edge("binner", "classifier", "input", 4, "wait"), "graph", answers)
    inbox.sort(b"peer", frames(Status("hello", {"graph": "other"})))
    assert inbox.peer is None
    assert answers[0][1] == "stop"
    assert "different graphs" in answers[0][2]["reason"]


def test_messages_come_through_in_order(inbox):
    sent = [INFO, piece(0), piece(5), End()]
    got = [inbox.open(inbox.sort(b"peer", frames(payload, n))) for n, payload in enumerate(sent)]
    assert [type(message.payload) for message in got] == [type(payload) for payload in sent]
    assert inbox.counters.received == 4
    assert inbox.counters.refused == inbox.counters.missing == 0


def test_strangers_are_refused_and_counted(inbox):
    assert inbox.sort(b"stranger", frames(INFO)) is None
    assert inbox.sort(b"stranger", []) is None
    assert inbox.sort(b"stranger", frames(Status("hello", {"graph": "graph"}), source="mallory")) is None
    assert inbox.peer == b"peer"
    assert inbox.counters.refused == 3
    assert "had not said hello" in inbox.counters.first_fault


def test_nobody_takes_the_place_of_a_producer_that_has_begun(inbox):
    inbox.open(frames(INFO, 0))
    inbox.sort(b"stranger", frames(Status("hello", {"graph": "graph"})))
    assert inbox.peer == b"peer"


def test_a_malformed_message_is_counted_and_the_next_one_is_taken(inbox):
    inbox.open(frames(INFO, 0))
    assert inbox.open([b"slice", b"\xc1garbage", b""]) is None
    assert inbox.open(frames(piece(), 2)).sequence == 2
    assert (inbox.counters.received, inbox.counters.refused, inbox.counters.missing) == (2, 1, 0)


def test_a_gap_is_an_error_where_nothing_may_be_missing(inbox):
    inbox.open(frames(INFO, 0))
    with pytest.raises(LostError, match="2 messages from binner are missing before number 3"):
        inbox.open(frames(piece(), 3))


def test_a_gap_is_counted_where_drops_are_allowed(answers):
    inbox = Inbox(Edge("binner", "classifier", "input", 4, "latest"), "graph", answers)
    inbox.open(frames(INFO, 0))
    inbox.open(frames(piece(), 5), dropped=3)
    assert (inbox.counters.received, inbox.counters.dropped, inbox.counters.missing) == (2, 3, 1)


def test_a_message_that_comes_again_is_refused(inbox):
    inbox.open(frames(INFO, 0))
    assert inbox.open(frames(INFO, 0)) is None
    assert inbox.counters.first_fault == "sequence number 0 came after 0"


def test_the_word_of_another_node_is_refused(inbox):
    assert inbox.open(frames(INFO, 0, source="camera")) is None
    assert "came from 'camera', expected 'binner'" in inbox.counters.first_fault


def test_a_failure_elsewhere_is_passed_on(inbox):
    with pytest.raises(NeighbourStopped, match="no luck"):
        inbox.open(frames(Failed("camera", "no luck"), 1))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=20))
def test_no_frames_end_the_inbox(hostile):
    answers = Answers()
    inbox = Inbox(Edge("binner", "classifier", "input", 4, "wait"), "graph", answers)
    inbox.sort(b"peer", frames(Status("hello", {"graph": "graph"})))
    for number, parts in enumerate(hostile):
        for identity in (b"peer", b"stranger"):
            kept = inbox.sort(identity, parts)
            assert kept is None or inbox.open(kept) is None
        assert inbox.counters.refused == 2 * number + 2


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 5), st.lists(st.sampled_from(["info", "data", "take"]), max_size=60))
def test_a_backlog_drops_the_oldest_data_and_counts_it(limit, steps):
    backlog, taken, sent = Backlog(limit), [], 0
    for step in steps:
        if step == "take":
            taken += [got for got in [backlog.take()] if got is not None]
        else:
            backlog.put((b"slice" if step == "data" else b"info", b"", bytes([sent])))
            sent += 1
    while (got := backlog.take()) is not None:
        taken.append(got)
    numbers = [got[2][0] for got in taken]
    assert numbers == sorted(numbers)
    assert len(taken) + backlog.dropped == sent
    assert sum(got[0] == b"info" for got in taken) == steps.count("info")


def test_latest_keeps_the_newest_only():
    backlog = Backlog(1)
    for number in range(5):
        backlog.put((b"slice", b"", bytes([number])))
    assert backlog.take()[2] == b"\x04"
    assert backlog.take() is None
    assert backlog.dropped == 4
