"""The family of norms, vectorized, for any array of the Python array API standard.

One source serves NumPy, PyTorch, JAX and CuPy. All the norms do one thing,
`standardize`, and differ in the axes they do it over; their backward passes do one
thing, `standardize_backward`.

Shapes are written as in torch: an input of shape `(*, *normalized_shape)` has some
leading batch axes, together M rows, and the N = prod(normalized_shape) numbers of a
row are normalized together. float64, float32, bfloat16 and float16 come in and go
out in their own dtype; sums, statistics and everything between are held in at least
float32.
"""

import math
import sys
from numbers import Integral, Real

import array_api_compat

from lnlib.errors import DtypeError, ShapeError

_HALF = ("bfloat16", "float16")
_WIDE = ("float32", "float64", "longdouble", "float96", "float128")

# ---------------------------------------------------------------- standardize


def standardize(x, axes, eps=1e-5, center=True):
    """Bring x to mean 0 and mean square 1 over some of its axes.

    xhat = (x - mean) * rstd with rstd = 1 / sqrt(variance + eps), where mean and
    variance are taken over `axes`; with `center=False` the mean is left in, and the
    mean square takes the place of the variance.

    The variance is the population variance (divided by the count, not by the count
    minus one), from a second pass over the centred numbers. Centring is done twice:
    the second time removes what the rounding of the mean left over, so a row of mean
    1e6 and spread 1 in float32 loses nothing but its last bit.

    Args:
        x: array of any shape; float64, float32, bfloat16 or float16.
        axes: an int or a tuple of ints, the axes to take the statistics over.
        eps: added to the variance under the root; at least 0.
        center: whether to subtract the mean.

    Returns:
        `(xhat, mean, rstd)`: xhat has the shape of x; mean and rstd have it with the
        axes reduced to length 1. All are in the dtype of x, but at least float32.
        mean is None without centring.

    Raises:
        TypeError: x is not an array, an axis is not an int, eps not a number.
        ValueError: an axis is out of range or named twice, or eps is negative or NaN.
        DtypeError: x is not real floating point.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, equation 3 (there without
    eps); the corrected two-pass variance: Chan, Golub and LeVeque 1983.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 4.0, 4.0]])
    >>> xhat, mean, rstd = standardize(x, axes=-1, eps=0.0)
    >>> mean.ravel(), rstd.ravel().round(4)
    (array([3., 2.]), array([0.5345, 0.5   ]))
    >>> xhat[1]
    array([-1., -1.,  1.,  1.])
    """
    _check_given(input=x)
    xp = _namespace(input=x)
    axes = _check_axes(axes, len(x.shape))
    _check_eps(eps)
    x = _at_least_float32(xp, x, "standardize")
    mean = None
    if center:
        x, mean = _centred(xp, x, axes)
    variance = _mean(xp, x * x, axes)
    eps = float(eps)  # a NumPy float64 would make float32 arrays float64
    # 1 / sqrt and not power -1/2: where a library differentiates this itself, the
    # power would form rstd ** 3, which underflows in float32 from x = 1e13 on.
    rstd = 1.0 / xp.sqrt(variance + eps)
    return x * rstd, mean, rstd


def restandardize(x, axes, mean, rstd):
    """xhat again, from x and the statistics that `standardize` returned.

    What a backward pass needs is xhat. To keep it costs as much memory as x; to keep
    x, mean and rstd costs two numbers a row, since x is kept by others anyway.

    Args:
        x: the array that was standardized.
        axes: the axes it was standardized over.
        mean: the mean that `standardize` returned; None if it did not centre.
        rstd: the rstd that `standardize` returned.

    Returns:
        xhat, as from `standardize`.

    Raises:
        TypeError, ValueError, DtypeError: as `standardize`.
        ShapeError: mean or rstd does not have the shape of x with `axes` of length 1.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0]])
    >>> xhat, mean, rstd = standardize(x, axes=-1)
    >>> bool(np.all(restandardize(x, -1, mean, rstd) == xhat))
    True
    """
    _check_given(input=x, rstd=rstd)
    xp = _namespace(input=x, mean=mean, rstd=rstd)
    axes = _check_axes(axes, len(x.shape))
    _check_statistics(x, axes, mean=mean, rstd=rstd)
    x = _at_least_float32(xp, x, "restandardize")
    if mean is not None:
        x, _ = _centred(xp, x, axes, mean)
    return x * rstd


