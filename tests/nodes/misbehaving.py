"""Nodes that fail in every way that a node can; tests register them under names of their own."""

import os
import time
from dataclasses import dataclass

from dvs_run.nodes.node import Node, Source
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.stream import BinnedSlice, Classification, StreamInfo


class Echo(Node):
    """Slices in, the same slices out."""

    accepts, emits = BinnedSlice, BinnedSlice

    def process(self, piece):
        yield piece


@dataclass(frozen=True)
class FaultyConfig:
    where: str = ""  # open, process, finish, close, kill, hang


class Faulty(Node):
    """A sink that raises where it is told to."""

    Config, accepts = FaultyConfig, Classification

    def open(self):
        self._fail("open")
        if self.config.where == "hang":
            time.sleep(60)

    def process(self, decision):
        self._fail("process")
        if self.config.where == "kill":
            os.kill(os.getpid(), 9)
        return iter(())

    def finish(self):
        self._fail("finish")
        return iter(())

    def close(self):
        self._fail("close")

    def _fail(self, where):
        if self.config.where == where:
            raise ValueError(f"no luck in {where}")


class Liar(Node):
    """Yields what its class does not declare."""

    accepts, emits = BinnedSlice, Classification

    def process(self, piece):
        yield piece


class Damaged(Source):
    """Three good slices, then the recording cannot be read further."""

    emits = BinnedSlice

    def produce(self):
        import numpy as np

        yield StreamInfo("damaged", SensorSize(16, 16), timestep_us=5000)
        for n in range(3):
            cells = np.array([n], np.int32)
            yield BinnedSlice(n * 5000, (n + 1) * 5000, cells, np.ones(1, np.int32))
        raise RecordingError("damaged: cut at byte 7; the 3 slices before are good")


class Merge(Node):
    """A sink with two inputs; says from which port each decision came."""

    accepts, many_inputs = Classification, True

    def open(self):
        self.heard = {}

    def process(self, decision):
        self.heard[self.port] = self.heard.get(self.port, 0) + 1
        return iter(())

    def report(self):
        return [("heard", str(sorted(self.heard.items())))]
