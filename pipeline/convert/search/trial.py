"""One candidate of a search, tried: its accuracy and its operations after every timestep, in one run of all samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...network import Network, Neurons, Readout
from ..calibration.events import EventWindows
from ..calibration.inputs import Inputs
from ..cnn import Cnn
from ..conversion import convert
from ..method import Method
from ..scales import measure_scales
from ..simulate import Clocked, macs
from ..verdict.decide import clocked_run, decide
from ..verdict.stages import first_layers
from ..verdict.validation import Images, Validation
from .candidates import Candidate
from .windows_shown import Windows

Data = Inputs | EventWindows
STATE_VALUES = 1 << 19  # of all neurons of the samples that are run at a time: what caches hold
EVENT_VALUES = 1 << 26  # of the counts of the windows that are run at a time
LONG = 256  # timesteps, until which the last neurons have started
ENOUGH = 16  # inputs to convert with, where the scales are known


@dataclass(frozen=True)
class Setting:
    """What all candidates of a search have in common."""

    cnn: Cnn
    labels: Sequence[str]
    calibration: Tensor  # float32 (n, channel, height, width), for the scales
    readout: Readout | None  # None: as the method says
    timestep_us: int | None
    state_window_us: int | None
    coding: str  # how images are shown: "constant" or "poisson"
    seed: int


@dataclass(frozen=True)
class Trial:
    """What a candidate did on samples, each of which was judged against `wanted`."""

    candidate: Candidate
    network: Network
    right: np.ndarray  # int64 (T,): samples decided as wanted
    operations: np.ndarray  # float64 (T,): cumulative, per sample
    distance: float  # mean of 1 - correlation of a sample's scores with the CNN's, at the end: tells few samples apart


class Converter:
    """Makes the networks of candidates; scales are measured once for all that differ in other settings only."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._scales: dict[tuple[object, ...], Mapping[str, list[float]]] = {}

    def network(self, candidate: Candidate) -> Network:
        setting, method = self._setting, candidate.method
        if not method.lambdas and method.normalization == "percentile":
            method = replace(method, lambdas=self._measured(method))
        reads_membrane = (method.readout if setting.readout is None else setting.readout.kind) == "membrane"
        known = bool(method.lambdas) and reads_membrane and method.correction == "none"
        late = method.clamp_steps or method.readout_delay
        conversion = convert(
            setting.cnn,
            setting.cnn.input_shape,
            setting.labels,
            setting.calibration[:ENOUGH] if known else setting.calibration,
            method=method,
            timestep_us=setting.timestep_us,
            state_window_us=setting.state_window_us,
            readout=setting.readout,
            check_timesteps=LONG if late else 1,
            max_error=None,
        )
        return conversion.network

    def _measured(self, method: Method) -> Mapping[str, list[float]]:
        key = (method.normalization, method.percentile, method.over, method.per)
        if key not in self._scales:
            plain = replace(method, threshold_scale=1.0)
            scales, _ = measure_scales(self._setting.cnn, self._setting.calibration, plain)
            own = {node.name for node in self._setting.cnn.populations() if node.kind == "quantized"}
            self._scales[key] = {n: scale.values.tolist() for n, scale in scales.items() if n not in own}
        return self._scales[key]


def show(data: Data, network: Network, timesteps: int, coding: str, seed: int) -> Validation:
    """Data as a network of the search sees it."""
    if isinstance(data, EventWindows):
        return Windows(data, timesteps)
    return Images(
        torch.from_numpy(data.values), network, timesteps, "poisson" if coding == "poisson" else "constant", seed
    )


def run_trial(
    candidate: Candidate,
    network: Network,
    shown: Validation,
    wanted: np.ndarray,
    outputs: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, n: None,
) -> Trial:
    """`wanted` is the right decision of each sample, `outputs` the CNN's (n, class)."""
    found: list[float] = []

    def watch(part: np.ndarray, state: Clocked, scores: Tensor) -> None:
        found.extend(1.0 - _correlation(scores.double().numpy(), outputs[part]))

    run = clocked_run(network, shown, batch_size(network, shown), watch, lambda _, done, n: progress(done, n))
    current = first_layer_operations(network) if shown.coding == "constant" else 0.0
    right = (run.decisions == wanted).sum(1).astype(np.int64)
    return Trial(candidate, network, right, run.synops + current, float(np.mean(found)))


def first_layer_operations(network: Network) -> float:
    """Of a constant current into the first weight layers, once per sample: 2 per MAC."""
    work = macs(network)
    return 2.0 * sum(work[name] for name in first_layers(network))


def batch_size(network: Network, shown: Validation) -> int:
    """Samples at a time that fit the memory, at most 128."""
    shapes = network.shapes()
    neurons = sum(int(np.prod(shapes[layer.name])) for layer in network.layers if isinstance(layer, Neurons))
    most = STATE_VALUES // max(neurons, 1)
    if shown.coding == "events":
        most = min(most, EVENT_VALUES // (int(np.prod(network.input_shape)) * shown.timesteps))
    return max(4, min(128, most))


def cnn_outputs(cnn: Cnn, data: Data) -> np.ndarray:
    """Outputs of the folded CNN before a softmax, float64 (n, class)."""
    quick, parts = cnn.to(torch.float32), []
    for start in range(0, len(data), 64):
        part = data.subset(np.arange(start, min(start + 64, len(data))))
        values = part.frames() if isinstance(part, EventWindows) else part.values
        parts.append(quick.logits(torch.from_numpy(values)).double().numpy())
    return np.concatenate(parts)


def wanted_decisions(data: Data, outputs: np.ndarray) -> np.ndarray:
    """The labels where there are any, else what the CNN decides."""
    return decide(outputs) if data.targets is None else data.targets


def _correlation(scores: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Of each row; 0 where one is constant."""
    a, b = scores - scores.mean(1, keepdims=True), outputs - outputs.mean(1, keepdims=True)
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.where(size > 0, (a * b).sum(1) / np.where(size > 0, size, 1.0), 0.0)
