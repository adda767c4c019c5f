"""A trained PyTorch CNN becomes a spiking Network, layer by layer, or is refused by name.

from dvs_run.pipeline.convert import convert
conversion = convert(model, (2, 34, 34), labels, calibration)
print(conversion.report.verdict)
conversion.network.save("net.npz")
"""

from ..network import Network, Readout
from .builder import CnnBuilder
from .cnn import Cnn
from .conversion import Conversion, convert
from .graph import import_cnn
from .method import Method
from .report import ConversionReport, LayerReport
from .simulate import Clocked, constant_current, fan_out, macs, run

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
