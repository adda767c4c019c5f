"""The gesture scene: what each class must show, seen in skeletons, frames and events."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.formats.labels import GESTURES
from dvs_run.pipeline.simulate import people
from dvs_run.pipeline.simulate.gesture import (
    CLASSES,
    FRAME_US,
    WARM_UP_US,
    gesture_frames,
    perform,
    person_of,
    simulate_gesture,
)
from dvs_run.pipeline.simulate.invented import INVENTED
from dvs_run.pipeline.simulate.moves import LEFT, RIGHT, mix, reach, rest
from dvs_run.pipeline.simulate.session import LEAD_US, simulate_session, spans

PEOPLE = range(6)
MIRROR = {
    "right_hand_wave": "left_hand_wave",
    "right_arm_clockwise": "left_arm_counter_clockwise",
    "right_arm_counter_clockwise": "left_arm_clockwise",
}


def wrists(name, person, seed=1, seconds=4.0):
    """float64[T, 2, 3]: both wrists (right in the picture, up, to the camera), metres from between the shoulders."""
    who = person_of(person)
    motion = perform(CLASSES.index(name), seed, person, np.arange(0, seconds, 0.01))
    mirror = np.array([[-1.0, 1, 1], [1.0, 1, 1]])
    shoulders = np.array([[-who.shoulder_m, 0, 0], [who.shoulder_m, 0, 0]])
    return shoulders + mirror * (who.upper_arm_m * motion.upper + who.forearm_m * motion.fore)


def turning(points):
    """Turns of a track about its middle over time, positive = clockwise as seen in the picture."""
    x, y = (points[:, axis] - np.median(points[:, axis]) for axis in (0, 1))
    return -np.diff(np.unwrap(np.arctan2(y, x))).sum() / (2 * np.pi)


def event_centres(events, every_us=10_000, lowest=30):
    """Medians of x and y of the events of each slice that has enough of them."""
    centres = []
    for start in range(0, int(events["t"][-1]), every_us):
        part = events[np.searchsorted(events["t"], start) : np.searchsorted(events["t"], start + every_us)]
        if len(part) >= lowest:
            centres.append((np.median(part["x"]), -np.median(part["y"])))
    return np.array(centres)


def quiet(monkeypatch):
    """Take the noise out of every place, so that events tell of movement only."""
    clean = people.PixelSettings(shot_noise_hz=0, leak_hz=0, hot_pixels=0, threshold_on=0.2, threshold_off=0.2)
    monkeypatch.setattr("dvs_run.pipeline.simulate.people.PixelSettings", lambda **_: clean)


def test_the_classes_are_those_of_the_real_set_in_its_order():
    assert CLASSES == GESTURES


@pytest.mark.parametrize("label", range(11), ids=CLASSES)
def test_a_recording_is_sorted_within_the_sensor_and_the_duration(label):
    events = simulate_gesture(label, seed=4, person=3, lighting=2, duration_us=300_000)
    assert events.dtype == EVENT_DTYPE
    assert len(events) > 1_000
    assert np.all(np.diff(events["t"]) >= 0)
    assert events["t"][0] >= 0
    assert events["t"][-1] <= 300_000
    assert max(events["x"].max(), events["y"].max()) < 128


def test_a_recording_depends_on_its_seeds_and_on_nothing_else():
    def once(**change):
        seeds = {"seed": 1, "person": 2, "lighting": 3, "duration_us": 60_000, **change}
        return simulate_gesture(8, **seeds).tolist()

    first = once()
    assert once() == first
    for change in ({"seed": 9}, {"person": 9}, {"lighting": 9}, {"start_us": 500_000}):
        assert once(**change) != first


def test_a_longer_recording_begins_with_a_shorter_one():
    long, short = (simulate_gesture(0, 1, 2, 3, duration_us) for duration_us in (200_000, 100_000))
    assert np.array_equal(long[: len(short)], short)


def test_a_recording_begins_at_its_start_and_not_with_a_burst():
    events = simulate_gesture(1, seed=2, person=4, lighting=8, duration_us=400_000)
    counts = np.bincount(events["t"] // 40_000, minlength=10)
    assert counts[0] < 3 * np.median(counts)


def test_frames_are_evenly_spaced_and_begin_before_time_zero():
    times = np.concatenate([times for times, _ in gesture_frames(0, 1, 1, 1, 100_000)])
    assert times[0] == -WARM_UP_US
    assert times[-1] == 100_000
    assert np.all(np.diff(times) == FRAME_US)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("right", "left"), MIRROR.items(), ids=MIRROR.keys())
def test_a_left_arm_does_what_a_right_arm_does_in_the_mirror(right, left, person):
    """Same habits, same draw: exchange the arms, and the tracks are each other's mirror images."""
    who = person_of(person)
    from dvs_run.pipeline.simulate import gesture

    t = np.arange(0, 2, 0.01)
    one, two = (
        gesture._MOVES[name](t, who, np.random.default_rng(7), np.random.default_rng(8)) for name in (right, left)
    )
    assert np.allclose(one.upper[:, RIGHT], two.upper[:, LEFT], atol=1e-12)
    assert np.allclose(one.fore[:, RIGHT], two.fore[:, LEFT], atol=1e-12)
    assert np.allclose(one.hand[:, RIGHT], two.hand[:, LEFT], atol=1e-12)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("name", [name for name in CLASSES if "clockwise" in name])
