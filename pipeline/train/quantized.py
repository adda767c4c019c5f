"""Activations with few levels, so that a CNN already computes what spiking neurons count in a few timesteps.

Each is a ReLU cut into steps. The backward pass goes straight through the steps (`floor` counts as the identity), while
clipping keeps its true gradient. What each becomes as an integrate-and-fire neuron with reset by subtraction stands in
its docstring: threshold, potential at the start, and the number of spikes that carries a value.

A value exactly between two levels goes up, since a neuron fires at `v >= threshold`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NetworkError

START_CEILING = 8.0  # where learning begins without calibration; batch norm keeps what it feeds well below


class _Floor(torch.autograd.Function):
    """floor(x) forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Steps(torch.autograd.Function):
    """QuantizedReLU in one node: written with autograd's own, training spends as long on it as on the convolutions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: Tensor, levels: int) -> Tensor:
        ctx.ceiling = ceiling.item()
        step = ctx.ceiling / levels
        h = (x / step).add_(0.5).floor_().clamp_(0, levels).mul_(step)
        ctx.save_for_backward(x, h)
        return h

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, h = ctx.saved_tensors
        within = torch.ops.aten.hardtanh_backward(gradient, x, 0.0, ctx.ceiling)
        return within, ((gradient * h).sum() - (within * x).sum()) / ctx.ceiling, None


class QuantizedReLU(nn.Module):
    """ReLU clipped at a learned ceiling λ and rounded to L levels above zero (Bu et al., ICLR 2022).

    The "quantization clip-floor-shift" (QCFS) with a shift of 1/2:

        h(x) = λ · clip(floor(x·L/λ + 1/2) / L, 0, 1)

    Gradients: dh/dx = 1 for 0 < x < λ, else 0; dh/dλ = (h - x) / λ for 0 < x < λ, 1 from λ on, 0 up to 0.

    As neurons: threshold λ, potential λ/2 at the start. Under constant input L timesteps bring h(x)·L/λ spikes.

    A ceiling that learning drives to zero or below means no function any more; `forward` refuses it by NetworkError.
    """

    def __init__(self, levels: int, ceiling: float = START_CEILING) -> None:
        super().__init__()
        self.levels = _whole(levels, "levels")
        self.ceiling = nn.Parameter(torch.tensor(_positive(ceiling, "ceiling")))  # λ, in the unit of the input

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor of any shape in, the same shape out: multiples of λ/L from 0 to λ."""
        return _Steps.apply(x, _still_positive(self.ceiling), self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, ceiling={self.ceiling.item():.4g}"


class PactReLU(nn.Module):
    """ReLU clipped at a learned ceiling α and rounded to k bits (PACT: Choi et al. 2018, eqs. 1-3).

        y = clip(x, 0, α)        y_q = round(y · (2^k - 1) / α) · α / (2^k - 1)

    Gradients: dy_q/dx = 1 for 0 <= x < α, else 0; dy_q/dα = 1 for x >= α, else 0. The values are those of
    QuantizedReLU with L = 2^k - 1; what differs is the ceiling's gradient, which ignores the error of rounding.

    As neurons: threshold α, potential α/2 at the start, L = 2^k - 1 timesteps.
    """

    def __init__(self, bits: int, ceiling: float = START_CEILING) -> None:
        super().__init__()
        if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 16:
            raise NetworkError(f"bits is {bits!r}, want a whole number from 1 to 16")
        self.bits = bits
        self.ceiling = nn.Parameter(torch.tensor(_positive(ceiling, "ceiling")))  # α, in the unit of the input

    @property
    def levels(self) -> int:
        """Steps above zero, 2^k - 1."""
        return 2**self.bits - 1

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor of any shape in, the same shape out: multiples of α / (2^k - 1) from 0 to α."""
        ceiling = _still_positive(self.ceiling)
        clipped = torch.where(x < ceiling, x.clamp_min(0), ceiling)
        step = ceiling.detach() / self.levels
        return _Floor.apply(clipped / step + 0.5) * step

    def extra_repr(self) -> str:
        return f"bits={self.bits}, ceiling={self.ceiling.item():.4g}"


class FloorReLU(nn.Module):
    """ReLU rounded down to whole spikes, without a ceiling (Sorbaro et al. 2020, the quantized ReLU of their QAT).

        y = u · floor(relu(x) / u)          u = 1 in the paper: values are counts of spikes

    The gradient is the ReLU's. With `stochastic` (an option of the authors' later code, not of the paper) training
    draws y = u · (floor(x/u) + Bernoulli(frac(x/u))) for x > 0, whose mean is x, and evaluation rounds to the nearest.

    As neurons: threshold u, several spikes a timestep allowed, potential 0 at the start (u/2 with `stochastic`). Spikes
    over a window are then exactly y/u, if no input is negative on the way.
    """

    def __init__(self, unit: float = 1.0, stochastic: bool = False) -> None:
        super().__init__()
        self.unit = _positive(unit, "unit")  # what one spike is worth
        self.stochastic = stochastic

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor of any shape in, the same shape out: whole multiples of `unit`."""
        counts = torch.relu(x) / self.unit
        if self.stochastic:
            # floor(x + uniform) is floor(x) + Bernoulli(frac(x)); relu again, or silent neurons would draw spikes
            dither = torch.rand_like(counts) if self.training else 0.5
            counts = counts + dither * (counts.detach() > 0)
        return _Floor.apply(counts) * self.unit

    def extra_repr(self) -> str:
        return f"unit={self.unit}, stochastic={self.stochastic}"


