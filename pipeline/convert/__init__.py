"""A trained PyTorch CNN becomes a spiking Network, layer by layer, or is refused by name.

from dvs_run.pipeline.convert import convert
conversion = convert(model, (2, 34, 34), labels, calibration)
print(conversion.report.verdict)
conversion.network.save("net.npz")
"""

from ..network import Network, Readout
from .conversion import Conversion, convert
from .report import ConversionReport, LayerReport
from .simulate import Clocked, constant_current, fan_out, macs, run

__all__ = [
    "Clocked",
    "Conversion",
    "ConversionReport",
    "LayerReport",
    "Network",
    "Readout",
    "constant_current",
    "convert",
    "fan_out",
    "macs",
    "run",
]
