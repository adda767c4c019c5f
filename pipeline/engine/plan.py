"""Lay a Network out as flat arrays of integers for the kernels.

Numbers. Every stage (one Conv2d or Linear with the IF behind it) has a `unit`: weights become int16, biases,
thresholds and membrane potentials int32, all multiples of it. Integer sums do not depend on their order, so the
event-driven engine, a dense one and the slow twin in the tests agree to the bit. The price is the rounding of the
weights, at most half a unit, which is 1/65,534 of the largest weight of the stage; `rounding` says what it came to.
float32 was the rival: as fast, but its sums depend on the order in which spikes arrive.

Layout. Channels last: neuron (y, x, c) of a stage lies at (y * width + x) * channels + c, the weights of one kernel
tap at [in][ky][kx][out], so that one arriving spike adds contiguous rows to contiguous neurons. A Linear is a Conv2d
whose kernel is its whole input. A SumPool2d before a weight layer is part of the edge; one behind it is merged into
its kernel. (Over 300 lines, because all that decides what an integer means here stands together.)
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NetworkError
from ..network import IF, Conv2d, Delay, Linear, Network, SumPool2d

WEIGHT_MAX = 32_767  # int16
THRESHOLD_MAX = 1 << 20  # so that a membrane has room for at least 1,024 thresholds either way
MEMBRANE_LIMIT = 1 << 30  # potentials are clamped to +-this
INPUT_LIMIT = 1 << 29  # what can arrive in one step; with a bias of at most half of it, int32 cannot wrap

STAGE_DTYPE = np.dtype(
    [
        ("height", "i8"),
        ("width", "i8"),
        ("channels", "i8"),
        ("first_neuron", "i8"),  # where its neurons begin in v
        ("first_pixel", "i8"),  # where its pixels begin in mark, updated, due, touched, carry
        ("first_channel", "i8"),  # where its channels begin in bias, threshold, v_init
        ("fires", "i8"),  # 1: IF neurons; 0: the input, or a membrane readout
        ("reset_to_zero", "i8"),
        ("biased", "i8"),  # 1: a bias is not 0
        ("rises", "i8"),  # 1: a bias is above 0, so a neuron can fire without input
    ]
)
EDGE_DTYPE = np.dtype(
    [
        ("source", "i8"),
        ("target", "i8"),
        ("first_weight", "i8"),  # where its weights begin
        ("taps", "i8"),  # kernel height * width
        ("in_per_group", "i8"),
        ("out_per_group", "i8"),
        ("rows", "i8"),  # reach_start[rows + y] is where the reach of source row y begins
        ("columns", "i8"),  # likewise of source column x
    ]
)


@dataclass(frozen=True)
class Plan:
    """What the kernels run on. Stage 0 is the input; the last stage is read out."""

    stages: np.ndarray  # STAGE_DTYPE[stage]
    edges: np.ndarray  # EDGE_DTYPE[stage - 1], in order of execution
    weights: np.ndarray  # int16, all edges
    bias: np.ndarray  # int32 per channel of all stages, in units per timestep
    threshold: np.ndarray  # int32 likewise
    v_init: np.ndarray  # int32 likewise; below the threshold
    per_bias: np.ndarray  # float32 likewise: 1 / bias where it is above 0, else a huge number
    units: np.ndarray  # float64[stage]: what 1 means, in the units of the network
    rounding: np.ndarray  # float64[stage]: largest rounding error of a weight, relative to the largest weight
    max_count: int  # the most events of one cell in one step that cannot overflow
    reach: (
        np.ndarray
    )  # int64 (n, 2): the pixels and kernel taps that a spike reaches along one axis, see kernels._scatter
    reach_start: np.ndarray  # int64: where they begin for each row and column of each edge's source
    names: tuple[str, ...]  # name of each stage: its weight layer's
    macs: np.ndarray  # int64[edge]: multiply-accumulates of the same layer in the CNN, borders counted exactly


@dataclass
class _Stage:
    """One weight layer as a convolution, with the pool before it and the neurons behind it."""

    name: str
    weight: np.ndarray  # float64 (out, in / groups, ky, kx)
    bias: np.ndarray  # float64 (out,)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pool: tuple[int, int] = (1, 1)
    hop: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (1, 1)  # (height, width) of the input
    pooled: tuple[int, int] = (1, 1)  # ... after the pool
    behind: SumPool2d | None = None  # a pool between the weights and the neurons
    neuron: IF | None = None
    shape: tuple[int, int, int] = (0, 0, 0)  # (channels, height, width) of the output
    macs: int = 0


class _Reach:
    """What becomes Plan.reach, as it is collected."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []
        self.start: list[int] = []


