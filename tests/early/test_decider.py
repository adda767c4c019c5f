"""The node, the config and the verbs: the same decisions as the library, refusals before anything runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.nodes.config import ConfigError, load_config
from dvs_run.nodes.decider import Decider, DeciderConfig
from dvs_run.pipeline.early import (
    ExitRule,
    StreamDecider,
    StreamRule,
    gains_network,
    load_rule,
    made_for,
    save_rule,
)
from dvs_run.pipeline.encode import CurrentEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout
from dvs_run.pipeline.stream import BinnedSlice, Image, StreamInfo

from .test_stream import network

EVENTS = StreamInfo("hands", SensorSize(8, 8), timestep_us=5_000)
DIGIT = StreamInfo("digit", SensorSize(6, 6), 1, timestep_us=1_000)


def image_network():
    """Two classes: the left half is bright, or the right half is."""
    side = np.ones((2, 1, 6, 6), np.float32)
    side[0, 0, :, 3:] = side[1, 0, :, :3] = -1.0
    layers = (
        Conv2d("conv", ("input",), side / np.float32(18)),
        IF("if", ("conv",), np.full(2, 0.3, np.float32), np.zeros(2, np.float32)),
        Linear("out", ("if",), np.eye(2, dtype=np.float32)),
    )
    return Network(layers, (1, 6, 6), ("left", "right"), Readout("membrane"))


def picture(share, noise, seed):
    """Bright on the left by so much; below 0.5 it is the right."""
    pixels = np.full((1, 6, 6), 1 - share, np.float32)
    pixels[..., :3] = share
    return np.clip(pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Networks, 400 pictures with labels, and thresholds by hand."""
    folder = tmp_path_factory.mktemp("early")
    image_network().save(folder / "image.npz")
    network().save(folder / "events.npz")
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.1, 0.9, 400)
    pixels = np.stack([picture(share, 0.2, seed) for seed, share in enumerate(shares)])
    write_idx(folder / "train-images-idx3-ubyte", np.rint(255 * pixels[:, 0]).astype(np.uint8))
    write_idx(folder / "train-labels-idx1-ubyte", (shares < 0.5).astype(np.uint8))
    by_hand(folder, "hand.json", image_network(), "image.npz", "current", [9.0, 2.0, 2.0, 2.0, 2.0, 0.0])
    return folder


def by_hand(folder, name, target, file, given, thresholds):
    origin = made_for(target, file, "int16", given, target.timestep_us)
    thresholds = np.array(thresholds)
    said = {"means": "an early answer is right", "promise": "right", "reliability": 0.9}
    save_rule(ExitRule("margin", thresholds, np.ones(len(thresholds)), said, origin), folder / name)


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(head + array.tobytes())


def decider(folder, **settings):
    settings = {"network": str(folder / "image.npz"), **settings}
    return Decider(DeciderConfig(**settings))


def test_an_image_gets_one_answer_as_soon_as_the_rule_allows_and_the_rest_is_not_computed(folder):
    node = decider(folder, thresholds=str(folder / "hand.json"))
    node.open()
    engine, rule = Engine(image_network(), 1_000), load_rule(folder / "hand.json")
    total = 0
    for share in (0.9, 0.6, 0.5, 0.1):
        pieces = list(CurrentEncoder(6).encode(Image(picture(share, 0.05, 1))))
        node.begin(DIGIT)
        found = [said for piece in pieces for said in node.process(piece)] + list(node.finish())
        engine.reset()
        said = [engine.step(piece) for piece in pieces]
        step = next(s for s in range(1, 7) if rule.stops(s, said[s - 1]))
        assert [(item.t_stop_us, item.index) for item in found] == [(step * 1000, said[step - 1].index)]
        assert np.array_equal(found[0].scores, said[step - 1].scores)
        assert found[0].recording == "digit"
        total += step
    rows = dict(node.report())
    assert f"after {total / 4:.1f} timesteps in the mean" in rows["early"]
    assert rows["slices left out"] == f"{1 - total / 24:.1%} of 24"
    assert "an early answer is right: 90.00% of them; a figure of the samples that chose it" in rows["promise"]


