"""Networks and NIR graphs for the tests of exchange/, and what is compared."""

import gzip
import io
from pathlib import Path

import numpy as np
import torch

from dvs_run.pipeline.convert.simulate import Clocked
from dvs_run.pipeline.exchange import nir_read
from dvs_run.pipeline.exchange.hdf5 import write_tree
from dvs_run.pipeline.network import (
    IF,
    LIF,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Readout,
    SumPool2d,
    Upsample,
)

SAMPLES = Path(__file__).parent / "samples"


def f4(*values):
    return np.array(values, np.float32)


def every_layer():
    """A network with every type of layer and every field away from its default."""
    rng = np.random.default_rng(5)

    def weights(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def conv(name, source, out, inside, **options):
        return Conv2d(name, (source,), weights(out, inside, 3, 3), padding=(1, 1), **options)

    one = np.full(4, 1.25, np.float32)
    return Network(
        (
            Delay("delay", ("input",), (0, 3000)),
            conv("a", "delay", 4, 4, bias=weights(4)),
            IF("a/if", ("a",), one, one / 3, "subtract", 3, True, -one),
            MaxPool2d("max", ("a/if",), (3, 2), (2, 2), (1, 0), "exact"),
            Upsample("up", ("max",), (2, 2)),
            Conv2d("b", ("up",), weights(4, 2, 3, 1), None, (1, 1), (2, 0), (2, 1), 2),
            LIF("b if", ("b",), one, 0 * one, "zero", decay=f4(0.5, 0.9, 0.99, 1 / 3)),
            Add("sum", ("b if", "a/if")),
            conv("c", "sum", 4, 4),
            IF("output", ("c",), one, 0 * one, "none"),
            Concat("both", ("output", "b if")),
            SumPool2d("sums", ("both",), (2, 2), (2, 2), (1, 1)),
            AvgPool2d("means", ("sums",), (2, 1), (1, 1), (1, 0)),
            Flatten("flat", ("means",)),
            Linear("last", ("flat",), weights(3, 8 * 6 * 5), weights(3)),
        ),
        (2, 8, 8),
        ("left", "right", "größer"),
        Readout("softmax_rate", 90_000, 0.25, 2**60),
        1000,
        240_000,
        {"source": "a/b", "notes": ["größer", 1.5, None, {"deep": [True]}]},
    )


def saved(network, folder):
    """The bytes of the network's own file: the measure of "the same network"."""
    network.save(folder / "saved.npz")
    return (folder / "saved.npz").read_bytes()


def spikes(network, inputs):
    """Spike counts of every layer of neurons, float arrays in order, after all of `inputs` (timestep, ...)."""
    clocked = Clocked(network, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other longer than such a small network takes
    for x in inputs.astype(np.float32):
        clocked.step(torch.from_numpy(x[None]))
    torch.set_num_threads(threads)
    return [clocked.spikes[layer.name][0].numpy() for layer in network.layers if isinstance(layer, Neurons)]


def sample(name, folder):
    """Path of the NIR file of a sample, unpacked, and what its library counted: inputs, [spike counts]."""
    path = folder / f"{name}.nir"
    path.write_bytes(gzip.decompress((SAMPLES / f"{name}.nir.gz").read_bytes()))
    with np.load(io.BytesIO((SAMPLES / f"{name}.npz").read_bytes())) as archive:
        counts = [archive[f"spikes{i}"] for i in range(len(archive.files) - 1)]
        return path, archive["inputs"], counts


def graph(nodes, edges=None, shape=(2, 4, 4)):
    """A NIR tree: nodes in a row between an Input of `shape` and the Output, or wired by `edges`."""
    names = list(nodes)
    nodes = {"input": {"type": "Input", "shape": np.array(shape)}, **nodes, "output": {"type": "Output"}}
    row = [[a, b] for a, b in zip(["input", *names], [*names, "output"], strict=True)]
    return {"version": "1.0.8", "node": {"type": "NIRGraph", "nodes": nodes, "edges": row if edges is None else edges}}


def read(tree, folder, *arguments, **settings):
    """`read_nir` of a tree, through a file."""
    write_tree(folder / "graph.nir", tree)
    return nir_read.read_nir(folder / "graph.nir", *arguments, **settings)


def conv_node(out=3, inside=2, **fields):
    rng = np.random.default_rng(out)
    ones = np.array([1, 1])
    return {
        "type": "Conv2d",
        "weight": rng.integers(-40, 40, (out, inside, 3, 3)).astype(np.float32) / 64,
        "bias": rng.integers(-20, 20, out).astype(np.float32) / 64,
        "stride": ones,
        "padding": ones,
        "dilation": ones,
        "groups": np.array(1),
        **fields,
    }


def if_node(*shape, **fields):
    return {"type": "IF", "r": np.ones(shape, "f4"), "v_threshold": np.ones(shape, "f4"), **fields}


def lif_node(*shape, **fields):
    one = np.ones(shape, "f4")
    return {"type": "LIF", "tau": one / 100, "r": one, "v_leak": 0 * one, "v_threshold": one / 8, **fields}
