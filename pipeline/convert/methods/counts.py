"""The network on spike counts: every neuron is told how much arrives in T timesteps, and says how often it fires.

    N = clip(floor((J + v(0)) / θ), 0, T)        J: what arrives in all T timesteps    (Wu et al. 2022)

It is a CNN of T levels, without time: no neuron fires early on excitation that inhibition takes back later, none late.
Accuracies of ECC as published are of this form. The spiking network itself is Clocked's or an Engine's work; the
difference of the two is the "unevenness error". Where no neuron sees both signs the two are alike.
"""

import torch
from torch import Tensor

from ...errors import NetworkError
from ...network import LIF, Delay, MaxPool2d, Network, Neurons
from ..simulate import computed, tensors


def count_form(
    network: Network, inputs: Tensor, timesteps: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scores (n, class) after `timesteps` of constant current `inputs` (n, channel, height, width), and all counts.

    Counts are by name of each population, (n, channel, height, width). Raises NetworkError for neurons that no such
    formula describes: a leak, a floor of the membrane, a late start, a reset other than by subtraction.
    """
    values: dict[str, Tensor] = {"input": inputs.to(dtype) * timesteps}
    counts: dict[str, Tensor] = {}
    with torch.inference_mode():
        for layer in network.layers:
            arrived = [values[name] for name in layer.inputs]
            if isinstance(layer, Neurons):
                values[layer.name] = counts[layer.name] = _count(layer, arrived[0], timesteps)
            elif isinstance(layer, Delay):
                raise NetworkError(f"layer {layer.name!r} delays its input: counts alone do not say when it comes")
            elif isinstance(layer, MaxPool2d):
                values[layer.name] = torch.nn.functional.max_pool2d(
                    arrived[0], layer.kernel, layer.stride, layer.padding
                )
            else:
                arrays = tensors(layer, dtype)
                if "bias" in arrays:
                    arrays["bias"] = arrays["bias"] * timesteps
                values[layer.name] = computed(layer, arrived, arrays)
    return values[network.layers[-1].name].flatten(1), counts


def _count(layer: Neurons, arrived: Tensor, timesteps: int) -> Tensor:
    if isinstance(layer, LIF) or layer.v_min is not None or layer.reset != "subtract" or layer.start_step:
        raise NetworkError(
            f"layer {layer.name!r} leaks, has a floor, starts late or does not reset by subtraction; its counts depend "
            "on when spikes come, so only Clocked or an Engine runs it"
        )
    arrays = tensors(layer, arrived.dtype)
    charge = (arrived + arrays["v_init"]) / arrays["threshold"]
    most = timesteps * layer.max_spikes
    if layer.signed:
        return charge.sign() * charge.abs().floor().clamp(max=most)
    return charge.floor().clamp(0, most)
