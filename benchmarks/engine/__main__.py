"""The command: python -m benchmarks.engine --help. Thread pools are told before anything that has one is imported."""

import os

for _pool in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_pool] = "1"

from .command import main  # noqa: E402

main()
