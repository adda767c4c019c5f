"""A wrong train config is answered with every mistake at once; a right one needs little."""

import pytest

from dvs_run.pipeline.train.config import TrainConfigError, check
from dvs_run.pipeline.train.windows import WindowPlan


def small():
    return {
        "data": {"kind": "recordings", "folder": "somewhere"},
        "model": {"input": [2, 9, 13], "layers": [{"linear": 2}]},
        "windows": {"slices": 8},
        "training": {"epochs": 2},
        "out": "runs/small.pt",
    }


def test_a_short_config_is_enough():
    settings = check(small())
    assert settings.windows.plan == WindowPlan(timestep_us=5_000, slices=8, min_slices=8, per_recording=1)
    assert settings.augment.augmentation.shift == 0


def test_every_mistake_is_reported_at_once_with_its_place():
    config = small()
    config["data"]["foldr"] = "x"
    config["windows"] = {"slices": 8, "min_slices": 9}
    config["augment"] = {"drop": 1.5, "sheer": 3}
    config["training"] = {"epochs": "many"}
    del config["out"]
    with pytest.raises(TrainConfigError) as refusal:
        check(config)
    message = str(refusal.value)
    assert "7 mistakes" in message or "6 mistakes" in message
    for place in ("data.foldr", "windows", "augment.drop", "augment.sheer", "training.epochs", "out"):
        assert f"\n  {place}: " in message
    assert "(found 'many')" in message


def test_an_unknown_kind_of_data_is_refused_with_the_known_ones():
    config = small()
    config["data"]["kind"] = "video"
    with pytest.raises(TrainConfigError, match="'recordings', 'saccades', 'simulated-gesture'"):
        check(config)


def test_a_flip_label_that_does_not_exist_is_a_mistake_of_the_config():
    config = small()
    config["augment"] = {"flip": 2.0}
    with pytest.raises(TrainConfigError, match="augment.flip: .*less than or equal to 1"):
        check(config)
