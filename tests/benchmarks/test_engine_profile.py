"""The profile times the engine's own loop, and says so if it does not."""

import numpy as np
import pytest

from benchmarks import engine_parts, engine_profile
from benchmarks.engine import ours, workloads


@pytest.fixture(scope="module")
def workload():
    return workloads.make("gesture16", 200_000, 0.05, seed=1, steps=8)


def test_the_loop_with_clocks_is_that_of_the_engine(workload):
    network, slices = workload
    found = engine_profile.profile(network, slices, "int8", rounds=1)  # raises SystemExit where results differ
    assert list(found["layers"]) == ["if1", "if2", "if3", "if_fc1", "fc2"]
    assert found["layers"]["if1"]["groups"] <= round(np.mean([len(piece.cells) for piece in slices]), 1)
    assert sum(found["share"].values()) == pytest.approx(1, abs=0.01)


def test_a_loop_that_is_no_longer_the_engines_is_told(workload):
    network, slices = workload
    engine = ours.make_engine(network, "int8")
    part = engine_parts.stages_of(engine).part
    for piece in slices[:-1]:  # a step is missing
        engine.step(piece)
    with pytest.raises(SystemExit, match="its results differ"):
        engine_profile.check(network, slices, "int8", engine, part)
