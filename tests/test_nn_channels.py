"""Batch, instance and group norm for torch: all that torch's do, and more exactly.

Where the library claims to be more exact than torch, the test computes torch's
figure beside ours and asserts both. If torch mends one of these, that test fails,
and the claim is to be taken out of the book.
"""

import copy
import itertools
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.autograd.forward_ad as fwd
import torch.nn.functional as F
from oracle import channel_norm, error, labels, running
from torch.autograd import gradcheck, gradgradcheck

import lnlib

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# Half a unit in the last place at 1: what rounding the right answer costs at most.
UNIT = {d: torch.finfo(d).eps / 2 for d in DTYPES}
# In these dtypes the whole computation is done, so a few roundings add up.
ROUNDINGS = {torch.float64: 8, torch.float32: 8, torch.bfloat16: 1, torch.float16: 1}
AFFINE = list(itertools.product([True, False], repeat=2))
NORMS = ("batch", "instance", "group")
SHAPES = [(7, 8), (3, 4, 5), (2, 4, 3, 5), (1, 4, 6), (2, 4, 2, 3, 2)]
MODULES = ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def function(library, norm):
    """A norm as a function of input, weight and bias; two groups."""
    if norm == "batch":
        return lambda x, w, b: library.batch_norm(x, None, None, w, b, True)
    if norm == "instance":
        return lambda x, w, b: library.instance_norm(x, None, None, w, b)
    return lambda x, w, b: library.group_norm(x, 2, w, b)


def tensors(shape, dtype, affine=(True, True), mean=0.0):
    x, dy = (torch.randn(2, *shape) + torch.tensor([mean, 0.0])[
        (..., *[None] * len(shape))]).to(dtype)  # fmt: skip
    weight, bias = (torch.randn(shape[1]).to(dtype) if a else None for a in affine)
    return x, weight, bias, dy


def run(norm, x, weight, bias, dy):
    """y and the gradients of x, weight and bias (None where there is none)."""
    leaves = [
        None if t is None else t.detach().clone().requires_grad_()
        for t in (x, weight, bias)
    ]
    leaves[0] = x.detach().requires_grad_()  # with the strides it came with
    y = norm(*leaves)
    present = [t for t in leaves if t is not None]
    found = iter(torch.autograd.grad(y, present, dy))
    return y.detach(), *(None if t is None else next(found) for t in leaves)


def numbers(t):
    return None if t is None else t.detach().double().numpy()


def errors(results, norm, x, weight, bias, dy):
    """The error of y, dx, dweight, dbias against the oracle, None where none."""
    sets = labels(tuple(x.shape), norm, 2)
    truth = channel_norm(*map(numbers, (dy, x)), sets, *map(numbers, (weight, bias)))
    return [
        None if r is None else error(numbers(r), t)
        for r, t in zip(results, truth, strict=True)
    ]


def both(norm, *arguments):
    """The errors of ours and of torch."""
    return [
        errors(run(function(library, norm), *arguments), norm, *arguments)
        for library in (lnlib.nn, F)
    ]


# ------------------------------------------------------------ equal to torch


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(norm, dtype, affine, shape):
    if norm == "instance" and len(shape) == 2:
        shape = (7, 4, 6)
    arguments = tensors(shape, dtype, affine)
    ours = run(function(lnlib.nn, norm), *arguments)
    if norm == "group" and affine == (False, True):
        theirs = ours  # torch has no gradient of a bias without a weight: see below
    else:
        theirs = run(function(F, norm), *arguments)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype, a.shape) == (b.dtype, b.shape)
    for e in errors(ours, norm, *arguments):
        assert e is None or e <= ROUNDINGS[dtype] * UNIT[dtype]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0), (2, 0, 3), (0, 4), (0, 4, 0)])