CEILINGS = (QuantizedReLU, PactReLU)  # activations with a learned ceiling


def calibrate_ceilings(model: nn.Module, images: Tensor, percentile: float = 99.9) -> None:
    """Set every learned ceiling to a percentile of the positive values that reach it, all else as it is.

    `images` float32 (n, channel, height, width), inputs of the training set. While measuring, the activations are plain
    ReLUs. Raises NetworkError where an activation gets nothing positive.
    """
    found: dict[str, float] = {}
    with torch.no_grad(), _as_relu(model, found, percentile):
        training = model.training
        model.eval()(images)
        model.train(training)
    for name, module in model.named_modules():
        if isinstance(module, CEILINGS):
            if not found.get(name, 0.0) > 0:
                raise NetworkError(
                    f"activation {name!r} got no positive value from the calibration images; is it dead?"
                )
            module.ceiling.data.fill_(found[name])


def start_weights(model: nn.Module, start: nn.Module, images: Tensor, origin: str) -> None:
    """Give `model` the weights of `start`, a CNN of the same layers, perhaps with other activations or real weights.

    Ceilings that `start` does not have are calibrated on `images` (`calibrate_ceilings`). Raises NetworkError, which
    names `origin`, where the weights do not fit.
    """
    ceilings = {f"{name}.ceiling" for name, module in model.named_modules() if isinstance(module, CEILINGS)}
    given = _by_layer(start.state_dict(), model)
    if ceilings <= set(given):
        ceilings = set()
    given = {name: value for name, value in given.items() if not ceilings or not name.endswith(".ceiling")}
    try:
        missing, unexpected = model.load_state_dict(given, strict=False)
    except RuntimeError as error:
        raise NetworkError(f"start_from: {origin} does not fit this model: {error}") from error
    if unexpected or set(missing) - ceilings:
        odd = ", ".join(sorted([*unexpected, *(set(missing) - ceilings)]))
        raise NetworkError(f"start_from: {origin} does not fit this model; only one of the two has {odd}")
    if ceilings:
        calibrate_ceilings(model, images)


def _by_layer(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The state under the names that `model` has for its weights: binary layers call theirs shadows."""
    wanted, shadow = set(model.state_dict()), ".parametrizations.weight.original"
    plain = {name.replace(shadow, ".weight"): value for name, value in state.items()}
    return {
        name.removesuffix(".weight") + shadow if name.removesuffix(".weight") + shadow in wanted else name: value
        for name, value in plain.items()
    }


@contextmanager
def _as_relu(model: nn.Module, found: dict[str, float], percentile: float) -> Iterator[None]:
    """Quantized activations give their plain ReLU, and note the percentile under their name."""

    def hook(name: str) -> Any:
        def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            positive = inputs[0][inputs[0] > 0]
            if len(positive):
                place = max(1, round(len(positive) * percentile / 100))  # torch.quantile stops at 16 million values
                found[name] = float(positive.kthvalue(place).values)
            return torch.relu(inputs[0])

        return measure

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, CEILINGS)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _whole(value: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise NetworkError(f"{what} is {value!r}, want a whole number of at least 1; 4 or 8 are usual")
    return value


def _positive(value: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise NetworkError(f"{what} is {value!r}, want a number above 0")
    return float(value)


def _still_positive(ceiling: Tensor) -> Tensor:
    if not ceiling.item() > 0:
        raise NetworkError(
            f"a learned ceiling has become {ceiling.item():.4g}, want above 0; lower the learning rate, or start from "
            "a trained CNN (start_from)"
        )
    return ceiling