def make_plan(network: Network, bias_scale: float = 1.0) -> Plan:
    """Lay `network` out. `bias_scale`: timestep of the run over the timestep that the biases were made for.

    Raises NetworkError where layers follow each other in a way that the engine does not run, naming them.
    """
    drafts = _collect(network)
    stages = np.zeros(len(drafts) + 1, STAGE_DTYPE)
    edges = np.zeros(len(drafts), EDGE_DTYPE)
    channels, height, width = weighted_input_shape(network)
    zeros = np.zeros(channels)
    weights, constants, units, rounding = [], [(zeros, zeros, zeros)], [1.0], [0.0]
    stages[0]["height"], stages[0]["width"], stages[0]["channels"] = height, width, channels
    max_count, first_weight, reach = 1, 0, _Reach()
    for index, draft in enumerate(drafts):
        unit = _unit(draft)
        rounded = np.rint(draft.weight / unit)
        kernel = _as_one_kernel(draft, rounded)
        widest = max(1.0, np.abs(kernel).sum(axis=(1, 2, 3)).max() * draft.pool[0] * draft.pool[1])
        if widest > INPUT_LIMIT:
            raise NetworkError(f"layer {draft.name!r} has too wide a fan-in for int32 sums ({widest:.3g} units)")
        max_count = int(INPUT_LIMIT // widest) if index == 0 else max_count
        _fill_edge(edges[index], index, draft, kernel, first_weight, reach)
        constants.append(_integer_constants(draft, unit, bias_scale))
        _fill_stage(stages, index + 1, draft, constants[-1][0])
        rows = _rows_per_input_channel(kernel, draft.groups)
        weights.append(rows)
        first_weight += rows.size
        units.append(unit)
        rounding.append(float(np.abs(rounded * unit - draft.weight).max() / max(np.abs(draft.weight).max(), 1e-300)))
    bias, threshold, v_init = (np.concatenate(column).astype(np.int32) for column in zip(*constants, strict=True))
    per_bias = np.where(bias > 0, 1.0 / np.maximum(bias, 1), 1e9).astype(np.float32)
    return Plan(
        stages=stages,
        edges=edges,
        weights=np.concatenate(weights),
        bias=bias,
        threshold=threshold,
        v_init=v_init,
        per_bias=per_bias,
        units=np.array(units),
        rounding=np.array(rounding),
        max_count=max_count,
        reach=np.array(reach.pairs, np.int64).reshape(-1, 2),
        reach_start=np.array(reach.start, np.int64),
        names=("input", *(draft.name for draft in drafts)),
        macs=np.array([draft.macs for draft in drafts], np.int64),
    )


def weighted_input_shape(network: Network) -> tuple[int, int, int]:
    """Shape of what the first weights see: the input, or what a Delay makes of it."""
    first = network.layers[0]
    return network.shapes()[first.name if isinstance(first, Delay) else "input"]


def _collect(network: Network) -> list[_Stage]:
    """Group the layers into stages: [pools] weights [pools] [IF]."""
    shapes = network.shapes()
    stages: list[_Stage] = []
    pools: list[SumPool2d] = []
    open_stage = False  # the last stage has weights but no IF yet
    for position, layer in enumerate(network.layers):
        if layer.inputs != (network.layers[position - 1].name if position else "input",):
            raise NetworkError(f"layer {layer.name!r} is fed by {layer.inputs}; this version runs plain chains only")
        if isinstance(layer, Delay):
            continue  # delays.py does its work, before the kernels see a slice
        if isinstance(layer, SumPool2d):
            if not open_stage:
                pools.append(layer)
            elif stages[-1].behind is None:
                stages[-1].behind, stages[-1].shape = layer, shapes[layer.name]
            else:
                raise NetworkError(f"pool {layer.name!r} follows another between weights and neurons; merge the two")
        elif isinstance(layer, Conv2d | Linear):
            if open_stage:
                raise NetworkError(
                    f"layer {layer.name!r} follows {stages[-1].name!r} without an IF between them; "
                    "merge the two, or put neurons behind the first"
                )
            stages.append(_start_stage(layer, pools, shapes))
            pools, open_stage = [], True
        elif isinstance(layer, IF):
            if not open_stage:
                raise NetworkError(f"IF layer {layer.name!r} needs a Conv2d or Linear before it")
            stages[-1].neuron, open_stage = layer, False
    if pools or not stages:
        raise NetworkError("the last layer must be a Conv2d, a Linear or an IF; a pool cannot be read out")
    return stages


def _start_stage(layer: Conv2d | Linear, pools: list[SumPool2d], shapes: dict[str, tuple[int, int, int]]) -> _Stage:
    channels, height, width = shapes[layer.inputs[0]]
    weight = layer.weight.astype(np.float64)
    if isinstance(layer, Linear):
        weight = weight.reshape(len(weight), channels, height, width)
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.astype(np.float64)
    before = shapes[pools[0].inputs[0]][1:] if pools else (height, width)
    stage = _Stage(layer.name, weight, bias, before=before, pooled=(height, width), shape=shapes[layer.name])
    if isinstance(layer, Conv2d):
        stage.stride, stage.padding, stage.dilation, stage.groups = (
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )
    stage.macs = weight.shape[0] * weight.shape[1] * _taps_inside(stage)
    for pool in pools:  # one after the other is one larger pool, as long as the earlier windows do not overlap
        if stage.pool != stage.hop:
            raise NetworkError(f"pool {pool.name!r} follows a pool whose windows overlap; that is not supported yet")
        stage.pool = tuple((k - 1) * s + w for k, s, w in zip(pool.kernel, stage.hop, stage.pool, strict=True))  # type: ignore[assignment]
        stage.hop = tuple(a * b for a, b in zip(stage.hop, pool.stride, strict=True))  # type: ignore[assignment]
    return stage


def _taps_inside(stage: _Stage) -> int:
    """How many (output pixel, kernel tap) pairs of the CNN's layer fall on the input and not on its padding."""
    total = 1
    for size, out, k, s, p, g in zip(
        stage.pooled, stage.shape[1:], stage.weight.shape[2:], stage.stride, stage.padding, stage.dilation, strict=True
    ):
        reached = np.arange(out)[:, None] * s + np.arange(k)[None, :] * g - p
        total *= int(((reached >= 0) & (reached < size)).sum())
    return total


def _as_one_kernel(stage: _Stage, weight: np.ndarray) -> np.ndarray:
    """sum over a window of (W * s) = (W summed over shifts) * s: a layer and the pool behind it are one kernel."""
    if stage.behind is None:
        return weight
    kernel, (gap_y, gap_x), (stride_y, stride_x) = weight.shape[2:], stage.dilation, stage.stride
    span_y, span_x = (kernel[0] - 1) * gap_y + 1, (kernel[1] - 1) * gap_x + 1
    rows, columns = stage.behind.kernel
    merged = np.zeros((*weight.shape[:2], span_y + (rows - 1) * stride_y, span_x + (columns - 1) * stride_x))
    for dy in range(rows):
        for dx in range(columns):
            y, x = dy * stride_y, dx * stride_x
            merged[:, :, y : y + span_y : gap_y, x : x + span_x : gap_x] += weight
    return merged


def _unit(stage: _Stage) -> float:
    """The largest weight becomes 32,767 units, unless a threshold would then exceed THRESHOLD_MAX."""
    finest = float(np.abs(_as_one_kernel(stage, stage.weight)).max()) / WEIGHT_MAX
    if stage.behind is not None:  # the sum of rounded weights may come out a little above the rounded sum
        finest *= 1 + stage.behind.kernel[0] * stage.behind.kernel[1] / WEIGHT_MAX
    coarsest = 0.0 if stage.neuron is None else float(stage.neuron.threshold.max()) / THRESHOLD_MAX
    return max(finest, coarsest) or 1.0


def _integer_constants(stage: _Stage, unit: float, bias_scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bias, threshold, v_init) of a stage's channels, in units."""
    bias = np.rint(stage.bias * bias_scale / unit)
    if stage.behind is not None:
        bias *= stage.behind.kernel[0] * stage.behind.kernel[1]
    if np.abs(bias).max() > INPUT_LIMIT // 2:
        longer = f" in slices {bias_scale:,g} times as long as trained for" if bias_scale > 1 else ""
        raise NetworkError(
            f"layer {stage.name!r} has a bias {np.abs(stage.bias).max():.3g} that dwarfs its weights "
            f"(largest {np.abs(stage.weight).max():.3g}){longer}; "
            + ("use shorter slices" if longer else "was the network normalized?")
        )
    if stage.neuron is None:
        return bias, np.full(len(bias), MEMBRANE_LIMIT), np.zeros(len(bias))
    threshold = np.maximum(np.rint(stage.neuron.threshold.astype(np.float64) / unit), 1)
    v_init = np.clip(np.rint(stage.neuron.v_init.astype(np.float64) / unit), -MEMBRANE_LIMIT, threshold - 1)
    return bias, threshold, v_init


def _rows_per_input_channel(quantized: np.ndarray, groups: int) -> np.ndarray:
    """(out, in / groups, ky, kx) as flat int16 rows [in][ky][kx][out / groups]."""
    out, per_group, ky, kx = quantized.shape
    grouped = quantized.reshape(groups, out // groups, per_group, ky, kx)
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1), np.int16).reshape(-1)


