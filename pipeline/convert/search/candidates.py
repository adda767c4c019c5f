"""The finite set of methods that a search tries. What the user has set is kept; the rest varies.

| setting | tried | what it trades |
|---|---|---|
| percentile | 99.9, 99.99, 99, 100 | low: more spikes, sooner right, more clipped |
| per | layer, channel | channel: weak channels fire more |
| v_init | 0.5, 0 | half way: rounded to the nearest from the start |
| max_spikes | 1, 2, 4 | bursts carry what comes late: fewer timesteps, more operations |
| threshold_scale | 1, 1 / max_spikes | with bursts: their most spikes stand for λ: finer, more operations |

v_init 0 is tried without bursts only. That makes 48, simple ones first. To these come the presets (methods/presets.py)
of the same input that read the membrane of the last layer. A search of little time tries the first ones, so those that
are good for most networks (FIRST) stand at the beginning.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ..method import Method
from ..methods.presets import PRESETS

PERCENTILES = (99.9, 99.99, 99.0, 100.0)
PER = ("layer", "channel")
SPIKES = ((1, 1.0, 0.5), (2, 0.5, 0.5), (4, 0.25, 0.5), (1, 1.0, 0.0), (2, 1.0, 0.5), (4, 1.0, 0.5))
FIRST = ("standard", "fine")
VARIED = ("percentile", "per", "v_init", "max_spikes", "threshold_scale")


@dataclass(frozen=True)
class Candidate:
    """A method with the name that it has in tables."""

    name: str
    method: Method


def candidates(base: Method, fixed: Collection[str] = ()) -> list[Candidate]:
    """All of them, each once. `fixed` names the settings of `base` that are not varied."""
    kept = set(fixed)
    if base.lambdas or base.normalization == "none":  # there is no percentile then
        kept |= {"percentile", "per"}
    found: dict[str, Candidate] = {}
    same = {name: getattr(base, name) for name in {*fixed, "input", "input_scale"}}
    for spikes, scale, v_init in SPIKES:
        for per in PER:
            for percentile in PERCENTILES:
                tried = {
                    "percentile": percentile,
                    "per": per,
                    "v_init": v_init,
                    "max_spikes": spikes,
                    "threshold_scale": scale,
                }
                method = replace(base, **_varied(tried, kept))
                name = candidate_name(method)
                found.setdefault(name, Candidate(name, method))
    varied_away = bool(base.lambdas) or kept >= set(VARIED)
    alike = [known for known in PRESETS if (known.method.input, known.method.readout) == (base.input, "membrane")]
    presets = [Candidate(known.name, replace(known.method, **same)) for known in alike if not varied_away]
    tried_already = [candidate.method for candidate in found.values()]
    others = [*found.values(), *(preset for preset in presets if preset.method not in tried_already)]
    return sorted(others, key=lambda candidate: candidate.name not in FIRST)


def candidate_name(method: Method) -> str:
    """The settings that vary, in the words of tables: "99.9 % per layer, 4 spikes of λ/4"."""
    if method.lambdas:
        parts = ["thresholds as given"]
    elif method.normalization == "none":
        parts = ["no normalization"]
    else:
        parts = [f"{method.percentile:g} % per {method.per}"]
    scale = method.threshold_scale
    of = "" if scale == 1 else f" of {_fraction(scale)}" if isinstance(scale, float) else " of scaled λ"
    if method.max_spikes > 1 or of:
        parts.append(f"{method.max_spikes} spike{'' if method.max_spikes == 1 else 's'}{of}")
    if method.v_init != 0.5:
        parts.append(f"v(0) = {method.v_init}" + ("" if isinstance(method.v_init, str) else " θ"))
    return ", ".join(parts)


def _fraction(scale: float) -> str:
    return f"λ/{1 / scale:g}" if scale < 1 and (1 / scale).is_integer() else f"{scale:g} λ"


def _varied(tried: dict[str, Any], kept: set[str]) -> dict[str, Any]:
    return {name: value for name, value in tried.items() if name not in kept}