def test_circles_turn_the_way_their_name_says(name, person):
    arm = RIGHT if name.startswith("right") else LEFT
    turns = turning(wrists(name, person)[:, arm])
    assert turns < -1.5 if "counter" in name else turns > 1.5
    assert np.ptp(wrists(name, person)[:, 1 - arm], axis=0).max() < 0.2  # the other arm rests


@pytest.mark.parametrize("name", [name for name in CLASSES if "clockwise" in name])
def test_the_events_of_a_circle_turn_with_it_on_the_side_of_the_arm(name, monkeypatch):
    quiet(monkeypatch)
    monkeypatch.setattr("dvs_run.pipeline.simulate.gesture.place_of", people.place)
    centres = event_centres(simulate_gesture(CLASSES.index(name), 3, 5, 40, 2_500_000))
    turns = turning(centres)
    assert turns < -1.5 if "counter" in name else turns > 1.5
    assert np.mean(centres[:, 0] < 64) > 0.6 if name.startswith("right") else np.mean(centres[:, 0] > 64) > 0.6


@pytest.mark.parametrize("person", PEOPLE)
def test_clapping_hands_meet_in_the_middle_and_part(person):
    tracks = wrists("hand_clapping", person)
    gap = tracks[:, LEFT, 0] - tracks[:, RIGHT, 0]
    assert 0 < gap.min() < 0.1
    assert gap.max() > 0.2
    assert np.abs(tracks[:, :, 0].mean(1)).max() < 0.06
    closings = np.count_nonzero((gap[1:-1] < gap[:-2]) & (gap[1:-1] <= gap[2:]) & (gap[1:-1] < 0.12))
    assert closings >= 4


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("name", "arm"), [("right_hand_wave", RIGHT), ("left_hand_wave", LEFT)])
def test_a_waving_hand_is_raised_and_swings_sideways(name, arm, person):
    tracks = wrists(name, person)
    swing = np.ptp(tracks[:, arm], axis=0)
    assert swing[0] > 0.12
    assert swing[0] > swing[1]
    assert tracks[:, arm, 1].min() > tracks[:, 1 - arm, 1].max()
    assert np.ptp(tracks[:, 1 - arm], axis=0).max() < 0.2


@pytest.mark.parametrize("person", PEOPLE)
def test_rolling_forearms_turn_about_each_other(person):
    tracks = wrists("arm_roll", person)
    apart = tracks[:, RIGHT, 1:] - tracks[:, LEFT, 1:]  # in the plane of up and forward
    assert abs(np.unwrap(np.arctan2(apart[:, 0], apart[:, 1]))[[0, -1]] @ [-1, 1]) > 2 * np.pi * 2.5
    assert np.linalg.norm(apart, axis=1).min() > 0.08
    assert np.abs(tracks[:, :, 0]).max() < 0.25  # both before the chest


@pytest.mark.parametrize("person", PEOPLE)
def test_drumming_hands_beat_up_and_down_in_turn(person):
    tracks = wrists("air_drums", person)
    heights = tracks[:, :, 1] - tracks[:, :, 1].mean(0)
    assert np.corrcoef(heights.T)[0, 1] < -0.5
    assert np.ptp(heights, axis=0).min() > 0.12
    assert tracks[:, :, 2].min() > 0.1  # to the camera


@pytest.mark.parametrize("person", PEOPLE)
def test_a_guitarist_strums_low_with_one_hand_and_holds_the_neck_with_the_other(person):
    tracks = wrists("air_guitar", person)
    strum = int(np.argmax(np.ptp(tracks[:, :, 1], axis=0)))
    assert np.ptp(tracks[:, strum, 1]) > 2 * np.std(tracks[:, 1 - strum, 1])
    assert tracks[:, 1 - strum, 1].mean() > tracks[:, strum, 1].mean() + 0.08
    assert np.abs(tracks[:, 1 - strum, 0]).mean() > np.abs(tracks[:, strum, 0]).mean() + 0.1


