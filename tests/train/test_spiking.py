"""Fine-tuning as the spiking network: what it computes forward is what the engine will compute."""

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.stream import BinnedSlice
from dvs_run.pipeline.train.models import build_model
from dvs_run.pipeline.train.spiking import fold_batch_norm, measure_thresholds, spiking_logits

SPEC = {
    "input": [2, 12, 12],
    "layers": [
        {"pool": 2},
        {"conv": 6, "kernel": 3, "batch_norm": True},
        {"conv": 5, "kernel": 3, "stride": 2, "batch_norm": True},
        {"dropout": 0.2},
        {"linear": 3},
    ],
}
STEPS = 10


def trained_like(seed=0):
    """A model whose batch norms have seen something, and frames of it."""
    torch.manual_seed(seed)
    model = build_model(SPEC)
    frames = torch.rand(32, 2, 12, 12)
    for _ in range(5):
        model(frames)
    return model.eval(), frames


def random_counts(windows, seed):
    rng = np.random.default_rng(seed)
    return rng.poisson(0.4, (windows, STEPS, 2, 12, 12)).astype(np.float32)


def test_folding_batch_norms_changes_no_output_and_its_spec_builds_the_same_layers():
    model, frames = trained_like()
    folded, spec = fold_batch_norm(model, SPEC)
    assert torch.allclose(folded.eval()(frames), model(frames), atol=1e-5)
    build_model(spec).load_state_dict(folded.state_dict())


def test_the_forward_pass_is_what_the_engine_computes():
    model, frames = trained_like()
    folded, spec = fold_batch_norm(model, SPEC)
    thresholds = measure_thresholds(folded, frames, 99.0)
    counts = random_counts(4, seed=1)
    with torch.inference_mode():
        logits = spiking_logits(folded.eval(), torch.from_numpy(counts), thresholds).numpy()
    network = convert(
        folded, (2, 12, 12), ["a", "b", "c"], frames, thresholds=thresholds, timestep_us=1_000, max_error=None
    ).network
    engine = Engine(network)
    for window, wanted in zip(counts, logits, strict=True):
        engine.reset()
        for step, frame in enumerate(window):
            cells = np.flatnonzero(frame).astype(np.int32)
            counted = frame.reshape(-1)[cells].astype(np.int32)
            found = engine.step(BinnedSlice(step * 1_000, (step + 1) * 1_000, cells, counted))
        assert np.allclose(found.scores / STEPS, wanted, atol=2e-3)


def test_a_gradient_reaches_every_weight():
    model, frames = trained_like()
    folded, _ = fold_batch_norm(model, SPEC)
    thresholds = measure_thresholds(folded, frames, 99.0)
    spiking_logits(folded.train(), torch.from_numpy(random_counts(8, seed=2)), thresholds).square().sum().backward()
    for name, parameter in folded.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_threshold_that_is_missing_is_refused_by_name():
    model, frames = trained_like()
    with pytest.raises(Exception, match="thresholds leave out 'relu2', want a number above 0"):
        convert(model, (2, 12, 12), ["a", "b", "c"], frames, thresholds={"relu1": 1.0})
