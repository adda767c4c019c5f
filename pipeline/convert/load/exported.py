"""torch.export archives (.pt2), read without torch.export.load, which unpickles and so would run what a file says.

The archive holds its graph as JSON and its weights as plain numbers; both are read here, operation by operation, into
the layers that convert (exported_ops.py). Parts of an archive that are pickles (sample inputs, objects) are not opened.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from ...errors import ConversionError, first_line
from ..returned import chosen_output
from .exported_ops import RULES, Node
from .module_builder import Data, ModuleBuilder

MAX_JSON = 256 << 20
SCHEMA = 8  # major version of the archive's graph
SAVE_ONNX = "save it as ONNX instead (docs/models.md): torch.onnx.export(model.eval(), example, 'net.onnx')"
TYPES = {  # numbers of torch's ScalarType
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip


def read_exported(path: Path, output: int | str | None = None) -> tuple[fx.GraphModule, tuple[int, ...]]:
    """The module of an archive and its (channel, height, width). Raises ConversionError; nothing of it is executed.

    `output` chooses one of several: its number, or its key where the module returned a dict.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(path, archive).module(output)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OSError, RecursionError, RuntimeError,
            zipfile.BadZipFile, NotImplementedError) as error:  # fmt: skip
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise ConversionError(
            f"{path} is a damaged archive, or of a form not known here ({reason}); {SAVE_ONNX}"
        ) from error


