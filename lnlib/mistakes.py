"""Layer norms that are none: mistakes that were published, each of them runnable.

Published is code, a book, a paper, or a thread in which the mistake was offered as a
correction; some stood in a sister of layer norm, and then the title says so.

Layer norm is put together here from seven parts, and a mistake takes the place of one
of them. Its source shows that part alone; its name is a whole layer norm with the
signature of `lnlib.layer_norm`, for the arrays of NumPy, PyTorch, JAX and CuPy. It
takes what `lnlib.layer_norm` takes, returns an array of the shape and dtype of input,
and raises what `lnlib.layer_norm` raises.

The parts, in the order in which they are used, and what is right:

- `precision(x)`: x in the dtype to compute in; at least float32.
- `epsilon(x, eps)`: eps as it is used, a float.
- `axes(ndim, row)`: the axes to take the statistics over; those of the row.
- `center(x, axes)`: x without its mean.
- `variance(x, centred, axes)`: the mean square of what is centred.
- `rescale(centred, variance, eps)`: centred / sqrt(variance + eps).
- `affine(normalized, x, weight, bias)`: normalized(x) * weight + bias.

Mistakes in different parts can be made together: `combined`. A mistake in the
gradient is a whole function with the signature of `lnlib.layer_norm_backward`.

`MISTAKES` says of each what it gets wrong, where it was published, how large the
effect is (measured, not quoted) and how to mend it.

>>> import numpy as np
>>> x = np.array([[1.0, 2.0, 3.0, 6.0]])
>>> bessel_correction(x, (4,)).round(4)  # the deviation of a sample of four
array([[-0.9258, -0.4629,  0.    ,  1.3887]])
>>> print(named("bessel_correction").effect())
0.13: relative error of y, a row of 4 numbers
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lnlib import functional
from lnlib.functional import _mean, _namespace

# ---------------------------------------------------------------- the right parts


def _precision(x):
    return functional._at_least_float32(_namespace(input=x), x, "layer_norm")


def _epsilon(x, eps):
    return float(eps)


def _axes(ndim, row):
    return row


def _center(x, axes):
    return x - _mean(_namespace(input=x), x, axes)


def _variance(x, centred, axes):
    return _mean(_namespace(input=x), centred * centred, axes)


def _rescale(centred, variance, eps):
    return centred / _sqrt(variance + eps)


def _affine(normalized, x, weight, bias):
    return normalized(x) * weight + bias


_PARTS = {
    "precision": _precision,
    "epsilon": _epsilon,
    "axes": _axes,
    "center": _center,
    "variance": _variance,
    "rescale": _rescale,
    "affine": _affine,
}


def _compute(parts, input, row, weight, bias, eps):
    """Layer norm over the axes `row`, put together from parts."""
    xp = _namespace(input=input)
    axes = parts["axes"](len(input.shape), row)
    x, epsilon = parts["precision"](input), parts["epsilon"](input, eps)

    def normalized(x):
        centred = parts["center"](x, axes)
        variance = parts["variance"](x, centred, axes)
        return parts["rescale"](centred, variance, epsilon)

    # Absent parameters are numbers here, so that each part need not ask.
    gain, shift = (
        absent if p is None else xp.astype(p, x.dtype, copy=False)
        for p, absent in ((weight, 1.0), (bias, 0.0))
    )
    # Here 0 / 0 and overflow are what is to be seen; no warning besides.
    with np.errstate(all="ignore"):
        y = parts["affine"](normalized, x, gain, shift)
    return xp.astype(y, input.dtype, copy=False)


def _assembled(replacements):
    """The layer norm that has some of the parts above replaced."""
    parts = {**_PARTS, **replacements}

    def norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
        row = functional.check_layer_norm(input, normalized_shape, weight, bias, eps)
        return _compute(parts, input, row, weight, bias, eps)

    norm.__signature__ = inspect.signature(functional.layer_norm)
    norm.parts = dict(replacements)
    return norm


def _instead_of(part):
    """Make a layer norm of one wrong part."""

    def decorate(wrong_part):
        norm = _assembled({part: wrong_part})
        signature, parts = norm.__signature__, norm.parts
        functools.update_wrapper(norm, wrong_part)
        norm.__signature__, norm.parts = signature, parts
        return norm

    return decorate


def combined(*functions):
    """The layer norm that makes several mistakes at once.

    Args:
        functions: forward mistakes of this module, in different parts.

    Returns:
        A function with the signature of `lnlib.layer_norm`.

    Raises:
        TypeError: a function is not a forward mistake of this module.
        ValueError: two of the mistakes are in the same part.

    Source: the layer norm of the Annotated Transformer makes two of these mistakes.

    >>> import numpy as np
    >>> annotated = combined(bessel_correction, eps_outside_root)
    >>> annotated(np.array([[0.0, 2.0]]), (2,), eps=0.5).round(4)
    array([[-0.5224,  0.5224]])
    """
    replacements = {}
    for function in functions:
        parts = getattr(function, "parts", None)
        if parts is None:
            raise TypeError(
                "Expected forward mistakes of lnlib.mistakes, but got "
                f"{getattr(function, '__name__', function)!r}"
            )
        if both := sorted(replacements.keys() & parts.keys()):
            raise ValueError(
                "Expected mistakes in different parts of layer norm, but got two in "
                f"{both[0]!r}"
            )
        replacements.update(parts)
    norm = _assembled(replacements)
    norm.__name__ = " + ".join(f.__name__ for f in functions) or "layer_norm"
    return norm


# ---------------------------------------------------------------- the variance


@_instead_of("variance")
def bessel_correction(x, centred, axes):
    """The squares are summed and divided by N - 1, as for a sample, not by N.

    >>> import numpy as np
    >>> bessel_correction(np.array([[0.0, 2.0]]), (2,), eps=0.0).round(4)
    array([[-0.7071,  0.7071]])
    """
    n = math.prod([x.shape[axis] for axis in axes])
    return _variance(x, centred, axes) * n / max(n - 1, 1)


@_instead_of("variance")
def one_pass_variance(x, centred, axes):
    """The variance as E[x²] - E[x]², the difference of two large numbers.

    >>> import numpy as np
    >>> x = np.array([[4097.0, 4098.0, 4099.0, 4102.0]], np.float32)
    >>> y = one_pass_variance(x, (4,))
    >>> bool(np.abs(y - functional.layer_norm(x, (4,))).max() > 0.1)
    True
    """
    xp = _namespace(input=x)
    return _mean(xp, x * x, axes) - _mean(xp, x, axes) ** 2


# ---------------------------------------------------------------- eps and the root


@_instead_of("rescale")
def eps_outside_root(centred, variance, eps):
    """eps is added to the deviation and not to the variance.

    >>> import numpy as np
    >>> eps_outside_root(np.array([[0.0, 2.0]]), (2,), eps=0.25)
    array([[-0.8,  0.8]])
    """
    return centred / (_sqrt(variance) + eps)


@_instead_of("rescale")
def eps_missing(centred, variance, eps):
    """There is no eps: a row of equal numbers is 0 / 0.

    >>> import numpy as np
    >>> eps_missing(np.array([[0.0, 2.0]]), (2,), eps=0.25)
    array([[-1.,  1.]])
    """
    return centred / _sqrt(variance)


@_instead_of("rescale")
def divide_by_variance(centred, variance, eps):
    """The root is left out.

    >>> import numpy as np
    >>> divide_by_variance(np.array([[0.0, 4.0]]), (2,), eps=0.0)
    array([[-0.5,  0.5]])
    """
    return centred / (variance + eps)


@_instead_of("rescale")
def square_for_root(centred, variance, eps):
    """`** 2` stands where `** 0.5` belongs.

    >>> import numpy as np
    >>> square_for_root(np.array([[0.0, 4.0]]), (2,), eps=0.0)
    array([[-0.125,  0.125]])
    """
    return centred / (variance + eps) ** 2


@_instead_of("rescale")
def root_upside_down(centred, variance, eps):
    """Divided by rsqrt, which is one over the root already.

    >>> import numpy as np
    >>> root_upside_down(np.array([[0.0, 4.0]]), (2,), eps=0.0)
    array([[-4.,  4.]])
    """
    return centred * _sqrt(variance + eps)


@_instead_of("epsilon")
def eps_lost_in_half(x, eps):
    """eps is rounded to the dtype of the input; in float16 1e-12 is 0.

    >>> import numpy as np
    >>> eps_lost_in_half(np.ones((1, 2), np.float16), (2,), eps=1e-12)
    array([[nan, nan]], dtype=float16)
    """
    return float(_namespace(input=x).asarray(eps, dtype=x.dtype))


# ---------------------------------------------------------------- the axes


@_instead_of("axes")
def statistics_over_sequence(ndim, row):
    """One mean a feature, over the axis before the row: over time, not over features.

    >>> import numpy as np
    >>> x = np.array([[[0.0, 5.0], [2.0, 9.0]]])  # (batch, time, feature)
    >>> statistics_over_sequence(x, (2,), eps=0.0)
    array([[[-1., -1.],
            [ 1.,  1.]]])
    """
    return (row[0] - 1,) if ndim > len(row) else row


@_instead_of("axes")
def statistics_over_tokens(ndim, row):
    """One mean for all the tokens of a sequence: the axis before the row joins it.

    >>> import numpy as np
    >>> x = np.array([[[0.0, 0.0], [2.0, 2.0]]])  # (batch, time, feature)
    >>> statistics_over_tokens(x, (2,), eps=0.0)
    array([[[-1., -1.],
            [ 1.,  1.]]])
    """
    return (row[0] - 1, *row) if ndim > len(row) else row


@_instead_of("axes")
def statistics_over_batch(ndim, row):
    """One mean a feature, over the batch: batch norm.

    >>> import numpy as np
    >>> statistics_over_batch(np.array([[0.0, 5.0], [2.0, 9.0]]), (2,), eps=0.0)
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    return (-ndim,)


