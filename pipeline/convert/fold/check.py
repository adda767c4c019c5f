"""Whether the folded CNN computes what the model computes, and on how many inputs to look.

The model runs as a copy, so that a forward which writes its buffers leaves the caller's alone.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...errors import ConversionError
from ..activation import JUMPS
from ..cnn import Cnn, Weighted
from ..returned import one_result

FOLDING_TOLERANCE = 1e-4  # of the largest output: what float32 sums may differ by
CHECK_SAMPLES = 64
CHECK_WORK = 4 * 10**11  # multiply-accumulates that the check may take; large networks are checked on fewer samples


def check_samples(cnn: Cnn, timesteps: int) -> int:
    """How many inputs a check of so many timesteps can afford: at most CHECK_SAMPLES."""
    shapes, work = cnn.shapes(), 0
    for node in cnn.nodes:
        if isinstance(node, Weighted):
            work += node.weight[0].numel() * math.prod(shapes[node.name])
    return max(1, min(CHECK_SAMPLES, CHECK_WORK // max(work * timesteps, 1)))


def folding_check(model: nn.Module, cnn: Cnn, samples: Tensor) -> float:
    """Largest difference between the model and its folded CNN, as a share of the largest output.

    In float64 where activations jump: in float32 a rounding would now and then take them to the next level. Raises
    ConversionError where they differ, or where the model gives another result for the same input the second time.
    """
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if any(node.kind in JUMPS for node in cnn.populations()):
        model, samples = in_double(model), samples.double()
    else:
        model = in_single(model)
    quick = cnn.to(samples.dtype)
    batches = samples.split(16)
    with torch.inference_mode():
        wanted = [_result(model, batch, cnn.returned) for batch in batches]
        found = [quick(batch) for batch in batches]
        again = _result(model, batches[0], cnn.returned)
    size = max(max(float(value.abs().max()) for value in wanted), 1e-12)
    if not _apart(wanted[0], again) <= FOLDING_TOLERANCE * size:
        raise ConversionError(
            "the model gives another result for the same input the second time: its forward keeps a state or draws "
            "random numbers. Want a forward that depends on its input alone; let the state be an input, or leave it out"
        )
    error = max(_apart(a, b) for a, b in zip(found, wanted, strict=True)) / size
    if not error <= FOLDING_TOLERANCE:
        raise ConversionError(
            f"the folded layers do not compute what the model computes (they differ by {error:.2g} of the largest "
            f"output, want at most {FOLDING_TOLERANCE:g}); {_suspicion(model)} Nothing was converted"
        )
    return error


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def _result(model: nn.Module, batch: Tensor, key: int | str | None) -> Tensor:
    parameter = next(model.parameters(), batch)
    returned = model(batch.to(parameter.device, parameter.dtype, copy=True))
    return one_result(returned, key).cpu().to(batch).flatten(1)


def _suspicion(model: nn.Module) -> str:
    """Why that may be."""
    own = ("WeightNorm", "SpectralNorm")  # of torch, which make a weight before it is used
    hooked = [
        repr(name or type(module).__name__)
        for name, module in model.named_modules()
        if module._forward_hooks or any(type(hook).__name__ not in own for hook in module._forward_pre_hooks.values())
    ]
    if hooked:
        return (
            f"{', '.join(hooked)} {'has a hook' if len(hooked) == 1 else 'have hooks'}, which may change what goes in "
            "or out and cannot be converted: remove it, or compute the same in forward."
        )
    return "does its forward depend on more than its input, or is it a mistake of ours?"


def in_single(model: nn.Module) -> nn.Module:
    """A copy in eval mode; in float32 where the model computes in half precision, as it was imported."""
    model = copy.deepcopy(model).eval()
    halves = (torch.float16, torch.bfloat16)
    return model.float() if any(parameter.dtype in halves for parameter in model.parameters()) else model


def in_double(model: nn.Module) -> nn.Module:
    """A copy that computes in float64 with the very weights that were imported, those made of others included."""
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if isinstance(module, parametrize.ParametrizationList):
            made = _Constant(module().detach())
            del module[:]
            module.append(made)
    return model.double()


class _Constant(nn.Module):
    """In place of what computes a weight."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, *of: Tensor) -> Tensor:
        return self.value
