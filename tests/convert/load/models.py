"""A CNN of a user's own, in every kind of file that holds its weights, and a stranger's trap."""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SHAPE = (3, 12, 12)
HERE = __name__  # this module is the user's own code: HERE:Net


class Net(nn.Module):
    """conv, batch norm, pool, a join and a linear layer."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6, eps=1e-2)
        self.side, self.fc = nn.Conv2d(6, 2, 1), nn.Linear(8 * 9, classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        x = torch.cat([x, functional.leaky_relu(self.side(x), 0.1)], 1)
        return self.fc(functional.avg_pool2d(x, 2).reshape(x.size(0), -1) * 0.5 + 0.1)


def net(classes=5):
    torch.manual_seed(0)
    model = Net(classes)
    for _ in range(3):
        model(torch.randn(16, *SHAPE))
    return model.eval()


def images(shape=SHAPE):
    return torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))


def assert_same(loaded, model, shape=SHAPE):
    with torch.inference_mode():
        found, wanted = loaded.model(images(shape)), model.eval()(images(shape))
    assert float((found - wanted).abs().max()) <= 1e-6 * float(wanted.abs().max())
    assert loaded.input_shape == shape
    assert not loaded.model.training


def safetensors(tensors):
    """The bytes of a safetensors file, by its specification."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = tensor.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + body


def state_files(folder, state):
    """The same state dict in every kind of file."""
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": state, "labels": list("abcde"), "lr": 0.1}, folder / "nested.ckpt")
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, folder / "parallel.pt")
    (folder / "m.safetensors").write_bytes(safetensors(state))
    np.savez(folder / "m.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    np.savez_compressed(folder / "packed.npz", **{name: tensor.numpy() for name, tensor in state.items()})


STATE_FILES = ["zip.pt", "legacy.pth", "nested.ckpt", "parallel.pt", "m.safetensors", "m.npz", "packed.npz"]


def needs_more(classes):
    return Net(classes)


def seven_classes():
    return Net(7)


class Trap:
    """Unpickled, it touches a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
