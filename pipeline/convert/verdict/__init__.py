"""What a conversion costs, measured on labelled data that no choice was made on, and whether that is good enough.

validation.py    the data, as the CNN, the clocked network and the engine want to see it
decide.py        their decisions in every timestep
fidelity.py      how each population's rates carry the CNN's activations
stages.py        all of that run
measured.py      the figures it gives
verdict.py       what the figures mean: passed or not, the worst layer, what to do
"""

from .measured import Measured
from .stages import measure_stages
from .verdict import Verdict

__all__ = ["Measured", "Verdict", "measure_stages"]
