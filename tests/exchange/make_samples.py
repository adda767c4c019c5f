"""Make samples/: networks that norse, sinabs and snntorch write as NIR, and the spikes that each counts on one input.

Run by hand, in an environment of its own, since these libraries ask for versions of nir that exclude each other
(--no-deps, then; and without samna, which sinabs asks for but does not need here):

    pip install torch h5py pbr
    pip install --no-deps nir==1.0.8 nirtorch==2.0.2 norse==1.1.0 snntorch==1.0.0 sinabs==3.1.3
    PYTHONHASHSEED=0 python tests/exchange/make_samples.py
    pip install --no-deps nir==1.0.4  # the only version with which norse reads
    python tests/exchange/make_samples.py ours

Weights are ours: random multiples of 1/64, so that sums are exact in float32 and a potential does lie on its threshold
now and then. `NAME.nir.gz` is the library's own file, packed; `NAME.npz` has `inputs` (timestep, channel, y, x) and,
for each layer of neurons in order, `spikes0`, `spikes1`, ...: how often each neuron spiked when the library simulated.
"""

import gzip
import sys
import tempfile
import warnings
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import sinabs.activation
import sinabs.layers as sl
import snntorch
import torch
from sinabs.nir import to_nir as sinabs_to_nir
from snntorch.export_nir import export_to_nir
from torch import nn

HERE = Path(__file__).parent / "samples"
STEPS, SHAPE = 40, (2, 8, 8)


def main() -> None:
    warnings.simplefilter("ignore")
    HERE.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    inputs = (rng.random((STEPS, *SHAPE)) < 0.15).astype(np.float32)
    if "ours" in sys.argv[1:]:
        _ours_in_norse(inputs)
        return
    for name, (make, write, simulate) in SAMPLES.items():
        torch.manual_seed(3)
        net = make()
        with torch.no_grad():
            _coarsen(net)
            counts = simulate(net, torch.from_numpy(inputs))
            graph = write(net, torch.from_numpy(inputs))
        with tempfile.TemporaryDirectory() as folder:
            nir.write(Path(folder) / "net.nir", graph)
            written = (Path(folder) / "net.nir").read_bytes()
        (HERE / f"{name}.nir.gz").write_bytes(gzip.compress(written, mtime=0))
        np.savez_compressed(
            HERE / f"{name}.npz",
            inputs=inputs.astype(np.uint8),
            **{f"spikes{i}": count.numpy().astype(np.int16) for i, count in enumerate(counts)},
        )
        print(name, [int(count.sum()) for count in counts], file=sys.stderr)


def _ours_in_norse(inputs: np.ndarray) -> None:
    """ours_in_norse.nir.gz is of `dvs export --portable` and stays; what its outputs are is norse's count."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.nir").write_bytes(gzip.decompress((HERE / "ours_in_norse.nir.gz").read_bytes()))
        net, state, count = norse.from_nir(nir.read(Path(folder) / "net.nir"), dt=0.001), None, torch.zeros(())
    with torch.no_grad():
        for x in torch.from_numpy(inputs):  # without a batch axis, which its Flatten would take in
            spikes, state = net(x, state)
            count = count + spikes
    np.savez_compressed(
        HERE / "ours_in_norse.npz", inputs=inputs.astype(np.uint8), spikes0=count.numpy().astype(np.int16)
    )


def _coarsen(net: nn.Module) -> None:
    """Weights become multiples of 1/64, on the scale of the thresholds."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            for array in module.parameters(recurse=False):
                array.copy_(torch.round(array * 3 * 64) / 64)


def conv_net(neurons, middle=(), end=()):
    """Two convolutions and a third, or a linear layer; `neurons(shape)` behind each."""
    return [
        nn.Conv2d(2, 4, 3, padding=1),
        neurons((4, 8, 8)),
        *(middle or [nn.Conv2d(4, 4, 2, stride=2, groups=2)]),
        nn.Conv2d(4, 6, 3, bias=True),
        neurons((6, 2, 2)),
        *(end or [nn.Conv2d(6, 5, 2), neurons((5, 1, 1))]),
    ]


def with_linear(neurons, middle):
    return lambda: nn.Sequential(*conv_net(neurons, [middle], [nn.Flatten(), nn.Linear(24, 5), neurons((5,))]))


