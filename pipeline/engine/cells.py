"""Which pixels lie together as one cell, and how weights and constants are laid out for them.

Channels last, padded to whole vectors of 16 (`lanes`). Pixels whose spikes reach the same targets (the windows of a
pool) lie together as one `cell`, so that their spikes form one group. The weights of a source channel lie as
[kernel tap][lanes]: all that a spike adds is one row.
"""

import numpy as np

from .graph import Population, Reach

MAX_CELL = 16  # pixels of a cell, at most


def cell_of(population: Population, populations: list[Population]) -> tuple[int, int]:
    """(height, width) in pixels of the largest blocks whose pixels reach the same targets through the same taps."""
    terms = [t for p in populations for t in p.terms if t.source == population.name]
    if not terms or any(term.weight is None for term in terms):
        return (1, 1)  # read out, or into a max pool, which must know its pixels
    height = _block([term.row_reach for term in terms], MAX_CELL)
    return height, _block([term.column_reach for term in terms], MAX_CELL // height)


def _block(reaches: list[Reach], most: int) -> int:
    size = len(reaches[0])
    for block in range(min(most, size), 1, -1):
        if size % block == 0 and all(r[i] == r[i - i % block] for r in reaches for i in range(size)):
            return block
    return 1


def rows_of(whole: np.ndarray, groups: int, lanes: int) -> np.ndarray:
    """(out, in / groups, ky, kx) as (source channel, tap, lanes)."""
    out, per_group, height, width = whole.shape
    grouped = whole.reshape(groups, out // groups, per_group, height * width).transpose(0, 2, 3, 1)
    rows = np.zeros((groups * per_group, height * width, lanes))
    rows[:, :, : out // groups] = grouped.reshape(groups * per_group, height * width, out // groups)
    return rows


def tiled(values: np.ndarray, padding: float, stage: np.void) -> np.ndarray:
    """Per channel -> per neuron of a cell. Padding neurons stay at 0, below a threshold that nothing reaches."""
    cell = np.full((int(stage["pixels"]), int(stage["lanes"])), padding)
    cell[:, : len(values)] = values
    return cell.reshape(-1)


def most_often(reach: Reach) -> int:
    """The most source positions that one (target, tap) reads."""
    seen: dict[tuple[int, int], int] = {}
    for pairs in reach:
        for pair in pairs:
            seen[pair] = seen.get(pair, 0) + 1
    return max(seen.values(), default=1)


def mean_length(reach: Reach) -> float:
    return sum(map(len, reach)) / max(len(reach), 1)
