"""Of what a model returns, the one tensor that is converted. Which one, `import_cnn` finds out: Cnn.returned.

Of a file that lists its outputs (ONNX, torch.export) the others are left out when it is read: `chosen_output`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import ConversionError, counted


def results(returned: Any) -> dict[int | str, Any]:
    """What a model returned, by number or key; a single result has the number 0."""
    if isinstance(returned, Mapping):
        return dict(returned)
    return dict(enumerate(returned)) if isinstance(returned, list | tuple) else {0: returned}


def chosen_key(found: Mapping[int | str, Any], wanted: int | str | None) -> int | str:
    """The key of the wanted result, or of the only one. A number may be written as text, as command lines have it.

    Raises ConversionError where there is none, or several and none was wanted.
    """
    if wanted is None and len(found) == 1:
        return next(iter(found))
    for key in found:
        if key == wanted or str(key) == str(wanted):
            return key
    there = ", ".join(map(repr, found)) or "none of them made from the input"
    said = f"{counted(len(found), 'result')} ({there})"
    if wanted is None:
        raise ConversionError(
            f"the model returns {said}, want one; choose it with output=NUMBER (or its key; on the command line "
            "--output), or return only the class scores"
        )
    raise ConversionError(
        f"the model returns {said}, and {wanted!r} is none of them; choose one with output=NUMBER (or its "
        "key; on the command line --output)"
    )


def one_result(returned: Any, key: int | str | None) -> Tensor:
    """The tensor that a Cnn of `returned=key` computes; None: the only one."""
    if isinstance(returned, Tensor):
        return returned
    tensors = {name: item for name, item in results(returned).items() if isinstance(item, Tensor)}
    result: Tensor = tensors[chosen_key(tensors, key)]
    return result


def chosen_output(names: Sequence[str], wanted: int | str | None, file: str) -> int:
    """The number of the wanted output of a file, or of its only one; `wanted` is its name or its number."""
    if wanted is None and len(names) == 1:
        return 0
    if str(wanted) in names:
        return names.index(str(wanted))
    named = not any(name.isdecimal() for name in names)  # else 0 might be the second of two that are called so
    if named and str(wanted).isdecimal() and int(str(wanted)) < len(names):
        return int(str(wanted))
    said = f"{file} has {counted(len(names), 'output')} ({', '.join(map(repr, names)) or 'none'})"
    if wanted is None:
        raise ConversionError(f"{said}, want one, the scores of the classes; choose it with --output, name or number")
    raise ConversionError(f"{said}, and {str(wanted)!r} is none of them; choose one with --output, name or number")
