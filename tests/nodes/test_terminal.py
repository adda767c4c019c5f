"""What our programs do when whoever reads them is gone, full, or knows no more than ASCII."""

import errno
import os
import subprocess
import sys

import pytest

from dvs_run.nodes.config import ConfigError, load_config
from dvs_run.nodes.stage import failure

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