def test_no_examples_no_channels_no_places(norm, shape):
    if norm == "instance" and len(shape) == 2:
        shape = (0, 4, 0, 2)
    arguments = tensors(shape, torch.float32)
    y, dx, dweight, dbias = run(function(lnlib.nn, norm), *arguments)
    # Where torch's forward takes it, the shape is the same. Its backward gives NaN
    # for a group of no numbers, and stops for an instance norm of no examples.
    assert y.shape == function(F, norm)(arguments[0], None, None).shape
    assert y.shape == dx.shape == shape
    assert dweight.shape == dbias.shape == shape[1:2]
    assert not dweight.any() and not dbias.any()


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 4, 1), (4, 2, 1)])
def test_sets_of_one_number_and_of_two(norm, shape):
    arguments = tensors(shape, torch.float32)
    ours = run(function(lnlib.nn, norm), *arguments)
    theirs = run(function(F, norm), *arguments)
    for a, b in zip(ours, theirs, strict=True):
        # torch's dx is a rounding error times 1 / sqrt(eps).
        torch.testing.assert_close(a, b, rtol=0, atol=320 * 16 * UNIT[torch.float32])
    if norm == "group" and shape[1] == 2:
        assert not (ours[0] - arguments[2].reshape(-1, *[1] * (len(shape) - 2))).any()
        assert not ours[1].any() and not ours[2].any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3),
        lambda x: x.transpose(0, 1),
        lambda x: x[:, :, ::2],
        lambda x: x[:1].expand(3, 8, 4, 5),
        lambda x: x.flip(0)[..., 1:],
        lambda x: x[..., 0],
        lambda x: x[:, :, 0, 0],
        lambda x: (
            x[..., None]
            .repeat(1, 1, 1, 1, 2)
            .contiguous(memory_format=torch.channels_last_3d)
        ),
    ],
)
def test_inputs_that_are_not_contiguous(norm, dtype, view):
    base = torch.randn(4, 8, 4, 5).to(dtype)
    before = base.clone()
    x = view(base)
    if norm == "instance" and x.ndim == 2:
        x = base[:, :, 0].mT.mT[:, ::2]
    weight, bias = torch.randn(2, x.shape[1]).to(dtype)
    dy = torch.randn(x.shape).to(dtype)
    ours = run(function(lnlib.nn, norm), x, weight, bias, dy)
    for e in errors(ours, norm, x, weight, bias, dy):
        assert e <= ROUNDINGS[dtype] * UNIT[dtype]
    assert torch.equal(base, before), "the input was changed"
    theirs = function(F, norm)(x, weight, bias)
    assert ours[0].stride() == theirs.stride()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_infinity_and_nan_stay_in_their_set(norm, bad):
    x = torch.randn(2, 4, 3)
    x[0, 1, 2] = bad
    ours, theirs = (function(lib, norm)(x, None, None) for lib in (lnlib.nn, F))
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert ours.isnan().any() and ours.isfinite().any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_beside_float32_parameters(norm, dtype):
    x, weight, bias, dy = tensors((6, 4, 8), dtype)
    arguments = (x, weight.float(), bias.float(), dy)
    ours = run(function(lnlib.nn, norm), *arguments)
    assert [t.dtype for t in ours] == [dtype, dtype, torch.float32, torch.float32]
    found = errors(ours, norm, *arguments)
    assert max(found[:2]) <= UNIT[dtype]
    assert max(found[2:]) <= 8 * UNIT[torch.float32]


# ------------------------------------------------------------ running statistics


