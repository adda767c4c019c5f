"""A trained CNN in one file: its spec, its weights, and what conversion must know about it.

Read with weights_only=True: a checkpoint is data, it never runs code. What `extra` holds (all optional but `labels`):

    labels           list[str]         name of each output, in order
    timestep_us      int | None        length of the slices that it was trained on; None or absent for images
    state_window_us  int | None        hidden neurons start afresh every so many µs: the CNN saw no more than that
    delays_us        list[int]         its channels are the polarities now and so many µs earlier; [0] or absent: now
    calibration      Tensor (n,c,h,w)  some inputs of the *training* set (any dtype; a few hundred), so that
                                       `dvs convert` can normalize by percentile without the data set
    accuracy         dict              e.g. {"validation": 0.991, "n": 5000}
    seed, config, ...                  whatever makes the training repeatable: numbers, strings, lists, dicts, tensors
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ..errors import DvsError, NetworkError
from ..files import written_whole
from .models import build_model

MAGIC = "dvs_run checkpoint"
VERSION = 1


def save_checkpoint(path: str | Path, spec: Mapping[str, Any], model: nn.Module, extra: Mapping[str, Any]) -> None:
    """Write spec, weights (on the CPU) and extra to `path`, all or nothing: interrupted, the old file stays."""
    document = {
        "format": MAGIC,
        "version": VERSION,
        "spec": _plain(spec),
        "state": {name: value.detach().cpu() for name, value in model.state_dict().items()},
        "extra": _plain(extra),
    }
    save_whole(document, path)


def save_whole(document: object, path: str | Path) -> None:
    """torch.save, all or nothing. Raises DvsError where it cannot be written."""
    try:
        with written_whole(path) as partial:
            torch.save(document, partial)
    except (OSError, RuntimeError) as error:  # torch says of a full disk "unexpected pos 704 vs 640"
        reason = getattr(error, "strerror", None) or "is the disk full, the folder there?"
        raise DvsError(f"{path} cannot be written: {reason}") from error


def load_checkpoint(path: str | Path) -> tuple[nn.Sequential, dict[str, Any], dict[str, Any]]:
    """The model (in eval mode, on the CPU), its spec and its extra. Raises NetworkError for anything else."""
    document = _read(path)
    if not isinstance(document, dict) or document.get("format") != MAGIC:
        raise NetworkError(
            f"{path} is a torch file, but not a checkpoint of `dvs train`; a model of your own is converted "
            "in Python: `from dvs_run.pipeline.convert import convert`"
        )
    if document.get("version") != VERSION:
        raise NetworkError(
            f"{path} is a checkpoint of version {document.get('version')}, this program reads {VERSION}; train again"
        )
    try:
        model = build_model(document["spec"])
        model.load_state_dict(document["state"])
        return model.eval(), document["spec"], document["extra"]
    except KeyError as error:
        raise NetworkError(f"{path} is a checkpoint without {error}; train again") from error
    except RuntimeError as error:
        raise NetworkError(f"the weights in {path} do not fit its own layer list: {error}") from error


class Stateful(Protocol):
    """What torch trains with: a module, an optimizer, a schedule."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def save_resume(path: Path, config: str, parts: Mapping[str, Stateful], **progress: Any) -> None:
    """Keep the parts of a training and how far it is, all or nothing. Raises DvsError where it cannot be written."""
    save_whole({name: part.state_dict() for name, part in parts.items()} | progress | {"config": config}, path)


def load_resume(path: Path, config: str, parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Put the parts as an interrupted training left them in `path`; how far it was.

    Raises NetworkError if `path` is unreadable or of another `config`.
    """
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise NetworkError(f"{path} cannot be read ({type(error).__name__}); remove it to begin anew") from error
    if document["config"] != config:
        raise NetworkError(f"{path} was left by another config; remove it, or train without --resume to begin anew")
    for name, part in parts.items():
        part.load_state_dict(document[name])
    return dict(document)


def _read(path: str | Path) -> Any:
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start != b"PK\x03\x04":  # the zip that torch.save writes; older forms of a pickle are not even tried
            raise ValueError(f"it begins with {start.hex(' ') or 'nothing'}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NetworkError(f"there is no checkpoint {path}; `dvs train CONFIG` makes one") from None
    except IsADirectoryError:
        raise NetworkError(f"{path} is a folder; want one checkpoint file (.pt)") from None
    except Exception as error:  # torch raises a dozen kinds for damaged files
        first_line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NetworkError(
            f"{path} is not a checkpoint of `dvs train` ({first_line}); a model of your own is converted "
            "in Python: `from dvs_run.pipeline.convert import convert`"
        ) from error


def _plain(value: Any) -> Any:
    """The same value made of what weights_only accepts: tuples and mappings of any kind become lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):  # subclasses too (torch.__version__ is one): weights_only knows only the plain ones
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    raise NetworkError(
        f"a checkpoint cannot hold a {type(value).__name__}; want numbers, strings, lists, dicts and tensors"
    )
