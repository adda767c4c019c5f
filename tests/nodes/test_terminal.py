"""What our programs do when whoever reads them is gone, full, or knows no more than ASCII."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from dvs_run.nodes.config import ConfigError, load_config
from dvs_run.nodes.stage import failure
from dvs_run.nodes.terminal import guarded

VERBS = [sys.executable, "-c", "import sys; from dvs_run.nodes.commands import main; sys.exit(main(sys.argv[1:]))"]


def run(arguments, **options):
    return subprocess.run([*VERBS, *arguments], stderr=subprocess.PIPE, text=True, check=False, timeout=60, **options)


def test_a_full_disk_is_a_sentence():
    with open("/dev/full", "w") as full:
        outcome = run(["schema"], stdout=full)
    assert outcome.returncode == 1
    assert outcome.stderr == "dvs: the output cannot be written: No space left on device\n"


def test_a_reader_that_has_gone_is_no_error_of_ours():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        outcome = run([], stdout=gone)
    assert (outcome.returncode, outcome.stderr) == (141, "")


def test_a_closed_output_is_as_good_as_none():
    code = "import os, sys; os.close(1); from dvs_run.nodes.commands import main; sys.exit(main(['schema']))"
    outcome = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_an_ascii_terminal_gets_question_marks():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    outcome = run(["µ"], stdout=subprocess.PIPE, env=environment)
    assert outcome.returncode == 2
    assert "there is no verb" in outcome.stderr


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from dvs_run.nodes.{module} import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("name", "module", "arguments"),
    [
        ("typer", "commands", ["info", "x.aedat4"]),
        ("numpy._core._exceptions", "commands", ["info", "x.aedat4"]),
        ("numba", "commands", ["info", "x.aedat4"]),
        ("yaml", "launcher", ["configs/gesture.yaml"]),
        ("pydantic", "launcher", ["configs/gesture.yaml"]),
    ],
)
def test_an_interrupt_while_a_package_is_imported_is_no_traceback(name, module, arguments):
    """NumPy's compiled part turns the interrupt into an ImportError that does not tell of it."""
    code = INTERRUPTED_IMPORT.replace("{module}", module)
    command = [sys.executable, "-c", code, name, *arguments]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stdout) == (130, "")
    assert outcome.stderr in ("dvs: interrupted\n", "dvs-run: interrupted\n")


def test_an_interrupt_that_somebody_made_another_error_of_is_an_interrupt(capsys):
    def run():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("a module of ours") from None

    before = signal.getsignal(signal.SIGINT)
    assert guarded("dvs", run) == 130
    assert capsys.readouterr().err == "dvs: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_little_is_imported_before_an_interrupt_is_handled():
    """Until then it is Python's own traceback."""
    code = "import sys; old = set(sys.modules); import dvs_run.nodes.launcher, dvs_run.nodes.commands; "
    code += "print(*sorted(name for name in set(sys.modules) - old if not name.startswith('dvs_run')))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"typing", "pathlib", "argparse", "numpy", "typer"} & set(outcome.stdout.split())


def test_a_warning_is_a_sentence():
    code = "import warnings; from dvs_run.nodes.terminal import guarded; "
    code += "guarded('dvs', lambda: warnings.warn('the disk is full', RuntimeWarning))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.stderr == "dvs: the disk is full\n"


def test_a_node_that_cannot_write_fails_in_a_sentence():
    told = failure("file", OSError(errno.ENOSPC, "No space left on device", "out.jsonl"))
    assert told.error == "cannot write out.jsonl: No space left on device; is the disk full?"
    assert told.traceback == ""
    assert "ZeroDivisionError" in failure("file", ZeroDivisionError()).error


def test_a_port_that_does_not_exist_is_told_before_the_run(tmp_path):
    path = tmp_path / "c.yaml"
    encoder = "{kind: encoder, method: poisson, input: images, listen: 'tcp://127.0.0.1:99999'}"
    path.write_text(f"nodes:\n  images: {{kind: images, path: x}}\n  e: {encoder}\n")
    with pytest.raises(ConfigError, match="99999: want a port of 1 to 65535"):
        load_config(path)