def standardize_backward(dxhat, xhat, axes, rstd, center=True):
    """The gradient of the loss with respect to x, from that with respect to xhat.

    dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), the means taken
    over `axes`; without centring the middle term is absent. Up to rstd this is a
    projection: it removes the part of dxhat along the vector of ones and (but for
    eps) the part along xhat. As a matrix it is symmetric, so the same function maps
    a tangent of x to the tangent of xhat.

    Args:
        dxhat: gradient with respect to xhat; array of the shape of xhat.
        xhat: the standardized array.
        axes: the axes it was standardized over.
        rstd: as `standardize` returned it.
        center: whether the mean was subtracted.

    Returns:
        dx, an array of the shape of xhat, in at least float32.

    Raises:
        TypeError, ValueError, DtypeError: as `standardize`.
        ShapeError: dxhat has not the shape of xhat, or rstd not that shape with
            `axes` of length 1.

    Source: derived in the chapter on the backward pass.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0]])
    >>> xhat, mean, rstd = standardize(x, axes=-1, eps=0.0)
    >>> dx = standardize_backward(np.array([[1.0, 0.0, 0.0, 0.0]]), xhat, -1, rstd)
    >>> dx.round(4)
    array([[ 0.2482, -0.21  , -0.1336,  0.0955]])
    """
    _check_given(dxhat=dxhat, xhat=xhat, rstd=rstd)
    xp = _namespace(dxhat=dxhat, xhat=xhat, rstd=rstd)
    axes = _check_axes(axes, len(xhat.shape))
    _check_same_shape("dxhat", dxhat, "xhat", xhat)
    _check_statistics(xhat, axes, rstd=rstd)
    dxhat = _at_least_float32(xp, dxhat, "standardize_backward")
    xhat = _at_least_float32(xp, xhat, "standardize_backward")
    if center:
        dxhat = dxhat - _mean(xp, dxhat, axes)  # the part along the ones
    # dxhat may have lost its mean by now; xhat has none, so the sum is the same.
    along_xhat = _mean(xp, dxhat * xhat, axes)
    return rstd * (dxhat - xhat * along_xhat)


