"""Every published mistake once more, in other code: plain NumPy, from its description.

They share nothing with `lnlib.mistakes`, so that a mistake there that is not the one
it claims to be is seen, and so that `lnlib.diagnose` has code to name that it does not
know.
"""

import functools
import math

import numpy as np


def _affine(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _norm(x, axes, weight, bias, eps):
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return _affine(y, weight, bias)


def _row(row):
    return tuple(range(-len(row), 0))


def bessel_correction(x, row, weight, bias, eps):
    axes = _row(row)
    variance = x.var(axes, ddof=1, keepdims=True)
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(variance + eps)
    return _affine(y, weight, bias)


def one_pass_variance(x, row, weight, bias, eps):
    axes = _row(row)
    mean = x.mean(axes, keepdims=True)
    variance = np.square(x).mean(axes, keepdims=True) - np.square(mean)
    return _affine((x - mean) * (variance + eps) ** -0.5, weight, bias)


def eps_outside_root(x, row, weight, bias, eps):
    axes = _row(row)
    y = (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + eps)
    return _affine(y, weight, bias)


def eps_missing(x, row, weight, bias, eps):
    axes = _row(row)
    y = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
    return _affine(y, weight, bias)


def divide_by_variance(x, row, weight, bias, eps):
    axes = _row(row)
    y = (x - x.mean(axes, keepdims=True)) / (x.var(axes, keepdims=True) + eps)
    return _affine(y, weight, bias)


def square_for_root(x, row, weight, bias, eps):
    axes = _row(row)
    std = (x.var(axes, keepdims=True) + eps) ** 2
    return _affine((x - x.mean(axes, keepdims=True)) / std, weight, bias)


def root_upside_down(x, row, weight, bias, eps):
    axes = _row(row)
    rsqrt = (x.var(axes, keepdims=True) + eps) ** -0.5
    return _affine((x - x.mean(axes, keepdims=True)) / rsqrt, weight, bias)


def eps_lost_in_half(x, row, weight, bias, eps):
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    y = _norm(wide, _row(row), weight, bias, float(x.dtype.type(eps)))
    return y.astype(x.dtype)


def statistics_over_sequence(x, row, weight, bias, eps):
    axes = _row(row)
    if x.ndim > len(row):
        axes = (x.ndim - len(row) - 1,)
    return _norm(x, axes, weight, bias, eps)


def statistics_over_tokens(x, row, weight, bias, eps):
    start = max(x.ndim - len(row) - 1, 0)
    return _norm(x, tuple(range(start, x.ndim)), weight, bias, eps)


def statistics_over_batch(x, row, weight, bias, eps):
    return _norm(x, 0, weight, bias, eps)


def group_norm_one_group(x, row, weight, bias, eps):
    if x.ndim == 1:
        return _norm(x, 0, weight, bias, eps)
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    return _affine(_norm(flat, -1, None, None, eps).reshape(x.shape), weight, bias)


def last_axis_only(x, row, weight, bias, eps):
    return _norm(x, -1, weight, bias, eps)


def no_centring(x, row, weight, bias, eps):
    power = (x * x).mean(_row(row), keepdims=True)
    return _affine(x / np.sqrt(power + eps), weight, bias)


def affine_first(x, row, weight, bias, eps):
    return _norm(_affine(x, weight, bias), _row(row), None, None, eps)


def bias_before_gain(x, row, weight, bias, eps):
    y = _affine(_norm(x, _row(row), None, None, eps), None, bias)
    return _affine(y, weight, None)


def bias_missing(x, row, weight, bias, eps):
    return _norm(x, _row(row), weight, None, eps)


def scalar_gain(x, row, weight, bias, eps):
    weight = None if weight is None else weight.flat[0]
    bias = None if bias is None else bias.flat[0]
    return _norm(x, _row(row), weight, bias, eps)


def swapped_gain_and_bias(x, row, weight, bias, eps):
    weight = 1.0 if weight is None else weight
    bias = 0.0 if bias is None else bias
    return _norm(x, _row(row), bias, weight, eps)


def low_precision_statistics(x, row, weight, bias, eps):
    axes, n = _row(row), x.dtype.type(np.prod(row))
    mean = np.add.reduce(x, axes, dtype=x.dtype, keepdims=True) / n
    centred = x - mean
    variance = np.add.reduce(centred**2, axes, dtype=x.dtype, keepdims=True) / n
    y = centred / np.sqrt(variance + x.dtype.type(eps))
    return _affine(y, weight, bias).astype(x.dtype)


def _in_float32(twin):
    """The twin with float16 computed in float32, so that it has one mistake only."""

    @functools.wraps(twin)
    def norm(x, row, weight, bias, eps):
        if x.dtype != np.float16:
            return twin(x, row, weight, bias, eps)
        wide = [None if a is None else a.astype(np.float32) for a in (x, weight, bias)]
        return twin(wide[0], row, *wide[1:], eps).astype(x.dtype)

    return norm


FORWARD = {
    f.__name__: f
    if f in (low_precision_statistics, eps_lost_in_half)
    else _in_float32(f)
    for f in (
        bessel_correction,
        one_pass_variance,
        eps_outside_root,
        eps_missing,
        divide_by_variance,
        square_for_root,
        root_upside_down,
        eps_lost_in_half,
        statistics_over_sequence,
        statistics_over_tokens,
        statistics_over_batch,
        group_norm_one_group,
        last_axis_only,
        no_centring,
        affine_first,
        bias_before_gain,
        bias_missing,
        scalar_gain,
        swapped_gain_and_bias,
        low_precision_statistics,
    )
}


# ------------------------------------------------------------ gradients


def _parts(dy, x, row, mean, rstd, weight):
    axes = _row(row)
    wide = np.promote_types(x.dtype, np.float32)
    x, dy = x.astype(wide), dy.astype(wide)
    xhat = (x - mean) * rstd
    g = dy if weight is None else dy * weight
    rows = tuple(range(x.ndim - len(row)))
    return axes, x, xhat, g, (dy * xhat).sum(rows), dy.sum(rows)


def gradient_without_mean_terms(dy, x, row, mean, rstd, weight):
    _, _, _, g, dweight, dbias = _parts(dy, x, row, mean, rstd, weight)
    return (g * rstd).astype(x.dtype), dweight, dbias


def elementwise_gradient(dy, x, row, mean, rstd, weight):
    _, _, xhat, g, dweight, dbias = _parts(dy, x, row, mean, rstd, weight)
    dx = (g * rstd - xhat**2 * rstd**2 * g) / np.prod(row)
    return dx.astype(x.dtype), dweight, dbias


def mean_subtracted_twice(dy, x, row, mean, rstd, weight):
    axes, _, xhat, g, dweight, dbias = _parts(dy, x, row, mean, rstd, weight)
    along = (g * xhat).mean(axes, keepdims=True)
    dx = rstd * (g - 2 * g.mean(axes, keepdims=True) - xhat * along)
    return dx.astype(x.dtype), dweight, dbias


def uncentred_gradient(dy, x, row, mean, rstd, weight):
    axes, wide, _, g, dweight, dbias = _parts(dy, x, row, mean, rstd, weight)
    scale = 1 / wide.dtype.type(np.prod(row))
    ds, db = (g * wide).sum(axes, keepdims=True), g.sum(axes, keepdims=True)
    b = (db * mean - ds) * rstd**3 * scale
    dx = rstd * g + b * wide + (-b * mean - db * rstd * scale)
    return dx.astype(x.dtype), dweight, dbias


def low_precision_accumulation(dy, x, row, mean, rstd, weight):
    axes, _, xhat, g, _, _ = _parts(dy, x, row, mean, rstd, weight)
    along = (g * xhat).mean(axes, keepdims=True)
    dx = rstd * (g - g.mean(axes, keepdims=True) - xhat * along)
    terms = (dy * xhat.astype(dy.dtype), dy)
    # NumPy's cumulative sum rounds after every term.
    dweight, dbias = (
        np.cumsum(t.reshape(-1, *row).astype(x.dtype), axis=0, dtype=x.dtype)[-1]
        for t in terms
    )
    return dx.astype(x.dtype), dweight, dbias


BACKWARD = {
    f.__name__: f
    for f in (
        gradient_without_mean_terms,
        elementwise_gradient,
        mean_subtracted_twice,
        uncentred_gradient,
        low_precision_accumulation,
    )
}