@pytest.mark.parametrize("invented", INVENTED, ids=lambda move: move.__name__)
def test_invented_gestures_move_the_body_and_keep_their_arms_whole(invented):
    t = np.arange(0, 4, 0.01)
    motion = invented(t, person_of(3), np.random.default_rng(1), np.random.default_rng(2))
    for segment in (motion.upper, motion.fore, motion.hand):
        assert np.allclose(np.linalg.norm(segment, axis=-1), 1, atol=1e-9)
    still = rest(t, person_of(3), np.random.default_rng(2))
    parts = ("upper", "fore", "sway", "head")
    assert max(np.ptp(getattr(motion, part) - getattr(still, part), axis=0).max() for part in parts) > 0.02


def test_other_is_another_gesture_in_another_recording():
    t = np.arange(0, 1, 0.02)
    tracks = {perform(10, seed, 0, t).fore.tobytes() for seed in range(6)}
    assert len(tracks) == 6


@pytest.mark.parametrize("label", range(11), ids=CLASSES)
def test_limbs_keep_their_length_and_move_without_a_jump(label):
    motion = perform(label, 3, 1, np.arange(0, 3, 0.005))
    for segment in (motion.upper, motion.fore, motion.hand):
        assert np.allclose(np.linalg.norm(segment, axis=-1), 1, atol=1e-9)
        assert np.abs(np.diff(segment, axis=0)).max() < 0.25


def test_a_reached_point_is_where_the_wrist_is():
    rng = np.random.default_rng(0)
    target = rng.uniform(-0.3, 0.3, (200, 3))
    upper, fore = reach(target, np.array([1.0, -1.0, 0.0]), 0.3, 0.26)
    wrist = 0.3 * upper + 0.26 * fore
    near = (np.linalg.norm(target, axis=1) < 0.55) & (np.linalg.norm(target, axis=1) > 0.07)
    assert near.sum() > 100
    assert np.allclose(wrist[near], target[near], atol=1e-9)


def test_people_and_places_differ_from_seed_to_seed_and_stay_the_same_for_one():
    assert people.person(5) == people.person(5)
    assert len({people.person(seed).shirt for seed in range(20)}) == 20
    assert np.array_equal(people.place(5).background, people.place(5).background)
    brighter = sum(people.person(s).shirt > people.place(s).background.mean() for s in range(60))
    assert 10 < brighter < 50  # clothes are darker than the wall, and brighter, both often


def test_unknown_classes_and_empty_durations_are_refused():
    with pytest.raises(EventError, match="class 11 is unknown, want 0 to 10"):
        simulate_gesture(11, 0, 0, 0, 100_000)
    with pytest.raises(EventError, match="duration is 0 µs"):
        simulate_gesture(0, 0, 0, 0, 0)
    with pytest.raises(EventError, match="no gesture 'clap'; known are hand_clapping"):
        spans(["clap"], 100_000)
    with pytest.raises(EventError, match="a session of no gestures"):
        simulate_session((), 0, 0, 0)


def test_a_session_shows_its_gestures_during_their_spans():
    shown = spans(["air_drums", "right_hand_wave"], 400_000, pause_us=800_000)
    assert [(span.t_start_us, span.t_stop_us) for span in shown] == [(500_000, 900_000), (1_700_000, 2_100_000)]
    events = np.concatenate(list(simulate_session(shown, seed=1, person=5, lighting=40)))
    assert np.all(np.diff(events["t"]) >= 0)
    assert events["t"][-1] <= 2_100_000 + LEAD_US
    rate = np.bincount(events["t"] // 100_000, minlength=26)
    assert rate[5:9].mean() > 1.5 * rate[:1].mean()
    wave = events[(events["t"] >= 1_700_000) & (events["t"] < 2_100_000)]
    assert np.median(wave["x"]) < 64


def test_between_two_motions_arms_keep_their_length():
    t = np.arange(0, 1, 0.01)
    down, up = rest(t, person_of(1), np.random.default_rng(0)), perform(1, 0, 1, t)
    mixed = mix(down, up, t)
    for segment in (mixed.upper, mixed.fore, mixed.hand):
        assert np.allclose(np.linalg.norm(segment, axis=-1), 1)
    assert np.allclose(mixed.fore[0], down.fore[0])
