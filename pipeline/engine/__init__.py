"""Run a Network: slices in, decisions out, state kept in between. The loops are in kernels.py, the layout in plan.py.

    engine = Engine(Network.load("recordings/networks/gesture.npz"))
    for piece in slicer.push(packet):
        decision = engine.step(bin_events(piece.events, sensor, piece.t_start_us, piece.t_stop_us))

An engine belongs to one thread at a time; several engines may run in several threads (the kernels release the GIL).
"""

from .engine import Engine

__all__ = ["Engine"]