def _fill_stage(stages: np.ndarray, index: int, draft: _Stage, bias: np.ndarray) -> None:
    stage, before = stages[index], stages[index - 1]
    stage["channels"], stage["height"], stage["width"] = draft.shape
    pixels = before["height"] * before["width"]
    stage["first_neuron"] = before["first_neuron"] + pixels * before["channels"]
    stage["first_pixel"] = before["first_pixel"] + pixels
    stage["first_channel"] = before["first_channel"] + before["channels"]
    stage["fires"] = draft.neuron is not None
    stage["reset_to_zero"] = draft.neuron is not None and draft.neuron.reset == "zero"
    stage["biased"] = bool((bias != 0).any())
    stage["rises"] = bool((bias > 0).any())


def _fill_edge(
    edge: np.void, index: int, draft: _Stage, kernel: np.ndarray, first_weight: int, reach: "_Reach"
) -> None:
    height, width = kernel.shape[2:]
    edge["source"], edge["target"], edge["first_weight"], edge["taps"] = index, index + 1, first_weight, height * width
    edge["in_per_group"], edge["out_per_group"] = draft.weight.shape[1], len(draft.weight) // draft.groups
    stride, gap = draft.stride, draft.dilation
    if draft.behind is not None:
        stride, gap = (stride[0] * draft.behind.stride[0], stride[1] * draft.behind.stride[1]), (1, 1)
    for axis, (name, pixel_step, tap_step) in enumerate((("rows", draft.shape[2], width), ("columns", 1, 1))):
        edge[name] = len(reach.start)
        for position in range(draft.before[axis]):
            reach.start.append(len(reach.pairs))
            for pooled in range(draft.pooled[axis]):
                if not 0 <= position - pooled * draft.hop[axis] < draft.pool[axis]:
                    continue
                for target in range(draft.shape[1 + axis]):
                    tap, rest = divmod(pooled + draft.padding[axis] - target * stride[axis], gap[axis])
                    if rest == 0 and 0 <= tap < kernel.shape[2 + axis]:
                        reach.pairs.append((target * pixel_step, tap * tap_step))
        reach.start.append(len(reach.pairs))
