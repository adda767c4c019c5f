"""Run a Network event by event: a decision may follow any single one. For the lowest latency; Engine is for throughput.

    engine = AsyncEngine(Network.load("recordings/networks/nmnist.npz"))
    for packet in camera:
        if engine.push(packet.events) >= 0:
            print(engine.decision().label)

What it computes. An event is one spike of the input. A spike adds its weights to all its targets; then those of them
that are at or above their threshold spike, each once, are reset, and their spikes are worked off in the same way, one
after the other and each to its end (depth first), before the next: in the order of edges (by target layer), rows,
columns, channels; a neuron that is reached by several edges comes with the last. There is no timestep, so spike counts
differ from those of Engine: a spike is never too late here, and one that later inhibition would have stopped is sent.

Biases are currents, per timestep of the network. They flow in ticks of 1/64 timestep, counted from the first event:
    B = floor(bias * ticks / 64), ticks = floor(64 * (t - t0) / timestep_us)
is part of the potential. A neuron is looked at when a spike reaches it; and, in layers with a bias above 0, once a
timestep in turn, since nothing may reach it: of the n pixels of these layers (layer by layer, row by row) pixel i at
the start of each tick with tick mod 64 == 64 * i // n, the channels of a pixel together. Turns come before the events
of the same moment. Nothing of this depends on how the stream is cut into packets.

depth_events.py and depth_first.py do all that in whole numbers (see units.py), routes.py lays out what it needs.
"""

import numpy as np

from ..errors import EventError, NetworkError
from ..events import EVENT_DTYPE
from ..layers import Delay
from ..network import Network
from ..neurons import IF, LIF, MaxPool2d
from ..stream import Classification
from .depth_events import push_events
from .depth_layout import CLOCK_DTYPE
from .depth_readout import total
from .depth_state import start_hidden
from .layout import NEVER, READOUT, aligned
from .plan import make_plan
from .routes import TICKS, make_routes
from .views import bias_scale, stored_grid, sums_by_name

INSTEAD = "use the clocked Engine"
NONE = np.zeros(0, np.int32)


