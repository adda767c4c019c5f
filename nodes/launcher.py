"""`dvs-run CONFIG`: check a config, run its graph, print the summary.

Exit codes: 0 done; 1 a node failed; 2 the command line or the config is wrong; 130 or 143 stopped by Ctrl-C or SIGTERM;
141 whoever read the output has gone. All imports but the least are inside: until `main` runs, Ctrl-C is a traceback.
"""

from __future__ import annotations

import os
import signal
import sys

from .terminal import OUTPUT_CLOSED, guarded, tell_of_compiling

TYPE_CHECKING = False  # of `typing`, without importing it
if TYPE_CHECKING:
    import argparse
    from typing import Any, TextIO

    from .config import RunConfig
    from .host import Outcome, StopRequest

DONE, FAILED, WRONG = 0, 1, 2
NO_HOST = ("tcp://*:", "tcp://0.0.0.0:")  # where one can listen, but nobody can be found


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `dvs-run`. Returns the exit code."""
    return guarded("dvs-run", lambda: _main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"dvs-run {version('dvs-run')}")
        return DONE
    from ..pipeline.errors import DvsError, counted
    from .config import ConfigError, load_config

    try:
        if options.make_keys:
            return _make_keys(options.make_keys)
        if options.config is None:
            _parser().error("which config? try: dvs-run configs/gesture.yaml")
        config = load_config(options.config, options.set)
        names = _names_here(config, options)
        if options.check:
            print(config.graph.draw())
        _check_nodes(config, names)
    except ConfigError as error:
        print(f"dvs-run: {error}", file=sys.stderr)
        return WRONG
    except DvsError as error:
        print(f"dvs-run: {error}", file=sys.stderr)
        return FAILED
    if options.check:
        nodes = counted(len(config.graph.nodes), "node")
        print(f"{options.config} is right: {nodes}, placement {config.settings.placement}")
        return DONE
    return _run(config, names, options)


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser("dvs-run", description="Run the pipeline that a config describes.")
    add = parser.add_argument
    add("config", nargs="?", metavar="CONFIG", help="a YAML file, for instance configs/gesture.yaml")
    add("--check", action="store_true", help="check the config and draw its graph, run nothing")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override: --set nodes.binner.window_us=2000")
    add("--node", action="append", default=[], metavar="NAME", help="run only this node (or these: a,b) on this host")
    add("--quiet", action="store_true", help="no summary, no word about the start")
    add("--version", action="store_true", help="the version, and end")
    add("--make-keys", metavar="FOLDER", help="make the keys with which hosts trust each other, and end")
    return parser


def _make_keys(folder: str) -> int:
    from pathlib import Path

    from .wire import make_keys

    secret = make_keys(Path(folder))
    print(f"wrote {secret}; copy {folder} to every host of the run, and name it as `keys:` in the config")
    return DONE


def _names_here(config: RunConfig, options: argparse.Namespace) -> list[str]:
    """The nodes that this host runs. Raises ConfigError for names that are none, or edges without an address."""
    from .config import ConfigError
    from .settings import Problem, suggest

    graph = config.graph
    if not options.node:
        return list(graph.nodes)
    asked = [name.strip() for names in options.node for name in names.split(",")]
    problems = [
        Problem(f"--node {name}", f"there is no node {name!r}{suggest(name, list(graph.nodes))}")
        for name in asked
        if name not in graph.nodes
    ]
    for edge in (edge for spec in graph.nodes.values() for edge in spec.inputs):
        if (edge.producer in asked) != (edge.consumer in asked) and edge.listen is None:
            where = f"nodes.{edge.consumer}.listen"
            text = f"is missing; {edge} connects two hosts, want listen: tcp://HOST:PORT of {edge.consumer}"
            problems.append(Problem(where, text))
        elif edge.producer in asked and edge.consumer not in asked and str(edge.reach).startswith(NO_HOST):
            where = f"nodes.{edge.consumer}.reach"
            text = f"is missing; {edge.reach} names no host that {edge.producer} could connect to, want tcp://HOST:PORT"
            problems.append(Problem(where, text))
        elif edge.consumer in asked and edge.producer not in asked and not _is_safe(config, str(edge.listen)):
            where = f"nodes.{edge.consumer}.listen"
            text = f"{edge.listen} can be reached from other hosts, and the config names no keys; make some with "
            text += "`dvs-run --make-keys FOLDER` and name the folder as `keys:`, or say `insecure: true`"
            problems.append(Problem(where, text))
    if problems:
        raise ConfigError(config.path, problems)
    return [name for name in graph.nodes if name in asked]


def _is_safe(config: RunConfig, address: str) -> bool:
    from .wire import is_loopback

    return bool(config.settings.keys) or config.settings.insecure or is_loopback(address)


def _check_nodes(config: RunConfig, names: list[str]) -> None:
    """Ask every node that will work here what it already knows to be wrong. Raises ConfigError."""
    from .config import ConfigError
    from .settings import Problem

    problems = [Problem(f"nodes.{name}", text) for name in names for text in config.graph.nodes[name].make().check()]
    if config.settings.keys:
        from pathlib import Path

        from .wire import WireError, load_keys

        try:
            load_keys(Path(config.settings.keys))
        except WireError as error:
            problems.append(Problem("keys", str(error)))
    if problems:
        raise ConfigError(config.path, problems)


def _run(config: RunConfig, names: list[str], options: argparse.Namespace) -> int:
    from .host import StopRequest

    request = StopRequest()
    before = _stop_on_signals(request)
    try:
        return _run_and_tell(config, names, options, request)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_and_tell(config: RunConfig, names: list[str], options: argparse.Namespace, request: StopRequest) -> int:
    from ..pipeline.errors import counted
    from .summary import summary

    if not options.quiet:
        tell_of_compiling("dvs-run")
        what = config.settings.title or str(config.path)
        print(
            f"{what}  ({counted(len(names), 'node')}, {config.settings.placement})",
            flush=True,
            file=_aside(config, names),
        )
    outcome = _place(config, names, options, request)
    if not options.quiet and any(report.get("out") for report in outcome.reports.values()):
        print(summary(config, outcome), flush=True, file=_aside(config, names))
    code = _tell_failures(outcome)
    if outcome.interrupted:
        code = 128 + request.signal
    sys.stdout.flush()
    if outcome.stuck:
        os._exit(code)  # a thread that never returns must not keep the process
    return code


def _aside(config: RunConfig, names: list[str]) -> TextIO:
    """Where title and summary go: out of the way, where a node writes its lines to standard output for a program."""
    specs = [config.graph.nodes[name] for name in names]
    return sys.stderr if any(spec.kind == "file" and spec.config.path == "-" for spec in specs) else sys.stdout


def _place(config: RunConfig, names: list[str], options: argparse.Namespace, request: StopRequest) -> Outcome:
    from .host import run_in_threads

    if options.node:
        return run_in_threads(
            config, names, request, lambda edge, consumer: str(edge.listen if consumer else edge.reach)
        )
    if config.settings.placement == "inline":
        from .inline import run_inline

        return run_inline(config, request)
    if config.settings.placement == "processes":
        from .processes import run_in_processes

        return run_in_processes(config, request)
    return run_in_threads(config, names, request)


def _stop_on_signals(request: StopRequest) -> dict[int, Any]:
    """Ctrl-C and SIGTERM ask for a stop, the second time they end the process. Returns the handlers from before."""

    def ask(number: int, frame: Any) -> None:
        if request:
            os._exit(128 + number)
        request.signal = number
        request.reason = "interrupted by the user" if number == signal.SIGINT else "ended by SIGTERM"

    return {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}


def _tell_failures(outcome: Outcome) -> int:
    for failed in outcome.failures:
        print(f"dvs-run: node {failed.node} failed: {failed.error}", file=sys.stderr)
        if failed.traceback:
            print(failed.traceback.rstrip(), file=sys.stderr)
    for name in outcome.stuck:
        print(f"dvs-run: node {name} did not let go within its time and was left behind", file=sys.stderr)
    if outcome.failures or outcome.stuck:
        return FAILED
    return OUTPUT_CLOSED if outcome.output_closed else DONE