def trained(make, batches, **options):
    """A module after some batches, and its outputs."""
    norm = make(4, **options)
    outputs = [norm(x).detach() for x in batches]
    norm.eval()
    outputs.append(norm(batches[0]).detach())
    return norm, outputs


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.3},
        {"momentum": None},
        {"momentum": 1.0},
        {"track_running_stats": False},
        {"affine": False},
        {"eps": 0.5},
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_module_trains_and_evaluates_as_torchs(name, options, dtype):
    options = {"dtype": dtype, "track_running_stats": True} | options
    shape = (5, 4, 6) if name.endswith("1d") else (5, 4, 3, 2)
    batches = (torch.randn(3, *shape, dtype=dtype) + 3).unbind()
    ours, y = trained(getattr(lnlib.nn, name), batches, **options)
    theirs, z = trained(getattr(torch.nn, name), batches, **options)
    torch.testing.assert_close(y, z)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)
        assert ours.state_dict()[key].dtype == value.dtype
    if options["track_running_stats"] and name.startswith("Batch"):
        assert ours.num_batches_tracked == 3


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kept_in", [torch.float32, None])
@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
def test_running_statistics_are_those_of_the_oracle(norm, dtype, kept_in, order):
    if kept_in is None or dtype == torch.float64:
        kept_in = dtype  # torch refuses float32 beside a float64 input
    x = (torch.randn(3, 4, 5, 6) * 2 + 1).to(dtype)
    if order == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    mean, variance = torch.randn(4).to(kept_in), torch.rand(4).to(kept_in)
    truth = running(numbers(x), norm, numbers(mean), numbers(variance))
    getattr(lnlib.nn, f"{norm}_norm")(x, mean, variance, None, None, True)
    assert mean.dtype == variance.dtype == kept_in
    assert error(numbers(mean), truth[0]) <= 4 * UNIT[kept_in]
    assert error(numbers(variance), truth[1]) <= 4 * UNIT[kept_in]


def test_a_bfloat16_module_keeps_its_buffers_in_bfloat16_as_torchs():
    x = torch.randn(8, 4).bfloat16()
    ours, theirs = (m.BatchNorm1d(4).bfloat16() for m in (lnlib.nn, torch.nn))
    for norm in (ours, theirs):
        norm(x)
    assert ours.running_var.dtype == theirs.running_var.dtype == torch.bfloat16
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        ("batch", (0, 4)),
        ("batch", (2, 4, 0)),
        ("batch", (0, 4, 3)),
        ("instance", (2, 4, 0)),
        ("instance", (0, 4, 3)),
    ],
)
def test_a_batch_of_no_numbers_leaves_the_running_statistics(norm, shape):
    mean, variance = torch.ones(4), torch.ones(4)
    getattr(lnlib.nn, f"{norm}_norm")(
        torch.ones(shape), mean, variance, None, None, True
    )
    assert (mean == 1).all() and (variance == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("affine", AFFINE)
def test_in_evaluation_the_gradient_is_that_of_a_scale_and_a_shift(norm, dtype, affine):
    x, weight, bias, dy = tensors((5, 4, 6), dtype, affine)
    mean, variance = torch.randn(4).to(dtype), torch.rand(4).to(dtype)

    def evaluated(library):
        return lambda x, w, b: getattr(library, f"{norm}_norm")(
            x, mean, variance, w, b, False
        )

    ours = run(evaluated(lnlib.nn), x, weight, bias, dy)
    theirs = run(evaluated(F), x, weight, bias, dy)
    wide = [
        None if t is None else t.double() for t in (x, weight, bias, dy, mean, variance)
    ]
    rstd = (wide[5] + 1e-5) ** -0.5
    gain = 1 if weight is None else wide[1][:, None]
    xhat = (wide[0] - wide[4][:, None]) * rstd[:, None]
    y = xhat * gain + (0 if bias is None else wide[2][:, None])
    truth = (
        y,
        wide[3] * gain * rstd[:, None],
        (wide[3] * xhat).sum((0, 2)),
        wide[3].sum((0, 2)),
    )
    for a, b, c in zip(ours, theirs, truth, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
            assert error(numbers(a), numbers(c)) <= ROUNDINGS[dtype] * UNIT[dtype]


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3),
        lambda x: x[:1].expand(3, 4, 4, 5),
        lambda x: x[:, :, 0, 0],
    ],
)
def test_evaluation_of_inputs_that_are_not_contiguous(norm, view):
    x = view(torch.randn(4, 4, 4, 5))
    mean, variance = torch.randn(4), torch.rand(4) + 0.1
    ours, theirs = (
        getattr(library, f"{norm}_norm")(x, mean, variance, None, None, False)
        for library in (lnlib.nn, F)
    )
    torch.testing.assert_close(ours, theirs)
    assert ours.stride() == theirs.stride()


