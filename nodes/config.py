"""The one door to YAML: read a config, apply --set, check everything, report every fault at once.

Tags, duplicate keys and self-containing anchors are refused; words are those of YAML 1.2 (`on`, `no` and 1:30 are text,
1e3 is a number). Relative paths in a file begin at the file; those given by --set begin where the command is typed.
What the keys mean is in docs/config.md; their types are in the classes named there.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from ..pipeline.errors import DvsError
from .graph import Graph, build_graph
from .settings import Problem, check_settings, show, suggest

MAX_FILE_BYTES = 1 << 20
MAX_VALUES = 20_000  # after anchors are expanded
FROM_COMMAND_LINE = 0  # instead of the line of a key that --set gave


class ConfigError(DvsError):
    """A config is wrong; `problems` lists every fault that was found."""

    def __init__(self, path: str | Path, problems: list[Problem], lines: dict[str, int] | None = None) -> None:
        self.problems = problems
        many = f"{len(problems)} faults" if len(problems) > 1 else "1 fault"
        shown = [f"  {_place(problem.where, lines or {})}{problem.text}" for problem in problems]
        super().__init__("\n".join([f"{path}: {many}", *shown]))


@dataclass(frozen=True)
class RunSettings:
    """The keys beside `nodes:`."""

    title: Annotated[str, Field(description="what this config shows, for people")] = ""
    placement: Annotated[
        Literal["inline", "threads", "processes"],
        Field(description="where nodes work: in one thread, in threads of one process, or in a process each"),
    ] = "threads"
    start_timeout_s: Annotated[
        float, Field(gt=0, le=86_400, description="how long every node may take to open and find its neighbours, s")
    ] = 300.0  # the first start on a machine compiles the kernels: a minute on a PC, more on a board
    keys: Annotated[
        str | None, Field(description="folder with the CURVE keys of the hosts (`dvs-run --make-keys FOLDER`)")
    ] = None
    insecure: Annotated[
        bool, Field(description="true: listen beyond this host without keys; anyone who reaches the port can send")
    ] = False


@dataclass(frozen=True)
class RunConfig:
    """A checked config."""

    path: Path
    settings: RunSettings
    graph: Graph
    plain: dict[str, Any] = field(repr=False)  # the values that it was made of, paths absolute: what a child is given


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values, and where each key stands."""

    path: Path
    values: Any
    lines: dict[str, int]  # "nodes.binner.window_us" -> line


def load_config(path: str | Path, overrides: list[str] | None = None) -> RunConfig:
    """Read, override, check. Raises ConfigError with everything that is wrong."""
    document = read_yaml(path)
    problems: list[Problem] = []
    for setting in overrides or []:
        problems += apply_override(document, setting)
    if problems:
        raise ConfigError(path, problems)
    return check_config(document)