def test_what_ends_before_any_threshold_is_decided_at_its_end(folder):
    node = decider(folder, thresholds=str(folder / "hand.json"))
    node.open()
    node.begin(DIGIT)
    assert [s for piece in CurrentEncoder(1).encode(Image(picture(0.9, 0, 1))) for s in node.process(piece)] == []
    assert [said.t_stop_us for said in node.finish()] == [1_000]
    assert list(node.finish()) == []


def test_a_recording_without_a_slice_gets_no_answer(folder):
    node = decider(folder, thresholds=str(folder / "hand.json"))
    node.open()
    node.begin(DIGIT)
    assert list(node.finish()) == []


def event_slices(seed, count=60):
    rng = np.random.default_rng(seed)
    for n in range(count):
        cells = np.sort(rng.choice(128, 30 if n % 40 < 30 else 0, replace=False)).astype(np.int32)
        yield BinnedSlice(n * 5_000, (n + 1) * 5_000, cells, np.ones(len(cells), np.int32))


def test_a_stream_gets_a_label_after_every_slice_as_the_library_decides(folder):
    own = {"margin": 2.0, "leak_us": 40_000, "steady_us": 10_000, "least_rate_hz": 2_000.0}
    node = decider(folder, network=str(folder / "events.npz"), **own)
    node.open()
    engine, library = Engine(gains_network(network(), None)), StreamDecider(StreamRule(**own), network().labels)
    for seed in (1, 2):
        node.begin(EVENTS)
        engine.reset()
        library.reset()
        for piece in event_slices(seed):
            (found,) = node.process(piece)
            wanted = library.step(piece, engine.step(piece))
            assert (found.index, found.label, found.synops) == (wanted.index, wanted.label, wanted.synops)
            assert found.scores.tobytes() == wanted.scores.tobytes()
        assert list(node.finish()) == []
    rows = dict(node.report())
    assert "of the time; nothing was happening in" in rows["unknown"]
    assert "a minute" in rows["changes of label"]


def test_input_of_another_kind_than_the_thresholds_were_chosen_on_is_refused(folder):
    node = decider(folder, thresholds=str(folder / "hand.json"))
    node.open()
    node.begin(DIGIT)
    one = np.zeros(1, np.int32)
    with pytest.raises(NetworkError, match="was chosen on current, here events come in"):
        list(node.process(BinnedSlice(0, 1_000, one, one + 1)))
    by_hand(folder, "events.json", network(), "events.npz", "events", [1.0, 1.0])
    node = decider(folder, network=str(folder / "events.npz"), thresholds=str(folder / "events.json"))
    node.open()
    node.begin(StreamInfo("fast", SensorSize(8, 8), timestep_us=1_000))
    with pytest.raises(NetworkError, match="chosen with slices of 5000 µs, here they are 1000 µs"):
        list(node.process(BinnedSlice(0, 1_000, one, one + 1)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ["thresholds: missing, want a file made by `dvs early`, or a margin of your own"]),
        ({"leak_us": 5}, ["thresholds: missing"]),
        (
            {"thresholds": "none.json", "network": "none.npz"},
            ["there is no network", "there is no file none.json"],
        ),
        ({"margin": 1.0}, ["network: the network has no timestep; a stream needs"]),
        (
            {"thresholds": "hand.json", "margin": 1.0, "leak_us": 9, "numbers": "int8"},
            ["margin: it is given beside thresholds", "leak_us: it is given beside", "chosen with numbers int16"],
        ),
        ({"thresholds": "hand.json", "network": "events.npz"}, ["chosen for another network (image.npz, sha256"]),
    ],
)
def test_every_contradiction_is_told_before_anything_runs(folder, settings, said):
    paths = {key: str(folder / settings[key]) for key in ("network", "thresholds") if key in settings}
    if paths.get("thresholds", "").endswith("none.json"):
        paths["thresholds"] = "none.json"
    faults = decider(folder, **{**settings, **paths}).check()
    assert len(faults) == len(said)
    for fault, text in zip(faults, said, strict=True):
        assert text in fault
    with pytest.raises(NetworkError):
        decider(folder, **{**settings, **paths}).open()


