"""Every file that a CNN comes in, read without executing what it holds, as a torch module.

load.py           the door: which of the forms below a file is, and what the user has to say beside it
weights.py        named tensors alone: torch files, safetensors, .npz
architecture.py   the code of the user's own that such weights need
layer_list.py     a list of layers as .json beside an .npz of their arrays
exported.py       torch.export archives (.pt2); exported_ops.py says what each of their operations is in torch
onnx/             ONNX files
module_builder.py the torch module under construction, for the two forms that hold a graph
"""

from .load import LoadedModel, load_model

__all__ = ["LoadedModel", "load_model"]
