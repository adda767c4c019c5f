"""An ONNX file becomes a torch module of ordinary layers, which is then imported as any other.

The module is a torch.fx GraphModule whose layers are called after the ONNX nodes (letters, digits and underscores of
their names), so that messages name what a viewer of the file shows. Shape arithmetic (Shape, Gather, Concat, ...) is
computed while reading, for the one input shape that the network will have; what remains are layers.

file.py reads and checks the file, ops.py lists what each operation becomes, build.py holds the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import fx

from ...activation import Shape
from .build import Builder
from .file import read_graph
from .ops import convert_node


@dataclass(frozen=True)
class OnnxModel:
    module: fx.GraphModule  # float32, in eval mode; takes (n, channel, height, width)
    input_shape: Shape  # channel, height, width
    notes: tuple[str, ...]  # what a user should know about how the file was read


def read_onnx(path: str | Path, input_shape: Sequence[int] | None = None, output: int | str | None = None) -> OnnxModel:
    """The CNN of an ONNX file (opset 7 to 24), weights beside it included.

    `input_shape` (channel, height, width) is needed where the file leaves height and width open, or takes a flat
    input. `output` chooses one of several, by name or number; what only the others need is left out. Needs the package
    onnx, no runtime. Nothing of the file is executed. Raises ConversionError that names the node, its operation and the
    opset.
    """
    graph = read_graph(Path(path), output)
    builder = Builder(graph, Path(path))
    shape = builder.begin(input_shape)
    for node in graph.nodes:
        results = convert_node(builder, node)
        for name, value in zip(node.outputs, results, strict=False):
            if name:
                builder.values[name] = value
    return OnnxModel(builder.finish(), shape, tuple(builder.notes))
