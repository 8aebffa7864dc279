"""Is this a layer norm? And if not, which of the known mistakes is it?

`diagnose` calls a function that has the signature of `lnlib.layer_norm` on a fixed set
of inputs and measures what it returns against values that are computed here, in
extended precision, from the definition. What fails is compared with what the mistakes
in `lnlib.mistakes` return on the same inputs, one by one and together.

Two kinds of fault are kept apart. One of *definition*: the function computes something
else than layer norm. One of *digits*: it computes layer norm, and on some inputs or in
some dtype loses more digits than rounding the result costs.
"""

import contextlib
import functools
import importlib.util
import io
import itertools
import math
import re
import sys
import textwrap
import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from lnlib import functional, mistakes
from lnlib.errors import DtypeError
from lnlib.tables import Markdown, table

_UNIT = {  # half the distance from 1 to the next number: what one rounding costs
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
_WIDTH = 87


# ---------------------------------------------------------------- the report


@dataclass(frozen=True)
class Check:
    """One property that was checked.

    Attributes:
        name: what was checked.
        kind: "call", "definition" or "digits".
        status: "passed", "fault" or "not checked".
        error: the measured error, a float, NaN where the function returned NaN; None
            where nothing was measured.
        bound: what the error may be at most; None where nothing was measured.
        note: what happened, if it was not a number that was too large.
        unit: the unit roundoff of the dtype of the check.
    """

    name: str
    kind: str
    status: str
    error: float | None = None
    bound: float | None = None
    note: str = ""
    unit: float = _UNIT["float64"]

    @property
    def measured(self):
        """The error as text that does not depend on the machine.

        Rounding errors differ between machines, so of them it says only what power
        of ten they stay below or reach. The errors of a wrong definition do not, and
        are written with two digits.
        """
        if self.error is None:
            return ""
        if not math.isfinite(self.error):
            return "NaN" if math.isnan(self.error) else "infinite"
        floor = (2 if self.unit > 1e-5 else 16) * self.unit
        if self.error <= floor:
            return f"< {_power(floor)}"
        if self.status == "passed":
            return f"< {_power(self.error)}"
        if self.kind == "digits":
            return f"> {_power(self.error, up=False)}"
        return f"{self.error:.2g}"


@dataclass(frozen=True)
class Report:
    """What `diagnose` found. It prints as a table.

    Attributes:
        name: the name of the function.
        arrays: "numpy" or "torch", the arrays it was called with.
        dtypes: the names of the dtypes it was checked in.
        checks: a tuple of `Check`.
        mistakes: a tuple of `lnlib.mistakes.Mistake`, those that explain what was
            found; empty where nothing known does.
        alternatives: other sets of mistakes that explain it as well, each a tuple.
        unexplained: the names of the faults that no known mistake explains.
        example: the smallest input on which it is wrong, as text; empty if none is.

    Its truth value is not defined: ask for `ok`.
    """

    name: str
    arrays: str
    dtypes: tuple
    checks: tuple
    mistakes: tuple = ()
    alternatives: tuple = ()
    unexplained: tuple = ()
    example: str = ""
    notes: tuple = field(default=())

    @property
    def faults(self):
        """The checks that found a fault, a tuple of `Check`."""
        return tuple(c for c in self.checks if c.status == "fault")

    @property
    def ok(self):
        """Whether no check found a fault."""
        return not self.faults

    @property
    def verdict(self):
        """One sentence: a layer norm, one that loses digits, or none."""
        done = sum(c.status != "not checked" for c in self.checks)
        kinds = [c.kind for c in self.faults]
        if self.ok:
            return f"A layer norm: no fault in {done} checks."
        failed = f"{len(kinds)} of {done} checks"
        if "definition" in kinds:
            return f"Not a layer norm: {failed} fail."
        if "call" in kinds:
            return f"Not usable as a layer norm: {failed} fail."
        return f"A layer norm that loses digits: in {failed}."

    def __bool__(self):
        raise TypeError("The truth value of a Report is not defined; ask for report.ok")

    def __str__(self):
        lines = [*textwrap.wrap(self._title(), _WIDTH), ""]
        headings = {"call": "The call", "definition": "The definition"}
        for kind, group in itertools.groupby(self.checks, lambda c: c.kind):
            heading = headings.get(kind, "The digits")
            lines.append(f"{heading:<42}{'error':>10}{'bound':>9}")
            for check in group:
                lines += _lines(check)
            lines.append("")
        lines.append(self.verdict)
        for paragraph in self._findings():
            lines += ["", *textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)]
        if self.example:
            lines += ["", self.example]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_markdown_(self):
        rows = [
            (
                check.name,
                check.measured,
                "" if check.bound is None else _one_digit(check.bound),
                _result(check) + (f": {check.note}" if check.note else ""),
            )
            for check in self.checks
        ]
        parts = [
            f"**{self._title()}**",
            table(["check", "error", "bound", "result"], rows, "lrrl"),
            f"**{self.verdict}**",
            *self._findings(markdown=True),
        ]
        if self.example:
            parts.append(f"```text\n{self.example}\n```")
        return Markdown("\n\n".join(parts))

    def as_dict(self):
        """The report as dicts, lists, strings and numbers, for json."""

        def number(value):
            return value if value is None or math.isfinite(value) else str(value)

        return {
            "name": self.name,
            "ok": self.ok,
            "verdict": self.verdict,
            "arrays": self.arrays,
            "dtypes": list(self.dtypes),
            "checks": [
                {
                    "name": c.name,
                    "kind": c.kind,
                    "status": c.status,
                    "error": number(c.error),
                    "bound": number(c.bound),
                    "note": c.note,
                }
                for c in self.checks
            ],
            "mistakes": [m.name for m in self.mistakes],
            "alternatives": [[m.name for m in ms] for ms in self.alternatives],
            "unexplained": list(self.unexplained),
            "example": self.example,
            "notes": list(self.notes),
        }

    def _title(self):
        return f"{self.name}, with {self.arrays} arrays of {', '.join(self.dtypes)}"

    def _findings(self, markdown=False):
        for mistake in self.mistakes:
            name = f"`{mistake.name}`" if markdown else mistake.name
            source = mistake.published[0]
            where = f"[{source.title}]({source.address})" if markdown else source.title
            yield (
                f"{name}: {mistake.wrong} Published, for one, in {where}. "
                f"Mend it: {mistake.repair}"
            )
        for others in self.alternatives:
            names = " with ".join(m.name for m in others)
            yield f"On what it could be called with, {names} looks the same."
        if self.unexplained:
            yield f"No known mistake explains: {'; '.join(self.unexplained)}."
        yield from self.notes


