"""What a caller gives to a conversion, checked: settings, calibration inputs, thresholds."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import ConversionError
from .cnn import Cnn
from .method import Method


def calibration_inputs(calibration: Any, shape: tuple[int, int, int]) -> Tensor:
    """Whatever the caller gave, as float32 (n, *shape). Raises ConversionError where it says nothing."""
    calibration = _tensor(calibration, shape)
    if calibration.ndim != 4 or tuple(calibration.shape[1:]) != shape or len(calibration) == 0:
        raise ConversionError(
            f"calibration inputs have shape {tuple(calibration.shape)}, want (n, {', '.join(map(str, shape))}) with n "
            "of a few hundred, drawn from the training set"
        )
    inputs = calibration.detach().cpu().float()
    if not torch.isfinite(inputs).all():
        raise ConversionError("calibration inputs hold infinite or undefined values; leave those inputs out")
    if not inputs.any():
        raise ConversionError("calibration inputs are all 0, which says nothing about any layer; give real inputs")
    return inputs


def _tensor(calibration: Any, shape: tuple[int, int, int]) -> Tensor:
    if isinstance(calibration, Tensor):
        return calibration
    found = f"calibration is a {type(calibration).__name__}"
    want = f"a tensor or array of shape (n, {', '.join(map(str, shape))}), or batches of that shape"
    if isinstance(calibration, str | bytes | Mapping) or not isinstance(calibration, Iterable):
        raise ConversionError(f"{found}, want {want} (calibration.read_inputs reads files)")
    try:
        if isinstance(calibration, np.ndarray):
            return torch.from_numpy(calibration)
        batches = [torch.as_tensor(batch) for batch in calibration]
        return torch.cat(batches) if batches else torch.zeros(0, *shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConversionError(f"{found} that is no numbers of one shape ({error}); want {want}") from error


def settings(
    method: Method | None,
    percentile: float | None,
    over: Literal["all", "nonzero"] | None,
    per: Literal["layer", "channel"] | None,
    thresholds: Mapping[str, float] | None,
    reset: Literal["subtract", "zero"] | None,
    v_init: float | None,
    input_scale: float | None,
) -> Method:
    """The method with what overrides it."""
    given: dict[str, Any] = {
        "percentile": percentile,
        "over": over,
        "per": per,
        "lambdas": thresholds,
        "reset": reset,
        "v_init": v_init,
        "input_scale": input_scale,
    }
    if thresholds is not None:
        for name, value in thresholds.items():
            if not value > 0:
                raise ConversionError(f"thresholds say {value!r} for ReLU {name!r}, want a number above 0 for each")
    base = method or (Method() if thresholds is not None else Method.preset("standard"))  # fine-tuned: single spikes
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def all_given(cnn: Cnn, thresholds: Mapping[str, float]) -> None:
    """Refuse thresholds that leave out a population."""
    for node in cnn.populations():
        if node.name not in thresholds and not node.relay:
            raise ConversionError(
                f"thresholds leave out {node.name!r}, want a number above 0 for each; they name "
                f"{', '.join(thresholds) or 'none'}"
            )
