"""The schema for editors, the docs and the code name the same keys."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from dvs_run.nodes.catalogue import KINDS, KindError, known_kinds, load_kind
from dvs_run.nodes.commands import main
from dvs_run.nodes.commands.schema import config_schema
from dvs_run.nodes.config import RunSettings, load_config
from dvs_run.nodes.graph import Input
from dvs_run.nodes.header import ABOUT, Header

ROOT = Path(__file__).resolve().parents[2]
CONFIG_PAGE = (ROOT / "docs" / "config.md").read_text()
WIRE_PAGE = (ROOT / "docs" / "wire.md").read_text()
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.name.startswith("train-"))


def fields(cls):
    return [field.name for field in dataclasses.fields(cls)]


def test_the_command_prints_json(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()


def test_the_schema_knows_every_key_of_every_kind():
    kinds = {one["properties"]["kind"]["const"]: one for one in _node_schemas()}
    assert set(kinds) == set(KINDS)
    for kind, schema in kinds.items():
        wanted = {"kind", *fields(load_kind(kind).Config)}
        assert wanted <= set(schema["properties"])
        assert schema["additionalProperties"] is False


def test_every_key_says_what_it_means():
    for schema in _node_schemas():
        for key, value in schema["properties"].items():
            assert key in ("input", "inputs") or value.get("description"), key


def _node_schemas():
    return config_schema()["properties"]["nodes"]["additionalProperties"]["oneOf"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_about_configs_explains_every_key(kind):
    section = CONFIG_PAGE.split(f"### {kind}\n")[1].split("\n#")[0]
    keys = {
        key
        for line in section.splitlines()
        for key in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }
    assert keys == set(fields(load_kind(kind).Config))


def test_the_page_about_configs_explains_the_keys_of_all_nodes():
    for cls in (RunSettings, Input):
        for key in fields(cls):
            assert f"| `{key}`" in CONFIG_PAGE


def test_the_page_about_the_wire_names_every_field():
    for name in Header.__struct_fields__:
        assert f"`{name}`" in WIRE_PAGE
    for kind, about in ABOUT.items():
        line = next(line for line in WIRE_PAGE.splitlines() if line.startswith(f"| `{kind}` |"))
        assert all(f"`{name}`" in line for name in about.__struct_fields__)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_are_right(path):
    config = load_config(path)
    assert config.settings.title
    problems = [problem for spec in config.graph.nodes.values() for problem in spec.make().check()]
    if path.read_text(encoding="utf-8").startswith("# Needs "):  # what the user has to fetch
        assert all("fetch " in problem for problem in problems)
    else:
        assert problems == []


def test_an_unknown_kind_is_told_with_those_that_are_known():
    with pytest.raises(KindError, match=r"there is no node kind 'x'; known are binner, .*score"):
        load_kind("x")


def test_a_kind_whose_driver_is_missing_says_so(monkeypatch):
    monkeypatch.setitem(KINDS, "camera", "a_driver_that_is_not_installed:Camera")
    with pytest.raises(KindError, match="'camera' .* cannot be loaded: No module named 'a_driver"):
        load_kind("camera")
    monkeypatch.setitem(KINDS, "camera", "json:JSONDecoder")
    with pytest.raises(KindError, match="is not a Node"):
        load_kind("camera")
    assert "camera" in known_kinds()
