"""diagnose: it names every mistake in whatever code, and none where there is none.

Where it is claimed that torch loses digits, the test asserts that it does. If torch
mends that, the test fails, and the claim is to be taken out of the book.
"""

import functools
import itertools
import json
import math
import os
import subprocess
import sys
import time
import warnings

import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
from twins import BACKWARD, FORWARD

import lnlib
from lnlib import diagnosis, functional, loops, mistakes
from lnlib.diagnosis import Check, Report, battery, diagnose, from_module, inputs
from lnlib.errors import DtypeError
from lnlib.mistakes import MISTAKES, combined, named

DEFINITIONS = [m for m in MISTAKES if m.kind == "forward" and m.loses == "definition"]


def names(found):
    return [m.name for m in found]


def found(report):
    """The names of the mistakes, if they explain every fault and nothing else does."""
    assert not report.ok
    assert report.unexplained == () and report.alternatives == ()
    return set(names(report.mistakes))


def faults(report):
    return [c.name for c in report.faults]


# ------------------------------------------------------------ every mistake


@pytest.mark.parametrize("name", FORWARD)
def test_names_each_mistake_in_code_it_does_not_know(name):
    report = diagnose(FORWARD[name], arrays="numpy")
    assert found(report) == {name}
    assert report.name == name
    assert bool(report.example) == (named(name).loses == "definition")


@pytest.mark.parametrize("name", BACKWARD)
def test_names_each_mistake_of_the_gradient(name):
    report = diagnose(lnlib.layer_norm, BACKWARD[name], arrays="numpy")
    assert found(report) == {name}


@pytest.mark.parametrize("mistake", MISTAKES, ids=names(MISTAKES))
def test_names_each_mistake_of_the_collection_in_torch(mistake):
    if mistake.kind == "forward":
        report = diagnose(mistake.function, arrays="torch")
    else:
        report = diagnose(F.layer_norm, mistake.function, arrays="torch")
    assert found(report) == {mistake.name}


@pytest.mark.parametrize("mistake", DEFINITIONS, ids=names(DEFINITIONS))
def test_names_it_from_one_dtype(mistake):
    for dtype in ("float64", "float32"):
        report = diagnose(FORWARD[mistake.name], arrays="numpy", dtypes=[dtype])
        assert found(report) == {mistake.name}


PAIRS = [
    (a, b)
    for a, b in itertools.combinations(DEFINITIONS, 2)
    if not a.function.parts.keys() & b.function.parts.keys()
]


@pytest.mark.parametrize("start", range(8))
def test_names_two_mistakes_at_once(start):
    # All pairs there are, shared out over eight tests.
    assert len(PAIRS) > 60
    for a, b in PAIRS[start::8]:
        report = diagnose(
            combined(a.function, b.function), arrays="numpy", dtypes=["float64"]
        )
        sets = [report.mistakes, *report.alternatives]
        assert {a.name, b.name} in [set(names(s)) for s in sets]
        assert report.unexplained == ()


def test_names_the_two_of_the_annotated_transformer():
    def annotated(x, row, weight, bias, eps):
        axes = tuple(range(-len(row), 0))
        mean, std = x.mean(axes, keepdim=True), x.std(axes, keepdim=True)
        y = (x - mean) / (std + eps)
        return y * (1 if weight is None else weight) + (0 if bias is None else bias)

    report = diagnose(annotated, dtypes=["float64", "float32"])
    assert report.arrays == "torch"
    assert found(report) == {"bessel_correction", "eps_outside_root"}
    # In half precision it does what torch does when it is told nothing else.
    lost = {"low_precision_statistics", "eps_lost_in_half"}
    assert found(diagnose(annotated)) == {*found(report), *lost}
    # Its gradient is the right one of the wrong function, and is held to that.
    gradients = [c for c in report.checks if "gradient" in c.name]
    assert gradients[0].status == "passed" and "what it computes" in gradients[0].note


def test_names_four_at_once_in_a_module_with_parameters_of_one_number():
    class LayerNormalization(torch.nn.Module):
        def __init__(self, features, eps=1e-6):
            super().__init__()
            self.eps = eps
            self.alpha = torch.nn.Parameter(torch.ones(1))
            self.beta = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return self.alpha * (x - mean) / (std + self.eps) + self.beta

    four = {"bessel_correction", "eps_outside_root", "scalar_gain", "last_axis_only"}
    assert found(diagnose(LayerNormalization, dtypes=["float64", "float32"])) == four


def test_torch_s_rms_norm_is_what_it_is():
    two = {"no_centring", "bias_missing"}
    assert found(diagnose(torch.nn.RMSNorm, dtypes=["float64"])) == two