def test_training_between_evaluation_and_its_backward():
    norm = lnlib.nn.BatchNorm1d(4).double().eval()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    norm.train()(torch.randn(5, 4, dtype=torch.float64) * 9)
    (dx,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(dx, torch.full_like(x, (1 + 1e-5) ** -0.5))


@pytest.mark.parametrize("name", MODULES)
def test_an_input_without_a_batch_axis(name):
    ours, theirs = (
        getattr(m, name)(4, affine=True, track_running_stats=True)
        for m in (lnlib.nn, torch.nn)
    )
    x = torch.randn(4, 6) if name.endswith("1d") else torch.randn(4, 3, 2)
    if name == "BatchNorm1d":
        x = x.T  # (N, C)
    if name == "BatchNorm2d":
        for norm in (ours, theirs):
            with pytest.raises(ValueError, match=r"expected 4D input \(got 3D input\)"):
                norm(x)
        return
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


# ------------------------------------------------------------ every derivative


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
def test_derivatives(norm, affine, order):
    x, weight, bias, _ = tensors((2, 4, 2, 2), torch.float64, affine)
    if order == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]

    def ours(x, *parameters):
        given = iter(parameters)
        return function(lnlib.nn, norm)(
            x, *(next(given) if a else None for a in affine)
        )

    assert gradcheck(ours, leaves, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(
        ours, leaves, check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True
    )


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("training", [True, False])
def test_derivatives_beside_running_statistics(norm, training):
    x, weight, bias, _ = tensors((3, 2, 4), torch.float64)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]

    def ours(x, weight, bias):
        statistics = torch.zeros(2).double(), torch.ones(2).double()
        return getattr(lnlib.nn, f"{norm}_norm")(x, *statistics, weight, bias, training)

    assert gradcheck(ours, leaves, check_forward_ad=True)
    assert gradgradcheck(ours, leaves)


def test_running_statistics_keep_no_graph_and_no_tangent():
    norm = lnlib.nn.BatchNorm1d(4).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    with fwd.dual_level():
        norm(fwd.make_dual(x, torch.ones_like(x)))
        assert fwd.unpack_dual(norm.running_mean).tangent is None
    assert not norm.running_mean.requires_grad and not norm.running_var.requires_grad


@pytest.mark.parametrize("norm", NORMS)
def test_torch_func_transforms_compose(norm):
    x, weight, bias, _ = tensors((3, 2, 4, 2), torch.float64)
    weight, bias = torch.randn(2, 4, dtype=torch.float64)

    def loss(library):
        return lambda r: function(library, norm)(r, weight, bias).pow(3).mean()

    def composed(r):
        axes = {"batch": (0, 2), "instance": (2,), "group": (2, 3)}[norm]
        v = r.unflatten(1, (2, 2)) if norm == "group" else r
        v = v - v.mean(axes, keepdim=True)
        v = v / torch.sqrt((v * v).mean(axes, keepdim=True) + 1e-5)
        return (v.reshape(r.shape) * weight[:, None] + bias[:, None]).pow(3).mean()

    x = torch.randn(3, 2, 4, 2, dtype=torch.float64)
    for transform in (
        lambda f: torch.func.vmap(f)(x),
        lambda f: torch.func.vmap(torch.func.grad(f))(x),
        lambda f: torch.func.vmap(torch.func.hessian(f))(x),
        lambda f: torch.func.jvp(torch.func.grad(f), (x[0],), (x[1],))[1],
        lambda f: torch.func.jacfwd(torch.func.jacfwd(f))(x[0]),
    ):
        torch.testing.assert_close(transform(loss(lnlib.nn)), transform(composed))


