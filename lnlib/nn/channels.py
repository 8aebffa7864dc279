"""Batch, instance and group norm for torch: the norms with one gain a channel.

They are the autograd function of `lnlib.nn.norms` with other axes. What is theirs is
the shape of the gain, the groups, and the running statistics.
"""

import torch
import torch.fx
import torch.nn.functional as F

from lnlib import functional
from lnlib.errors import ShapeError
from lnlib.nn.norms import (
    _apply,
    _check_tensors,
    _for_torchscript,
    _is_channels_last,
    _under_autocast,
)


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Batch norm of a tensor, in the place of `torch.nn.functional.batch_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean, variance, gain
    and bias a channel. In training mean and variance are those of the batch, and the
    running statistics, where given, are updated in place; in evaluation they are the
    running statistics, and the gradient is that of a plain scale and shift.

    Differentiable any number of times, backward and forward, through the statistics
    of the batch too; works under `torch.func` and `torch.compile(fullgraph=True)`.
    Statistics and the gradients of weight and bias are summed in at least float32,
    and rounded to their dtype once.

    Args:
        input: tensor of shape `(N, C)` or `(N, C, *)`; float64, float32, bfloat16 or
            float16.
        running_mean: tensor of shape (C,).
        running_var: tensor of shape (C,). In training both may be None.
        weight: the gain, a tensor of shape (C,); None stands for ones.
        bias: the bias, a tensor of shape (C,); None stands for zeros.
            These four have the dtype of input; beside a bfloat16 or float16 input all
            of them may be float32.
        training: whether to use the statistics of the batch.
        momentum: the share of the new in the running statistics, of which the
            variance is the unbiased one. A float, or a tensor of one number.
        eps: added to the variance under the root; above 0 in training, at least 0 in
            evaluation.

    Returns:
        y, a tensor of the shape and dtype of input; contiguous, or in the order
        channels_last if input is.

    Raises:
        RuntimeError, ValueError, IndexError: shapes do not fit, there is one number a
            channel in training, dtypes do not go together, running statistics are
            missing, eps is too small; in torch's words.
        NotImplementedError: a dtype that cannot be normalized; in torch's words.
        TypeError: something is not a tensor; in torch's words.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    >>> import torch
    >>> x = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    >>> running_mean, running_var = torch.zeros(1), torch.ones(1)
    >>> batch_norm(x, running_mean, running_var, training=True).ravel()
    tensor([-1.0690, -0.5345,  0.0000,  1.6036])
    >>> running_mean, running_var
    (tensor([0.3000]), tensor([1.3667]))
    """
    running = (running_mean, running_var)
    share = 0.0 if isinstance(momentum, torch.Tensor) else momentum
    rest = (weight, bias, training, momentum, eps)
    if torch.jit.is_tracing():  # what TorchScript can keep
        return F.batch_norm(input, *running, *rest)
    try:
        _check_tensors(input)
        axes = functional.check_batch_norm(
            input, *running, weight, bias, training, share, eps
        )
        _check_no_gradient(*running)
    except Exception as error:
        _in_torchs_words(error, F.batch_norm, input, *running, *rest)
        raise
    if not training:
        return _evaluated(input, *running, weight, bias, eps, keep_order=True)
    y, mean = _normalized(input, weight, bias, eps, axes)
    if running_mean is not None:
        _update(F.batch_norm, input, axes, mean, *running, momentum)
    return y


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
    """Instance norm of a tensor, in the place of `torch.nn.functional.instance_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean and variance for
    each channel of each example, one gain and bias a channel.

    Derivatives and sums as in `lnlib.nn.batch_norm`.

    Args:
        input: tensor of shape `(N, C, *)`; float64, float32, bfloat16 or float16.
        running_mean: tensor of shape (C,), in any of the four dtypes, or None.
        running_var: tensor of shape (C,), likewise.
        weight: the gain, a tensor of shape (C,); None stands for ones.
        bias: the bias, a tensor of shape (C,); None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        use_input_stats: whether to use the statistics of the input, and to update the
            running ones from them, where given.
        momentum: the share of the new in the running statistics.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, a contiguous tensor of the shape and dtype of input.

    Raises:
        RuntimeError, NotImplementedError, TypeError: as `lnlib.nn.batch_norm`.
        ValueError: there is one number a channel of an example, in torch's words; or
            eps is negative or NaN. (There torch computes on.)

    Source: Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.

    >>> import torch
    >>> instance_norm(torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]))
    tensor([[[-1.0690, -0.5345,  0.0000,  1.6036]]])
    """
    running = (running_mean, running_var)
    rest = (weight, bias, use_input_stats, momentum, eps)
    if torch.jit.is_tracing():  # what TorchScript can keep
        return F.instance_norm(input, *running, *rest)
    try:
        _check_tensors(input)
        axes = functional.check_instance_norm(input, *running, *rest)
        _check_no_gradient(*running)
    except Exception as error:
        _in_torchs_words(error, F.instance_norm, input, *running, *rest)
        raise
    if not use_input_stats:
        return _evaluated(input, *running, weight, bias, eps, keep_order=False)
    y, mean = _normalized(input, weight, bias, eps, axes, keep_order=False)
    if running_mean is not None:
        _update(F.instance_norm, input, axes, mean, *running, momentum)
    return y


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Group norm of a tensor, in the place of `torch.nn.functional.group_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, one mean and variance for
    each group of channels of each example, one gain and bias a channel.

    Derivatives and sums as in `lnlib.nn.batch_norm`.

    Args:
        input: tensor of shape `(N, C, *)`; float64, float32, bfloat16 or float16.
        num_groups: an int that divides C.
        weight: the gain, a tensor of shape (C,); None stands for ones.
        bias: the bias, a tensor of shape (C,); None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, a tensor of the shape and dtype of input; contiguous, or in the order
        channels_last if input is. As in torch, autocast on a GPU makes it float32.

    Raises:
        RuntimeError, NotImplementedError, TypeError: as `lnlib.nn.batch_norm`.
        ValueError: there is one number in all, in torch's words; or eps is negative
            or NaN. (There torch computes on.)

    Source: Wu and He 2018, arXiv:1803.08494, section 3.

    >>> import torch
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 30.0, 60.0]])
    >>> group_norm(x, 2)[0, 4:]
    tensor([-1.0690, -0.5345,  0.0000,  1.6036])
    """
    if torch.jit.is_tracing():  # what TorchScript can keep
        return F.group_norm(input, num_groups, weight, bias, eps)
    try:
        _check_tensors(input)
        input, weight, bias = _under_autocast(input, weight, bias)
        functional.check_group_norm(input, num_groups, weight, bias, eps)
    except Exception as error:
        _in_torchs_words(error, F.group_norm, input, num_groups, weight, bias, eps)
        raise
    axes = tuple(range(2, input.ndim))
    return _normalized(input, weight, bias, eps, axes, num_groups)[0]


