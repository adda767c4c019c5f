"""Trace a CNN with torch.fx and walk its graph, one rule an operation (catalogue.py), into a Cnn.

The graph is run once on two zeros, so that every node's shape is known and shape arithmetic (x.size(0), ...) is plain
numbers: a rule sees values and Data, never symbols.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from ...errors import ConversionError
from ..cnn import Cnn
from ..returned import chosen_key, results
from .aliases import changed_with, shares_memory
from .builder import CnnBuilder
from .catalogue import ANYWHERE, FUNCTION_RULES, METHOD_RULES, MODULE_RULES, MOVES, activation_of
from .data import BATCH, Data, of_result
from .record import node_name, record, trace
from .refusals import refuse
from .step import Step

SHAPED_AS = ("expand_as", "view_as", "reshape_as")  # moves that read only the shape of their second operand
COMPUTED_IN = (torch.float32, torch.float64)
HALVES = (torch.float16, torch.bfloat16)


def import_cnn(model: nn.Module, input_shape: tuple[int, int, int], output: int | str | None = None) -> Cnn:
    """The folded CNN of a model, which is not changed. Raises ConversionError with the name of a layer.

    `output` chooses one where the model returns several: its number, or its key.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ConversionError("the model is a TorchScript module; pass the nn.Module that it was made of")
    if not isinstance(model, nn.Module):
        raise ConversionError(f"the model is a {type(model).__name__}, want a torch.nn.Module (or an ONNX file)")
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    is_double = all(parameter.dtype == torch.float64 for parameter in model.parameters())
    halves = sorted({str(item.dtype) for item in model.parameters() if item.dtype in HALVES})
    dtype = torch.float64 if is_double and any(True for _ in model.parameters()) else torch.float32
    try:
        copied = copy.deepcopy(model).cpu().to(dtype).eval()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConversionError(
            f"the model {type(model).__name__} cannot be copied ({error}); want one that copy.deepcopy takes: "
            "without open files, locks or hooks that hold any"
        ) from error
    traced = trace(copied)
    walk = _Walk(traced, record(traced, input_shape, dtype), input_shape)
    walk.builder.notes += [f"the model computes in {half}; it is converted and checked in float32" for half in halves]
    return walk.cnn(output)


