"""Where kernels are kept in tests: beside a small package, or in an empty folder of this process."""

import pytest

from dvs_run.pipeline import kernel_cache, kernel_files

from .tiny_package import SOURCES, make_tiny


@pytest.fixture
def tiny(tmp_path):
    """The folder of the small package."""
    return make_tiny(tmp_path / "bundle")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """What this process would use, in an empty folder; nothing else is in reach."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_files, "PACKAGE", SOURCES)
    made = kernel_files.KernelFolders("key")
    made._folders = made._folders[:1]
    monkeypatch.setattr(kernel_cache, "_folders", {"outside": made})
    return made