def check_config(document: Document) -> RunConfig:
    """The checked config of plain values. Raises ConfigError with everything that is wrong."""
    problems: list[Problem] = []
    values = document.values
    if isinstance(values, dict) and "nodes" not in values and "model" in values:
        raise ConfigError(document.path, [Problem("", f"is a training config; want `dvs train {document.path}`")])
    plain = _with_absolute_paths(values, document.path.resolve().parent) if isinstance(values, dict) else {}
    settings = check_settings(RunSettings, plain or values, "", problems, ("nodes",))
    if isinstance(values, dict) and "nodes" not in values:
        problems.append(Problem("", "nodes is missing, want nodes: with a source, and so on"))
    graph = build_graph(plain["nodes"], problems) if "nodes" in plain else None
    if problems or graph is None:
        raise ConfigError(document.path, problems, document.lines)
    return RunConfig(document.path, settings, graph, plain)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The plain values of a YAML file that is not a graph (a training config). Raises ConfigError."""
    document = read_yaml(path)
    if not isinstance(document.values, dict):
        raise ConfigError(path, [Problem("", f"found {show(document.values)}, want keys with values (key: value)")])
    return document.values


def read_yaml(path: str | Path) -> Document:
    """Plain values of one YAML file, with the line of every key. Raises ConfigError."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            what = "a folder" if path.is_dir() else "a pipe or a device"
            raise ConfigError(path, [Problem("", f"is {what}, want a file; `dvs-run configs/gesture.yaml` is one")])
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        near = suggest(path.name, [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else [])
        raise ConfigError(path, [Problem("", f"there is no such file{near}")]) from None
    except OSError as error:
        raise ConfigError(path, [Problem("", f"cannot be read: {error.strerror}")]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(path, [Problem("", f"more than {MAX_FILE_BYTES} bytes; is it a config?")])
    try:
        root = yaml.compose(data.decode(), _Loader)
        lines: dict[str, int] = {}
        problems: list[Problem] = []
        if root is not None and _size(root, {}) > MAX_VALUES:
            problems.append(Problem("", f"more than {MAX_VALUES} values (anchors count as often as they are used)"))
        else:
            _walk(root, "", lines, problems, set())
        if problems:
            raise ConfigError(path, problems, lines)
        return Document(path, yaml.load(data.decode(), _Loader), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(path, [Problem("", f"{line}{error.problem or error.context}; is it YAML?")]) from None
    except RecursionError:
        raise ConfigError(path, [Problem("", "nested too deeply to be a config")]) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(path, [Problem("", f"not readable as YAML: {str(error).splitlines()[0]}")]) from None


def parse_value(text: str) -> Any:
    """One value as YAML writes it: 2000, fastest, [a, b]; but - and *.aedat4 are text here. Raises ValueError."""
    if text.strip() == "-" or text.strip()[:1] in tuple("*&%@`#!|>"):  # YAML would read them as its own signs
        return text.strip()
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a YAML value: {str(error).splitlines()[0]}") from None


def apply_override(document: Document, setting: str) -> list[Problem]:
    """Apply one --set: a dotted path, = and a value. Changes the document's values; returns what is wrong."""
    key, equals, text = setting.partition("=")
    where = f"--set {setting}"
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return [Problem(where, "want PATH=VALUE, as in --set nodes.binner.window_us=2000")]
    try:
        value = parse_value(text)
    except ValueError as error:
        return [Problem(where, str(error))]
    place = document.values
    for depth, part in enumerate(parts[:-1]):
        if not isinstance(place, dict) or part not in place:
            there = list(map(str, place)) if isinstance(place, dict) else []
            return [Problem(where, f"there is no {'.'.join(parts[: depth + 1])}{suggest(part, there)}")]
        place = place[part]
    if not isinstance(place, dict):
        return [Problem(where, f"{'.'.join(parts[:-1])} holds no keys")]
    place[parts[-1]] = _CommandLinePaths.mark(value)
    document.lines[".".join(parts)] = FROM_COMMAND_LINE
    return []


class _CommandLinePaths(str):
    """Text from --set: if it turns out to be a path, it begins at the working directory."""

    __slots__ = ()

    @classmethod
    def mark(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [cls.mark(item) for item in value]
        return cls(value) if isinstance(value, str) else value


def _with_absolute_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A copy in which the path settings of every node are absolute, so that a child may work anywhere."""
    from .catalogue import KindError, load_kind

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        if not isinstance(value, str) or value in ("", "-"):
            return value
        start = Path.cwd() if isinstance(value, _CommandLinePaths) else folder
        return os.path.normpath(start / Path(value).expanduser())

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, _CommandLinePaths) else value

    values = dict(values)
    if values.get("keys"):
        values["keys"] = absolute(values["keys"])
    if isinstance(values.get("nodes"), dict):
        values["nodes"] = {name: dict(e) if isinstance(e, dict) else e for name, e in values["nodes"].items()}
        for entry in values["nodes"].values():
            try:
                paths = load_kind(entry["kind"]).paths if isinstance(entry, dict) and "kind" in entry else ()
            except KindError:
                paths = ()  # reported with the graph
            for key in paths:
                _replace_path(entry, key, absolute)
    return {key: plain(value) for key, value in values.items()}


def _replace_path(entry: dict[str, Any], key: str, absolute: Callable[[Any], Any]) -> None:
    """Make one path setting absolute; a dotted key: the setting of each mapping in a list."""
    outer, dot, inner = key.partition(".")
    if not dot and key in entry:
        entry[key] = absolute(entry[key])
    elif dot and isinstance(entry.get(outer), list):
        entry[outer] = [
            item | {inner: absolute(item[inner])} if isinstance(item, dict) and inner in item else item
            for item in entry[outer]
        ]


def _place(where: str, lines: dict[str, int]) -> str:
    if not where:
        return ""
    parent = where
    while parent and parent not in lines:
        parent = parent[: max(parent.rfind("."), parent.rfind("["), 0)]
    if not parent:
        return f"{where}: "
    line = lines[parent]
    return f"--set {where}: " if line == FROM_COMMAND_LINE else f"line {line}, {where}: "


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's words; ours alone, so that nobody else's loader changes."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9_]*)$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.inf)$",
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _walk(node: Any, where: str, lines: dict[str, int], problems: list[Problem], above: set[int]) -> None:
    """Note the line of every key; find keys given twice, keys that are no words, anchors inside themselves."""
    if id(node) in above:
        problems.append(Problem(where, "an anchor contains itself"))
        return
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[f"{where}[{number}]"] = item.start_mark.line + 1
            _walk(item, f"{where}[{number}]", lines, problems, above | {id(node)})
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(where, f"line {line}: a key must be a word"))
            continue
        path = f"{where}.{key.value}" if where else key.value
        if key.value in seen:
            problems.append(Problem(path, f"given twice, in lines {seen[key.value]} and {line}; keep one"))
        seen[key.value] = lines[path] = line
        _walk(value, path, lines, problems, above | {id(node)})


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a tree has once its anchors are expanded."""
    if id(node) not in known:
        known[id(node)] = 1  # ends the descent where an anchor contains itself
        children = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]