class _Walk:
    """Visits the nodes in order. `data` is what every node that holds a part of the input is now."""

    def __init__(self, traced: fx.GraphModule, values: dict[fx.Node, Any], input_shape: tuple[int, int, int]) -> None:
        self.traced, self.values = traced, values
        self.builder = CnnBuilder(input_shape)
        self.data: dict[fx.Node, Any] = {}

    def cnn(self, output: int | str | None) -> Cnn:
        for node in self.traced.graph.nodes:
            reads = [source for source in node.all_input_nodes if source in self.data]
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "output":
                return self._output(node.args[0], output)
            elif reads and _kind(self.traced, node) in ("setitem", "__setitem__"):
                raise refuse(node.name, "setitem", "it assigns to a part of the data", "join parts with torch.cat")
            elif reads and _holds_tensor(self.values[node]):
                self._layer(node)
        raise ConversionError("the model returns nothing; want its class scores")

    def _placeholder(self, node: fx.Node) -> None:
        if self.data and node.args:
            return  # an optional argument: its default is a constant
        if self.data:
            raise ConversionError(f"the model takes a second input {node.name!r}; want one input, the image or slice")
        self.data[node] = Data("input", tuple(self.values[node].shape))

    def _output(self, returned: Any, chosen: int | str | None) -> Cnn:
        found = fx.map_arg(returned, lambda node: self.data.get(node, self.values[node]))
        tensors = {key: item for key, item in results(found).items() if isinstance(item, Data)}
        key = chosen_key(tensors, chosen)
        result = tensors[key]
        cnn = self.builder.finish(result.name, result.softmax) if result.index is None else self._flat(result)
        return cnn if isinstance(found, Data) else replace(cnn, returned=key)

    def _flat(self, result: Data) -> Cnn:
        step = Step(self.builder, "output", "output", ())
        places = result.places().reshape(BATCH, -1)
        return self.builder.finish(step.features(Data(result.name, tuple(places.shape), places)), result.softmax)

    def _layer(self, node: fx.Node) -> None:
        kind, name = _kind(self.traced, node), node_name(node)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.data.get(n, self.values[n]))
        operands = _flatten_data((args, kwargs))
        value = self.values[node]
        if self._picks(node, args):
            self.data[node] = args[0][args[1]]
            return
        if kind in SHAPED_AS and not isinstance(args[0], Data):
            return  # a constant, in the shape of the data
        if self._is_move(node) and (len(operands) == 1 or kind in SHAPED_AS):
            self.data[node] = self._moved(node, name, operands[0])
            return
        rule = self._rule(node)
        if rule is None:
            raise refuse(name, kind, "it returns several tensors" if not isinstance(value, Tensor) else "")
        ended = next((x for x in operands if x.softmax), None)
        if ended is not None and rule not in ANYWHERE:
            raise _softmax_before(ended, name)
        if rule in ANYWHERE and isinstance(value, Tensor) and value.dtype not in COMPUTED_IN:
            raise refuse(name, kind, f"it rounds the values to {value.dtype}", "leave it out, floats stay float32")
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        step = Step(self.builder, name, kind, shape)
        args, kwargs = _in_order(args, kwargs)
        try:
            made = rule(step, *args, **kwargs)
        except TypeError as error:
            said = re.sub(r"^\S+\(\) ", "", str(error))  # without the name of the rule
            raise refuse(name, kind, f"it is called in a way that its rule does not know ({said})") from error
        self.data[node] = self._seen(made, step)
        if self._in_place(node):
            self._change_aliases(node, name, kind)

    def _change_aliases(self, node: fx.Node, name: str, kind: str) -> None:
        """All that is read later and lies in the memory that a node has changed in place."""
        changed = next(source for source in node.all_input_nodes if source in self.data)
        tensor, made = self.values[changed], self.data[node]
        if made is self.data[changed]:
            return  # dropout and the like
        for other, held in list(self.data.items()):
            readers = [user for user in other.users if user > node and self._reads_values(user)]
            if other is node or not readers or not shares_memory(self.values[other], tensor):
                continue
            try:
                self.data[other] = changed_with(self.values[other], held, tensor, made)
            except ValueError:
                raise refuse(
                    name,
                    kind,
                    f"it changes a part of {node_name(other)!r} in place, which {node_name(readers[0])!r} reads later",
                    "compute the part out of place and join the parts with torch.cat",
                ) from None

    def _reads_values(self, node: fx.Node) -> bool:
        """Whether a node may read more of a tensor than its shape."""
        return node.op == "output" or _holds_tensor(self.values[node])

    def _seen(self, made: Any, step: Step) -> Data:
        if isinstance(made, Data):
            return made
        data = of_result(made, self.builder.shapes[made], step.output_shape)
        if data is None:
            raise refuse(
                step.name, step.kind, f"its output of shape {step.output_shape[1:]} is not what its rule makes"
            )
        return data

    def _picks(self, node: fx.Node, args: tuple[Any, ...]) -> bool:
        """Whether a node takes one of several results of another, as `a, b = x.chunk(2, 1)` does."""
        return getattr(node.target, "__name__", "") == "getitem" and isinstance(args[0], list | tuple)

    def _is_move(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return type(self.traced.get_submodule(str(node.target))) in MOVES
        return node.target in MOVES

    def _moved(self, node: fx.Node, name: str, source: Data) -> Any:
        """What only moves values, done to the numbers of their places."""

        def place(n: fx.Node) -> Any:
            found = self.data.get(n, self.values[n])
            return found.places() if isinstance(found, Data) else found

        args, kwargs = fx.map_arg((node.args, node.kwargs), place)
        if node.op == "call_module":
            made = self.traced.get_submodule(str(node.target))(*args, **kwargs)
        elif node.op == "call_method":
            made = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            made = node.target(*args, **kwargs)

        def data(index: Tensor) -> Data:
            index = index.contiguous()  # as a model that calls contiguous() before view() has it
            if source.softmax and not torch.equal(index.flatten().sort()[0], source.places().flatten().sort()[0]):
                raise _softmax_before(source, name)
            same = source.index is None and tuple(index.shape) == source.shape and torch.equal(index, source.places())
            return Data(source.name, tuple(index.shape), None if same else index, source.softmax, source.softmax_layer)

        return data(made) if isinstance(made, Tensor) else [data(index) for index in made]

    def _rule(self, node: fx.Node) -> Callable[..., Any] | None:
        if node.op == "call_module":
            module = self.traced.get_submodule(str(node.target))
            parametrized = nn.utils.parametrize.is_parametrized(module)  # weight_norm and the like: weights as computed
            rule = MODULE_RULES.get(type(module).__mro__[1] if parametrized else type(module))
            settings = activation_of(module)
            if rule is None and settings is not None:
                return lambda step, x: step.elementwise(x, lambda y: step.builder.activation(step.name, y, **settings))
            return None if rule is None else (rule if rule in ANYWHERE else lambda step, *a: rule(step, module, *a))
        if node.op == "call_method":
            return METHOD_RULES.get(str(node.target))
        return FUNCTION_RULES.get(node.target) or FUNCTION_RULES.get(getattr(node.target, "__name__", None))

    def _in_place(self, node: fx.Node) -> bool:
        """Whether what it reads is changed too, for all that read it later."""
        if node.op == "call_module":
            return bool(getattr(self.traced.get_submodule(str(node.target)), "inplace", False))
        name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__")
        return in_place or name in ("iadd", "isub", "imul", "itruediv") or bool(node.kwargs.get("inplace"))


def _softmax_before(ended: Data, name: str) -> ConversionError:
    return ConversionError(
        f"layer {ended.softmax_layer!r} is a softmax in the middle, {name!r} comes after it; a spiking neuron cannot "
        "divide by its neighbours: a softmax may only be the end"
    )


def _in_order(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """With what torch calls `input` and `other` in their places: rules have names of their own for them."""
    kwargs = dict(kwargs)
    if "input" in kwargs:
        args = (kwargs.pop("input"), *args)
    if "other" in kwargs and len(args) == 1:
        args = (*args, kwargs.pop("other"))
    return args, kwargs


def _kind(traced: fx.GraphModule, node: fx.Node) -> str:
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))).__name__
    return str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value)
    )


def _flatten_data(value: Any) -> list[Data]:
    if isinstance(value, Data):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [data for item in items for data in _flatten_data(item)]