def test_vmap_over_models_updates_each_ones_statistics():
    models = [lnlib.nn.BatchNorm1d(4) for _ in range(3)]
    x = torch.randn(3, 5, 4)
    parameters, buffers = torch.func.stack_module_state(models)

    def call(parameters, buffers, x):
        return torch.func.functional_call(models[0], (parameters, buffers), (x,))

    y = torch.func.vmap(call)(parameters, buffers, x)
    for i, model in enumerate(models):
        torch.testing.assert_close(y[i], model(x[i]))
        torch.testing.assert_close(buffers["running_var"][i], model.running_var)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_vmap_over_examples_is_refused_in_torchs_words(momentum):
    x = torch.randn(3, 5, 4)
    ours, theirs = (m.BatchNorm1d(4, momentum=momentum) for m in (lnlib.nn, torch.nn))
    with pytest.raises(RuntimeError) as expected:
        torch.func.vmap(theirs)(x)
    with pytest.raises(RuntimeError) as refusal:
        torch.func.vmap(ours)(x)
    assert str(refusal.value) == str(expected.value)
    assert (ours.running_mean == 0).all() and ours.num_batches_tracked == 0
    free = lnlib.nn.BatchNorm1d(4, track_running_stats=False)
    torch.testing.assert_close(torch.func.vmap(free)(x)[1], free(x[1]))


# ------------------------------------------------------------ compiled and traced


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("BatchNorm1d", {}),
        ("BatchNorm2d", {"momentum": None}),
        ("InstanceNorm2d", {"affine": True, "track_running_stats": True}),
        ("GroupNorm", {}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_into_one_graph_and_updates_its_statistics(name, options, dtype):
    torch.compiler.reset()
    arguments = (2, 4) if name == "GroupNorm" else (4,)
    norm = getattr(lnlib.nn, name)(*arguments, **options)
    twin = copy.deepcopy(norm)
    compiled = torch.compile(norm, fullgraph=True)
    shape = (6, 4, 5, 3) if name.endswith("2d") else (6, 4, 5)
    for _ in range(2):
        x, dy = torch.randn(2, *shape).to(dtype)
        fast, slow = (
            run(lambda x, w, b, f=f: f(x), x, None, None, dy) for f in (compiled, twin)
        )
        for a, b in zip(fast[:2], slow[:2], strict=True):
            assert a.dtype == b.dtype
            assert error(numbers(a), numbers(b)) <= 4 * UNIT[dtype]
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value)
    norm.eval()
    twin.eval()
    with torch.no_grad():
        assert error(numbers(compiled(x)), numbers(twin(x))) <= 4 * UNIT[dtype]


def test_compiles_for_any_batch_and_any_picture():
    torch.compiler.reset()
    norm = torch.nn.Sequential(lnlib.nn.BatchNorm2d(4), lnlib.nn.GroupNorm(2, 4))
    twin = copy.deepcopy(norm)
    compiled = torch.compile(norm, fullgraph=True, dynamic=True)
    for n, side in ((3, 5), (5, 4), (7, 9)):
        x = torch.randn(n, 4, side, side + 1)
        torch.testing.assert_close(compiled(x), twin(x))
    torch.testing.assert_close(norm[0].running_var, twin[0].running_var)


@pytest.mark.parametrize("training", [True, False])
def test_exports(training):
    model = torch.nn.Sequential(
        lnlib.nn.BatchNorm2d(4), lnlib.nn.GroupNorm(2, 4), lnlib.nn.InstanceNorm2d(4)
    ).train(training)
    x = torch.randn(2, 4, 3, 3)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))
    torch.testing.assert_close(exported.state_dict(), model.state_dict())


def test_torch_fx_sees_one_call_and_asks_for_the_mode_at_each():
    model = torch.nn.Sequential(
        lnlib.nn.BatchNorm2d(4), lnlib.nn.InstanceNorm2d(4), lnlib.nn.GroupNorm(2, 4)
    )
    traced = torch.fx.symbolic_trace(model)
    calls = [n for n in traced.graph.nodes if n.op == "call_function"]
    assert len(calls) == 3 and calls[2].target is lnlib.nn.group_norm
    x = torch.randn(2, 4, 3, 3)
    twin = copy.deepcopy(model)
    for training in (True, False):
        traced.train(training)
        twin.train(training)
        torch.testing.assert_close(traced(x), twin(x))
    again = torch.fx.symbolic_trace(
        lambda x: lnlib.nn.batch_norm(x, None, None, training=True)
    )
    torch.testing.assert_close(again(x), F.batch_norm(x, None, None, training=True))


