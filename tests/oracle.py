"""Layer norm and RMS norm in long double, written another way than the library's.

Values come straight from the definition; gradients from the Jacobian of each row as
a full matrix, with the mean terms spelled out and rstd to the third power. Slow, and
independent of what it checks.
"""

import numpy as np

LONG = np.longdouble


def forward(x, weight=None, bias=None, eps=1e-5, center=True):
    """(M, N) -> y (M, N), in long double."""
    x = np.asarray(x, LONG)
    mean = x.sum(-1, keepdims=True) / x.shape[-1] if center else LONG(0)
    power = ((x - mean) ** 2).sum(-1, keepdims=True) / x.shape[-1]
    y = (x - mean) / np.sqrt(power + LONG(eps))
    y = y if weight is None else y * np.asarray(weight, LONG)
    return y if bias is None else y + np.asarray(bias, LONG)


def gradients(dy, x, weight=None, eps=1e-5, center=True):
    """(M, N), (M, N) -> dx (M, N), dweight (N,), dbias (N,), in long double."""
    x, dy = np.asarray(x, LONG), np.asarray(dy, LONG)
    n = x.shape[-1]
    gain = np.ones(n, LONG) if weight is None else np.asarray(weight, LONG)
    dx, dweight = np.zeros_like(x), np.zeros(n, LONG)
    for i, row in enumerate(x):
        centred = row - row.sum() / n if center else row
        rstd = 1 / np.sqrt((centred**2).sum() / n + LONG(eps))
        jacobian = np.eye(n, dtype=LONG) - (1 / LONG(n) if center else 0)
        jacobian = rstd * jacobian - rstd**3 * np.outer(centred, centred) / n
        dx[i] = jacobian.T @ (dy[i] * gain)
        dweight += dy[i] * centred * rstd
    return dx, dweight, dy.sum(0)


def error(a, truth):
    """The largest difference from the truth, relative to the largest true value."""
    a, truth = np.asarray(a, LONG), np.asarray(truth, LONG)
    assert a.shape == truth.shape, (a.shape, truth.shape)
    if a.size == 0:
        return 0.0
    return float(abs(a - truth).max() / max(abs(truth).max(), np.finfo(LONG).tiny))
