"""Files that norse, sinabs and snntorch wrote (make_samples.py), against the spikes that these counted themselves."""

from dataclasses import replace

import numpy as np
import pytest

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.exchange import MEANINGS, read_nir
from dvs_run.pipeline.network import Neurons
from tests.engine.together import slice_of
from tests.exchange.nets import sample, spikes


def read(path, name, **changes):
    return read_nir(path, replace(MEANINGS[name.partition("_")[0]], **changes))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("norse_iaf", {}),
        ("norse_lif", {}),  # its v_leak is not 0
        ("sinabs_iaf", {}),
        ("sinabs_iaf_single", {"max_spikes": 1, "floor": -1.0}),  # neither stands in the file
        ("sinabs_lif", {}),
        ("snntorch_zero", {}),
        ("snntorch_if", {"reset": "subtract"}),  # beta = 1; the file has no word for the reset
    ],
)
def test_every_neuron_spikes_as_often_as_in_the_library_that_wrote_the_file(name, changes, tmp_path):
    path, inputs, counts = sample(name, tmp_path)
    found = spikes(read(path, name, **changes).network, inputs)
    assert len(found) == len(counts)
    assert all(count.any() for count in counts)
    for ours, theirs in zip(found, counts, strict=True):
        assert np.array_equal(ours.reshape(-1), theirs.reshape(-1))


def test_our_portable_file_spikes_in_norse_as_it_reads_here_by_nirs_equations(tmp_path):
    path, inputs, counts = sample("ours_in_norse", tmp_path)
    outputs = spikes(read_nir(path, MEANINGS["nir"], 1000).network, inputs)[-1]
    assert counts[0].any()
    assert np.array_equal(outputs.reshape(-1), counts[0])


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sinabs_iaf", "fires", "above"),
        ("sinabs_iaf", "max_spikes", 1),
        ("sinabs_iaf", "reset", "zero"),
        ("sinabs_lif", "leak", "euler"),
        ("sinabs_lif", "gain", "whole"),
        ("norse_iaf", "fires", "at"),
        ("norse_iaf", "reset", "subtract"),
        ("snntorch_zero", "timestep_us", 200),
    ],
)
def test_each_difference_of_meaning_changes_the_spikes(name, field, value, tmp_path):
    """That is why the origin must be given: no reading fits all."""
    path, inputs, counts = sample(name, tmp_path)
    found = spikes(read(path, name, **{field: value}).network, inputs)
    assert any(not np.array_equal(a.reshape(-1), b.reshape(-1)) for a, b in zip(found, counts, strict=True))


@pytest.mark.parametrize("name", ["norse_iaf", "sinabs_lif", "snntorch_zero"])
def test_without_an_origin_a_file_of_others_is_refused(name, tmp_path):
    with pytest.raises(NetworkError, match="do not say how their neurons are meant; give --origin nir, norse"):
        read_nir(sample(name, tmp_path)[0])


@pytest.mark.parametrize(
    ("name", "changes", "what"),
    [
        ("snntorch_synaptic", {}, "node '2' is a CubaLIF, which does not run here: its synaptic current"),
        ("snntorch_recurrent", {}, "nodes 2.lif -> 2.w_rec -> 2.lif form a loop"),
        ("snntorch_subtract", {"reset": "subtract"}, "node '1' leaks, and snntorch's reset by subtraction takes"),
        ("snntorch_at_once", {"reset": "subtract"}, "node '1' leaks, and snntorch's reset by subtraction takes"),
    ],
)
def test_what_has_no_equal_here_is_refused_by_name(name, changes, what, tmp_path):
    with pytest.raises(NetworkError, match=what):
        read(sample(name, tmp_path)[0], name, **changes)


@pytest.mark.parametrize("name", ["snntorch_subtract", "snntorch_at_once"])
def test_snntorchs_reset_by_subtraction_with_a_leak_is_another_neuron(name, tmp_path):
    """What the refusal above is for: read as ours, a tenth more of the first layer's spikes, and later ones follow."""
    path, inputs, counts = sample(name, tmp_path)
    reading = read_nir(path, replace(MEANINGS["nir"], reset="subtract"), 100)
    ours = spikes(reading.network, inputs)[0].sum()
    assert 1.05 < ours / counts[0].sum() < 1.2


def test_time_constants_of_norse_read_as_seconds_are_refused_with_a_hint(tmp_path):
    with pytest.raises(NetworkError, match="norse 1.1 writes tau . dt: --origin norse"):
        read_nir(sample("norse_lif", tmp_path)[0], MEANINGS["nir"], 1000)


def test_a_reading_says_how_it_was_understood(tmp_path):
    reading = read(sample("norse_lif", tmp_path)[0], "norse")
    assert not reading.own
    assert "norse" in reading.notes[0]
    assert "v > threshold, reset to v_reset" in reading.notes[0]
    assert reading.network.provenance["origin"] == "norse"
    assert reading.network.timestep_us == 1000
    assert reading.network.readout.kind == "count"


def test_the_engine_runs_what_was_read(tmp_path):
    """Without ties (an exponential decay sees to that) its whole numbers give the very spikes of sinabs."""
    path, inputs, counts = sample("sinabs_lif", tmp_path)
    network = read_nir(path, MEANINGS["sinabs"], 1000).network
    engine, total = Engine(network), {}
    for step, frame in enumerate(inputs.astype(np.int32)):
        engine.step(slice_of(frame, 1000 * step, 1000 * (step + 1)))
        for layer in network.layers:
            if isinstance(layer, Neurons):
                total[layer.name] = total.get(layer.name, 0) + engine.spike_counts(layer.name)
    for ours, theirs in zip(total.values(), counts, strict=True):
        assert np.array_equal(ours.reshape(-1), theirs.reshape(-1))
