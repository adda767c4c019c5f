"""Networks to and from other programs' files. So far NIR, the Neuromorphic Intermediate Representation (neuroir.org).

`write_nir` and `read_nir` are the doors. A file that we wrote comes back as the same Network, bit for bit; what others
mean by theirs is nir_neurons.Meaning's. The package `nir` is not used: norse, sinabs and snntorch ask for versions of
it that exclude each other and read each other's files in part. Its files are plain HDF5, which hdf5.py reads and writes
(extra `nir`), whichever version made them.
"""

from .nir_neurons import MEANINGS, Meaning
from .nir_read import Reading, read_nir
from .nir_write import write_nir

__all__ = ["MEANINGS", "Meaning", "Reading", "read_nir", "write_nir"]
