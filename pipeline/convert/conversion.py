"""`convert`: a trained CNN in, a spiking Network and a report of what was lost out. Refuse or prove.

Every layer either folds exactly (graph.py, rules.py, chain.py), is scaled by what calibration saw (normalize.py) and is
measured against the CNN (report.py), or the conversion raises ConversionError and names it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConversionError, counted
from ..network import Delay, Network, Readout
from .chain import Chain
from .graph import import_chain
from .normalize import Normalization, Scale, build_network, measure_scales
from .report import ConversionReport, measure

FOLDING_TOLERANCE = 1e-4  # of the largest output: what float32 sums may differ by
CHECK_SAMPLES = 64


@dataclass(frozen=True)
class Conversion:
    network: Network
    report: ConversionReport


def convert(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    labels: Sequence[str],
    calibration: Tensor | np.ndarray | Iterable[Tensor],
    *,
    percentile: float = 99.9,
    over: Literal["all", "nonzero"] = "all",
    per: Literal["layer", "channel"] = "layer",
    thresholds: Mapping[str, float] | None = None,
    timestep_us: int | None = None,
    state_window_us: int | None = None,
    delays_us: Sequence[int] = (),
    readout: Readout | None = None,
    reset: Literal["subtract", "zero"] = "subtract",
    v_init: float = 0.5,
    input_scale: float = 1.0,
    check_timesteps: int = 128,
    max_error: float | None = 0.5,
    source: str = "",
) -> Conversion:
    """Turn a CNN of ReLU layers into integrate-and-fire neurons. `model` is neither changed nor left in another mode.

    calibration      inputs of the training set (n, channel, height, width), a few hundred; or batches of them
    percentile       of each layer's activations becomes firing rate 1; 100 is the largest one
    over             count all activations, or only those above 0, in the percentile
    per              one scale a layer, or one a channel (raises the rates of weak channels, and the SynOps)
    thresholds       instead of percentiles: by the name of each ReLU the activation that becomes firing rate 1, for a
                     CNN that was fine-tuned as a spiking network with these (train/spiking.py)
    timestep_us      length of the slices that the CNN's inputs are the mean of; None for images
    state_window_us  hidden neurons start afresh every so many µs of a stream; None: never
    delays_us        the CNN's channels are the camera's as they were so many µs ago, group by group, e.g. (0, 60_000):
                     the network delays its input itself; () or (0,): no delay
    readout          Readout("membrane") by default: the last layer integrates; Readout("count") puts an IF behind it
    v_init           membrane potential at the start, as a share of the threshold
    input_scale      spikes (or current) per timestep that stand for an input value of 1; what a Poisson encoder of
                     rate_per_step 0.5 needs is 0.5
    check_timesteps  length of the check against the CNN
    max_error        refuse if the output differs by more than this share after the check; None: never
    source           where the CNN came from, for the record
    """
    _check_settings(percentile, over, per, reset, v_init, input_scale, check_timesteps)
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ConversionError(f"input_shape is {tuple(input_shape)}, want (channel, height, width)")
    shape = (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
    inputs = _calibration(calibration, shape)
    readout = readout or Readout("membrane")
    chain = import_chain(model, shape)
    if readout.kind == "membrane" and getattr(chain.stages[-1], "relu", None):
        raise ConversionError(
            "the model ends with a ReLU, whose membrane cannot be read out; use Readout('count'), or leave the ReLU out"
        )
    samples = inputs[:CHECK_SAMPLES]
    folding_error = _compare(model, chain, samples)
    how = Normalization(percentile, over, per)
    scales = measure_scales(chain, inputs, how, readout.kind == "count", thresholds)
    provenance = _provenance(how, scales, inputs, reset, v_init, input_scale, chain, source, thresholds)
    network = build_network(
        chain,
        scales,
        shape,
        tuple(labels),
        readout,
        timestep_us,
        state_window_us,
        input_scale,
        reset,
        v_init,
        provenance,
    )
    report = measure(chain, network, scales, samples, check_timesteps, folding_error)
    if max_error is not None and report.output_error > max_error:
        raise ConversionError(
            f"the spiking network is {report.output_error:.0%} off the CNN after {check_timesteps} timesteps, want "
            f"at most {max_error:.0%}: {report.verdict} (max_error=None converts all the same)"
        )
    delayed = tuple(delays_us) not in ((), (0,))
    return Conversion(with_delays(network, delays_us) if delayed else network, report)


def with_delays(network: Network, delays_us: Sequence[int]) -> Network:
    """The same network behind a Delay: its input channels become groups, each the stream's channels at one delay."""
    channels, height, width = network.input_shape
    if channels % len(delays_us):
        inputs = counted(channels, "input channel")
        raise ConversionError(f"{counted(len(delays_us), 'delay')} cannot divide the CNN's {inputs} into groups")
    delay = Delay("delay", ("input",), tuple(delays_us))
    first = replace(network.layers[0], inputs=(delay.name,))
    layers = (delay, first, *network.layers[1:])
    return replace(network, layers=layers, input_shape=(channels // len(delays_us), height, width))


def _check_settings(
    percentile: float, over: str, per: str, reset: str, v_init: float, input_scale: float, check_timesteps: int
) -> None:
    if not 0 < percentile <= 100:
        raise ConversionError(f"percentile is {percentile}, want above 0 and at most 100 (99.9 is usual)")
    for name, value, known in (
        ("over", over, ("all", "nonzero")),
        ("per", per, ("layer", "channel")),
        ("reset", reset, ("subtract", "zero")),
    ):
        if value not in known:
            raise ConversionError(f"{name} is {value!r}, want {' or '.join(map(repr, known))}")
    if not 0 <= v_init < 1:
        raise ConversionError(f"v_init is {v_init}, want a share of the threshold from 0 to below 1")
    if not 0 < input_scale < float("inf"):
        raise ConversionError(f"input_scale is {input_scale}, want above 0")
    if check_timesteps < 1:
        raise ConversionError(f"check_timesteps is {check_timesteps}, want at least 1")


def _calibration(calibration: Any, shape: tuple[int, int, int]) -> Tensor:
    if isinstance(calibration, np.ndarray):
        calibration = torch.from_numpy(calibration)
    elif not isinstance(calibration, Tensor):
        batches = [torch.as_tensor(batch) for batch in calibration]
        calibration = torch.cat(batches) if batches else torch.zeros(0, *shape)
    if calibration.ndim != 4 or tuple(calibration.shape[1:]) != shape or len(calibration) == 0:
        raise ConversionError(
            f"calibration inputs have shape {tuple(calibration.shape)}, want (n, {', '.join(map(str, shape))}) with n "
            "of a few hundred, drawn from the training set"
        )
    inputs = calibration.detach().cpu().float()
    if not torch.isfinite(inputs).all():
        raise ConversionError("calibration inputs hold infinite or undefined values")
    if not inputs.any():
        raise ConversionError("calibration inputs are all 0, which says nothing about any layer; give real inputs")
    return inputs


def _compare(model: nn.Module, chain: Chain, samples: Tensor) -> float:
    """Largest difference between the model and its folded chain, as a share of the largest output."""
    modes = {module: module.training for module in model.modules()}
    try:
        parameter = next(model.parameters(), samples)
        with torch.inference_mode():
            wanted = model.eval()(samples.to(parameter.device, parameter.dtype)).cpu().float().flatten(1)
    finally:
        for module, mode in modes.items():
            module.training = mode
    found = chain(samples)
    difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    error = difference / max(float(wanted.abs().max()), 1e-12)
    if not error <= FOLDING_TOLERANCE:
        raise ConversionError(
            f"the folded layers do not compute what the model computes (they differ by {error:.2g} of the largest "
            f"output, want at most {FOLDING_TOLERANCE:g}); does its forward depend on more than its input, or is "
            "it a mistake of ours? Nothing was converted"
        )
    return error


def _provenance(
    how: Normalization,
    scales: list[Scale | None],
    inputs: Tensor,
    reset: str,
    v_init: float,
    input_scale: float,
    chain: Chain,
    source: str,
    thresholds: Mapping[str, float] | None,
) -> dict[str, object]:
    """How the network was made; no date and no path, so that the same conversion gives the same bytes."""
    lambdas = {
        scale.name: float(scale.values[0]) if how.per == "layer" else [float(value) for value in scale.values]
        for scale in scales
        if scale is not None
    }
    return {
        "made_by": "dvs_run.pipeline.convert",
        "method": "percentile normalization" if thresholds is None else "thresholds of the fine-tuning",
        "percentile": how.percentile,
        "over": how.over,
        "per": how.per,
        "lambdas": lambdas,
        "reset": reset,
        "v_init": v_init,
        "input_scale": input_scale,
        "calibration": {"inputs": len(inputs), "sha256": hashlib.sha256(inputs.numpy().tobytes()).hexdigest()},
        "notes": list(chain.notes),
        "source": source,
        "torch": torch.__version__,
    }
