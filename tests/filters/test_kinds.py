"""What single filters promise beyond what their twins compute: cases that a person can follow."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import FilterError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.filters import FilterChain, filter_events
from dvs_run.pipeline.filters.background import Background
from dvs_run.pipeline.filters.correlation import Correlation
from dvs_run.pipeline.filters.hot_pixel import HotPixel
from dvs_run.pipeline.filters.integrate import Integrate
from dvs_run.pipeline.filters.lens import Lens, undistorted_points, undistortion_table
from dvs_run.pipeline.filters.pixel_list import read_pixels, write_pixels
from dvs_run.pipeline.filters.random_drop import RandomDrop
from dvs_run.pipeline.filters.rate_limit import RateLimit
from dvs_run.pipeline.filters.refractory import Refractory

from ..naive import filters as naive

SENSOR = SensorSize(12, 9)


def at(times, x=4, y=4, p=True):
    return np.array([(t, x, y, p) for t in times], EVENT_DTYPE)


def times(events, one, sensor=SENSOR):
    return filter_events(events, sensor, [one])[0]["t"].tolist()


def test_a_pixel_that_never_rests_is_thinned_or_silenced():
    events = at(range(0, 100, 10))
    assert times(events, Refractory(period_us=25)) == [0, 30, 60, 90]
    assert times(events, Refractory(period_us=25, since="any")) == [0]


def test_an_event_exactly_after_the_period_is_still_dropped():
    assert times(at([0, 10]), Refractory(period_us=10)) == [0]
    assert times(at([0, 11]), Refractory(period_us=10)) == [0, 11]


def test_a_pixel_does_not_vouch_for_itself():
    assert times(at(range(0, 100, 10)), Background(window_us=50)) == []
    assert times(at(range(0, 100, 10)), Correlation(window_us=50, witnesses=1)) == []


def test_the_first_events_of_a_stream_have_no_witness_whatever_its_clock():
    for start in (-(2**61), 0, 2**61):
        assert times(at([start]), Background(window_us=3_600_000_000)) == []
        assert times(at([start]), Refractory(period_us=3_600_000_000)) == [start]


def test_a_defect_is_learned_and_a_moving_edge_is_not():
    edge = naive.random_events(4_000, SENSOR, 2_000_000, seed=4)  # all pixels alike, 18 Hz each
    hot = at(range(0, 2_000_000, 2_000), x=7, y=2)  # 500 Hz
    events = np.sort(np.concatenate([edge, hot]), order="t", kind="stable")
    one = HotPixel(learn_us=1_000_000)
    out, _ = filter_events(events, SENSOR, [one])
    assert one.learned == [(7, 2)]
    late = out[out["t"] >= 1_000_000]
    assert not ((late["x"] == 7) & (late["y"] == 2)).any()
    rest = (events["x"] != 7) | (events["y"] != 2)
    assert np.array_equal(late, events[rest & (events["t"] >= 1_000_000)])
    assert one.dropped == {"listed": 0, "learned": int((~rest & (events["t"] >= 1_000_000)).sum())}
    assert one.facts() == ["1 hot pixels at the end (x y): 7 2"]


def test_two_defects_side_by_side_are_both_learned_and_a_busy_patch_is_not():
    pair = [at(range(0, 2_000_000, 4_000), x=x, y=5) for x in (3, 4)]
    patch = [at(range(0, 2_000_000, 4_000), x=x, y=y) for x in (8, 9, 10) for y in (1, 2, 3)]
    events = np.sort(np.concatenate(pair + patch), order="t", kind="stable")
    one = HotPixel(learn_us=1_000_000)
    filter_events(events, SENSOR, [one])
    assert one.learned == [(3, 5), (4, 5)]


def test_a_pixel_that_has_cooled_is_heard_again_and_silence_teaches_nothing():
    events = np.concatenate([at(range(0, 1_000_000, 2_000)), at([9_000_000, 10_500_000, 11_500_000])])
    assert times(events, HotPixel(learn_us=1_000_000))[-2:] == [10_500_000, 11_500_000]
    assert times(events, HotPixel(learn_us=1_000_000, again=False))[-1] == 998_000


def test_listed_pixels_are_dropped_from_the_first_event(tmp_path):
    path = tmp_path / "hot.txt"
    write_pixels(path, [(4, 4), (11, 8)])
    path.write_text(path.read_text() + "\n3 2  # the third\n")
    assert read_pixels(path) == [(4, 4), (11, 8), (3, 2)]
    events = np.sort(np.concatenate([at([1, 2]), at([3], x=11, y=8), at([4], x=5)]), order="t")
    one = HotPixel(learn_us=None, path=str(path))
    assert times(events, one) == [4]
    assert one.dropped == {"listed": 3, "learned": 0}
    assert one.check() == []


@pytest.mark.parametrize("line", ["4", "4, 5, 6", "x, y", "-1, 3", "4.5, 1", "70000, 1"])
def test_a_wrong_line_in_a_list_of_pixels_is_named(tmp_path, line):
    path = tmp_path / "hot.txt"
    path.write_text(f"# mine\n1, 2\n{line}\n")
    with pytest.raises(FilterError, match=r"hot\.txt, line 3: found .*, want x, y of a pixel"):
        read_pixels(path)


def test_a_missing_list_is_told_before_the_start_and_a_pixel_off_the_sensor_at_its_begin(tmp_path):
    missing = HotPixel(path=str(tmp_path / "none.txt"))
    assert missing.check()[0].startswith("there is no list of pixels")
    write_pixels(tmp_path / "large.txt", [(12, 0)])
    with pytest.raises(FilterError, match=r"pixel 12, 0 of .* lies outside the 12x9 sensor"):
        HotPixel(path=str(tmp_path / "large.txt")).begin(SENSOR)
    FilterChain([HotPixel(path=str(tmp_path / "large.txt"))]).warm_up()


def test_in_no_span_of_time_do_more_events_pass_than_the_limit_allows():
    events = naive.random_events(5_000, SENSOR, 200_000, seed=6)
    kept = times(events, RateLimit(events_per_s=5_000, burst=20))
    assert 1_000 <= len(kept) <= 20 + 1_000
    for first in range(0, len(kept), 37):
        for last in range(first, len(kept), 61):
            assert last - first + 1 <= 20 + (kept[last] - kept[first]) * 5_000 / 1e6 + 1e-9


def test_a_rate_below_the_limit_is_left_alone():
    events = naive.random_events(900, SENSOR, 1_000_000, seed=6)
    assert times(events, RateLimit(events_per_s=100_000, burst=50)) == events["t"].tolist()


def test_random_drop_keeps_its_share_everywhere_and_another_seed_keeps_others():
    events = naive.random_events(40_000, SENSOR, 1_000_000, seed=8)
    events["t"] = np.arange(len(events))  # each event has its own time: its name here
    first, second = (set(times(events, RandomDrop(keep=0.25, seed=seed))) for seed in (1, 2))
    assert len(first) == pytest.approx(10_000, abs=5 * 87)  # 5 standard deviations
    assert len(first & second) == pytest.approx(2_500, abs=5 * 49)
    assert times(events, RandomDrop(keep=0.0)) == []
    assert times(events, RandomDrop(keep=1.0)) == events["t"].tolist()


def test_a_leak_forgets_lone_events_and_polarities_cancel():
    block = {"columns": 2, "rows": 2, "threshold": 2}
    assert times(at([0, 10, 20, 30]), Integrate(**block)) == [10, 30]
    assert times(at([0, 2_000_000, 2_000_010]), Integrate(**block, leak_hz=1)) == []  # 10 µs cost 0.00001 of an event
    assert times(at([0, 2_000_000, 2_000_010]), Integrate(**block)) == [2_000_000]
    flicker = np.sort(np.concatenate([at([0, 20, 40]), at([10, 30, 50], p=False)]), order="t")
    assert times(flicker, Integrate(**block)) == []
    assert times(flicker, Integrate(**block, polarities="apart")) == [20, 30]


CALIBRATIONS = [
    Lens(250.0, 252.0, 170.0, 128.0, (-0.35, 0.12, 0.001, -0.0008)),
    Lens(250.0, 252.0, 170.0, 128.0, (-0.35, 0.12, 0.001, -0.0008, -0.02)),
    Lens(250.0, 252.0, 170.0, 128.0, (0.2, 0.05, 0.0, 0.0, 0.01, 0.5, 0.02, 0.001)),
    Lens(180.0, 180.0, 173.0, 130.0, (-0.02, 0.004, -0.001, 0.0002), "fisheye"),
]


@pytest.mark.parametrize("lens", CALIBRATIONS, ids=lambda lens: f"{lens.model}-{len(lens.distortion)}")
def test_what_is_undistorted_and_distorted_again_is_where_it_was(lens):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 346, 500), rng.uniform(0, 260, 500)
    ideal_x, ideal_y = undistorted_points(lens, x, y)
    assert not np.isnan(ideal_x).any()
    for n in range(0, 500, 7):
        a, b = (ideal_x[n] - lens.cx) / lens.fx, (ideal_y[n] - lens.cy) / lens.fy
        u, v = naive.distort(a, b, lens.distortion, lens.model)
        assert (u * lens.fx + lens.cx, v * lens.fy + lens.cy) == pytest.approx((x[n], y[n]), abs=1e-5)


def test_a_lens_that_does_not_distort_moves_nothing():
    table = undistortion_table(Lens(300.0, 310.0, 5.3, 4.1, (0.0, 0.0, 0.0, 0.0)), SENSOR)
    assert np.array_equal(table[..., 0], np.broadcast_to(np.arange(12), (9, 12)))
    assert np.array_equal(table[..., 1], np.broadcast_to(np.arange(9)[:, None], (9, 12)))


def test_pixels_that_the_lens_model_cannot_reach_are_dropped_not_folded_back():
    lens = Lens(100.0, 100.0, 160.0, 120.0, (-0.3, 0.0, 0.0, 0.0))  # r (1 - 0.3 r^2) never exceeds 0.703
    x, _ = undistorted_points(lens, np.array([160.0, 230.0, 231.0, 319.0]), np.full(4, 120.0))
    assert np.isnan(x).tolist() == [False, False, True, True]
    assert x[1] < 160 + 100 * 1.0542  # before the fold, at r = 1 / sqrt(0.9)
