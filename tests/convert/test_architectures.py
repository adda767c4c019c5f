"""The architectures of the field are those of their papers; a few channels wide they convert, or are refused."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.trace.graph import import_cnn

from . import architectures, inception
from .matrix import METHODS, error, readouts
from .pictures import pictures, ready


@pytest.mark.parametrize(
    ("model", "weights", "parameters"),
    [
        # What is quoted for them; VGG-15's is 14,710,464 (VGG-16's convolutions) + 512 x 4096 + 4096 x 100.
        (lambda: architectures.lenet5(), 5, 61_706),
        (lambda: architectures.vgg15(), 15, 17_217_216),
        (lambda: architectures.resnet(18, classes=1000, small_images=False), 18 + 3, 11_689_512),
        (lambda: architectures.resnet(34, classes=1000, small_images=False), 34 + 3, 21_797_672),
        (lambda: architectures.resnet(20), 20 + 2, 272_474),
        (lambda: architectures.densenet(40), 40, 1_019_722),
        (lambda: architectures.mobilenet_v1(1000), 28, 4_231_976),
        (lambda: architectures.mobilenet_v2(1000), 53, 3_504_872),
    ],
    ids=["LeNet-5", "VGG-15", "ResNet-18", "ResNet-34", "ResNet-20", "DenseNet-40", "MobileNet-v1", "MobileNet-v2"],
)
def test_the_definitions_have_the_layers_and_parameters_of_their_papers(model, weights, parameters):
    with torch.device("meta"):
        made = model()
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in made.modules()) == weights
    assert sum(parameter.numel() for parameter in made.parameters()) == parameters


def test_inception_v3_has_the_parameters_of_its_paper_without_the_auxiliary_head():
    with torch.device("meta"):
        made = inception.InceptionV3()
    auxiliary = sum(parameter.numel() for parameter in made.aux.parameters())
    assert sum(parameter.numel() for parameter in made.parameters()) - auxiliary == 23_834_568


SMALL = {  # name: (model, shape of its input)
    "LeNet-5": (lambda: architectures.lenet5(), (1, 28, 28)),
    "LeNet-5 with max pools": (lambda: architectures.lenet5(pool=nn.MaxPool2d), (1, 28, 28)),
    "VGG-7": (lambda: architectures.vgg(7, width=1 / 16), (3, 32, 32)),
    "VGG-11": (lambda: architectures.vgg(11, width=1 / 16), (3, 32, 32)),
    "VGG-15": (lambda: architectures.vgg15(10, width=1 / 16), (3, 32, 32)),
    "VGG-16": (lambda: architectures.vgg(16, width=1 / 16, pool=nn.MaxPool2d), (3, 32, 32)),
    "ResNet-18": (lambda: architectures.resnet(18, width=1 / 16, small_images=False), (3, 64, 64)),
    "ResNet-20": (lambda: architectures.resnet(20, width=1 / 4), (3, 32, 32)),
    "ResNet-34": (lambda: architectures.resnet(34, width=1 / 16), (3, 32, 32)),
    "DenseNet-40": (lambda: architectures.densenet(40, width=1 / 6), (3, 16, 16)),
    "DenseNet-BC-40": (lambda: architectures.densenet(40, width=1 / 6, bottleneck=True), (3, 16, 16)),
    "MobileNet-v1": (lambda: architectures.mobilenet_v1(width=1 / 16), (3, 32, 32)),
    "MobileNet-v2": (lambda: architectures.mobilenet_v2(width=1 / 16), (3, 32, 32)),
    "Inception-v3": (lambda: inception.InceptionV3(10, width=1 / 32), (3, 75, 75)),
    "GoogLeNet": (lambda: inception.googlenet(10, width=1 / 16), (3, 32, 32)),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def small(name):
    """The network in float64, pictures that it was fitted to and others, for ten classes."""
    make, shape = SMALL[name]
    torch.manual_seed(0)
    x, label = pictures(40, shape, seed=1, classes=10)
    return ready(make(), x, label).double(), x, pictures(10, shape, seed=2, classes=10)[0]


@pytest.mark.parametrize("name", SMALL)
def test_an_architecture_is_imported_exactly(name):
    model, _, x = small(name)
    with torch.no_grad():
        wanted = model(x.double())
    found = import_cnn(model, tuple(x.shape[1:])).logits(x.double())
    assert float((found - wanted).abs().max()) <= 1e-9 * float(wanted.abs().max())
    assert float((wanted - wanted.mean(0)).norm()) > 0.3 * float(wanted.norm())  # not the same for all pictures


@pytest.mark.parametrize(
    ("name", "per", "bar"), [("LeNet-5 with max pools", "layer", 0.01), ("ResNet-20", "channel", 0.06)]
)
def test_an_architecture_becomes_spikes_and_keeps_its_outputs(name, per, bar):
    """After 64 timesteps; each of ResNet-20's 19 layers of neurons adds a little."""
    model, x, unseen = small(name)
    # So few calibration pictures say too little of every single neuron of LeNet's linear layers.
    method, shape = replace(METHODS["fine"], per=per), tuple(x.shape[1:])
    conversion = convert(model.float(), shape, tuple("abcdefghij"), x, method=method, check_timesteps=1, max_error=None)
    with torch.no_grad():
        wanted = model(unseen)
    found, _ = readouts(conversion, unseen, 64)
    assert error(found, wanted) < bar
    assert float((found.argmax(1) == wanted.argmax(1)).float().mean()) >= 0.9
