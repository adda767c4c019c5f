"""The innermost loops, in explicit vectors and as plain loops, give the bits of their slow twins."""

import importlib.util
import sys

import numpy as np
import pytest

from dvs_run.pipeline.engine import rows, simd
from dvs_run.pipeline.engine.units import FORMATS
from dvs_run.pipeline.kernel_cache import kernel

from .. import naive

LENGTHS = (16, 32, 48, 112, 144, 256, 288, 496, 560, 576)


BUILDS = {"as built": {}, "plain loops": {"ON": False, "COMPRESSES": False}, "no compression": {"COMPRESSES": False}}


def rows_as(build):
    """rows.py once more, as it is where vectors are not wanted, or the processor cannot compress them."""
    name = f"{rows.__name__}_{build.replace(' ', '_')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, rows.__file__)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            for setting, value in BUILDS[build].items():
                patch.setattr(simd, setting, value)
            spec.loader.exec_module(module)
    return sys.modules[name]


def callable_with_arrays(module):
    """The loops of a module, each behind a kernel that takes arrays."""
    pointer, sum_rows, add_lanes, fire_cell = module.pointer, module.sum_rows, module.add_lanes, module.fire_cell
    nothing, exceeds, tally_bits = module.nothing, module.exceeds, module.tally_bits
    list_bits, smallest_gap = module.list_bits, module.smallest_gap

    @kernel
    def sums(total, weights, at_rows, first, n, at, length):
        sum_rows(pointer(total), pointer(weights), pointer(at_rows), None, first, n, at, length)

    @kernel
    def sums_times(total, weights, at_rows, times, first, n, at, length):
        sum_rows(pointer(total), pointer(weights), pointer(at_rows), pointer(times), first, n, at, length)

    @kernel
    def adds(v, weights, total, row, length):
        add_lanes(pointer(v), 16, pointer(weights), row, length)
        add_lanes(pointer(v), 32, pointer(total), 16, length)

    @kernel
    def fires(v, moved, threshold, bias, per_bias, size, to_zero, limit, fired):
        n, most, again, gap = fire_cell(
            pointer(v), 16, pointer(moved), pointer(threshold), pointer(bias), pointer(per_bias), 32, size, to_zero,
            nothing(pointer(v), 16), pointer(fired), 3,
        )  # fmt: skip
        return n, exceeds(most, limit), again, gap

    @kernel
    def lists(fired, size, lanes, spikes, v, tally):
        tally_bits(pointer(fired), 3, size, lanes, pointer(v), pointer(tally))
        return list_bits(pointer(fired), 3, size // 16, pointer(spikes), 2)

    @kernel
    def gap(v, threshold, per_bias, size):
        return smallest_gap(pointer(v), 16, pointer(threshold), pointer(per_bias), 32, size)

    return {"sums": sums, "sums_times": sums_times, "adds": adds, "fires": fires, "lists": lists, "gap": gap}


@pytest.fixture(params=BUILDS, scope="module")
def loops(request):
    return callable_with_arrays(rows if request.param == "as built" else rows_as(request.param))


@pytest.fixture(params=FORMATS)
def form(request):
    return FORMATS[request.param]


def whole(random, most, n, dtype):
    return random.integers(-most, most + 1, n).astype(dtype)


def test_rows_are_summed_as_the_twin_does(loops, form):
    random = np.random.default_rng(1)
    weights = whole(random, form.weight_max, 4000, form.weight)
    for length in LENGTHS:
        at_rows = random.integers(0, 3000, 260)
        for n, at in ((1, 0), (7, 16), (256, 5)):
            total = np.zeros(700, form.total)
            loops["sums"](total, weights, at_rows, 2, n, at, length)
            assert np.array_equal(total[:length], naive.sum_rows(weights, at_rows[2 : 2 + n], at, length))


def test_rows_are_summed_so_many_times_as_the_twin_does(loops, form):
    random = np.random.default_rng(2)
    weights = whole(random, form.weight_max, 4000, form.weight)
    for length in LENGTHS:
        at_rows, times = random.integers(0, 3000, 30), whole(random, 8, 30, form.total)
        total = np.zeros(700, form.total)
        loops["sums_times"](total, weights, at_rows, times, 1, 25, 7, length)
        wanted = naive.sum_rows(weights, at_rows[1:26], 7, length, times[1:26])
        assert np.array_equal(total[:length], wanted)


def test_rows_and_totals_are_added_to_potentials_and_to_nothing_else(loops, form):
    random = np.random.default_rng(3)
    weights, total = whole(random, form.weight_max, 700, form.weight), whole(random, 30_000, 700, form.total)
    for length in LENGTHS:
        v = whole(random, 1 << 20, 700, form.potential)
        wanted = v.astype(np.int64)
        wanted[16 : 16 + length] += weights[9 : 9 + length].astype(np.int64)
        wanted[32 : 32 + length] += total[16 : 16 + length].astype(np.int64)
        loops["adds"](v, weights, total, 9, length)
        assert np.array_equal(v, wanted)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("to_zero", [False, True])
def test_a_cell_fires_as_the_twin_does_it_neuron_by_neuron(loops, form, to_zero, far):
    random = np.random.default_rng(4)
    limit = np.asarray(form.limit, form.potential)[()]
    for size in (16, 64, 192):
        for largest in (3, 60):  # with small biases nothing is at its threshold again
            threshold, bias = random.integers(50, 100, 300), random.integers(-largest, largest + 1, 300)
            v, moved = random.integers(-100, 260 if largest > 3 else 100, 300), threshold - 7 * bias
            v[20] = moved[36]  # neither more nor less
            v[16 + size - 1] = -form.limit - 1000 if far else -form.limit
            v[16 + size] = form.limit * 1.5  # of another cell
            per_bias = np.where(bias > 0, 1 / np.maximum(bias, 1), 1e9).astype(np.float32)
            arrays = [array.astype(form.potential) for array in (v, moved, threshold, bias)]
            fired = np.full(40, -1, np.int32)
            n, beyond, again, gap = loops["fires"](*arrays, per_bias, size, to_zero, limit, fired)
            after, who, wanted_again, wanted_gap = naive.fire_cell(v, moved, threshold, bias, per_bias, size, to_zero)
            assert np.array_equal(arrays[0], after)
            assert (n, bool(beyond), bool(again)) == (len(who), far, wanted_again)
            assert gap == wanted_gap
            bits = fired[3 : 3 + size // 16, None] >> np.arange(16) & 1
            assert np.flatnonzero(bits).tolist() == who
            assert (fired[:3] == -1).all()
            assert (fired[3 + size // 16 :] == -1).all()


def test_spikes_are_listed_and_counted_per_channel(loops, form):
    random = np.random.default_rng(5)
    for size, lanes in ((16, 16), (64, 16), (192, 48)):
        for share in (0.0, 0.1, 1.0):
            who = np.flatnonzero(random.random(size) < share)
            fired, spikes = np.full(40, -1, np.int32), np.full((300, 2), -1, np.int32)
            tally = np.full(64, 9, form.potential)
            fired[3 : 3 + size // 16] = [sum(1 << i % 16 for i in who if i // 16 == w) for w in range(size // 16)]
            last = loops["lists"](fired, size, lanes, spikes.reshape(-1), np.zeros(64, form.potential), tally)
            assert last == 2 + len(who)
            assert spikes[2:last].tolist() == [[i, 1] for i in who]
            assert (spikes[:2] == -1).all()
            assert (spikes[last + 8 :] == -1).all()  # so many may be written in vain
            assert tally[:lanes].tolist() == [int((who % lanes == c).sum()) for c in range(lanes)]


def test_the_smallest_gap_to_a_threshold_is_the_twins(loops, form):
    random = np.random.default_rng(6)
    for size in (16, 48, 256):
        v, threshold = whole(random, 1 << 20, 400, form.potential), whole(random, 1 << 20, 400, form.potential)
        threshold[32 : 32 + size] += 1 << 21
        per_bias = (1 / random.uniform(0.5, 3000, 400)).astype(np.float32)
        gaps = (threshold[32 : 32 + size] - v[16 : 16 + size]).astype(np.float32) * per_bias[32 : 32 + size]
        assert loops["gap"](v, threshold, per_bias, size) == gaps.min()
