"""The automatic choice of a method: what is tried, on what data, and which of it is taken.

budget.py       what a decision may cost
parts.py        data to calibrate, to choose and to judge on
candidates.py   the methods that are tried
rungs.py        many on few samples, few on many
trial.py        one of them tried; windows_shown.py shows it recordings, engine_time.py takes the engine's time
tradeoff.py     curves, the points that no other beats, the knee
choose.py       all of it together
"""

from .budget import Budget, parse_budget
from .choose import Choice, choose
from .parts import Parts, in_parts
from .tradeoff import Point, Tradeoff, knee, pareto

__all__ = ["Budget", "Choice", "Parts", "Point", "Tradeoff", "choose", "in_parts", "knee", "pareto", "parse_budget"]