def _normalized(x, weight, bias, eps, axes, groups=None, keep_order=True):
    """y and mean, over some axes of x (N, C, *) and the channels of a group."""
    channels = x.shape[1]
    split = (channels,) if groups is None else (groups, channels // groups)
    last = keep_order and _is_channels_last(x)
    # In the order channels_last the channels are moved behind, and the function
    # sees a tensor that is contiguous either way.
    moved = x.movedim(1, -1) if last else x
    at = moved.ndim - 1 if last else 1
    shape = (*moved.shape[:at], *split, *moved.shape[at + 1 :])
    ones = [1] * (len(shape) - at - len(split))
    if last:
        axes = tuple(axis - 1 if axis else 0 for axis in axes)
        within = (at + 1,)
    else:
        axes = tuple(axis + len(split) - 1 if axis else 0 for axis in axes)
        within = (2,)
    if groups is not None:
        axes = (*axes, *within)
    if weight is None and bias is not None:
        weight = torch.ones_like(bias)  # gives the function the shape of the bias
    weight, bias = (
        None if p is None else p.reshape(*split, *ones) for p in (weight, bias)
    )
    y, _, mean = _apply(moved.reshape(shape), weight, bias, axes, eps, True)
    y = y.reshape(moved.shape)
    return (y.movedim(-1, 1) if last else y), mean


def _evaluated(x, running_mean, running_var, weight, bias, eps, keep_order):
    # No derivative is to be had by hand here: a scale and a shift are what autograd
    # differentiates exactly, and it sums the gradients of both in float32.
    y, _, _ = functional._fixed_norm(x, running_mean, running_var, weight, bias, eps)
    return y if keep_order and _is_channels_last(x) else y.contiguous()


def _update(theirs, input, axes, mean, running_mean, running_var, momentum):
    input, mean = input.detach(), mean.detach()  # a running average has no gradient
    n = 1 if 0 in axes else input.shape[0]
    mean = mean.reshape(n, input.shape[1], *[1] * (input.ndim - 2))
    with torch.no_grad():
        new_mean, new_var = functional._moved(
            input, axes, mean, running_mean, running_var, momentum
        )
        try:
            running_mean.copy_(new_mean)
            running_var.copy_(new_var)
        except RuntimeError as error:  # under torch.func, where it cannot be done
            statistics = (running_mean, running_var)
            _in_torchs_words(
                error, theirs, input, *statistics, None, None, True, momentum
            )
            raise


def _check_no_gradient(*running):
    if torch.is_grad_enabled() and any(
        r is not None and r.requires_grad for r in running
    ):
        raise RuntimeError(
            "Expected running_mean and running_var to need no gradient, but one has "
            "requires_grad = True"
        )


def _in_torchs_words(error, function, input, *arguments):
    """Let torch refuse what this library refused; what torch would change is copied."""
    if isinstance(error, ValueError) and not isinstance(error, ShapeError):
        return  # an eps that torch may take, and compute with
    copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]
    function(input, *copies)


