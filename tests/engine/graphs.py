"""Small random networks of every layer, option and wiring that the engine runs, for hypothesis."""

import numpy as np
from hypothesis import strategies as st

from dvs_run.pipeline.network import (
    IF,
    LIF,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    Readout,
    SumPool2d,
    Upsample,
)

LABELS = ("a", "b", "c")
RULES = ("fir", "average", "exponential", "or", "exact")
MOST_PLACES = 150  # of one layer's output in all channels, so that the slow twin stays bearable


@st.composite
def networks(draw, kinds=("membrane", "count"), max_pool_of_input=True, timestep_us=1000):
    """A network of one to four blocks, each behind anything that spikes before it; all loose ends meet in the readout.

    kinds: readouts to choose from. max_pool_of_input: whether a max pool may stand right behind the input.
    """
    sketch = Sketch(draw)
    for _ in range(draw(st.integers(1, 4))):
        block = draw(st.sampled_from(BLOCKS))
        if block is _max_pool and not max_pool_of_input and list(sketch.spiking) == ["input"]:
            block = _convolution
        block(sketch, sketch.some_spikes(avoid_input=block is _max_pool and not max_pool_of_input))
    kind = draw(st.sampled_from(kinds))
    _readout(sketch, kind)
    return Network(tuple(sketch.layers), sketch.shapes["input"], LABELS, Readout(kind), timestep_us)


class Sketch:
    """The layers so far, and the choices that were drawn."""

    def __init__(self, draw):
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        channels = draw(st.sampled_from([1, 2, 2, 4]))
        self.layers = []
        self.shapes = {"input": (channels, draw(st.integers(4, 8)), draw(st.integers(4, 8)))}
        self.spiking = {"input": False}  # what spikes: whether its spikes may be negative
        self.loose = []  # what spikes and feeds nothing yet

    def one_of(self, *choices):
        return self.draw(st.sampled_from(choices))

    def pair(self, low, high):
        return (self.draw(st.integers(low, high)), self.draw(st.integers(low, high)))

    def some_spikes(self, avoid_input=False):
        return self.one_of(*[name for name in reversed(self.spiking) if not (avoid_input and name == "input")])

    def weights(self, *shape):
        return (self.random.normal(size=shape) * 0.5).astype(np.float32)

    def bias(self, channels):
        strength = self.one_of(None, 0.05, 0.3)
        return None if strength is None else (self.random.normal(size=channels) * strength).astype(np.float32)

    def add(self, layer_type, inputs, *fields, **options):
        """Append a layer; its name. `inputs`: one name or several."""
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        name = f"{layer_type.__name__.lower()}{len(self.layers)}"
        layer = layer_type(name, inputs, *fields, **options)
        self.shapes[name] = layer.output_shape(tuple(self.shapes[before] for before in inputs))
        self.layers.append(layer)
        self.loose = [before for before in self.loose if before not in inputs]
        return name

    def neurons(self, name):
        """Neurons of any kind behind `name`."""
        channels = self.shapes[name][0]
        threshold = self.random.uniform(0.4, 1.5, channels).astype(np.float32)
        if self.draw(st.booleans()):
            threshold[:] = 1
        v_init = threshold * np.float32(self.one_of(0.5, 0.0, -0.5, 0.9))
        options = {
            "reset": self.one_of("subtract", "subtract", "zero", "none"),
            "max_spikes": self.one_of(1, 1, 3, 100),
            "signed": self.one_of(False, False, True),
        }
        room = self.one_of(None, None, 0.0, 0.6)
        if room is not None:
            options["v_min"] = (v_init - self.random.uniform(0, 1, channels) * room).astype(np.float32)
        if self.one_of(False, False, True):
            decay = self.random.uniform(0.3, 0.99, channels).astype(np.float32)
            made = self.add(LIF, name, threshold, v_init, decay=decay, **options)
        else:
            made = self.add(IF, name, threshold, v_init, **options)
        self.spiking[made] = options["signed"]
        self.loose.append(made)

    def fits(self, *shape):
        return min(shape) >= 1 and np.prod(shape) <= MOST_PLACES