def _lines(check):
    """A check as lines of text, at most 87 columns wide."""
    name = f"  {check.name:<40}"
    if check.status == "not checked":
        return textwrap.wrap(
            f"not checked: {check.note}",
            _WIDTH,
            initial_indent=f"{name}   ",
            subsequent_indent=" " * 45,
        )
    bound = "" if check.bound is None else _one_digit(check.bound)
    line = f"{name}{check.measured:>10}{bound:>9}  {_result(check)}"
    if not check.note:
        return [line]
    indent = " " * 6
    return [
        line,
        *textwrap.wrap(
            check.note, _WIDTH, initial_indent=indent, subsequent_indent=indent
        ),
    ]


def _result(check):
    if check.status == "passed":
        return "ok"
    if check.status == "not checked":
        return "not checked"
    return {"call": "FAULT", "definition": "WRONG", "digits": "LOSES DIGITS"}[
        check.kind
    ]


def _power(number, up=True):
    """The power of ten next to a number, above or below."""
    exponent = (math.ceil if up else math.floor)(math.log10(number))
    return _one_digit(10.0**exponent)


def _one_digit(number):
    mantissa, exponent = f"{number:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}" if abs(number) < 0.01 else f"{number:.2g}"


# ---------------------------------------------------------------- the arrays


class _NumPy:
    name = "numpy"
    dtypes = ("float64", "float32", "float16")

    def array(self, values, dtype):
        return np.array(values, dtype)  # always a copy

    def is_array(self, a):
        return isinstance(a, np.ndarray) or (
            hasattr(a, "__array__") and hasattr(a, "shape") and hasattr(a, "dtype")
        )

    def numbers(self, a):
        return np.array(a, np.float64)


class _Torch:
    name = "torch"
    dtypes = ("float64", "float32", "bfloat16", "float16")

    def __init__(self, device=None):
        import torch

        self.torch, self.device = torch, device

    def array(self, values, dtype):
        strided = not values.flags.c_contiguous
        values = np.ascontiguousarray(values.T) if strided else values
        a = self.torch.tensor(
            values, dtype=getattr(self.torch, dtype), device=self.device or "cpu"
        )
        return a.permute(*range(a.ndim - 1, -1, -1)) if strided else a

    def is_array(self, a):
        return isinstance(a, self.torch.Tensor)

    def numbers(self, a):
        a = a.detach().to("cpu", self.torch.float64)
        return np.array(a.resolve_conj().numpy(), np.float64)


# ---------------------------------------------------------------- the inputs


@dataclass(frozen=True)
class _Input:
    """Arguments for one call, in float64."""

    x: np.ndarray
    row: tuple
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    eps: float = 1e-5

    def rounded(self, arrays, dtype):
        """The same arguments, as they are in a dtype."""

        def there_and_back(a):
            return None if a is None else arrays.numbers(arrays.array(a, dtype))

        parts = map(there_and_back, (self.x, self.weight, self.bias))
        x, weight, bias = parts
        return _Input(x, self.row, weight, bias, self.eps)


