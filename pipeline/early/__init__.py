"""Decide before the end: on static inputs as soon as enough was seen, on endless streams with evidence that leaks.

    rule.py    ExitRule: stop or go on, after each timestep            choose.py   choose one on training samples
    stream.py  StreamRule, StreamDecider: labels and 'unknown'         tune.py     choose one on training recordings
    file.py    rules as JSON, refused for another network              traces.py   what an engine said over time
    bounds.py  exact binomial bounds                                   report.py   what a rule gained and lost

Everything runs on numpy. docs/early-decisions.md is the page for users.
"""

from .bounds import lower_bound
from .choose import check_request, choose_exit
from .file import check_fits, check_input, load_rule, made_for, network_digest, save_rule
from .report import Exits, judge_exits
from .rule import ExitRule
from .stream import StreamDecider, StreamRule, gains_network
from .traces import Recorder, Traces
from .tune import StreamTrace, choose_stream

__all__ = [
    "ExitRule",
    "Exits",
    "Recorder",
    "StreamDecider",
    "StreamRule",
    "StreamTrace",
    "Traces",
    "check_fits",
    "check_input",
    "check_request",
    "choose_exit",
    "choose_stream",
    "gains_network",
    "judge_exits",
    "load_rule",
    "lower_bound",
    "made_for",
    "network_digest",
    "save_rule",
]
