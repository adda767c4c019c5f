"""Run a Network: slices in, decisions out, state kept in between.

    engine = Engine(Network.load("recordings/networks/gesture.npz"))
    for piece in slicer.push(packet):
        decision = engine.step(bin_events(piece.events, sensor, piece.t_start_us, piece.t_stop_us))

graph.py reads the network, plan.py lays it out as arrays (units.py, cells.py, layout.py), kernels.py is one timestep
(adding.py, firing.py, leaks.py, pools.py), rows.py its innermost loops in the vectors of simd.py, ends.py input and
readout. asynchronous.py runs it event by event instead, with routes.py and the depth_*.py. An engine belongs to one
thread at a time; several engines may run in several threads (the kernels release the GIL).
"""

from .asynchronous import AsyncEngine
from .engine import Engine
from .snapshot import Snapshot

__all__ = ["AsyncEngine", "Engine", "Snapshot"]
