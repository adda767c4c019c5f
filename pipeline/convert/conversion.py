"""`convert`: a trained CNN in, a spiking Network and a report of what was lost out. Refuse or prove.

Every layer either folds exactly (trace/, fold/), is scaled by what calibration saw (scales.py, spiking/) and is
measured against the CNN (report.py), or the conversion raises ConversionError and names it.
`convert` is long for its settings, each of which is told there; its body is the order of the steps.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConversionError, counted
from ..network import Delay, Network, Neurons, Readout
from .cnn import Activation, Cnn
from .fold.check import check_samples, folding_check
from .given import all_given, calibration_inputs, settings
from .method import Method
from .methods.balance import balanced
from .methods.correct import finished
from .methods.pools import with_pools
from .methods.presets import name_of
from .report import ConversionReport, measure
from .scales import Progress, measure_scales
from .spiking.build import Built, build_layers
from .spiking.discrete import decided
from .spiking.runnable import runnable
from .trace.graph import import_cnn


@dataclass(frozen=True)
class Conversion:
    """A network and the measurement of it. `cnn` is the folded CNN that it carries, `method` how."""

    network: Network
    report: ConversionReport
    cnn: Cnn
    method: Method


def convert(
    model: nn.Module | Cnn,
    input_shape: tuple[int, int, int],
    labels: Sequence[str],
    calibration: Tensor | np.ndarray | Iterable[Tensor],
    *,
    method: Method | None = None,
    percentile: float | None = None,
    over: Literal["all", "nonzero"] | None = None,
    per: Literal["layer", "channel"] | None = None,
    thresholds: Mapping[str, float] | None = None,
    reset: Literal["subtract", "zero"] | None = None,
    v_init: float | None = None,
    input_scale: float | None = None,
    timestep_us: int | None = None,
    state_window_us: int | None = None,
    delays_us: Sequence[int] = (),
    readout: Readout | None = None,
    output: int | str | None = None,
    check_timesteps: int = 128,
    max_error: float | None = 0.5,
    source: str = "",
    progress: Progress | None = None,
) -> Conversion:
    """Turn a CNN into integrate-and-fire neurons. `model` is neither changed nor left in another mode.

    model            a torch module that torch.fx can trace, or a Cnn that was imported before
    calibration      inputs of the training set (n, channel, height, width), a few hundred; or batches of them
    method           the settings, Method.preset("standard") if not given (with thresholds Method()); percentile, over,
                     per, reset, v_init and input_scale override one of it each
    thresholds       instead of percentiles: by the name of each ReLU the activation that becomes firing rate 1, for a
                     CNN that was fine-tuned as a spiking network with these (train/spiking.py)
    timestep_us      length of the slices that the CNN's inputs are the mean of; None for images
    state_window_us  hidden neurons start afresh every so many µs of a stream; None: never
    delays_us        the CNN's channels are the camera's as they were so many µs ago, group by group, e.g. (0, 60_000):
                     the network delays its input itself; () or (0,): no delay
    readout          the method's by default, "membrane": the last layer integrates; Readout("count") puts an IF behind
    output           which of several results of the model is converted: its number, or its key
    check_timesteps  length of the check against the CNN
    max_error        refuse if the output differs by more than this share after the check; None: never
    source           where the CNN came from, for the record
    progress         is called with (done, of how many, what) now and then
    """
    method = settings(method, percentile, over, per, thresholds, reset, v_init, input_scale)
    if check_timesteps < 1:
        raise ConversionError(f"check_timesteps is {check_timesteps}, want at least 1")
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ConversionError(f"input_shape is {tuple(input_shape)}, want (channel, height, width)")
    shape = (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
    inputs = calibration_inputs(calibration, shape)
    readout = readout or Readout(method.readout, start_step=method.readout_delay)
    cnn = model if isinstance(model, Cnn) else import_cnn(model, shape, output)
    method = decided(cnn, method, streams=timestep_us is not None)
    samples = inputs[: check_samples(cnn, check_timesteps)]
    folding_error = 0.0 if isinstance(model, Cnn) else folding_check(model, cnn, samples)
    if readout.kind == "count" and not isinstance(cnn.node(cnn.output), Activation):
        last = Activation(f"{cnn.output}_if", (cnn.output,))
        cnn = replace(cnn, nodes=(*cnn.nodes, last), output=last.name)
    if thresholds is not None:
        all_given(cnn, thresholds)
    cnn = with_pools(cnn, method, samples)
    scales, remarks = measure_scales(cnn, inputs, method, progress)
    scales = balanced(cnn, scales, inputs, method, progress)
    built = build_layers(cnn, scales, method, readout.kind)
    network = Network(built.layers, shape, tuple(labels), readout, timestep_us, state_window_us)
    network, more = finished(network, cnn, built.lambdas, inputs, method, progress)
    network, smaller = runnable(network)
    _refuse_late_starts(network, check_timesteps)
    notes = [*cnn.notes, *built.notes, *remarks, *more, *smaller]
    network = replace(network, provenance=_provenance(method, built, inputs, notes, source))
    checked = replace(network, readout=replace(readout, kind="membrane")) if "softmax" in readout.kind else network
    report = measure(cnn, checked, built, scales, method, samples, check_timesteps, folding_error, progress)
    if max_error is not None and not report.output_error <= max_error:
        shown = counted(check_timesteps, "timestep")
        raise ConversionError(
            f"the spiking network is {report.output_error:.0%} off the CNN after {shown}, want at most "
            f"{max_error:.0%}: {report.verdict} (max_error=None converts all the same)"
        )
    delayed = tuple(delays_us) not in ((), (0,))
    return Conversion(with_delays(network, delays_us) if delayed else network, report, cnn, method)


def with_delays(network: Network, delays_us: Sequence[int]) -> Network:
    """The same network behind a Delay: its input channels become groups, each the stream's channels at one delay.

    The readout counts no evidence before the longest delay has passed: until then a part of the input is missing.
    """
    channels, height, width = network.input_shape
    if channels % len(delays_us):
        inputs = counted(channels, "input channel")
        raise ConversionError(f"{counted(len(delays_us), 'delay')} cannot divide the CNN's {inputs} into groups")
    delay = Delay("delay", ("input",), tuple(delays_us))
    behind = tuple(
        replace(layer, inputs=tuple(delay.name if name == "input" else name for name in layer.inputs))
        for layer in network.layers
    )
    missing = max(delays_us) // network.timestep_us if network.timestep_us else 0
    readout = replace(network.readout, start_step=max(network.readout.start_step, missing))
    shape = (channels // len(delays_us), height, width)
    return replace(network, layers=(delay, *behind), input_shape=shape, readout=readout)


def _refuse_late_starts(network: Network, check_timesteps: int) -> None:
    """Refuse a check that ends before the last neurons and the readout have started."""
    starts = [layer.start_step for layer in network.layers if isinstance(layer, Neurons)]
    last = max([network.readout.start_step, *starts])
    if last >= check_timesteps:
        raise ConversionError(
            f"a check of {counted(check_timesteps, 'timestep')} ends before everything has started: the last begins "
            f"after {last}; want more timesteps, or smaller clamp_steps or readout_delay"
        )


def _provenance(method: Method, built: Built, inputs: Tensor, notes: list[str], source: str) -> dict[str, object]:
    """How the network was made; no date and no path, so that the same conversion gives the same bytes."""
    lambdas = {
        name: float(values[0]) if bool((values == values[0]).all()) else values.tolist()
        for name, values in built.lambdas.items()
    }
    return {
        "made_by": "dvs_run.pipeline.convert",
        "method": method.name,
        **({"preset": name_of(method)} if name_of(method) else {}),
        **method.described(),
        "lambdas": lambdas,
        "calibration": {"inputs": len(inputs), "sha256": hashlib.sha256(inputs.numpy().tobytes()).hexdigest()},
        "notes": notes,
        "source": source,
        "torch": torch.__version__,
    }