def _batch_norm_of(module, input):
    """What `torch.nn.BatchNorm*d.forward` does."""
    module._check_input_dim(input)
    updates = module.training and module.track_running_stats
    running = (module.running_mean, module.running_var)
    count = module.num_batches_tracked if updates else None
    momentum = module.momentum
    if momentum is None:  # the mean over all batches so far
        momentum = 0.0
        if count is not None:
            momentum = 1.0 / (count + 1).to(
                torch.promote_types(running[0].dtype, torch.float32)
            )
    y = batch_norm(
        input,
        *(running if updates or not module.training else (None, None)),
        module.weight,
        module.bias,
        module.training or (running[0] is None and running[1] is None),
        momentum,
        module.eps,
    )
    if count is not None:
        count.add_(1)
    return y


def _instance_norm_of(module, input):
    """The forward of torch, which comes back to `_apply_instance_norm`."""
    return torch.nn.modules.instancenorm._InstanceNorm.forward(module, input)


# To torch.fx each is one call, as torch's own are. The modules give themselves, since
# whether they are in training is to be asked at each call.
for _name in (
    "batch_norm",
    "instance_norm",
    "group_norm",
    "_batch_norm_of",
    "_instance_norm_of",
):
    torch.fx.wrap(_name)


class BatchNorm1d(torch.nn.BatchNorm1d):
    """Batch norm as a module, in the place of `torch.nn.BatchNorm1d`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    It is a `torch.nn.BatchNorm1d`: parameters, buffers, `state_dict`, `repr` and
    initialization are inherited, and only the computing is new. In training it uses
    the statistics of the batch and updates the running ones; in evaluation it uses the
    running ones.

    Args:
        num_features: the number of channels C; input has shape `(N, C)` or
            `(N, C, L)`.
        eps: added to the variance under the root; above 0.
        momentum: the share of the new in the running statistics; None for the mean
            over all batches. (Compiles into one graph either way.)
        affine: whether there is a gain (`weight`, set to ones) and a bias (`bias`, set
            to zeros).
        track_running_stats: whether to keep running statistics; if not, evaluation
            uses those of the batch, too.
        device, dtype: of parameters and buffers.

    Raises:
        ValueError: input has another number of axes, or one number a channel in
            training; in torch's words. Then nothing was updated, not even
            `num_batches_tracked`.
        RuntimeError, NotImplementedError, TypeError: as `lnlib.nn.batch_norm`.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    >>> import torch
    >>> norm = BatchNorm1d(1)
    >>> norm(torch.tensor([[1.0], [2.0], [3.0], [6.0]])).detach().ravel()
    tensor([-1.0690, -0.5345,  0.0000,  1.6036])
    >>> norm.running_mean, norm.running_var, norm.num_batches_tracked
    (tensor([0.3000]), tensor([1.3667]), tensor(1))
    """

    _torchs_forward = _for_torchscript(torch.nn.BatchNorm1d.forward)

    def forward(self, input):
        """The norm of input: (N, C) -> (N, C), or (N, C, L) -> (N, C, L)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return _batch_norm_of(self, input)


class BatchNorm2d(torch.nn.BatchNorm2d):
    """Batch norm of images as a module, in the place of `torch.nn.BatchNorm2d`.

    As `BatchNorm1d`, for an input of shape `(N, C, H, W)`.

    >>> import torch
    >>> BatchNorm2d(3)(torch.ones(2, 3, 4, 5)).shape
    torch.Size([2, 3, 4, 5])
    """

    _torchs_forward = _for_torchscript(torch.nn.BatchNorm2d.forward)

    def forward(self, input):
        """The norm of input: (N, C, H, W) -> (N, C, H, W)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return _batch_norm_of(self, input)


