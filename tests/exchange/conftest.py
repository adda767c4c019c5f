"""NIR files are read in this process, which is quick; test_apart.py reads them as users do."""

import pytest

pytest.importorskip("h5py", reason="NIR files need h5py (extra nir)")

from dvs_run.pipeline.exchange import nir_read
from dvs_run.pipeline.exchange.hdf5 import walk


@pytest.fixture(autouse=True)
def _read_here(monkeypatch, request):
    if "apart" not in request.module.__name__:
        monkeypatch.setattr(nir_read, "read_tree", walk)
