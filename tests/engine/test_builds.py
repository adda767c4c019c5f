"""The kernels give the same however they are built: plain loops, no compiler, every index checked, narrow vectors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = Path(__file__).with_name("test_small.py")


@pytest.mark.parametrize(
    ("switch", "numbers"),
    [
        ({"DVS_RUN_SIMD": "0"}, "int16"),
        ({"NUMBA_DISABLE_JIT": "1"}, "int8 float32"),
        ({"NUMBA_BOUNDSCHECK": "1"}, "int16"),
        ({"NUMBA_CPU_NAME": "generic"}, "int8"),
    ],
    ids=["no vectors", "no compiler", "bounds checked", "any processor"],
)
def test_the_engine_equals_its_twin_in_every_build(switch, numbers):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(SMALL)]
    environment = {**os.environ, **switch, "TEST_NUMBERS": numbers}
    done = subprocess.run(command, cwd=SMALL.parents[2], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
