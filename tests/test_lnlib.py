"""The package: what an import brings in, and what it does not."""

import subprocess
import sys

import pytest

import lnlib


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_in_no_heavy_package():
    heavy = ["torch", "jax", "matplotlib", "sklearn", "scipy", "numba", "IPython"]
    loaded = run(
        f"import sys, lnlib; print([m for m in {heavy} if m in sys.modules], end='')"
    )
    assert loaded == "[]"


def test_neither_do_mistakes_and_diagnosis():
    heavy = ["torch", "jax", "matplotlib", "sklearn", "scipy", "numba", "IPython"]
    code = "import sys, lnlib; lnlib.mistakes; lnlib.diagnosis; lnlib.diagnose;"
    code += f"print([m for m in {heavy} if m in sys.modules], end='')"
    assert run(code) == "[]"


def test_diagnose_is_a_function_whatever_was_imported_first():
    code = "import lnlib.diagnosis, lnlib; from lnlib.diagnosis import Report;"
    assert run(code + "print(callable(lnlib.diagnose))") == "True"


def test_normalizing_a_numpy_array_does_not_import_torch():
    code = "import sys, numpy as np, lnlib; lnlib.layer_norm(np.ones((2, 3)), 3);"
    assert run(code + "print('torch' in sys.modules)") == "False"


def test_import_takes_under_a_fifth_of_a_second():
    # Of the processor's time, and the best of several, since other processes can only
    # make it slower.
    code = "import time; t = time.process_time(); import lnlib;"
    code += "print(time.process_time() - t)"
    assert min(float(run(code)) for _ in range(5)) < 0.2


def test_submodules_come_on_first_use():
    code = "import sys, lnlib; lnlib.nn.LayerNorm(3); print('torch' in sys.modules)"
    assert run(code) == "True"
    assert {"nn", "lab", "pages", "mistakes", "diagnose", "layer_norm"} <= set(
        dir(lnlib)
    )


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'layernorm'"):
        _ = lnlib.layernorm


def test_all_names_exist():
    for name in lnlib.__all__:
        assert hasattr(lnlib, name), name


def test_nn_without_torch_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; import lnlib\n"
    code += "try: lnlib.nn\nexcept ModuleNotFoundError as e: print(e)"
    assert "pip install 'lnlib[torch]'" in run(code)


def test_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert lnlib.__version__ == version("lnlib")
