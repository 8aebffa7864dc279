"""Calling a function that may do anything."""

import contextlib
import io
import re
import sys
import textwrap
import warnings

import numpy as np

from lnlib import functional


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
        return self.checked(y, arguments["input"], "an array")

    def checked(self, y, like, what):
        """`(array, problem)`: an array of the right shape, and of numbers."""
        result, problem = self.guarded(self._checked, y, like, what)
        return (None, f"expected {what}, but got {problem}") if problem else result

    def _checked(self, y, like, what):
        if not self.arrays.is_array(y):
            kind = type(y).__name__
            if isinstance(y, (tuple, list)):
                kind = f"a {kind} of {len(y)}"
            return None, f"expected {what}, but got {kind}"
        if tuple(y.shape) != tuple(like.shape):
            return None, (
                f"expected the shape {tuple(like.shape)}, but got {tuple(y.shape)}"
            )
        functional._dtype_name(y.dtype)
        self.arrays.numbers(y)
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
