"""The norms in long double, written another way than the library's.

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


def labels(shape, norm, groups=None):
    """For each number of an input (N, C, *), the set that it is normalized in."""
    example, channel = np.indices(shape)[:2]
    if norm == "batch":
        return channel
    groups = shape[1] if norm == "instance" else groups
    return example * groups + channel // (shape[1] // groups)


def channel_norm(dy, x, sets, weight=None, bias=None, eps=1e-5):
    """(N, C, *), with labels -> y, dx, dweight (C,), dbias (C,), in long double.

    The numbers of each set become a row of `forward` and `gradients`.
    """
    x, dy = np.asarray(x, LONG), np.asarray(dy, LONG)
    channel = np.indices(x.shape)[1]
    gain = np.ones(x.shape, LONG) if weight is None else np.asarray(weight)[channel]
    shift = np.zeros(x.shape, LONG) if bias is None else np.asarray(bias)[channel]
    order = np.argsort(sets.ravel(), kind="stable")
    count = len(np.unique(sets))

    def rows(a):
        return a.ravel()[order].reshape(count, -1)

    def back(a):
        return a.ravel()[np.argsort(order, kind="stable")].reshape(x.shape)

    xhat = back(forward(rows(x), eps=eps))
    dx = back(gradients(rows(dy * gain), rows(x), eps=eps)[0])
    sums = [
        np.array([a[channel == c].sum() for c in range(x.shape[1])], LONG)
        for a in (dy * xhat, dy)
    ]
    return xhat * gain + shift, dx, *sums


def running(x, norm, old_mean, old_var, momentum=0.1):
    """The running statistics after a batch (N, C, *), in long double."""
    x = np.asarray(x, LONG)
    columns = x.reshape(*x.shape[:2], -1)
    if norm == "batch":
        columns = columns.transpose(1, 0, 2).reshape(1, x.shape[1], -1)
    mean = columns.mean(-1).mean(0)
    variance = columns.var(-1, ddof=1).mean(0)
    momentum = LONG(momentum)
    return [
        (1 - momentum) * np.asarray(old, LONG) + momentum * new
        for old, new in ((old_mean, mean), (old_var, variance))
    ]


def error(a, truth):
    """The largest difference from the truth, relative to the largest true value."""
    a, truth = np.asarray(a, LONG), np.asarray(truth, LONG)
    assert a.shape == truth.shape, (a.shape, truth.shape)
    if a.size == 0:
        return 0.0
    return float(abs(a - truth).max() / max(abs(truth).max(), np.finfo(LONG).tiny))
