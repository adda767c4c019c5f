"""Trace a model with torch.fx, and run the graph once on zeros, so that the value of every node is known."""

import warnings
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch
from torch import fx, nn

from ...errors import ConversionError, first_line
from .catalogue import has_rule
from .data import BATCH

TORCH = str(Path(torch.__file__).parent)


class _Tracer(fx.Tracer):
    """Does not look into modules that have a rule of their own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return has_rule(m) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fx.GraphModule(model, _Tracer().trace(model))
    except Exception as error:  # whatever a foreign forward raises on a symbol
        raise ConversionError(
            f"the model {type(model).__name__} cannot be traced ({first_line(error)}{_line_of(error)}); its forward "
            "must not branch or loop on what the input holds, ask len() of it, or assign to a part of it (torch.cat "
            "joins parts)"
        ) from error


def _line_of(error: Exception) -> str:
    """Where in the model's own code tracing stopped."""
    foreign = [
        frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith((TORCH, __file__, "<"))
    ]
    return f", at {Path(foreign[-1].filename).name}:{foreign[-1].lineno}: {foreign[-1].line}" if foreign else ""


class _Recorder(fx.Interpreter):
    """Remembers the value of every node."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}
        self.at: fx.Node | None = None

    def run_node(self, n: fx.Node) -> Any:
        self.at = n
        self.values[n] = super().run_node(n)
        return self.values[n]


def record(traced: fx.GraphModule, input_shape: tuple[int, int, int], dtype: torch.dtype) -> dict[fx.Node, Any]:
    recorder = _Recorder(traced)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers that are judged in a moment
            recorder.run(torch.zeros(BATCH, *input_shape, dtype=dtype))
    except Exception as error:  # whatever a foreign forward raises
        where = f" at layer {node_name(recorder.at)!r}" if recorder.at is not None else ""
        raise ConversionError(
            f"the model does not take an input of shape {tuple(input_shape)} (channel, height, width){where}: "
            f"{first_line(error)}"
        ) from error
    return recorder.values


def node_name(node: fx.Node | None) -> str:
    if node is None:
        return "input"
    return str(node.target) if node.op == "call_module" else node.name
