"""LayerNorm and RMSNorm for torch, on the backward pass derived by hand.

What holds of all the modules of `lnlib.nn`:

- On a CPU each is slower than torch's fused kernel as long as it is not compiled:
  `torch.compile(module)` fuses its operations.
- eps is an argument, and no entry of the `state_dict`, as in torch.
- `torch.export` takes it apart into plain operations, and TorchScript (`torch.jit`)
  keeps torch's own norm in its place. To export one `aten.layer_norm`, load the
  `state_dict` into torch's module of the same eps.
- In evaluation `torch.nn.TransformerEncoderLayer` may take a fast path that reads the
  parameters and calls no `forward`, ours neither.
- A second backward pass through a compiled module is not supported by PyTorch; the
  transforms of `torch.func` inside what is compiled are.

Values and gradients come from `lnlib.functional`; this module gives them to
autograd. The statistics are outputs of the autograd function beside y, and its
backward takes a gradient for each of the three. That is what makes double backward
right: the backward pass uses mean and rstd, and when it is differentiated in turn
their gradients find their way back to x.
"""

import types

import torch
import torch.fx
import torch.nn.functional as F

from lnlib import functional
from lnlib.errors import DtypeError, ShapeError


class _Norm(torch.autograd.Function):
    """y, rstd and, if centred, mean: x -> xhat * weight + bias, and its gradient."""

    @staticmethod
    def forward(x, weight, bias, axes, eps, center):
        xhat, mean, rstd = functional.standardize(x, axes, eps, center)
        y = functional._affine(xhat, weight, bias, x.dtype)
        # As torch's own output, whatever the input; its RMS norm keeps channels_last.
        if center or not _is_channels_last(x):
            y = y.contiguous()
        return (y, rstd, mean) if center else (y, rstd)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias, ctx.axes, ctx.eps, ctx.center = inputs
        _, rstd, *mean = output
        ctx.bias_dtype = None if bias is None else bias.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, rstd, *mean)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx, dy, drstd, dmean=None):
        x, weight, rstd, *mean = ctx.saved_tensors
        axes, center = ctx.axes, ctx.center
        xhat = functional.restandardize(x, axes, mean[0] if center else None, rstd)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        dx = dweight = dbias = None
        if dy is not None:
            mask = (wants_x, wants_weight, wants_bias)
            dx, dweight, dbias = functional._affine_backward(
                dy, xhat, axes, rstd, weight, mask, xhat.dtype, center
            )
        # Through the statistics: d rstd / dx = -rstd^2 xhat / N, d mean / dx = 1 / N.
        n = max(xhat.numel() // max(rstd.numel(), 1), 1)
        if wants_x and drstd is not None:
            dx = (0 if dx is None else dx) - drstd * rstd * rstd * xhat / n
        if wants_x and dmean is not None:
            dx = (0 if dx is None else dx) + (dmean / n).expand_as(xhat)
        if dx is not None:
            dx = dx.to(x.dtype)
        if dweight is not None:
            dweight = dweight.to(weight.dtype)
        if dbias is not None:
            dbias = dbias.to(ctx.bias_dtype)
        return dx, dweight, dbias, None, None, None


class _NormWithTangents(_Norm):
    """The same, with forward-mode derivatives.

    torch.compile does not trace a function that has them, so it is given `_Norm`.
    """

    @staticmethod
    def jvp(ctx, x_t, weight_t, bias_t, *_):
        x, weight = ctx.saved_tensors
        axes, center = ctx.axes, ctx.center
        # Anew from x, and not from the outputs, so that a derivative of this
        # derivative sees how the statistics depend on x.
        xhat, _, rstd = functional.standardize(x, axes, ctx.eps, center)
        n = max(xhat.numel() // max(rstd.numel(), 1), 1)
        y_t = torch.zeros_like(xhat)
        rstd_t, mean_t = torch.zeros_like(rstd), torch.zeros_like(rstd)
        if x_t is not None:
            x_t = x_t.to(xhat.dtype)
            # The Jacobian is symmetric: the backward pass is the forward tangent.
            y_t = functional.standardize_backward(x_t, xhat, axes, rstd, center)
            if weight is not None:
                y_t = y_t * weight.to(xhat.dtype)
            rstd_t = -rstd * rstd * (x_t * xhat).sum(axes, keepdim=True) / n
            mean_t = x_t.sum(axes, keepdim=True) / n
        if weight_t is not None:
            y_t = y_t + xhat * weight_t.to(xhat.dtype)
        if bias_t is not None:
            y_t = y_t + bias_t.to(xhat.dtype)
        y_t = y_t.to(x.dtype)
        return (y_t, rstd_t, mean_t) if center else (y_t, rstd_t)


def _is_channels_last(x):
    if torch._C._are_functorch_transforms_active() or x.is_contiguous():
        return False  # torch.func.vmap cannot say
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    return order is not None and x.is_contiguous(memory_format=order)


def _apply(x, weight, bias, axes, eps, center):
    """y, rstd and, if centred, mean. The weight and bias broadcast against x."""
    eps = float(eps)
    # This is asked first: a compiled transform through _Norm has a gradient of zeros.
    if torch._C._are_functorch_transforms_active():
        # Nested forward mode through any autograd.Function is silently wrong
        # (https://github.com/pytorch/pytorch/issues/197867). The transforms of
        # torch.func compose over plain operations, and these are written so that
        # torch's own derivatives of them are exact, too.
        return _Norm.forward(x, weight, bias, axes, eps, center)
    if torch.compiler.is_compiling():
        return _Norm.apply(x, weight, bias, axes, eps, center)
    return _NormWithTangents.apply(x, weight, bias, axes, eps, center)


def _under_autocast(*tensors):
    """The tensors in the dtype in which autocast lets torch's own function see them.

    On a GPU layer, RMS and group norm are computed in float32 there, and give float32;
    batch and instance norm are left alone, and so are all of them on a CPU.
    """
    device = tensors[0].device.type
    if device not in ("cuda", "xpu") or not torch.is_autocast_enabled(device):
        return tensors
    return tuple(
        t.float() if t is not None and t.dtype in _HALF else t for t in tensors
    )


_HALF = (torch.float16, torch.bfloat16)


def _check_tensors(input):
    # An array of another library would be computed, and fail where only a tensor can
    # go on.
    if not isinstance(input, torch.Tensor):
        raise TypeError(
            f"Expected input to be a torch.Tensor, but got {type(input).__name__}; for "
            "other arrays use lnlib.functional"
        )


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Layer norm of a tensor, in the place of `torch.nn.functional.layer_norm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    Differentiable any number of times, backward and forward; works under
    `torch.func` and `torch.compile(fullgraph=True)`. The gradients of weight and bias
    are summed in at least float32, and rounded to their dtype once.

    Args:
        input: tensor of shape `(*, *normalized_shape)`; float64, float32, bfloat16 or
            float16.
        normalized_shape: the shape of one row, a list of ints.
        weight: the gain, a tensor of shape normalized_shape; None stands for ones.
        bias: the bias, a tensor of shape normalized_shape; None stands for zeros.
            Both have the dtype of input; beside a bfloat16 or float16 input both may
            be float32.
        eps: added to the variance under the root; at least 0.

    Returns:
        y, a contiguous tensor of the shape and dtype of input; as in torch, autocast
        on a GPU makes it float32.

    Raises:
        RuntimeError: shapes do not fit, or dtypes do not go together; in torch's words.
        NotImplementedError: a dtype that cannot be normalized; in torch's words.
        TypeError: something is not a tensor; in torch's words.
        ValueError: eps is negative or NaN. (Here torch computes on.)

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, equations 3 and 15 to 16; the
    backward pass is derived in the chapter of that name.

    >>> import torch
    >>> layer_norm(torch.tensor([[1.0, 2.0, 3.0, 6.0]]), (4,))
    tensor([[-1.0690, -0.5345,  0.0000,  1.6036]])
    """
    if torch.jit.is_tracing():  # what TorchScript can keep
        return F.layer_norm(input, normalized_shape, weight, bias, eps)
    try:
        _check_tensors(input)
        input, weight, bias = _under_autocast(input, weight, bias)
        axes = functional.check_layer_norm(input, normalized_shape, weight, bias, eps)
    except (ShapeError, DtypeError, TypeError):
        F.layer_norm(input, normalized_shape, weight, bias, eps)  # torch's own words
        raise
    return _apply(input, weight, bias, axes, eps, True)[0]


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """RMS norm of a tensor, in the place of `torch.nn.functional.rms_norm`.

    y = x / sqrt(mean square + eps) * weight

    Args:
        input: tensor of shape `(*, *normalized_shape)`; float64, float32, bfloat16 or
            float16.
        normalized_shape: the shape of one row, a list of ints.
        weight: the gain, a tensor of shape normalized_shape, of any of the four
            dtypes; None stands for ones.
        eps: added to the mean square under the root; at least 0. None stands for
            the machine epsilon of the dtype the mean square is computed in: 2.2e-16
            for float64 and 1.2e-7 for the others, as in torch.

    Returns:
        y, a tensor of the shape and dtype of input; as in torch contiguous, or in
        the order channels_last if input is, and float32 under autocast on a GPU.

    Raises:
        RuntimeError, NotImplementedError, TypeError, ValueError: as `layer_norm`.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4.

    >>> import torch
    >>> rms_norm(torch.tensor([[1.0, 1.0, 3.0, 5.0]]), (4,))
    tensor([[0.3333, 0.3333, 1.0000, 1.6667]])
    """
    if torch.jit.is_tracing():  # what TorchScript can keep
        return F.rms_norm(input, normalized_shape, weight, eps)
    try:
        _check_tensors(input)
        input, weight = _under_autocast(input, weight)
        axes = functional.check_rms_norm(input, normalized_shape, weight, eps)
    except (ShapeError, DtypeError, TypeError):
        if not (isinstance(input, torch.Tensor) and input.is_complex()):
            F.rms_norm(input, normalized_shape, weight, eps)  # torch's own words
        raise
    if eps is None:
        eps = functional.machine_epsilon(input)
    return _apply(input, weight, None, axes, eps, False)[0]


def _for_torchscript(method):
    """A method of torch's own module, under a name that TorchScript finds free.

    TorchScript compiles no Python autograd function, so what it is given computes as
    torch does. In the modules it reads the first branch alone, and needs an `else` to
    leave out the other.
    """
    name = f"_torchs_{method.__name__.lstrip('_')}"
    copy = types.FunctionType(method.__code__, method.__globals__, name)
    copy.__annotations__ = method.__annotations__
    return copy


# To torch.fx each is one call, as torch's own functions are.
torch.fx.wrap("layer_norm")
torch.fx.wrap("rms_norm")


class LayerNorm(torch.nn.LayerNorm):
    """Layer norm as a module, in the place of `torch.nn.LayerNorm`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

    It is a `torch.nn.LayerNorm`: parameters, `state_dict`, `repr` and initialization
    are inherited, and only the computing is new. Statistics and parameter gradients
    are held in at least float32. Not compiled it is slower on a CPU than torch's; for
    that, export and TorchScript see the head of `lnlib.nn.norms`.

    Args:
        normalized_shape: the shape of one row, an int or a list of ints; input has
            shape `(*, *normalized_shape)`.
        eps: added to the variance under the root; at least 0.
        elementwise_affine: whether there is a gain (`weight`, set to ones).
        bias: whether there is a bias too (`bias`, set to zeros).
        device, dtype: of the parameters.

    Raises:
        RuntimeError, NotImplementedError, TypeError, ValueError: when it is called,
            as `lnlib.nn.layer_norm`.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, equations 3 and 15 to 16.

    >>> import torch
    >>> norm = LayerNorm(4)
    >>> norm(torch.tensor([[1.0, 2.0, 3.0, 6.0]])).detach()
    tensor([[-1.0690, -0.5345,  0.0000,  1.6036]])
    """

    _torchs_forward = _for_torchscript(torch.nn.LayerNorm.forward)

    def forward(self, input):
        """The norm of input: (*, *normalized_shape) -> (*, *normalized_shape)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(input)
        else:
            return layer_norm(
                input, self.normalized_shape, self.weight, self.bias, self.eps
            )


class RMSNorm(torch.nn.RMSNorm):
    """RMS norm as a module, in the place of `torch.nn.RMSNorm`.

    y = x / sqrt(mean square + eps) * weight

    It is a `torch.nn.RMSNorm`: parameters, `state_dict`, `repr` and initialization
    are inherited, and only the computing is new. Not compiled it is slower on a CPU
    than torch's; for that, export and TorchScript see the head of `lnlib.nn.norms`.

    Args:
        normalized_shape: the shape of one row, an int or a list of ints; input has
            shape `(*, *normalized_shape)`.
        eps: added to the mean square under the root; None stands for the machine
            epsilon of the dtype the mean square is computed in.
        elementwise_affine: whether there is a gain (`weight`, set to ones).
        device, dtype: of the parameter.

    Raises:
        RuntimeError, NotImplementedError, TypeError, ValueError: when it is called,
            as `lnlib.nn.rms_norm`.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4.

    >>> import torch
    >>> norm = RMSNorm(4)
    >>> norm(torch.tensor([[1.0, 1.0, 3.0, 5.0]])).detach()
    tensor([[0.3333, 0.3333, 1.0000, 1.6667]])
    """

    _torchs_forward = _for_torchscript(torch.nn.RMSNorm.forward)

    def forward(self, x):
        """The norm of x: (*, *normalized_shape) -> (*, *normalized_shape)."""
        if torch.jit.is_scripting():
            return self._torchs_forward(x)
        else:
            return rms_norm(x, self.normalized_shape, self.weight, self.eps)
