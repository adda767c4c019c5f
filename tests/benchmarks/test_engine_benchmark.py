"""What of benchmarks/engine could be wrong without anyone noticing: inputs, calibration, twin, bookkeeping."""

import argparse

import numpy as np
import pytest
import torch

from benchmarks.engine import command, dense, libraries, onnx_step, plot, timing, twin, workloads
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import IF, AvgPool2d, Conv2d, Linear, Network, Readout
from dvs_run.pipeline.stream import CurrentSlice
from tests import naive

SMALL = "gesture16"


def own_units(network):
    """Every layer's unit 1: the whole numbers of the network itself."""
    channels = {name: shape[0] for name, shape in network.shapes().items()}
    return {layer.name: np.ones(channels[layer.name]) for layer in network.layers}


def run_twin(network, slices):
    state = twin.Twin(network, own_units(network))
    spikes = [
        state.step(frame, isinstance(piece, CurrentSlice))
        for piece, frame in zip(slices, workloads.frames(slices, network.input_shape), strict=True)
    ]
    return state, spikes


@pytest.mark.parametrize("rate", [50_000, 1_000_000])
def test_events_come_at_the_wanted_rate(rate):
    slices = workloads.blob_slices(64, rate, steps=100, seed=3)
    events = sum(int(piece.counts.sum()) for piece in slices)
    wanted = rate * 0.1
    assert abs(events - wanted) < 5 * np.sqrt(wanted)
    assert all(np.array_equal(piece.cells, np.unique(piece.cells)) for piece in slices)
    assert max(int(piece.cells.max()) for piece in slices) < 2 * 64 * 64


def test_the_same_seed_gives_the_same_workload():
    first, second = (workloads.make(SMALL, 100_000, 0.05, seed=4, steps=10) for _ in range(2))
    for a, b in zip(first[0].layers, second[0].layers, strict=True):
        assert all(np.array_equal(value, vars(b)[key]) for key, value in vars(a).items())
    assert all(np.array_equal(a.cells, b.cells) for a, b in zip(first[1], second[1], strict=True))


@pytest.mark.parametrize("name", [SMALL, "vgg7-poisson", "vgg7-current"])
def test_every_layer_fires_at_the_wanted_density(name):
    network, slices = workloads.make(name, 100_000, 0.05, seed=1, steps=20)
    _, spikes = run_twin(network, slices)
    for layer in spikes[0]:
        density = float(torch.stack([step[layer] for step in spikes]).mean())
        assert density == pytest.approx(0.05, rel=0.1), layer


def test_at_full_density_every_neuron_fires_in_every_step():
    network, slices = workloads.make(SMALL, 0, 1.0, seed=1, steps=8)
    _, spikes = run_twin(network, slices)
    assert all(bool(fired.all()) for step in spikes for fired in step.values())


def test_networks_are_whole_numbers_that_int8_holds_without_rounding():
    network, _ = workloads.make(SMALL, 100_000, 0.02, seed=2, steps=10)
    for layer in network.layers:
        for name, values in vars(layer).items():
            if isinstance(values, np.ndarray):
                assert np.array_equal(values, np.rint(values)), (layer.name, name)
                if name == "weight":
                    assert (np.abs(values).reshape(len(values), -1).max(1) == 127).all()


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_twin_is_the_naive_network(reset):
    random = np.random.default_rng(5)
    unit = np.array([0.5, 0.25, 0.125])

    def neurons(name, behind, channels):
        threshold = random.uniform(2, 4, channels).astype(np.float32)
        return IF(name, (behind,), threshold, threshold / 2, reset)

    weight = random.normal(0, 1, (3, 2, 3, 3)).astype(np.float32)
    linear = random.normal(0, 1, (3, 27)).astype(np.float32)
    bias = random.normal(0, 0.5, 3).astype(np.float32)
    layers = (
        Conv2d("conv", ("input",), weight, bias, stride=(1, 2), padding=(1, 0)),
        neurons("if1", "conv", 3),
        AvgPool2d("pool", ("if1",), (2, 1), (2, 1)),
        Linear("fc", ("pool",), linear, bias),
        neurons("if2", "fc", 3),
        Linear("out", ("if2",), random.normal(0, 1, (3, 3)).astype(np.float32)),
    )
    network = Network(layers, (2, 6, 7), ("a", "b", "c"), Readout("membrane"), timestep_us=1000)
    units = {"if1": unit, "if2": unit, "out": unit}
    state, slow = twin.Twin(network, units), naive.Clocked(network, units)
    for _ in range(30):
        frame = random.poisson(0.3, network.input_shape)
        wanted, found = slow.step(frame), state.step(torch.from_numpy(frame))
        for name, fired in found.items():
            assert np.array_equal(fired[0].numpy(), wanted[name]), name
    assert np.array_equal(state.total[0].numpy().ravel() * unit, slow.scores())


def test_the_engine_passes_the_check_and_its_activity_is_told():
    network, slices = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=12)
    activity = twin.check(Engine(network), slices)
    assert activity.density["if1"] == pytest.approx(0.05, rel=0.15)
    assert activity.group["if1"] >= 1
    assert activity.events_per_step == np.mean([piece.counts.sum() for piece in slices])