# ---- sinabs: time is an axis; its *Squeeze layers take it folded into the batch


def sinabs_simulate(net, inputs):
    counts, x = [], inputs
    for module in net:
        x = module(x)
        if isinstance(module, sl.IAFSqueeze | sl.LIFSqueeze):
            counts.append(x.sum(0))
    return counts


def sinabs_iaf(shape):
    return sl.IAFSqueeze(batch_size=1)


def sinabs_iaf_single(shape):
    return sl.IAFSqueeze(batch_size=1, spike_fn=sinabs.activation.SingleSpike, min_v_mem=-1.0)


def sinabs_lif(shape):
    return sl.LIFSqueeze(tau_mem=torch.full(shape, 8.0), batch_size=1, spike_threshold=torch.full(shape, 0.125))


# ---- norse and snntorch: one call a timestep


def norse_simulate(net, inputs):
    states, counts = {}, {}
    for x in inputs.unsqueeze(1):
        for i, module in enumerate(net):
            if type(module).__module__.startswith("norse"):
                x, states[i] = module(x, states.get(i))
                counts[i] = counts.get(i, 0) + x[0]
            else:
                x = module(x)
    return list(counts.values())


def norse_write(net, inputs):
    return norse.to_nir(norse.SequentialState(*net), inputs[0])  # without the batch axis, which it would keep


def norse_iaf(shape):
    return norse.IAFCell(norse.IAFParameters(v_th=torch.ones(shape)))


def norse_lif(shape):
    full = torch.ones(shape)
    return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=100 * full, v_th=full / 8, v_leak=full / 32))


def norse_net(neurons):
    return lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), neurons((4, 8, 8)), nn.Conv2d(4, 5, 8), neurons((5, 1, 1))
    )


def snntorch_simulate(net, inputs):
    counts = {}
    for x in inputs.unsqueeze(1):
        for i, module in enumerate(net):
            x = module(x)
            if isinstance(module, snntorch.Leaky | snntorch.Synaptic):
                counts[i] = counts.get(i, 0) + x[0]
    return list(counts.values())


def snntorch_write(net, inputs):
    return export_to_nir(net, inputs[:1], ignore_dims=[0])


def snntorch_net(beta=0.875, **settings):
    return with_linear(
        lambda shape: snntorch.Leaky(torch.full(shape, beta), torch.ones(shape), init_hidden=True, **settings),
        nn.AvgPool2d(2),
    )


def snntorch_synaptic():
    full = torch.ones(5)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(128, 5), snntorch.Synaptic(full / 2, full * 0.875, full, init_hidden=True)
    )


def norse_flat(neurons):
    return lambda: nn.Sequential(nn.Linear(128, 16), neurons((16,)), nn.Linear(16, 5), neurons((5,)))


def snntorch_recurrent():
    full = torch.ones(5)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(128, 5),
        snntorch.RLeaky(full * 0.875, V=full / 2, all_to_all=False, threshold=full, init_hidden=True),
    )


SAMPLES = {
    "sinabs_iaf": (with_linear(sinabs_iaf, sl.SumPool2d(2)), sinabs_to_nir, sinabs_simulate),
    "sinabs_iaf_single": (with_linear(sinabs_iaf_single, sl.SumPool2d(2)), sinabs_to_nir, sinabs_simulate),
    "sinabs_lif": (with_linear(sinabs_lif, sl.SumPool2d(2)), sinabs_to_nir, sinabs_simulate),
    "norse_iaf": (norse_net(norse_iaf), norse_write, norse_simulate),
    "norse_lif": (norse_net(norse_lif), norse_write, norse_simulate),
    "snntorch_zero": (snntorch_net(reset_mechanism="zero"), snntorch_write, snntorch_simulate),
    "snntorch_if": (snntorch_net(beta=1.0), snntorch_write, snntorch_simulate),
    "snntorch_subtract": (snntorch_net(), snntorch_write, snntorch_simulate),
    "snntorch_at_once": (snntorch_net(reset_delay=False), snntorch_write, snntorch_simulate),
    "snntorch_synaptic": (snntorch_synaptic, snntorch_write, snntorch_simulate),
    "snntorch_recurrent": (snntorch_recurrent, snntorch_write, snntorch_simulate),
}

if __name__ == "__main__":
    main()
