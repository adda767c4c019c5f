"""`dvs train`: exit code 2 and every mistake for a wrong config, 1 for what goes wrong later."""

import pytest

from dvs_run.nodes.commands import main

GOOD = """
data: {kind: recordings, folder: FOLDER}
model: {input: [2, 9, 13], layers: [{linear: 2}]}
windows: {slices: 8}
training: {epochs: 2}
out: OUT
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("data: {kind: recordings, foldr: x}\nwindows: {slices: 0}\n", ["data.foldr: is no key", "windows.slices:"]),
        ("data: {kind: images, foldr: x}\n", ["data.foldr: is no key", "data.images: is missing"]),
        ("data: [", ["is it YAML?"]),
        ("just a word", ["want keys with values"]),
    ],
)
def test_a_wrong_config_ends_with_code_2_and_all_its_mistakes(tmp_path, capsys, text, wanted):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    assert main(["train", str(path)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for piece in wanted:
        assert piece in said


def test_a_config_that_is_not_there_ends_with_code_2(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none.yaml")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_recordings_that_are_not_there_end_with_code_1_and_a_sentence(tmp_path, capsys):
    path = tmp_path / "train.yaml"
    path.write_text(GOOD.replace("FOLDER", str(tmp_path / "none")).replace("OUT", str(tmp_path / "out.pt")))
    assert main(["train", str(path)]) == 1
    assert "there is no folder" in capsys.readouterr().err
