"""The matrix of small networks: each converts within the bar or is refused by name, and the engine runs what comes out.

All networks are held against torch for an exact import, and all refusals are tested; errors, and the engine's equality
with its clocked twins, of a selection only. benchmarks/conversion_matrix.py does all of it and keeps the figures.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import Clocked
from dvs_run.pipeline.convert.trace.graph import import_cnn
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import Concat, Conv2d, Linear, Neurons
from dvs_run.pipeline.stream import BinnedSlice

from .. import naive
from ..engine.together import Together
from . import matrix

CASES = {case.name: case for case in matrix.cases()}
REFUSED = {case.name: case for case in matrix.refused_cases()}
MEASURED = (
    "batch norm of a variance like eps",
    "quantized clipped ReLU (QCFS), 8 levels",
    "LeakyReLU, then a max pool",
    "one channel 50 times stronger",
    "one huge outlier in the calibration",
    "residual of two ReLUs, none behind the sum",
    "ReLU6",
)
RUN = (
    "linear to linear without a ReLU",
    "batch norm behind the ReLU, then a padded conv",
    "padded max pool before the ReLU",
    "a ReLU at the end",
    "concat, batch norm, ReLU",
    "U-net: down, up, concat",
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CASES)
def test_every_network_is_imported_exactly(name):
    case = CASES[name]
    model = matrix.network_of(case, steps=0).double()
    x = matrix.unseen_of(case, 12).double()
    wanted = matrix.wanted_of(model, x)
    found = import_cnn(model, case.shape).logits(x)
    assert float((found - wanted).abs().max()) <= 1e-9 * float(wanted.abs().max())
    assert float((wanted - wanted.mean(0)).norm()) > 1e-3 * float(wanted.norm())  # the pictures do make a difference


@pytest.mark.parametrize("name", REFUSED)
def test_what_neurons_cannot_carry_is_refused_by_name(name):
    case = REFUSED[name]
    model = matrix.network_of(case)
    with pytest.raises(ConversionError, match=case.refused) as refusal:
        matrix.converted(case, model, matrix.METHODS["single"])
    assert len(str(refusal.value)) > 60  # what was found, and a way out


@pytest.mark.parametrize("name", MEASURED)
def test_networks_convert_within_the_bar(name):
    """After 128 timesteps: within 2 % as `convert` does it unasked, within 0.5 % with the most exact preset."""
    case = CASES[name]
    model, x = matrix.network_of(case), matrix.unseen_of(case, 24)
    wanted = matrix.wanted_of(model, x)
    for method, bar in matrix.BARS.items():
        found, _ = matrix.readouts(matrix.converted(case, model, matrix.METHODS[method]), x)
        assert matrix.error(found, wanted) <= bar, method


@pytest.mark.parametrize("numbers", ["int16", "float32"])
@pytest.mark.parametrize("name", RUN)
def test_the_engine_fires_the_spikes_of_its_slow_twin_in_every_step(name, numbers):
    """Constant current, in the weights as the number format rounds them; potentials and scores too."""
    case = CASES[name]
    conversion = matrix.converted(case, matrix.network_of(case, steps=0), matrix.METHODS["standard"])
    together = Together(replace(conversion.network, timestep_us=1000), numbers)
    picture = matrix.unseen_of(case, 2)[1].numpy()
    for _ in range(4):
        decision = together.step(picture, current=True)
    assert decision.synops > 0
    assert not together.engine.clamped


@pytest.mark.parametrize("numbers", ["int16", "float32"])
@pytest.mark.parametrize("name", RUN)
def test_the_engine_fires_the_spikes_of_the_clocked_network_whose_weights_are_rounded_alike(name, numbers):
    """simulate.Clocked in float64 on spikes and in the engine's units: all sums are of whole numbers and so exact."""
    case = CASES[name]
    conversion = matrix.converted(case, matrix.network_of(case, steps=0), matrix.METHODS["single"])
    network = replace(conversion.network, timestep_us=1000)
    engine = Engine(network, numbers=numbers)
    state = Clocked(in_whole_numbers(network, engine.units), 1, torch.float64)
    counted = {layer.name: 0 for layer in network.layers if isinstance(layer, Neurons)}
    for step, frame in enumerate(spike_frames(case, 16)):
        cells = np.flatnonzero(frame).astype(np.int32)
        piece = BinnedSlice(step * 1000, step * 1000 + 1000, cells, frame.reshape(-1)[cells].astype(np.int32))
        engine.step(piece)
        state.step(torch.from_numpy(frame)[None])
        for layer in counted:
            counted[layer] = counted[layer] + engine.spike_counts(layer)
    for layer, counts in counted.items():
        assert np.array_equal(counts, state.spikes[layer][0].numpy()), layer
    assert any(counts.any() for counts in counted.values())


def spike_frames(case, timesteps):
    """A picture as Poisson spikes (whole numbers, float64), whatever its range was."""
    random = np.random.default_rng(0)
    picture = matrix.unseen_of(case, 2)[1].clamp(0, 1).double().numpy()
    for _ in range(timesteps):
        yield (random.random(picture.shape) < picture).astype(float)


def in_whole_numbers(network, units):
    """The network in units of an engine: weights, biases, thresholds and starts as it rounds them, times 1 / unit."""
    twin = naive.Clocked(network, units)
    whole = {}
    for end in twin.bias:
        for _, route in twin.routes[end]:
            weight, name = twin.whole_weights(end, route)
            assert name is not None, f"{end} takes spikes without weights"
            bias = next(layer.bias for layer in network.layers if layer.name == name)
            unit = slice_of_units(twin, end, route)
            rounded = None if bias is None else np.rint(bias.astype(float) / unit)
            whole[name] = {"weight": weight.astype(float), "bias": rounded}
    for layer in network.layers:
        if isinstance(layer, Neurons):
            threshold, start = twin.threshold(layer), twin.whole(layer, layer.v_init)
            whole[layer.name] = {"threshold": threshold, "v_init": np.minimum(start, threshold - 1)}
    changed = {
        name: {field: None if value is None else value.astype(np.float64) for field, value in arrays.items()}
        for name, arrays in whole.items()
    }
    return replace(network, layers=tuple(replace(layer, **changed.get(layer.name, {})) for layer in network.layers))


def slice_of_units(twin, end, route):
    """The units of those channels of `end` that the weights on a route lead to."""
    unit = twin.units[end]
    weighted = next(k for k, (layer, _) in enumerate(route) if isinstance(layer, Conv2d | Linear))
    for layer, which in reversed(route[weighted + 1 :]):
        if isinstance(layer, Concat):
            first = sum(twin.shapes[name][0] for name in layer.inputs[:which])
            unit = unit[first : first + twin.shapes[layer.inputs[which]][0]]
    return unit