def test_a_config_is_checked_like_all_others(folder, tmp_path):
    nodes = {
        "images": {"kind": "images", "path": str(folder / "train-images-idx3-ubyte")},
        "encoder": {"kind": "encoder", "input": "images", "method": "current", "timesteps": 6},
        "decider": {"kind": "decider", "input": "encoder", "network": str(folder / "image.npz"), "margin": 0,
                    "release": 2.0, "leak": 5},
    }  # fmt: skip
    (tmp_path / "wrong.yaml").write_text(json.dumps({"nodes": nodes}))
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "wrong.yaml")
    text = str(refused.value)
    assert all(part in text for part in ("margin", "above 0", "release", "at most 1", "unknown key; did you mean"))


CHOOSE = ["--timesteps", "6", "--encoding", "current", "--reliability", "0.9"]


def test_thresholds_are_chosen_and_then_evaluated(folder, capsys, tmp_path):
    images = str(folder / "train-images-idx3-ubyte")
    out, figures = tmp_path / "rule.json", tmp_path / "figures.json"
    options = ["--images", images, "--first", "100", *CHOOSE]
    assert main(["early", str(folder / "image.npz"), *options, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "an early answer is right: 90.00% stated, at least 9" in said
    assert "on 150 samples" in said
    evaluation = ["--images", images, "--limit", "100", "--timesteps", "6", "--encoding", "current"]
    assert main(["evaluate", str(folder / "image.npz"), *evaluation, "--early", str(out), "--out", str(figures)]) == 0
    assert "reliability" in capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert found["early"]["n"] == found["n"] == 100
    assert found["early"]["accuracy_at_full_length"] == found["accuracy"]
    assert found["early"]["mean_timesteps"] < 6
    assert 0 < found["early"]["synops_saved"] < 1
    assert found["early"]["promised"]["tested_on"] == 150
    assert main(["evaluate", str(folder / "image.npz"), *evaluation[:-2], "--early", str(out)]) == 1
    assert "it was chosen on current, here poisson come in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "either --recordings FOLDER or --images FILE"),
        (["--images", "x", "--stream"], "leave --stream out"),
        (["--images", "IMAGES", *CHOOSE, "--limit", "20"], "no rule can be proven reliable to 90.00%"),
        (["--images", "IMAGES", *CHOOSE, "--rule", "gap"], "kind is 'gap', want margin or sequential"),
        (["--images", "missing", "--reliability", "1.5"], "reliability is 1.5, want above 0 and below 1"),
        (["--recordings", "missing", "--stream", "--confidence", "0"], "confidence is 0.0, want above 0 and below 1"),
        (["--images", "IMAGES", "--first", "500"], "there are no images"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_a_sentence(folder, capsys, tmp_path, options, said):
    options = [str(folder / "train-images-idx3-ubyte") if word == "IMAGES" else word for word in options]
    assert main(["early", str(folder / "image.npz"), *options, "--out", str(tmp_path / "rule.json")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "rule.json").exists()


def test_a_stream_is_chosen_and_evaluated_on_recordings(folder, capsys, tmp_path):
    from .test_stream import random_stream

    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for seed in range(4):
            np.savez(tmp_path / "set" / name / f"{seed}.npz", events=random_stream(seed, 600, 60_000))
    out, figures = tmp_path / "rule.json", tmp_path / "figures.json"
    data = ["--recordings", str(tmp_path / "set")]
    model = str(tmp_path / "net.npz")
    network(side=34).save(model)  # N-MNIST's sensor: an .npz of events does not say its own
    options = ["--stream", "--proof", "none", "--reliability", "0.3", "--steady-us", "5000"]
    code = main(["early", model, *data, *options, "--out", str(out)])
    assert code == 0, capsys.readouterr().err
    assert main(["evaluate", model, *data, "--early", str(out), "--out", str(figures)]) == 0
    assert "changes of label a recording" in " ".join(capsys.readouterr().out.split())
    found = json.loads(figures.read_text())
    assert found["early"]["accuracy_at_full_length"] == found["accuracy"]
    assert found["early"]["n"] == 8
    assert load_rule(out).steady_us == 5_000


def test_the_shipped_thresholds_are_for_the_shipped_networks():
    networks = Path(__file__).parents[2] / "recordings" / "networks"
    for path in sorted(networks.glob("*.json")):
        rule = load_rule(path)
        network_of = Network.load(networks / rule.made_for["network"])
        assert Decider(DeciderConfig(str(networks / rule.made_for["network"]), str(path))).check() == []
        assert rule.promise["proven"] >= rule.promise["reliability"]
        assert len(network_of.labels) > 1
