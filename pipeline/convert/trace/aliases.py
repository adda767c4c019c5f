"""What an in-place operation changes besides the tensor that it is called on: whatever lies in the same memory.

Views, slices and operations that return their input share memory with it; where one of them is changed in place, all
that are read later have changed. Which values these are is seen in the tensors of the run that gives every shape.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .data import Data


def shares_memory(a: Any, b: Any) -> bool:
    """Whether two values of the traced model lie in one piece of memory, or parts of a list or tuple do."""
    if isinstance(a, list | tuple):
        return any(shares_memory(item, b) for item in a)
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return False
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def changed_with(other: Any, held: Any, tensor: Tensor, made: Data) -> Any:
    """What `other`, which held `held`, holds after `tensor` in the same memory has become `made`.

    Raises ValueError where only a part of it has changed: it is then the result of no single operation.
    """
    if isinstance(other, list | tuple):
        return [changed_with(item, part, tensor, made) for item, part in zip(other, held, strict=True)]
    if not shares_memory(other, tensor):
        return held
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    memory = torch.full((size,), -1.0, dtype=torch.float64)
    memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(made.places())
    places = memory.as_strided(other.shape, other.stride(), other.storage_offset()).clone()
    untouched = places < 0
    if bool(untouched.all()):
        return held
    if bool(untouched.any()):
        raise ValueError("a part")
    if places.shape == made.shape and torch.equal(places, made.places()):
        return made
    return replace(made, shape=tuple(other.shape), index=places)
