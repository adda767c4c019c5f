"""torch.export archives are read without unpickling what they hold."""

import pickle
import zipfile

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.errors import ConversionError

from .models import SHAPE, Trap, assert_same, net


@pytest.mark.parametrize("open_batch", [False, True])
def test_an_export_archive_is_read_without_unpickling(tmp_path, open_batch):
    model = net()
    shapes = ({0: torch.export.Dim("n")},) if open_batch else None
    program = torch.export.export(model, (torch.rand(2, *SHAPE),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load_model(tmp_path / "m.pt2")
    assert_same(loaded, model)
    assert {"conv", "bn", "side", "fc"} <= {item.name for item in loaded.model.graph.nodes}
    assert type(loaded.model.bn) is nn.BatchNorm2d
    assert loaded.model.bn.eps == 1e-2


class Several(nn.Module):
    """`net`, and its image, in a form of its own."""

    def __init__(self, form):
        super().__init__()
        self.net, self.form = net(), form

    def forward(self, x):
        return self.form(self.net(x), x.flatten(1) * 2.0)


@pytest.mark.parametrize(
    ("form", "output"),
    [
        (lambda y, other: {"image": other, "scores": y}, "scores"),
        (lambda y, other: {"image": other, "scores": y}, "1"),
        (lambda y, other: (other, y), 1),
        (lambda y, other: (None, y), None),
        (lambda y, other: (None, y), "1"),
    ],
)
def test_one_of_several_outputs_is_chosen_by_its_key_or_number(tmp_path, form, output):
    torch.export.save(torch.export.export(Several(form).eval(), (torch.rand(2, *SHAPE),)), tmp_path / "m.pt2")
    assert_same(load_model(tmp_path / "m.pt2", output=output), net())
    with pytest.raises(ConversionError, match=r"output.*and '5' is none of them; choose one with --output"):
        load_model(tmp_path / "m.pt2", output=5)


def rewritten(source, target, change):
    """A copy of an archive, each member as `change(name, data)` gives it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "m.pt2"
    torch.export.save(torch.export.export(net(), (torch.rand(2, *SHAPE),)), path)
    return path


def test_the_pickles_of_an_export_archive_are_not_opened(tmp_path, exported):
    touched = tmp_path / "touched"
    trap = pickle.dumps(Trap(touched))

    def poison(name, data):
        if name.endswith("weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true')
        return trap if "/weights/" in name or "sample_inputs" in name else data

    rewritten(exported, tmp_path / "bad.pt2", poison)
    with pytest.raises(ConversionError, match="holds 'conv.weight' as a pickle, which is not opened here"):
        load_model(tmp_path / "bad.pt2")
    only_samples = tmp_path / "samples.pt2"
    rewritten(exported, only_samples, lambda name, data: trap if "sample_inputs" in name else data)
    assert_same(load_model(only_samples), net())
    assert not touched.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"torch.ops.aten.cat.default",
            b"torch.ops.aten.eig.default",
            r"node 'cat' \(aten.eig.default\): there is no such",
        ),
        (b'"major": 8', b'"major": 9', "has a graph of version 9, this program reads 8; save it as ONNX"),
        (
            b'"sizes": [{"as_int": 2}, {"as_int": 3}',
            b'"sizes": [{"as_int": 2}, {"as_int": 9}',
            "does not fit what it is fed",
        ),
        (b'"name": "linear"}}]', b'"name": "nowhere"}}]', "is a damaged archive"),
        (b'{"graph_module"', b'["graph_module"', "is a damaged archive"),
    ],
)
def test_a_foreign_or_damaged_export_archive_is_answered_with_a_sentence(tmp_path, exported, old, new, message):
    rewritten(exported, tmp_path / "bad.pt2", lambda name, data: data.replace(old, new) if "models/" in name else data)
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / "bad.pt2")


def test_weights_of_an_export_archive_that_are_too_short_are_refused(tmp_path, exported):
    rewritten(exported, tmp_path / "bad.pt2", lambda name, data: data[:-4] if name.endswith("weight_0") else data)
    with pytest.raises(ConversionError, match=r"damaged archive.*tensor 'conv.weight' of shape \[6, 3, 3, 3\] has 644"):
        load_model(tmp_path / "bad.pt2")
