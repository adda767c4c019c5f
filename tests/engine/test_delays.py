"""A network that delays its input sees each slice beside the earlier ones, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.network import IF, Conv2d, Delay, Linear, Network, Readout, SumPool2d
from dvs_run.pipeline.stream import BinnedSlice, CurrentSlice

SHAPE, DELAYS, STEP = (2, 6, 6), (0, 3_000, 4_000), 1_000
SIZE = 2 * 6 * 6


def networks():
    """A network with a Delay, and the same behind it with all its channels as input."""
    rng = np.random.default_rng(5)
    behind = (
        SumPool2d("pool", ("delay",), (2, 2), (2, 2)),
        Conv2d("conv", ("pool",), rng.normal(0, 0.4, (4, 6, 3, 3)).astype(np.float32), padding=(1, 1)),
        IF("if", ("conv",), np.ones(4, np.float32), np.full(4, 0.5, np.float32)),
        Linear("out", ("if",), rng.normal(0, 1, (3, 36)).astype(np.float32)),
    )
    delayed = Network((Delay("delay", ("input",), DELAYS), *behind), SHAPE, ("a", "b", "c"), Readout("membrane"), STEP)
    wide = Network(
        (replace(behind[0], inputs=("input",)), *behind[1:]), (6, 6, 6), ("a", "b", "c"), Readout("membrane"), STEP
    )
    return delayed, wide


def random_slices(count, seed):
    rng = np.random.default_rng(seed)
    for k in range(count):
        cells = np.flatnonzero(rng.random(SIZE) < 0.2).astype(np.int32)
        yield BinnedSlice(7 + k * STEP, 7 + (k + 1) * STEP, cells, rng.integers(1, 4, len(cells)).astype(np.int32))


def beside_earlier(slices, piece):
    """The slow twin: look through all slices for the one that lies a delay earlier."""
    cells, counts = [], []
    for group, delay in enumerate(DELAYS):
        for other in slices:
            if other.t_start_us == piece.t_start_us - delay:
                cells += [cell + group * SIZE for cell in other.cells.tolist()]
                counts += other.counts.tolist()
    return BinnedSlice(piece.t_start_us, piece.t_stop_us, np.array(cells, np.int32), np.array(counts, np.int32))


@pytest.mark.parametrize("dropped", [(), (2, 3, 9)])
def test_a_delayed_input_is_the_slice_beside_the_earlier_ones_even_if_some_were_dropped(dropped):
    delayed, wide = networks()
    one, two = Engine(delayed), Engine(wide)
    slices = [piece for k, piece in enumerate(random_slices(20, seed=1)) if k not in dropped]
    for piece in slices:
        found, wanted = one.step(piece), two.step(beside_earlier(slices, piece))
        assert np.array_equal(found.scores, wanted.scores)
        assert found.synops == wanted.synops


def test_a_reset_forgets_the_delayed_slices():
    delayed, _ = networks()
    engine, fresh = Engine(delayed), Engine(delayed)
    for piece in random_slices(10, seed=2):
        engine.step(piece)
    engine.reset()
    for piece in random_slices(6, seed=3):
        assert np.array_equal(engine.step(piece).scores, fresh.step(piece).scores)


def test_warming_up_leaves_nothing_behind():
    delayed, _ = networks()
    engine, fresh = Engine(delayed), Engine(delayed)
    engine.warm_up()
    piece = next(random_slices(1, seed=4))
    assert np.array_equal(engine.step(piece).scores, fresh.step(piece).scores)


def test_a_delay_survives_its_file(tmp_path):
    delayed, _ = networks()
    delayed.save(tmp_path / "net.npz")
    assert Network.load(tmp_path / "net.npz").layers[0] == delayed.layers[0]


def test_what_a_delay_cannot_do_is_refused():
    delayed, _ = networks()
    with pytest.raises(NetworkError, match="not multiples of the timestep"):
        Engine(delayed, timestep_us=700)
    with pytest.raises(NetworkError, match="defined for events only"):
        Engine(delayed).step(CurrentSlice(0, STEP, np.zeros(SHAPE, np.float32)))
    with pytest.raises(NetworkError, match=r"cell 0 of a slice has index 72; want 0 <= index < 72"):
        Engine(delayed).step(BinnedSlice(0, STEP, np.array([72], np.int32), np.array([1], np.int32)))
    hours = replace(delayed, layers=(Delay("delay", ("input",), (0, 3_000, 3_600_000_000)), *delayed.layers[1:]))
    with pytest.raises(NetworkError, match=r"3,600,000 slices of 1000 µs to keep, 1,977 MiB; want at most 256 MiB"):
        Engine(hours)
    with pytest.raises(NetworkError, match="want rising whole µs"):
        replace(delayed, layers=(Delay("delay", ("input",), (3_000, 0, 4_000)), *delayed.layers[1:]))
    with pytest.raises(NetworkError, match="stands right behind the input"):
        replace(delayed, layers=(*delayed.layers[:1], Delay("again", ("delay",), (0,)), *delayed.layers[1:]))
