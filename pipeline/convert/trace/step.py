"""One operation of the traced model, as a rule sees it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import ConversionError
from .builder import CnnBuilder
from .data import Data, as_image
from .refusals import refuse


@dataclass(frozen=True)
class Step:
    builder: CnnBuilder
    name: str
    kind: str  # as torch calls it, for messages
    output_shape: tuple[int, ...]  # with the batch first; () where it returns several tensors

    def refuse(self, reason: str = "", way_out: str = "") -> ConversionError:
        return refuse(self.name, self.kind, reason, way_out)

    def data(self, x: Any) -> Data:
        """The operand, which must hold a part of the input."""
        if not isinstance(x, Data):
            raise self.refuse("its input is not its first argument", "pass the input first")
        return x

    def image(self, x: Any) -> str:
        """The operand as (n, channel, height, width)."""
        data = self.data(x)
        name = as_image(self.builder, self.name, data) if len(data.shape) == 4 else None
        if name is None:
            raise self.refuse(
                f"its input has shape {data.shape}, values moved from those of {data.name!r}"
                if len(data.shape) == 4
                else f"its input has shape {data.shape}",
                "want (n, channel, height, width), with whole channels in any choice or order",
            )
        return name

    def features(self, x: Data) -> str:
        """The operand (n, features) as (n, features, 1, 1)."""
        size = torch.Size(self.builder.shapes[x.name]).numel()
        places = x.places()
        alike = len(x.shape) == 2 and bool((places[1] == places[0] + size).all()) and bool((places[0] < size).all())
        if not alike:
            raise self.refuse(f"its input has shape {x.shape}", "flatten it to (n, features) before")
        label = self.name if "flatten" in self.name else f"{self.name}_flatten"
        return self.builder.choose_features(label, x.name, places[0].long())

    def as_it_lies(self, x: Data) -> str:
        """The operand as an image where it has four axes, else as features."""
        return self.image(x) if len(x.shape) == 4 else self.features(x)

    def elementwise(self, x: Any, f: Callable[[str], str]) -> Data:
        """The result of something that works on each value alone, wherever the values lie by now."""
        data = self.data(x)
        return replace(data, name=f(data.name))