class _Archive:
    """One open archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        models = [name for name in archive.namelist() if "/models/" in f"/{name}" and name.endswith(".json")]
        if len(models) != 1:
            raise ConversionError(f"{path} holds {len(models)} models, want one; export each to a file of its own")
        self.root, _, name = models[0].rpartition("models/")
        self.name = name.removesuffix(".json")
        document = self._json(models[0])
        version = document["schema_version"]["major"]
        if version != SCHEMA:
            raise ConversionError(f"{path} has a graph of version {version}, this program reads {SCHEMA}; {SAVE_ONNX}")
        self.document = document["graph_module"]
        self.graph, self.signature = self.document["graph"], self.document["signature"]
        self.builder = ModuleBuilder()
        self.values: dict[str, Any] = {}

    def module(self, output: int | str | None) -> tuple[fx.GraphModule, tuple[int, ...]]:
        shape = self._inputs()
        for item in self.graph["nodes"]:
            self._node(item)
        given = [spec["user_output"]["arg"] for spec in self.signature["output_specs"] if "user_output" in spec]
        values = [self.values[item["as_tensor"]["name"]] if "as_tensor" in item else None for item in given]
        scores = {
            key: value for key, value in zip(self._keys(len(values)), values, strict=True) if isinstance(value, Data)
        }
        keys = list(scores)
        return self.builder.graph_module(scores[keys[chosen_output(keys, output, str(self.path))]]), shape

    def _keys(self, outputs: int) -> list[str]:
        """What the outputs are called: by the keys of a dict, where the module returned one, else by their numbers."""
        returned = json.loads(self.document["module_call_graph"][0]["signature"]["out_spec"])[1]
        leaves = [not child["children_spec"] for child in returned["children_spec"]]
        if returned["type"] == "builtins.dict" and all(leaves) and len(leaves) == outputs:
            return [str(key) for key in json.loads(returned["context"])]
        return [str(number) for number in range(outputs)]

    def _inputs(self) -> tuple[int, ...]:
        """Fill in the weights and the placeholder. Returns (channel, height, width)."""
        stored = {**self._tensors("weights"), **self._tensors("constants")}
        shape: tuple[int, ...] | None = None
        for spec in self.signature["input_specs"]:
            (kind, item), = spec.items()  # fmt: skip
            if kind != "user_input":
                name = item.get("parameter_name") or item.get("buffer_name") or item.get("tensor_constant_name")
                self.values[item["arg"]["name"]] = stored[name]
                continue
            name = item["arg"]["as_tensor"]["name"]
            sides = [side.get("as_int") for side in self.graph["tensor_values"][name]["sizes"]]
            if shape is not None:
                raise ConversionError(f"{self.path} takes a second input {name!r}, want one: the image or slice")
            if len(sides) != 4 or None in sides[1:]:
                found = ",".join("?" if side is None else str(side) for side in sides)
                raise ConversionError(
                    f"{self.path} takes inputs of {found}, want (n, channel, height, width) with only n left open"
                )
            shape = tuple(int(side) for side in sides[1:])
            self.values[name] = self.builder.input((sides[0] or 1, *shape))
        if shape is None:
            raise ConversionError(f"{self.path} takes no input, want one: the image or slice")
        return shape

    def _node(self, item: Mapping[str, Any]) -> None:
        target = str(item["target"]).removeprefix("torch.ops.")
        arguments = {given["name"]: self._argument(given["arg"]) for given in item["inputs"]}
        node = Node(self.builder, _title(item), target, arguments)
        if target not in RULES:
            raise node.refuse("there is no such layer here")
        try:
            result = RULES[target](node)
        except ConversionError:
            raise
        except Exception as error:  # a damaged file meets torch in a hundred ways
            raise node.refuse(f"it does not fit what it is fed: {first_line(error)}") from error
        names = [part["name"] for output in item["outputs"] for part in _tensors_of(output)]
        results = result if isinstance(result, list) else [result]
        self.values.update(zip(names, results, strict=False))

    def _argument(self, said: Mapping[str, Any]) -> Any:
        (kind, value), = said.items()  # fmt: skip
        if kind == "as_tensor":
            return self.values[value["name"]]
        if kind in ("as_tensors", "as_optional_tensors"):
            return [self.values[part["name"] if "name" in part else part["as_tensor"]["name"]] for part in value]
        if kind == "as_sym_int":
            return self._whole(value)
        if kind == "as_sym_ints":
            return [self._whole(part) for part in value]
        if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string"):
            return value
        return None  # as_none, and what says where and in which type a tensor lies

    def _whole(self, said: Mapping[str, Any]) -> int:
        return int(self.values[said["as_name"]] if "as_name" in said else said["as_int"])

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        """The tensors of data/weights or data/constants, by the names that the module had for them."""
        folder = f"{self.root}data/{kind}/"
        config = self._json(f"{folder}{self.name}_{kind}_config.json")["config"]
        return {name: self._tensor(f"{folder}{item['path_name']}", name, item) for name, item in config.items()}

    def _tensor(self, member: str, name: str, item: Mapping[str, Any]) -> Tensor:
        if item["use_pickle"]:
            raise ConversionError(f"{self.path} holds {name!r} as a pickle, which is not opened here; {SAVE_ONNX}")
        meta = item["tensor_meta"]
        dtype = TYPES.get(meta["dtype"])
        sides = [int(side["as_int"]) for side in meta["sizes"]]
        if dtype is None or min(sides, default=0) < 0:
            raise ConversionError(f"{self.path}: tensor {name!r} is not of plain numbers; export the model in float32")
        data = self.archive.read(member)
        if len(data) < math.prod(sides) * dtype.itemsize:
            raise ValueError(f"tensor {name!r} of shape {sides[:6]} has {len(data)} bytes")
        if not math.prod(sides):
            return torch.zeros(sides, dtype=dtype)
        strides = [int(side["as_int"]) for side in meta["strides"]]
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        return flat.as_strided(sides, strides, int(meta["storage_offset"]["as_int"])).contiguous()

    def _json(self, member: str) -> Any:
        if self.archive.getinfo(member).file_size > MAX_JSON:
            raise ConversionError(f"{self.path}: {member} has more than {MAX_JSON >> 20} MiB; is it a model?")
        return json.loads(self.archive.read(member))


def _title(item: Mapping[str, Any]) -> str:
    """The path of the layer in the model that was exported, where torch has noted it; else the operation's own name."""
    stack = str(item.get("metadata", {}).get("nn_module_stack", "")).split(";")[-1].split(",")
    is_layer = len(stack) == 3 and stack[1] and stack[2].startswith("torch.nn.modules.")
    return str(stack[1] if is_layer else item.get("name") or item["outputs"][0]["as_tensor"]["name"])


def _tensors_of(output: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "as_sym_int" in output:
        return [{"name": output["as_sym_int"]["as_name"]}]
    return output.get("as_tensors") or [output["as_tensor"]]