class InstanceNorm1d(torch.nn.InstanceNorm1d):
    """Instance norm as a module, in the place of `torch.nn.InstanceNorm1d`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    It is a `torch.nn.InstanceNorm1d`: parameters, buffers, `state_dict`, `repr`,
    initialization and the handling of an input without a batch axis are inherited,
    and only the computing is new.

    Args:
        num_features: the number of channels C; input has shape `(N, C, L)` or
            `(C, L)`.
        eps: added to the variance under the root; at least 0.
        momentum: the share of the new in the running statistics.
        affine: whether there is a gain (`weight`, set to ones) and a bias (`bias`, set
            to zeros). By default there is none.
        track_running_stats: whether to keep running statistics, and to use them in
            evaluation. By default not.
        device, dtype: of parameters and buffers.

    Raises:
        ValueError: input has another number of axes or, with a gain, of channels, or
            one number a channel of an example; in torch's words.
        RuntimeError, NotImplementedError, TypeError: as `lnlib.nn.instance_norm`.

    Source: Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.

    >>> import torch
    >>> InstanceNorm1d(1)(torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]))
    tensor([[[-1.0690, -0.5345,  0.0000,  1.6036]]])
    """

    _torchs_forward = _for_torchscript(torch.nn.InstanceNorm1d.forward)
    _torchs_apply_instance_norm = _for_torchscript(
        torch.nn.InstanceNorm1d._apply_instance_norm
    )

    def forward(self, input):
        """The norm of input: (N, C, L) -> (N, C, L), or (C, L) -> (C, L)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return _instance_norm_of(self, input)

    def _apply_instance_norm(self, input):
        if torch.jit.is_scripting():
            return self._torchs_apply_instance_norm(input)
        else:
            return instance_norm(input, *_instance_norm_arguments(self))


class InstanceNorm2d(torch.nn.InstanceNorm2d):
    """Instance norm of images as a module, in the place of `torch.nn.InstanceNorm2d`.

    As `InstanceNorm1d`, for an input of shape `(N, C, H, W)` or `(C, H, W)`.

    >>> import torch
    >>> InstanceNorm2d(3)(torch.ones(3, 4, 5)).shape
    torch.Size([3, 4, 5])
    """

    _torchs_forward = _for_torchscript(torch.nn.InstanceNorm2d.forward)
    _torchs_apply_instance_norm = _for_torchscript(
        torch.nn.InstanceNorm2d._apply_instance_norm
    )

    def forward(self, input):
        """The norm of input: (N, C, H, W) -> the same, or (C, H, W) -> the same."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return _instance_norm_of(self, input)

    def _apply_instance_norm(self, input):
        if torch.jit.is_scripting():
            return self._torchs_apply_instance_norm(input)
        else:
            return instance_norm(input, *_instance_norm_arguments(self))


def _instance_norm_arguments(module):
    return (
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        module.training or not module.track_running_stats,
        0.0 if module.momentum is None else module.momentum,
        module.eps,
    )


class GroupNorm(torch.nn.GroupNorm):
    """Group norm as a module, in the place of `torch.nn.GroupNorm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    It is a `torch.nn.GroupNorm`: parameters, `state_dict`, `repr` and initialization
    are inherited, and only the computing is new.

    Args:
        num_groups: the number of groups; it divides num_channels.
        num_channels: the number of channels C; input has shape `(N, C, *)`.
        eps: added to the variance under the root; at least 0.
        affine: whether there is a gain (`weight`, set to ones) and a bias (`bias`, set
            to zeros).
        device, dtype: of the parameters.

    Raises:
        RuntimeError, NotImplementedError, TypeError, ValueError: when it is called,
            as `lnlib.nn.group_norm`.

    Source: Wu and He 2018, arXiv:1803.08494, section 3.

    >>> import torch
    >>> norm = GroupNorm(2, 8)
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 30.0, 60.0]])
    >>> norm(x)[0, 4:].detach()
    tensor([-1.0690, -0.5345,  0.0000,  1.6036])
    """

    _torchs_forward = _for_torchscript(torch.nn.GroupNorm.forward)

    def forward(self, input):
        """The norm of input: (N, C, *) -> (N, C, *)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