def _inputs():
    """The inputs by name; the same at every call."""
    rng = np.random.default_rng(1607_06450)  # the paper's number

    def affine(row):
        # No gain and no bias is near another, near 1 or near 0.
        gain = rng.permutation(np.linspace(0.5, 2.5, math.prod(row))) + 0.03
        shift = rng.permutation(np.linspace(-1.0, 2.0, math.prod(row))) + 0.03
        return gain.reshape(row), shift.reshape(row)

    def random(shape, row, **rest):
        x = 1.5 * rng.standard_normal(shape) + 1.0
        return _Input(x, row, *affine(row), **rest)

    def plain(x, eps=1e-5):
        row = x.shape[-1:]
        return _Input(x, row, np.ones(row), np.zeros(row), eps)

    both = random((3, 5), (5,))
    tokens = random((2, 4, 5), (5,))
    other_rows, other_tokens = both.x.copy(), tokens.x.copy()
    other_rows[1:] += rng.standard_normal((2, 5))
    other_tokens[:, 3] += rng.standard_normal((2, 5))
    strided = random((6, 4), (4,))
    strided = replace(strided, x=np.asfortranarray(strided.x))
    signs = np.array([[-1.0, 1.0, 1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])
    ordinary = rng.standard_normal((6, 4)) + 1.0
    return {
        "both": both,
        "gain": _Input(both.x, (5,), both.weight, None),
        "bias": _Input(both.x, (5,), None, both.bias),
        "neither": _Input(both.x, (5,)),
        "rows": plain(ordinary),
        "small": plain(signs * math.sqrt(1e-5)),
        "eps": _Input(both.x, (5,), both.weight, both.bias, 0.5),
        "flat": _Input(
            np.full((2, 4), 3.0),
            (4,),
            np.array([1.0, 2.0, 0.5, 1.5]),
            np.array([0.5, -1.0, 2.0, 1.0]),
        ),
        "large": plain(1000.0 * ordinary),
        "shifted": plain(ordinary + 8.0),
        "other rows": _Input(other_rows, (5,), both.weight, both.bias),
        "tokens": tokens,
        "other tokens": _Input(other_tokens, (5,), tokens.weight, tokens.bias),
        "image": random((2, 3, 4, 5), (5,)),
        "two axes": random((2, 5, 3, 4), (3, 4)),
        "all axes": random((3, 2, 3, 4), (2, 3, 4)),
        "one row": random((5,), (5,)),
        "strided": strided,
        "no rows": _Input(np.zeros((0, 5)), (5,), both.weight, both.bias),
        "gradient": random((4, 6), (6,)),
        "wide": plain(rng.standard_normal((4, 64))),
    }


def _truth(given):
    """Layer norm straight from the definition, in extended precision."""
    x = np.asarray(given.x, np.longdouble)
    axes = tuple(range(-len(given.row), 0))
    count = max(math.prod(given.row), 1)
    centred = x - x.sum(axes, keepdims=True) / count
    variance = (centred**2).sum(axes, keepdims=True) / count
    y = centred / np.sqrt(variance + np.longdouble(given.eps))
    y = y if given.weight is None else y * given.weight
    return y if given.bias is None else y + given.bias


def _true_gradients(given, dy):
    """dx, dweight and dbias from the definition, in extended precision; 2-D input."""
    x, dy = np.asarray(given.x, np.longdouble), np.asarray(dy, np.longdouble)
    n = x.shape[-1]
    centred = x - x.sum(-1, keepdims=True) / n
    total = (centred**2).sum(-1, keepdims=True) / n + np.longdouble(given.eps)
    # y = w c / s with s = sqrt(total): the product rule, nothing simplified.
    through_c = dy * given.weight / np.sqrt(total)
    ds = -(dy * given.weight * centred).sum(-1, keepdims=True) / total
    dcentred = through_c + ds * centred / (n * np.sqrt(total))
    dx = dcentred - dcentred.sum(-1, keepdims=True) / n
    return dx, (dy * centred / np.sqrt(total)).sum(0), dy.sum(0)


def _error(y, truth):
    """The largest error, relative to the largest true number."""
    if y.size == 0:
        return 0.0
    wrong = ~np.isfinite(y)
    if wrong.any():
        return math.nan if np.isnan(y).any() else math.inf
    largest = np.abs(truth).max()
    return float(np.abs(y - truth).max() / (largest if largest else 1))


# ---------------------------------------------------------------- calling it


class _Subject:
    """The function that is diagnosed, called with copies, whatever it does."""

    def __init__(self, function, arrays):
        self.function, self.arrays = function, arrays
        self.changed, self.printed = set(), 0

    def call(self, given, dtype):
        """`(array, problem)`: what it returned, or in words why that is of no use."""
        arguments = {
            name: None if a is None else self.arrays.array(a, dtype)
            for name, a in (
                ("input", given.x),
                ("weight", given.weight),
                ("bias", given.bias),
            )
        }
        before = {
            name: None if a is None else self.arrays.numbers(a)
            for name, a in arguments.items()
        }
        y, problem = self.guarded(
            self.function,
            arguments["input"],
            given.row,
            arguments["weight"],
            arguments["bias"],
            given.eps,
        )
        for name, a in arguments.items():
            if a is not None and not np.array_equal(
                self.arrays.numbers(a), before[name], equal_nan=True
            ):
                self.changed.add(name)
        if problem:
            return None, problem
        y, problem = self.checked(y, arguments["input"], "an array")
        if problem:
            return None, problem
        _, problem = self.guarded(self.arrays.numbers, y)
        return (None, f"expected numbers, but got {problem}") if problem else (y, "")

    def checked(self, y, like, what):
        """The array, if it is one of the right shape, or what is wrong with it."""
        if not self.arrays.is_array(y):
            kind = type(y).__name__
            if isinstance(y, (tuple, list)):
                kind = f"a {kind} of {len(y)}"
            return None, f"expected {what}, but got {kind}"
        if tuple(y.shape) != tuple(like.shape):
            return None, (
                f"expected the shape {tuple(like.shape)}, but got {tuple(y.shape)}"
            )
        return y, ""

    def guarded(self, function, *arguments):
        """`(result, problem)`. It may raise, exit, warn and print, and never stops us.

        An interrupt from the keyboard is the user's and passes.
        """
        # What it prints would bury the report, at a hundred calls; it is counted.
        out = io.StringIO()
        try:
            with (
                warnings.catch_warnings(),
                np.errstate(all="ignore"),
                contextlib.redirect_stdout(out),
                _gradients_on(),
            ):
                warnings.simplefilter("ignore")
                return function(*arguments), ""
        except (Exception, SystemExit) as error:
            return None, _described(error)
        finally:
            self.printed += len(out.getvalue())

    def gradients(self, given, dy, dtype):
        """`((dx, dweight, dbias), problem)`, by autograd."""
        if self.arrays.name != "torch":
            return None, "no gradient without backward="
        torch = self.arrays.torch
        leaves = [
            self.arrays.array(a, dtype).requires_grad_()
            for a in (given.x, given.weight, given.bias)
        ]
        dy = self.arrays.array(dy, dtype)

        def run():
            y = self.function(leaves[0], given.row, *leaves[1:], given.eps)
            y, problem = self.checked(y, leaves[0], "an array")
            if problem:
                return None, problem
            if not y.requires_grad:
                return None, "no gradient reaches the output"
            found = torch.autograd.grad(y, leaves, dy, allow_unused=True)
            return [
                torch.zeros_like(leaf) if d is None else d
                for leaf, d in zip(leaves, found, strict=True)
            ], ""

        result, problem = self.guarded(run)
        return (None, problem) if problem else result


class _Backward:
    """Gradients from a function with the signature of `lnlib.layer_norm_backward`."""

    def __init__(self, function, arrays):
        self.subject = _Subject(function, arrays)

    def gradients(self, given, dy, dtype):
        subject, arrays = self.subject, self.subject.arrays
        x, weight, dy = (arrays.array(a, dtype) for a in (given.x, given.weight, dy))
        _, mean, rstd = functional.layer_norm_forward(
            x, given.row, weight, None, given.eps
        )
        result, problem = subject.guarded(
            subject.function, dy, x, given.row, mean, rstd, weight
        )
        if problem:
            return None, problem
        if not isinstance(result, (tuple, list)) or len(result) != 3:
            return None, (
                "expected (dx, dweight, dbias), but got "
                + type(result).__name__
                + (f" of {len(result)}" if isinstance(result, (tuple, list)) else "")
            )
        for name, a, like in zip(
            ("dx", "dweight", "dbias"), result, (x, weight, weight), strict=True
        ):
            _, problem = subject.checked(a, like, f"{name} as an array")
            if problem:
                return None, f"{name}: {problem}"
        return result, ""


def _gradients_on():
    """A context in which torch, if it is there, records gradients."""
    torch = sys.modules.get("torch")
    stack = contextlib.ExitStack()
    if torch is not None:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
    return stack


@contextlib.contextmanager
def _one_thread():
    """One thread in torch, so that no sum depends on how many share it."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _described(error):
    """An error in one line that is the same at every run."""
    if isinstance(error, RecursionError):
        return "RecursionError: it calls itself without end"
    text = " ".join(str(error).split())
    text = re.sub(r"0x[0-9a-fA-F]+", "0x...", text)
    text = textwrap.shorten(text, 160, placeholder=" ...")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# ---------------------------------------------------------------- the checks

# Code that computes in float32 whatever it is given keeps this many digits; so the
# definition is checked no more strictly, and the digits are a check of their own.
_DEFINITION = 64 * _UNIT["float32"]


def _definition_bound(dtype):
    return max(_DEFINITION, 8 * _UNIT[dtype])


# Of each check of the definition: its name, and the inputs it needs. What is measured
# is the error of y, unless _MEASURES says otherwise.
_DEFINITION_CHECKS = (
    ("a row has mean 0", ("rows",)),
    ("its variance is σ²/(σ² + ε)", ("rows",)),
    ("so it is where σ² = ε", ("small",)),
    ("the ε that is passed is used", ("eps",)),
    ("equal numbers give the bias", ("flat",)),
    ("a shift of the row changes nothing", ("rows", "shifted")),
    ("rows a thousand times as large", ("large",)),
    ("gain alone", ("gain",)),
    ("bias alone", ("bias",)),
    ("neither gain nor bias", ("neither",)),
    ("times the gain, plus the bias", ("both",)),
    ("rows of a batch do not mix", ("both", "other rows")),
    ("tokens of a sequence do not mix", ("tokens", "other tokens")),
    ("(2, 4, 5) over the last axis", ("tokens",)),
    ("(2, 3, 4, 5) over the last axis", ("image",)),
    ("(2, 5, 3, 4) over the last two", ("two axes",)),
    ("(3, 2, 3, 4) over all but the first", ("all axes",)),
    ("(5,), one row without a batch", ("one row",)),
    ("an input that is not contiguous", ("strided",)),
)


def _worst(numbers):
    numbers = np.asarray(numbers, np.float64)
    return math.nan if np.isnan(numbers).any() else float(np.abs(numbers).max())


def _variance_error(y, given):
    variance = given.x.var(-1)
    return _worst(y.var(-1) * (variance + given.eps) / variance - 1)


_MEASURES = {
    "a row has mean 0": lambda y, given: _worst(y[0].mean(-1)),
    "its variance is σ²/(σ² + ε)": lambda y, given: _variance_error(y[0], given[0]),
    "so it is where σ² = ε": lambda y, given: _variance_error(y[0], given[0]),
    "a shift of the row changes nothing": lambda y, given: _error(y[1], y[0]),
    "rows of a batch do not mix": lambda y, given: _error(y[1][:1], y[0][:1]),
    "tokens of a sequence do not mix": lambda y, given: _error(
        y[1][:, :3], y[0][:, :3]
    ),
}


@dataclass(frozen=True)
class _Digits:
    """A check of the digits: of y, or of a gradient, in one dtype."""

    name: str
    dtype: str
    given: _Input
    bound: float
    which: int | None = None  # which gradient; None is y
    dy: np.ndarray | None = None
    truth: np.ndarray | None = None  # where it is known in closed form


_ROWS = 8192  # enough for a sum of ones to stop, in bfloat16 at 256, in float16 at 2048


def _digits_checks(arrays, dtypes):
    """The checks of the digits that these dtypes allow, the bounds with them."""
    inputs = _inputs()
    wide, narrow = inputs["wide"], inputs["gradient"]
    rng = np.random.default_rng(1911_07013)
    dy = rng.standard_normal(wide.x.shape)
    # This gradient has no part along the ones and none along xhat. Then dx is
    # rstd dy, and an error of the mean, which a large mean brings, leaves dx alone.
    far = replace(wide, x=np.float32(wide.x + 1e4).astype(np.float64))
    xhat = np.asarray(_truth(far), np.float64)
    level = dy - dy.mean(-1, keepdims=True)
    level -= xhat * (level * xhat).mean(-1, keepdims=True)
    pattern = np.tile([[-1.0, 1.0, -1.0, 1.0]], (_ROWS, 1))
    many = _Input(pattern, (4,), np.ones(4), np.zeros(4), 0.0)
    flat = _Input(np.full((2, 4), 3.0), (4,), np.ones(4), np.full(4, 0.5), 1e-12)
    checks = []
    for dtype in dtypes:
        u = _UNIT[dtype]
        if dtype in ("float64", "float32"):
            # A few dozen roundings, in sums over 64 numbers and after them.
            checks += [
                _Digits(f"y, {dtype}", dtype, wide, 64 * u),
                _Digits(f"dx, {dtype}", dtype, narrow, 64 * u, 0, dy[:, :6]),
                _Digits(f"dweight, {dtype}", dtype, narrow, 64 * u, 1, dy[:, :6]),
            ]
        if dtype == "float32":
            checks += [
                # A mean that is rounded to float32 moves every x - mean by as much
                # as u times the mean. That is all that may be lost.
                _Digits("y, float32, row mean 1e4", dtype, far, 8 * u * 1e4),
                _Digits("dx, float32, row mean 1e4", dtype, far, 64 * u, 0, level),
                _Digits(
                    "y, float32, numbers of 1e15",
                    dtype,
                    replace(wide, x=1e15 * wide.x),
                    64 * u,
                ),
            ]
        if dtype in ("bfloat16", "float16"):
            # Computed in float32 and rounded once.
            bound = 2 * u
            moved = replace(wide, x=wide.x + 32)
            checks.append(_Digits(f"y, {dtype}, row mean 32", dtype, moved, bound))
            if dtype == "float16":
                large = replace(wide, x=1000 * wide.x)
                checks += [
                    _Digits("y, float16, numbers of 1000", dtype, large, bound),
                    _Digits("y, float16, equal, ε = 1e-12", dtype, flat, bound),
                ]
            for which, name in ((1, "dweight"), (2, "dbias")):
                checks.append(
                    _Digits(
                        f"{name}, {dtype}, {_ROWS} rows",
                        dtype,
                        many,
                        bound,
                        which,
                        np.ones_like(pattern),
                        _ROWS * (pattern[0] if which == 1 else np.ones(4)),
                    )
                )
    return checks


def _digits_error(check, subject, gradients, reference):
    """`(error, problem)` of one check of the digits."""
    arrays = subject.arrays
    given = check.given.rounded(arrays, check.dtype)
    if check.which is None:
        y, problem = subject.call(check.given, check.dtype)
        if problem:
            return None, problem
        return _error(arrays.numbers(y), reference(given)), ""
    if reference is not _truth and gradients is subject:
        return None, "it computes something else"
    found, problem = gradients.gradients(check.given, check.dy, check.dtype)
    if problem:
        return None, problem
    truth = check.truth
    if truth is None:
        dy = arrays.numbers(arrays.array(check.dy, check.dtype))
        truth = _true_gradients(given, dy)[check.which]
    return _error(arrays.numbers(found[check.which]), truth), ""


class _Battery:
    """All checks of one function, in their order."""

    def __init__(self, function, backward, arrays, dtypes):
        self.arrays, self.dtypes = arrays, dtypes
        self.subject = _Subject(function, arrays)
        self.gradients = _Backward(backward, arrays) if backward else self.subject
        self.inputs = _inputs()
        self.checks, self.mistakes, self.alternatives = [], (), ()
        self.explained = set()  # the names of the faults that the mistakes explain
        self.results = {}  # of each input: (y in float64, problem)

    def add(self, name, kind, dtype, error=None, bound=None, note="", status=None):
        if status is None:
            good = error is not None and error <= bound
            status = "passed" if good else "fault"
        self.checks.append(Check(name, kind, status, error, bound, note, _UNIT[dtype]))

    # ------------------------------------------------------------ the call

    def main_dtype(self):
        """The widest dtype that it takes, or None."""
        problems = {}
        for dtype in self.dtypes:
            y, problem = self.subject.call(self.inputs["both"], dtype)
            if y is not None:
                return dtype
            problems[dtype] = problem
        first = self.dtypes[0]
        self.add("it can be called", "call", first, note=problems[first])
        return None

    def run(self):
        main = self.main_dtype()
        if main is None:
            return
        self.main = main
        for name, given in self.inputs.items():
            y, problem = self.subject.call(given, main)
            self.results[name] = (
                None if y is None else self.arrays.numbers(y),
                problem,
            )
        again = [self.subject.call(self.inputs["both"], main)]
        start = len(self.checks)
        wrong = self.definition()
        definition, self.checks = self.checks[start:], self.checks[:start]
        gradients = self.gradient_checks(wrong)
        digits = self.digits(wrong)
        again.append(self.subject.call(self.inputs["both"], main))
        self.call_checks(again)
        self.checks += definition + gradients + digits

    def call_checks(self, again):
        main = self.main
        y, _ = again[0]
        self.add("it can be called", "call", main, status="passed")
        got = functional._dtype_name(y.dtype) if y is not None else ""
        self.add(
            "the dtype is that of the input",
            "call",
            main,
            status="passed" if got == main else "fault",
            note="" if got == main else f"expected {main}, but got {got or 'nothing'}",
        )
        changed = sorted(self.subject.changed)
        self.add(
            "the arguments are left as they are",
            "call",
            main,
            status="fault" if changed else "passed",
            note=f"it writes into {', '.join(changed)}" if changed else "",
        )
        first = self.results["both"][0]
        if first is None or any(y is None for y, _ in again):
            problem = next((p for _, p in again if p), self.results["both"][1])
            self.add("the same answer every time", "call", main, note=problem)
        else:
            errors = [_error(self.arrays.numbers(y), first) for y, _ in again]
            if not np.isfinite(first).all():
                same = [
                    np.array_equal(self.arrays.numbers(y), first, equal_nan=True)
                    for y, _ in again
                ]
                errors = [0.0 if s else math.nan for s in same]
            self.add(
                "the same answer every time",
                "call",
                main,
                _worst(errors),
                16 * _UNIT[main],
            )
        y, problem = self.results["no rows"]
        self.add(
            "a batch of no rows",
            "call",
            main,
            status="fault" if problem else "passed",
            note=problem,
        )
        for dtype in self.dtypes:
            if dtype == main:
                continue
            y, problem = self.subject.call(self.inputs["both"], dtype)
            got = "" if y is None else functional._dtype_name(y.dtype)
            if problem:
                self.add(f"{dtype}", "call", dtype, status="not checked", note=problem)
            else:
                self.add(
                    f"{dtype} comes back as {dtype}",
                    "call",
                    dtype,
                    status="passed" if got == dtype else "fault",
                    note="" if got == dtype else f"it comes back as {got}",
                )

    # ------------------------------------------------------------ the definition

    def definition(self):
        """Check it; True if what it computes is something else."""
        bound = _definition_bound(self.main)
        wrong = False
        for name, needed in _DEFINITION_CHECKS:
            problem = next(
                (self.results[n][1] for n in needed if self.results[n][1]), ""
            )
            if problem:
                self.add(name, "definition", self.main, note=problem)
                continue
            y = [self.results[n][0] for n in needed]
            given = [self.inputs[n].rounded(self.arrays, self.main) for n in needed]
            with np.errstate(all="ignore"):
                if name in _MEASURES:
                    error = _MEASURES[name](y, given)
                else:
                    error = _error(y[0], _truth(given[0]))
            self.add(name, "definition", self.main, error, bound)
            wrong = wrong or not error <= bound
        if wrong:
            evidence = [
                (given.rounded(self.arrays, self.main), self.results[name][0])
                for name, given in self.inputs.items()
                if self.results[name][0] is not None and given.x.size
            ]
            found = _matching(evidence, bound)
            self.mistakes, self.alternatives = found[0], tuple(found[1:])
            if self.mistakes:
                self.explained = {c.name for c in self.checks if c.error is not None}
        return wrong

    def example(self):
        """The smallest input on which it is wrong, with what was to come and came."""
        tiny = _Input(np.array([[1.0, 2.0, 3.0, 6.0]]), (4,), np.ones(4), np.zeros(4))
        pool = sorted(self.inputs.values(), key=lambda given: given.x.size)
        bound = _definition_bound(self.main)
        for given in [tiny, *(given for given in pool if given.x.size)]:
            y, _ = self.subject.call(given, self.main)
            if y is None:
                continue
            y, given = self.arrays.numbers(y), given.rounded(self.arrays, self.main)
            truth = np.asarray(_truth(given), np.float64)
            if not _error(y, truth) <= bound:
                return _example_text(given, y, truth)
        return ""

    # ------------------------------------------------------------ the gradient

    def gradient_checks(self, wrong):
        start = len(self.checks)
        names = (
            "gradient of the input, dx",
            "of the gain, dweight",
            "of the bias, dbias",
        )
        given = self.inputs["gradient"]
        dy = np.random.default_rng(1911).standard_normal(given.x.shape)
        own = self.gradients is self.subject
        known = not wrong or not own or self.mistakes
        if known:
            found, problem = self.gradients.gradients(given, dy, self.main)
        else:
            found, problem = None, "it computes something else"
        bound = _definition_bound(self.main)
        if problem:
            faulty = known and not problem.startswith("no gradient")
            for name in names:
                self.add(
                    name,
                    "definition",
                    self.main,
                    note=problem,
                    status="fault" if faulty else "not checked",
                )
        else:
            given = given.rounded(self.arrays, self.main)
            dy = self.arrays.numbers(self.arrays.array(dy, self.main))
            truths = self.true_gradients(given, dy, wrong and own)
            found = [self.arrays.numbers(d) for d in found]
            errors = [_error(d, t) for d, t in zip(found, truths, strict=True)]
            for name, error in zip(names, errors, strict=True):
                note = "against the gradient of what it computes"
                note = note if wrong and own else ""
                self.add(name, "definition", self.main, error, bound, note)
            failed = {n for n, e in zip(names, errors, strict=True) if not e <= bound}
            if failed and not (wrong and own):
                mistake = _matching_backward(given, dy, found, bound)
                self.explained |= failed if mistake else set()
                self.mistakes += mistake
        checks, self.checks = self.checks[start:], self.checks[:start]
        return checks

    def true_gradients(self, given, dy, wrong):
        if not wrong:
            return _true_gradients(given, dy)
        same = self.computed()
        found, _ = _Subject(same, self.arrays).gradients(given, dy, "float64")
        return [self.arrays.numbers(d) for d in found]

    def computed(self):
        """Layer norm with the mistakes of the definition that were found."""
        forward = [m.function for m in self.mistakes if m.kind == "forward"]
        return mistakes.combined(*forward)

    # ------------------------------------------------------------ the digits

    def digits(self, wrong):
        start = len(self.checks)
        reference = _truth
        known = not wrong or any(m.kind == "forward" for m in self.mistakes)
        if wrong and known:
            same = self.computed()

            def reference(given):
                x, weight, bias = (
                    None if a is None else np.asarray(a, np.longdouble)
                    for a in (given.x, given.weight, given.bias)
                )
                return same(x, given.row, weight, bias, given.eps)

        todo = _digits_checks(self.arrays, self.dtypes)
        failing, passing = [], []
        for check in todo:
            own = self.gradients is self.subject
            if not known and (check.which is None or own):
                error, problem = None, "it computes something else"
            elif self.takes(check.dtype):
                error, problem = _digits_error(
                    check, self.subject, self.gradients, reference
                )
            else:
                error, problem = None, f"it does not take {check.dtype}"
            if problem:
                self.add(
                    check.name,
                    "digits",
                    check.dtype,
                    status="not checked",
                    note=problem,
                )
                continue
            self.add(check.name, "digits", check.dtype, error, check.bound)
            (passing if error <= check.bound else failing).append(check)
        if failing:
            self.mistakes += self.matching_digits(failing, passing, reference)
        checks, self.checks = self.checks[start:], self.checks[:start]
        return checks

    def takes(self, dtype):
        return self.subject.call(self.inputs["both"], dtype)[0] is not None

    def matching_digits(self, failing, passing, reference):
        """The mistakes that lose digits where it does, and nowhere else."""
        explained = {}
        for mistake in mistakes.MISTAKES:
            if mistake.loses != "digits":
                continue
            if mistake.kind == "forward":
                try:
                    same = mistakes.combined(
                        *(m.function for m in self.mistakes if m.kind == "forward"),
                        mistake.function,
                    )
                except ValueError:  # a mistake was found in that part already
                    continue
                subject = _Subject(same, self.arrays)
                gradients = subject
                if self.gradients is not self.subject:
                    gradients = _Backward(functional.layer_norm_backward, self.arrays)
            else:
                subject = _Subject(functional.layer_norm, self.arrays)
                gradients = _Backward(mistake.function, self.arrays)

            def fails(check, subject=subject, gradients=gradients):
                error, _ = _digits_error(check, subject, gradients, reference)
                return error is not None and not error <= check.bound

            # The cheap ones first, and no sum over many rows that need not be.
            same_place = [c for c in failing if fails(c)]
            if same_place and not any(
                fails(c)
                for c in passing
                if mistake.kind == "forward" or c.which is not None
            ):
                explained[mistake] = {c.name for c in same_place}
        found, left = [], {c.name for c in failing}
        while explained:
            best = max(explained, key=lambda m: len(explained[m] & left))
            if not explained[best] & left:
                break
            found.append(best)
            left -= explained.pop(best)
        self.explained |= {c.name for c in failing} - left
        return tuple(found)


def _agree(y, z, bound):
    if y.shape != z.shape:
        return False
    finite = np.isfinite(z)
    if not np.array_equal(np.isfinite(y), finite):
        return False
    return not finite.any() or _error(y[finite], z[finite]) <= bound


def _matching(evidence, bound):
    """The smallest sets of mistakes that return what was returned, on all inputs."""
    options = {}
    for mistake in mistakes.MISTAKES:
        if mistake.kind == "forward" and mistake.loses == "definition":
            for function in (mistake.function, *mistake.variants):
                for part in function.parts:
                    options.setdefault(part, [None]).append((mistake, function))
    sets = [
        [pair for pair in choice if pair]
        for choice in itertools.product(*options.values())
    ]
    found, size = [], None
    for pairs in sorted(sets[1:], key=len):
        if size is not None and len(pairs) > size:
            break
        function = mistakes.combined(*(function for _, function in pairs))
        # On most sets the first input decides.
        if all(
            _agree(y, function(g.x, g.row, g.weight, g.bias, g.eps), bound)
            for g, y in evidence
        ):
            size = len(pairs)
            names = tuple(mistake for mistake, _ in pairs)
            if names not in found:
                found.append(names)
    return found or [()]


def _matching_backward(given, dy, found, bound):
    """The mistake of the gradient that returns these three gradients."""
    _, mean, rstd = functional.layer_norm_forward(
        given.x, given.row, given.weight, None, given.eps
    )
    for mistake in mistakes.MISTAKES:
        if mistake.kind == "backward" and mistake.loses == "definition":
            theirs = mistake.function(dy, given.x, given.row, mean, rstd, given.weight)
            if all(_agree(d, t, bound) for d, t in zip(found, theirs, strict=True)):
                return (mistake,)
    return ()


def _example_text(given, y, truth):
    def numbers(row):
        return "  ".join(f"{v + 0.0:>8.4g}" for v in np.ravel(row))

    if y.ndim > 1 and y.size > 12:  # the row that is furthest off
        rows = y.shape[: y.ndim - len(given.row)]
        off = np.abs(y - truth).reshape(*rows, -1).max(-1)
        worst = np.unravel_index(np.nanargmax(np.nan_to_num(off, nan=np.inf)), rows)
        x, got, right = given.x[worst], y[worst], truth[worst]
        where = f"row {', '.join(map(str, worst))} of an input of {given.x.shape}"
    else:
        x, got, right = given.x, y, truth
        where = f"an input of {given.x.shape}"
    lines = [f"For example, {where}, eps = {given.eps:g}:"]
    parts = [("input", x), ("gain", given.weight), ("bias", given.bias)]
    parts += [("expected", right), ("returned", got)]
    for label, row in parts:
        if row is None or (label == "gain" and np.all(row == 1)):
            continue
        if label == "bias" and np.all(row == 0):
            continue
        lines += textwrap.wrap(
            numbers(row),
            _WIDTH,
            initial_indent=f"  {label:<9}",
            subsequent_indent=" " * 11,
            drop_whitespace=False,
        )
    return "\n".join(line.rstrip() for line in lines)


# ---------------------------------------------------------------- the way in


def diagnose(fn, backward=None, *, arrays=None, dtypes=None, device=None):
    """Check whether a function is a layer norm, and which mistake it makes if not.

    The function is called about a hundred times, with copies, on small inputs that are
    the same every time. Whatever it raises becomes a line of the report (an interrupt
    from the keyboard passes); its warnings are dropped, and what it prints is counted
    and not shown.

    Args:
        fn: a function `fn(input, normalized_shape, weight, bias, eps)`, called with
            these five by position, as `lnlib.layer_norm` and
            `torch.nn.functional.layer_norm` are; or a class or an instance of
            `torch.nn.Module`, which goes through `from_module`.
        backward: a function with the signature of `lnlib.layer_norm_backward`, called
            as `backward(dy, input, normalized_shape, mean, rstd, weight)`; it returns
            `(dx, dweight, dbias)`. Without one, gradients come from autograd if fn
            takes tensors, and are not checked if it takes NumPy arrays.
        arrays: "numpy" or "torch", what fn takes; found out if not given.
        dtypes: the names of the dtypes to check, such as `("float64", "float32")`; by
            default float64, float32 and float16, and bfloat16 with torch.
        device: the torch device that inputs live on, such as "cuda".

    Returns:
        A `Report`. `report.ok` is whether nothing was wrong; `report.mistakes` names
        the known mistakes that explain what was.

    Raises:
        TypeError, ValueError: arrays, dtypes or device is none of the above, or the
            module cannot be made into a function. Nothing that fn does raises here.
        ModuleNotFoundError: arrays is "torch", which is not installed.

    >>> import numpy as np
    >>> def mine(x, shape, weight=None, bias=None, eps=1e-5):
    ...     y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps)
    ...     return y * (1 if weight is None else weight) + (0 if bias is None else bias)
    >>> report = diagnose(mine, arrays="numpy", dtypes=["float64"])
    >>> report.ok, sorted(mistake.name for mistake in report.mistakes)
    (False, ['eps_outside_root', 'last_axis_only'])
    """
    kinds = _check_arrays(arrays, device)
    wanted = _check_dtypes(dtypes, kinds)
    name = _name(fn)
    torch = sys.modules.get("torch")
    if torch is not None and (
        isinstance(fn, torch.nn.Module)
        or (isinstance(fn, type) and issubclass(fn, torch.nn.Module))
    ):
        fn, kinds = from_module(fn), ("torch",)
    for what, function in (("fn", fn), ("backward", backward)):
        if not callable(function) and not (what == "backward" and function is None):
            note = (
                f"expected {what} to be a function, but got {type(function).__name__}"
            )
            check = Check("it can be called", "call", "fault", note=note)
            kind = kinds[0] if kinds else "numpy"
            used = tuple(d for d in _UNIT if wanted is None or d in wanted)
            return Report(name, kind, used, (check,), unexplained=(check.name,))
    with _one_thread(), _gradients_on():
        library = _library(fn, kinds, wanted, device)
        used = tuple(d for d in library.dtypes if wanted is None or d in wanted)
        battery = _Battery(fn, backward, library, used)
        battery.run()
        return _report(battery, name, used)


def _report(battery, name, dtypes):
    unexplained = [
        c.name
        for c in battery.checks
        if c.status == "fault" and c.name not in battery.explained
    ]
    notes = []
    printed = battery.subject.printed
    if printed:
        notes.append("It prints while it computes; what it printed is not shown.")
    wrong = any(
        c.kind == "definition" and c.status == "fault" and c.error is not None
        for c in battery.checks
    )
    return Report(
        name,
        battery.arrays.name,
        dtypes,
        tuple(battery.checks),
        battery.mistakes,
        battery.alternatives,
        tuple(unexplained),
        battery.example() if wrong else "",
        tuple(notes),
    )


def from_module(module):
    """A function with layer norm's signature from a torch module.

    The module is built anew for each call, from normalized_shape and eps, in the dtype
    of input; weight and bias take the place of its parameters. The gain is the
    parameter that starts at ones, the bias the one that starts at zeros, whatever
    they are called. A parameter of one number is given the first number.

    Args:
        module: a class of `torch.nn.Module`, or an instance, of which only the class
            is used. It is built as `module(normalized_shape, eps=eps)`, or without eps
            if it takes none.

    Returns:
        A function `(input, normalized_shape, weight, bias, eps)`.

    Raises:
        TypeError: it is not a torch module, cannot be built so, or has parameters
            that start at something else than ones and zeros.

    >>> import torch
    >>> norm = from_module(torch.nn.LayerNorm)
    >>> norm(torch.tensor([[1.0, 3.0]]), (2,), torch.ones(2), torch.ones(2), 0.0)
    tensor([[0., 2.]], grad_fn=<NativeLayerNormBackward0>)
    """
    import torch

    cls = module if isinstance(module, type) else type(module)
    if not issubclass(cls, torch.nn.Module):
        raise TypeError(f"Expected a torch module, but got {cls.__name__}")

    def build(row, eps, like):
        row = list(row) if len(row) > 1 else row[0]
        try:
            built = cls(row, eps=eps)
        except TypeError:
            built = cls(row)
        return built.to(device=like.device, dtype=like.dtype)

    hint = (
        f"; wrap {cls.__name__} in a function of (input, normalized_shape, weight, "
        "bias, eps)"
    )
    try:
        built = build((4,), 1e-5, torch.zeros(()))
    except Exception as error:
        raise TypeError(
            f"Expected a module that is built from (normalized_shape, eps=eps), but "
            f"got {_described(error)}{hint}"
        ) from None
    roles = {}
    for name, parameter in built.named_parameters():
        if bool((parameter == 1).all()):
            roles[name] = "weight"
        elif bool((parameter == 0).all()):
            roles[name] = "bias"
        else:
            roles[name] = name
    if sorted(roles.values()) not in ([], ["weight"], ["bias"], ["bias", "weight"]):
        raise TypeError(
            "Expected parameters that start at ones (a gain) and at zeros (a bias), "
            f"but got {', '.join(roles) or 'none'}{hint}"
        )

    def norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
        built = build(tuple(normalized_shape), eps, input)
        given = {"weight": weight, "bias": bias}
        parameters = {}
        for name, parameter in built.named_parameters():
            value = given[roles[name]]
            if value is None:
                value = parameter.detach()  # ones, or zeros
            elif parameter.numel() == 1 and value.numel() != 1:
                value = value.reshape(-1)[:1]
            parameters[name] = value.reshape(parameter.shape)
        return torch.func.functional_call(built, parameters, (input,))

    norm.__name__ = cls.__name__
    return norm


def _library(fn, kinds, wanted, device):
    """The arrays that fn takes: the first kind of which it makes an array."""
    kinds = kinds or _likely(fn)
    libraries = [_Torch(device) if kind == "torch" else _NumPy() for kind in kinds]
    libraries = [a for a in libraries if wanted is None or wanted & {*a.dtypes}]
    if not libraries:
        raise DtypeError(
            f"Expected dtypes of NumPy, but got {', '.join(sorted(wanted))}; "
            "PyTorch, which has more, is not installed"
        )
    if len(libraries) == 1:
        return libraries[0]
    given, fallback = _inputs()["both"], None
    for library in libraries:
        subject = _Subject(fn, library)
        for dtype in library.dtypes:
            if wanted is not None and dtype not in wanted:
                continue
            y, problem = subject.call(given, dtype)
            if y is not None:
                return library
            if problem.startswith("expected"):
                fallback = fallback or library
    return fallback or libraries[0]


def _likely(fn):
    """The kinds of arrays in the order in which to try them."""
    has_torch = "torch" in sys.modules or importlib.util.find_spec("torch") is not None
    if not has_torch:
        return ("numpy",)
    try:
        used = _modules_of(fn)
    except Exception:  # whatever a strange object does when asked
        used = set()
    if "numpy" in used and "torch" not in used:
        return ("numpy", "torch")
    if "torch" in used or "torch" in sys.modules:
        return ("torch", "numpy")
    return ("numpy", "torch")


def _modules_of(fn):
    """The array libraries that the code of fn names."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    if not hasattr(fn, "__code__"):
        fn = type(fn).__call__
    code, names = getattr(fn, "__code__", None), getattr(fn, "__globals__", {})
    used, todo = set(), [code] if code is not None else []
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if hasattr(c, "co_names")]
        for name in code.co_names:
            value = names.get(name)
            home = getattr(value, "__name__", "") if value is not None else ""
            used.add(str(home).partition(".")[0])
    return used