class AsyncEngine:
    """A network and its state, one event at a time.

    numbers: "int8", "int16" or "float32", see plan.py. timestep_us: what biases are per, for a network that does not
    say. Raises NetworkError where the network has layers that are defined by timesteps only.

    Attributes for reading: `network`, `timestep_us`, `numbers`, `units` and `rounding` as in Engine.
    """

    def __init__(self, network: Network, numbers: str = "int16", timestep_us: int | None = None) -> None:
        _check(network)
        self.network, self.numbers = network, numbers
        self.timestep_us = timestep_us or network.timestep_us
        self._plan = plan = make_plan(network, numbers, bias_scale(network, self.timestep_us))
        self._check_time()
        self._names = [population.name for population in plan.populations]
        self.units = dict(zip(self._names[1:], plan.units[1:], strict=True))
        self.rounding = plan.rounding
        self._allocate()
        self._decided_us: int = 0  # until when, and with how many SynOps, the last decision was made
        self._decided_synops: int = 0
        self.reset()

    def push(self, events: np.ndarray, classes: np.ndarray = NONE) -> int:
        """Work off events (EVENT_DTYPE, in order of time), each to the end. Returns the class then, -1: undecided.

        classes: int32 array for the class after each event, for as many as it has room for. An event outside the input
        or before what was reached raises EventError, nothing of its packet is done, and the engine goes on.
        """
        if events.dtype != EVENT_DTYPE:
            raise EventError(f"events have dtype {events.dtype}, want EVENT_DTYPE; use events.as_events first")
        index = push_events(events, classes, *self._arguments)
        if index < -1:
            self._refuse(events, -2 - index)
        return index

    def decision(self) -> Classification:
        """The decision now. Its slice and SynOps are what came since the decision before."""
        clock, stage, plan = self._clock[0], self._plan.stages[-1], self._plan
        whole = [total(i, clock, stage, self._v, plan.bias, self._evidence) for i in range(len(self._evidence))]
        index = int(push_events(np.zeros(0, EVENT_DTYPE), NONE, *self._arguments))
        start, stop = self._decided_us, max(int(clock["reached_us"]) + 1, self._decided_us)
        synops = int(self._synops.sum())
        decision = Classification(
            start, stop, index, self.network.labels[index] if index >= 0 else "", np.array(whole) * self._unit,
            synops - self._decided_synops,
        )  # fmt: skip
        self._decided_us, self._decided_synops = stop, synops
        return decision

    def reset(self) -> None:
        """Forget everything that was seen, the counts too; time begins anew with the next event."""
        clock = self._clock
        clock["reached_us"], clock["tick"], clock["origin_us"] = -NEVER, -1, 0
        clock["next_us"] = -NEVER if self._timed else NEVER
        for array in (self._v, self._due, self._taken, self._synops, self._fired, self._evidence, self._ring):
            array[:] = 0
        self._hubs["left"], self._hubs["origin"] = self._hubs["room"], 0
        start_hidden(0, *self._hidden)
        self._decided_us, self._decided_synops = 0, 0

    @property
    def clamped(self) -> int:
        """Potentials that met the range of the number format, since the beginning; 0 in healthy networks."""
        return int(self._clock[0]["clamped"])

    @property
    def synops_per_layer(self) -> dict[str, int]:
        """Synaptic operations since the reset, per weight layer: weights added for spikes, borders exact."""
        return sums_by_name(self._plan.edge_names, self._synops)

    @property
    def spikes_per_layer(self) -> dict[str, int]:
        """Spikes since the reset, of the input ("input": events) and of each layer of neurons."""
        kinds = self._plan.stages["kind"]
        return {name: int(n) for name, n, kind in zip(self._names, self._fired, kinds, strict=True) if kind != READOUT}

    def state(self) -> dict[str, np.ndarray]:
        """Potentials of each layer of neurons at the last event: float64 (channel, height, width), network's units."""
        tick = max(int(self._clock[0]["tick"]), 0)
        plan, potentials = self._plan, {}
        for s, stage in enumerate(plan.stages):
            if s == 0 or stage["kind"] == READOUT:
                continue
            grid = stored_grid(plan, s, self._v)
            first = int(stage["first_constant"])
            bias = plan.bias[first : first + len(grid)].astype(np.int64)
            flowed = bias * (tick - int(self._hubs[s]["origin"])) // TICKS
            potentials[self._names[s]] = (grid + flowed[:, None, None]) * plan.units[s][:, None, None]
        return potentials

    def warm_up(self) -> None:
        """Compile (or load from the cache) every kernel, so that the first event is as fast as the last. Resets."""
        self.reset()
        self.push(np.zeros(1, EVENT_DTYPE), np.zeros(1, np.int32))
        self.decision()
        self.reset()

    def _check_time(self) -> None:
        """Whatever is told in timesteps or µs needs a timestep."""
        network, timestep = self.network, self.timestep_us
        self._timed = bool(self._plan.stages["biased"].any() or network.readout.window_us or network.state_window_us)
        if timestep is None and self._timed:
            raise NetworkError(
                "the network has biases or windows but no timestep; pass timestep_us: what its biases are per"
            )
        if timestep is not None and timestep < 1:
            raise NetworkError(f"timestep_us is {timestep}, want at least 1 µs")
        if network.state_window_us and timestep and network.state_window_us % timestep:
            raise NetworkError(
                f"the state window of {network.state_window_us} µs is not a multiple of the timestep of {timestep} µs; "
                f"pass a timestep_us that divides it, or {INSTEAD}"
            )

    def _allocate(self) -> None:
        plan, network = self._plan, self.network
        stages, last = plan.stages, plan.stages[-1]
        routes = make_routes(plan)
        neurons = int(last["first_neuron"] + last["height"] * last["width"] * last["size"])
        pixels = int(last["height"] * last["width"])
        outputs = pixels * int(last["channels"])
        timestep = self.timestep_us or 1
        slots = -(-(network.readout.window_us or 0) // timestep)
        self._clock = np.zeros(1, CLOCK_DTYPE)
        self._clock["timestep_us"], self._clock["slots"], self._clock["limit"] = timestep, slots, plan.format.limit
        self._clock["state_ticks"] = (network.state_window_us or 0) // timestep * TICKS
        self._hubs = routes.hubs
        self._v = aligned(np.zeros(neurons, plan.format.potential), 1024)  # spare: padded rows may reach beyond
        self._taken = np.zeros(len(self._v) if routes.hubs["repeats"].any() else 1, np.uint8)
        self._due = np.zeros(len(routes.looks) // 3 + 16, np.int32)  # spare: for whole vectors
        self._synops, self._fired = np.zeros(len(plan.edges), np.int64), np.zeros(len(stages), np.int64)
        self._evidence, self._ring = np.zeros(outputs, np.int64), np.zeros(max(slots, 1) * outputs, np.int64)
        unit = plan.units[-1] if last["kind"] == READOUT else np.ones(int(last["channels"]))
        self._unit = np.repeat(unit, pixels)
        channels, height, width = network.input_shape
        cell_height, cell_width = plan.cells[0]
        moved, low = aligned(plan.threshold.copy()), aligned(plan.threshold.copy())
        pending = aligned(np.zeros(4 * routes.most_pending, np.int32))
        self._arguments = (
            self._clock, (np.arange(height, dtype=np.int32) // cell_height) << 16,
            np.arange(width, dtype=np.int32) // cell_width, channels,
            stages, self._hubs, routes.routes, plan.axes, routes.reach, routes.looks, plan.weights, plan.bias,
            plan.threshold, plan.v_init, plan.per_bias, self._v, moved, low, self._due, pending, self._taken,
            self._synops, self._fired, self._evidence, self._ring, self._unit,
        )  # fmt: skip
        self._hidden = (stages, self._hubs, self._v, plan.v_init, plan.threshold, plan.bias, moved, low)

    def _refuse(self, events: np.ndarray, bad: int) -> None:
        t, x, y, _ = events[bad].tolist()
        _, height, width = self.network.input_shape
        if x >= width or y >= height:
            raise EventError(
                f"event {bad} at x={x}, y={y} lies outside the {width}x{height} input; is the network for this sensor?"
            )
        raise EventError(
            f"event {bad} of a packet is at {t} µs, before what was reached; times must not run backwards: "
            "formats.open_recording mends or reports such recordings, reset() starts a new stream"
        )


def _check(network: Network) -> None:
    """Refuse, by name, what is defined by timesteps."""
    if network.input_shape[0] > 2:
        raise NetworkError(
            f"the input has {network.input_shape[0]} channels, events have 2 polarities; {INSTEAD}, which takes images"
        )
    if network.readout.kind not in ("membrane", "count"):
        raise NetworkError(
            f"the readout {network.readout.kind!r} draws in every timestep; {INSTEAD}, or read 'membrane'"
        )
    if network.readout.start_step:
        raise NetworkError(f"the readout starts after {network.readout.start_step} timesteps; {INSTEAD}")
    for layer in network.layers:
        what = ""
        if isinstance(layer, Delay):
            what = "delays its input by timesteps"
        elif isinstance(layer, MaxPool2d):
            what = "is a max pool, which compares counts per timestep"
        elif isinstance(layer, LIF):
            what = "leaks once a timestep"
        elif isinstance(layer, IF):
            if layer.signed:
                what = "sends negative spikes"
            elif layer.max_spikes > 1:
                what = f"sends up to {layer.max_spikes} spikes at once"
            elif layer.v_min is not None:
                what = "has a floor v_min"
            elif layer.start_step:
                what = f"starts after {layer.start_step} timesteps"
            elif layer.reset == "none":
                what = "is never reset, so it would spike at everything that arrives"
        if what:
            other = (
                "IF neurons with one spike, reset by subtraction or to zero"
                if isinstance(layer, IF | LIF)
                else ("an average pool" if isinstance(layer, MaxPool2d) else "no delays")
            )
            raise NetworkError(
                f"layer {layer.name!r} {what}, which means nothing event by event; {INSTEAD}, or a network with {other}"
            )