def test_one_missing_spike_is_a_mismatch():
    class Forgetful(Engine):
        def spikes(self, layer):
            return super().spikes(layer)[1:] if self.steps == 7 else super().spikes(layer)

    network, slices = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=12)
    with pytest.raises(twin.MismatchError, match="step 6, layer 'if1'.*1 differ"):
        twin.check(Forgetful(network), slices)


def test_spikes_that_share_a_pooled_pixel_are_counted_as_a_group():
    network, _ = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=2)
    spikes = {name: torch.zeros(1, *network.shapes()[name]) for name in ("if1", "if2", "if3", "if_fc1")}
    spikes["if1"][0, :5, 0, 0] = 1  # five channels of one pixel, and one neighbour under the same pool
    spikes["if1"][0, 0, 1, 1] = 1
    spikes["if1"][0, 0, 8, 8] = 1
    tally = twin.Tally(network)
    tally.add(torch.zeros(network.input_shape), spikes)
    assert tally.activity().group["if1"] == 3.5


def test_eager_torch_reaches_the_membranes_of_the_twin():
    network, slices = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=12)
    inputs = workloads.frames(slices, network.input_shape)
    rivals = {"eager": dense.EagerStep(network, inputs, "snn"), "plain": dense.TorchStep(network, inputs, "snn", False)}
    assert command._exact(network, slices, rivals) == {"eager": True, "plain": True}


def test_onnx_runtime_reaches_the_membranes_of_the_twin():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network, slices = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=13)
    inputs = workloads.frames(slices, network.input_shape)
    assert command._exact(network, slices, {"ort": onnx_step.OnnxStep(network, inputs, "snn")}) == {"ort": True}


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    def missing(threshold):
        raise ModuleNotFoundError("No module named 'brian9'")

    monkeypatch.setattr(libraries, "NEURONS", {"brian9": missing})
    network, slices = workloads.make(SMALL, 100_000, 0.05, seed=1, steps=3)
    told = {}
    arguments = argparse.Namespace(quick=True, against=["brian9"])
    assert command._others(network, slices, arguments, told) == {}
    assert told == {"brian9": "ModuleNotFoundError: No module named 'brian9'"}


def test_marked_measurements_are_left_out_of_the_median():
    micros, foreign = np.array([10.0, 11, 12, 13, 14, 900, 800]), np.array([0, 0.01, 0, 0, 0.04, 0.5, 0.9])
    summary = timing.summary(micros, foreign)
    assert (summary.median, summary.marked, summary.measurements) == (12.0, 2, 7)
    assert timing.summary(micros, np.ones(7)).median == 13.0  # all are marked: all count


def test_every_round_times_everyone_from_a_fresh_state():
    class Counting:
        def __init__(self, dense):
            self.dense, self.resets, self.runs = dense, 0, 0

        def reset(self):
            self.resets += 1

        def run(self, steps):
            assert steps == 4
            self.runs += 1
            assert self.runs == self.resets
            sum(range(2000))

    everyone = {"a": Counting(None), "b": Counting("a dense network")}
    timings, load = timing.interleave(everyone, steps=4, rounds=3)
    assert [timed.measurements for timed in timings.values()] == [3, 3]
    assert len(load.foreign) == len(load.elsewhere) == 3


def test_a_slow_dense_rival_is_timed_on_the_first_slices_only(monkeypatch):
    class Slow:
        def __init__(self, dense):
            self.dense, self.asked = dense, []

        def reset(self):
            pass

        def run(self, steps):
            self.asked.append(steps)

    monkeypatch.setattr(timing.time, "thread_time", iter(range(100)).__next__)  # each pass takes a second
    dense_one, engine = Slow("a dense network"), Slow(None)
    assert timing._passes(dense_one, 300) == (30, 1)
    assert timing._passes(dense_one, 50) == (20, 1)
    assert timing._passes(engine, 300) == (300, 1)


def test_ratios_are_to_the_best_of_each_kind():
    times = {
        "engine int8": {"median": 10.0},
        "onnxruntime": {"median": 100.0},
        "torch eager": {"median": 300.0},
        "onnxruntime, convolutions only": {"median": 50.0},
        "norse": {"median": 900.0},
        "norse compiled": {"median": 400.0},
    }
    for name, clocks in times.items():
        clocks["cpu_median"] = clocks["median"] * (0.5 if name == "engine int8" else 1)
    ratios = command._ratios(times)["engine int8"]
    assert ratios["dense"] == {"best": "onnxruntime", "ratio": 10.0, "by_the_cpu_clock": 20.0}
    assert ratios["convolutions only"]["ratio"] == 5.0
    assert (ratios["library as it comes"]["best"], ratios["library as it comes"]["ratio"]) == ("norse", 90.0)
    assert (ratios["library"]["best"], ratios["library"]["ratio"]) == ("norse compiled", 40.0)


def test_the_picture_is_drawn_from_the_figures(tmp_path):
    configurations = [
        {"name": f"gesture{size}", "rate": rate, "density": 0.01, "times": {"engine int8": {"median": rate / 1e4}}}
        for size in (32, 64)
        for rate in (1e4, 1e5)
    ]
    plot.draw(configurations, "a machine", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000
