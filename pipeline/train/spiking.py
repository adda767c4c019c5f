"""Fine-tune a CNN as the spiking network that it will become: spikes forward, the CNN's gradient backward.

In a short window spikes come unevenly: an edge passes, and a neuron fires at its early positive input before the
negative input that would have held it back arrives. A mean over the window knows nothing of that, and at 12 timesteps a
plain conversion of the gesture CNN falls from 99 % to 80 % and below, whichever the percentile. Here every layer's
output is the firing rate of its neurons, stepped through the slices as the engine does, and the gradient passes as if
it were the clipped activation (tandem learning: Wu et al. 2021, arXiv 1907.01167). The rival, surrogate gradients
through all timesteps, costs T times as much backward and memory.
"""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NetworkError

V_INIT = 0.5  # membrane potential at the start of a window, as a share of the threshold; as `dvs convert` has it


def fold_batch_norm(model: nn.Sequential, spec: Mapping[str, Any]) -> tuple[nn.Sequential, dict[str, Any]]:
    """The same function without batch norms, and its spec. Module names stay; every convolution has a bias."""
    folded: OrderedDict[str, nn.Module] = OrderedDict()
    last = ""
    for name, module in copy.deepcopy(model).eval().named_children():
        if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            folded[name], last = module, name
            continue
        before = folded[last]
        mean, variance = module.running_mean, module.running_var
        if not isinstance(before, nn.Conv2d | nn.Linear) or mean is None or variance is None:
            raise NetworkError(f"batch norm {name!r} does not follow a convolution or a linear layer")
        scale = module.weight.detach() / torch.sqrt(variance + module.eps)
        with torch.no_grad():
            bias = torch.zeros_like(mean) if before.bias is None else before.bias
            before.weight.mul_(scale.view(-1, *[1] * (before.weight.ndim - 1)))
            before.bias = nn.Parameter(module.bias.detach() + (bias - mean) * scale)
    layers = [
        {**{key: value for key, value in layer.items() if key != "batch_norm"}, "bias": True}
        if layer.get("batch_norm")
        else dict(layer)
        for layer in spec["layers"]
    ]
    return nn.Sequential(folded), {**spec, "layers": layers}


def measure_thresholds(model: nn.Sequential, frames: Tensor, percentile: float) -> dict[str, float]:
    """For each ReLU the percentile of its activations on `frames` (n, channel, height, width): a firing rate of 1."""
    thresholds: dict[str, float] = {}
    x = frames
    with torch.inference_mode():
        for name, module in model.eval().named_children():
            x = module(x)
            if isinstance(module, nn.ReLU):
                values = x.flatten()[: 1 << 24]
                value = torch.kthvalue(values, max(round(percentile / 100 * len(values)), 1)).values.item()
                thresholds[name] = float(f"{value or x.max().item() or 1.0:.6g}")
    return thresholds


def spiking_logits(model: nn.Sequential, slices: Tensor, thresholds: Mapping[str, float]) -> Tensor:
    """What the readout's membrane holds after the window, divided by the timesteps: (n, class), with a gradient.

    `slices` (n, timestep, channel, height, width): counts. `thresholds`: the activation that one spike each timestep
    stands for, by the name of the ReLU.
    """
    steps = slices.shape[1]
    spikes, rate = slices, slices.mean(1)  # spikes have the height of the threshold, so that rates are activations
    for name, module in model.named_children():
        if isinstance(module, nn.Conv2d | nn.Linear):
            rate = module(rate)
            with torch.no_grad():
                spikes = module(spikes.flatten(0, 1)).unflatten(0, (-1, steps))
        elif isinstance(module, nn.ReLU):
            spikes = _fire(spikes, thresholds[name])
            rate = _through(rate, spikes.mean(1), thresholds[name])
        elif isinstance(module, nn.Dropout):
            mask = module(torch.ones_like(rate))
            spikes, rate = spikes * mask[:, None], rate * mask
        else:  # pools and Flatten are linear and without parameters
            rate = module(rate)
            spikes = module(spikes.flatten(0, 1)).unflatten(0, (-1, steps))
    return rate.flatten(1)


def _fire(current: Tensor, threshold: float) -> Tensor:
    """Integrate and fire over axis 1, reset by subtraction; spikes of height `threshold`."""
    v = torch.full_like(current[:, 0], V_INIT * threshold)
    spikes = torch.empty_like(current)
    for step in range(current.shape[1]):
        v += current[:, step]
        fired = (v >= threshold).to(v.dtype) * threshold
        spikes[:, step] = fired
        v -= fired
    return spikes


def _through(activation: Tensor, rate: Tensor, threshold: float) -> Tensor:
    """The firing rate, with the gradient of the activation wherever a neuron is neither silent nor saturated."""
    with torch.no_grad():
        active = ((activation > 0) & (activation < threshold)) | ((rate > 0) & (rate < threshold))
    return rate + (activation - activation.detach()) * active