# ---------------------------------------------------------------- layer norm


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Layer norm over the last axes of an array, as `torch.nn.functional.layer_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    Args:
        input: array of shape `(*, *normalized_shape)`; float64, float32, bfloat16 or
            float16.
        normalized_shape: the shape of one row, an int or a list of ints: the last
            axes of input.
        weight: the gain, an array of shape normalized_shape; None stands for ones.
        bias: the bias, an array of shape normalized_shape; None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, an array of the shape and dtype of input.

    Raises:
        ShapeError: input does not end in normalized_shape, weight or bias does not
            have that shape, or normalized_shape is empty.
        DtypeError: input is not real floating point, or the dtypes do not go together.
        TypeError: something is not an array, arrays come from different libraries,
            eps is not a number.
        ValueError: eps is negative or NaN.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, equations 3 and 15 to 16;
    eps under the root as in the authors' own code.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0], [10.0, 20.0, 30.0, 60.0]])
    >>> layer_norm(x, (4,)).round(4)
    array([[-1.069 , -0.5345,  0.    ,  1.6036],
           [-1.069 , -0.5345,  0.    ,  1.6036]])
    """
    return layer_norm_forward(input, normalized_shape, weight, bias, eps)[0]


def layer_norm_forward(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Layer norm, with the statistics that the backward pass needs.

    Args:
        input, normalized_shape, weight, bias, eps: as for `layer_norm`.

    Returns:
        `(y, mean, rstd)`: y has the shape and dtype of input; mean and
        rstd = 1 / sqrt(variance + eps) have the shape of input with the normalized
        axes of length 1, in the dtype of input, but at least float32.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `layer_norm`.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0]])
    >>> y, mean, rstd = layer_norm_forward(x, (4,), eps=0.0)
    >>> mean, rstd.round(4)
    (array([[3.]]), array([[0.5345]]))
    """
    axes = check_layer_norm(input, normalized_shape, weight, bias, eps)
    xhat, mean, rstd = standardize(input, axes, eps)
    return _affine(xhat, weight, bias, input.dtype), mean, rstd


def layer_norm_backward(
    dy,
    input,
    normalized_shape,
    mean,
    rstd,
    weight=None,
    output_mask=(True, True, True),
):
    """The gradients of layer norm with respect to its input, gain and bias.

    Args:
        dy: gradient of the loss with respect to y; array of the shape of input.
        input, normalized_shape, weight: as for `layer_norm`.
        mean, rstd: as `layer_norm_forward` returned them.
        output_mask: which of the three gradients are wanted.

    Returns:
        `(dx, dweight, dbias)`, None where not wanted. dx has the shape and dtype of
        input. dweight and dbias have the shape normalized_shape, summed over all M
        rows in at least float32, and returned in that dtype. Without a weight,
        dweight is the gradient of a gain that is one everywhere.

    Raises:
        ShapeError: as `layer_norm`, or dy, mean or rstd do not fit input.
        DtypeError, TypeError: as `layer_norm`.

    Source: derived in the chapter on the backward pass.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = layer_norm_forward(x, (4,), eps=0.0)
    >>> dx, dweight, dbias = layer_norm_backward(dy, x, (4,), mean, rstd)
    >>> dx.round(4)
    array([[ 0.2482, -0.21  , -0.1336,  0.0955]])
    >>> dweight.round(4), dbias
    (array([-1.069,  0.   ,  0.   ,  0.   ]), array([1., 0., 0., 0.]))
    """
    axes = check_layer_norm(input, normalized_shape, weight)
    _check_given(dy=dy, mean=mean, rstd=rstd)
    _namespace(dy=dy, input=input, mean=mean, rstd=rstd)
    _check_same_shape("dy", dy, "input", input)
    _check_mask(output_mask, 3)
    xhat = restandardize(input, axes, mean, rstd)
    return _affine_backward(dy, xhat, axes, rstd, weight, output_mask, input.dtype)


def check_layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Refuse what `layer_norm` cannot take, in torch's words, before any computing.

    Args:
        input, normalized_shape, weight, bias, eps: as for `layer_norm`.

    Returns:
        The axes to standardize over, a tuple of negative ints.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `layer_norm`.

    >>> import numpy as np
    >>> check_layer_norm(np.ones((2, 3, 4)), (3, 4))
    (-2, -1)
    >>> try:
    ...     check_layer_norm(np.ones((3, 4)), (5,))
    ... except ShapeError as error:
    ...     print(str(error).partition(", but")[0])
    Given normalized_shape=[5], expected input with shape [*, 5]
    """
    axes = _check_shapes(input, normalized_shape, weight, bias)
    _check_eps(eps)
    _compute_dtype(_namespace(input=input), input.dtype, "layer_norm")
    # torch lets rms_norm mix dtypes freely, but not layer_norm.
    _check_parameter_dtypes(input, weight, bias)
    return axes


# ---------------------------------------------------------------- RMS norm


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """RMS norm over the last axes of an array, as `torch.nn.functional.rms_norm`.

    y = x / sqrt(mean square + eps) * weight

    Args:
        input: array of shape `(*, *normalized_shape)`; float64, float32, bfloat16 or
            float16.
        normalized_shape: the shape of one row, an int or a list of ints: the last
            axes of input.
        weight: the gain, an array of shape normalized_shape; None stands for ones.
        eps: added to the mean square under the root; at least 0. None stands for
            the machine epsilon of the dtype the mean square is computed in: 2.2e-16
            for float64 and 1.2e-7 for the others. (torch does the same; its
            documentation names the epsilon of input's own dtype.)

    Returns:
        y, an array of the shape and dtype of input.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `layer_norm`.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4 (there without eps).

    >>> import numpy as np
    >>> rms_norm(np.array([[1.0, 1.0, 3.0, 5.0]]), (4,)).round(4)
    array([[0.3333, 0.3333, 1.    , 1.6667]])
    """
    return rms_norm_forward(input, normalized_shape, weight, eps)[0]


def rms_norm_forward(input, normalized_shape, weight=None, eps=None):
    """RMS norm, with the statistic that the backward pass needs.

    Args:
        input, normalized_shape, weight, eps: as for `rms_norm`.

    Returns:
        `(y, rstd)`: y has the shape and dtype of input; rstd =
        1 / sqrt(mean square + eps) has the shape of input with the normalized axes
        of length 1, in the dtype of input, but at least float32.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `layer_norm`.

    >>> import numpy as np
    >>> y, rstd = rms_norm_forward(np.array([[1.0, 1.0, 3.0, 5.0]]), (4,))
    >>> rstd.round(4)
    array([[0.3333]])
    """
    axes = check_rms_norm(input, normalized_shape, weight, eps)
    if eps is None:
        eps = machine_epsilon(input)
    xhat, _, rstd = standardize(input, axes, eps, center=False)
    return _affine(xhat, weight, None, input.dtype), rstd


def rms_norm_backward(
    dy, input, normalized_shape, rstd, weight=None, output_mask=(True, True)
):
    """The gradients of RMS norm with respect to its input and gain.

    Args:
        dy: gradient of the loss with respect to y; array of the shape of input.
        input, normalized_shape, weight: as for `rms_norm`.
        rstd: as `rms_norm_forward` returned it.
        output_mask: which of the two gradients are wanted.

    Returns:
        `(dx, dweight)`, None where not wanted; dtypes and sums as in
        `layer_norm_backward`.

    Raises:
        ShapeError: as `rms_norm`, or dy or rstd do not fit input.
        DtypeError, TypeError: as `rms_norm`.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 1.0, 3.0, 5.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, rstd = rms_norm_forward(x, (4,))
    >>> rms_norm_backward(dy, x, (4,), rstd)[0].round(4)
    array([[ 0.3241, -0.0093, -0.0278, -0.0463]])
    """
    axes = check_rms_norm(input, normalized_shape, weight)
    _check_given(dy=dy, rstd=rstd)
    _namespace(dy=dy, input=input, rstd=rstd)
    _check_same_shape("dy", dy, "input", input)
    _check_mask(output_mask, 2)
    xhat = restandardize(input, axes, None, rstd)
    mask = (*output_mask, False)
    return _affine_backward(
        dy, xhat, axes, rstd, weight, mask, input.dtype, center=False
    )[:2]


def check_rms_norm(input, normalized_shape, weight=None, eps=None):
    """Refuse what `rms_norm` cannot take, in torch's words, before any computing.

    Args:
        input, normalized_shape, weight, eps: as for `rms_norm`.

    Returns:
        The axes to standardize over, a tuple of negative ints.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `rms_norm`.

    >>> import numpy as np
    >>> check_rms_norm(np.ones((2, 3, 4)), 4)
    (-1,)
    """
    axes = _check_shapes(input, normalized_shape, weight)
    if eps is not None:
        _check_eps(eps)
    xp = _namespace(input=input)
    _compute_dtype(xp, input.dtype, "rms_norm")
    if weight is not None:
        _compute_dtype(xp, weight.dtype, "rms_norm")
    return axes


def machine_epsilon(x):
    """The machine epsilon of the dtype in which the statistics of x are computed.

    >>> import numpy as np
    >>> machine_epsilon(np.ones(3, np.float16)) == 2.0**-23
    True
    """
    xp = _namespace(input=x)
    return float(xp.finfo(_compute_dtype(xp, x.dtype, "rms_norm")).eps)


# ---------------------------------------------------------------- parts


def _mean(xp, x, axes):
    # A sum and a division, since the mean of no numbers is to be 0 and not a warning.
    count = math.prod([x.shape[axis] for axis in axes])
    return xp.sum(x, axis=axes, keepdims=True) / max(count, 1)


def _centred(xp, x, axes, mean=None):
    """x without its mean, and that mean; a mean that is known is only refined."""
    if mean is None:
        mean = _mean(xp, x, axes)
    x = x - mean
    left_over = _mean(xp, x, axes)  # at most a rounding error of the mean
    return x - left_over, mean + left_over


def _affine(xhat, weight, bias, dtype):
    xp = _namespace(xhat=xhat)
    y = xhat
    if weight is not None:
        y = y * xp.astype(weight, xhat.dtype, copy=False)
    if bias is not None:
        y = y + xp.astype(bias, xhat.dtype, copy=False)
    return xp.astype(y, dtype, copy=False)


def _affine_backward(dy, xhat, axes, rstd, weight, mask, dtype, center=True):
    xp = _namespace(xhat=xhat)
    dy = xp.astype(dy, xhat.dtype, copy=False)
    dx = dweight = dbias = None
    if mask[0]:
        dxhat = dy
        if weight is not None:
            dxhat = dy * xp.astype(weight, xhat.dtype, copy=False)
        dx = standardize_backward(dxhat, xhat, axes, rstd, center)
        dx = xp.astype(dx, dtype, copy=False)
    if mask[1]:
        dweight = _sum_over_rows(xp, dy * xhat, len(axes))
    if mask[2]:
        dbias = _sum_over_rows(xp, dy, len(axes))
    return dx, dweight, dbias


def _sum_over_rows(xp, x, row_axes):
    """The sum over the leading axes: (*, *normalized_shape) -> normalized_shape."""
    batch_axes = tuple(range(len(x.shape) - row_axes))
    if not batch_axes:
        return x
    if _is_torch(x):
        return xp.sum(x, axis=batch_axes)  # torch sums by a cascade of its own
    # NumPy adds row after row, so its error would grow with the number of rows M;
    # in groups of sixteen, sums of groups, and so on it grows with log M.
    row_shape = x.shape[len(batch_axes) :]
    x = xp.reshape(x, (math.prod(x.shape[: len(batch_axes)]), *row_shape))
    while x.shape[0] > 16:
        count, rest = divmod(x.shape[0], 16)
        groups = xp.reshape(x[: 16 * count, ...], (count, 16, *row_shape))
        sums = xp.sum(groups, axis=1)
        x = xp.concat([sums, x[16 * count :, ...]]) if rest else sums
    return xp.sum(x, axis=0)


# ---------------------------------------------------------------- checks


def _namespace(**arrays):
    arrays = {name: a for name, a in arrays.items() if a is not None}
    if all([_is_torch(a) for a in arrays.values()]):
        import array_api_compat.torch as xp  # it imports torch, so not at the top

        return xp
    for name, a in arrays.items():
        if not array_api_compat.is_array_api_obj(a):
            raise TypeError(
                f"Expected {name} to be an array (of NumPy, PyTorch, JAX or CuPy), "
                f"but got {type(a).__name__}; for lists of floats use lnlib.loops"
            )
    try:
        return array_api_compat.array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{n} of {_library(a)}" for n, a in arrays.items())
        raise TypeError(
            f"Expected arrays of one library, but got {kinds}; convert them first"
        ) from None


def _is_torch(a):
    # The same question put to array_api_compat goes through caches that
    # torch.compile warns about; and torch, if it is not imported, stays so.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(a, torch.Tensor)


def _library(a):
    return type(a).__module__.partition(".")[0]


def _dtype_name(dtype):
    return getattr(dtype, "name", str(dtype)).rpartition(".")[2]


def _compute_dtype(xp, dtype, function):
    name = _dtype_name(dtype)
    if name in _HALF:
        return xp.float32
    if name in _WIDE:
        return dtype
    raise DtypeError(
        f"\"{function}\" not implemented for '{name}': expected float64, float32, "
        "bfloat16 or float16"
    )


def _at_least_float32(xp, x, function):
    return xp.astype(x, _compute_dtype(xp, x.dtype, function), copy=False)


def _check_shapes(input, normalized_shape, weight=None, bias=None):
    _check_given(input=input)
    _namespace(input=input, weight=weight, bias=bias)
    if isinstance(normalized_shape, Integral):
        normalized_shape = (normalized_shape,)
    try:
        row = [int(n) for n in normalized_shape if isinstance(n, Integral)]
        good = len(row) == len(normalized_shape)
    except TypeError:
        good = False
    if not good:
        raise TypeError(
            "Expected normalized_shape to be an int or a list of ints, but got "
            f"{normalized_shape!r}"
        )
    if not row:
        raise ShapeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., "
            "containing at least one element, but got normalized_shape = []"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and list(parameter.shape) != row:
            raise ShapeError(
                f"Expected {name} to be of same shape as normalized_shape, but got "
                f"{name} of shape {list(parameter.shape)} and normalized_shape = {row}"
            )
    if list(input.shape)[-len(row) :] != row:
        raise ShapeError(
            f"Given normalized_shape={row}, expected input with shape "
            f"[*, {', '.join(map(str, row))}], but got input of size{list(input.shape)}"
        )
    return tuple(range(-len(row), 0))


def _check_parameter_dtypes(input, *parameters):
    own = _dtype_name(input.dtype)
    names = [_dtype_name(p.dtype) for p in parameters if p is not None]
    if all(name == own for name in names):
        return
    if any(name != "float32" for name in names):
        raise DtypeError(
            "mixed dtype (CPU): expect parameter to have scalar type of Float; got "
            f"parameters of {', '.join(names)} with an input of {own}"
        )
    if own not in _HALF:
        raise DtypeError(
            "mixed dtype (CPU): all inputs must share same datatype; got parameters "
            f"of {', '.join(names)} with an input of {own}"
        )


def _check_eps(eps):
    if not isinstance(eps, Real):
        raise TypeError(f"Expected eps to be a number, but got {type(eps).__name__}")
    if not eps >= 0:
        raise ValueError(f"Expected eps to be at least 0, but got eps = {eps}")


def _check_axes(axes, ndim):
    axes = (axes,) if isinstance(axes, Integral) else axes
    if not isinstance(axes, (tuple, list)) or not all(
        isinstance(axis, Integral) for axis in axes
    ):
        raise TypeError(f"Expected axes to be an int or ints, but got {axes!r}")
    axes = tuple(int(axis) for axis in axes)
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ShapeError(
                f"Expected axes from {-ndim} to {ndim - 1} for an array of {ndim} "
                f"axes, but got {axis}"
            )
    if len({axis % ndim for axis in axes}) != len(axes):
        raise ShapeError(f"Expected each axis once, but got {axes}")
    return axes


def _check_given(**arrays):
    for name, a in arrays.items():
        if a is None:
            raise TypeError(f"Expected {name} to be an array, but got None")


def _check_mask(mask, length):
    if not isinstance(mask, (tuple, list)) or len(mask) != length:
        raise TypeError(
            f"Expected output_mask to be {length} bools, one for each gradient, but "
            f"got {mask!r}"
        )


def _check_same_shape(name, a, other_name, other):
    if tuple(a.shape) != tuple(other.shape):
        raise ShapeError(
            f"Expected {name} to be of the shape of {other_name}, "
            f"{list(other.shape)}, but got {list(a.shape)}"
        )


def _check_statistics(x, axes, **statistics):
    expected = [
        1 if i in {axis % len(x.shape) for axis in axes} else n
        for i, n in enumerate(x.shape)
    ]
    for name, statistic in statistics.items():
        if statistic is not None and list(statistic.shape) != expected:
            raise ShapeError(
                f"Expected {name} to be of shape {expected}, one number a row, but "
                f"got {list(statistic.shape)}"
            )
