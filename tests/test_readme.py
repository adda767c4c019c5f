"""What the README tells people to type is what works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_the_two_commands_are_one_line_each():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("pip install")]
    assert len(lines) == 2
    assert all(" && " in line and "-c constraints.txt" in line for line in lines)


@pytest.mark.parametrize("code", blocks("python"), ids=range(len(blocks("python"))))
def test_python_examples_run_and_print(code):
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip()


def test_every_path_and_verb_in_the_examples_exists():
    from dvs_run.nodes.commands import VERBS

    for block in blocks("sh"):
        for line in block.splitlines():
            words = shlex.split(line.split("&&")[-1], comments=True)
            for word in words:
                if word.startswith(("configs/", "recordings/", "docs/")):
                    assert (ROOT / word).exists(), line
            if words and words[0] == "dvs":
                assert words[1] in VERBS, line


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_link_leads_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).exists()