# ------------------------------------------------------------ in torch's place


@pytest.mark.parametrize("name", [*MODULES, "GroupNorm"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eps": 1e-3},
        {"affine": False},
        {"affine": True},
        {"track_running_stats": True},
        {"track_running_stats": False},
        {"momentum": None},
        {"dtype": torch.float64},
        {"device": "meta"},
    ],
)
def test_module_is_that_of_torch(name, options):
    if name == "GroupNorm":  # has no statistics to keep
        options = {k: v for k, v in options.items() if k in ("eps", "affine", "dtype")}
    arguments = (2, 4) if name == "GroupNorm" else (4,)
    ours = getattr(lnlib.nn, name)(*arguments, **options)
    theirs = getattr(torch.nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, type(theirs))
    assert vars(ours).keys() == vars(theirs).keys()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    for a, b in zip(
        [*ours.parameters(), *ours.buffers()],
        [*theirs.parameters(), *theirs.buffers()],
        strict=True,
    ):
        assert (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        assert a.is_meta or torch.equal(a, b)


def test_state_goes_both_ways_and_from_before_batches_were_counted():
    ours, theirs = lnlib.nn.BatchNorm2d(4), torch.nn.BatchNorm2d(4)
    x = torch.randn(3, 4, 2, 2)
    theirs(x * 5 + 1)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    ours.train()(x - 7)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    old = {k: v for k, v in ours.state_dict().items() if "tracked" not in k}
    new = lnlib.nn.BatchNorm2d(4)
    new.load_state_dict(old)
    assert new.num_batches_tracked == 0
    torch.testing.assert_close(new.running_var, ours.running_var)


def test_copies_pickles_and_meta_tensors():
    x = torch.randn(3, 4, 5)
    for norm in (lnlib.nn.BatchNorm1d(4), lnlib.nn.GroupNorm(2, 4)):
        for again in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
            assert torch.equal(again(x), norm(x))
        meta = copy.deepcopy(norm).to("meta")
        assert meta(torch.empty(3, 4, 5, device="meta")).shape == (3, 4, 5)


def test_serves_in_a_residual_network():
    def block(library):
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
            library.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, padding=1, bias=False),
            library.GroupNorm(4, 8),
            library.InstanceNorm2d(8, affine=True),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(2),
        ).double()

    x = torch.randn(6, 3, 5, 5, dtype=torch.float64)
    target = torch.tensor([0, 1, 0, 1, 1, 0])
    losses = []
    for library in (lnlib.nn, torch.nn):
        model = block(library)
        model(x)
        torch.manual_seed(2)
        torch.nn.init.normal_(model[-1].weight, std=0.1)
        torch.nn.init.zeros_(model[-1].bias)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:20], losses[20:], rtol=0, atol=1e-9)
    assert losses[19] < 0.1 * losses[0]


X = torch.ones(2, 4, 3)
ONES = torch.ones(4)


