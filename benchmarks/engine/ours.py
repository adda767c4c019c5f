"""Our engine among the competitors, in each number format that it has."""

import inspect
from typing import Any

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Network

from .workloads import Slices

NUMBERS = ("int8", "float32", "int16")


def formats(wanted: list[str]) -> list[str]:
    """Of the wanted number formats those that this engine has."""
    return list(wanted) if "numbers" in inspect.signature(Engine).parameters else ["int16"]


def make_engine(network: Network, numbers: str) -> Engine:
    settings: dict[str, Any] = {"numbers": numbers} if formats(["int8"]) == ["int8"] else {}
    engine = Engine(network, **settings)
    engine.warm_up()
    return engine


class EngineStep:
    """Engine.step, slice after slice, from Python."""

    dense = None  # what a step costs depends on what is in the slice

    def __init__(self, engine: Engine, slices: Slices) -> None:
        self.engine, self.slices = engine, slices

    def reset(self) -> None:
        self.engine.reset()

    def run(self, steps: int | None = None) -> None:
        step = self.engine.step
        for piece in self.slices[:steps]:
            step(piece)
