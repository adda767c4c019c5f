"""What this version does not convert, by name, and the way out. What it does convert is in catalogue.py."""

from ..errors import ConversionError

_AVERAGE = "train with nn.AvgPool2d or a strided convolution instead"
_RELU = "train with nn.ReLU instead: a firing rate is never negative and grows in proportion to its input"
_NORM = "train with nn.BatchNorm2d, whose statistics are fixed after training and can be folded into the weights"
_BRANCH = "this version converts chains only; train without the branch"

# name as torch writes it, lower case and without underscores, digits and dimension: (why, way out)
WAYS_OUT: dict[str, tuple[str, str]] = {
    "maxpool": ("the largest of several firing rates is not the rate of any spike that passes", _AVERAGE),
    "adaptivemaxpool": ("the largest of several firing rates is not the rate of any spike that passes", _AVERAGE),
    "leakyrelu": ("it lets negative values through", _RELU),
    "prelu": ("it lets negative values through", _RELU),
    "elu": ("it lets negative values through", _RELU),
    "gelu": ("it lets negative values through", _RELU),
    "silu": ("it lets negative values through", _RELU),
    "hardswish": ("it lets negative values through", _RELU),
    "relusix": ("its ceiling of 6 would have to be the neuron's largest rate", _RELU),
    "hardtanh": ("it lets negative values through", _RELU),
    "sigmoid": ("an integrate-and-fire neuron has no such curve", _RELU),
    "tanh": ("an integrate-and-fire neuron has no such curve", _RELU),
    "softplus": ("an integrate-and-fire neuron has no such curve", _RELU),
    "add": ("it joins two branches", _BRANCH),
    "cat": ("it joins two branches", _BRANCH),
    "concat": ("it joins two branches", _BRANCH),
    "groupnorm": ("its statistics change with every input", _NORM),
    "layernorm": ("its statistics change with every input", _NORM),
    "instancenorm": ("its statistics change with every input", _NORM),
    "convtranspose": ("transposed convolutions are not built", "use a classification network without up-sampling"),
    "upsample": ("up-sampling is not built", "use a classification network without up-sampling"),
    "interpolate": ("up-sampling is not built", "use a classification network without up-sampling"),
    "lstm": ("recurrent layers are not built", "use a feed-forward CNN; the spiking network has memory of its own"),
    "gru": ("recurrent layers are not built", "use a feed-forward CNN; the spiking network has memory of its own"),
    "rnn": ("recurrent layers are not built", "use a feed-forward CNN; the spiking network has memory of its own"),
    "multiheadattention": ("attention is not built", "use a feed-forward CNN"),
    "embedding": ("embeddings are not built", "use a feed-forward CNN"),
}

SUPPORTED = (
    "Conv2d, Linear, BatchNorm1d/2d, AvgPool2d, AdaptiveAvgPool2d, ReLU, Flatten/view/reshape, Dropout, Identity, "
    "a constant scale or shift, and a softmax at the end"
)


def refuse(name: str, kind: str, reason: str = "", way_out: str = "") -> ConversionError:
    """The error for layer `name` of kind `kind` ("MaxPool2d", "leaky_relu", ...), to be raised by the caller."""
    known_reason, known_way_out = WAYS_OUT.get(_plain(kind), ("", ""))
    reason = reason or known_reason or "it has no rule in this version"
    way_out = way_out or known_way_out or f"supported are {SUPPORTED}"
    return ConversionError(f"layer {name!r} ({kind}) cannot be converted: {reason}; {way_out}")


def _plain(kind: str) -> str:
    name = kind.lower().replace("_", "").removesuffix("1d").removesuffix("2d").removesuffix("3d")
    return name.replace("6", "six").removesuffix("withindices")