@pytest.mark.parametrize(
    ("norm", "arguments"),
    [
        ("batch", (torch.ones(()), None, None, None, None, True)),
        ("batch", (torch.ones(4), None, None, None, None, True)),
        ("batch", (torch.ones(1, 4), None, None, None, None, True)),
        ("batch", (torch.ones(1, 4, 1, 1), None, None, None, None, True)),
        ("batch", (X, torch.ones(5), torch.ones(5), None, None, True)),
        ("batch", (X, ONES, torch.ones(5), None, None, True)),
        ("batch", (X, ONES, None, None, None, True)),
        ("batch", (X, ONES, None)),
        ("batch", (X, None, None)),
        ("batch", (X, None, None, torch.ones(5), None, True)),
        ("batch", (X, None, None, None, torch.ones(5), True)),
        ("batch", (X, None, None, [1.0] * 4, None, True)),
        ("batch", ([1.0], None, None, None, None, True)),
        ("batch", (X.int(), None, None, None, None, True)),
        ("batch", (X.bool(), ONES, ONES)),
        ("batch", (X.to(torch.complex64), None, None, None, None, True)),
        ("batch", (X.double(), None, None, ONES, None, True)),
        ("batch", (X, None, None, ONES.double(), None, True)),
        ("batch", (X.double(), ONES, ONES)),
        ("batch", (X.bfloat16(), None, None, ONES, ONES.bfloat16(), True)),
        ("batch", (X.bfloat16(), ONES.bfloat16(), ONES.bfloat16(), ONES, ONES)),
        ("batch", (X, None, None, None, None, True, 0.1, 0.0)),
        ("batch", (X, ONES, ONES, None, None, False, 0.1, -1.0)),
        ("batch", (X, ONES, ONES, None, None, True, None)),
        ("batch", (X, ONES, ONES, None, None, True, "a")),
        ("batch", (X, None, None, None, None, True, 0.1, "a")),
        ("batch", (X, ONES.clone().requires_grad_(), ONES)),
        ("batch", (X, ONES.clone().requires_grad_(), ONES, None, None, True)),
        ("instance", (torch.ones(2, 4),)),
        ("instance", (torch.ones(2, 4, 1),)),
        ("instance", (torch.ones(4),)),
        ("instance", (X, torch.ones(5), torch.ones(5))),
        ("instance", (X, ONES, None)),
        ("instance", (X, None, None, None, None, False)),
        ("instance", (X, None, None, torch.ones(5))),
        ("instance", (X.int(),)),
        ("instance", (X.double(), None, None, ONES)),
        ("instance", (X, ONES, ONES, None, None, True, None)),
        ("group", (torch.ones(4), 2)),
        ("group", (torch.ones(1, 4), 4)),
        ("group", (X, 3)),
        ("group", (X, -1)),
        ("group", (X, 0)),
        ("group", (X, 8)),
        ("group", (X, "a")),
        ("group", (X, 2.0)),
        ("group", (X, 2, torch.ones(5))),
        ("group", (X, 2, torch.ones(1, 4))),
        ("group", (X, 2, [1.0] * 4)),
        ("group", (X.int(), 2)),
        ("group", (X.double(), 2, ONES)),
        ("group", (X, 2, None, None, "a")),
    ],
)
def test_refusals_are_torchs(norm, arguments):
    with pytest.raises(Exception) as theirs:
        getattr(F, f"{norm}_norm")(*arguments)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(lnlib.nn, f"{norm}_norm")(*arguments)
    assert str(ours.value) == str(theirs.value)


def test_what_torch_lets_through_is_refused():
    for call in (
        lambda eps: lnlib.nn.batch_norm(X, None, None, training=True, eps=eps),
        lambda eps: lnlib.nn.instance_norm(X, eps=eps),
        lambda eps: lnlib.nn.GroupNorm(2, 4, eps=eps)(X),
    ):
        for eps in (-1e-5, float("nan")):
            with pytest.raises(ValueError, match="eps"):
                call(eps)
    mean, variance = torch.zeros(4), torch.ones(4)
    for norm in (lnlib.nn.batch_norm, lnlib.nn.instance_norm):
        with pytest.raises(ValueError, match="eps"):
            norm(X, mean, variance, None, None, True, 0.1, float("nan"))
    assert (mean == 0).all() and (variance == 1).all()  # torch was asked, of copies
    with pytest.raises(RuntimeError, match=r"expected shape \[4\]"):
        lnlib.nn.batch_norm(X, None, None, torch.ones(1, 4), training=True)


