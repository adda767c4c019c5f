"""The public engine: checks at its door, then the kernels, once a slice. Nothing is allocated but the decision."""

from types import MappingProxyType

import numpy as np

from ..errors import NetworkError
from ..network import Delay, Network
from ..stream import BinnedSlice, Classification, CurrentSlice
from . import ends, kernels
from .delays import DelayLine
from .plan import INPUT_LIMIT, make_plan


class Engine:
    """A network and its state.

    timestep_us: length of the slices it will be given, if not the one the network was trained for; biases, which are
    currents per timestep, are scaled with it. Raises NetworkError where the network is of a kind that it does not run.

    Attributes for reading: `network`, `timestep_us`, `steps` (since the last reset), `clamped` (potentials that met
    the integer range, since the beginning; 0 in healthy networks), `rounding` (largest error of a weight per layer,
    relative to the largest weight of that layer), `units` (what one integer step of a potential means, per layer).
    """

    def __init__(self, network: Network, timestep_us: int | None = None) -> None:
        self.network = network
        self.timestep_us = timestep_us or network.timestep_us
        if self.timestep_us is not None and self.timestep_us < 1:
            raise NetworkError(f"timestep_us is {timestep_us}, want at least 1 µs")
        scale = 1.0
        if network.timestep_us is not None and self.timestep_us is not None:
            scale = self.timestep_us / network.timestep_us
        self._plan = plan = make_plan(network, scale)
        self.units = dict(zip(plan.names[1:], plan.units[1:].tolist(), strict=True))
        self.rounding = dict(zip(plan.names[1:], plan.rounding[1:].tolist(), strict=True))
        self.clamped = 0
        self._total_synops = 0
        self._origin_us: int | None = None  # start of the stream's first slice
        self._reached_us: int | None = None  # end of its last
        self.steps = 0
        self._allocate()
        self.reset()

    def step(self, piece: BinnedSlice | CurrentSlice) -> Classification:
        """Advance by one timestep and classify.

        Slices must come in order of time, all of `timestep_us`; time may be missing between them (drops), never
        doubled. Raises NetworkError for cells outside the input, counts below 1 or so large that sums could overflow.
        """
        self._check_clock(piece.t_start_us, piece.t_stop_us)
        step = self.steps + 1
        if isinstance(piece, CurrentSlice):
            self._load_current(piece, step)
        else:
            self._load_cells(piece)
        self.clamped += kernels.run_step(
            step, self._plan_arrays, self._state, self._spikes, self._n_spikes, self._synops
        )
        self.steps, self._reached_us = step, piece.t_stop_us
        self._read_out(piece.t_stop_us)
        return self._classify(piece)

    def reset(self) -> None:
        """Forget everything that was seen: membranes to their initial potential, no evidence, time may begin anew."""
        self.steps = 0
        for index in range(1, len(self._plan.stages)):
            self._start_stage(index)
        self._evidence[:] = 0
        self._cursor[:] = 0
        self._n_spikes[:] = 0
        if self._delays is not None:
            self._delays.reset()
        self._origin_us = self._reached_us = None
        self._state_window = 0
        self._seen = 0

    def warm_up(self) -> None:
        """Compile (or load from the cache) every kernel, so that the first slice is as fast as the last. Resets."""
        counters, clamped = self._synops.copy(), self.clamped
        length = self.timestep_us or 1000
        one = np.zeros(1, np.int32)
        self.reset()
        self.step(BinnedSlice(0, length, one, one + 1))
        if self._delays is None:
            self.step(CurrentSlice(length, 2 * length, np.ones(self.network.input_shape, np.float32)))
        self.state()
        self.reset()
        self._synops[:], self.clamped, self._total_synops = counters, clamped, int(counters.sum())

    @property
    def synops_per_layer(self) -> dict[str, int]:
        """Synaptic operations since the beginning, per weight layer: weights added for spikes, borders exact.

        With constant-current input the first layer's multiply-accumulates are counted, once for each new image.
        """
        return dict(zip(self._plan.names[1:], self._synops.tolist(), strict=True))

    @property
    def macs_per_layer(self) -> MappingProxyType[str, int]:
        """Multiply-accumulates of one pass of the CNN, per weight layer, borders exact."""
        return MappingProxyType(dict(zip(self._plan.names[1:], self._plan.macs.tolist(), strict=True)))

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the potentials per weight layer: float64 (channel, height, width), in the network's units."""
        potentials = {}
        for index, name in enumerate(self._plan.names):
            if index:
                stage = self._plan.stages[index]
                kernels.bring_all_up_to(self.steps, stage, self._v, self._plan.bias, self._updated)
                potentials[name] = self._grid(index, self._v) * self._plan.units[index]
        return potentials

    def spikes(self, layer: str) -> np.ndarray:
        """Spikes of the last step behind weight layer `layer`: flat indexes (channel, height, width), ascending."""
        index = self._plan.names.index(layer)
        stage = self._plan.stages[index]
        used = slice(int(stage["first_neuron"]), int(stage["first_neuron"] + self._n_spikes[index]))
        y, x, channel = (column[used] for column in self._spikes[:3])
        return np.sort((channel * int(stage["height"]) + y) * int(stage["width"]) + x)

    def _allocate(self) -> None:
        plan = self._plan
        last = plan.stages[-1]
        size = [int(s["height"] * s["width"]) for s in plan.stages]
        neurons = int(last["first_neuron"] + size[-1] * last["channels"])
        pixels = int(last["first_pixel"]) + size[-1]
        outputs = int(size[-1] * last["channels"])
        self._v = np.zeros(neurons, np.int32)
        self._mark, self._updated, self._due = (np.zeros(pixels, np.int64) for _ in range(3))
        self._n_carry = np.zeros(len(size), np.int64)
        self._state = (
            self._v,
            self._mark,
            self._updated,
            self._due,
            np.zeros(max(size), np.int32),  # touched
            np.zeros(pixels, np.int32),  # carry
            self._n_carry,
        )
        self._plan_arrays = (
            plan.stages,
            plan.edges,
            plan.weights,
            plan.bias,
            plan.threshold,
            plan.per_bias,
            plan.reach,
            plan.reach_start,
        )
        self._spikes = tuple(np.zeros(neurons, np.int32) for _ in range(4))  # y, x, channel, count
        self._n_spikes = np.zeros(len(size), np.int64)
        self._synops = np.zeros(len(size) - 1, np.int64)
        self._cells, self._counts = np.zeros((2, int(np.prod(self.network.input_shape))), np.int32)
        first = self.network.layers[0]
        self._delays = (
            DelayLine(first, self.network.input_shape, self.timestep_us) if isinstance(first, Delay) else None
        )
        self._gain, self._evidence = np.zeros((2, outputs), np.int64)
        slots = 1
        if self.network.readout.window_us is not None:
            if self.timestep_us is None:
                raise NetworkError("a readout window in µs needs a timestep: pass timestep_us to Engine")
            slots = -(-self.network.readout.window_us // self.timestep_us) + 1
        self._ring = np.zeros((slots, outputs), np.int64)
        self._ring_stop_us = np.zeros(slots, np.int64)
        self._cursor = np.zeros(2, np.int64)
        self._drive = np.zeros(int(size[1] * plan.stages[1]["channels"]), np.int32)
        self._drive_values: np.ndarray | None = None  # the image that _drive was computed from

    def _check_clock(self, t_start_us: int, t_stop_us: int) -> None:
        if self.timestep_us is not None and t_stop_us - t_start_us != self.timestep_us:
            raise NetworkError(
                f"a slice of {t_stop_us - t_start_us} µs came to an engine of {self.timestep_us} µs; "
                "pass the slices' length as timestep_us to Engine, or cut slices of that length"
            )
        if self._reached_us is not None and t_start_us < self._reached_us:
            raise NetworkError(
                f"a slice begins at {t_start_us} µs, but {self._reached_us} µs were reached; "
                "reset() starts a new stream"
            )
        if self._origin_us is None:
            self._origin_us = t_start_us
        if self.network.state_window_us is not None:
            window = (t_start_us - self._origin_us) // self.network.state_window_us
            if window != self._state_window:
                self._state_window = window
                for index in range(1, len(self._plan.stages)):
                    if self._plan.stages[index]["fires"]:
                        self._start_stage(index)

    def _start_stage(self, index: int) -> None:
        plan = self._plan
        kernels.start_stage(
            self.steps,
            plan.stages[index],
            index,
            self._v,
            plan.threshold,
            plan.per_bias,
            plan.v_init,
            self._mark,
            self._updated,
            self._due,
            self._n_carry,
        )

    def _load_cells(self, piece: BinnedSlice) -> None:
        n = len(piece.cells)
        if n > len(self._cells) or len(piece.counts) != n:
            raise NetworkError(
                f"a slice lists {n} cells and {len(piece.counts)} counts, the input has {len(self._cells)} cells; "
                "list each cell once"
            )
        if self._delays is not None:
            cells, counts = self._delays.push(piece)
        else:
            self._cells[:n], self._counts[:n] = piece.cells, piece.counts
            cells, counts = self._cells[:n], self._counts[:n]
        bad = ends.load_input(cells, counts, self._plan.max_count, self._plan.stages, self._spikes, self._n_spikes)
        if bad >= 0:
            raise NetworkError(
                f"cell {bad} of a slice has index {cells[bad]} and count {counts[bad]}; want 0 <= index < "
                f"{len(self._cells)} (input {self.network.input_shape}) and 1 <= count <= {self._plan.max_count}"
            )

    def _load_current(self, piece: CurrentSlice, step: int) -> None:
        if self._delays is not None:
            raise NetworkError("this network delays its input, which is defined for events only; give it BinnedSlices")
        if self._drive_values is None or not np.array_equal(self._drive_values, piece.values):
            self._compute_drive(piece.values)
        self._n_spikes[0] = 0
        ends.add_current(step, self._plan.stages[1], self._state, self._plan.bias, self._drive)

    def _compute_drive(self, values: np.ndarray) -> None:
        if values.shape != self.network.input_shape or not np.isfinite(values).all() or np.abs(values).max() > 1 << 14:
            raise NetworkError(
                f"a current of shape {values.shape} came to an input of {self.network.input_shape}; "
                "want that shape and finite values within +-16384"
            )
        scaled = np.rint(values.astype(np.float64).reshape(-1) * (1 << ends.CURRENT_BITS)).astype(np.int64)
        total = np.zeros(len(self._drive), np.int64)
        plan = self._plan
        self._synops[0] += ends.current_of(
            scaled, plan.stages, plan.edges[0], plan.weights, plan.reach, plan.reach_start, total
        )
        rounded = (total + (1 << (ends.CURRENT_BITS - 1))) >> ends.CURRENT_BITS
        if np.abs(rounded).max() > INPUT_LIMIT:
            raise NetworkError("the current into the first layer is too large for int32 sums; scale the image to 0..1")
        self._drive[:] = rounded
        self._drive_values = values.copy()

    def _read_out(self, t_stop_us: int) -> None:
        last = len(self._plan.stages) - 1
        ends.read_out(
            self.steps,
            self._plan.stages[last],
            last,
            self._state,
            self._plan.bias,
            self._spikes,
            self._n_spikes,
            self._gain,
        )
        window = self.network.readout.window_us
        if window is None:
            self._evidence += self._gain
        else:
            ends.slide(self._evidence, self._gain, self._ring, self._ring_stop_us, self._cursor, t_stop_us, window)

    def _classify(self, piece: BinnedSlice | CurrentSlice) -> Classification:
        total = int(self._synops.sum())
        last = len(self._plan.stages) - 1
        unit = 1.0 if self.network.readout.kind == "count" else self._plan.units[last]
        grid = self._evidence.reshape(-1, int(self._plan.stages[last]["channels"]))
        scores = grid.T.reshape(-1) * unit
        synops, self._total_synops = total - self._total_synops, total
        self._seen += synops
        index = int(scores.argmax())
        if self._seen == 0 or scores[index] == scores.min():
            index = -1
        label = self.network.labels[index] if index >= 0 else ""
        return Classification(piece.t_start_us, piece.t_stop_us, index, label, scores, synops)

    def _grid(self, index: int, flat: np.ndarray) -> np.ndarray:
        stage = self._plan.stages[index]
        height, width, channels = int(stage["height"]), int(stage["width"]), int(stage["channels"])
        first = int(stage["first_neuron"])
        return flat[first : first + height * width * channels].reshape(height, width, channels).transpose(2, 0, 1)