def _name(fn):
    try:
        name = fn.__name__
    except Exception:  # whatever a strange object does when asked
        name = None
    return name if isinstance(name, str) else type(fn).__name__


def _check_arrays(arrays, device):
    if arrays not in (None, "numpy", "torch"):
        raise ValueError(
            f'Expected arrays to be "numpy", "torch" or None, but got {arrays!r}'
        )
    if device is not None and arrays == "numpy":
        raise ValueError(
            f"Expected no device beside arrays of NumPy, but got {device!r}"
        )
    kinds = ("torch",) if device is not None else (arrays,) if arrays else None
    if kinds == ("torch",):
        try:
            import torch
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "arrays of torch need PyTorch, which is not installed; install it "
                "with: pip install 'lnlib[torch]'",
                name=error.name,
            ) from None
        if device is not None:
            torch.device(device)
    return kinds


def _check_dtypes(dtypes, kinds):
    if dtypes is None:
        return None
    if isinstance(dtypes, str) or not isinstance(dtypes, (tuple, list, set)):
        raise TypeError(f"Expected dtypes to be a list of names, but got {dtypes!r}")
    allowed = _NumPy.dtypes if kinds == ("numpy",) else tuple(_UNIT)
    names = {
        d if isinstance(d, str) else functional._dtype_name(_dtype_of(d))
        for d in dtypes
    }
    if not names or names - set(allowed):
        raise DtypeError(
            f"Expected dtypes out of {', '.join(allowed)}, but got {list(dtypes)}"
        )
    return names


def _dtype_of(d):
    return np.dtype(d) if isinstance(d, type) else d