@_instead_of("axes")
def group_norm_one_group(ndim, row):
    """Group norm with one group: all axes but the first, whatever the row is.

    >>> import numpy as np
    >>> x = np.array([[[[0.0], [2.0]], [[2.0], [0.0]]]])  # (N, H, W, C)
    >>> group_norm_one_group(x, (1,), eps=0.0).ravel()
    array([-1.,  1.,  1., -1.])
    """
    return tuple(range(1 - ndim, 0)) or row


@_instead_of("axes")
def last_axis_only(ndim, row):
    """The statistics over the last axis, though normalized_shape names more.

    >>> import numpy as np
    >>> x = np.array([[[0.0, 2.0], [5.0, 9.0]]])
    >>> last_axis_only(x, (2, 2), eps=0.0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    return (-1,)


# ---------------------------------------------------------------- the mean


@_instead_of("center")
def no_centring(x, axes):
    """The mean stays in: RMS norm under the name of layer norm.

    >>> import numpy as np
    >>> no_centring(np.array([[3.0, 3.0]]), (2,), eps=0.0)
    array([[1., 1.]])
    """
    return x


# ---------------------------------------------------------------- gain and bias


@_instead_of("affine")
def affine_first(normalized, x, weight, bias):
    """Gain and bias come before the normalization, which undoes part of them.

    >>> import numpy as np
    >>> x, weight = np.array([[0.0, 2.0]]), np.array([3.0, 3.0])
    >>> affine_first(x, (2,), weight, eps=0.0)
    array([[-1.,  1.]])
    """
    return normalized(x * weight + bias)


@_instead_of("affine")
def bias_before_gain(normalized, x, weight, bias):
    """The bias is added first and multiplied by the gain.

    >>> import numpy as np
    >>> x, weight, bias = np.array([[0.0, 2.0]]), np.full(2, 3.0), np.ones(2)
    >>> bias_before_gain(x, (2,), weight, bias, eps=0.0)
    array([[0., 6.]])
    """
    return (normalized(x) + bias) * weight


@_instead_of("affine")
def bias_missing(normalized, x, weight, bias):
    """The bias is dropped.

    >>> import numpy as np
    >>> bias_missing(np.array([[0.0, 2.0]]), (2,), bias=np.ones(2), eps=0.0)
    array([[-1.,  1.]])
    """
    return normalized(x) * weight


@_instead_of("affine")
def scalar_gain(normalized, x, weight, bias):
    """One gain and one bias for all features, here the first of each.

    >>> import numpy as np
    >>> x, weight = np.array([[0.0, 2.0]]), np.array([3.0, 5.0])
    >>> scalar_gain(x, (2,), weight, eps=0.0)
    array([[-3.,  3.]])
    """
    return normalized(x) * _first(weight) + _first(bias)


@_instead_of("affine")
def _scalar_gain_of_mean(normalized, x, weight, bias):
    return normalized(x) * _average(weight) + _average(bias)


@_instead_of("affine")
def swapped_gain_and_bias(normalized, x, weight, bias):
    """The gain is added and the bias multiplies.

    >>> import numpy as np
    >>> x, weight, bias = np.array([[0.0, 2.0]]), np.ones(2), np.zeros(2)
    >>> swapped_gain_and_bias(x, (2,), weight, bias)
    array([[1., 1.]])
    """
    return normalized(x) * bias + weight


# ---------------------------------------------------------------- the precision


@_instead_of("precision")
def low_precision_statistics(x):
    """Mean and variance are computed in the dtype of the input, be it float16.

    >>> import numpy as np
    >>> x = np.array([[-1000.0, 1000.0]], np.float16)
    >>> low_precision_statistics(x, (2,)).tolist()  # 1000² is too large for float16
    [[0.0, 0.0]]
    """
    return x


def _low_precision_center(x, axes):
    wide = _center(x, axes)
    return functional._at_least_float32(_namespace(input=x), wide, "layer_norm")


# As where a library computes a deviation in float32 inside, but the mean is rounded.
_low_precision_mean = _assembled(
    {**low_precision_statistics.parts, "center": _low_precision_center}
)


# ---------------------------------------------------------------- the gradient


def gradient_without_mean_terms(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """dx as if mean and deviation were constants: two of its three terms are missing.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = functional.layer_norm_forward(x, (4,), eps=0.0)
    >>> gradient_without_mean_terms(dy, x, (4,), mean, rstd)[0].round(4)
    array([[0.5345, 0.    , 0.    , 0.    ]])
    """
    dxhat, _xhat, _axes, right = _backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    return _with_dx(rstd * dxhat, input, right)


def elementwise_gradient(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """dx in which nothing is summed: the products stand where their means belong.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = functional.layer_norm_forward(x, (4,), eps=0.0)
    >>> elementwise_gradient(dy, x, (4,), mean, rstd)[0].round(4)
    array([[0.052, 0.   , 0.   , 0.   ]])
    """
    dxhat, xhat, axes, right = _backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    n = math.prod([input.shape[axis] for axis in axes])
    dx = (rstd * dxhat - xhat * rstd * rstd * dxhat * xhat) / n
    return _with_dx(dx, input, right)


def mean_subtracted_twice(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """dx with its middle term taken off twice.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = functional.layer_norm_forward(x, (4,), eps=0.0)
    >>> mean_subtracted_twice(dy, x, (4,), mean, rstd)[0].round(4)
    array([[ 0.1145, -0.3436, -0.2673, -0.0382]])
    """
    dxhat, xhat, axes, right = _backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    xp = _namespace(input=input)
    along_xhat = _mean(xp, dxhat * xhat, axes)
    dx = rstd * (dxhat - 2 * _mean(xp, dxhat, axes) - xhat * along_xhat)
    return _with_dx(dx, input, right)


def uncentred_gradient(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """dx as a dxhat + b x + c with x not centred: right, but b x and c cancel.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = functional.layer_norm_forward(x, (4,), eps=0.0)
    >>> uncentred_gradient(dy, x, (4,), mean, rstd)[0].round(4)
    array([[ 0.2482, -0.21  , -0.1336,  0.0955]])
    """
    dxhat, _xhat, axes, right = _backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    xp = _namespace(input=input)
    x = xp.astype(input, dxhat.dtype, copy=False)
    ds, db = _mean(xp, dxhat * x, axes), _mean(xp, dxhat, axes)
    b = (db * mean - ds) * rstd**3
    c = -b * mean - db * rstd
    return _with_dx(rstd * dxhat + b * x + c, input, right)


def low_precision_accumulation(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """dweight and dbias are summed row after row in the dtype of the input.

    In bfloat16 256 + 1 is 256, in float16 2048 + 1 is 2048: there the sum stops.

    >>> import numpy as np
    >>> x, dy = np.zeros((4096, 2), np.float16), np.ones((4096, 2), np.float16)
    >>> y, mean, rstd = functional.layer_norm_forward(x, (2,))
    >>> low_precision_accumulation(dy, x, (2,), mean, rstd)[2].tolist()
    [2048.0, 2048.0]
    """
    _dxhat, xhat, axes, (dx, _, _) = _backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    xp = _namespace(input=input)

    def summed(terms):
        rows = xp.reshape(terms, (-1, *input.shape[axes[0] :]))
        total = rows[0, ...] * 0
        for i in range(rows.shape[0]):
            total = total + rows[i, ...]  # rounded each time
        return total

    terms = (xp.astype(dy * xp.astype(xhat, dy.dtype), input.dtype), dy)
    dweight, dbias = (
        summed(t) if wanted else None
        for t, wanted in zip(terms, output_mask[1:], strict=True)
    )
    return dx, dweight, dbias


# ---------------------------------------------------------------- what parts share


def _sqrt(x):
    return _namespace(input=x).sqrt(x)


def _first(parameter):
    if isinstance(parameter, float):
        return parameter
    return _namespace(input=parameter).reshape(parameter, (-1,))[0]


def _average(parameter):
    if isinstance(parameter, float):
        return parameter
    return _namespace(input=parameter).mean(parameter)


def _backward(dy, input, normalized_shape, mean, rstd, weight, output_mask):
    """dxhat, xhat, the axes of a row, and the right gradients."""
    right = functional.layer_norm_backward(
        dy, input, normalized_shape, mean, rstd, weight, output_mask
    )
    axes = functional.check_layer_norm(input, normalized_shape, weight)
    xhat = functional.restandardize(input, axes, mean, rstd)
    xp = _namespace(input=input)
    dxhat = xp.astype(dy, xhat.dtype, copy=False)
    if weight is not None:
        dxhat = dxhat * xp.astype(weight, xhat.dtype, copy=False)
    return dxhat, xhat, axes, right


def _with_dx(dx, input, right):
    if right[0] is None:
        return right
    return (_namespace(input=input).astype(dx, input.dtype, copy=False), *right[1:])


# ---------------------------------------------------------------- the collection


@dataclass(frozen=True)
class Source:
    """Where a mistake was published: a title and an address."""

    title: str
    address: str


@dataclass(frozen=True)
class Effect:
    """How large the effect of a mistake is: a number and what it is the number of."""

    number: float
    meaning: str

    def __str__(self):
        return f"{self.number:.2g}: {self.meaning}"


@dataclass(frozen=True)
class Mistake:
    """A mistake that was published.

    Args:
        function: the mistake, a layer norm or (kind "backward") its gradient.
        kind: "forward" or "backward".
        loses: what is lost: "definition", if it computes something else than layer
            norm, or "digits", if only rounding tells it from layer norm.
        wrong: what it gets wrong, one sentence.
        published: where it was published, a tuple of `Source`.
        effect: measures how large the effect is; returns an `Effect`.
        repair: what to write instead, one sentence.
        variants: other functions that make the same mistake in another way.

    >>> mistake = named("eps_outside_root")
    >>> mistake.kind, mistake.loses, len(mistake.published) > 0
    ('forward', 'definition', True)
    """

    function: Callable
    kind: str
    loses: str
    wrong: str
    published: tuple
    effect: Callable
    repair: str
    variants: tuple = ()

    @property
    def name(self):
        return self.function.__name__


def named(name):
    """The mistake of a name.

    Raises:
        KeyError: there is none of that name.

    >>> named("no_centring").function is no_centring
    True
    """
    for mistake in MISTAKES:
        if mistake.name == name:
            return mistake
    raise KeyError(
        f"Expected the name of a mistake, one of {', '.join(m.name for m in MISTAKES)}"
        f", but got {name!r}"
    )


def _error(y, truth):
    y, truth = np.asarray(y, np.float64), np.asarray(truth, np.float64)
    return float(np.abs(y - truth).max() / np.abs(truth).max())


def _forward_effect(function, meaning, x, row=4, *args, **kwargs):
    """The relative error of y: the mistake against layer norm in float64."""
    x = np.asarray(x)
    wide = [np.asarray(a, np.float64) for a in (x, *args)]
    truth = functional.layer_norm(wide[0], row, *wide[1:], **kwargs)
    y = function(x, row, *args, **kwargs)
    return Effect(_error(y, truth), meaning)


def _backward_effect(function, meaning, x, dy, which=0):
    """The relative error of a gradient, by default dx, against that in float64."""
    x, dy = np.asarray(x), np.asarray(dy)
    found, truth = (
        f(d, z, z.shape[-1], *functional.layer_norm_forward(z, z.shape[-1])[1:])[which]
        for f, d, z in (
            (function, dy, x),
            (functional.layer_norm_backward, np.float64(dy), np.float64(x)),
        )
    )
    return Effect(_error(found, truth), meaning)


_ROW = [[1.0, 2.0, 3.0, 6.0]]
_GAIN, _BIAS = np.array([1.0, 2.0, 0.5, 1.0]), np.array([0.5, 0.0, -0.5, 1.0])
_TOKENS = [[[1.0, 2.0, 3.0, 6.0], [0.0, 4.0, -4.0, 8.0]]]
_ONE = [[1.0, 0.0, 0.0, 0.0]]
_FLAT = [[3.0, 3.0, 3.0, 3.0]]


def _github(repository, number, title, kind="issues"):
    return Source(
        f"{repository} #{number}: {title}",
        f"https://github.com/{repository}/{kind}/{number}",
    )


_ANNOTATED = Source(
    "The Annotated Transformer, class LayerNorm",
    "https://github.com/harvardnlp/annotated-transformer/blob/master/"
    "the_annotated_transformer.py",
)
_ATEN = Source(
    "PyTorch, the CPU kernel of layer norm",
    "https://github.com/pytorch/pytorch/blob/main/aten/src/ATen/native/cpu/"
    "layer_norm_kernel.cpp",
)

MISTAKES = (
    Mistake(
        bessel_correction,
        "forward",
        "definition",
        "It divides by the deviation of a sample, with N - 1, and not by that of the "
        "row, with N.",
        (
            _ANNOTATED,
            _github(
                "harvardnlp/annotated-transformer",
                122,
                "is there any reason we used a different LayerNorm implementation",
            ),
            _github(
                "FluxML/Flux.jl",
                529,
                "should normalise switch to the uncorrected deviation",
            ),
        ),
        lambda: _forward_effect(
            bessel_correction, "relative error of y, a row of 4 numbers", _ROW
        ),
        "Divide the sum of squares by N: x.var(unbiased=False) in torch.",
    ),
    Mistake(
        one_pass_variance,
        "forward",
        "digits",
        "It subtracts two numbers of the size of mean² to get one of the size of the "
        "variance; in float32 nothing is left at a mean of some thousand deviations.",
        (
            Source(
                "labml.ai Annotated Deep Learning Paper Implementations, layer norm",
                "https://github.com/labmlai/annotated_deep_learning_paper_"
                "implementations/blob/master/labml_nn/normalization/layer_norm/"
                "__init__.py",
            ),
            _github(
                "pytorch/pytorch", 51102, "LayerNorm does not behave as documented"
            ),
            _github(
                "tracel-ai/burn",
                5607,
                "fused f32 layer_norm loses precision for rows with large mean",
            ),
        ),
        lambda: _forward_effect(
            one_pass_variance,
            "relative error of y in float32, the row (4097, 4098, 4099, 4102)",
            np.add(_ROW, 4096).astype(np.float32),
        ),
        "Subtract the mean first, then take the mean of the squares.",
    ),
    Mistake(
        eps_outside_root,
        "forward",
        "definition",
        "It divides by σ + ε in place of √(σ² + ε), so ε matters only where σ is as "
        "small as ε itself and not as √ε.",
        (
            _ANNOTATED,
            _github("tracel-ai/burn", 2185, "LayerNorm does not normalize its input"),
            _github("codertimo/BERT-pytorch", 30, "the LayerNorm implementation"),
            _github("hkproj/pytorch-transformer", 31, "fix layernorm", kind="pull"),
        ),
        lambda: _forward_effect(
            eps_outside_root,
            "relative error of y, a row of deviation 0.001 and eps 1e-5",
            [[-1e-3, 1e-3, -1e-3, 1e-3]],
        ),
        "Add ε to the variance, under the root.",
    ),
    Mistake(
        eps_missing,
        "forward",
        "definition",
        "It has no ε, or one that never reaches the root: a row of equal numbers "
        "becomes NaN.",
        (
            _github(
                "deeplearning4j/deeplearning4j", 8241, "layerNorm should add epsilon"
            ),
            _github(
                "VeriSilicon/TIM-VX", 589, "fixed LayerNormalization eps bug", "pull"
            ),
            _github(
                "xlite-dev/LeetCUDA",
                317,
                "correct typo in LayerNorm kernel (eps added to N)",
                "pull",
            ),
        ),
        lambda: Effect(
            float(np.isnan(eps_missing(np.array(_FLAT), 4)).mean()),
            "share of NaN in y, a row of equal numbers",
        ),
        "Add ε to the variance, under the root.",
    ),
    Mistake(
        divide_by_variance,
        "forward",
        "definition",
        "It divides by σ² in place of σ, so y shrinks as x grows.",
        (
            _github(
                "elith-co-jp/book-llm-from-scratch",
                24,
                "formula and code of layer normalization differ (page 49 of the book)",
            ),
        ),
        lambda: _forward_effect(
            divide_by_variance, "relative error of y, a row of variance 3.5", _ROW
        ),
        "Take the root of variance + ε.",
    ),
    Mistake(
        square_for_root,
        "forward",
        "definition",
        "It divides by (σ² + ε)² in place of its root.",
        (
            _github(
                "131250208/TPlinker-joint-extraction", 37, "question about layernorm"
            ),
            _github("jax-ml/jax", 442, "stax.BatchNorm incorrect normalization"),
        ),
        lambda: _forward_effect(
            square_for_root, "relative error of y, a row of variance 3.5", _ROW
        ),
        "Write ** 0.5, or sqrt.",
    ),
    Mistake(
        root_upside_down,
        "forward",
        "definition",
        "It divides by rsqrt(σ² + ε), which multiplies by the deviation.",
        (
            _github("mosaicml/llm-foundry", 371, "incorrect implementation of RMSNorm"),
            _github(
                "szymanowiczs/viewset-diffusion",
                1,
                "Bug in LayerNorm? (right code, and this offered as its correction)",
            ),
        ),
        lambda: _forward_effect(
            root_upside_down, "relative error of y, a row of variance 3.5", _ROW
        ),
        "Multiply by rsqrt, or divide by sqrt.",
    ),
    Mistake(
        eps_lost_in_half,
        "forward",
        "digits",
        "It rounds ε to float16, in which less than 3e-8 is 0: padding, a row of "
        "equal numbers, becomes NaN.",
        (
            _github(
                "pytorch/pytorch", 41527, "layer_norm returns nan for fp16 all 0 tensor"
            ),
            _github("deepspeedai/DeepSpeed", 581, "possible bug with layernorm kernel"),
            _github(
                "tensorflow/tensorflow",
                24979,
                "use safe variance epsilon for float16 layer_norm",
                "pull",
            ),
        ),
        lambda: Effect(
            float(
                np.isnan(
                    eps_lost_in_half(np.array(_FLAT, np.float16), 4, eps=1e-12)
                ).mean()
            ),
            "share of NaN in y in float16, a row of equal numbers and eps 1e-12",
        ),
        "Keep ε, and what it is added to, in float32 until the root is taken.",
    ),
    Mistake(
        statistics_over_sequence,
        "forward",
        "definition",
        "It takes mean and variance of each feature over time, so what comes later "
        "changes what came before.",
        (
            _github(
                "jadore801120/attention-is-all-you-need-pytorch",
                17,
                "correct LayerNormalization",
                "pull",
            ),
        ),
        lambda: _forward_effect(
            statistics_over_sequence,
            "relative error of y, a sequence of two tokens",
            _TOKENS,
        ),
        "Take the statistics over the features, the axes that normalized_shape names.",
    ),
    Mistake(
        statistics_over_tokens,
        "forward",
        "definition",
        "It takes one mean and one variance for all the tokens of a sequence, so "
        "what comes later changes what came before.",
        (
            _github("udlbook/udlbook", 237, "potential misstatement in section 12.4"),
            _github("reczoo/FuxiCTR", 23, "Emb_LayerNorm bug in MaskNet"),
        ),
        lambda: _forward_effect(
            statistics_over_tokens,
            "relative error of y, a sequence of two tokens",
            _TOKENS,
        ),
        "Let normalized_shape name the features alone.",
    ),
    Mistake(
        statistics_over_batch,
        "forward",
        "definition",
        "It takes mean and variance of each feature over the batch: it is batch norm, "
        "and an example's output depends on the others.",
        (
            _github(
                "GokuMohandas/fast-weights", 9, "layer normalization not done correctly"
            ),
            _github(
                "Kyubyong/transformer",
                40,
                "wrong batch normalization (right code; statistics over batch and "
                "positions together were offered as its correction)",
            ),
        ),
        lambda: _forward_effect(
            statistics_over_batch,
            "relative error of y, a batch of two rows",
            _TOKENS[0],
        ),
        "Take the statistics over the features, the axes that normalized_shape names.",
    ),
    Mistake(
        group_norm_one_group,
        "forward",
        "definition",
        "It takes the statistics over all axes but the first, as GroupNorm(1, C) "
        "does; layer norm does so only where normalized_shape names all of them.",
        (
            _github(
                "Qualcomm-AI-research/geometric-algebra-transformer",
                8,
                "fix layernorm bug in baseline transformer",
                "pull",
            ),
            _github("apple/ml-cvnets", 34, "LayerNorm2d != GroupNorm w/ groups=1"),
            _github("pytorch/pytorch", 75862, "LayerNorm and GroupNorm not equivalent"),
            _github(
                "pytorch/pytorch",
                69071,
                "correct GroupNorm explanation (offered, and not merged)",
                "pull",
            ),
        ),
        lambda: _forward_effect(
            group_norm_one_group,
            "relative error of y, an image of 1 by 2 points and 4 channels",
            [_TOKENS],
        ),
        "Take the statistics over the axes that normalized_shape names.",
    ),
    Mistake(
        last_axis_only,
        "forward",
        "definition",
        "It takes the statistics over the last axis, though normalized_shape names "
        "several.",
        (
            Source(
                "akhilvreddy/layernorm-reimplementation, class LayerNorm",
                "https://github.com/akhilvreddy/layernorm-reimplementation/blob/main/"
                "layernorm/layers.py",
            ),
        ),
        lambda: _forward_effect(
            last_axis_only,
            "relative error of y, normalized_shape (2, 4)",
            _TOKENS,
            (2, 4),
        ),
        "Reduce over tuple(range(-len(normalized_shape), 0)).",
    ),
    Mistake(
        no_centring,
        "forward",
        "definition",
        "It does not subtract the mean: it is RMS norm.",
        (
            _github("huggingface/transformers", 14772, "a bug in T5LayerNorm"),
            _github("pytorch/text", 1826, "add layer norm module for t5 model", "pull"),
        ),
        lambda: _forward_effect(
            no_centring, "relative error of y, a row of mean 3", _ROW
        ),
        "Subtract the mean, or call it RMS norm.",
    ),
    Mistake(
        affine_first,
        "forward",
        "definition",
        "It scales and shifts the input of the normalization, which takes the common "
        "part of gain and bias out again.",
        (
            _github(
                "lucas-maes/le-wm",
                18,
                "AdaLN action conditioning, followed by a second LayerNorm",
            ),
            _github(
                "lucas-maes/le-wm", 46, "question about ConditionalBlock and LayerNorm"
            ),
        ),
        lambda: _forward_effect(
            affine_first,
            "relative error of y, gain (1, 2, 0.5, 1) and bias (0.5, 0, -0.5, 1)",
            _ROW,
            4,
            _GAIN,
            _BIAS,
        ),
        "Normalize first, then multiply by the gain and add the bias.",
    ),
    Mistake(
        bias_before_gain,
        "forward",
        "definition",
        "It computes (x̂ + β) γ, so weights trained elsewhere give other outputs.",
        (
            _github(
                "apple/ml-ane-transformers",
                2,
                "flip order of weight+bias application in LayerNormANE",
                "pull",
            ),
        ),
        lambda: _forward_effect(
            bias_before_gain,
            "relative error of y, gain (1, 2, 0.5, 1) and bias (0.5, 0, -0.5, 1)",
            _ROW,
            4,
            _GAIN,
            _BIAS,
        ),
        "Multiply by the gain, then add the bias.",
    ),
    Mistake(
        bias_missing,
        "forward",
        "definition",
        "It has no bias, so a bias that it is given is dropped.",
        (
            _github(
                "baidu-baige/LoongForge",
                112,
                "align LayerNorm projector conversion configs (a mapping of RMS norm "
                "left the bias of a checkpoint behind)",
                "pull",
            ),
            _github(
                "google-research/text-to-text-transfer-transformer",
                613,
                "layer normalization (on purpose, and called layer norm)",
            ),
        ),
        lambda: _forward_effect(
            bias_missing,
            "relative error of y, gain (1, 2, 0.5, 1) and bias (0.5, 0, -0.5, 1)",
            _ROW,
            4,
            _GAIN,
            _BIAS,
        ),
        "Add the bias, or say that there is none.",
    ),
    Mistake(
        scalar_gain,
        "forward",
        "definition",
        "It has one gain and one bias where each feature has its own.",
        (
            _github("microsoft/CNTK", 2376, "bug in layerNormalization implementation"),
            Source(
                "reddheeraj/transformer-from-scratch, class LayerNormalization",
                "https://github.com/reddheeraj/transformer-from-scratch/blob/main/"
                "Model/LayerNormalization.py",
            ),
        ),
        lambda: _forward_effect(
            scalar_gain,
            "relative error of y, gain (1, 2, 0.5, 1) and bias (0.5, 0, -0.5, 1)",
            _ROW,
            4,
            _GAIN,
            _BIAS,
        ),
        "Make gain and bias of the shape normalized_shape.",
        variants=(_scalar_gain_of_mean,),
    ),
    Mistake(
        swapped_gain_and_bias,
        "forward",
        "definition",
        "It multiplies by the bias and adds the gain; with the usual start, ones and "
        "zeros, every output is 1.",
        (
            Source(
                "huyanxin/phasen, class GLayerNorm2d: what is called beta multiplies",
                "https://github.com/huyanxin/phasen/blob/"
                "87ae3313ccecd38a90d806932f7c75ba00ac8206/model/phasen.py",
            ),
            _github(
                "google/objax",
                94,
                "initialize layer-norm properly (the starting values were swapped)",
                "pull",
            ),
            Source(
                "Ba, Kiros and Hinton 2016, supplement: equation 15 names gain and "
                "bias the other way round than the text below it starts them",
                "https://arxiv.org/abs/1607.06450",
            ),
        ),
        lambda: _forward_effect(
            swapped_gain_and_bias,
            "relative error of y, gains of 1 and biases of 0",
            _ROW,
            4,
            np.ones(4),
            np.zeros(4),
        ),
        "The gain multiplies and starts at 1, the bias is added and starts at 0.",
    ),
    Mistake(
        low_precision_statistics,
        "forward",
        "digits",
        "It computes mean and variance in float16 or bfloat16 where the input has "
        "that dtype; squares overflow and sums lose digits.",
        (
            _github(
                "pytorch/pytorch", 66707, "layer_norm needs to be done in fp32 for fp16"
            ),
            _github(
                "ROCm/AMDMIGraphX",
                2891,
                "use float or higher accumulator for layernorm",
            ),
            _github(
                "Xilinx/mlir-aie", 3410, "aie2p layer_norm: f32-accumulate", "pull"
            ),
        ),
        lambda: _forward_effect(
            low_precision_statistics,
            "relative error of y in float16, the row (-1000, 1000, -1000, 1000)",
            np.array([[-1e3, 1e3, -1e3, 1e3]], np.float16),
        ),
        "Bring x to float32, compute, and round y once.",
        variants=(_low_precision_mean,),
    ),
    Mistake(
        gradient_without_mean_terms,
        "backward",
        "definition",
        "It treats mean and deviation as constants, though both depend on x.",
        (
            Source(
                "Xu et al. 2019, Understanding and Improving Layer Normalization: "
                "DetachNorm, run on purpose and found worse",
                "https://arxiv.org/abs/1911.07013",
            ),
            _github(
                "tinygrad/tinygrad", 4904, "revert the .detach() in layernorm", "pull"
            ),
        ),
        lambda: _backward_effect(
            gradient_without_mean_terms, "relative error of dx, a row of 4", _ROW, _ONE
        ),
        "Subtract the mean of dxhat, and xhat times the mean of dxhat · xhat.",
    ),
    Mistake(
        elementwise_gradient,
        "backward",
        "definition",
        "It multiplies where the chain rule sums over the row.",
        (
            Source(
                "Nemotron-CC-Math-v1, a corpus of web text: a page on "
                "LayerNormBackward, step 2 (the page has no address of its own)",
                "https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1",
            ),
        ),
        lambda: _backward_effect(
            elementwise_gradient, "relative error of dx, a row of 4", _ROW, _ONE
        ),
        "Take the means over the row of dxhat and of dxhat · xhat.",
    ),
    Mistake(
        mean_subtracted_twice,
        "backward",
        "definition",
        "It takes the mean of dxhat off twice; the loss still falls.",
        (
            _github(
                "tenstorrent/tt-metal",
                53204,
                "layernorm_bw computes wrong dx: mean(dy*gamma) subtracted twice",
            ),
        ),
        lambda: _backward_effect(
            mean_subtracted_twice, "relative error of dx, a row of 4", _ROW, _ONE
        ),
        "Subtract the mean of dxhat once.",
    ),
    Mistake(
        uncentred_gradient,
        "backward",
        "digits",
        "It adds b x and c, two numbers that grow with the mean of the row and cancel.",
        (_ATEN,),
        lambda: _backward_effect(
            uncentred_gradient,
            "relative error of dx in float32, the row (4097, 4098, 4099, 4102)",
            np.add(_ROW, 4096).astype(np.float32),
            np.array(_ONE, np.float32),
        ),
        "Centre x before it is multiplied: rstd (dxhat - mean - xhat mean).",
    ),
    Mistake(
        low_precision_accumulation,
        "backward",
        "digits",
        "It sums the gradients of gain and bias over the rows in bfloat16 or "
        "float16, where the sum soon stops growing.",
        (
            _github(
                "karpathy/llm.c", 428, "mismatch of dweight at layernorm_backward.cu"
            ),
            _github(
                "linkedin/Liger-Kernel",
                950,
                "ensure FP32 accumulation for dW in RMSNorm backward",
                "pull",
            ),
            _ATEN,
        ),
        lambda: _backward_effect(
            low_precision_accumulation,
            "relative error of dbias in float16, 4096 rows with a gradient of 1",
            np.zeros((4096, 2), np.float16),
            np.ones((4096, 2), np.float16),
            which=2,
        ),
        "Sum in float32 and round once.",
    ),
)
