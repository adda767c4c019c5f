"""`dvs schema`: the JSON schema of a config, for editors that complete and check YAML."""

import json
from typing import Any

from ...pipeline.errors import DvsError


def schema() -> None:
    """Print the JSON schema of a config. In an editor: # yaml-language-server: $schema=dvs-run.schema.json"""
    print(json.dumps(config_schema(), indent=1, ensure_ascii=False))


def config_schema() -> dict[str, Any]:
    """Of all node kinds that are installed; a kind whose driver is missing is known by its name only."""
    from ..catalogue import known_kinds, load_kind
    from ..config import RunSettings
    from ..settings import settings_schema

    run = settings_schema(RunSettings)
    kinds = []
    for kind in known_kinds():
        try:
            kinds.append(_node_schema(kind, load_kind(kind)))
        except DvsError:
            kinds.append({"properties": {"kind": {"const": kind}}, "required": ["kind"]})
    nodes = {
        "type": "object",
        "description": "the graph: nodes by name",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,39}$"},
        "additionalProperties": {"type": "object", "oneOf": kinds},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a config of dvs-run",
        "type": "object",
        "properties": {**run["properties"], "nodes": nodes},
        "required": ["nodes"],
        "additionalProperties": False,
    }


def _node_schema(kind: str, cls: Any) -> dict[str, Any]:
    from ..graph import Input
    from ..node import Source
    from ..settings import settings_schema

    own = settings_schema(cls.Config)
    properties: dict[str, Any] = {"kind": {"const": kind, "description": (cls.__doc__ or "").strip().split("\n")[0]}}
    required = ["kind", *own["required"]]
    described: dict[str, Any] = {}
    if not issubclass(cls, Source):
        edge = settings_schema(Input)["properties"]
        place = {"type": "string", "description": "name of the node that it listens to"}
        long = {
            "type": "object",
            "properties": {"from": place, **edge},
            "required": ["from"],
            "additionalProperties": False,
        }
        many = {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [place, long]}}
        properties |= {"input": {"anyOf": [place, long]}, "inputs": many, **edge}
        described["oneOf"] = [{"required": ["input"]}, {"required": ["inputs"]}]
    properties |= own["properties"]
    return {"properties": properties, "required": required, "additionalProperties": False, **described}
