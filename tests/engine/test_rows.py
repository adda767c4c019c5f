"""The innermost loops, in explicit vectors and as plain loops, give the bits of their slow twins."""

import importlib.util
import sys

import numpy as np
import pytest

from dvs_run.pipeline.engine import rows, simd
from dvs_run.pipeline.engine.plan import FORMATS
from dvs_run.pipeline.kernel_cache import kernel

from .. import naive

LENGTHS = (16, 32, 48, 112, 256, 496, 560)


def plain_rows():
    """rows.py once more, as it is where vectors are not wanted."""
    name = f"{rows.__name__}_plain"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, rows.__file__)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "ON", False)
            spec.loader.exec_module(module)
    return sys.modules[name]


def callable_with_arrays(module):
    """The loops of a module, each behind a kernel that takes arrays."""
    pointer, sum_rows, sum_rows_times = module.pointer, module.sum_rows, module.sum_rows_times
    add_row, add_total, find_at_least = module.add_row, module.add_total, module.find_at_least
    list_bits, reset_all, smallest_gap = module.list_bits, module.reset_all, module.smallest_gap

    @kernel
    def sums(total, weights, at_rows, first, n, at, length):
        sum_rows(pointer(total), pointer(weights), pointer(at_rows), first, n, at, length)

    @kernel
    def sums_times(total, weights, at_rows, times, first, n, at, length):
        sum_rows_times(pointer(total), pointer(weights), pointer(at_rows), pointer(times), first, n, at, length)

    @kernel
    def adds(v, weights, total, row, length):
        add_row(pointer(v), 16, pointer(weights), row, length)
        add_total(pointer(v), 32, pointer(total), 16, length)

    @kernel
    def finds(v, threshold, size, limit, fired, spikes):
        n, beyond = find_at_least(pointer(v), 16, pointer(threshold), 32, size, limit, pointer(fired), 3)
        return n, beyond, list_bits(pointer(fired), 3, size // 16, pointer(spikes), 2)

    @kernel
    def resets(v, moved, threshold, bias, size, lanes, to_zero, tally):
        return reset_all(
            pointer(v), 16, pointer(moved), pointer(threshold), pointer(bias), 32, size, lanes, to_zero, pointer(tally)
        )

    @kernel
    def gap(v, threshold, per_bias, size):
        return smallest_gap(pointer(v), 16, pointer(threshold), pointer(per_bias), 32, size)

    return {"sums": sums, "sums_times": sums_times, "adds": adds, "finds": finds, "resets": resets, "gap": gap}


@pytest.fixture(params=["as built", "plain loops"], scope="module")
def loops(request):
    return callable_with_arrays(rows if request.param == "as built" else plain_rows())


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
            total = np.zeros(600, form.total)
            loops["sums"](total, weights, at_rows, 2, n, at, length)
            assert np.array_equal(total[:length], naive.sum_rows(weights, at_rows[2 : 2 + n], at, length))


def test_rows_are_summed_so_many_times_as_the_twin_does(loops, form):
    random = np.random.default_rng(2)
    weights = whole(random, form.weight_max, 4000, form.weight)
    for length in LENGTHS:
        at_rows, times = random.integers(0, 3000, 30), whole(random, 8, 30, form.total)
        total = np.zeros(600, form.total)
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
def test_neurons_at_their_threshold_are_found_as_the_twin_finds_them(loops, form, far):
    random = np.random.default_rng(4)
    for size in (16, 48, 256):
        v, threshold = whole(random, 100, 400, form.potential), whole(random, 100, 400, form.potential)
        v[20], threshold[36] = threshold[36], 5  # one of them is neither more nor less
        v[20] = 5
        v[16 + size - 1] = -form.limit - 1000 if far else -form.limit
        v[16 + size] = form.limit * 1.5  # of another cell
        fired, spikes = np.full(40, -1, np.int32), np.full((300, 2), -1, np.int32)
        limit = np.asarray(form.limit, form.potential)[()]
        n, beyond, last = loops["finds"](v, threshold, size, limit, fired, spikes.reshape(-1))
        wanted = np.flatnonzero(v[16 : 16 + size] >= threshold[32 : 32 + size])
        assert (n, bool(beyond), last) == (len(wanted), far, 2 + len(wanted))
        assert spikes[2:last].tolist() == [[i, 1] for i in wanted]
        assert (spikes[:2] == -1).all()
        assert (spikes[last:] == -1).all()
        assert (fired[3 + size // 16 :] == -1).all()


@pytest.mark.parametrize("to_zero", [False, True])
def test_a_cell_is_reset_as_a_whole_as_the_twin_does_it_neuron_by_neuron(loops, form, to_zero):
    random = np.random.default_rng(5)
    for size, lanes in ((16, 16), (64, 16), (192, 48)):
        for largest in (3, 60):  # with small biases nothing is at its threshold again
            threshold, bias = random.integers(50, 100, 300), random.integers(-largest, largest + 1, 300)
            v, moved = random.integers(-100, 260 if largest > 3 else 100, 300), threshold - 7 * bias
            arrays = [array.astype(form.potential) for array in (v, moved, threshold, bias)]
            tally = np.full(64, 9, form.potential)
            again = loops["resets"](*arrays, size, lanes, to_zero, tally)
            wanted, counts, wanted_again = naive.reset_all(v, moved, threshold, bias, size, lanes, to_zero)
            assert np.array_equal(arrays[0], wanted)
            assert np.array_equal(tally[:lanes], counts)
            assert bool(again) == wanted_again


def test_the_smallest_gap_to_a_threshold_is_the_twins(loops, form):
    random = np.random.default_rng(6)
    for size in (16, 48, 256):
        v, threshold = whole(random, 1 << 20, 400, form.potential), whole(random, 1 << 20, 400, form.potential)
        threshold[32 : 32 + size] += 1 << 21
        per_bias = (1 / random.uniform(0.5, 3000, 400)).astype(np.float32)
        gaps = (threshold[32 : 32 + size] - v[16 : 16 + size]).astype(np.float32) * per_bias[32 : 32 + size]
        assert loops["gap"](v, threshold, per_bias, size) == gaps.min()
