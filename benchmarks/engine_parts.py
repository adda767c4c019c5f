"""Parts of an engine in loops without the GIL, and the hand-over of spikes between two threads.

For two_cores.py and engine_profile.py.

A part is stages `first` to `last` of a network, run by an engine of its own. What stage `first` spikes comes from
outside: the input's cells, or slots that another part filled. A slot holds one step's spikes as the engine keeps them
(those of a cell together), so a part after a hand-over does exactly the work that it would do within the whole network.

A flag is a 64-bit number that one thread writes (release) and another reads (acquire). Who waits for it spins SPINS
times, then gives the core away once and spins again.
"""

import ctypes
import inspect
import platform
from collections import namedtuple
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.engine.ends import load_input, read_potentials, score, slide
from dvs_run.pipeline.engine.kernels import run_step
from dvs_run.pipeline.engine.layout import COUNT, FIRST, GROUP, READOUT

from .engine.workloads import Slices

SPINS = 2_000  # some 20 us to 80 us, by what the pause of the processor takes
FILLED, TAKEN = 8, 24  # where the two flags are: on cache lines of their own
OPEN = 1 << 60  # a flag for which nobody waits
ON_X86 = platform.machine() in ("x86_64", "AMD64")

Source = namedtuple("Source", "offsets cells counts")  # slices one behind the other
Part = namedtuple(
    "Part", "settings stages bias v n_groups groups spikes unit gain evidence ring ring_stop_us cursor drawn scores"
)
NAMES = tuple(inspect.signature(getattr(run_step, "py_func", run_step)).parameters)[3:]  # of run_step's arrays
Slots = namedtuple("Slots", "flags lengths groups spikes")  # of as many steps as `lengths` is long

_give_away = ctypes.CDLL(None).sched_yield
_give_away.argtypes, _give_away.restype = [], ctypes.c_int


class Stages(NamedTuple):
    """What the loops below take for stages `first` to `last` of an engine."""

    part: Part
    arrays: tuple  # of run_step
    spikes: np.ndarray  # int64[stage]: how many there were, if they are counted; else int64[0]


def make_source(slices: Slices) -> Source:
    lengths = [len(piece.cells) for piece in slices]
    return Source(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([piece.cells for piece in slices]),
        np.concatenate([piece.counts for piece in slices]),
    )


def stages_of(engine: Engine, first: int = 0, last: int | None = None, count: bool = False) -> Stages:
    """Stages of an engine, which from now on belongs to them; the network must be a chain."""
    memory = engine._memory
    named = {entry: getattr(memory, entry) for entry in vars(memory)}
    stop = len(memory.stages) if last is None else last + 1
    edges = memory.edges.copy()
    edges["source"] -= first
    edges["target"] -= first
    named |= {
        "stages": memory.stages[first:stop],
        "edges": edges,
        "clocks": memory.clocks[2 * first :],
        "n_groups": memory.n_groups[first:],
    }
    part = Part(**{name: named[name] for name in Part._fields[:-1]}, scores=np.zeros(len(memory.gain)))
    return Stages(part, tuple(named[name] for name in NAMES), np.zeros(stop - first if count else 0, np.int64))


def make_slots(engine: Engine, stage: int, n: int) -> Slots:
    """Slots for the spikes of one stage; memory that is never filled is never touched."""
    which = engine._memory.stages[stage]
    cells = int(which["height"] * which["width"])
    spikes = cells * int(which["size"])
    return Slots(
        np.zeros(32, np.int64),
        np.zeros((n, 2), np.int64),
        np.zeros((n, cells * GROUP if stage else spikes * GROUP), np.int32),
        np.zeros((n, spikes * 2), np.int32),
    )


@njit(nogil=True)
def run_whole(steps, source, part, arrays, spikes):
    """All stages, step after step."""
    for i in range(steps):
        take_input(i, source, part)
        run_step(i + 1, part.settings[0]["limit"], False, *arrays)
        finish(i, part, spikes)


@njit(nogil=True)
def run_front(steps, source, part, arrays, spikes, slots):
    """The first stages; what the last of them spikes goes to the slots. Returns how often the core was given away."""
    given = 0
    for i in range(steps):
        take_input(i, source, part)
        run_step(i + 1, part.settings[0]["limit"], False, *arrays)
        finish(i, part, spikes)
        given += wait(slots.flags, TAKEN, i + 1 - slots.lengths.shape[0])
        _put(i % slots.lengths.shape[0], part, slots)
        publish(slots.flags, FILLED, i + 1)
    return given


@njit(nogil=True)
def run_back(steps, part, arrays, spikes, slots):
    """The other stages, on what the slots hold. Returns how often the core was given away."""
    given = 0
    for i in range(steps):
        given += wait(slots.flags, FILLED, i + 1)
        _get(i % slots.lengths.shape[0], part, slots)
        publish(slots.flags, TAKEN, i + 1)
        run_step(i + 1, part.settings[0]["limit"], False, *arrays)
        finish(i, part, spikes)
    return given