def test_a_definition_and_digits_at_once():
    def labml(x, row, weight, bias, eps):
        mean = x.mean(-1, keepdims=True)
        variance = (x**2).mean(-1, keepdims=True) - mean**2
        y = (x - mean) / np.sqrt(variance + eps)
        return y * (1 if weight is None else weight) + (0 if bias is None else bias)

    two = {"one_pass_variance", "last_axis_only"}
    assert found(diagnose(labml, dtypes=["float64", "float32"])) == two


def test_statistics_that_are_detached():
    def detached(x, row, weight, bias, eps):
        _, mean, rstd = lnlib.layer_norm_forward(x.detach(), row, None, None, eps)
        y = (x - mean) * rstd
        y = y if weight is None else y * weight
        return (y if bias is None else y + bias).to(x.dtype)

    report = diagnose(detached, dtypes=["float64"])
    assert found(report) == {"gradient_without_mean_terms"}
    assert "gradient of the input, dx" in faults(report)
    assert "of the gain, dweight" not in faults(report)


def test_a_gain_by_its_mean_is_a_scalar_gain():
    def norm(x, row, weight=None, bias=None, eps=1e-5):
        y = lnlib.layer_norm(x, row, None, None, eps)
        y = y if weight is None else y * weight.mean()
        return y if bias is None else y + bias.mean()

    assert found(diagnose(norm, arrays="numpy", dtypes=["float64"])) == {"scalar_gain"}


def test_what_no_input_can_tell_apart_is_named_too():
    def norm(x, row, weight, bias, eps):
        if x.ndim != 2:
            raise ValueError("two axes, please")
        return FORWARD["statistics_over_batch"](x, row, weight, bias, eps)

    report = diagnose(norm, arrays="numpy", dtypes=["float64"])
    sets = [report.mistakes, *report.alternatives]
    assert {s[0].name for s in sets} == {
        "statistics_over_batch",
        "statistics_over_sequence",
    }
    assert "looks the same" in str(report)
    # The refusals are faults of their own.
    assert "(2, 4, 5) over the last axis" in report.unexplained


def test_what_is_not_known_is_said_to_be_unknown():
    def softmax(x, row, weight, bias, eps):
        y = np.exp(x - x.max())
        return y / y.sum()

    report = diagnose(softmax)
    assert report.mistakes == () and set(report.unexplained) == set(faults(report))
    assert "No known mistake explains" in str(report)
    assert "expected" in report.example and "returned" in report.example
    digits = [c for c in report.checks if c.kind == "digits"]
    assert digits and all(c.status == "not checked" for c in digits)


def test_the_example_is_a_small_input_with_what_was_to_come():
    report = diagnose(FORWARD["bessel_correction"], dtypes=["float64"])
    assert report.example.splitlines() == [
        "For example, an input of (1, 4), eps = 1e-05:",
        "  input           1         2         3         6",
        "  expected   -1.069   -0.5345         0     1.604",
        "  returned  -0.9258   -0.4629         0     1.389",
    ]
    # Where the tiny input does not show it, another is looked for.
    report = diagnose(FORWARD["bias_before_gain"], dtypes=["float64"])
    assert "gain" in report.example and "bias" in report.example
    report = diagnose(FORWARD["statistics_over_sequence"], dtypes=["float64"])
    assert "an input of" in report.example
    # And one is shown on which four digits tell them apart.
    for name in ("eps_outside_root", "eps_missing"):
        lines = diagnose(FORWARD[name], dtypes=["float64"]).example.splitlines()
        expected, returned = (line.split()[1:] for line in lines[-2:])
        assert expected != returned


# ------------------------------------------------------------ good ones


def by_loops(x, row, weight=None, bias=None, eps=1e-5):
    rows = x.reshape(-1, math.prod(row)).tolist()
    flat = [None if p is None else p.ravel().tolist() for p in (weight, bias)]
    y = [loops.layer_norm(r, *flat, eps) for r in rows]
    return np.array(y, x.dtype).reshape(x.shape)


def by_loops_backward(dy, x, row, mean, rstd, weight=None):
    flat = [a.reshape(-1, math.prod(row)).tolist() for a in (dy, x)]
    statistics = [a.ravel().tolist() for a in (mean, rstd)]
    gain = None if weight is None else weight.ravel().tolist()
    parts = [
        loops.layer_norm_backward(d, r, m, s, gain)
        for d, r, m, s in zip(*flat, *statistics, strict=True)
    ]
    dx, dweight, dbias = map(np.array, zip(*parts, strict=True))
    return (
        dx.reshape(x.shape).astype(x.dtype),
        dweight.sum(0).reshape(row),
        dbias.sum(0).reshape(row),
    )


def by_jax(x, row, weight=None, bias=None, eps=1e-5):
    x, weight, bias = (None if a is None else jnp.asarray(a) for a in (x, weight, bias))
    return lnlib.layer_norm(x, row, weight, bias, eps)


