"""What very wide networks do before training: two numbers a layer, by quadrature.

Where a layer has many features and random weights, its summed inputs are normal
numbers, and sums over the features become expectations. What then happens to the length
of a gradient and to the angle between two inputs follows from the activation alone.

Source: Poole et al. 2016, "Exponential expressivity in deep neural networks through
transient chaos", and Schoenholz et al. 2017, "Deep Information Propagation".
"""

import math

import numpy as np

_REACH = 9.0  # beyond it is less than 1e-18 of a normal distribution


def _nodes(low, high, count):
    """Nodes and weights of Gauss and Legendre between bounds that may be arrays."""
    t, w = np.polynomial.legendre.leggauss(count)
    half = (np.asarray(high) - np.asarray(low))[..., None] / 2
    return np.asarray(low)[..., None] + half * (t + 1), half * w


def _density(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def mean(f, count=80):
    """The expectation of f(z) for a standard normal z: a float.

    Args:
        f: a function of an array; it may have a kink at 0, since each side is
            integrated by itself.
        count: nodes a side.

    >>> round(mean(lambda z: np.maximum(z, 0)) * math.sqrt(2 * math.pi), 12)
    1.0
    """
    z, w = _nodes([-_REACH, 0.0], [0.0, _REACH], count)
    return float((w * _density(z) * f(z)).sum())


def gradient_gain(f, slope, scale=1.0, centred=False):
    """By how much the squared length of a gradient grows from layer to layer.

    Args:
        f: the activation, a function of an array.
        slope: its derivative.
        scale: the standard deviation of the activation's input.
        centred: whether the mean of f is taken away before the variance is made 1, as
            by layer norm after f, or by batch norm before the next one.

    Returns:
        E[slope(z)^2] / E[f(z)^2], for z normal with deviation `scale`, times scale^2;
        with the variance of f(z) in the place of E[f(z)^2] if centred.

    Raises:
        ValueError: scale is not above 0.

    >>> relu, step = (lambda z: np.maximum(z, 0)), (lambda z: 1.0 * (z > 0))
    >>> round(gradient_gain(relu, step), 12)
    1.0
    >>> round(gradient_gain(relu, step, centred=True) - math.pi / (math.pi - 1), 12)
    0.0
    """
    if not scale > 0:
        raise ValueError(f"Expected scale to be above 0, but got {scale}")
    square = mean(lambda z: f(scale * z) ** 2)
    if centred:
        square -= mean(lambda z: f(scale * z)) ** 2
    return scale**2 * mean(lambda z: slope(scale * z) ** 2) / square


def next_cosine(f, c, centred=False, count=40):
    """The cosine of two inputs after a layer, from that before it.

    Args:
        f: the activation, a function of an array; it may have a kink at 0.
        c: the cosine before, a float or an array, from -1 to 1.
        centred: whether the mean over the features is taken away after f.
        count: nodes for each part of the integrals.

    Returns:
        E[f(u) f(v)] / E[f(u)^2] for standard normal u, v of correlation c: an array of
        the shape of c. With covariance and variance instead if centred.

    Raises:
        ValueError: c is out of range.

    >>> relu = lambda z: np.maximum(z, 0)
    >>> float(next_cosine(relu, 0.0).round(12) - round(1 / math.pi, 12))
    0.0
    """
    c = np.asarray(c, dtype=float)
    if (np.abs(c) > 1).any():
        raise ValueError(f"Expected cosines from -1 to 1, but got {c}")
    square = mean(lambda z: f(z) ** 2)
    drop = mean(f) ** 2 if centred else 0.0
    product = np.array([_product(f, one, count) for one in c.ravel()])
    found = (product - drop) / (square - drop)
    return found.clip(-1.0, 1.0).reshape(c.shape)  # rounding may leave the range


def _product(f, c, count):
    """E[f(u) f(v)], with v = c u + s w; the inner integral is split where v is 0."""
    s = math.sqrt(1 - c * c)
    u, wu = _nodes([-_REACH, 0.0], [0.0, _REACH], count)
    u, wu = u.ravel(), (wu * _density(u)).ravel()
    if s < 1e-9:
        return float((wu * f(u) * f(c * u)).sum())
    kink = np.clip(-c * u / s, -_REACH, _REACH)
    low, high = np.full_like(kink, -_REACH), np.full_like(kink, _REACH)
    inner = 0.0
    for a, b in ((low, kink), (kink, high)):
        t, wt = _nodes(a, b, count)  # (nodes of u, count)
        inner = inner + (wt * _density(t) * f(c * u[:, None] + s * t)).sum(-1)
    return float((wu * f(u) * inner).sum())
