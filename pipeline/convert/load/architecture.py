"""Weights alone are no network: the user names code of their own that makes the module, and the weights must fit it.

This is the only place where code that a command line names is executed, and it is never named by a file.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConversionError

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")  # DataParallel, torch.compile, trainers
FORM = "want package.module:factory, or file.py:factory; a factory is a function or class called without arguments"


def make_architecture(name: str) -> nn.Module:
    """The module that `package.module:factory` or `file.py:factory` makes; its code is imported and run.

    Raises ConversionError that says which part of the name is wrong, or what the code raised.
    """
    where, colon, factory_name = name.rpartition(":")
    if not colon or not where or not factory_name:
        raise ConversionError(f"architecture is {name!r}, {FORM}")
    module = _imported(where, name)
    factory: Any = module
    for part in factory_name.split("."):
        if not hasattr(factory, part):
            known = ", ".join(key for key in vars(module) if not key.startswith("_"))[:200]
            raise ConversionError(
                f"architecture {name!r}: {where} has no {factory_name!r}; it has {known or 'nothing'}"
            )
        factory = getattr(factory, part)
    made = factory
    if not isinstance(factory, nn.Module):
        try:
            made = factory()
        except Exception as error:  # the user's own code
            raise ConversionError(
                f"architecture {name!r} raised {type(error).__name__}: {error}; a factory is called without arguments: "
                f"write def my_net(): return {factory_name}(...) with yours, and name that"
            ) from error
    if not isinstance(made, nn.Module):
        raise ConversionError(f"architecture {name!r} gave a {type(made).__name__}, want a torch.nn.Module")
    return made


def _imported(where: str, name: str) -> ModuleType:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise ConversionError(f"architecture {name!r}: there is no file {where}")
        spec = importlib.util.spec_from_file_location(f"architecture_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ConversionError(f"architecture {name!r}: {where} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(path.resolve().parent))  # for the files that it imports beside itself
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.resolve().parent))
        return module
    except ConversionError:
        raise
    except Exception as error:  # the user's own code
        hint = f"; is it the file {where}.py:...?" if Path(f"{where}.py").is_file() else ""
        raise ConversionError(
            f"architecture {name!r}: importing {where} raised {type(error).__name__}: {error}{hint}"
        ) from error


def fill(model: nn.Module, tensors: dict[str, Tensor], name: str, where: str) -> tuple[str, ...]:
    """Put the tensors into the model; every name and shape must agree. Returns notes for the user.

    A prefix that trainers put before every name is taken off. Raises ConversionError that lists what does not fit.
    """
    wanted = model.state_dict()
    notes: tuple[str, ...] = ()
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors) and not any(key.startswith(prefix) for key in wanted):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
            notes = (*notes, f"the prefix {prefix!r} was taken off the names of the weights")
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}  # of no use after training
    missing = [key for key in wanted if key not in tensors and key not in counters]
    unexpected = [key for key in tensors if key not in wanted and not key.endswith("num_batches_tracked")]
    other = [
        f"{key} {tuple(tensor.shape)} for {tuple(wanted[key].shape)}"
        for key, tensor in tensors.items()
        if key in wanted and tensor.shape != wanted[key].shape
    ]
    found = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
        if keys
    ]
    if found:
        raise ConversionError(
            f"the weights of {where} do not fit {name}: {', '.join(found)}; is it the architecture that was trained?"
        )
    fitting = {key: tensors.get(key, wanted[key]) for key in wanted}
    with torch.no_grad():
        model.load_state_dict(fitting, strict=True)
    return notes


def _some(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f", and {len(listed) - most} more" if len(listed) > most else "")
