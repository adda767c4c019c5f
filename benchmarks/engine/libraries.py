"""The same network in four SNN libraries, one step at a time, with their own convolution modules and neurons.

Each runs as its documentation streams: state kept in the modules, evaluation mode, no gradients, layers of torch.nn.
All four are torch modules, so each was also tried under torch.compile. Norse, which hands its state on as tensors,
becomes about twice as fast and is timed that way too; the other three keep it in the modules and gained nothing (128
pixels: sinabs and spikingjelly 10 % slower, snnTorch 30 %) or less than norse (64 pixels: spikingjelly and snnTorch
15 % faster). What differs from our rule of a timestep is said in RULES; where nothing does, membranes are compared.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dvs_run.pipeline.network import IF, Conv2d, Linear, Network

from .dense import Dense, compiled_for_inference, threshold_of, torch_layer

RULES = {
    "sinabs": "",
    "spikingjelly": "",
    "snntorch": "fires where v > threshold, and subtracts one step later",
    "norse": "fires where v > threshold; a leak of 2**-30 a step, as it has no IF that subtracts",
}
COMPILED = ("norse",)  # also under torch.compile
NORSE_LEAK = 2.0**-30  # its LIFBox integrates leak * (input - v); the weights before it are divided by the leak


class LibraryStep:
    """A network of one library, run slice after slice."""

    def __init__(self, library: str, network: Network, inputs: Tensor, compiled: bool) -> None:
        self.library, self.dense = library, Dense.of(network)
        self.inputs = [frame[None].contiguous() for frame in inputs]
        neurons = NEURONS[library]
        modules: list[nn.Module] = []
        self.neurons: dict[str, nn.Module] = {}
        for layer in self.dense.layers:
            if isinstance(layer, Linear):
                modules += [nn.Flatten(), torch_layer(layer, self.dense)]
            elif isinstance(layer, Conv2d):
                modules.append(torch_layer(layer, self.dense))
            elif isinstance(layer, IF):
                threshold = threshold_of(layer)
                if not isinstance(threshold, float):
                    raise ValueError(f"layer {layer.name!r} has a threshold per channel")
                self.neurons[layer.name] = neurons(threshold)
                modules.append(self.neurons[layer.name])
            else:
                modules.append(nn.AvgPool2d(layer.kernel, layer.stride))
        if library == "norse":
            _divide_by_leak(modules)
            import norse.torch

            self.module: nn.Module = norse.torch.SequentialState(*modules).eval()
        else:
            self.module = nn.Sequential(*modules).eval()
        self.call: Callable[..., Any] = self.module
        if compiled:  # state is kept in buffers, except by norse
            self.call = compiled_for_inference(self.module, freeze=library == "norse")
        self.reset()
        self.run(2)

    def reset(self) -> None:
        self.total = torch.zeros(1)
        self.state = self.begin()

    def run(self, steps: int | None = None) -> None:
        """The outputs are summed, as our membrane readout does."""
        call, state, total = self.call, self.state, self.total
        with torch.no_grad():
            if self.library == "norse":
                for x in self.inputs[:steps]:
                    y, state = call(x, state)
                    total = total + y
            else:
                for x in self.inputs[:steps]:
                    total = total + call(x)
        self.state, self.total = state, total

    def begin(self) -> list[Any] | None:
        """Every membrane at its initial potential."""
        flat = {name: v.flatten(1) if v.shape[2:] == (1, 1) else v for name, v in self._begin().items()}
        if self.library == "norse":
            from norse.torch.functional.lif_box import LIFBoxFeedForwardState

            values = iter(flat.values())
            return [
                LIFBoxFeedForwardState(v=next(values)) if module in self.neurons.values() else None
                for module in self.module
            ]
        for name, v in flat.items():
            module: Any = self.neurons[name]
            if self.library == "sinabs":
                module.v_mem = v
            elif self.library == "snntorch":
                module.mem = v
            else:
                module.reset()
                module.v = v
        return None

    def potentials(self) -> dict[str, np.ndarray]:
        last = self.dense.layers[-1].name
        if self.library == "norse":
            assert self.state is not None
            found = [item.v for item in self.state if item is not None]
        else:
            attribute = {"sinabs": "v_mem", "snntorch": "mem", "spikingjelly": "v"}[self.library]
            found = [getattr(module, attribute) for module in self.neurons.values()]
        arrays = {name: v[0].numpy() for name, v in zip(self.neurons, found, strict=True)}
        return {**arrays, last: self.total[0].numpy()}

    def _begin(self) -> dict[str, Tensor]:
        return {name: self.dense.begin(name) for name in self.neurons}


def _sinabs(threshold: float) -> nn.Module:
    from sinabs.activation import MembraneSubtract, SingleSpike
    from sinabs.layers import IAFSqueeze

    return IAFSqueeze(
        batch_size=1,
        spike_threshold=torch.tensor(threshold),
        spike_fn=SingleSpike,
        reset_fn=MembraneSubtract(),
        min_v_mem=None,
    )


def _spikingjelly(threshold: float) -> nn.Module:
    from spikingjelly.activation_based.neuron import IFNode

    return IFNode(v_threshold=threshold, v_reset=None, step_mode="s")


def _snntorch(threshold: float) -> nn.Module:
    import snntorch

    return snntorch.Leaky(beta=1.0, threshold=threshold, init_hidden=True)


def _norse(threshold: float) -> nn.Module:
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor(NORSE_LEAK), v_th=torch.tensor(threshold), reset_method=reset_subtract
    )
    return LIFBoxCell(parameters, dt=1.0)


def _divide_by_leak(modules: list[nn.Module]) -> None:
    """Every weight layer but the last feeds a LIFBox."""
    for module in [m for m in modules if isinstance(m, nn.Conv2d | nn.Linear)][:-1]:
        for parameter in module.parameters():
            parameter.mul_(1 / NORSE_LEAK)


NEURONS: dict[str, Callable[[float], nn.Module]] = {
    "sinabs": _sinabs,
    "spikingjelly": _spikingjelly,
    "snntorch": _snntorch,
    "norse": _norse,
}
