"""One node of an ONNX file as a rule sees it: its inputs, its attributes, and how to refuse it by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ....errors import ConversionError
from ..module_builder import Data, Value
from .build import Builder
from .file import OnnxNode

Results = Sequence[Value]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # rows and columns of padding: top, left, bottom, right


@dataclass(frozen=True)
class Op:
    """One node, as a rule sees it."""

    builder: Builder
    node: OnnxNode
    inputs: tuple[Value | None, ...]  # None: left out

    @property
    def title(self) -> str:
        return self.node.title

    @property
    def opset(self) -> int:
        return self.builder.file.opset

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def refuse(self, reason: str, way_out: str) -> ConversionError:
        return ConversionError(f"node {self.title!r} ({self.node.op}, opset {self.opset}): {reason}; {way_out}")

    def data(self, index: int = 0, raw: bool = False) -> Data:
        """An input that depends on the model's input; `raw`: with whatever is owed to it."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, Data):
            what = "left out" if value is None else "a constant"
            raise self.refuse(f"its input {index} is {what}", "want the output of another layer there")
        return value if raw else self.builder.paid(self.title, value)

    def constant(self, index: int) -> np.ndarray | None:
        """An input that is a constant; None where it is left out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Data):
            raise self.refuse(
                f"its input {self.node.inputs[index]!r} is computed from the image", "want a constant, such as weights"
            )
        return value

    def needed(self, index: int) -> np.ndarray:
        value = self.constant(index)
        if value is None:
            raise self.refuse(f"its input {index} is left out", "the file is damaged; export the model again")
        return value

    def numbers(self, index: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an attribute in old opsets and an input in new ones; None where not said."""
        value = self.constant(index)
        if value is not None:
            return [int(item) for item in value.reshape(-1)]
        said = self.attribute(attribute)
        return None if said is None else [int(item) for item in said]

    def module(self, module: nn.Module, data: Data) -> list[Value]:
        return [self.builder.module(self.title, module, data)]

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Value]:
        return [self.builder.call(self.title, function, *args, **kwargs)]


def pair(op: Op, name: str) -> Pair:
    values = op.attribute(name, [1, 1])
    if len(values) != 2 or min(values) < 1:
        raise op.refuse(f"its {name} are {values}", "only two-dimensional layers convert")
    return int(values[0]), int(values[1])


def pads_of(
    op: Op, sides: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Pads:
    """The padding of a convolution or pool, however it is said."""
    mode = op.attribute("auto_pad", "NOTSET")
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        ends = []
        for side, k, s, d in zip(sides, kernel, stride, dilation, strict=True):
            total = max((-(-side // s) - 1) * s + d * (k - 1) + 1 - side, 0)
            small, large = total // 2, total - total // 2
            ends.append((small, large) if mode == "SAME_UPPER" else (large, small))
        return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
    pads = op.attribute("pads", [0, 0, 0, 0])
    if mode != "NOTSET" or len(pads) != 4:
        raise op.refuse(f"its pads are {pads}, auto_pad {mode}", "only two-dimensional layers convert")
    return int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])
