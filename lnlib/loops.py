"""Layer norm, RMS norm and batch norm, one number at a time, on lists of floats.

Nothing here is fast. It is here to be read, and to be the form that all the
others are checked against.

In every function, `x` is one row: the N numbers that are normalized together; for
batch norm it is a list of M rows, and the columns are normalized.
`weight` is the gain (gamma) and `bias` the bias (beta), one number a feature;
a missing weight stands for ones, a missing bias for zeros. Ints and the numbers of
NumPy are taken as floats. The mean is subtracted once, as the formula says, so numbers
far larger than their spread lose digits (`lnlib.functional` subtracts it twice); where
the squares overflow, from 1e154 on, the row is NaN. Source: Ba, Kiros and
Hinton, "Layer Normalization", arXiv:1607.06450, equations 3 and 15 to 16, with the
epsilon that every implementation adds and the paper does not have; Zhang and
Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4; Ioffe
and Szegedy, "Batch Normalization", arXiv:1502.03167, algorithm 1.
"""

import math
from numbers import Real


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Layer norm of one row: subtract the mean, divide by the deviation, scale, shift.

    Args:
        x: the row, a list of N floats.
        weight: the gain, N floats; None stands for ones.
        bias: the bias, N floats; None stands for zeros.
        eps: added to the variance under the root; at least 0.

    Returns:
        The normalized row, a list of N floats.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ, or eps is negative or NaN.

    >>> [round(y, 4) for y in layer_norm([1.0, 2.0, 3.0, 6.0])]
    [-1.069, -0.5345, 0.0, 1.6036]
    """
    y, _mean, _rstd = layer_norm_forward(x, weight, bias, eps)
    return y


def layer_norm_forward(x, weight=None, bias=None, eps=1e-5):
    """Layer norm of one row, with the two numbers that the backward pass needs.

    Args:
        x: the row, a list of N floats.
        weight: the gain, N floats; None stands for ones.
        bias: the bias, N floats; None stands for zeros.
        eps: added to the variance under the root; at least 0.

    Returns:
        `(y, mean, rstd)`: the normalized row (N floats), the mean of x, and
        1 / sqrt(variance + eps).

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ, or eps is negative or NaN.

    >>> y, mean, rstd = layer_norm_forward([1.0, 2.0, 3.0, 6.0], eps=0.0)
    >>> mean, round(rstd, 4)
    (3.0, 0.5345)
    """
    x, weight, bias, eps = _check_row(x, weight, bias, eps)
    n = len(x)
    mean = _mean(x)
    centred = [xi - mean for xi in x]
    variance = _mean([c * c for c in centred])
    rstd = _reciprocal(math.sqrt(variance + eps))
    xhat = [c * rstd for c in centred]
    y = [weight[i] * xhat[i] + bias[i] for i in range(n)]
    return y, mean, rstd


def layer_norm_backward(dy, x, mean, rstd, weight=None):
    """The gradients of layer norm for one row.

    Args:
        dy: the gradient of the loss with respect to y, N floats.
        x: the row that went in, N floats.
        mean: the mean of x, from `layer_norm_forward`.
        rstd: 1 / sqrt(variance + eps), from `layer_norm_forward`.
        weight: the gain, N floats; None stands for ones.

    Returns:
        `(dx, dweight, dbias)`, N floats each. The gain and the bias serve every
        row of a batch, so their gradients are the sums of these over the rows.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ.

    >>> x, dy = [1.0, 2.0, 3.0, 6.0], [1.0, 0.0, 0.0, 0.0]
    >>> y, mean, rstd = layer_norm_forward(x, eps=0.0)
    >>> dx, dweight, dbias = layer_norm_backward(dy, x, mean, rstd)
    >>> [round(d, 4) for d in dx], abs(round(sum(dx), 12))
    ([0.2482, -0.21, -0.1336, 0.0955], 0.0)
    """
    x, weight, _, _ = _check_row(x, weight)
    dy = _check_list("dy", dy, len(x))
    mean = _check_number("mean", mean)
    rstd = _check_number("rstd", rstd)
    n = len(x)
    xhat = [(xi - mean) * rstd for xi in x]
    dbias = list(dy)
    dweight = [dy[i] * xhat[i] for i in range(n)]
    dxhat = [dy[i] * weight[i] for i in range(n)]

    along_ones = _mean(dxhat)
    along_xhat = _mean([dxhat[i] * xhat[i] for i in range(n)])
    dx = [
        rstd
        * (
            dxhat[i]  # term 1: straight through
            - along_ones  # term 2: through the mean
            - xhat[i] * along_xhat  # term 3: through the deviation
        )
        for i in range(n)
    ]
    return dx, dweight, dbias


def rms_norm(x, weight=None, eps=None):
    """RMS norm of one row: divide by the root of the mean square, scale.

    Args:
        x: the row, a list of N floats.
        weight: the gain, N floats; None stands for ones.
        eps: added to the mean square under the root; at least 0. None stands for
            the machine epsilon of a Python float, 2.2e-16, as in torch.

    Returns:
        The normalized row, a list of N floats.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ, or eps is negative or NaN.

    >>> [round(y, 4) for y in rms_norm([1.0, 1.0, 3.0, 5.0])]
    [0.3333, 0.3333, 1.0, 1.6667]
    """
    y, _rstd = rms_norm_forward(x, weight, eps)
    return y


def rms_norm_forward(x, weight=None, eps=None):
    """RMS norm of one row, with the number that the backward pass needs.

    Args:
        x: the row, a list of N floats.
        weight: the gain, N floats; None stands for ones.
        eps: added to the mean square under the root; at least 0. None stands for
            the machine epsilon of a Python float, 2.2e-16, as in torch.

    Returns:
        `(y, rstd)`: the normalized row (N floats) and 1 / sqrt(mean square + eps).

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ, or eps is negative or NaN.

    >>> y, rstd = rms_norm_forward([1.0, 1.0, 3.0, 5.0], eps=0.0)
    >>> round(rstd, 4)
    0.3333
    """
    if eps is None:
        eps = math.ulp(1.0)
    x, weight, _, eps = _check_row(x, weight, None, eps)
    mean_square = _mean([xi * xi for xi in x])
    rstd = _reciprocal(math.sqrt(mean_square + eps))
    y = [weight[i] * x[i] * rstd for i in range(len(x))]
    return y, rstd


def rms_norm_backward(dy, x, rstd, weight=None):
    """The gradients of RMS norm for one row.

    Args:
        dy: the gradient of the loss with respect to y, N floats.
        x: the row that went in, N floats.
        rstd: 1 / sqrt(mean square + eps), from `rms_norm_forward`.
        weight: the gain, N floats; None stands for ones.

    Returns:
        `(dx, dweight)`, N floats each; dweight is to be summed over the rows.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ.

    >>> x, dy = [1.0, 1.0, 3.0, 5.0], [1.0, 0.0, 0.0, 0.0]
    >>> y, rstd = rms_norm_forward(x, eps=0.0)
    >>> dx, dweight = rms_norm_backward(dy, x, rstd)
    >>> [round(d, 4) for d in dx]
    [0.3241, -0.0093, -0.0278, -0.0463]
    """
    x, weight, _, _ = _check_row(x, weight)
    dy = _check_list("dy", dy, len(x))
    rstd = _check_number("rstd", rstd)
    n = len(x)
    xhat = [xi * rstd for xi in x]
    dweight = [dy[i] * xhat[i] for i in range(n)]
    dxhat = [dy[i] * weight[i] for i in range(n)]

    along_xhat = _mean([dxhat[i] * xhat[i] for i in range(n)])
    dx = [rstd * (dxhat[i] - xhat[i] * along_xhat) for i in range(n)]
    return dx, dweight


def batch_norm(x, weight=None, bias=None, eps=1e-5):
    """Batch norm of a list of rows, in training: each column as one row of layer norm.

    Args:
        x: the batch, a list of M rows of N floats.
        weight: the gain, N floats; None stands for ones.
        bias: the bias, N floats; None stands for zeros.
        eps: added to the variance under the root; at least 0.

    Returns:
        The normalized rows, a list of M lists of N floats.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ, or eps is negative or NaN.

    >>> [round(y, 4) for [y] in batch_norm([[1.0], [2.0], [3.0], [6.0]])]
    [-1.069, -0.5345, 0.0, 1.6036]
    """
    y, _mean, _rstd = batch_norm_forward(x, weight, bias, eps)
    return y


def batch_norm_forward(x, weight=None, bias=None, eps=1e-5):
    """Batch norm of a list of rows, with the numbers that the backward pass needs.

    Args:
        x, weight, bias, eps: as for `batch_norm`.

    Returns:
        `(y, mean, rstd)`: the normalized rows, and for each of the N columns its mean
        and 1 / sqrt(variance + eps).

    Raises:
        TypeError, ValueError: as `batch_norm`.

    >>> y, mean, rstd = batch_norm_forward([[1.0], [2.0], [3.0], [6.0]], eps=0.0)
    >>> mean, [round(r, 4) for r in rstd]
    ([3.0], [0.5345])
    """
    x, weight, bias, eps = _check_batch(x, weight, bias, eps)
    m = len(x)
    y, mean, rstd = [], [], []
    for column, gain, shift in zip(_columns(x), weight, bias, strict=True):
        # One gain serves a whole column; in layer norm each number has its own.
        y_column, mu, r = layer_norm_forward(column, [gain] * m, [shift] * m, eps)
        y.append(y_column)
        mean.append(mu)
        rstd.append(r)
    return _columns(y), mean, rstd


def batch_norm_backward(dy, x, mean, rstd, weight=None):
    """The gradients of batch norm in training.

    Args:
        dy: the gradient of the loss with respect to y, M rows of N floats.
        x: the rows that went in, M rows of N floats.
        mean, rstd: N floats each, from `batch_norm_forward`.
        weight: the gain, N floats; None stands for ones.

    Returns:
        `(dx, dweight, dbias)`: M rows of N floats, N floats, N floats.

    Raises:
        TypeError: something is not a list (or tuple) of real numbers.
        ValueError: lengths differ.

    >>> x, dy = [[1.0], [2.0], [3.0], [6.0]], [[1.0], [0.0], [0.0], [0.0]]
    >>> y, mean, rstd = batch_norm_forward(x, eps=0.0)
    >>> dx, dweight, dbias = batch_norm_backward(dy, x, mean, rstd)
    >>> [round(d, 4) for [d] in dx], dbias
    ([0.2482, -0.21, -0.1336, 0.0955], [1.0])
    """
    x, weight, _, _ = _check_batch(x, weight)
    dy = _check_rows("dy", dy)
    if [len(row) for row in dy] != [len(row) for row in x]:
        raise ValueError(
            f"Expected dy to have as many rows as x, {len(x)}, of as many numbers, but "
            f"got rows of {[len(row) for row in dy]}"
        )
    mean = _check_list("mean", mean, len(weight))
    rstd = _check_list("rstd", rstd, len(weight))
    m = len(x)
    dx, dweight, dbias = [], [], []
    for i, (dy_column, column) in enumerate(
        zip(_columns(dy), _columns(x), strict=True)
    ):
        dx_column, by_gain, by_bias = layer_norm_backward(
            dy_column, column, mean[i], rstd[i], [weight[i]] * m
        )
        dx.append(dx_column)
        dweight.append(sum(by_gain))  # one gain for the column
        dbias.append(sum(by_bias))
    return _columns(dx), dweight, dbias


def _mean(numbers):
    total = 0.0
    for number in numbers:
        total += number
    return total / len(numbers) if numbers else 0.0


def _reciprocal(number):
    # Python raises where IEEE 754 says infinity. With infinity, a constant row at
    # eps = 0 becomes 0 * inf = NaN, as it does in every array library.
    if number == math.inf:  # squares overflowed: NaN, and not a row of zeros
        return math.nan
    return 1.0 / number if number else math.inf


def _columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def _check_batch(x, weight=None, bias=None, eps=0.0):
    x = _check_rows("x", x)
    return x, *_check_row(x[0] if x else [], weight, bias, eps)[1:]


def _check_rows(name, rows):
    if not isinstance(rows, (list, tuple)):
        raise TypeError(
            f"Expected {name} to be a list of rows, but got {type(rows).__name__}; "
            "for arrays use lnlib.functional"
        )
    rows = [_check_list(f"each row of {name}", row) for row in rows]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"Expected the rows of {name} to be of one length, but got lengths "
            f"{[len(row) for row in rows]}"
        )
    return rows


def _check_row(x, weight=None, bias=None, eps=0.0):
    """All of them as floats; a NumPy number would compute in a dtype of its own."""
    x = _check_list("x", x)
    n = len(x)
    weight = [1.0] * n if weight is None else _check_list("weight", weight, n)
    bias = [0.0] * n if bias is None else _check_list("bias", bias, n)
    eps = _check_number("eps", eps)
    if not eps >= 0.0:
        raise ValueError(f"Expected eps to be at least 0, but got eps = {eps}")
    return x, weight, bias, eps


def _check_list(name, numbers, length=None):
    if not isinstance(numbers, (list, tuple)):
        raise TypeError(
            f"Expected {name} to be a list of floats, one row, but got "
            f"{type(numbers).__name__}; for arrays use lnlib.functional"
        )
    for number in numbers:
        if not isinstance(number, Real) or isinstance(number, bool):
            raise TypeError(
                f"Expected {name} to be a list of floats, one row, but got one that "
                f"holds {type(number).__name__}"
            )
    if length is not None and len(numbers) != length:
        raise ValueError(
            f"Expected {name} to have as many numbers as x, {length}, but got "
            f"{len(numbers)}"
        )
    return [_check_number(f"each number of {name}", number) for number in numbers]


def _check_number(name, number):
    if not isinstance(number, Real) or isinstance(number, bool):
        raise TypeError(
            f"Expected {name} to be a number, but got {type(number).__name__}"
        )
    try:
        return float(number)
    except OverflowError:
        raise ValueError(
            f"Expected {name} to be a number that a float can hold, but got an int of "
            f"{number.bit_length()} bits"
        ) from None
