"""A wrong config is told what is wrong: all of it at once, where, what was found, what is wanted, what was meant."""

import os

import pytest
import yaml

from dvs_run.nodes.config import ConfigError, load_config, load_yaml, parse_value
from dvs_run.nodes.recording import RecordingConfig

GOOD = """
nodes:
  recording: {kind: recording, path: rec.npz}
  binner: {kind: binner, input: recording}
  classifier: {kind: classifier, input: binner, network: net.npz}
  printer: {kind: printer, input: classifier}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "test.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def faults(path, overrides=()):
    with pytest.raises(ConfigError) as raised:
        load_config(path, list(overrides))
    return str(raised.value)


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_config_is_taken(write):
    config = load_config(write(GOOD))
    assert list(config.graph.nodes) == ["recording", "binner", "classifier", "printer"]
    assert config.settings.placement == "threads"
    assert config.graph.nodes["binner"].config.window_us == 5000


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ["found nothing, want keys with values"]),
        ("[1, 2]", ["found [1, 2] (a list), want keys with values"]),
        ("placement: threads", ["nodes is missing"]),
        ("nodes: {}", ["want at least one node"]),
        ("nodes: {a: 3}", ["nodes.a: found 3 (a whole number), want kind: one of binner"]),
        (GOOD + "placment: inline", ["line 7, placment: unknown key; did you mean 'placement'?"]),
        (GOOD + "placement: thread", ["placement: found 'thread' (text)", "did you mean 'threads'?"]),
        (changed("kind: binner", "kind: biner"), ["nodes.binner.kind: there is no node kind 'biner'; did you mean"]),
        (changed("kind: binner", "kind: [a]"), ["nodes.binner.kind"]),
        (changed("input: recording", "window: 5"), ["line 4, nodes.binner.window: unknown key; did you mean"]),
        (changed("kind: binner,", "kind: binner, window_us: fast,"), ["window_us: found 'fast' (text), want a whole"]),
        (changed("kind: binner,", 'kind: binner, window_us: "5",'), ["window_us: found '5' (text)"]),
        (changed("kind: binner,", "kind: binner, window_us: 0,"), ["window_us: found 0", "at least 1"]),
        (changed("kind: binner,", "kind: binner, window_us: 5.5,"), ["found 5.5 (a real number), want a whole number"]),
        (changed("kind: binner,", "kind: binner, window_us: true,"), ["found true (yes/no), want a whole number"]),
        (changed("kind: binner,", "kind: binner, window_us: on,"), ["found 'on' (text)"]),
        (changed("network: net.npz", "any_timestep: true"), ["network is missing, want network: text"]),
        (changed("input: binner, n", "input: bin, n"), ["input: found 'bin' (text)", "did you mean 'binner'?"]),
        (changed("input: binner, n", "n"), ["nodes.classifier: input is missing"]),
        (changed("input: binner, n", "input: recording, n"), ["recording (recording) emits EventPacket, but"]),
        (changed("input: recording", "input: printer"), ["emits nothing: it is a sink"]),
        (changed("input: recording", "input: recording, inputs: {a: recording}"), ["input and inputs are both given"]),
        (changed("input: recording", "inputs: {a: recording, b: recording}"), ["a binner has one input, found 2"]),
        (changed("input: recording", "inputs: 3"), ["nodes.binner.inputs: found 3"]),
        (changed("input: recording", "input: recording, queue: 0"), ["queue: found 0 (a whole number)", "at least 1"]),
        (changed("input: recording", "input: recording, when_full: drop"), ["when_full: found 'drop'"]),
        (changed("input: recording", "input: recording, listen: localhost"), ["listen: found 'localhost'", "tcp://"]),
        (changed("path: rec.npz", "path: rec.npz, input: binner"), ["nodes.recording.input: unknown key"]),
        (changed("path: rec.npz", "path: rec.npz, pace: slow"), ["pace: found 'slow' (text), want 'realtime'"]),
        (changed("path: rec.npz", "path: rec.npz, pace: 0"), ["pace: found 0"]),
        (
            changed("path: rec.npz", "path: rec.npz, sensor: [1]"),
            ["sensor: found [1] (a list)", "want a list of 2 values, each a whole number"],
        ),
        (changed("path: rec.npz", "path: rec.npz, stop_us: 5, start_us: 9"), ["stop_us is 5, want more"]),
        (changed("  printer:", "  binner:"), ["nodes.binner: given twice, in lines 4 and 6"]),
        (changed("  printer:", "  3d view:"), ["a node is called '3d view'; want letters"]),
        ("a: [", ["line 1", "is it YAML?"]),
        ("a: b: c", ["line 1: mapping values are not allowed here"]),
        ("a: !!python/object/apply:os.system [echo]", ["could not determine a constructor"]),
        (b"\xff\xfe\x00a", ["not readable as YAML"]),
        ("a: &x [*x]", ["an anchor contains itself"]),
        ("? [a, b]\n: 1", ["a key must be a word"]),
        ("nodes:\n  a: {kind: printer, input: a}", ["emits nothing", "no node is a source"]),
    ],
)
def test_what_is_wrong_is_said(write, text, sentences):
    told = faults(write(text))
    for sentence in sentences:
        assert sentence in told


def test_all_faults_are_told_at_once(write):
    text = "placement: thread\nnodes:\n  r: {kind: recording}\n  b: {kind: binner, input: x, window_us: -1, quue: 3}\n"
    told = faults(write(text))
    assert told.startswith(f"{write(text)}: 5 faults")
    for where in ("placement", "nodes.r", "nodes.b.input", "nodes.b.window_us", "nodes.b.quue"):
        assert where in told


def test_a_circle_is_drawn(write, monkeypatch):
    from dvs_run.nodes import catalogue

    monkeypatch.setitem(catalogue.KINDS, "echo", "tests.nodes.misbehaving:Echo")
    text = "nodes:\n  r: {kind: recording, path: x}\n  a: {kind: echo, input: b}\n  b: {kind: echo, input: a}\n"
    assert "feed themselves in a circle: a -> b -> a" in faults(write(text)).replace("b -> a -> b", "a -> b -> a")


def test_two_inputs_cannot_listen_at_one_port(write):
    text = GOOD.replace("input: recording", 'input: recording, listen: "tcp://127.0.0.1:5555"')
    text = text.replace("input: binner", 'input: binner, listen: "tcp://127.0.0.1:5555"')
    assert "tcp://127.0.0.1:5555 is taken by the input of binner" in faults(write(text))


def test_a_bomb_of_anchors_is_refused_at_once(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "anchors count as often as they are used" in faults(write("\n".join(lines)))


def test_deep_nesting_and_size_are_refused(write):
    assert "nested too deeply" in faults(write("[" * 4_000))
    assert "is it a config?" in faults(write("#" * (2 << 20)))


def test_a_missing_file_is_told_with_what_there_is(write, tmp_path):
    write(GOOD)
    assert "there is no such file; did you mean 'test.yaml'?" in faults(tmp_path / "tst.yaml")


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is a pipe or a device, want a file" in faults(tmp_path / "pipe.yaml")
    assert "is a folder, want a file" in faults(tmp_path)


def test_a_training_config_is_told_apart(write):
    assert "is a training config; want `dvs train" in faults(write("data: {kind: images}\nmodel: {layers: []}"))


def test_settings_can_be_overridden(write):
    config = load_config(write(GOOD), ["nodes.binner.window_us=2000", "placement=inline", "nodes.recording.pace=2.5"])
    assert config.graph.nodes["binner"].config.window_us == 2000
    assert config.settings.placement == "inline"
    assert config.graph.nodes["recording"].config.pace == 2.5


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("nodes.bin.window_us=2", "there is no nodes.bin; did you mean 'binner'?"),
        ("nodes.binner.windowus=2", "nodes.binner.windowus: unknown key; did you mean 'window_us'?"),
        ("nodes.binner.window_us", "want PATH=VALUE"),
        ("nodes.binner.window_us=[", "is not a YAML value"),
        ("nodes.binner.window_us.x=1", "nodes.binner.window_us: found"),
        ("=1", "want PATH=VALUE"),
        ("nodes.binner.window_us=fast", "--set nodes.binner.window_us: found 'fast' (text)"),
        ("nodes.binner.listen=foo", "want text like tcp://HOST:PORT"),
        ("nodes.recording.sensor=[128]", "want a list of 2 values, each a whole number"),
        ("nodes.recording.sensor=[0, 0]", "sensor width is 0, want 1 to 65535 pixels"),
    ],
)
def test_a_wrong_override_is_told(write, override, sentence):
    text = GOOD.replace("input: recording", "input: recording, window_us: 7")
    told = faults(write(text), [override])
    assert sentence in told or "holds no keys" in told


def test_paths_begin_at_the_config_but_those_of_the_command_line_where_it_is_typed(write, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write(GOOD.replace("rec.npz", "[../rec.npz, /data/a.npz]"))
    config = load_config(path, ["nodes.classifier.network=net2.npz"])
    assert config.graph.nodes["recording"].config.path == [str(tmp_path.parent / "rec.npz"), "/data/a.npz"]
    assert config.graph.nodes["classifier"].config.network == str(tmp_path / "elsewhere" / "net2.npz")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5000", 5000),
        ("5_000", 5000),
        ("1e3", 1000.0),
        ("2.5", 2.5),
        ("-1", -1),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("007", "007"),
        ("~", None),
        ("", None),
        ("[a, 1]", ["a", 1]),
        ('"5"', "5"),
        ("-", "-"),
        ("*.aedat4", "*.aedat4"),
        ("@home", "@home"),
    ],
)
def test_words_are_read_as_yaml_1_2_reads_them(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value) or isinstance(value, float)


def test_other_users_of_yaml_keep_their_loader():
    assert yaml.safe_load("a: yes") == {"a": True}


def test_a_training_config_is_any_mapping(write):
    assert load_yaml(write("a: {b: 1}")) == {"a": {"b": 1}}
    with pytest.raises(ConfigError, match="want keys with values"):
        load_yaml(write("- a"))


def test_anchors_and_merges_work(write):
    text = GOOD.replace("{kind: printer, input: classifier}", "&p {kind: printer, input: classifier, every_us: 5}")
    config = load_config(write(text + "  second:\n    <<: *p\n    every_us: 7\n"))
    assert config.graph.nodes["second"].config.every_us == 7


def test_the_graph_is_drawn_as_a_tree(write):
    text = GOOD + "  score: {kind: score, input: {from: classifier, queue: 3, when_full: latest}}\n"
    drawn = load_config(write(text)).graph.draw().splitlines()
    assert drawn[0].startswith("recording  [recording]  path ")
    assert drawn[1].startswith("└─ binner  [binner]  window_us 5000   <- queue 64, wait")
    assert drawn[3].lstrip().startswith("├─ printer")
    assert drawn[4].lstrip().startswith("└─ score  [score]   <- queue 3, latest")


def test_a_queue_behind_a_live_source_drops_the_oldest_unless_told(write, monkeypatch):
    monkeypatch.setattr("dvs_run.nodes.recording.Recording.live", True)
    config = load_config(write(GOOD))
    assert config.graph.nodes["binner"].inputs[0].when_full == "drop_oldest"
    assert config.graph.nodes["classifier"].inputs[0].when_full == "wait"


def test_constructors_refuse_settings_that_contradict_each_other():
    with pytest.raises(Exception, match="stop_us"):
        RecordingConfig("x", start_us=5, stop_us=5)