def _convolution(sketch, source, neurons=True):
    """[pool or upsampling] Conv2d [pool or upsampling] [neurons]; the name of the last of them."""
    source = _resized(sketch, source)
    channels, height, width = sketch.shapes[source]
    groups = sketch.one_of(*[g for g in (1, 1, 2, channels) if channels % g == 0])
    out = groups * sketch.one_of(1, 2) if groups > 1 else sketch.draw(st.integers(1, 5))
    padding, dilation = sketch.pair(0, 2), sketch.one_of((1, 1), (1, 1), (2, 1), (1, 2), (2, 2))
    room = [size + 2 * pad for size, pad in zip((height, width), padding, strict=True)]
    kernel = tuple(
        min(k, (r - 1) // d + 1) for k, r, d in zip(sketch.pair(1, 4), room, dilation, strict=True)
    )  # as large as drawn, or as the input has room for
    stride = sketch.one_of((1, 1), (1, 1), (2, 2), (1, 2), (3, 1))
    weight = sketch.weights(out, channels // groups, *kernel)
    conv = sketch.add(Conv2d, source, weight, sketch.bias(out), stride, padding, dilation, groups)
    if not neurons:
        return conv
    biased = sketch.layers[-1].bias is not None
    sketch.neurons(_resized(sketch, conv, padded=not biased) if sketch.one_of(False, False, True) else conv)
    return None


def _resized(sketch, source, padded=True):
    """Perhaps a pool, two of them, or an upsampling behind `source`; overlapping, ragged and padded ones too."""
    for _ in range(sketch.one_of(0, 0, 1, 1, 2)):
        channels, height, width = sketch.shapes[source]
        kind = sketch.one_of(SumPool2d, AvgPool2d, Upsample)
        if kind is Upsample:
            factor = sketch.one_of((2, 1), (1, 2), (2, 2))
            if sketch.fits(channels, height * factor[0], width * factor[1]):
                source = sketch.add(Upsample, source, factor)
            continue
        source = sketch.add(kind, source, *_window(sketch, source, padded))
    return source


def _window(sketch, source, padded=True):
    """kernel, stride and padding of a pool that fits behind `source`."""
    _, height, width = sketch.shapes[source]
    kernel = tuple(min(k, size) for k, size in zip(sketch.pair(1, 3), (height, width), strict=True))
    stride = sketch.one_of(kernel, (1, 1), (2, 1), (2, 2))
    padding = tuple(k // 2 for k in kernel) if padded and sketch.one_of(False, False, True) else (0, 0)
    return kernel, stride, padding


def _linear(sketch, source):
    if sketch.draw(st.booleans()):
        source = _resized(sketch, source)
    if sketch.draw(st.booleans()):
        source = sketch.add(Flatten, source)
    out = sketch.draw(st.integers(1, 5))
    weight = sketch.weights(out, int(np.prod(sketch.shapes[source])))
    sketch.neurons(sketch.add(Linear, source, weight, sketch.bias(out)))


def _without_weights(sketch, source):
    """Neurons behind a pool, or behind other neurons."""
    sketch.neurons(_resized(sketch, source))


def _max_pool(sketch, source):
    signed = sketch.spiking[source]
    rule = "exact" if signed else sketch.one_of(*RULES)
    made = sketch.add(MaxPool2d, source, *_window(sketch, source), rule)
    sketch.spiking[made] = signed
    sketch.loose.append(made)


def _residual(sketch, source):
    """Add of a convolution that keeps the shape, and of its input as it is or through a 1x1 convolution."""
    channels = sketch.shapes[source][0]
    branches = [source]
    for k in sketch.one_of((3,), (3, 1), (1, 3, 3)):
        weight = sketch.weights(channels, channels, k, k)
        branches.append(sketch.add(Conv2d, source, weight, sketch.bias(channels), (1, 1), (k // 2, k // 2)))
    if len(branches) > 2 and sketch.draw(st.booleans()):
        branches = branches[1:]
    sketch.neurons(sketch.add(Add, branches))


def _shared_weights(sketch, source):
    """One convolution that feeds two layers of neurons."""
    conv = _convolution(sketch, source, neurons=False)
    sketch.neurons(conv)
    sketch.neurons(conv)


def _branches(sketch, source):
    """Concat of spikes or pooled spikes before a convolution, or of currents before neurons."""
    _, height, width = sketch.shapes[source]
    same = [name for name in sketch.spiking if sketch.shapes[name][1:] == (height, width)]
    parts = [source, sketch.one_of(*same)]
    if sketch.draw(st.booleans()):
        kind = sketch.one_of(SumPool2d, AvgPool2d)
        parts[0] = sketch.add(kind, parts[0], (3, 3), (1, 1), (1, 1))
    if sketch.draw(st.booleans()):  # currents
        for i, part in enumerate(parts):
            out, k = sketch.draw(st.integers(1, 3)), sketch.one_of(1, 3)
            weight = sketch.weights(out, sketch.shapes[part][0], k, k)
            parts[i] = sketch.add(Conv2d, part, weight, sketch.bias(out), (1, 1), (k // 2, k // 2))
        joined = sketch.add(Concat, parts)
        if sketch.draw(st.booleans()):
            joined = sketch.add(SumPool2d, joined, (1, 1), sketch.pair(1, 2))
        sketch.neurons(joined)
        return
    joined = sketch.add(Concat, parts)
    channels = sketch.shapes[joined][0]
    weight = sketch.weights(3, channels, *(min(2, height), min(2, width)))
    sketch.neurons(sketch.add(Conv2d, joined, weight, sketch.bias(3)))


def _readout(sketch, kind):
    """Everything that is loose, flattened beside each other, into a last layer."""
    loose = sketch.loose or [sketch.some_spikes()]
    if len(loose) == 1 and kind != "count" and sketch.draw(st.booleans()):  # a global pool of the last convolution
        channels = sketch.shapes[loose[0]][0]
        conv = sketch.add(Conv2d, loose[0], sketch.weights(len(LABELS), channels, 1, 1), sketch.bias(len(LABELS)))
        size = sketch.shapes[conv][1:]
        pool = sketch.add(sketch.one_of(SumPool2d, AvgPool2d), conv, size, (1, 1))
        if sketch.draw(st.booleans()):
            sketch.add(Flatten, pool)
        return
    flat = [sketch.add(Flatten, name) for name in loose]
    joined = flat[0] if len(flat) == 1 else sketch.add(Concat, flat)
    weight = sketch.weights(len(LABELS), sketch.shapes[joined][0])
    last = sketch.add(Linear, joined, weight, sketch.bias(len(LABELS)))
    if kind == "count":
        sketch.neurons(last)


BLOCKS = (
    _convolution,
    _convolution,
    _linear,
    _without_weights,
    _max_pool,
    _residual,
    _shared_weights,
    _branches,
)
