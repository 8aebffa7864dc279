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
from collections.abc import Sequence
from numbers import Integral, Real

import array_api_compat
import numpy

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
        mean is None without centring. Where the sum of the N squares overflows, at a
        spread of about 1e19 / sqrt(N) in float32 and of 1e154 / sqrt(N) in float64,
        the row is NaN, as one is that holds infinity or NaN. (Without centring rstd is
        0 there, and so is the row but for what is infinite or NaN, as in torch.)

    Raises:
        TypeError: x is not an array, an axis is not an int, eps not a number, center
            not a bool.
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
    eps = _check_eps(eps)
    _check_bool("center", center)
    x = _at_least_float32(xp, x, "standardize")
    mean = None
    if center:
        x, mean = _centred(xp, x, axes)
    variance = _mean(xp, x * x, axes)
    # 1 / sqrt and not power -1/2: where a library differentiates this itself, the
    # power would form rstd ** 3, which underflows in float32 from x = 1e13 on.
    rstd = 1.0 / xp.sqrt(variance + eps)
    if center:
        # Squares that overflow make rstd 0, and the row zeros that look like a result.
        # Infinity minus itself is NaN, any other variance minus itself 0.
        rstd = rstd + (variance - variance)
    return x * rstd, mean, rstd


def restandardize(x, axes, mean, rstd):
    """xhat again, from x and the statistics that `standardize` returned.

    What a backward pass needs is xhat. To keep it costs as much memory as x; to keep
    x, mean and rstd costs two numbers a row where the layer below keeps x, too.

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
    _check_dtypes("restandardize", mean=mean, rstd=rstd)
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
    _check_dtypes("standardize_backward", rstd=rstd)
    _check_bool("center", center)
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
    _check_dtypes("layer_norm_backward", dy=dy)
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
            for float64 and 1.2e-7 for the others, as torch does.

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
    _check_dtypes("rms_norm_backward", dy=dy)
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

    Args:
        x: array of float64, float32, bfloat16 or float16.

    Raises:
        TypeError: x is not an array.
        DtypeError: x is not real floating point.

    >>> import numpy as np
    >>> machine_epsilon(np.ones(3, np.float16)) == 2.0**-23
    True
    """
    _check_given(x=x)
    xp = _namespace(x=x)
    return float(xp.finfo(_compute_dtype(xp, x.dtype, "rms_norm")).eps)


# ---------------------------------------------------------------- batch norm


