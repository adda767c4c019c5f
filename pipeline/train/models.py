"""A CNN from a short list of layers, the one that a train config holds.

    input: [2, 34, 34]                                        # channel (or polarity), height, width
    layers:
      - {conv: 16, kernel: 5, stride: 2, batch_norm: true}    # a ReLU follows, unless `relu: false`
      - {pool: 2}                                             # average pooling; {pool: global} takes all of it
      - {dropout: 0.2}
      - {linear: 10}                                          # flattened before; the last layer has no ReLU

`activation` puts another in the ReLU's place (ACTIVATIONS), `binary` gives a layer weights of one bit:

      - {conv: 64, batch_norm: true, activation: qcfs, levels: 8}      # or pact (bits), floor (unit), sign, heaviside
      - {conv: 64, bias: false, relu: false, binary: xnor}
      - {pool: 2, activation: relu}                                    # average pooling before the ReLU

Modules are named after their kind and place (conv1, bn1, relu1, pool1, ...); reports and Networks use these names.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import NetworkError
from .binary import HeavisideActivation, SignActivation, make_binary
from .quantized import FloorReLU, PactReLU, QuantizedReLU

# activation: (class, {option of the layer list: default})
ACTIVATIONS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "relu": (nn.ReLU, {}),
    "qcfs": (QuantizedReLU, {"levels": 8}),
    "pact": (PactReLU, {"bits": 4}),
    "floor": (FloorReLU, {"unit": 1.0, "stochastic": False}),
    "sign": (SignActivation, {}),
    "heaviside": (HeavisideActivation, {}),
}
# None: the default in ACTIVATIONS
_ACTIVATION_OPTIONS = {name: None for _, defaults in ACTIVATIONS.values() for name in defaults}

# layer kind: {option: default}; the kind's own value is the number of outputs, the pool's side or the dropped share
LAYER_OPTIONS: dict[str, dict[str, Any]] = {
    "conv": {
        "kernel": 3,
        "stride": 1,
        "padding": None,  # None: dilation * (kernel - 1) // 2, which keeps the size at stride 1
        "dilation": 1,
        "groups": 1,
        "batch_norm": False,
        "bias": None,  # None: no bias where a batch norm follows
        "binary": None,  # binary.SCHEMES; None: real weights
        "relu": None,  # None: everywhere but after the last layer
        "activation": None,  # None: a ReLU, where there is one
        **_ACTIVATION_OPTIONS,
    },
    "linear": {
        "batch_norm": False,
        "bias": None,
        "binary": None,
        "relu": None,
        "activation": None,
        **_ACTIVATION_OPTIONS,
    },
    "pool": {
        "stride": None,  # None: the pool's side
        "activation": None,  # None: none
        **_ACTIVATION_OPTIONS,
    },
    "dropout": {},
}


def build_model(spec: Mapping[str, Any]) -> nn.Sequential:
    """The untrained CNN of a spec: {"input": [channel, height, width], "layers": [{kind: value, option: value}, ...]}.

    Weights are drawn from torch's global generator: seed it before. Raises NetworkError with the number of a bad layer.
    """
    shape: tuple[int, ...] = _input_shape(spec)
    layers = spec.get("layers")
    if not isinstance(layers, list | tuple) or not layers:
        raise NetworkError("the model has no `layers`; want a list such as [{conv: 16}, {pool: 2}, {linear: 10}]")
    last = max(
        (i for i, item in enumerate(layers) if isinstance(item, Mapping) and {"conv", "linear"} & set(item)), default=-1
    )
    if last < 0:
        raise NetworkError("the model has neither a conv nor a linear layer, so there is nothing to train")
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for index, item in enumerate(layers):
        kind, value, options = _parse(item, index)
        made, shape = _BUILDERS[kind](value, options, shape, index, index == last)
        for name, module in made:
            modules[f"{name}{1 + sum(key.rstrip('0123456789') == name for key in modules)}"] = module
    return nn.Sequential(modules)


def is_plain(spec: Mapping[str, Any]) -> bool:
    """Whether all weights are real and all activations ReLUs."""
    return not any(item.get("binary") or item.get("activation") not in (None, "relu") for item in spec["layers"])


Made = tuple[list[tuple[str, nn.Module]], tuple[int, ...]]  # named modules, shape after them


def _conv(outputs: int, options: dict[str, Any], shape: tuple[int, ...], index: int, is_last: bool) -> Made:
    where = f"layer {index} (conv)"
    if len(shape) != 3:
        raise NetworkError(f"{where} follows a linear layer; put every conv before the first linear")
    kernel, stride, dilation, groups = (
        _whole(options[key], f"{where}: {key}") for key in ("kernel", "stride", "dilation", "groups")
    )
    padding = options["padding"]
    padding = dilation * (kernel - 1) // 2 if padding is None else _whole(padding, f"{where}: padding", least=0)
    if shape[0] % groups or outputs % groups:
        raise NetworkError(f"{where}: {groups} groups do not divide {shape[0]} inputs and {outputs} outputs")
    sides = [(side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for side in shape[1:]]
    if min(sides) < 1:
        raise NetworkError(f"{where}: a kernel of {kernel} does not fit its input of {shape[1]}x{shape[2]}")
    bias = not options["batch_norm"] if options["bias"] is None else bool(options["bias"])
    conv = nn.Conv2d(shape[0], outputs, kernel, stride, padding, dilation, groups, bias=bias)
    made: list[tuple[str, nn.Module]] = [("conv", _bits(conv, options, where))]
    if options["batch_norm"]:
        made.append(("bn", nn.BatchNorm2d(outputs)))
    return made + _activation(options, not is_last, where), (outputs, *sides)


def _linear(outputs: int, options: dict[str, Any], shape: tuple[int, ...], index: int, is_last: bool) -> Made:
    where = f"layer {index} (linear)"
    made: list[tuple[str, nn.Module]] = []
    inputs = 1
    for side in shape:
        inputs *= side
    if len(shape) == 3:
        made.append(("flatten", nn.Flatten()))
    bias = not options["batch_norm"] if options["bias"] is None else bool(options["bias"])
    made.append(("linear", _bits(nn.Linear(inputs, outputs, bias), options, where)))
    if options["batch_norm"]:
        made.append(("bn", nn.BatchNorm1d(outputs)))
    return made + _activation(options, not is_last, where), (outputs,)


def _pool(side: int | str, options: dict[str, Any], shape: tuple[int, ...], index: int, is_last: bool) -> Made:
    where = f"layer {index} (pool)"
    if len(shape) != 3:
        raise NetworkError(f"{where} follows a linear layer; put every pool before the first linear")
    after = _activation(options, False, where)
    if side == "global":
        return [("pool", nn.AdaptiveAvgPool2d(1)), *after], (shape[0], 1, 1)
    side = _whole(side, f"{where}: pool")
    stride = side if options["stride"] is None else _whole(options["stride"], f"{where}: stride")
    if side > min(shape[1:]):
        raise NetworkError(f"{where}: a pool of {side} does not fit its input of {shape[1]}x{shape[2]}")
    sides = [(length - side) // stride + 1 for length in shape[1:]]
    return [("pool", nn.AvgPool2d(side, stride)), *after], (shape[0], *sides)


def _dropout(share: float, options: dict[str, Any], shape: tuple[int, ...], index: int, is_last: bool) -> Made:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise NetworkError(f"layer {index}: dropout is {share!r}, want the share that is dropped, 0 to below 1")
    return [("dropout", nn.Dropout(float(share)))], shape


_BUILDERS = {"conv": _conv, "linear": _linear, "pool": _pool, "dropout": _dropout}


def _activation(options: dict[str, Any], is_default: bool, where: str) -> list[tuple[str, nn.Module]]:
    """The activation that the options ask for; without a word of them, a ReLU where it is the default."""
    relu, kind = options.get("relu"), options["activation"]
    if kind is not None and relu is False:
        raise NetworkError(f"{where}: `relu: false` and `activation: {kind}` exclude each other; remove one")
    if kind is None and (is_default if relu is None else relu):
        kind = "relu"
    if kind is not None and kind not in ACTIVATIONS:
        raise NetworkError(f"{where}: activation is {kind!r}, want one of {', '.join(ACTIVATIONS)}")
    made, defaults = ACTIVATIONS[kind] if kind is not None else (None, {})
    given = {name: options[name] for name in _ACTIVATION_OPTIONS if options[name] is not None}
    for name in given:
        if name not in defaults:
            raise NetworkError(f"{where}: `{name}` is no option of activation {kind or 'none'}; {_owner(name)} has it")
    if made is None:
        return []
    try:
        return [(str(kind), made(**{**defaults, **given}))]
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from error


def _owner(option: str) -> str:
    return next(f"`activation: {kind}`" for kind, (_, defaults) in ACTIVATIONS.items() if option in defaults)


def _bits(layer: nn.Conv2d | nn.Linear, options: dict[str, Any], where: str) -> nn.Module:
    if options["binary"] is None:
        return layer
    try:
        return make_binary(layer, options["binary"])
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from error


def _parse(item: Any, index: int) -> tuple[str, Any, dict[str, Any]]:
    if not isinstance(item, Mapping):
        raise NetworkError(f"layer {index} is {item!r}, want a mapping such as {{conv: 16, kernel: 3}}")
    kinds = [key for key in item if key in LAYER_OPTIONS]
    if len(kinds) != 1:
        raise NetworkError(f"layer {index} is {dict(item)}, want exactly one of {', '.join(LAYER_OPTIONS)}")
    kind = kinds[0]
    options = LAYER_OPTIONS[kind]
    for key in item:
        if key != kind and key not in options:
            known = ", ".join(options) or "none"
            raise NetworkError(f"layer {index} ({kind}) has an unknown option {key!r}; known are: {known}")
    value = item[kind]
    if kind in ("conv", "linear"):
        value = _whole(value, f"layer {index}: {kind}")
    return kind, value, {**options, **{key: item[key] for key in item if key != kind}}


def _input_shape(spec: Mapping[str, Any]) -> tuple[int, int, int]:
    shape = spec.get("input")
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        raise NetworkError(f"the model's `input` is {shape!r}, want [channel, height, width]")
    channels, height, width = (_whole(side, "the model's `input`") for side in shape)
    return channels, height, width


def _whole(value: Any, what: str, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise NetworkError(f"{what} is {value!r}, want a whole number of at least {least}")
    return value
