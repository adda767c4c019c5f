"""A trained PyTorch CNN becomes a spiking Network, layer by layer, or is refused by name.

from dvs_run.pipeline.convert import convert
conversion = convert(model, (2, 34, 34), labels, calibration)
print(conversion.report.verdict)
conversion.network.save("net.npz")

    load/         every file that a CNN comes in  -> a torch module
    trace/        a torch module                  -> a Cnn (cnn.py; activation.py: what becomes neurons)
    fold/         a Cnn                           -> the same function, of what neurons can carry
    scales.py     the scale of every population, from calibration inputs (calibration/)
    method.py     the settings of all that; methods/ holds the rules that need more than one of them
    spiking/      a folded Cnn and its scales     -> a Network
    simulate.py   the clocked reference that a Network is held against; gates.py its spiking max pools
    conversion.py, report.py    all of it, and what was lost
    verdict/      accuracy stage by stage on labelled data; page/ shows it
    search/       the automatic choice of a method
"""

from ..network import Network, Readout
from .cnn import Cnn
from .conversion import Conversion, convert
from .method import Method
from .report import ConversionReport, LayerReport
from .simulate import Clocked, constant_current, fan_out, macs, run
from .trace.builder import CnnBuilder
from .trace.graph import import_cnn

__all__ = [
    "Clocked",
    "Cnn",
    "CnnBuilder",
    "Conversion",
    "ConversionReport",
    "LayerReport",
    "Method",
    "Network",
    "Readout",
    "constant_current",
    "convert",
    "fan_out",
    "import_cnn",
    "macs",
    "run",
]
