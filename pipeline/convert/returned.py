"""Of what a model returns, the one tensor that is converted. Which one, `import_cnn` finds out: Cnn.returned."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import ConversionError


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
    results = f"{len(found)} result{'' if len(found) == 1 else 's'} ({there})"
    if wanted is None:
        raise ConversionError(
            f"the model returns {results}, want one; choose it with output=NUMBER (or its key; on the command line "
            "--output), or return only the class scores"
        )
    raise ConversionError(f"the model returns {results}, and {wanted!r} is none of them; choose one with output")


def one_result(returned: Any, key: int | str | None) -> Tensor:
    """The tensor that a Cnn of `returned=key` computes; None: the only one."""
    if isinstance(returned, Tensor):
        return returned
    tensors = {name: item for name, item in results(returned).items() if isinstance(item, Tensor)}
    result: Tensor = tensors[chosen_key(tensors, key)]
    return result
