"""A tensor of the traced model as a rule sees it: an operation of the builder, and where its values have gone since.

Views, permutations, slices and repetitions compute nothing. They are followed by doing them to the numbers 0, 1, 2, ...
of the places: a channel shuffle, an NHWC flattening and a chunk then need no rules of their own. What a convolution or
a fully connected layer can read is decided where one reads it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .builder import CnnBuilder

BATCH = 2  # of the run that gives every shape


@dataclass(frozen=True)
class Data:
    """`index` holds for every place of the tensor (batch included) the place of the operation's value that is there."""

    name: str  # in the builder
    shape: tuple[int, ...]  # of the tensor, with the batch first
    index: Tensor | None = None  # float64 of `shape`; None: the value as it is, (n, channel, height, width)
    softmax: str | None = None  # "softmax" or "log_softmax" behind one
    softmax_layer: str = ""

    def places(self) -> Tensor:
        """`index`, made if there is none."""
        if self.index is not None:
            return self.index
        size = torch.Size(self.shape).numel()
        return torch.arange(size, dtype=torch.float64).view(self.shape)


def of_result(name: str, raw: tuple[int, int, int], shape: tuple[int, ...]) -> Data | None:
    """What a rule made, seen as a tensor of `shape`; None where that has another number of values."""
    if tuple(shape) == (BATCH, *raw):
        return Data(name, tuple(shape))
    size = BATCH * raw[0] * raw[1] * raw[2]
    if torch.Size(shape).numel() != size:
        return None
    return Data(name, tuple(shape), torch.arange(size, dtype=torch.float64).view(shape))


def as_image(builder: CnnBuilder, label: str, data: Data) -> str | None:
    """The operation whose value is the tensor as (n, channel, height, width); None where it is none.

    Channels may be chosen, rows and columns repeated or every so many taken.
    """
    if data.index is None:
        return data.name
    if len(data.shape) != 4:
        return None
    channels, height, width = builder.shapes[data.name]
    index = _first(data, channels * height * width)
    if index is None:
        return None
    channel, row, column = index // (height * width), index // width % height, index % width
    chosen, rows, columns = channel[:, 0, 0], row[0, :, 0], column[0, 0, :]
    separate = bool(
        (channel == chosen[:, None, None]).all() and (row == rows[:, None]).all() and (column == columns).all()
    )
    steps = [_step(places.tolist(), size) for places, size in ((rows, height), (columns, width))]
    if not separate or None in steps:
        return None
    factors = [step for step in steps if step is not None]
    name = builder.select(f"{label}_channels", data.name, chosen.tolist())
    name = builder.subsample(f"{label}_every", name, (max(factors[0], 1), max(factors[1], 1)))
    return builder.upsample(f"{label}_repeat", name, (max(-factors[0], 1), max(-factors[1], 1)))


def as_vector(builder: CnnBuilder, data: Data) -> tuple[str, Tensor | None] | None:
    """The operation whose flattened values are the tensor (n, features), and their order in it (None: as they are).

    None where the tensor has other axes, or leaves values out or repeats them.
    """
    size = torch.Size(builder.shapes[data.name]).numel()
    if len(data.shape) != 2 or data.shape[1] != size:
        return None
    index = _first(data, size)
    if index is None or len(index.unique()) != size:
        return None
    return data.name, None if bool((index == torch.arange(size)).all()) else index


def _first(data: Data, size: int) -> Tensor | None:
    """The places of one sample; None where samples were mixed."""
    places = data.places().long()
    if data.shape[0] != BATCH or not bool((places[1] == places[0] + size).all()) or bool((places[0] >= size).any()):
        return None
    return places[0]


def _step(places: list[int], size: int) -> int | None:
    """1: all rows in order; k: every k-th; -k: each k times; None: something else."""
    if len(places) >= size and len(places) % size == 0:
        factor = len(places) // size
        if places == [place // factor for place in range(len(places))]:
            return -factor if factor > 1 else 1
    if len(places) > 1 and places[1] > 1 and places == list(range(0, size, places[1])):
        return places[1]
    return size if places == [0] else None
