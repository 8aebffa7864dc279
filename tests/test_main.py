"""python -m lnlib: what it prints, how it ends, and what it imports."""

import json
import subprocess
import sys

import pytest

from lnlib import __main__, commands
from lnlib.commands import UsageError, load, write

NORMS = """
import numpy as np
import lnlib

def good(x, shape, weight=None, bias=None, eps=1e-5):
    return lnlib.layer_norm(x, shape, weight, bias, eps)

def bad(x, shape, weight=None, bias=None, eps=1e-5):
    return np.tanh(x)

class Inside:
    norm = staticmethod(good)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: a module of norms, and some that cannot be imported."""
    for name, text in {
        "norms.py": NORMS,
        "raises.py": "import os\n\nvalue = 1 / 0  # at once\n",
        "exits.py": "import sys\nsys.exit(5)\n",
        "misspelt.py": "def f(:\n    pass\n",
        "needs.py": "import a_package_that_is_not_there\n",
        "lazy.py": "def __getattr__(name):\n    raise OSError('gone')\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("norms", "raises", "exits", "misspelt", "needs", "lazy"):
        sys.modules.pop(name, None)


def shell(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "lnlib", *words],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env=None,
        check=False,
    )


# ------------------------------------------------------------ from a shell


def test_from_a_shell(folder):
    done = shell(folder, "diagnose", "norms:good", "--dtypes", "float64")
    assert (done.returncode, done.stderr) == (0, "")
    assert "A layer norm: no fault in " in done.stdout
    done = shell(folder, "diagnose", "norms:bad", "--dtypes", "float64")
    assert (done.returncode, done.stderr) == (1, "")
    assert "Not a layer norm" in done.stdout
    done = shell(folder, "diagnose", "nowhere:norm")
    assert done.returncode == 2 and done.stdout == ""
    assert "found no module 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_is_imported_only_when_it_is_used():
    code = "import sys; from lnlib import __main__\n"
    code += "print(__main__.main(['--help']), 'lnlib.diagnosis' in sys.modules, end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("0 False")
    assert "diagnose" in done.stdout and "is a function a layer norm?" in done.stdout


# ------------------------------------------------------------ commands


def test_commands_are_listed_and_each_has_its_two_functions(capsys):
    import importlib

    assert __main__.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (module, purpose) in __main__.COMMANDS.items():
        assert name in out and purpose in out
        found = importlib.import_module(module)
        assert callable(found.arguments) and callable(found.run)


@pytest.mark.parametrize("words", [[], ["bogus"], ["diagnose"], ["diagnose", "--x"]])
def test_words_that_make_no_sense(words, capsys):
    assert __main__.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: python -m lnlib")


def test_another_command_is_one_line(monkeypatch, capsys):
    module = type(sys)("lnlib.commands.shout")
    module.arguments = lambda parser: parser.add_argument("word")
    module.run = lambda options: print(options.word.upper()) or 7
    monkeypatch.setitem(sys.modules, "lnlib.commands.shout", module)
    monkeypatch.setitem(
        __main__.COMMANDS, "shout", ("lnlib.commands.shout", "say it louder")
    )
    assert __main__.main(["shout", "hello"]) == 7
    assert capsys.readouterr().out == "HELLO\n"


# ------------------------------------------------------------ diagnose


def test_diagnose_in_three_formats(folder, capsys):
    words = ["diagnose", "norms:Inside.norm", "--dtypes", "float64,float32"]
    assert __main__.main(words) == 0
    assert "no fault in" in capsys.readouterr().out
    assert __main__.main([*words, "--format", "md"]) == 0
    assert "| check " in capsys.readouterr().out
    assert __main__.main([*words, "--format", "json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["ok"] is True and read["dtypes"] == ["float64", "float32"]


def test_diagnose_with_a_backward(folder, capsys):
    words = ["diagnose", "lnlib:layer_norm", "--arrays", "numpy"]
    words += ["--dtypes", "float64", "float32", "--format", "json", "--backward"]
    assert __main__.main([*words, "lnlib:layer_norm_backward"]) == 0
    capsys.readouterr()
    wrong = "lnlib.mistakes:gradient_without_mean_terms"
    assert __main__.main([*words, wrong]) == 1
    read = json.loads(capsys.readouterr().out)
    assert read["mistakes"] == ["gradient_without_mean_terms"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["norms"], "expected module:function, but got 'norms'"),
        ([":good"], "expected module:function, but got ':good'"),
        (["norms:"], "expected module:function, but got 'norms:'"),
        (["norms:worse"], "found no 'worse' in norms"),
        (["norms:good.better"], "found no 'better' in norms:good"),
        (["nowhere:f"], "found no module 'nowhere'; looked in the current directory"),
        (["lnlib.nowhere:f"], "found no module 'lnlib.nowhere'"),
        (["nowhere.deeper:f"], "found no module 'nowhere'"),
        (["..norms:good"], "..norms cannot be imported: TypeError"),
        (
            ["raises:f"],
            "raises cannot be imported: ZeroDivisionError: division by zero, line 3: "
            "value = 1 / 0",
        ),
        (["exits:f"], "exits cannot be imported: SystemExit: 5, line 2: sys.exit(5)"),
        (["misspelt:f"], "misspelt cannot be imported: SyntaxError: "),
        (
            ["needs:f"],
            "needs cannot be imported: ModuleNotFoundError: No module named "
            "'a_package_that_is_not_there', line 1",
        ),
        (["lazy:f"], "lazy:f cannot be imported: OSError: gone, line 2: raise OSError"),
        (["norms:good", "--backward", "norms:worse"], "found no 'worse' in norms"),
        (["norms:good", "--dtypes", "float31"], "Expected dtypes out of"),
        (["norms:good", "--device", "nowhere"], "nowhere"),
        (["torch.nn:Linear"], "wrap Linear in a function"),
    ],
)
def test_what_is_not_there_is_said_without_a_traceback(folder, capsys, words, message):
    assert __main__.main(["diagnose", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    assert err.startswith("python -m lnlib diagnose: ") and message in err


def test_load():
    import lnlib

    assert load("lnlib:layer_norm") is lnlib.layer_norm
    with pytest.raises(UsageError):
        load("lnlib")


def test_a_terminal_that_lacks_the_letters(monkeypatch, capfdbinary):
    import io

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    write("σ² + ε")
    sys.stdout.flush()
    assert raw.getvalue() == b"?? + ?\n"


def test_an_interrupt_passes(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    import norms

    monkeypatch.setattr(norms, "good", interrupted)
    with pytest.raises(KeyboardInterrupt):
        __main__.main(["diagnose", "norms:good"])


def test_who_does_not_read_gets_no_traceback():
    child = subprocess.Popen(
        [sys.executable, "-m", "lnlib", "claims"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.close()  # before anything is written, since a pipe holds 64 KiB
    assert child.stderr.read() == ""
    assert child.wait(timeout=60) == 141


def test_the_usage_error_is_one_class():
    # Under python -m the module is __main__, and lnlib.__main__ would be another.
    assert __main__.UsageError is commands.UsageError
