"""What tests of the converter ask for by name."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Networks as small as these are slower with two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