@pytest.mark.parametrize("name", MODULES)
def test_modules_refuse_in_torchs_words_and_change_nothing(name):
    options = {"affine": True, "track_running_stats": True}
    ours, theirs = (getattr(m, name)(4, **options) for m in (lnlib.nn, torch.nn))
    inputs = [torch.ones(4), torch.ones(2, 4, 3, 2, 2), torch.ones(2, 5, 3, 3)[..., 0]]
    inputs += [torch.ones(1, 4, 1), torch.ones(1, 4, 1, 1), torch.ones(2, 5, 3, 3)]
    for x in inputs:
        with pytest.raises(Exception) as expected:
            theirs(x)
        with pytest.raises(type(expected.value)) as refusal:
            ours(x)
        assert str(refusal.value) == str(expected.value)
    assert ours.num_batches_tracked == 0
    assert (ours.running_mean == 0).all() and (ours.running_var == 1).all()


def test_instance_norm_of_another_width_warns_as_torchs():
    x = torch.randn(2, 5, 3)
    with pytest.warns(UserWarning, match="does not match num_features"):
        y = lnlib.nn.InstanceNorm1d(4)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(y, torch.nn.InstanceNorm1d(4)(x))


# ------------------------------------------------------------ better than torch


@pytest.mark.parametrize("mean", [1e2, 1e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("norm", NORMS)
def test_no_digit_is_lost_to_the_mean(norm, mean):
    arguments = tensors((8, 4, 6, 5), torch.float32, mean=mean)
    ours, theirs = both(norm, *arguments)
    assert max(ours) < 5e-7, ours
    assert theirs[0] > mean * 1e-9, theirs  # y
    assert theirs[1] > mean * 5e-10, theirs  # dx
    assert theirs[2] > mean * 2e-9, theirs  # dweight


def test_group_norm_of_channels_last_takes_no_difference_of_squares():
    x, weight, bias, dy = tensors((8, 4, 6, 5), torch.float32, mean=1e4)
    x = x.contiguous(memory_format=torch.channels_last)
    ours, theirs = both("group", x, weight, bias, dy)
    assert max(ours) < 5e-7, ours
    # The variance is the mean square less the square of the mean, and comes out as 0.
    assert theirs[0] > 10 and theirs[1] > 1000, theirs


def test_group_norm_with_a_bias_and_no_weight_has_a_gradient():
    arguments = tensors((2, 4, 6), torch.float64, (False, True))
    ours = run(function(lnlib.nn, "group"), *arguments)
    assert max(e for e in errors(ours, "group", *arguments) if e is not None) < 1e-15
    with pytest.raises(RuntimeError, match="does not have a device"):
        run(function(F, "group"), *arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameter_gradients_of_half_precision_are_rounded_once(dtype):
    for norm in NORMS:
        x, weight, bias, dy = tensors((64, 4, 64), dtype)
        ours = run(function(lnlib.nn, norm), x, weight, bias, dy)
        truth = run(function(F, norm), *(t.double() for t in (x, weight, bias, dy)))
        for a, b in zip(ours, truth, strict=True):
            assert error(numbers(a), numbers(b)) <= UNIT[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_running_statistics_of_instance_norm_are_not_rounded_on_the_way(dtype):
    x = (torch.randn(8, 4, 6, 5) + 1).to(dtype)
    found = []
    for library in (lnlib.nn, F):
        mean, variance = torch.zeros(4), torch.ones(4)  # in float32
        library.instance_norm(x, mean, variance)
        truth = running(numbers(x), "instance", np.zeros(4), np.ones(4))
        found.append(max(map(error, map(numbers, (mean, variance)), truth)))
    assert found[0] < 4 * UNIT[torch.float32]
    assert found[1] > UNIT[dtype] / 4  # torch keeps them in the dtype of the input


def test_running_statistics_keep_a_variance_far_below_eps():
    x = 1 + 1e-5 * torch.randn(64, 4, dtype=torch.float64)
    x = x.float()  # a variance of 1e-10, and eps is 1e-5
    mean, variance = torch.zeros(4), torch.zeros(4)
    lnlib.nn.batch_norm(x, mean, variance, training=True, momentum=1.0)
    assert error(numbers(variance), numbers(x).var(0, ddof=1)) < 1e-6
