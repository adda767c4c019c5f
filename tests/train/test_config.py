"""A wrong train config is answered with every mistake at once; a right one needs little."""

from pathlib import Path

import pytest

from dvs_run.nodes.config import load_yaml
from dvs_run.pipeline.train.config import TrainConfigError, check
from dvs_run.pipeline.train.images import _check
from dvs_run.pipeline.train.windows import WindowPlan

CONFIGS = Path(__file__).parents[2] / "configs"


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


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("train-*.yaml")), ids=lambda path: path.name)
def test_the_train_configs_that_are_shipped_are_right(path):
    document = load_yaml(path)
    if document["data"]["kind"] == "images":
        _check(document)
    else:
        check(document)


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
    with pytest.raises(TrainConfigError, match="'recordings', 'dataset', 'saccades', 'simulated-gesture'"):
        check(config)


def test_a_share_beyond_one_is_refused_with_what_was_found():
    config = small()
    config["augment"] = {"flip": 2.0}
    with pytest.raises(TrainConfigError, match=r"augment.flip: .*less than or equal to 1 \(found 2.0\)"):
        check(config)


def test_a_layer_that_cannot_be_built_is_a_mistake_of_the_config():
    config = small()
    config["model"]["layers"] = [{"lineer": 2}, {"linear": 2}]
    with pytest.raises(TrainConfigError, match="model: layer 0 is"):
        check(config)


def test_people_who_would_be_trained_on_and_judged_by_are_refused():
    config = small()
    config["data"] = {"kind": "simulated-gesture", "people": [0, 100], "validation_people": [50, 60]}
    with pytest.raises(TrainConfigError, match="overlap"):
        check(config)


def test_spiking_fine_tuning_wants_a_cnn_to_start_from():
    config = small()
    config["spiking"] = {"percentile": 99}
    with pytest.raises(TrainConfigError, match="wants start_from"):
        check(config)
    assert check({**config, "start_from": "cnn.pt"}).spiking.percentile == 99
    config["windows"] = {"slices": 8, "min_slices": 4}
    with pytest.raises(TrainConfigError, match="wants windows of one length"):
        check({**config, "start_from": "cnn.pt"})


def test_delays_are_multiples_of_the_timestep():
    config = small()
    config["windows"]["delays_us"] = [0, 12_000]
    with pytest.raises(TrainConfigError, match="want rising multiples of timestep_us"):
        check(config)
