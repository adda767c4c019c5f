"""Scales λ that do not come from the percentile of calibration activations. Threshold balancing is the same in another
form: θ = λ / λ_before with the weights as they are (Method.form = "thresholds").

    "weights"   the largest sum of positive weights: no activation can be larger, whatever the input (Diehl et al. 2015)
    "spikes"    layer by layer, the spiking network so far runs on calibration data; λ is the largest current that any
                neuron of the next population got in one timestep; then the next (Sengupta et al. 2019)
    shared      what is added without weights before it takes the λ of the sum's population (Wu et al. 2022)

A ceiling that an activation has by itself, a λ that was given, and quantized activations keep the scale they have.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...network import MaxPool2d, Network, Neurons, Readout
from ..cnn import Activation, Add, Cnn, Concat, Flatten, MaxPool, SumPool, Upsample, Weighted
from ..method import Method
from ..scales import Progress, Scale
from ..spiking.build import build_layers
from .start import layer_of
from .trains import Trains

Range = tuple[Tensor, Tensor]  # lowest and highest value of each channel, float64


def balanced(
    cnn: Cnn, scales: Mapping[str, Scale], calibration: Tensor, method: Method, progress: Progress | None = None
) -> dict[str, Scale]:
    """The scales as the method wants them, from those that calibration gave."""
    found = dict(scales)
    if method.normalization == "weights":
        found = weight_scales(cnn, found, calibration, method)
    elif method.normalization == "spikes":
        found = spike_scales(cnn, found, calibration, method, progress)
    return shared_scales(cnn, found) if method.residual == "shared" else found


def weight_scales(cnn: Cnn, scales: Mapping[str, Scale], calibration: Tensor, method: Method) -> dict[str, Scale]:
    """λ = the largest value that any input in the calibration's range can cause: of calibration only that is used.

    Every λ before bounds what arrives, as rates do; with weights alone and inputs of 0..1 this is Diehl et al.'s
    model-based normalization, θ = max over neurons of the sum of its positive weights; a positive bias adds to it.
    """
    found = dict(scales)
    low, high = (torch.full((cnn.input_shape[0],), float(end)) for end in (calibration.min(), calibration.max()))
    ranges: dict[str, Range] = {"input": (low.clamp(max=0).double(), high.clamp(min=0).double())}
    shapes = cnn.shapes()
    for node in cnn.nodes:
        before = [ranges[name] for name in node.inputs]
        if isinstance(node, Activation):
            if _free(node, method):
                most = torch.maximum(-before[0][0], before[0][1]) if node.signed else before[0][1]
                found[node.name] = _rescaled(scales[node.name], most, method)
            own = torch.from_numpy(found[node.name].values)
            ranges[node.name] = (-own if node.signed else torch.zeros_like(own), own)
        elif isinstance(node, Weighted):
            ranges[node.name] = _weighted_range(node, before[0], shapes[node.inputs[0]])
        elif isinstance(node, Flatten):
            places = shapes[node.inputs[0]][1] * shapes[node.inputs[0]][2]
            ranges[node.name] = (before[0][0].repeat_interleave(places), before[0][1].repeat_interleave(places))
        elif isinstance(node, Concat):
            ranges[node.name] = (torch.cat([a for a, _ in before]), torch.cat([b for _, b in before]))
        elif isinstance(node, Add):
            ranges[node.name] = (sum(a for a, _ in before), sum(b for _, b in before))
        elif isinstance(node, SumPool):
            size = node.kernel[0] * node.kernel[1]
            ranges[node.name] = (before[0][0] * size, before[0][1] * size)
        elif isinstance(node, MaxPool | Upsample):
            ranges[node.name] = before[0]
        else:
            raise TypeError(f"{node.name} is a {type(node).__name__}; fold/rebuild.py should have left none here")
    return found


def _weighted_range(node: Weighted, before: Range, shape: tuple[int, int, int]) -> Range:
    """Bounds of W x + b. At a border fewer terms arrive; as 0 lies between the bounds, that changes neither."""
    weight = node.weight.flatten(2).transpose(1, 2) if node.weight.ndim == 4 else node.weight[:, None]
    groups = node.groups
    size = shape[1] * shape[2] if node.weight.ndim == 2 else 1
    each = (groups, len(weight) // groups, -1)
    low, high = (
        end.repeat_interleave(size).view(groups, 1, -1).expand(each).reshape(len(weight), 1, -1) for end in before
    )
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    return (
        (up * low + down * high).sum((1, 2)) + node.bias.clamp(max=0),
        (up * high + down * low).sum((1, 2)) + node.bias.clamp(min=0),
    )


def spike_scales(
    cnn: Cnn, scales: Mapping[str, Scale], calibration: Tensor, method: Method, progress: Progress | None = None
) -> dict[str, Scale]:
    """λ = the largest instantaneous current of any neuron, in units of the activation: "spike-norm".

    Populations in order, each with the λ before it frozen, in `balance_timesteps` timesteps of all calibration inputs.
    With v(0) = 0 no neuron then gets more in one timestep than it can fire: nothing is clipped, and firing is slow.
    """
    free = {node.name for node in cnn.populations() if _free(node, method)}
    found = {name: _unscaled(scale) if name in free else scale for name, scale in scales.items()}
    plain, trains = replace(method, form="weights"), None
    order = [layer.name for layer in _network(cnn, found, plain).layers if isinstance(layer, Neurons | MaxPool2d)]
    for done, name in enumerate(order):
        network = _network(cnn, found, plain)  # what lies before `name` is settled, and the same in all of them
        trains = trains or Trains(network, calibration, plain, method.balance_timesteps)
        trains.network = network
        if name in free:
            source = layer_of(network, name).inputs[0]
            most = torch.stack([value.double().amax((0, 2, 3)) for _, _, value in trains.currents(source)]).amax(0)
            found[name] = _rescaled(scales[name], most, method)
            trains.network = _network(cnn, found, plain)
        trains.run(name)
        if progress is not None:
            progress(done + 1, len(order), "populations balanced on spikes")
    return found


def _network(cnn: Cnn, scales: Mapping[str, Scale], method: Method) -> Network:
    readout = Readout("count" if isinstance(cnn.node(cnn.output), Activation) else "membrane")
    labels = tuple(map(str, range(int(np.prod(cnn.shapes()[cnn.output])))))
    return Network(build_layers(cnn, scales, method, readout.kind).layers, cnn.input_shape, labels, readout)


def shared_scales(cnn: Cnn, scales: Mapping[str, Scale]) -> dict[str, Scale]:
    """Populations that a sum reads without weights between take, all together, the λ of the population of the sum.

    In a chain of residual blocks the same population is in two sums: the whole chain then takes the largest λ. Sums are
    exact without it too (each summand keeps its scale, by a depthwise 1x1 convolution); with it that layer is left out.
    """
    found = dict(scales)
    groups: list[set[str]] = []
    for node in cnn.populations():
        if isinstance(cnn.node(node.inputs[0]) if node.inputs[0] != "input" else None, Add):
            bare = {name for name in cnn.node(node.inputs[0]).inputs if name in scales}
            group = bare | {node.name} if bare else set()
            for other in [other for other in groups if other & group]:
                groups.remove(other)
                group |= other
            groups += [group] if group else []
    for group in groups:
        largest = max(float(scales[name].values.max()) for name in group)
        for name in group:
            found[name] = replace(scales[name], values=np.full_like(scales[name].values, largest))
    return found


def _free(node: Activation, method: Method) -> bool:
    return node.ceiling is None and not node.relay and node.name not in method.lambdas


def _unscaled(scale: Scale) -> Scale:
    return replace(scale, values=np.ones_like(scale.values))


def _rescaled(scale: Scale, most: Tensor, method: Method) -> Scale:
    """`most` per channel, or its largest for the whole layer; 1 where nothing arrives. Six digits, as in scales.py."""
    values = most.numpy() if method.per == "channel" else np.full(len(scale.values), float(most.max()))
    rounded = [float(f"{value:.6g}") if value > 0 else 1.0 for value in values]
    clipped = 0.0 if min(rounded) >= scale.maximum else scale.clipped
    return replace(scale, values=np.array(rounded) * method.threshold_scale_of(scale.name), clipped=clipped)
