"""Rules as files: a small JSON that a person can read, and that names the network it was made for.

A rule is worth something only for the scores it was chosen on: another network, number format or kind of input makes
other scores. `made_for` says which, and check_fits refuses the rest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DvsError, NetworkError
from ..files import written_whole
from ..network import Layer, Network, Readout
from .rule import ExitRule
from .stream import StreamRule

VERSION = 1
MAX_FILE_BYTES = 64 << 20
STREAM_FIELDS = ("leak_us", "margin", "release", "steady_us", "least_rate_hz")


def network_digest(network: Network) -> str:
    """SHA-256 of all that the decisions depend on: layers, readout, clock and labels; not of the provenance.

    What has its default is left out: a setting that a later version adds must not turn old networks into others.
    """
    digest = hashlib.sha256()
    digest.update(repr((network.input_shape, network.labels, network.timestep_us, network.state_window_us)).encode())
    parts: tuple[Readout | Layer, ...] = (network.readout, *network.layers)
    for part in parts:
        digest.update(type(part).__name__.encode())
        for entry in fields(part):
            value = getattr(part, entry.name)
            if isinstance(value, np.ndarray):
                digest.update(f"{entry.name} {value.shape}".encode() + np.ascontiguousarray(value, "<f4").tobytes())
            elif value != entry.default:
                digest.update(f"{entry.name} {value!r}".encode())
    return digest.hexdigest()


def made_for(network: Network, name: str, numbers: str, given: str, timestep_us: int | None) -> dict[str, Any]:
    """What a rule is for. given: "poisson", "current" or "events"; timestep_us: of the slices, None for images."""
    return {
        "network": name,
        "sha256": network_digest(network),
        "numbers": numbers,
        "input": given,
        "timestep_us": timestep_us,
    }


def check_fits(rule: ExitRule | StreamRule, network: Network, numbers: str | None = None) -> list[str]:
    """Why a rule is not for this network and number format (None: any), as sentences; empty: it is."""
    found = rule.made_for
    if not found:
        return []
    faults = []
    if found["sha256"] != network_digest(network):
        name, ours = found["network"], network_digest(network)
        faults.append(
            f"it was chosen for another network ({name}, sha256 {found['sha256'][:12]}..., this one {ours[:12]}...); "
            "choose thresholds for this network with `dvs early`"
        )
    if numbers is not None and found["numbers"] != numbers:
        faults.append(f"it was chosen with numbers {found['numbers']}, here they are {numbers}; choose it with those")
    return faults


def check_input(rule: ExitRule | StreamRule, given: str, timestep_us: int | None) -> list[str]:
    """Why a rule is not for this input, as sentences. given: "poisson", "current" or "events"."""
    found = rule.made_for
    if not found:
        return []
    if found["input"] != given:
        return [f"it was chosen on {found['input']}, here {given} come in; choose thresholds on such input"]
    if found["timestep_us"] not in (None, timestep_us):
        return [f"it was chosen with slices of {found['timestep_us']} µs, here they are {timestep_us} µs"]
    return []


def save_rule(rule: ExitRule | StreamRule, path: str | Path) -> None:
    """Write JSON. Raises DvsError where it cannot be written."""
    if isinstance(rule, ExitRule):
        body: dict[str, Any] = {
            "rule": rule.kind,
            "thresholds": [None if np.isinf(value) else value for value in rule.thresholds.tolist()],
        }
        if rule.kind == "sequential":
            body["scales"] = rule.scales.tolist()
    else:
        body = {"rule": "stream", **{name: getattr(rule, name) for name in STREAM_FIELDS}}
    document = {"version": VERSION, "promise": dict(rule.promise), "made_for": dict(rule.made_for), **body}
    try:
        with written_whole(path) as partial:
            partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DvsError(f"{path} cannot be written: {error.strerror or error}") from None


def load_rule(path: str | Path) -> ExitRule | StreamRule:
    """Read what save_rule wrote. Raises NetworkError for anything else."""
    wanted = "want a file of thresholds, made by `dvs early`"
    try:
        if not Path(path).is_file():
            raise NetworkError(f"there is no file {path}; {wanted}")
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise NetworkError(f"{path} has more than {MAX_FILE_BYTES >> 20} MiB; {wanted}")
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise NetworkError(
                f"{path} is of version {document['version']}, this program reads {VERSION}; choose it again"
            )
        return _rule(document)
    except NetworkError:
        raise
    except (DvsError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise NetworkError(f"{path}: {error or type(error).__name__}; {wanted}") from None


def _rule(document: Mapping[str, Any]) -> ExitRule | StreamRule:
    promise, target = dict(document["promise"]), dict(document["made_for"])
    if target and not {"network", "sha256", "numbers", "input", "timestep_us"} <= target.keys():
        raise ValueError("made_for lacks what it was made for")
    if document["rule"] == "stream":
        return StreamRule(**{name: document[name] for name in STREAM_FIELDS}, promise=promise, made_for=target)
    thresholds = np.array([np.inf if value is None else value for value in document["thresholds"]], np.float64)
    scales = np.array(document.get("scales", np.ones(len(thresholds))), np.float64)
    return ExitRule(document["rule"], thresholds, scales, promise, target)
