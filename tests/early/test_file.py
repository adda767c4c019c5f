"""Rules are small readable files that are refused for another network."""

import dataclasses
import json

import numpy as np
import pytest

from dvs_run.pipeline.early import (
    ExitRule,
    StreamRule,
    check_fits,
    check_input,
    load_rule,
    made_for,
    network_digest,
    save_rule,
)
from dvs_run.pipeline.errors import DvsError, NetworkError
from dvs_run.pipeline.network import Readout

from .test_stream import network


def exit_rule(kind="margin"):
    scales = np.ones(3) if kind == "margin" else np.array([0.1, 0.2, 1 / 3])
    target = made_for(network(), "net.npz", "int16", "events", 5_000)
    return ExitRule(kind, np.array([np.inf, 1 / 3, 0.1]), scales, {"promise": "right", "reliability": 0.9}, target)


@pytest.mark.parametrize("kind", ["margin", "sequential"])
def test_an_exit_rule_comes_back_with_the_same_bits(kind, tmp_path):
    rule = exit_rule(kind)
    save_rule(rule, tmp_path / "rule.json")
    back = load_rule(tmp_path / "rule.json")
    assert back.kind == kind
    assert back.thresholds.tobytes() == rule.thresholds.tobytes()
    assert back.scales.tobytes() == rule.scales.tobytes()
    assert (back.promise, back.made_for) == (rule.promise, rule.made_for)


def test_a_stream_rule_comes_back_the_same(tmp_path):
    rule = StreamRule(1 / 3, 123, 0.25, 7, 9.5, {"reliability": 0.9}, exit_rule().made_for)
    save_rule(rule, tmp_path / "rule.json")
    assert load_rule(tmp_path / "rule.json") == rule


def test_the_digest_is_of_what_decides_and_of_nothing_else():
    ours = network_digest(network())
    assert ours == network_digest(dataclasses.replace(network(), provenance={"note": "moved"}))
    first = network().layers[0]
    weight = first.weight.copy()
    weight[0, 0, 0, 0] = np.nextafter(weight[0, 0, 0, 0], np.float32(9))
    others = [
        dataclasses.replace(network(), layers=(dataclasses.replace(first, weight=weight), *network().layers[1:])),
        dataclasses.replace(network(), labels=("a", "c", "b")),
        dataclasses.replace(network(), timestep_us=4_000),
        network("softmax_rate"),
    ]
    assert len({ours, *map(network_digest, others)}) == 5


def test_a_setting_that_a_later_version_adds_changes_no_digest_unless_it_is_used():
    @dataclasses.dataclass(frozen=True)
    class LaterReadout(Readout):
        added: int = 0

    LaterReadout.__name__ = "Readout"
    ours, later = network(), [LaterReadout("membrane", 100_000, added=value) for value in (0, 1)]
    same, other = (network_digest(dataclasses.replace(ours, readout=readout)) for readout in later)
    assert same == network_digest(ours) != other


def test_a_network_that_was_saved_and_loaded_has_the_same_digest(tmp_path):
    network().save(tmp_path / "net.npz")
    assert network_digest(type(network()).load(tmp_path / "net.npz")) == network_digest(network())


def test_a_rule_for_another_network_numbers_or_input_is_refused_with_the_way_out():
    rule = exit_rule()
    assert check_fits(rule, network(), "int16") == []
    faults = check_fits(rule, network(timestep_us=4_000), "int8")
    assert "chosen for another network (net.npz, sha256" in faults[0]
    assert "dvs early" in faults[0]
    assert faults[1].startswith("it was chosen with numbers int16, here they are int8")
    assert check_input(rule, "events", 5_000) == []
    assert check_input(rule, "poisson", 5_000) == [
        "it was chosen on events, here poisson come in; choose thresholds on such input"
    ]
    assert "slices of 5000 µs, here they are 2000 µs" in check_input(rule, "events", 2_000)[0]


def test_a_rule_without_an_origin_fits_everything():
    rule = StreamRule(1.0)
    assert check_fits(rule, network(), "int8") == check_input(rule, "events", 1) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "is of version 2, this program reads 1"),
        ({"rule": "gap"}, "the rule is 'gap'"),
        ({"thresholds": [1.0, "x", None]}, "could not convert"),
        ({"thresholds": []}, "want one of each a timestep"),
        ({"made_for": {"network": "n"}}, "made_for lacks"),
        ({"rule": "stream"}, "leak_us"),
        ({"thresholds": {}}, "want a file of thresholds"),
    ],
)
def test_a_file_that_is_something_else_is_refused(change, said, tmp_path):
    save_rule(exit_rule(), tmp_path / "rule.json")
    document = json.loads((tmp_path / "rule.json").read_text()) | change
    (tmp_path / "rule.json").write_text(json.dumps(document))
    with pytest.raises(NetworkError, match=said):
        load_rule(tmp_path / "rule.json")


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"version": 1}', "\x00\xff", "[" * 100_000])
def test_a_file_of_rubbish_is_refused(text, tmp_path):
    (tmp_path / "rule.json").write_text(text, encoding="latin-1")
    with pytest.raises(NetworkError, match="made by `dvs early`"):
        load_rule(tmp_path / "rule.json")


def test_files_that_are_not_there_are_told(tmp_path):
    with pytest.raises(NetworkError, match="there is no file"):
        load_rule(tmp_path / "none.json")
    with pytest.raises(DvsError, match="cannot be written"):
        save_rule(exit_rule(), tmp_path / "none" / "rule.json")
