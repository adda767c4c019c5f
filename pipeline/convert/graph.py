"""Trace a CNN with torch.fx and walk its graph, one rule a layer (catalogue.py), into a Chain.

The graph is run once on two zeros, so that every node's shape is known and shape arithmetic (x.size(0), ...) is plain
numbers: a rule sees values, never symbols.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import ConversionError
from .catalogue import FUNCTION_RULES, METHOD_RULES, MODULE_RULES, SWAPPABLE
from .chain import Chain, ChainBuilder
from .refusals import refuse
from .rules import Step


def import_chain(model: nn.Module, input_shape: tuple[int, int, int]) -> Chain:
    """The folded chain of a model, which is not changed. Raises ConversionError with the name of a layer."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ConversionError("the model is a TorchScript module; pass the nn.Module that it was made of")
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    try:
        copied = copy.deepcopy(model).cpu().float().eval()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConversionError(f"the model {type(model).__name__} cannot be copied: {error}") from error
    traced = _trace(copied)
    values = _values(traced, input_shape)
    return _Walk(traced, values).chain()


def _trace(model: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError, NotImplementedError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(
            f"the model {type(model).__name__} cannot be traced ({first}); its forward must not branch or loop on what "
            "the input holds, and must not ask len() of it"
        ) from error


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


def _values(traced: fx.GraphModule, input_shape: tuple[int, int, int]) -> dict[fx.Node, Any]:
    recorder = _Recorder(traced)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers that are judged in a moment
            recorder.run(torch.zeros(2, *input_shape))
    except Exception as error:  # whatever a foreign forward raises
        where = f" at layer {_name(recorder.at)!r}" if recorder.at is not None else ""
        raise ConversionError(
            f"the model does not take an input of shape {tuple(input_shape)} (channel, height, width){where}: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    return recorder.values


class _Walk:
    """Visits the nodes in order. `tip` is the node that the chain has reached; every next layer must hang on it."""

    def __init__(self, traced: fx.GraphModule, values: dict[fx.Node, Any]) -> None:
        self.traced, self.values = traced, values
        self.builder = ChainBuilder()
        self.tip: fx.Node | None = None
        self.data: set[fx.Node] = set()  # nodes whose value comes from the input and is a tensor

    def chain(self) -> Chain:
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "output":
                self._output(node)
            elif self.data.intersection(node.all_input_nodes) and isinstance(self.values[node], Tensor):
                self._layer(node)
            elif self.data.intersection(node.all_input_nodes) and _holds_tensor(self.values[node]):
                raise refuse(_name(node), _kind(self.traced, node), "it returns several tensors")
        return self.builder.finish()

    def _placeholder(self, node: fx.Node) -> None:
        if self.tip is not None and node.args:
            return  # an optional argument: its default is a constant
        if self.tip is not None:
            raise ConversionError(f"the model takes a second input {node.name!r}; want one input, the image or slice")
        self.tip = node
        self.data.add(node)

    def _output(self, node: fx.Node) -> None:
        if node.args[0] is not self.tip:
            raise ConversionError(
                f"the model returns {node.args[0]!r}, want the output of its last layer {_name(self.tip)!r} alone"
            )

    def _layer(self, node: fx.Node) -> None:
        sources = [source for source in node.all_input_nodes if source in self.data]
        kind, name = _kind(self.traced, node), _name(node)
        if len(sources) > 1:
            raise refuse(
                name,
                kind,
                f"it joins the branches {' and '.join(repr(_name(source)) for source in sources)}",
                "this version converts chains only; train without the branch",
            )
        if sources[0] is not self.tip:
            raise refuse(
                name,
                kind,
                f"it branches off {_name(sources[0])!r}, which feeds another layer too",
                "this version converts chains only; train without the branch",
            )
        rule = self._rule(node)
        if rule is None:
            raise refuse(name, kind)
        swapped = not node.args or node.args[0] is not sources[0]
        if swapped and rule not in SWAPPABLE:
            raise refuse(name, kind, "its input is not its first argument", "pass the input first, without a keyword")
        shapes = tuple(self.values[sources[0]].shape), tuple(self.values[node].shape)
        step = Step(self.builder, name, kind, *shapes, swapped)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        try:
            rule(step, *args, **kwargs)
        except TypeError as error:
            raise refuse(name, kind, f"it is called in a way that the rule does not know ({error})") from error
        self.tip = node
        self.data.add(node)

    def _rule(self, node: fx.Node) -> Callable[..., None] | None:
        if node.op == "call_module":
            module = self.traced.get_submodule(str(node.target))
            parametrized = nn.utils.parametrize.is_parametrized(module)  # weight_norm and the like: weights as computed
            rule = MODULE_RULES.get(type(module).__mro__[1] if parametrized else type(module))
            return None if rule is None else lambda step, x: rule(step, module, x)
        if node.op == "call_method":
            return METHOD_RULES.get(str(node.target))
        return FUNCTION_RULES.get(node.target)


def _kind(traced: fx.GraphModule, node: fx.Node) -> str:
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))).__name__
    return str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))


def _name(node: fx.Node | None) -> str:
    if node is None:
        return "input"
    return str(node.target) if node.op == "call_module" else node.name


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value)
