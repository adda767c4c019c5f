"""What is not converted, by name, and the way out. What is converted is in catalogue.py."""

from ...errors import ConversionError

_RELU = "train with nn.ReLU, ReLU6 or LeakyReLU instead, and fine-tune for some epochs"
_NORM = "train with nn.BatchNorm2d, whose statistics are fixed after training and can be folded into the weights"
_CURVE = "neurons have no such curve, only straight pieces"
_PRODUCT = "spikes add up and do not multiply"
_FEED = "use a feed-forward CNN; the spiking network has memory of its own"

# name as torch writes it, lower case and without underscores and dimension: (why, way out)
WAYS_OUT: dict[str, tuple[str, str]] = {
    "elu": (_CURVE, _RELU),
    "celu": (_CURVE, _RELU),
    "selu": (_CURVE, _RELU),
    "gelu": (_CURVE, _RELU),
    "silu": (_CURVE, _RELU),
    "mish": (_CURVE, _RELU),
    "hardswish": ("it multiplies its input with a curve of it", _RELU),
    "sigmoid": (_CURVE, _RELU + "; at the very end leave it out, it changes no winner"),
    "logsigmoid": (_CURVE, _RELU),
    "tanh": (_CURVE, _RELU),
    "softplus": (_CURVE, _RELU),
    "softsign": (_CURVE, _RELU),
    "softshrink": (_CURVE, _RELU),
    "hardshrink": (_CURVE, _RELU),
    "tanhshrink": (_CURVE, _RELU),
    "exp": (_CURVE, _RELU),
    "log": (_CURVE, _RELU),
    "sqrt": (_CURVE, _RELU),
    "pow": (_CURVE, _RELU),
    "glu": (_PRODUCT, _RELU),
    "sign": (
        "it jumps",
        "use SignActivation of dvs_run.pipeline.train.binary, or a module of your own with a method "
        "spiking_activation(), which dvs_run.pipeline.convert.trace.catalogue describes",
    ),
    "bmm": (_PRODUCT, "use a feed-forward CNN without attention"),
    "mm": (_PRODUCT, "use a feed-forward CNN without attention"),
    "matmul": (_PRODUCT, "use a feed-forward CNN without attention"),
    "einsum": (_PRODUCT, "use a feed-forward CNN without attention"),
    "scaleddotproductattention": (_PRODUCT, "use a feed-forward CNN without attention"),
    "multiheadattention": (_PRODUCT, "use a feed-forward CNN without attention"),
    "groupnorm": ("its statistics change with every input", _NORM),
    "layernorm": ("its statistics change with every input", _NORM),
    "instancenorm": ("its statistics change with every input", _NORM),
    "localresponsenorm": ("it divides by its neighbours", _NORM),
    "rmsnorm": ("its statistics change with every input", _NORM),
    "lppool": ("a norm is no sum of spikes", "use nn.AvgPool2d or nn.MaxPool2d"),
    "fractionalmaxpool": ("its windows are random", "use nn.MaxPool2d"),
    "max": ("it compares places or branches of the data", "use nn.MaxPool2d for windows, or train without it"),
    "amax": ("it compares all places of an axis", "use nn.AdaptiveMaxPool2d(1) for a global maximum"),
    "stack": ("it makes a new axis", "use torch.cat along the channels"),
    "convtranspose": (
        "transposed convolutions are not built",
        "use a classification network, or nn.Upsample(mode='nearest') and nn.Conv2d",
    ),
    "lstm": ("recurrent layers are not built", _FEED),
    "gru": ("recurrent layers are not built", _FEED),
    "rnn": ("recurrent layers are not built", _FEED),
    "embedding": ("embeddings are not built", "use a feed-forward CNN"),
}

SUPPORTED = (
    "Conv2d, Linear, BatchNorm1d/2d, average and max pooling, ReLU, ReLU6, Hardtanh, clamp, LeakyReLU, PReLU, abs, "
    "Hardsigmoid, quantized and binary activations (dvs_run.pipeline.train), nearest up-sampling, views, slices, "
    "torch.cat along channels, sums of branches, Dropout, Identity, a constant scale or shift, and a softmax at the end"
)


def refuse(name: str, kind: str, reason: str = "", way_out: str = "") -> ConversionError:
    """The error for layer `name` of kind `kind` ("GELU", "layer_norm", ...), to be raised by the caller."""
    known_reason, known_way_out = WAYS_OUT.get(_plain(kind), ("", ""))
    reason = reason or known_reason or "it has no rule here"
    way_out = way_out or known_way_out or f"supported are {SUPPORTED}"
    return ConversionError(f"layer {name!r} ({kind}) cannot be converted: {reason}; {way_out}")


def _plain(kind: str) -> str:
    name = kind.lower().replace("_", "").removesuffix("1d").removesuffix("2d").removesuffix("3d")
    return name.removesuffix("withindices")