def batch_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Batch norm of an array, as `torch.nn.functional.batch_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean, variance, gain
    and bias a channel. In training mean and variance are those of the batch, over
    all axes but axis 1; in evaluation they are the running statistics.

    As in torch, training updates the running statistics **in place** where they are
    given. Where they cannot be written to, as the arrays of JAX, that is refused:
    `batch_norm_forward` and `updated_running_statistics` do the same and change
    nothing.

    Args:
        input: array of shape `(N, C)` or `(N, C, *)`; float64, float32, bfloat16 or
            float16.
        running_mean: array of shape (C,).
        running_var: array of shape (C,). In training both may be None.
        weight: the gain, an array of shape (C,); None stands for ones.
        bias: the bias, an array of shape (C,); None stands for zeros.
            These four have the dtype of input; beside a bfloat16 or float16 input all
            of them may be float32.
        training: whether to use the statistics of the batch.
        momentum: the share of the new in the running statistics.
        eps: added to the variance under the root; above 0 in training, at least 0 in
            evaluation, as in torch.

    Returns:
        y, an array of the shape and dtype of input.

    Raises:
        ShapeError: input has fewer than two axes, a vector does not have shape (C,),
            a channel has one number only in training, running statistics are missing
            in evaluation, or one of them is.
        DtypeError: input is not real floating point, or the dtypes do not go together.
        TypeError: something is not an array, arrays come from different libraries,
            running statistics cannot be written to, eps or momentum is not a number.
        ValueError: eps is too small or NaN.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [6.0, 60.0]])
    >>> running_mean, running_var = np.zeros(2), np.ones(2)
    >>> batch_norm(x, running_mean, running_var, training=True).round(3)
    array([[-1.069, -1.069],
           [-0.535, -0.535],
           [ 0.   ,  0.   ],
           [ 1.604,  1.604]])
    >>> running_mean, running_var.round(4)
    (array([0.3, 3. ]), array([ 1.3667, 47.5667]))
    """
    statistics = (running_mean, running_var)
    axes = check_batch_norm(input, *statistics, weight, bias, training, momentum, eps)
    if training:
        _check_writable(running_mean=running_mean, running_var=running_var)
    y, mean, _ = batch_norm_forward(input, *statistics, weight, bias, training, eps)
    if training and running_mean is not None:
        _update(input, axes, mean, *statistics, momentum)
    return y


def batch_norm_forward(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    eps=1e-5,
):
    """Batch norm, with the statistics that the backward pass needs; changes nothing.

    Args:
        input, running_mean, running_var, weight, bias, training, eps: as for
            `batch_norm`. In training the running statistics are not used.

    Returns:
        `(y, mean, rstd)`: y has the shape and dtype of input; mean and
        rstd = 1 / sqrt(variance + eps), those that were used, have shape
        (1, C, 1, ..., 1), in the dtype of input, but at least float32.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `batch_norm`.

    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [6.0, 60.0]])
    >>> y, mean, rstd = batch_norm_forward(x, training=True)
    >>> mean, rstd.round(4)
    (array([[ 3., 30.]]), array([[0.5345, 0.0535]]))
    """
    axes = check_batch_norm(
        input, running_mean, running_var, weight, bias, training, eps=eps
    )
    if training:
        return _channel_norm(input, axes, weight, bias, eps)
    return _fixed_norm(input, running_mean, running_var, weight, bias, eps)


def batch_norm_backward(
    dy, input, mean, rstd, training, weight=None, output_mask=(True, True, True)
):
    """The gradients of batch norm with respect to its input, gain and bias.

    In training the statistics depend on the input, and the gradient goes through
    them. In evaluation they do not, and dx = dy * weight * rstd.

    Args:
        dy: gradient of the loss with respect to y; array of the shape of input.
        input: what went in.
        mean, rstd: as `batch_norm_forward` returned them.
        training: what `batch_norm_forward` was given.
        weight: the gain, an array of shape (C,); None stands for ones.
        output_mask: which of the three gradients are wanted.

    Returns:
        `(dx, dweight, dbias)`, None where not wanted. dx has the shape and dtype of
        input. dweight and dbias have shape (C,), summed in at least float32, and
        returned in that dtype.

    Raises:
        ShapeError: as `batch_norm`, or dy, mean or rstd do not fit input.
        DtypeError, TypeError: as `batch_norm`.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3, in the form that the
    chapter on the backward pass derives for a row.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0], [2.0], [3.0], [6.0]]), np.array([[1.0], [0], [0], [0]])
    >>> y, mean, rstd = batch_norm_forward(x, training=True)
    >>> dx, dweight, dbias = batch_norm_backward(dy, x, mean, rstd, training=True)
    >>> dx.round(4).ravel()
    array([ 0.2482, -0.21  , -0.1336,  0.0954])
    >>> dweight.round(4), dbias
    (array([-1.069]), array([1.]))
    """
    _check_channels("batch_norm", input, weight=weight)
    axes = _channel_axes(input, over_batch=True)
    _check_channel_backward(dy, input, axes, mean, rstd, output_mask)
    if training:
        return _channel_backward(dy, input, axes, mean, rstd, weight, output_mask)
    return _fixed_backward(dy, input, mean, rstd, weight, output_mask)


def updated_running_statistics(input, mean, running_mean, running_var, momentum=0.1):
    """The running statistics after one more batch; the old ones stay as they are.

    new = (1 - momentum) * old + momentum * that of the batch. The variance that is
    averaged is the unbiased one, divided by the count minus one, though the norm
    itself divides by the count: so it is in the paper and in torch. Where each
    example has its own statistics (`instance_norm`), their mean over the examples is
    taken. A batch of no numbers changes nothing.

    Args:
        input: the batch, an array of shape `(N, C, *)`.
        mean: as `batch_norm_forward` or `instance_norm_forward` returned it.
        running_mean: array of shape (C,), in any of the four dtypes.
        running_var: array of shape (C,), likewise.
        momentum: the share of the new. For the mean over all batches so far it is
            1 / (number of batches, this one included).

    Returns:
        `(running_mean, running_var)`, new arrays in the dtypes of the old ones;
        computed in at least float32 and rounded once.

    Raises:
        ShapeError: shapes do not fit, or the mean is that of one number.
        DtypeError, TypeError: as `batch_norm`.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2, and its section 3.1
    on moving averages.

    >>> import numpy as np
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> y, mean, rstd = batch_norm_forward(x, training=True)
    >>> updated_running_statistics(x, mean, np.zeros(1), np.ones(1), momentum=0.5)
    (array([1.5]), array([2.83333333]))
    """
    _check_given(mean=mean, running_mean=running_mean, running_var=running_var)
    _check_channels("batch_norm", input)
    _check_running("batch_norm", input, running_mean, running_var)
    _check_number("momentum", momentum)
    _namespace(input=input, mean=mean)
    axes = _channel_axes(input, over_batch=tuple(mean.shape[:1]) == (1,))
    _check_statistics(input, axes, mean=mean)
    _check_dtypes("updated_running_statistics", mean=mean)
    _check_more_than_one(input, _count(input, axes), "value per channel")
    return _moved(input, axes, mean, running_mean, running_var, momentum)


def check_batch_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Refuse what `batch_norm` cannot take, in torch's words, before any computing.

    Args:
        input, running_mean, running_var, weight, bias, training, momentum, eps: as
            for `batch_norm`.

    Returns:
        The axes to standardize over, a tuple of ints: all but axis 1.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `batch_norm`.

    >>> import numpy as np
    >>> check_batch_norm(np.ones((2, 3, 4, 5)), training=True)
    (0, 2, 3)
    """
    _check_channels("batch_norm", input, weight=weight, bias=bias)
    _check_running("batch_norm", input, running_mean, running_var)
    axes = _channel_axes(input, over_batch=True)
    if training:
        _check_more_than_one(input, _count(input, axes), "value per channel")
    elif running_mean is None:
        raise ShapeError("running_mean must be defined in evaluation mode")
    _check_number("momentum", momentum)
    eps = _check_number("eps", eps)
    if training and not eps > 0:
        raise ValueError(
            f"batch_norm eps must be positive during training, but got {eps}"
        )
    if not eps >= 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    _check_parameter_dtypes(input, weight, bias, running_mean, running_var)
    return axes


# ---------------------------------------------------------------- instance norm


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Instance norm of an array, as `torch.nn.functional.instance_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean and variance for
    each channel of each example, one gain and bias a channel.

    As in torch, running statistics that are given are updated **in place** from the
    means over the examples, when `use_input_stats`; and take the place of the
    input's own, when not. Where they cannot be written to, as the arrays of JAX, that
    is refused: `instance_norm_forward` and `updated_running_statistics` do the same
    and change nothing.

    Args:
        input: array of shape `(N, C, *)`; float64, float32, bfloat16 or float16.
        running_mean: array of shape (C,), in any of the four dtypes, or None.
        running_var: array of shape (C,), likewise.
        weight: the gain, an array of shape (C,); None stands for ones.
        bias: the bias, an array of shape (C,); None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        use_input_stats: whether to use the statistics of the input.
        momentum: the share of the new in the running statistics.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, an array of the shape and dtype of input.

    Raises:
        ShapeError: input has fewer than two axes, a vector does not have shape (C,),
            a channel of an example has one number only, or running statistics are
            missing.
        DtypeError, TypeError: as `batch_norm`.
        ValueError: eps is negative or NaN.

    Source: Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.

    >>> import numpy as np
    >>> x = np.array([[[1.0, 2.0, 3.0, 6.0], [10.0, 20.0, 30.0, 60.0]]])
    >>> instance_norm(x).round(4)
    array([[[-1.069 , -0.5345,  0.    ,  1.6036],
            [-1.069 , -0.5345,  0.    ,  1.6036]]])
    """
    statistics = (running_mean, running_var)
    axes = check_instance_norm(
        input, *statistics, weight, bias, use_input_stats, momentum, eps
    )
    if use_input_stats:
        _check_writable(running_mean=running_mean, running_var=running_var)
    y, mean, _ = instance_norm_forward(
        input, *statistics, weight, bias, use_input_stats, eps
    )
    if use_input_stats and running_mean is not None:
        _update(input, axes, mean, *statistics, momentum)
    return y


def instance_norm_forward(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    eps=1e-5,
):
    """Instance norm, with the statistics the backward pass needs; changes nothing.

    Args:
        input, running_mean, running_var, weight, bias, use_input_stats, eps: as for
            `instance_norm`.

    Returns:
        `(y, mean, rstd)`: y has the shape and dtype of input; mean and
        rstd = 1 / sqrt(variance + eps) have shape (N, C, 1, ..., 1), or
        (1, C, 1, ..., 1) if they are the running ones, in the dtype of input, but at
        least float32.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `instance_norm`.

    >>> import numpy as np
    >>> y, mean, rstd = instance_norm_forward(np.array([[[1.0, 2.0, 3.0, 6.0]]]))
    >>> mean, rstd.round(4)
    (array([[[3.]]]), array([[[0.5345]]]))
    """
    axes = check_instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, eps=eps
    )
    if use_input_stats:
        return _channel_norm(input, axes, weight, bias, eps)
    return _fixed_norm(input, running_mean, running_var, weight, bias, eps)


def instance_norm_backward(
    dy,
    input,
    mean,
    rstd,
    weight=None,
    use_input_stats=True,
    output_mask=(True, True, True),
):
    """The gradients of instance norm with respect to its input, gain and bias.

    Args:
        dy: gradient of the loss with respect to y; array of the shape of input.
        input: what went in.
        mean, rstd: as `instance_norm_forward` returned them.
        weight: the gain, an array of shape (C,); None stands for ones.
        use_input_stats: what `instance_norm_forward` was given.
        output_mask: which of the three gradients are wanted.

    Returns:
        `(dx, dweight, dbias)`, as `batch_norm_backward`.

    Raises:
        ShapeError: as `instance_norm`, or dy, mean or rstd do not fit input.
        DtypeError, TypeError: as `instance_norm`.

    >>> import numpy as np
    >>> x, dy = np.array([[[1.0, 2.0, 3.0, 6.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> y, mean, rstd = instance_norm_forward(x)
    >>> dx, dweight, dbias = instance_norm_backward(dy, x, mean, rstd)
    >>> dx.round(4), dweight.round(4), dbias
    (array([[[ 0.2482, -0.21  , -0.1336,  0.0954]]]), array([-1.069]), array([1.]))
    """
    _check_channels("batch_norm", input, weight=weight)
    axes = _channel_axes(input, over_batch=not use_input_stats)
    _check_channel_backward(dy, input, axes, mean, rstd, output_mask)
    if use_input_stats:
        return _channel_backward(dy, input, axes, mean, rstd, weight, output_mask)
    return _fixed_backward(dy, input, mean, rstd, weight, output_mask)


def check_instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Refuse what `instance_norm` cannot take, in torch's words, before any computing.

    Args:
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps:
            as for `instance_norm`.

    Returns:
        The axes to standardize over, a tuple of ints: all but axes 0 and 1.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `instance_norm`.

    >>> import numpy as np
    >>> check_instance_norm(np.ones((2, 3, 4, 5)))
    (2, 3)
    """
    _check_channels("batch_norm", input, weight=weight, bias=bias)
    _check_running("batch_norm", input, running_mean, running_var)
    axes = _channel_axes(input, over_batch=False)
    if use_input_stats:
        _check_more_than_one(input, _count(input, axes), "spatial element")
    elif running_mean is None:
        raise ShapeError(
            "Expected running_mean and running_var to be defined when use_input_stats "
            "is false"
        )
    _check_number("momentum", momentum)
    _check_eps(eps)
    _check_parameter_dtypes(input, weight, bias)
    return axes


# ---------------------------------------------------------------- group norm


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Group norm of an array, as `torch.nn.functional.group_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean and variance for
    each group of channels of each example, one gain and bias a channel. A group is
    C / num_groups channels that follow one another.

    With one group this is layer norm over all axes but the first, with as many groups
    as channels instance norm, but for the gain and bias.

    Args:
        input: array of shape `(N, C, *)`; float64, float32, bfloat16 or float16.
        num_groups: an int that divides C.
        weight: the gain, an array of shape (C,); None stands for ones.
        bias: the bias, an array of shape (C,); None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, an array of the shape and dtype of input.

    Raises:
        ShapeError: input has fewer than two axes, num_groups is below 1 or does not
            divide C, weight or bias does not have shape (C,), or there is one number
            in all.
        DtypeError: input is not real floating point, or the dtypes do not go together.
        TypeError: something is not an array, arrays come from different libraries,
            num_groups is not an int, eps is not a number.
        ValueError: eps is negative or NaN.

    Source: Wu and He 2018, arXiv:1803.08494, section 3.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 30.0, 60.0]])  # one example
    >>> group_norm(x, 2).round(4)
    array([[-1.069 , -0.5345,  0.    ,  1.6036, -1.069 , -0.5345,  0.    ,
             1.6036]])
    """
    return group_norm_forward(input, num_groups, weight, bias, eps)[0]


def group_norm_forward(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Group norm, with the statistics that the backward pass needs.

    Args:
        input, num_groups, weight, bias, eps: as for `group_norm`.

    Returns:
        `(y, mean, rstd)`: y has the shape and dtype of input; mean and
        rstd = 1 / sqrt(variance + eps) have shape (N, num_groups), in the dtype of
        input, but at least float32.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `group_norm`.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 30.0, 60.0]])
    >>> y, mean, rstd = group_norm_forward(x, 2, eps=0.0)
    >>> mean, rstd.round(4)
    (array([[ 3., 30.]]), array([[0.5345, 0.0535]]))
    """
    axes = check_group_norm(input, num_groups, weight, bias, eps)
    xp = _namespace(input=input)
    xhat, mean, rstd = standardize(_grouped(xp, input, num_groups), axes, eps)
    weight, bias = (
        _per_channel(xp, p, len(input.shape), num_groups) for p in (weight, bias)
    )
    y = xp.reshape(_affine(xhat, weight, bias, input.dtype), input.shape)
    shape = (input.shape[0], num_groups)
    return y, xp.reshape(mean, shape), xp.reshape(rstd, shape)


def group_norm_backward(
    dy, input, num_groups, mean, rstd, weight=None, output_mask=(True, True, True)
):
    """The gradients of group norm with respect to its input, gain and bias.

    Args:
        dy: gradient of the loss with respect to y; array of the shape of input.
        input, num_groups, weight: as for `group_norm`.
        mean, rstd: as `group_norm_forward` returned them.
        output_mask: which of the three gradients are wanted.

    Returns:
        `(dx, dweight, dbias)`, as `batch_norm_backward`.

    Raises:
        ShapeError: as `group_norm`, or dy, mean or rstd do not fit input.
        DtypeError, TypeError: as `group_norm`.

    >>> import numpy as np
    >>> x, dy = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = group_norm_forward(x, 1, eps=0.0)
    >>> dx, dweight, dbias = group_norm_backward(dy, x, 1, mean, rstd)
    >>> dx.round(4)
    array([[ 0.2482, -0.21  , -0.1336,  0.0955]])
    """
    axes = check_group_norm(input, num_groups, weight)
    _check_given(dy=dy, mean=mean, rstd=rstd)
    xp = _namespace(dy=dy, input=input, mean=mean, rstd=rstd)
    _check_same_shape("dy", dy, "input", input)
    _check_dtypes("group_norm_backward", dy=dy, mean=mean, rstd=rstd)
    _check_mask(output_mask, 3)
    for name, statistic in (("mean", mean), ("rstd", rstd)):
        if list(statistic.shape) != [input.shape[0], num_groups]:
            raise ShapeError(
                f"Expected {name} to be of shape {[input.shape[0], num_groups]}, one "
                f"number a group, but got {list(statistic.shape)}"
            )
    ndim = len(input.shape)
    x, dy = (_grouped(xp, a, num_groups) for a in (input, dy))
    mean, rstd = (xp.reshape(a, (*a.shape, *[1] * (ndim - 1))) for a in (mean, rstd))
    xhat = restandardize(x, axes, mean, rstd)
    weight = _per_channel(xp, weight, ndim, num_groups)
    shape = (*x.shape[1:3], *[1] * (ndim - 2))
    dx, *parameters = _affine_backward(
        dy, xhat, axes, rstd, weight, output_mask, input.dtype, shape=shape
    )
    shapes = (input.shape, input.shape[1:2], input.shape[1:2])
    return tuple(
        None if gradient is None else xp.reshape(gradient, shape)
        for gradient, shape in zip((dx, *parameters), shapes, strict=True)
    )


def check_group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Refuse what `group_norm` cannot take, in torch's words, before any computing.

    Args:
        input, num_groups, weight, bias, eps: as for `group_norm`.

    Returns:
        The axes to standardize over, a tuple of ints, once input is reshaped to
        `(N, num_groups, C / num_groups, *)`.

    Raises:
        ShapeError, DtypeError, TypeError, ValueError: as `group_norm`.

    >>> import numpy as np
    >>> check_group_norm(np.ones((2, 6, 4, 5)), 3)
    (2, 3, 4)
    """
    _check_channels("group_norm", input)
    if not _is_int(num_groups):
        raise TypeError(
            f"Expected num_groups to be an int, but got {type(num_groups).__name__}"
        )
    if num_groups < 1:
        raise ShapeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if input.shape[1] % num_groups:
        raise ShapeError(
            "Expected number of channels in input to be divisible by num_groups, but "
            f"got input of shape {list(input.shape)} and num_groups={num_groups}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and list(parameter.shape) != [input.shape[1]]:
            raise ShapeError(
                f"Expected {name} to be a vector of size equal to the number of "
                f"channels in input, but got {name} of shape {list(parameter.shape)} "
                f"and input of shape {list(input.shape)}"
            )
    _namespace(input=input, weight=weight, bias=bias)
    # torch asks this of the whole batch, and lets groups of one number pass beside
    # one another.
    count = _count(input, range(len(input.shape))) // num_groups
    _check_more_than_one(input, count, "value per channel")
    _check_eps(eps)
    _check_parameter_dtypes(input, weight, bias)
    return tuple(range(2, len(input.shape) + 1))


# ---------------------------------------------------------------- weight norm


def weight_norm(v, g, dim=0):
    """Weight norm: w = g * v / ||v||, a weight from its direction and its length.

    It normalizes the weights of a layer and not what goes through it: there is no
    batch, no eps, nothing to learn but v and g. The length takes the place of the
    standard deviation, and nothing is centred. (It is `standardize` without a mean
    and without eps all the same, for ||v|| is sqrt(N) times the root mean square of
    the N numbers of v, and that is how it is computed.)

    Args:
        v: the direction, an array, for instance (out, in) of a linear layer;
            float64, float32, bfloat16 or float16.
        g: the length, an array of the shape of v with all axes but `dim` of length 1;
            of shape () if dim is None. It has the dtype of v; beside a bfloat16 or
            float16 v it may be float32.
        dim: the axis whose entries have a length each, from 0 on; None for one length
            of the whole of v. (torch's -1 means None, and is refused here.)

    Returns:
        w, an array of the shape and dtype of v. Where v is all zeros, it is NaN.

    Raises:
        ShapeError: dim is out of range, or g does not have that shape.
        DtypeError: v is not real floating point, or the dtypes do not go together.
        TypeError: something is not an array, arrays come from different libraries, dim
            is not an int.

    Source: Salimans and Kingma 2016, arXiv:1602.07868, equation 2; shapes as in
    `torch.nn.utils.parametrizations.weight_norm`.

    >>> import numpy as np
    >>> v, g = np.array([[3.0, 4.0], [6.0, 8.0]]), np.array([[1.0], [2.0]])
    >>> weight_norm(v, g).round(4)
    array([[0.6, 0.8],
           [1.2, 1.6]])
    """
    return weight_norm_forward(v, g, dim)[0]


def weight_norm_forward(v, g, dim=0):
    """Weight norm, with the length that the backward pass needs.

    Args:
        v, g, dim: as for `weight_norm`.

    Returns:
        `(w, norm)`: w has the shape and dtype of v; norm = ||v|| has the shape of g,
        in the dtype of v, but at least float32.

    Raises:
        ShapeError, DtypeError, TypeError: as `weight_norm`.

    >>> import numpy as np
    >>> w, norm = weight_norm_forward(np.array([[3.0, 4.0]]), np.array([[1.0]]))
    >>> norm.round(4)
    array([[5.]])
    """
    axes = _check_weight_norm(v, g, dim)
    xp = _namespace(v=v)
    vhat, _, rstd = standardize(v, axes, 0.0, center=False)
    root = math.sqrt(_count(v, axes))
    w = xp.astype(vhat * (_at_least_float32(xp, g, "weight_norm") / root), v.dtype)
    return w, xp.reshape(root / rstd, g.shape)


def weight_norm_backward(dw, v, g, norm, dim=0, output_mask=(True, True)):
    """The gradients of weight norm with respect to direction and length.

    dg = dw . v / ||v||, dv = g / ||v|| dw - g dg / ||v||^2 v. The gradient of the
    direction is perpendicular to it: what lies along it goes to the length.

    Args:
        dw: gradient of the loss with respect to w; array of the shape of v.
        v, g, dim: as for `weight_norm`.
        norm: as `weight_norm_forward` returned it.
        output_mask: which of the two gradients are wanted.

    Returns:
        `(dv, dg)`, None where not wanted: dv in the shape and dtype of v, dg in the
        shape of g, summed in at least float32, and returned in that dtype.

    Raises:
        ShapeError: as `weight_norm`, or dw or norm do not fit.
        DtypeError, TypeError: as `weight_norm`.

    Source: Salimans and Kingma 2016, arXiv:1602.07868, equation 3.

    >>> import numpy as np
    >>> v, g, dw = np.array([[3.0, 4.0]]), np.array([[1.0]]), np.array([[1.0, 0.0]])
    >>> w, norm = weight_norm_forward(v, g)
    >>> dv, dg = weight_norm_backward(dw, v, g, norm)
    >>> dv.round(4), dg.round(4)
    (array([[ 0.128, -0.096]]), array([[0.6]]))
    """
    axes = _check_weight_norm(v, g, dim)
    _check_given(dw=dw, norm=norm)
    xp = _namespace(dw=dw, v=v, norm=norm)
    _check_same_shape("dw", dw, "v", v)
    _check_same_shape("norm", norm, "g", g)
    _check_dtypes("weight_norm_backward", dw=dw, norm=norm)
    _check_mask(output_mask, 2)
    root = math.sqrt(_count(v, axes))
    shape = tuple(1 if i in axes else n for i, n in enumerate(v.shape))
    rstd = xp.reshape(root / norm, shape)
    vhat = restandardize(v, axes, None, rstd)
    gain = xp.reshape(_at_least_float32(xp, g, "weight_norm") / root, shape)
    dw = xp.astype(dw, vhat.dtype, copy=False)
    dv = dg = None
    if output_mask[0]:
        # With one gain a row the gain goes before all: no number of it is lost.
        dv = standardize_backward(dw, vhat, axes, rstd, center=False) * gain
        dv = xp.astype(dv, v.dtype, copy=False)
    if output_mask[1]:
        dg = xp.reshape(_sum(xp, dw * vhat, axes) / root, g.shape)
    return dv, dg


# ---------------------------------------------------------------- parts


def _count(x, axes):
    return math.prod([x.shape[axis] for axis in axes])


def _mean(xp, x, axes):
    # A sum and a division, since the mean of no numbers is to be 0 and not a warning.
    return _sum(xp, x, axes) / max(_count(x, axes), 1)


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


def _affine_backward(
    dy, xhat, axes, rstd, weight, mask, dtype, center=True, shape=None
):
    """dx, dweight, dbias, where the mask wants them; the last two in float32 or wider.

    The parameters are of a shape that broadcasts against xhat: that of the weight,
    or the one given, or that of one row.
    """
    xp = _namespace(xhat=xhat)
    dy = xp.astype(dy, xhat.dtype, copy=False)
    if weight is not None:
        shape = weight.shape
    elif shape is None:
        shape = xhat.shape[len(xhat.shape) - len(axes) :]
    dx = dweight = dbias = None
    if mask[0]:
        dxhat = dy
        if weight is not None:
            dxhat = dy * xp.astype(weight, xhat.dtype, copy=False)
        dx = standardize_backward(dxhat, xhat, axes, rstd, center)
        dx = xp.astype(dx, dtype, copy=False)
    if mask[1]:
        dweight = _sum_to(xp, dy * xhat, shape)
    if mask[2]:
        dbias = _sum_to(xp, dy, shape)
    return dx, dweight, dbias


def _sum_to(xp, x, shape):
    """The sum of x over the axes along which an array of this shape is broadcast."""
    missing = len(x.shape) - len(shape)
    axes = tuple(range(missing)) + tuple(
        missing + i for i, n in enumerate(shape) if n == 1
    )
    return xp.reshape(_sum(xp, x, axes), tuple(shape)) if axes else x


def _sum(xp, x, axes):
    """The sum over some axes, which are kept with length 1."""
    if _is_torch(x):
        return xp.sum(x, axis=axes, keepdims=True)  # by a cascade of its own
    # NumPy adds by a cascade along axes that are last in memory only, and elsewhere
    # number after number, so that its error would grow with their count: those first.
    ndim = len(x.shape)
    kept = [i for i in range(ndim) if i not in {axis % ndim for axis in axes}]
    first_of_last = kept[-1] + 1 if kept else 0
    last = tuple(range(first_of_last, ndim)) if _last_in_memory(x) else ()
    others = tuple(i for i in range(ndim) if i not in (*kept, *last))
    if last:
        x = xp.sum(x, axis=last, keepdims=True)
    if not others:
        return x
    shape = tuple(1 if i in others else n for i, n in enumerate(x.shape))
    rows = xp.permute_dims(x, (*others, *kept, *last))
    rows = xp.reshape(rows, (_count(x, others), *[x.shape[i] for i in kept]))
    return xp.reshape(_sum_of_rows(xp, rows), shape)


def _last_in_memory(x):
    """Whether the last axes of an array are those along which memory runs."""
    # Of the libraries that hand out views, NumPy alone sums in the order of memory.
    if not isinstance(x, numpy.ndarray) or x.flags.c_contiguous:
        return True
    strides = [abs(s) for s, n in zip(x.strides, x.shape, strict=True) if n > 1]
    return 0 not in strides and strides == sorted(strides, reverse=True)


def _sum_of_rows(xp, x):
    """The sum over the first axis."""
    # In groups of sixteen, sums of groups, and so on: the error grows with the
    # logarithm of the number of rows.
    while x.shape[0] > 16:
        count, rest = divmod(x.shape[0], 16)
        groups = xp.reshape(x[: 16 * count, ...], (count, 16, *x.shape[1:]))
        sums = xp.sum(groups, axis=1)
        x = xp.concat([sums, x[16 * count :, ...]]) if rest else sums
    return xp.sum(x, axis=0)


def _per_channel(xp, parameter, ndim, groups=None):
    """(C,) -> (C, 1, ..., 1), which broadcasts against an input (N, C, *).

    In groups (G, C / G, 1, ..., 1), which broadcasts against (N, G, C / G, *).
    """
    if parameter is None:
        return None
    channels = parameter.shape[0]
    split = (channels,) if groups is None else (groups, channels // groups)
    return xp.reshape(parameter, (*split, *[1] * (ndim - 2)))


def _grouped(xp, x, groups):
    """(N, C, *) -> (N, G, C / G, *)"""
    channels = x.shape[1]
    return xp.reshape(x, (x.shape[0], groups, channels // groups, *tuple(x.shape[2:])))


def _channel_axes(input, over_batch):
    spatial = tuple(range(2, len(input.shape)))
    return (0, *spatial) if over_batch else spatial


def _channel_norm(input, axes, weight, bias, eps):
    """y, mean and rstd where the statistics are those of the input, (N, C, *)."""
    xp = _namespace(input=input)
    ndim = len(input.shape)
    xhat, mean, rstd = standardize(input, axes, eps)
    weight, bias = (_per_channel(xp, p, ndim) for p in (weight, bias))
    return _affine(xhat, weight, bias, input.dtype), mean, rstd


def _channel_backward(dy, input, axes, mean, rstd, weight, mask):
    xp = _namespace(input=input)
    ndim = len(input.shape)
    xhat = restandardize(input, axes, mean, rstd)
    weight = _per_channel(xp, weight, ndim)
    shape = (input.shape[1], *[1] * (ndim - 2))
    dx, *parameters = _affine_backward(
        dy, xhat, axes, rstd, weight, mask, input.dtype, shape=shape
    )
    return dx, *[None if d is None else xp.reshape(d, shape[:1]) for d in parameters]


def _fixed_norm(input, running_mean, running_var, weight, bias, eps):
    """y, mean and rstd where the statistics do not depend on the input."""
    xp = _namespace(input=input)
    ndim = len(input.shape)
    x = _at_least_float32(xp, input, "batch_norm")
    mean, variance, weight, bias = (
        _per_channel(xp, a, ndim) for a in (running_mean, running_var, weight, bias)
    )
    mean = xp.astype(mean, x.dtype, copy=False)[None, ...]
    variance = xp.astype(variance, x.dtype, copy=False)[None, ...]
    rstd = 1.0 / xp.sqrt(variance + _check_number("eps", eps))
    return _affine((x - mean) * rstd, weight, bias, input.dtype), mean, rstd


def _fixed_backward(dy, input, mean, rstd, weight, mask):
    xp = _namespace(input=input)
    ndim = len(input.shape)
    x = _at_least_float32(xp, input, "batch_norm")
    dy = xp.astype(dy, x.dtype, copy=False)
    shape = (input.shape[1], *[1] * (ndim - 2))
    dx = dweight = dbias = None
    if mask[0]:
        gain = rstd
        if weight is not None:
            weight = xp.astype(weight, x.dtype, copy=False)
            gain = rstd * _per_channel(xp, weight, ndim)
        dx = xp.astype(dy * gain, input.dtype, copy=False)
    if mask[1]:
        dweight = xp.reshape(_sum_to(xp, dy * ((x - mean) * rstd), shape), shape[:1])
    if mask[2]:
        dbias = xp.reshape(_sum_to(xp, dy, shape), shape[:1])
    return dx, dweight, dbias


def _moved(input, axes, mean, running_mean, running_var, momentum):
    """The running statistics, moved towards those of the input."""
    xp = _namespace(input=input)
    count = _count(input, axes)
    if count == 0 or input.shape[0] == 0:
        return tuple(
            xp.astype(r, r.dtype, copy=True) for r in (running_mean, running_var)
        )
    x = _at_least_float32(xp, input, "batch_norm")
    # Not from rstd: with a variance below eps its digits are those of eps.
    centred, _ = _centred(xp, x, axes, mean)
    variance = _sum(xp, centred * centred, axes) / (count - 1)
    moved = []
    for old, new in ((running_mean, mean), (running_var, variance)):
        if 0 not in axes:
            new = _mean(xp, new, (0,))
        wide = _at_least_float32(xp, old, "batch_norm")
        new = (1 - momentum) * wide + momentum * xp.reshape(new, old.shape)
        moved.append(xp.astype(new, old.dtype, copy=False))
    return tuple(moved)


def _update(input, axes, mean, running_mean, running_var, momentum):
    new = _moved(input, axes, mean, running_mean, running_var, momentum)
    for old, values in zip((running_mean, running_var), new, strict=True):
        if _is_torch(old):
            old.copy_(values.detach())  # a running average has no gradient
        else:
            old[...] = values


# ---------------------------------------------------------------- checks


def _namespace(**arrays):
    arrays = {name: a for name, a in arrays.items() if a is not None}
    if all([_is_torch(a) for a in arrays.values()]):
        import array_api_compat.torch as xp  # it imports torch, so not at the top

        return xp
    for name, a in arrays.items():
        if isinstance(a, numpy.ma.MaskedArray):
            raise TypeError(
                f"Expected {name} to be an array without a mask, but got "
                f"{type(a).__name__}, whose masked numbers would take part; give "
                f"{name}.filled(...) or leave them out"
            )
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
    if _is_int(normalized_shape):
        normalized_shape = (normalized_shape,)
    # Sequences alone: a set has no order, and bytes iterate over ints, too.
    good = isinstance(normalized_shape, Sequence) and not isinstance(
        normalized_shape, (str, bytes, bytearray)
    )
    row = [int(n) for n in normalized_shape if _is_int(n)] if good else []
    if not good or len(row) != len(normalized_shape):
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
    got = f"got parameters of {', '.join(names)} with an input of {own}"
    mixed = "mixed dtype (CPU): " if _is_torch(input) else ""  # torch's words
    if any(name != "float32" for name in names):
        raise DtypeError(
            f"{mixed}expect parameter to have scalar type of Float; {got}"
            if mixed
            else f"Expected parameters of the dtype of input or of float32, but {got}"
        )
    if own not in _HALF:
        raise DtypeError(
            f"{mixed}all inputs must share same datatype; {got}"
            if mixed
            else f"Expected parameters of the dtype of input, but {got}"
        )


def _check_number(name, number):
    """The number as a Python float, which leaves the dtype of float32 arrays alone."""
    if isinstance(number, float):
        return float(number)  # NumPy's float64 is one, too
    if not isinstance(number, Real) and not _is_scalar(number):
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
    except TypeError:  # what jax.jit traces
        raise TypeError(
            f"Expected {name} to be a number that is known when the function is "
            f"traced, but got {type(number).__name__}; make it a static argument"
        ) from None


def _is_scalar(a):
    """Whether it is an array of no axes that holds a real number and no gradient."""
    if _is_torch(a):
        return a.ndim == 0 and not a.requires_grad and not a.is_complex()
    if not array_api_compat.is_array_api_obj(a) or a.shape != ():
        return False
    return not _dtype_name(a.dtype).startswith(("complex", "object", "str"))


def _check_eps(eps):
    number = _check_number("eps", eps)
    if not number >= 0:
        raise ValueError(f"Expected eps to be at least 0, but got eps = {eps}")
    return number


def _check_bool(name, value):
    if not isinstance(value, (bool, numpy.bool_)):
        raise TypeError(f"Expected {name} to be a bool, but got {value!r}")


def _is_int(n):
    return isinstance(n, Integral) and not isinstance(n, bool)


def _check_axes(axes, ndim):
    axes = (axes,) if _is_int(axes) else axes
    if not isinstance(axes, (tuple, list)) or not all(map(_is_int, axes)):
        raise TypeError(f"Expected axes to be an int or ints, but got {axes!r}")
    axes = tuple(int(axis) for axis in axes)
    if axes and not ndim:
        raise ShapeError(
            f"Expected an array with axes to standardize over, but got axes {axes} for "
            "an array of shape []"
        )
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
    if (
        not isinstance(mask, (tuple, list))
        or len(mask) != length
        or not all(isinstance(m, (bool, numpy.bool_)) for m in mask)
    ):
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


def _check_dtypes(function, **arrays):
    for name, a in arrays.items():
        if a is not None and _dtype_name(a.dtype) not in (*_HALF, *_WIDE):
            raise DtypeError(
                f"\"{function}\" not implemented for '{_dtype_name(a.dtype)}': "
                f"expected {name} to be of float64, float32, bfloat16 or float16"
            )


def _check_channels(function, input, **parameters):
    _check_given(input=input)
    xp = _namespace(input=input, **parameters)
    if len(input.shape) < 2:
        raise ShapeError(
            "Expected at least 2 dimensions for input tensor but received "
            f"{len(input.shape)}"
        )
    _compute_dtype(xp, input.dtype, function)
    for name, parameter in parameters.items():
        if parameter is not None and list(parameter.shape) != [input.shape[1]]:
            raise ShapeError(
                f"{name} should contain {input.shape[1]} elements not "
                f"{math.prod(parameter.shape)}: expected shape [{input.shape[1]}], one "
                f"number a channel, but got {list(parameter.shape)}"
            )


def _check_running(function, input, running_mean, running_var):
    if (running_mean is None) != (running_var is None):
        raise ShapeError(
            "running_mean and running_var must either both be None or neither be None"
        )
    _check_channels(function, input, running_mean=running_mean, running_var=running_var)
    for running in (running_mean, running_var):
        if running is not None:
            _compute_dtype(_namespace(input=input), running.dtype, function)


def _check_channel_backward(dy, input, axes, mean, rstd, output_mask):
    _check_given(dy=dy, mean=mean, rstd=rstd)
    _namespace(dy=dy, input=input, mean=mean, rstd=rstd)
    _check_same_shape("dy", dy, "input", input)
    _check_statistics(input, axes, mean=mean, rstd=rstd)
    _check_dtypes("batch_norm_backward", dy=dy, mean=mean, rstd=rstd)
    _check_mask(output_mask, 3)


def _check_more_than_one(input, count, what):
    if count == 1:
        raise ShapeError(
            f"Expected more than 1 {what} when training, got input size "
            f"{list(input.shape)}"
        )


def _check_writable(**arrays):
    for name, a in arrays.items():
        if a is None or _is_torch(a):
            continue
        flags = getattr(a, "flags", None)
        if array_api_compat.is_jax_array(a) or not getattr(flags, "writeable", True):
            raise TypeError(
                f"Expected {name} to be an array that can be written to, but got one "
                f"of {_library(a)} that cannot; call the function that ends in "
                "_forward, and then updated_running_statistics"
            )


def _check_weight_norm(v, g, dim):
    _check_given(v=v, g=g)
    xp = _namespace(v=v, g=g)
    _compute_dtype(xp, v.dtype, "weight_norm")
    ndim = len(v.shape)
    if dim is not None:
        if not _is_int(dim):
            raise TypeError(
                f"Expected dim to be an int or None, but got {type(dim).__name__}"
            )
        if not 0 <= dim < ndim:
            raise ShapeError(
                f"Expected dim to be from 0 to {ndim - 1}, or None for one length of "
                f"the whole of v, but got {dim}"
            )
    axes = tuple(i for i in range(ndim) if i != dim)
    shape = [] if dim is None else [n if i == dim else 1 for i, n in enumerate(v.shape)]
    if list(g.shape) != shape:
        raise ShapeError(
            f"Expected g to be of shape {shape}, one length for each entry of axis "
            f"{dim} of v, but got {list(g.shape)}"
        )
    _check_parameter_dtypes(v, g)
    return axes
