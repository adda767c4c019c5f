"""A CNN as a .json list of layers beside an .npz of their arrays: a form that is read without any framework.

    {"input_shape": [3, 32, 32],
     "layers": [{"op": "conv2d", "name": "conv1", "padding": 1}, {"op": "relu"}, {"op": "avg_pool2d", "kernel": 2},
                {"op": "flatten"}, {"op": "linear", "name": "fc1"}]}

Arrays are called conv1.weight (out, in / groups, y, x), conv1.bias (out,), fc1.weight (out, in). `input_shape` may be
said in words, as in "input": "CIFAR-10 RGB (3,32,32) divided by 255".
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...errors import ConversionError
from .weights import check_tensors, read_npz

MAX_BYTES = 16 << 20  # of the list of layers

Item = Mapping[str, Any]
OPTIONS = {  # by operation: the options that an item may have beside op and name
    "conv2d": ("stride", "padding", "dilation", "groups"),
    "linear": (),
    "batch_norm2d": ("eps",),
    "relu": (),
    "relu6": (),
    "flatten": (),
    "dropout": (),
    "softmax": (),
    "avg_pool2d": ("kernel", "stride"),
    "max_pool2d": ("kernel", "stride", "padding"),
    "global_avg_pool2d": (),
}


def read_layer_list(path: Path) -> tuple[nn.Sequential, dict[str, Any]]:
    """The module, and the document. Raises ConversionError with the number of a wrong layer."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConversionError(f"{path} has {path.stat().st_size} bytes, want at most {MAX_BYTES}: is it a list?")
        document = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConversionError(f"{path} cannot be read as JSON: {error}") from error
    layers = document.get("layers") if isinstance(document, Mapping) else None
    if not isinstance(layers, list) or not layers:
        raise ConversionError(f'{path} lists no layers; want {{"layers": [{{"op": "conv2d", "name": "conv1"}}, ...]}}')
    arrays_path = path.with_suffix(".npz")
    if not arrays_path.is_file():
        raise ConversionError(f"{path}: its weights {arrays_path.name} are not beside it; copy them there")
    arrays = read_npz(arrays_path).tensors
    check_tensors(arrays, str(arrays_path))
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    used: set[str] = set()
    for index, item in enumerate(layers):
        name, module = _layer(index, item, arrays, used, str(path))
        if name in modules:
            raise ConversionError(f"{path}: layer {index} is called {name!r}, as one before it")
        modules[name] = module
    unused = sorted(set(arrays) - used)
    if unused:
        raise ConversionError(
            f"{arrays_path} holds {', '.join(map(repr, unused[:4]))}, which no layer uses; name "
            "their layers in the list, or leave them out"
        )
    return nn.Sequential(modules).eval(), document


def shape_in(document: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The input shape that a list of layers says, in numbers or in words; None where it does not."""
    said = document.get("input_shape")
    if isinstance(said, list) and all(isinstance(side, int) for side in said):
        return tuple(said)
    found = re.search(r"\((\d+), ?(\d+), ?(\d+)\)", str(document.get("input", "")))
    return tuple(int(side) for side in found.groups()) if found else None


def _layer(index: int, item: Any, arrays: Mapping[str, Tensor], used: set[str], where: str) -> tuple[str, nn.Module]:
    op = item.get("op") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or op not in OPTIONS:
        raise ConversionError(f"{where}: layer {index} is {item!r}, known are {', '.join(OPTIONS)}")
    unknown = set(item) - {"op", "name", *OPTIONS[op]}
    if unknown:
        known = ", ".join(OPTIONS[op]) or "none"
        raise ConversionError(
            f"{where}: layer {index} ({op}) has an unknown option {min(unknown)!r}; known are: {known}"
        )
    name = str(item.get("name", f"{op}{index}"))
    if not name.isidentifier():
        raise ConversionError(f"{where}: layer {index} is called {name!r}, want letters, digits and underscores")
    parts = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    used.update(f"{name}.{key}" for key in parts)
    try:
        module = _MAKERS[op](item, parts)
        for key, value in module.state_dict().items():
            if key in parts and parts[key].shape != value.shape:
                raise ValueError(f"{name}.{key} has shape {tuple(parts[key].shape)}, want {tuple(value.shape)}")
        module.load_state_dict(dict(parts), strict=not op.startswith("batch"))
    except (KeyError, ValueError, RuntimeError, TypeError, IndexError) as error:
        reason = f"its array {name}.{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ConversionError(f"{where}: layer {index} ({op}): {reason.splitlines()[0]}") from error
    return name, module


def _conv(item: Item, parts: Mapping[str, Tensor]) -> nn.Module:
    weight, groups = parts["weight"], int(item.get("groups", 1))
    options = {key: item.get(key, default) for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))}
    kernel = tuple(weight.shape[2:])
    return nn.Conv2d(weight.shape[1] * groups, len(weight), kernel, groups=groups, bias="bias" in parts, **options)


def _linear(item: Item, parts: Mapping[str, Tensor]) -> nn.Module:
    return nn.Linear(parts["weight"].shape[1], len(parts["weight"]), "bias" in parts)


def _norm(item: Item, parts: Mapping[str, Tensor]) -> nn.Module:
    if not {"weight", "bias", "running_mean", "running_var"} <= set(parts):
        raise ValueError("want its weight, bias, running_mean and running_var")
    return nn.BatchNorm2d(len(parts["weight"]), eps=float(item.get("eps", 1e-5)))


_MAKERS: dict[str, Callable[[Item, Mapping[str, Tensor]], nn.Module]] = {
    "conv2d": _conv,
    "linear": _linear,
    "batch_norm2d": _norm,
    "relu": lambda item, parts: nn.ReLU(),
    "relu6": lambda item, parts: nn.ReLU6(),
    "flatten": lambda item, parts: nn.Flatten(),
    "dropout": lambda item, parts: nn.Dropout(),
    "softmax": lambda item, parts: nn.Softmax(dim=1),
    "avg_pool2d": lambda item, parts: nn.AvgPool2d(item["kernel"], item.get("stride")),
    "max_pool2d": lambda item, parts: nn.MaxPool2d(item["kernel"], item.get("stride"), item.get("padding", 0)),
    "global_avg_pool2d": lambda item, parts: nn.AdaptiveAvgPool2d(1),
}
