"""The checks, in their order, and what their failing is explained by."""

import math
import textwrap
from dataclasses import dataclass, replace

import numpy as np

from lnlib import functional, mistakes
from lnlib.diagnosis.calling import _Backward, _Subject
from lnlib.diagnosis.inputs import (
    _SMALLEST,
    _error,
    _Input,
    _inputs,
    _true_gradients,
    _truth,
)
from lnlib.diagnosis.matching import _matching, _matching_backward
from lnlib.diagnosis.report import _UNIT, _WIDTH, Check

# Code that computes in float32 whatever it is given keeps this many digits; so the
# definition is checked no more strictly, and the digits are a check of their own.
_DEFINITION = 64 * _UNIT["float32"]
_DEFINITION_REASON = "what code that computes in float32 may lose"


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
    reason: str
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
    sums, twice = "64 roundings, in sums and after them", "the result is rounded once"
    checks = []
    for dtype in dtypes:
        u = _UNIT[dtype]
        if dtype in ("float64", "float32"):
            bound = (64 * u, sums)
            checks += [
                _Digits(f"y, {dtype}", dtype, wide, *bound),
                _Digits(f"dx, {dtype}", dtype, narrow, *bound, 0, dy[:, :6]),
                _Digits(f"dweight, {dtype}", dtype, narrow, *bound, 1, dy[:, :6]),
            ]
        if dtype == "float32":
            # A mean that is rounded to float32 moves every x - mean by as much as u
            # times the mean. That is all that may be lost: most code rounds it, and
            # only a second centring, of x - mean, gives these digits back. dx is held
            # to more, since its gradient is chosen so that this error cancels.
            moved = (8 * u * 1e4, "a mean of 1e4 is rounded to float32")
            huge = replace(wide, x=1e15 * wide.x)
            checks += [
                _Digits("y, float32, row mean 1e4", dtype, far, *moved),
                _Digits("dx, float32, row mean 1e4", dtype, far, *bound, 0, level),
                _Digits("y, float32, numbers of 1e15", dtype, huge, *bound),
            ]
        if dtype in ("bfloat16", "float16"):
            bound = (2 * u, twice)
            near = replace(wide, x=wide.x + 32)
            checks.append(_Digits(f"y, {dtype}, row mean 32", dtype, near, *bound))
            if dtype == "float16":
                large = replace(wide, x=1000 * wide.x)
                checks += [
                    _Digits("y, float16, numbers of 1000", dtype, large, *bound),
                    _Digits("y, float16, equal, ε = 1e-12", dtype, flat, *bound),
                ]
            ones = np.ones_like(pattern)
            for which, name in ((1, "dweight"), (2, "dbias")):
                truth = _ROWS * (pattern[0] if which == 1 else ones[0])
                name = f"{name}, {dtype}, {_ROWS} rows"
                checks.append(_Digits(name, dtype, many, *bound, which, ones, truth))
    return checks


def _digits_error(check, subject, gradients, reference):
    """`(error, problem)` of one check of the digits."""
    arrays = subject.arrays
    given = check.given.rounded(arrays, check.dtype)
    if check.which is None:
        y, problem = subject.call(check.given, check.dtype)
        if problem:
            return None, problem
        truth = np.asarray(reference(given))
        if reference is not _truth:  # what is too large for the dtype is infinite
            in_dtype = arrays.numbers(
                arrays.array(truth.astype(np.float64), check.dtype)
            )
            truth = np.where(np.isfinite(in_dtype), truth, in_dtype)
        return _error(arrays.numbers(y), truth, _SMALLEST[check.dtype]), ""
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
        self.wrong_gradients = set()  # which of dx, dweight, dbias are something else
        self.results = {}  # of each input: (y in float64, problem)

    def add(
        self,
        name,
        kind,
        dtype,
        error=None,
        bound=None,
        note="",
        status=None,
        reason="",
    ):
        if status is None:
            good = error is not None and error <= bound
            status = "passed" if good else "fault"
        unit = _UNIT[dtype]
        check = Check(name, kind, status, error, bound, note, reason, unit)
        self.checks.append(check)

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
                reason="16 roundings",
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
            why = _DEFINITION_REASON
            self.add(name, "definition", self.main, error, bound, reason=why)
            wrong = wrong or not error <= bound
        if wrong:
            evidence = [
                (given.rounded(self.arrays, self.main), self.results[name][0])
                for name, given in self.inputs.items()
                if self.results[name][0] is not None and given.x.size
            ]
            # Mistakes differ by far more; and an error of the definition of rounding's
            # size, as where float32 divides by a small deviation, is none.
            found = _matching(evidence, 32 * bound)
            self.mistakes, self.alternatives = found[0], tuple(found[1:])
            if self.mistakes:
                self.explained = {c.name for c in self.checks if c.error is not None}
        return wrong

    def example(self):
        """The smallest input on which it is wrong, with what was to come and came."""
        tiny = _Input(np.array([[1.0, 2.0, 3.0, 6.0]]), (4,), np.ones(4), np.zeros(4))
        pool = sorted(self.inputs.values(), key=lambda given: given.x.size)
        # First one on which four digits show it.
        for bound in (1e-3, _definition_bound(self.main)):
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
                why = _DEFINITION_REASON
                self.add(name, "definition", self.main, error, bound, note, reason=why)
            failed = {n for n, e in zip(names, errors, strict=True) if not e <= bound}
            self.wrong_gradients = {i for i in range(3) if names[i] in failed}
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
            other = check.which in self.wrong_gradients
            if other or (not known and (check.which is None or own)):
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
            bound, why = check.bound, check.reason
            self.add(check.name, "digits", check.dtype, error, bound, reason=why)
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
            for function in (mistake.function, *mistake.variants):
                if mistake.loses != "digits" or mistake in explained:
                    continue
                fails = self.failure(mistake, function, reference)
                same_place = [c for c in failing if fails(c)]
                if same_place and not any(fails(c) for c in passing):
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

    def failure(self, mistake, function, reference):
        """Which checks of the digits a mistake fails, made in place of the function."""

        if mistake.kind == "backward":
            subject = _Subject(functional.layer_norm, self.arrays)
            gradients = _Backward(function, self.arrays)
        else:
            forward = [m.function for m in self.mistakes if m.kind == "forward"]
            try:
                same = mistakes.combined(*forward, function)
            except ValueError:  # another mistake was found in that part
                return lambda check: False
            subject = gradients = _Subject(same, self.arrays)
            if self.gradients is not self.subject:
                gradients = _Backward(functional.layer_norm_backward, self.arrays)

        def fails(check):
            if mistake.kind == "backward" and check.which is None:
                return False
            error, _ = _digits_error(check, subject, gradients, reference)
            return error is not None and not error <= check.bound

        return fails


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