@njit(nogil=True)
def hand_back_and_forth(times, flags, mine, theirs, begins):
    """One side of a round trip between two threads, so many times. Returns how often the core was given away."""
    given = 0
    for i in range(1, times + 1):
        if begins:
            publish(flags, mine, i)
        given += wait(flags, theirs, i)
        if not begins:
            publish(flags, mine, i)
    return given


@njit(nogil=True)
def meet(flags, mine, theirs):
    """Until the other thread is here too, and both run."""
    publish(flags, mine, 1)
    wait(flags, theirs, 1)


@njit(nogil=True)
def rest(flags, which):
    """Keep a core from others while doing as little as possible, until flags[which] is set."""
    while seen(flags, which) == 0:
        relax()


@njit(nogil=True)
def add_in_registers(times):
    """Arithmetic alone: eight chains of float additions and multiplications that touch no memory."""
    a, b, c, d, e, f, g, h = 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0
    for _ in range(times):
        a, b, c, d = a * 0.999 + 1.0, b * 0.998 + 1.0, c * 0.997 + 1.0, d * 0.996 + 1.0
        e, f, g, h = e * 0.995 + 1.0, f * 0.994 + 1.0, g * 0.993 + 1.0, h * 0.992 + 1.0
    return a + b + c + d + e + f + g + h


@njit(nogil=True)
def add_in_memory(times, values):
    """Memory alone: one addition to each number of an array that no cache holds."""
    for _ in range(times):
        for i in range(np.uint64(values.shape[0])):
            values[i] += 1


@njit
def take_input(i, source, part):
    slice_ = i % (source.offsets.shape[0] - 1)
    start, stop = source.offsets[slice_], source.offsets[slice_ + 1]
    settings = part.settings[0]
    load_input(
        source.cells[start:stop], source.counts[start:stop], stop - start, settings["max_count"],
        settings["input_size"], part.stages[0], settings["cell_height"], part.groups, part.spikes, part.n_groups,
    )  # fmt: skip


@njit
def finish(i, part, spikes):
    """Evidence and scores if the part has the readout; spikes counted if they are to be."""
    last = part.stages.shape[0] - 1
    if part.stages[last]["kind"] == READOUT:
        read_potentials(part.stages[last], part.v, part.bias, part.gain)
        slide(part.evidence, part.gain, part.drawn, part.ring, part.ring_stop_us, part.cursor, i, 0)
        score(0, part.evidence, part.unit, part.drawn, part.scores)
    for s in range(1, spikes.shape[0]):
        first = part.stages[s]["first_group"]
        for g in range(first, first + part.n_groups[s]):
            start = part.groups[GROUP * g + FIRST]
            for k in range(start, start + part.groups[GROUP * g + COUNT]):
                spikes[s] += part.spikes[2 * k + 1]


@njit
def _put(slot, part, slots):
    last = part.stages.shape[0] - 1
    group, spike, n = part.stages[last]["first_group"], part.stages[last]["first_spike"], part.n_groups[last]
    end = spike
    if n > 0:
        newest = GROUP * (group + n - 1)
        end = part.groups[newest + FIRST] + part.groups[newest + COUNT]
    slots.lengths[slot, 0], slots.lengths[slot, 1] = n, end - spike
    for i in range(GROUP * n):
        slots.groups[slot, i] = part.groups[GROUP * group + i]
    for i in range(2 * (end - spike)):
        slots.spikes[slot, i] = part.spikes[2 * spike + i]


@njit
def _get(slot, part, slots):
    group, spike = part.stages[0]["first_group"], part.stages[0]["first_spike"]
    n, n_spikes = slots.lengths[slot, 0], slots.lengths[slot, 1]
    part.n_groups[0] = n
    for i in range(GROUP * n):
        part.groups[GROUP * group + i] = slots.groups[slot, i]
    for i in range(2 * n_spikes):
        part.spikes[2 * spike + i] = slots.spikes[slot, i]


@njit
def wait(flags, which, value):
    """Until flags[which] >= value: spin so many times, then give the core away once. Returns how often it did."""
    given = 0
    while True:
        for _ in range(SPINS):
            if seen(flags, which) >= value:
                return given
            relax()
        _give_away()
        given += 1


@intrinsic
def seen(typingctx, flags, index):
    """flags[index], and everything that was written before it."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, signature, args), "acquire", 8)

    return types.int64(flags, types.int64), codegen


@intrinsic
def publish(typingctx, flags, index, value):
    """flags[index] = value, after everything that was written before."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[2], _place(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.void(flags, types.int64, types.int64), codegen


@intrinsic
def relax(typingctx):
    """Tell the processor that this is a loop that waits (x86 only; elsewhere nothing)."""

    def codegen(context, builder, signature, args):
        if ON_X86:
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", fnty=pause), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _place(context, builder, signature, args):
    flags = context.make_array(signature.args[0])(context, builder, args[0])
    return cgutils.gep_inbounds(builder, flags.data, args[1])
