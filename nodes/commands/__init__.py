"""`dvs VERB ...`: one verb a file, imported only when it is asked for.

A verb is a function with typer annotations; its module may be slow to import (torch), this one must not be. Exit codes:
0 done, 1 something went wrong (one sentence on stderr), 2 the command line or a config is wrong.
"""

import importlib
import sys

from ..terminal import guarded, tell_of_compiling

VERBS = {  # verb: (where its function is, what it does)
    "info": ("info:info", "what a recording is: container, sensor, events, duration, rate, defects"),
    "convert-recording": ("convert_recording:convert_recording", "write a recording, or a part, in another container"),
    "simulate": ("simulate:simulate", "make a recording with the simulated camera"),
    "train": ("train:train", "train a CNN on binned slices or images (needs the extra `train`)"),
    "convert": ("convert:convert", "turn a trained CNN into a spiking network (needs the extra `train`)"),
    "evaluate": ("evaluate:evaluate", "accuracy of a network, or of a CNN, on labelled recordings"),
    "early": ("early:early", "choose on training data when a network may decide early"),
    "export": ("export:export", "write a network as a NIR file (needs the extra `nir`)"),
    "import": ("export:import_", "read a NIR file as a network (needs the extra `nir`)"),
    "schema": ("schema:schema", "print the JSON schema of a config, for editors"),
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `dvs`. Returns the exit code."""
    return guarded("dvs", lambda: _main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print("usage: dvs VERB [OPTIONS]     (dvs VERB --help tells more; `dvs-run CONFIG` runs a pipeline)\n")
        for verb, (_, what) in VERBS.items():
            print(f"  {verb:17} {what}")
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        print(f"dvs: there is no verb {verb!r}; known are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    module, function = VERBS[verb][0].split(":")
    return run_command(
        getattr(importlib.import_module(f".{module}", __package__), function), f"dvs {verb}", arguments[1:]
    )


def run_command(function, name: str, arguments: list[str]) -> int:  # type: ignore[no-untyped-def]
    """Run one typer-annotated function as a command line; a DvsError becomes one sentence and exit code 1 or 2."""
    import typer

    from ...pipeline.errors import DvsError

    tell_of_compiling(name)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    try:
        app(args=arguments, prog_name=name, standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except DvsError as error:
        from ..config import ConfigError

        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0
