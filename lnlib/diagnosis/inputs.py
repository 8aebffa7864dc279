"""What a function is called with, and what is true of it.

The inputs are the same at every call. The truth is computed from the definition in
extended precision, and shares no code with the rest of the library.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

_SMALLEST = {  # the smallest number of full precision
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
}


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


def _error(y, truth, smallest=0.0):
    """The largest error, relative to the largest true number.

    Where the truth is infinite or NaN, as a wrong definition can make it, the same is
    right. What is below the smallest normal number of a dtype has fewer digits.
    """
    if y.size == 0:
        return 0.0
    y, truth = np.asarray(y), np.asarray(truth)
    finite = np.isfinite(truth)
    if not finite.all():
        there = truth[~finite].astype(y.dtype)
        if not np.array_equal(y[~finite], there, equal_nan=True):
            return math.nan
        y, truth = y[finite], truth[finite]
    if not np.isfinite(y).all():
        return math.nan if np.isnan(y).any() else math.inf
    largest = max(np.abs(truth).max(initial=0.0), smallest)
    return float(np.abs(y - truth).max(initial=0.0) / (largest if largest else 1))
