"""The architectures of the field are those of their papers; a few channels wide they convert, or are refused."""

import pytest
import torch
from torch import nn

from . import architectures, inception


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