def plain_numpy(x, row, weight=None, bias=None, eps=1e-5):
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    axes = tuple(range(-len(row), 0))
    y = wide - wide.mean(axes, keepdims=True)
    y = y / np.sqrt(wide.var(axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def plain_torch(x, row, weight=None, bias=None, eps=1e-5):
    wide = x if x.dtype in (torch.float64, torch.float32) else x.float()
    axes = tuple(range(-len(row), 0))
    y = wide - wide.mean(axes, keepdim=True)
    y = y / (wide.var(axes, correction=0, keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).to(x.dtype)


GOOD = {
    "lnlib.layer_norm, NumPy": (lnlib.layer_norm, {"arrays": "numpy"}),
    "lnlib.layer_norm, NumPy, with its backward": (
        lnlib.layer_norm,
        {"arrays": "numpy", "backward": lnlib.layer_norm_backward},
    ),
    "lnlib.layer_norm, torch": (lnlib.layer_norm, {"arrays": "torch"}),
    "lnlib.layer_norm, torch, with its backward": (
        lnlib.layer_norm,
        {"arrays": "torch", "backward": lnlib.layer_norm_backward},
    ),
    "lnlib.nn.layer_norm": (lnlib.nn.layer_norm, {}),
    "lnlib.nn.LayerNorm": (lnlib.nn.LayerNorm, {}),
    "lnlib.loops": (by_loops, {"backward": by_loops_backward}),
    "mistakes.combined()": (combined(), {"arrays": "torch"}),
    "plain NumPy": (plain_numpy, {}),
    "plain torch": (plain_torch, {}),
    # Where torch's own is right: in float64 everywhere, in the others forward.
    "torch's F.layer_norm": (F.layer_norm, {"dtypes": ("float64",)}),
    "torch's nn.LayerNorm": (torch.nn.LayerNorm, {"dtypes": ("float64",)}),
    "an instance": (torch.nn.LayerNorm(8), {"dtypes": ("float64",)}),
    "torch.native_layer_norm": (
        lambda *given: torch.native_layer_norm(*given)[0],
        {"dtypes": ("float64",)},
    ),
    "F.layer_norm with a better gradient": (
        F.layer_norm,
        {"backward": lnlib.layer_norm_backward, "arrays": "torch"},
    ),
    "a partial": (functools.partial(lnlib.nn.layer_norm), {}),
}


@pytest.mark.parametrize("name", GOOD)
def test_finds_no_fault_where_there_is_none(name):
    norm, options = GOOD[name]
    report = diagnose(norm, **options)
    assert report.ok, str(report)
    assert report.mistakes == report.unexplained == report.alternatives == ()
    assert report.example == ""
    assert report.verdict.startswith("A layer norm: no fault in ")


@pytest.mark.parametrize("name", ["lnlib.nn.layer_norm", "plain torch"])
def test_everything_is_checked_with_torch(name):
    report = diagnose(GOOD[name][0])
    assert all(c.status == "passed" for c in report.checks)
    assert report.dtypes == ("float64", "float32", "bfloat16", "float16")


def test_finds_no_fault_in_jax():
    assert diagnose(by_jax, arrays="numpy", dtypes=["float32"]).ok
    # In float64 JAX computes in float32 unless told otherwise, and says so by the
    # dtype.
    report = diagnose(by_jax, arrays="numpy", dtypes=["float64"])
    assert faults(report) == ["the dtype is that of the input", "y, float64"]
    assert "but got float32" in report.faults[0].note


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_torch_loses_digits_in_these_places_and_no_others(four_threads):
    report = diagnose(F.layer_norm)
    assert faults(report) == [
        "dx, float32, row mean 1e4",
        "dweight, bfloat16, 8192 rows",
        "dbias, bfloat16, 8192 rows",
        "dweight, float16, 8192 rows",
        "dbias, float16, 8192 rows",
    ]
    assert found(report) == {"uncentred_gradient", "low_precision_accumulation"}
    assert {c.kind for c in report.faults} == {"digits"}
    assert report.verdict == "A layer norm that loses digits: in 5 of 47 checks."
    by_name = {c.name: c for c in report.checks}
    # On one thread, whatever is set: the sum of ones stops at 256, or at 2048.
    assert by_name["dbias, bfloat16, 8192 rows"].error == 1 - 256 / 8192
    assert by_name["dbias, float16, 8192 rows"].error == 1 - 2048 / 8192


def test_the_bound_of_y_allows_a_mean_that_is_rounded_once_and_no_more():
    """Of x - mean no more than that is lost; who centres twice loses nothing of it."""
    u, name = 2.0**-24, "y, float32, row mean 1e4"

    def error(function):
        checks = diagnose(function, arrays="torch", dtypes=["float32"]).checks
        return next(c for c in checks if c.name == name)

    def rough(x, row, weight=None, bias=None, eps=1e-5):
        axes = tuple(range(-len(row), 0))
        mean = x.mean(axes, keepdim=True)
        moved = mean * (1 + 64 * u * (mean.abs() > 5e3))  # off by 64 roundings
        y = (x - moved) / ((x - mean).square().mean(axes, keepdim=True) + eps).sqrt()
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    torchs, ours = error(F.layer_norm), error(lnlib.nn.layer_norm)
    assert torchs.status == ours.status == "passed"
    assert torchs.error > u * 1e4 / 4 and ours.error < 64 * u
    assert error(rough).status == "fault"


def test_computing_in_float32_is_a_loss_of_digits_and_no_other_definition():
    def narrow(x, row, weight=None, bias=None, eps=1e-5):
        return plain_numpy(x.astype(np.float32), row, weight, bias, eps).astype(x.dtype)

    report = diagnose(narrow)
    assert faults(report) == ["y, float64"]
    assert report.unexplained == ("y, float64",) and report.mistakes == ()


# ------------------------------------------------------------ hostile ones


def only(report, name):
    """The one check that failed, of that name."""
    assert faults(report) == [name]
    assert report.mistakes == ()
    return report.faults[0]


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize(
    "function, note",
    [
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda *_: None, "expected an array, but got NoneType"),
        (lambda x, *_: x[..., :1], "expected the shape (3, 5), but got (3, 1)"),
        (lambda x, *_: (x, x, x), "expected an array, but got a tuple of 3"),
        (lambda x, *_: "x", "expected an array, but got str"),
        (lambda x, *_: 3.0, "expected an array, but got float"),
        (lambda x: x, "TypeError: "),
        (lambda a, b, c, d, e, f: a, "TypeError: "),
        (lambda *_: sys.exit(3), "SystemExit: 3"),
        (lambda *_: sys.exit(), "SystemExit"),
    ],
)
def test_what_cannot_be_used_is_reported(arrays, function, note):
    report = diagnose(function, arrays=arrays)
    assert note in only(report, "it can be called").note
    assert report.verdict == "Not usable as a layer norm: 1 of 1 checks fail."
    assert note.split(",")[0] in " ".join(str(report).split())


@pytest.mark.parametrize("thing", [3, None, "text", [1], np.ones(3)])
def test_what_is_no_function_is_reported(thing):
    check = only(diagnose(thing), "it can be called")
    assert check.note == f"expected fn to be a function, but got {type(thing).__name__}"
    check = only(diagnose(lnlib.layer_norm, 3), "it can be called")
    assert check.note == "expected backward to be a function, but got int"


def test_a_class_makes_no_array():
    class Norm:
        def __init__(self, *given):
            pass

    note = only(diagnose(Norm), "it can be called").note
    assert note == "expected an array, but got Norm"


def test_endless_recursion_is_reported():
    def norm(*given):
        return norm(*given)

    note = only(diagnose(norm), "it can be called").note
    assert note == "RecursionError: it calls itself without end"


def test_an_interrupt_is_the_users():
    def norm(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(norm)


def test_addresses_in_errors_do_not_show():
    def norm(*_):
        raise ValueError(f"{object()!r}\n  over two lines " + "x " * 200)

    note = only(diagnose(norm), "it can be called").note
    assert "object at 0x...>" in note and "\n" not in note and len(note) < 200


def test_another_dtype_is_a_fault_of_the_call():
    def norm(x, *rest):
        return lnlib.layer_norm(x, *rest).astype(np.float32)

    report = diagnose(norm, arrays="numpy", dtypes=["float64"])
    assert "expected float64, but got float32" in report.faults[0].note
    assert report.faults[0].name == "the dtype is that of the input"


def test_one_dtype_that_comes_back_as_another():
    def norm(x, row, weight, bias, eps):
        y = F.layer_norm(x.float(), row, weight.float(), bias.float(), eps)
        return y if x.dtype == torch.bfloat16 else y.to(x.dtype)

    report = diagnose(norm, dtypes=["float32", "bfloat16"])
    names_ = faults(report)
    assert names_[0] == "bfloat16 comes back as bfloat16"
    assert "it comes back as float32" in str(report)
    # It needs both parameters, and is told that they may be absent.
    assert {"gain alone", "bias alone", "neither gain nor bias"} <= set(names_)


def test_nan_is_a_fault_that_nothing_explains():
    report = diagnose(lambda x, *_: x * np.nan, arrays="numpy", dtypes=["float64"])
    assert report.mistakes == () and report.unexplained
    measured = {c.measured for c in report.faults if c.kind == "definition"}
    assert measured == {"NaN"}
    assert "nan" in report.example


def test_infinity_is_told_from_nan():
    report = diagnose(lambda x, *_: x / 0, arrays="numpy", dtypes=["float64"])
    assert "infinite" in {c.measured for c in report.faults}


def test_writing_into_the_arguments_is_seen_and_harms_nobody():
    def norm(x, row, weight, bias, eps):
        x -= x.mean(-1, keepdims=True)
        if bias is not None:
            bias += 0.0
            bias[...] = -bias
        return x

    report = diagnose(norm, arrays="numpy", dtypes=["float64"])
    check = next(c for c in report.faults if c.name.startswith("the arguments"))
    assert check.note == "it writes into bias, input"
    assert diagnose(lnlib.layer_norm, arrays="numpy").ok


def test_a_random_answer_is_seen():
    rng = np.random.default_rng(0)

    def norm(x, row, weight, bias, eps):
        return lnlib.layer_norm(x, row, weight, bias, eps) + 1e-9 * rng.random(x.shape)

    report = diagnose(norm, arrays="numpy", dtypes=["float64"])
    assert "the same answer every time" in faults(report)


def test_a_state_that_is_kept_is_seen():
    class Running:
        calls = 0

        def __call__(self, x, row, weight, bias, eps):
            self.calls += 1
            y = lnlib.layer_norm(x, row, weight, bias, eps)
            return y if self.calls < 15 else 2 * y

    report = diagnose(Running(), arrays="numpy", dtypes=["float64"])
    assert "the same answer every time" in faults(report)
    assert report.name == "Running"


def test_what_it_prints_and_warns_is_not_ours(capsys, recwarn):
    def norm(*given):
        print("chatty")
        warnings.warn("watch out", stacklevel=1)
        return lnlib.nn.layer_norm(*given)

    report = diagnose(norm)
    assert report.ok and capsys.readouterr().out == "" and not recwarn.list
    assert "what it printed is not shown" in str(report)


def test_strange_objects():
    class Strange:
        def __getattr__(self, name):
            raise RuntimeError("go away")

        def __call__(self, *given):
            return lnlib.layer_norm(*given)

    report = diagnose(Strange(), arrays="numpy", dtypes=["float64"])
    assert report.ok and report.name == "Strange"
    assert diagnose(Strange(), dtypes=["float64"]).ok

    class Unreadable:
        shape, dtype = (3, 5), np.dtype(float)

        def __array__(self, *_, **__):
            raise OSError("gone")

    report = diagnose(lambda *_: Unreadable(), arrays="numpy")
    note = only(report, "it can be called").note
    assert note == "expected an array, but got OSError: gone"


def test_a_dtype_that_it_refuses_is_not_checked():
    def norm(x, *rest):
        if x.dtype in (torch.float16, torch.bfloat16):
            raise NotImplementedError("not for half")
        return lnlib.nn.layer_norm(x, *rest)

    report = diagnose(norm)
    assert report.ok
    skipped = {c.name: c.note for c in report.checks if c.status == "not checked"}
    assert skipped["bfloat16"] == "NotImplementedError: not for half"
    assert skipped["y, float16, row mean 32"] == "it does not take float16"
    # If the widest dtype is the one it refuses, the next takes its place.
    report = diagnose(lambda x, *rest: norm(x.float(), *rest), dtypes=["float32"])
    assert report.ok


def test_float32_alone_can_be_taken():
    def norm(x, *rest):
        assert x.dtype == np.float32
        return lnlib.layer_norm(x, *rest)

    report = diagnose(norm, arrays="numpy")
    assert report.ok
    assert "float32 comes back" not in str(report)
    skipped = [c.name for c in report.checks if c.status == "not checked"]
    assert {"float64", "float16", "y, float64"} <= set(skipped)


def test_an_output_without_a_gradient_is_not_checked_for_one():
    report = diagnose(lambda x, *rest: lnlib.layer_norm(x.detach(), *[
        r.detach() if isinstance(r, torch.Tensor) else r for r in rest
    ]), arrays="torch", dtypes=["float64"])  # fmt: skip
    assert report.ok
    notes = {c.note for c in report.checks if c.status == "not checked"}
    assert notes == {"no gradient reaches the output"}


def test_a_parameter_that_gets_no_gradient_has_a_wrong_one():
    def norm(x, row, weight, bias, eps):
        bias = None if bias is None else bias.detach()
        return lnlib.nn.layer_norm(x, row, weight, bias, eps)

    report = diagnose(norm, dtypes=["float64"])
    assert faults(report) == ["of the bias, dbias"]
    assert report.unexplained == ("of the bias, dbias",)


@pytest.mark.parametrize(
    "backward, note",
    [
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda *_: None, "expected (dx, dweight, dbias), but got NoneType"),
        (lambda dy, *_: (dy, dy), "expected (dx, dweight, dbias), but got tuple of 2"),
        (lambda dy, *_: (dy, dy, dy), "dweight: expected the shape (6,), but got"),
        (lambda dy, *_: (None,) * 3, "dx: expected dx as an array, but got NoneType"),
    ],
)
def test_a_backward_that_cannot_be_used_is_reported(backward, note):
    report = diagnose(lnlib.layer_norm, backward, arrays="numpy", dtypes=["float64"])
    assert len(report.faults) == 3
    assert all(c.note.startswith(note) for c in report.faults)


def test_a_right_gradient_beside_a_wrong_definition_is_found_right():
    report = diagnose(
        FORWARD["bessel_correction"], lnlib.layer_norm_backward, arrays="numpy"
    )
    assert found(report) == {"bessel_correction"}
    assert not any(c.name.startswith(("dx", "dweight")) for c in report.faults)
    report = diagnose(FORWARD["no_centring"], BACKWARD["mean_subtracted_twice"])
    assert found(report) == {"no_centring", "mean_subtracted_twice"}


# ------------------------------------------------------------ modules


def test_a_module_is_built_for_each_call():
    class Norm(torch.nn.Module):
        def __init__(self, shape):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(shape))
            self.scale = torch.nn.Parameter(torch.ones(shape))

        def forward(self, x):
            return lnlib.nn.layer_norm(x, self.scale.shape, self.scale, self.shift)

    # It takes no eps, and that is all that is wrong with it.
    report = diagnose(Norm, dtypes=["float64"])
    assert set(faults(report)) == {"the ε that is passed is used"}
    assert report.name == "Norm"
    assert diagnose(Norm((4,)), dtypes=["float64"]).verdict == report.verdict


def test_a_module_that_cannot_be_made_a_function():
    with pytest.raises(TypeError, match=r"parameters that start at ones .* got weight"):
        diagnose(torch.nn.PReLU())
    with pytest.raises(TypeError, match=r"\(normalized_shape, eps=eps\), but got Type"):
        diagnose(torch.nn.Linear)
    with pytest.raises(TypeError, match="wrap GroupNorm in a function"):
        from_module(torch.nn.GroupNorm(2, 4))
    with pytest.raises(TypeError, match="Expected a torch module, but got int"):
        from_module(3)


def test_a_module_without_parameters():
    norm = from_module(torch.nn.Identity)
    assert norm.__name__ == "Identity"
    report = diagnose(torch.nn.Identity, dtypes=["float64"])
    assert not report.ok and report.mistakes == ()


# ------------------------------------------------------------ the report


@pytest.fixture(scope="module")
def reports():
    return [
        diagnose(F.layer_norm),
        diagnose(lnlib.nn.layer_norm),
        diagnose(combined(*(m.function for m in PAIRS[0])), arrays="numpy"),
        diagnose(lambda *_: 1 / 0),
        diagnose(FORWARD["statistics_over_tokens"]),
    ]


def test_the_text_fits_a_terminal(reports):
    for report in reports:
        lines = str(report).splitlines()
        assert max(map(len, lines)) < 88
        assert repr(report) == str(report)
        assert not any(line.endswith(" ") for line in lines)
        assert report.verdict in lines
        bounds = {c.reason for c in report.checks if c.bound is not None}
        assert all(why in " ".join(lines) for why in bounds) and "" not in bounds


def test_the_notebook_shows_a_table(reports):
    for report in reports:
        shown = report._repr_markdown_()
        rows = [line for line in shown.splitlines() if line.startswith("|")]
        assert len(rows) == len(report.checks) + 2
        assert len({row.count("|") for row in rows}) == 1
        assert f"**{report.verdict}**" in shown
        for mistake in report.mistakes:
            assert f"`{mistake.name}`" in shown
            assert mistake.published[0].address in shown


def test_as_dict_is_what_json_takes(reports):
    for report in reports:
        read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert read["ok"] == report.ok
        assert read["mistakes"] == names(report.mistakes)
        assert len(read["checks"]) == len(report.checks)
    report = diagnose(lambda x, *_: x * np.nan, arrays="numpy", dtypes=["float64"])
    assert "nan" in {c["error"] for c in report.as_dict()["checks"]}


def test_its_truth_is_not_defined(reports):
    with pytest.raises(TypeError, match=r"ask for report\.ok"):
        bool(reports[0])


def test_the_same_text_every_time():
    code = "import torch, lnlib; torch.set_num_threads({}); "
    code += "print(lnlib.diagnose(torch.nn.functional.layer_norm))"
    texts = [
        subprocess.run(
            [sys.executable, "-c", code.format(threads)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for threads, seed in ((1, "1"), (4, "2"))
    ]
    assert texts[0] == texts[1] == str(diagnose(F.layer_norm)) + "\n"


@pytest.mark.parametrize(
    "error, status, kind, unit, text",
    [
        (0.0, "passed", "definition", 2**-53, "< 1e-14"),
        (3e-16, "passed", "definition", 2**-53, "< 1e-14"),
        (3e-7, "passed", "definition", 2**-53, "< 1e-6"),
        (9e-4, "passed", "digits", 2**-24, "< 1e-3"),
        (1.1e-3, "passed", "digits", 2**-24, "< 2e-3"),  # and not above the bound
        (1.1e-3, "passed", "digits", 2**-8, "< 2e-3"),
        (0.1339, "fault", "definition", 2**-53, "0.13"),
        (4.44e-6, "fault", "definition", 2**-53, "4.4e-6"),
        (3.1e-4, "fault", "digits", 2**-24, "> 1e-4"),
        (0.97, "fault", "digits", 2**-8, "> 0.1"),
        (2.5, "fault", "digits", 2**-24, "> 1"),
        (math.nan, "fault", "digits", 2**-24, "NaN"),
        (math.inf, "fault", "digits", 2**-24, "infinite"),
        (None, "not checked", "digits", 2**-24, ""),
    ],
)
def test_errors_are_written_so_that_machines_agree(error, status, kind, unit, text):
    check = Check("name", kind, status, error, 2e-3, unit=unit)
    assert check.measured == text


def test_a_plain_function_takes_under_two_seconds():
    diagnose(plain_torch)  # torch loads parts of itself on first use
    for norm in (plain_torch, F.layer_norm, FORWARD["eps_outside_root"]):
        # Seconds of the processor, since other processes can take a share of it.
        start = time.process_time()
        diagnose(norm)
        assert time.process_time() - start < 2


def test_nothing_is_left_changed():
    before = torch.get_num_threads(), torch.is_grad_enabled(), np.geterr()
    torch.set_num_threads(3)
    with torch.no_grad():
        assert diagnose(lnlib.nn.layer_norm, dtypes=["float64"]).ok
        assert torch.get_num_threads() == 3 and not torch.is_grad_enabled()
    with torch.inference_mode():
        assert diagnose(lnlib.nn.layer_norm, dtypes=["float64"]).ok
    with pytest.raises(KeyboardInterrupt):
        diagnose(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled(), np.geterr()) == before


# ------------------------------------------------------------ arguments


def test_arrays_are_found_out():
    assert diagnose(plain_numpy, dtypes=["float64"]).arrays == "numpy"
    assert diagnose(plain_torch, dtypes=["float64"]).arrays == "torch"
    assert diagnose(lnlib.layer_norm, dtypes=["float64"]).arrays == "torch"
    partial = functools.partial(functools.partial(plain_numpy))
    assert diagnose(partial, dtypes=["float64"]).arrays == "numpy"

    class Method:
        def norm(self, x, row, weight, bias, eps):
            return np.asarray(x) - 0.0

    assert diagnose(Method().norm, dtypes=["float64"]).arrays == "numpy"

    def neither(x, row, weight, bias, eps):
        x = x - x.mean(-1, keepdims=True)
        return x / ((x * x).mean(-1, keepdims=True) + eps) ** 0.5

    assert diagnose(neither, dtypes=["float64"]).arrays == "torch"


def test_code_that_names_numpy_is_given_numpy_though_tensors_would_do():
    def norm(x, row, weight, bias, eps):
        axes = tuple(range(-len(row), 0))
        # The deviation of the row in NumPy, and of a sample in torch.
        y = x - x.mean(axes, keepdims=True)
        y = y / (x.std(axes, keepdims=True) ** 2 + eps) ** float(np.float64(0.5))
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    report = diagnose(norm, dtypes=["float64"])
    assert report.arrays == "numpy" and report.ok
    report = diagnose(norm, dtypes=["float64"], arrays="torch")
    assert found(report) == {"bessel_correction"}


def test_only_dtypes_that_are_asked_for():
    report = diagnose(lnlib.layer_norm, dtypes=(torch.float32, np.float64))
    assert report.dtypes == ("float64", "float32")
    report = diagnose(lnlib.layer_norm, dtypes={"bfloat16"})
    assert report.arrays == "torch" and report.dtypes == ("bfloat16",) and report.ok


@pytest.mark.parametrize(
    "options, error, match",
    [
        ({"arrays": "jax"}, ValueError, 'arrays to be "numpy", "torch" or None'),
        ({"dtypes": "float64"}, TypeError, "dtypes to be a list of names"),
        ({"dtypes": []}, DtypeError, "Expected dtypes out of"),
        ({"dtypes": ["float31"]}, DtypeError, r"but got \['float31'\]"),
        (
            {"dtypes": ["bfloat16"], "arrays": "numpy"},
            DtypeError,
            "out of float64, float32, float16, but",
        ),
        ({"device": "cpu", "arrays": "numpy"}, ValueError, "Expected no device"),
        ({"device": "nowhere"}, RuntimeError, "nowhere"),
    ],
)
def test_bad_arguments_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        diagnose(lnlib.layer_norm, **options)


def test_a_device_means_torch():
    report = diagnose(plain_torch, device="cpu", dtypes=["float64"])
    assert report.ok and report.arrays == "torch"


def test_without_torch():
    code = """
import sys; sys.modules["torch"] = None
import lnlib
from lnlib.diagnosis import diagnose
report = diagnose(lnlib.layer_norm)
print(report.ok, report.arrays, report.dtypes)
for options in ({"arrays": "torch"}, {"dtypes": ["bfloat16"]}):
    try: diagnose(lnlib.layer_norm, **options)
    except (ModuleNotFoundError, ValueError, TypeError) as e: print(e)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "True numpy ('float64', 'float32', 'float16')"
    assert "pip install 'lnlib[torch]'" in lines[1]
    assert "PyTorch, which has more, is not installed" in lines[2]


def test_a_numpy_function_is_diagnosed_without_importing_torch():
    code = "import sys, numpy as np, lnlib\n"
    code += "def f(x, s, w=None, b=None, eps=1e-5): return np.tanh(x)\n"
    code += "print(lnlib.diagnose(f).ok, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


# ------------------------------------------------------------ what it measures with


def test_the_truth_is_that_of_the_oracle():
    given = inputs._inputs()["gradient"]
    dy = np.random.default_rng(0).standard_normal(given.x.shape)
    truth = oracle.forward(given.x, given.weight, given.bias, given.eps)
    assert oracle.error(inputs._truth(given), truth) < 1e-18
    found_ = inputs._true_gradients(given, dy)
    for a, b in zip(
        found_, oracle.gradients(dy, given.x, given.weight, given.eps), strict=True
    ):
        assert oracle.error(a, b) < 1e-18


def test_the_inputs_are_the_same_every_time():
    a, b = inputs._inputs(), inputs._inputs()
    assert all(np.array_equal(a[name].x, b[name].x) for name in a)


@pytest.mark.parametrize("check", range(19))
def test_each_check_of_the_definition_can_fail(check):
    name, _ = battery._DEFINITION_CHECKS[check]

    def failing(mistake):
        return faults(diagnose(FORWARD[mistake], arrays="numpy", dtypes=["float64"]))

    breaks = {
        "a row has mean 0": "no_centring",
        "its variance is σ²/(σ² + ε)": "bessel_correction",
        "so it is where σ² = ε": "eps_outside_root",
        "the ε that is passed is used": "eps_missing",
        "equal numbers give the bias": "eps_missing",
        "a shift of the row changes nothing": "no_centring",
        "rows a thousand times as large": "divide_by_variance",
        "gain alone": "scalar_gain",
        "bias alone": "scalar_gain",
        "neither gain nor bias": "swapped_gain_and_bias",
        "times the gain, plus the bias": "bias_before_gain",
        "rows of a batch do not mix": "statistics_over_batch",
        "tokens of a sequence do not mix": "statistics_over_tokens",
        "(2, 4, 5) over the last axis": "statistics_over_sequence",
        "(2, 3, 4, 5) over the last axis": "group_norm_one_group",
        "(2, 5, 3, 4) over the last two": "last_axis_only",
        "(3, 2, 3, 4) over all but the first": "last_axis_only",
        "(5,), one row without a batch": "bessel_correction",
        "an input that is not contiguous": "statistics_over_batch",
    }
    assert len(breaks) == len(battery._DEFINITION_CHECKS)
    assert name in failing(breaks[name])


def test_an_input_that_is_not_contiguous_is_not():
    for library in (inputs._NumPy(), inputs._Torch()):
        a = library.array(inputs._inputs()["strided"].x, "float32")
        flags = getattr(a, "flags", None)
        contiguous = a.is_contiguous() if flags is None else flags.c_contiguous
        assert not contiguous
        np.testing.assert_array_equal(
            library.numbers(a), np.float32(inputs._inputs()["strided"].x)
        )


def test_a_kernel_that_ignores_strides_is_seen():
    def norm(x, row, weight, bias, eps):
        flat = np.ascontiguousarray(x.ravel(order="K")).reshape(x.shape)
        return lnlib.layer_norm(flat, row, weight, bias, eps)

    report = diagnose(norm, arrays="numpy", dtypes=["float64"])
    assert faults(report) == ["an input that is not contiguous"]


def test_lnlib_diagnose_is_the_function():
    assert lnlib.diagnose is diagnose and "diagnose" in dir(lnlib)
    assert lnlib.mistakes is mistakes and lnlib.diagnosis is diagnosis
    assert isinstance(lnlib.diagnose(len), Report)
    assert functional.layer_norm is lnlib.layer_norm
