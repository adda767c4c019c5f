"""The public engine: checks at its door, then one call of the kernels a slice. It allocates the decision only."""

import copy
import functools
from collections.abc import Callable, Iterator
from types import MappingProxyType

import numpy as np

from ..binning import bin_events
from ..errors import NetworkError
from ..events import EventPacket, SensorSize
from ..network import Delay, Network
from ..slicer import TimeSlicer
from ..stream import BinnedSlice, Classification, CurrentSlice
from . import kernels
from .advance import PACKED, advance, advance_packed, pack
from .current import Current
from .delays import DelayLine
from .layout import INPUT, KEPT, PLAIN, POOL, READOUT
from .leaks import bring_all_up
from .memory import allocate
from .plan import make_plan
from .pools import clear_pools
from .snapshot import Snapshot, digest_of
from .views import bias_scale, spike_counts, stored_grid, sums_by_name


class Engine:
    """A network and its state.

    timestep_us: length of the slices it will be given, if not the one the network was trained for; biases, which are
    currents per timestep, are scaled with it. numbers: "int8", "int16" or "float32", see plan.py. Raises NetworkError
    where the network is of a kind that it does not run.

    Attributes for reading: `network`, `timestep_us`, `numbers`, `steps` (since the last reset), `clamped` (potentials
    that met the range of the format, since the beginning; 0 in healthy networks), `rounding` (per weight layer, largest
    error of a weight relative to the largest weight), `units` (per layer of neurons, and for the layer that is read
    out: what 1 means in the engine's whole numbers, float64 (channels,)).
    """

    def __init__(self, network: Network, timestep_us: int | None = None, numbers: str = "int16") -> None:
        self.network, self.numbers = network, numbers
        self.timestep_us = timestep_us or network.timestep_us
        if self.timestep_us is not None and self.timestep_us < 1:
            raise NetworkError(f"timestep_us is {timestep_us}, want at least 1 µs")
        self._plan = plan = make_plan(network, numbers, bias_scale(network, self.timestep_us))
        self._names = [population.name for population in plan.populations]
        self.units = dict(zip(self._names[1:], plan.units[1:], strict=True))
        self.rounding = plan.rounding
        self._memory = memory = allocate(plan, network, self.timestep_us)
        self._advance: Callable = advance
        self._arguments: tuple = memory.arrays()
        if PACKED:
            self._advance = advance_packed
            self._arguments = (pack(memory.arrays()), memory.weights, memory.total, memory.v)
        first = network.layers[0]
        self._delays = DelayLine(first, network.input_shape, self.timestep_us) if isinstance(first, Delay) else None
        self._pools_input = any(
            plan.stages[edge["target"]]["kind"] == POOL for edge in plan.edges if edge["source"] == INPUT
        )
        self._random = np.random.default_rng(network.readout.seed) if memory.settings["drawing"][0] else None
        self._outputs, self._labels = len(memory.gain), (*network.labels, "")  # the last: of index -1
        self._length_us, self._window_us = self.timestep_us, network.state_window_us
        self._current = Current(plan, memory, network.input_shape)
        self._slicer: TimeSlicer | None = None  # of `push`
        self._begin()
        self.clamped = 0
        self.reset()

    def _begin(self) -> None:
        """The counters of a stream that has not begun."""
        self.steps = 0
        self._origin_us: int | None = None  # start of the stream's first slice
        self._reached_us = -(1 << 62)  # end of its last
        self._state_window = 0
        self._seen = 0

    def step(self, piece: BinnedSlice | CurrentSlice) -> Classification:
        """Advance by one timestep and classify.

        Slices must come in order of time, all of `timestep_us`; time may be missing between them (drops), never
        doubled. Raises NetworkError for cells outside the input, counts below 1 or so large that sums could overflow.
        """
        t_start_us, t_stop_us = piece.t_start_us, piece.t_stop_us
        if t_start_us < self._reached_us or t_stop_us - t_start_us != self._length_us:
            self._check_clock(t_start_us, t_stop_us)
        if self._window_us:
            self._renew_state(t_start_us)
        n = macs = driven = 0
        if type(piece) is CurrentSlice:
            self._check_current()
            macs, driven = self._current.load(piece.values), 1
        elif len(piece.cells) or self._delays is not None:  # type: ignore[union-attr]
            n = self._load_cells(piece)  # type: ignore[arg-type]
        if self._random is not None:
            self._memory.uniform[:] = self._random.random(len(self._memory.uniform))
        scores = np.empty(self._outputs)
        step = self.steps + 1
        index, synops, clamped = self._advance(n, step, t_stop_us, driven, scores, *self._arguments)
        if index < -1:
            self._refuse_cell(-2 - index)
        self.steps, self._reached_us = step, t_stop_us
        self.clamped += clamped
        synops += macs
        self._seen += synops
        if not self._seen:
            index = -1
        # Classification(...) at a third of its price: a frozen dataclass sets its fields one by one, which costs 2 us.
        made = object.__new__(Classification)
        made.__dict__.update(
            t_start_us=t_start_us, t_stop_us=t_stop_us, index=index, label=self._labels[index], scores=scores,
            synops=synops, recording="",
        )  # fmt: skip
        return made

    def push(self, packet: EventPacket) -> Iterator[Classification]:
        """Take a packet of events as it comes; yield a decision for each slice of `timestep_us` that is now complete.

        Slices are those of TimeSlicer, empty ones too; they do not depend on where packets are cut. The input must be a
        sensor: (polarity, height, width). Raises NetworkError where it is not, EventError for events that do not fit.
        """
        channels, height, width = self.network.input_shape
        if channels != 2 or self.timestep_us is None:
            raise NetworkError(
                f"events were pushed into a network of input {self.network.input_shape} and timestep "
                f"{self.timestep_us}; want 2 polarities and a timestep: bin the events yourself and call step()"
            )
        if self._slicer is None:
            self._slicer = TimeSlicer(self.timestep_us)
        for piece in self._slicer.push(packet):
            yield self.step(bin_events(piece.events, SensorSize(width, height), piece.t_start_us, piece.t_stop_us))

    def reset(self) -> None:
        """Forget everything that was seen: membranes to their initial potential, no evidence, time may begin anew."""
        self._begin()
        self._slicer = None
        self._start_hidden()
        if self._plan.stages[-1]["kind"] == READOUT:
            kernels.start_output(self._plan.stages[-1], self._memory.v)
        for array in (self._memory.evidence, self._memory.cursor, self._memory.drawn, self._memory.n_groups):
            array[:] = 0
        if self._delays is not None:
            self._delays.reset()
        if self._random is not None:
            self._random = np.random.default_rng(self.network.readout.seed)

    def warm_up(self) -> None:
        """Compile (or load from the cache) every kernel, so that the first slice is as fast as the last. Resets."""
        counters, clamped = self._memory.synops.copy(), self.clamped
        length = self.timestep_us or 1000
        one = np.zeros(1, np.int32)
        self.reset()
        self.step(BinnedSlice(0, length, one, one + 1))
        if self._delays is None and not self._pools_input:
            self.step(CurrentSlice(length, 2 * length, np.ones(self.network.input_shape, np.float32)))
        self.state()
        self.reset()
        self._memory.synops[:], self.clamped = counters, clamped

    @property
    def synops_per_layer(self) -> dict[str, int]:
        """Synaptic operations since the beginning, per weight layer: weights added for spikes, borders exact.

        With constant-current input the first layer's multiply-accumulates are counted, once for each new image.
        """
        return sums_by_name(self._plan.edge_names, self._memory.synops)

    @property
    def macs_per_layer(self) -> MappingProxyType[str, int]:
        """Multiply-accumulates of one pass of the CNN, per weight layer, borders exact."""
        return MappingProxyType(self._plan.macs)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the potentials per layer of neurons: float64 (channel, height, width), in the network's units."""
        plan, memory, potentials = self._plan, self._memory, {}
        for s, stage in enumerate(plan.stages):
            if stage["kind"] == KEPT:
                bring_all_up(
                    self.steps, stage, memory.v, plan.bias, plan.floor, plan.decay, memory.updated
                )  # fmt: skip
            if stage["kind"] in (PLAIN, KEPT, READOUT):
                grid = stored_grid(plan, s, memory.v)
                if stage["kind"] == PLAIN:  # stored without the biases since the last rebase, see kernels.py
                    first = int(stage["first_constant"])
                    elapsed = max(self.steps - int(memory.clocks[2 * s]), 0)
                    grid += elapsed * plan.bias[first : first + len(grid), None, None].astype(float)
                potentials[self._names[s]] = grid * plan.units[s][:, None, None]
        return potentials

    def spikes(self, layer: str) -> np.ndarray:
        """Neurons of a layer that fired in the last step: flat indexes (channel, height, width), ascending."""
        return np.flatnonzero(self.spike_counts(layer))

    def spike_counts(self, layer: str) -> np.ndarray:
        """Spikes of the last step of a layer of neurons or a max pool: int64 (channel, height, width)."""
        return spike_counts(self._plan, self._memory, self._names.index(layer))

    def snapshot(self) -> Snapshot:
        """All that the engine remembers of its stream, as a copy: what follows can be done again after `restore`."""
        return Snapshot(
            tuple(array.copy() for array in self._memory.remembered()),
            (self.steps, self._origin_us, self._reached_us, self._state_window, self._seen),
            copy.deepcopy(self._random),
            copy.deepcopy(self._delays),
            copy.deepcopy(self._slicer),
            self._current.image(),
            self._digest,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of this engine, or of one of the same network, timestep and numbers."""
        if snapshot.of != self._digest:
            raise NetworkError("the snapshot is of another network, timestep or number format than this engine's")
        for array, kept in zip(self._memory.remembered(), snapshot.arrays, strict=True):
            array[:] = kept
        self.steps, self._origin_us, self._reached_us, self._state_window, self._seen = snapshot.counters
        self._random, self._delays = copy.deepcopy(snapshot.random), copy.deepcopy(snapshot.delays)
        self._slicer = copy.deepcopy(snapshot.slicer)
        self._current.show(snapshot.image)

    @functools.cached_property
    def _digest(self) -> str:
        starts = [getattr(layer, "start_step", 0) for layer in self.network.layers]
        settings = f"{self.numbers} {self.timestep_us} {self._window_us} {self.network.readout} {starts}"
        return digest_of(self._plan, self._memory, settings)

    def _check_clock(self, t_start_us: int, t_stop_us: int) -> None:
        if self.timestep_us is not None and t_stop_us - t_start_us != self.timestep_us:
            raise NetworkError(
                f"a slice of {t_stop_us - t_start_us} µs came to an engine of {self.timestep_us} µs; "
                "pass the slices' length as timestep_us to Engine, or cut slices of that length"
            )
        if t_start_us < self._reached_us:
            raise NetworkError(
                f"a slice begins at {t_start_us} µs, but {self._reached_us} µs were reached; "
                "reset() starts a new stream"
            )

    def _renew_state(self, t_start_us: int) -> None:
        """Hidden layers start afresh with every state window of the stream."""
        if self._origin_us is None:
            self._origin_us = t_start_us
        window = (t_start_us - self._origin_us) // self._window_us  # type: ignore[operator]
        if window != self._state_window:
            self._state_window = window
            self._start_hidden()

    def _start_hidden(self) -> None:
        """Neurons at their initial potential, max pools as if nothing had spiked."""
        plan, memory = self._plan, self._memory
        clear_pools(self.steps, memory.pools, memory.clocks, memory.leads, memory.pooled)
        for s, stage in enumerate(plan.stages):
            if stage["kind"] in (PLAIN, KEPT):
                start = self.steps + plan.populations[s].layer.start_step  # type: ignore[union-attr]
                kernels.start_stage(
                    start, stage, s, memory.clocks, memory.v, plan.v_init, plan.threshold, plan.bias, memory.due,
                    memory.updated, memory.dirty,
                )  # fmt: skip

    def _check_current(self) -> None:
        if self._delays is not None:
            raise NetworkError("this network delays its input, which is defined for events only; give it BinnedSlices")
        if self._pools_input:
            raise NetworkError("this network max-pools its input, which is defined for spikes only; encode the image")

    def _load_cells(self, piece: BinnedSlice) -> int:
        n = len(piece.cells)
        if n > len(self._memory.cells) or len(piece.counts) != n:
            raise NetworkError(
                f"a slice lists {n} cells and {len(piece.counts)} counts, "
                f"the input has {len(self._memory.cells)} cells; list each cell once"
            )
        if self._delays is None:
            self._memory.cells[:n], self._memory.counts[:n] = piece.cells, piece.counts
            return n
        cells, counts = self._delays.push(piece)
        n = len(cells)
        self._memory.cells[:n], self._memory.counts[:n] = cells, counts
        return n

    def _refuse_cell(self, bad: int) -> None:
        cells, counts = self._memory.cells, self._memory.counts
        if self._delays is not None:
            self._delays.forget_newest()
        raise NetworkError(
            f"cell {bad} of a slice has index {cells[bad]} and count {counts[bad]}; want 0 <= index < {len(cells)} "
            f"(input {self.network.input_shape}) and 1 <= count <= {self._plan.max_count}"
        )
