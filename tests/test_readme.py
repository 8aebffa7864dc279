"""The README's commands exist, and it names only files that do.

Its Python runs as doctests: make test hands README.md itself to pytest.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import lnlib

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
SHELL = "".join(text for kind, text in FENCES if kind == "sh")
COMMANDS = sorted(set(SHELL.splitlines()))


def test_every_example_is_one_that_is_tested():
    assert {kind for kind, _ in FENCES} == {"sh", "python"}
    assert "make book" in COMMANDS and "make test" in COMMANDS
    for kind, text in FENCES:
        if kind == "python":
            # Without >>> doctest would not see it; without the blank line it would
            # take the closing fence for output.
            assert text.startswith(">>> ") and text.endswith("\n\n")


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command):
    words = shlex.split(command)
    while "=" in words[0]:  # a setting in front of the command
        words.pop(0)
    assert words[0] == "make"
    done = subprocess.run(
        ["make", "--dry-run", *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for script in re.findall(r"scripts/\w+\.\w+", done.stdout):
        assert (ROOT / script).is_file()


@pytest.mark.parametrize(
    "name",
    re.findall(r"\]\((?!http)([^)#]+)\)", README)
    + re.findall(r"`([A-Z]+(?:\.\w+)?|\w+\.lock)`", README),
)
def test_file(name):
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "CHANGELOG.md"])
def test_version(name):
    assert lnlib.__version__ in (ROOT / name).read_text(encoding="utf-8")
