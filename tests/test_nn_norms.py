"""The modules: all that torch's do, and what torch's get wrong.

Where the library claims to be more exact than torch, the test computes torch's
figure beside ours and asserts both. If torch mends one of these, that test fails,
and the claim is to be taken out of the book.
"""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracle import error, forward, gradients
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError

import lnlib
from lnlib.lab import data, training

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# Half a unit in the last place at 1: what rounding the right answer costs at most.
UNIT = {d: torch.finfo(d).eps / 2 for d in DTYPES}
# In these dtypes the whole computation is done, so a few roundings add up.
ROUNDINGS = {torch.float64: 8, torch.float32: 8, torch.bfloat16: 1, torch.float16: 1}
AFFINE = list(itertools.product([True, False], repeat=2))


@pytest.fixture(autouse=True)
def one_thread():
    # torch's sums over rows depend on the number of threads; ours do not.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def run(norm, x, shape, weight, bias, dy):
    """y and the gradients of x, weight and bias (None where there is none)."""
    leaves = [x, weight, bias]
    leaves = [t if t is None else t.detach().clone().requires_grad_() for t in leaves]
    y = norm(leaves[0], shape, *leaves[1:])
    present = [t for t in leaves if t is not None]
    found = iter(torch.autograd.grad(y, present, dy))
    return y.detach(), *(None if t is None else next(found) for t in leaves)


def rms(norm):
    """An RMS norm with layer norm's signature, so that one `run` serves both."""
    return lambda x, shape, weight, bias: norm(x, shape, weight, 1e-5)


def tensors(shape, n_row, dtype, affine=(True, True)):
    x, dy = torch.randn(2, *shape).to(dtype)
    row = shape[len(shape) - n_row :]
    weight, bias = (torch.randn(row).to(dtype) if a else None for a in affine)
    return x, row, weight, bias, dy


def numbers(t):
    return t.detach().double().numpy()


def errors(results, x, shape, weight, bias, dy, center=True):
    """The error of y, dx, dweight, dbias against the oracle, None where none."""
    n = int(np.prod(shape))
    flat = [numbers(t).reshape(-1, n) for t in (x, dy)]
    gain, shift = (None if t is None else numbers(t).ravel() for t in (weight, bias))
    truth = (
        forward(flat[0], gain, shift, center=center),
        *gradients(flat[1], flat[0], gain, center=center),
    )
    return [
        None if r is None else error(numbers(r).reshape(t.shape), t)
        for r, t in zip(results, truth, strict=True)
    ]


# ------------------------------------------------------------ equal to torch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize(
    ("shape", "n_row"),
    [((5,), 1), ((7, 5), 1), ((2, 3, 8), 1), ((2, 3, 8), 2), ((2, 3, 4, 5), 3)],
)
def test_values_and_gradients_of_layer_norm(dtype, affine, shape, n_row):
    arguments = tensors(shape, n_row, dtype, affine)
    ours = run(lnlib.nn.layer_norm, *arguments)
    theirs = run(F.layer_norm, *arguments)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype, a.shape) == (b.dtype, b.shape)
    for e in errors(ours, *arguments):
        assert e is None or e <= ROUNDINGS[dtype] * UNIT[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("shape", "n_row"), [((5,), 1), ((2, 3, 8), 1), ((4, 6), 2)])
def test_values_and_gradients_of_rms_norm(dtype, affine, shape, n_row):
    x, row, weight, _, dy = arguments = tensors(shape, n_row, dtype, (affine, False))
    ours = run(rms(lnlib.nn.rms_norm), *arguments)
    theirs = run(rms(F.rms_norm), *arguments)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype, a.shape) == (b.dtype, b.shape)
    for e in errors(ours, x, row, weight, None, dy, center=False):
        assert e is None or e <= ROUNDINGS[dtype] * UNIT[dtype]


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0), (3, 1), (2, 0, 4)])
@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_empty_batches_and_the_smallest_rows(shape, norm):
    ours, theirs = getattr(lnlib.nn, norm), getattr(F, norm)
    if norm == "rms_norm":
        ours, theirs = rms(ours), rms(theirs)
    arguments = tensors(shape, 1, torch.float32, (True, norm == "layer_norm"))
    for a, b in zip(run(ours, *arguments), run(theirs, *arguments), strict=True):
        assert (a is None) == (b is None)
        # For rows of one number torch's dx is a rounding error times 1 / sqrt(eps).
        assert a is None or torch.allclose(a, b, atol=320 * 4 * UNIT[torch.float32])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(1, 2),
        lambda x: x[:, ::2],
        lambda x: x[:1].expand(3, 4, 6),
        lambda x: x.flip(0)[..., 1:],
        lambda x: x.as_strided((3, 4, 6), (1, 2, 3)),
    ],
)
def test_inputs_that_are_not_contiguous(view):
    base = torch.randn(3, 4, 6)
    before = base.clone()
    x = view(base)
    row = x.shape[-1:]
    weight, bias, dy = torch.randn(*row), torch.randn(*row), torch.randn(x.shape)
    ours = run(lnlib.nn.layer_norm, x, row, weight, bias, dy)
    theirs = run(F.layer_norm, x, row, weight, bias, dy)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert torch.equal(base, before), "the input was changed"
    y = lnlib.nn.layer_norm(x, row)
    assert y.stride() == F.layer_norm(x, row).stride()


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_infinity_and_nan_propagate_as_in_torch(bad):
    x = torch.tensor([[1.0, bad, 2.0], [1.0, 2.0, 4.0]])
    for ours, theirs in ((lnlib.nn.layer_norm, F.layer_norm),):
        torch.testing.assert_close(ours(x, (3,)), theirs(x, (3,)), equal_nan=True)
    torch.testing.assert_close(
        lnlib.nn.rms_norm(x, (3,)), F.rms_norm(x, (3,)), equal_nan=True
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_beside_float32_parameters(dtype):
    x, row, weight, bias, dy = tensors((6, 8), 1, dtype)
    arguments = (x, row, weight.float(), bias.float(), dy)
    y, dx, dweight, dbias = run(lnlib.nn.layer_norm, *arguments)
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    assert (dweight.dtype, dbias.dtype) == (torch.float32, torch.float32)
    found = errors((y, dx, dweight, dbias), *arguments)
    assert max(found[:2]) <= UNIT[dtype]
    assert max(found[2:]) <= 8 * UNIT[torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_default_epsilon_of_rms_norm_is_torchs(dtype):
    x = torch.full((1, 4), 1e-4).to(dtype)
    torch.testing.assert_close(lnlib.nn.rms_norm(x, (4,)), F.rms_norm(x, (4,)))


# ------------------------------------------------------------ every derivative


@pytest.mark.parametrize("affine", AFFINE)
def test_derivatives_of_layer_norm(affine):
    x, row, weight, bias, _ = tensors((2, 3, 4), 2, torch.float64, affine)
    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]

    def norm(x, *parameters):
        given = iter(parameters)
        weight, bias = (next(given) if a else None for a in affine)
        return lnlib.nn.layer_norm(x, row, weight, bias)

    check = {"check_batched_grad": True}
    assert gradcheck(norm, leaves, check_forward_ad=True, **check)
    assert gradgradcheck(norm, leaves, check_fwd_over_rev=True, **check)


@pytest.mark.parametrize("affine", [True, False])
def test_derivatives_of_rms_norm(affine):
    x, row, weight, _, _ = tensors((2, 3, 4), 1, torch.float64, (affine, False))
    leaves = [t.requires_grad_() for t in (x, weight) if t is not None]

    def norm(x, weight=None):
        return lnlib.nn.rms_norm(x, row, weight)

    check = {"check_batched_grad": True}
    assert gradcheck(norm, leaves, check_forward_ad=True, **check)
    assert gradgradcheck(norm, leaves, check_fwd_over_rev=True, **check)


@pytest.mark.parametrize("center", [True, False])
def test_the_statistics_have_derivatives_too(center):
    # The function returns them beside y; double backward leans on this.
    from lnlib.nn.norms import _NormWithTangents

    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def statistics(x):
        return _NormWithTangents.apply(x, None, None, (-1,), 1e-5, center)[1:]

    assert gradcheck(statistics, [x], check_forward_ad=True)
    assert gradgradcheck(statistics, [x])


def test_gradients_of_some_inputs_only():
    x, row, weight, bias, dy = tensors((4, 6), 1, torch.float64)
    whole = run(lnlib.nn.layer_norm, x, row, weight, bias, dy)[1:]
    for k in range(3):
        leaves = [t.clone().requires_grad_(i == k) for i, t in
                  enumerate((x, weight, bias))]  # fmt: skip
        y = lnlib.nn.layer_norm(leaves[0], row, *leaves[1:])
        (gradient,) = torch.autograd.grad(y, leaves[k], dy)
        torch.testing.assert_close(gradient, whole[k])


def test_third_derivative():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)

    def second(x):
        y = lnlib.nn.layer_norm(x, (5,)).pow(3).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (h,) = torch.autograd.grad(g.pow(2).sum(), x, create_graph=True)
        return h

    assert gradcheck(second, [x])


def test_torch_func_transforms_compose():
    x, row, weight, bias, _ = tensors((5, 6), 1, torch.float64)

    def loss(norm):
        return lambda r: norm(r, row, weight, bias).pow(3).mean()

    ours, theirs = loss(lnlib.nn.layer_norm), loss(F.layer_norm)
    for transform in (
        lambda f: torch.func.vmap(f)(x),
        lambda f: torch.func.vmap(torch.func.grad(f))(x),
        lambda f: torch.func.vmap(torch.func.hessian(f))(x),
        lambda f: torch.func.jvp(torch.func.grad(f), (x[0],), (x[1],))[1],
        lambda f: torch.compile(torch.func.vmap(torch.func.grad(f)))(x),
    ):
        torch.testing.assert_close(transform(ours), transform(theirs))


def test_gradients_of_each_example_by_vmap():
    norm = lnlib.nn.LayerNorm(6).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    parameters = dict(norm.named_parameters())

    def loss(parameters, row):
        return torch.func.functional_call(norm, parameters, (row,)).pow(3).sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, row in enumerate(x):
        alone = torch.func.grad(loss)(parameters, row)
        for name in parameters:
            torch.testing.assert_close(each[name][i], alone[name])


def test_forward_mode_needs_no_tangent_of_the_parameters():
    import torch.autograd.forward_ad as fwd

    norm = lnlib.nn.LayerNorm(6).double()
    x, tangent = torch.randn(2, 3, 6, dtype=torch.float64)
    with fwd.dual_level():
        y = norm(fwd.make_dual(x, tangent))
        theirs = F.layer_norm(fwd.make_dual(x, tangent), (6,))
        torch.testing.assert_close(
            fwd.unpack_dual(y).tangent, fwd.unpack_dual(theirs).tangent
        )


@pytest.mark.parametrize("module", [lnlib.nn.LayerNorm, lnlib.nn.RMSNorm])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_into_one_graph(module, dtype):
    torch.compiler.reset()
    norm = module(16).to(dtype)
    compiled = torch.compile(norm, fullgraph=True)
    x = torch.randn(8, 16).to(dtype).requires_grad_()
    leaves = [x, *norm.parameters()]
    dy = torch.randn(8, 16).to(dtype)
    fast = (y := compiled(x)).detach(), *torch.autograd.grad(y, leaves, dy)
    slow = (y := norm(x)).detach(), *torch.autograd.grad(y, leaves, dy)
    for a, b in zip(fast, slow, strict=True):
        assert a.dtype == b.dtype
        assert error(numbers(a), numbers(b)) <= 4 * UNIT[dtype]
    with torch.no_grad():
        assert error(numbers(compiled(x)), numbers(norm(x))) <= 4 * UNIT[dtype]


@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm", "BatchNorm1d", "GroupNorm"])
def test_compiled_transforms_are_the_transforms(name):
    torch.compiler.reset()
    options = {"track_running_stats": False} if name == "BatchNorm1d" else {}
    norm = getattr(lnlib.nn, name)(
        *((2, 4) if name == "GroupNorm" else (4,)), **options
    )
    assert norm.weight.requires_grad  # else no compiled gradient was ever lost
    x, v = torch.randn(3, 4), torch.randn(3, 4)
    parameters = {k: p.detach() for k, p in norm.named_parameters()}

    def loss(x):
        return norm(x).pow(3).sum()

    def loss_of(parameters, x):
        return torch.func.functional_call(norm, parameters, (x,)).pow(3).sum()

    f = torch.func
    transforms = [
        f.grad(loss),
        lambda x: f.vjp(norm, x)[1](v),
        f.jacrev(norm),
        f.grad_and_value(loss),
        f.vmap(lambda row: norm(torch.stack([row, row**2]))),
        lambda x: f.vmap(f.grad(loss_of), (None, 0))(
            parameters, x[:, None].expand(-1, 2, -1)
        ),
    ]
    if name != "GroupNorm":  # PyTorch cannot trace a reshaped tensor with its tangent
        transforms += [lambda x: f.jvp(norm, (x,), (v,)), f.hessian(loss)]
    for transform in transforms:
        compiled = torch.compile(transform, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), transform(x))


@pytest.mark.parametrize("norm", [lnlib.nn.LayerNorm(4), lnlib.nn.RMSNorm(4)])
def test_transforms_of_a_compiled_module(norm):
    torch.compiler.reset()
    compiled = torch.compile(norm, backend="aot_eager")
    x = torch.randn(3, 4)

    def loss(norm):
        return lambda x: norm(x).pow(3).sum()

    for transform in (
        lambda f: torch.func.grad(loss(f))(x),
        lambda f: torch.func.vmap(f)(x),
        lambda f: torch.func.vmap(torch.func.grad(loss(f)))(x),
    ):
        torch.testing.assert_close(transform(compiled), transform(norm))


def test_compiles_without_breaking_the_graph_or_warning(recwarn):
    torch.compiler.reset()
    explained = torch._dynamo.explain(lnlib.nn.LayerNorm(8))(torch.randn(2, 8))
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)
    assert not [w for w in recwarn if "lru_cache" in str(w.message)]


# ------------------------------------------------------------ in torch's place


@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eps": 1e-3},
        {"elementwise_affine": False},
        {"dtype": torch.float64},
        {"device": "meta"},
    ],
)
@pytest.mark.parametrize("shape", [7, (4, 5), [3]])
def test_module_is_that_of_torch(name, options, shape):
    ours = getattr(lnlib.nn, name)(shape, **options)
    theirs = getattr(torch.nn, name)(shape, **options)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, type(theirs))
    assert vars(ours).keys() == vars(theirs).keys()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        assert a.is_meta or torch.equal(a, b)


def test_layer_norm_without_a_bias():
    ours, theirs = (m.LayerNorm(4, bias=False) for m in (lnlib.nn, torch.nn))
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == ["weight"]
    x = torch.randn(3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_parameters_go_both_ways():
    ours, theirs = lnlib.nn.LayerNorm(4), torch.nn.LayerNorm(4)
    torch.nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())
    torch.nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_copies_and_pickles():
    norm = lnlib.nn.LayerNorm(4)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(3, 4)
    for again in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(again(x), norm(x))


def test_meta_tensors_have_shapes():
    norm = lnlib.nn.LayerNorm(4, device="meta")
    assert norm(torch.empty(3, 4, device="meta")).shape == (3, 4)


def test_torch_fx_sees_one_call():
    model = torch.nn.Sequential(lnlib.nn.LayerNorm(4), lnlib.nn.RMSNorm(4))
    traced = torch.fx.symbolic_trace(model)
    called = [n.target for n in traced.graph.nodes if n.op == "call_function"]
    assert called == [lnlib.nn.layer_norm, lnlib.nn.rms_norm]
    x = torch.randn(3, 4)
    assert torch.equal(traced(x), model(x))


def test_exports_and_compiles_for_any_batch():
    torch.compiler.reset()
    norm = lnlib.nn.LayerNorm(8)
    x = torch.randn(4, 8)
    assert torch.equal(torch.export.export(norm, (x,)).module()(x), norm(x))
    compiled = torch.compile(norm, fullgraph=True, dynamic=True)
    for rows in (3, 5, 70):
        x = torch.randn(rows, 8)
        torch.testing.assert_close(compiled(x), norm(x))


def test_serves_in_a_transformer_layer():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(2, 3, 8)
    before = layer.eval()(x)
    layer.norm1, layer.norm2 = lnlib.nn.LayerNorm(8), lnlib.nn.LayerNorm(8)
    torch.testing.assert_close(layer.eval()(x), before)


def test_autocast_leaves_it_alone_on_a_cpu():
    norm, theirs = lnlib.nn.LayerNorm(4), torch.nn.LayerNorm(4)
    x = torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        for given in (x, x.bfloat16()):
            assert norm(given).dtype == theirs(given).dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_autocast_on_a_gpu_gives_what_torchs_gives(dtype):
    from torch._subclasses.fake_tensor import FakeTensorMode

    norms = {
        "layer": lambda lib, x, w: lib.layer_norm(x, (4,), w, w),
        "rms": lambda lib, x, w: lib.rms_norm(x, (4,), w),
        "group": lambda lib, x, w: lib.group_norm(x, 2, w, w),
        "batch": lambda lib, x, w: lib.batch_norm(x, None, None, w, w, True),
        "instance": lambda lib, x, w: lib.instance_norm(x.expand(2, 3, 4)),
    }
    before = torch.is_autocast_enabled("cuda")
    with FakeTensorMode():  # tensors of a GPU that need none
        x, w = (torch.empty(s, device="cuda", dtype=dtype) for s in ((3, 4), (4,)))
        torch.set_autocast_enabled("cuda", True)
        try:
            found = {
                name: [norm(library, x, w).dtype for library in (lnlib.nn, F)]
                for name, norm in norms.items()
            }
        finally:
            torch.set_autocast_enabled("cuda", before)
    for ours, theirs in found.values():
        assert ours == theirs
    if dtype in (torch.bfloat16, torch.float16):
        assert found["layer"][0] == torch.float32 and found["batch"][0] == dtype


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("LayerNorm", (4,), (2, 3, 4)),
        ("RMSNorm", (4,), (2, 3, 4)),
        ("GroupNorm", (2, 4), (2, 4, 3)),
        ("BatchNorm1d", (4,), (2, 4, 3)),
        ("BatchNorm2d", (4,), (2, 4, 3, 3)),
        ("InstanceNorm1d", (4,), (2, 4, 3)),
        ("InstanceNorm2d", (4,), (2, 4, 3, 3)),
    ],
)
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_takes_it_and_keeps_it(name, arguments, shape, how):
    import io

    x = torch.randn(shape)
    model = torch.nn.Sequential(getattr(lnlib.nn, name)(*arguments)).eval()
    made = torch.jit.script(model) if how == "script" else torch.jit.trace(model, x)
    file = io.BytesIO()
    torch.jit.save(made, file)
    file.seek(0)
    torch.testing.assert_close(torch.jit.load(file)(x), model(x))
    assert type(model[0]) is getattr(lnlib.nn, name)


@pytest.mark.parametrize(
    "name", [n for n in lnlib.nn.__all__ if isinstance(getattr(lnlib.nn, n), type)]
)
def test_forward_names_its_argument_as_torchs(name):
    import inspect

    ours, theirs = (
        list(inspect.signature(getattr(m, name).forward).parameters)
        for m in (lnlib.nn, torch.nn)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(1, 2),
        lambda x: x[..., ::2],
        lambda x: x[:1].expand(3, 3, 4, 5),
    ],
)
@pytest.mark.parametrize("affine", [True, False])
def test_rms_norm_keeps_the_strides_that_torchs_keeps(view, affine):
    x = view(torch.randn(2, 3, 4, 5))
    weight = torch.ones(x.shape[-1]) if affine else None
    ours, theirs = (lib.rms_norm(x, x.shape[-1:], weight) for lib in (lnlib.nn, F))
    assert ours.stride() == theirs.stride()
    torch.testing.assert_close(ours, theirs)


def test_eps_may_be_a_tensor_of_one_number_as_in_torch():
    x = torch.randn(3, 4)
    for eps in (torch.tensor(0.5), torch.tensor(1), np.float32(0.5)):
        for norm in ("layer_norm", "rms_norm"):
            ours, theirs = (
                getattr(lib, norm)(x, (4,), None, eps=eps) for lib in (lnlib.nn, F)
            )
            torch.testing.assert_close(ours, theirs)


X = torch.ones(4, 8)


def test_arrays_of_another_library_are_refused_before_anything_is_computed(monkeypatch):
    x, t = X.numpy(), X[..., None].repeat(1, 1, 2).numpy()
    monkeypatch.setattr(lnlib.functional, "standardize", None)
    for norm, arguments in (
        ("layer_norm", (x, (8,))),
        ("rms_norm", (x, (8,))),
        ("batch_norm", (x, None, None, None, None, True)),
        ("instance_norm", (t,)),
        ("group_norm", (x, 2)),
    ):
        with pytest.raises(Exception) as theirs:
            getattr(F, norm)(*arguments)
        with pytest.raises(type(theirs.value)) as ours:
            getattr(lnlib.nn, norm)(*arguments)
        assert str(ours.value) == str(theirs.value)


def test_an_eps_that_is_refused_computes_nothing(monkeypatch):
    for norm in ("layer_norm", "rms_norm", "group_norm", "instance_norm"):
        monkeypatch.setattr(F, norm, None)
    x = X[..., None].repeat(1, 1, 2)
    for call in (
        lambda: lnlib.nn.layer_norm(X, (8,), eps=-1.0),
        lambda: lnlib.nn.rms_norm(X, (8,), eps=-1.0),
        lambda: lnlib.nn.group_norm(X, 2, eps=-1.0),
        lambda: lnlib.nn.instance_norm(x, eps=-1.0),
    ):
        with pytest.raises(ValueError, match="Expected eps to be at least 0"):
            call()


@pytest.mark.parametrize(
    "arguments",
    [
        (X, (7,)),
        (X, (8, 1)),
        (X, ()),
        (X, "8"),
        (X, (8.0,)),
        (X, {8}),
        (X, {8: 1}),
        (X, b"\x08"),
        (X[:, :1], True),
        (X[:, :1], (True,)),
        ([1.0], (1,)),
        (X, (8,), torch.ones(7)),
        (X, (8,), [1.0] * 8),
        (X.int(), (8,)),
        (X.bool(), (8,)),
    ],
)
@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_refusals_are_torchs(norm, arguments):
    with pytest.raises(Exception) as theirs:
        getattr(F, norm)(*arguments)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(lnlib.nn, norm)(*arguments)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    "arguments",
    [
        (X, (8,), torch.ones(8), torch.ones(4)),
        (X, (8,), None, torch.ones(8).bfloat16()),
        (X.double(), (8,), torch.ones(8)),
        (X.bfloat16(), (8,), torch.ones(8), torch.ones(8).bfloat16()),
        (X.to(torch.complex64), (8,)),
        (X, (8,), None, None, "a"),
    ],
)
def test_refusals_of_layer_norm_are_torchs(arguments):
    with pytest.raises(Exception) as theirs:
        F.layer_norm(*arguments)
    with pytest.raises(type(theirs.value)) as ours:
        lnlib.nn.layer_norm(*arguments)
    assert str(ours.value) == str(theirs.value)


def test_what_torch_lets_through_is_refused():
    for eps in (-1e-5, float("nan")):
        with pytest.raises(ValueError, match="Expected eps to be at least 0"):
            lnlib.nn.layer_norm(X, (8,), eps=eps)
        with pytest.raises(ValueError, match="Expected eps to be at least 0"):
            lnlib.nn.RMSNorm(8, eps=eps)(X)
    with pytest.raises(NotImplementedError, match="complex64"):
        lnlib.nn.rms_norm(X.to(torch.complex64), (8,))


def test_a_norm_of_the_wrong_width_is_refused_as_in_torch():
    for x in (torch.ones(2, 3), torch.ones(3)):
        with pytest.raises(RuntimeError) as theirs:
            torch.nn.LayerNorm(4)(x)
        with pytest.raises(RuntimeError) as ours:
            lnlib.nn.LayerNorm(4)(x)
        assert str(ours.value) == str(theirs.value)


# ------------------------------------------------------------ better than torch


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1024, 4096, 65536])
@pytest.mark.parametrize("wide", [True, False])
def test_parameter_gradients_do_not_stand_still(dtype, rows, wide):
    x = torch.randn(rows, 4).to(dtype)
    weight = torch.ones(4, dtype=torch.float32 if wide else dtype)
    arguments = (x, (4,), weight, torch.zeros_like(weight), torch.ones_like(x))
    ours = run(lnlib.nn.layer_norm, *arguments)[3]
    theirs = run(F.layer_norm, *arguments)[3]
    truth = torch.tensor(float(rows)).to(weight.dtype)  # 65536 is not in float16
    assert (ours == truth).all(), ours
    # 256 + 1 is 256 in bfloat16, and 2048 + 1 is 2048 in float16.
    stands_still_at = 256 if dtype == torch.bfloat16 else 2048
    assert (theirs == min(rows, stands_still_at)).all(), theirs


@pytest.mark.parametrize(
    ("mean", "torch_loses"),
    [(0, 1e-7), (1e2, 5e-7), (1e3, 5e-6), (1e4, 5e-5), (1e5, 5e-4), (1e6, 5e-3)],
)
def test_dx_keeps_its_digits_whatever_the_row_mean(mean, torch_loses):
    x, row, weight, bias, dy = tensors((16, 768), 1, torch.float32)
    arguments = (x + mean, row, weight, bias, dy)
    ours = errors(run(lnlib.nn.layer_norm, *arguments), *arguments)
    theirs = errors(run(F.layer_norm, *arguments), *arguments)
    assert max(ours) < 5e-7, ours
    assert theirs[1] > torch_loses, theirs


def test_y_keeps_its_digits_whatever_the_row_mean():
    x, row, _, _, dy = tensors((16, 768), 1, torch.float32)
    arguments = (x + 1e6, row, None, None, dy)
    ours = errors(run(lnlib.nn.layer_norm, *arguments), *arguments)
    theirs = errors(run(F.layer_norm, *arguments), *arguments)
    assert ours[0] < 5e-7
    assert theirs[0] > 5e-3


def test_rstd_cubed_is_never_formed():
    x, row, weight, bias, dy = tensors((8, 64), 1, torch.float32)
    arguments = (x * 1e18, row, weight, bias, dy)

    def composed(x, shape, weight, bias):
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * weight + bias

    ours = errors(run(lnlib.nn.layer_norm, *arguments), *arguments)
    theirs = errors(run(composed, *arguments), *arguments)
    assert max(ours) < 5e-7, ours
    assert theirs[1] > 1e-2, theirs


def test_double_backward_with_a_bias_and_no_weight():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(lambda x, b: lnlib.nn.layer_norm(x, (5,), None, b), (x, bias))
    # https://github.com/pytorch/pytorch/issues/79705
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x, b: F.layer_norm(x, (5,), None, b), (x, bias))


def test_second_derivatives_through_forward_mode():
    x, row, weight, bias, _ = tensors((6,), 1, torch.float64)
    forward_mode, backward_mode = torch.func.jacfwd, torch.func.jacrev

    def difference(norm, outer):
        def loss(x):
            return norm(x, row, weight, bias).pow(3).mean()

        truth = backward_mode(backward_mode(loss))(x)
        return abs(outer(forward_mode(loss))(x) - truth).max() / abs(truth).max()

    for outer in (forward_mode, backward_mode):
        assert difference(lnlib.nn.layer_norm, outer) < 1e-14
        # https://github.com/pytorch/pytorch/issues/196700: wrong, and no error
        assert difference(F.layer_norm, outer) > 1e-2


def test_third_derivatives_in_backward_mode():
    x, row, _, _, direction = tensors((6,), 1, torch.float64)

    def third(norm):
        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        y = norm(x + t * direction, row).pow(3).sum()
        for _ in range(3):
            (y,) = torch.autograd.grad(y, t, create_graph=True)
        return y.detach()

    def composed(x, row):
        centred = x - x.mean()
        return centred / torch.sqrt((centred * centred).mean() + 1e-5)

    truth = third(composed)
    assert abs(third(lnlib.nn.layer_norm) - truth) < 1e-12 * abs(truth)
    # https://github.com/pytorch/pytorch/issues/175754: wrong, and no error
    assert abs(third(F.layer_norm) - truth) > 1e-2 * abs(truth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_are_kept_in_float32(dtype):
    x = (torch.randn(8, 64) + 100).to(dtype)
    for weight in (None, torch.ones(64).to(dtype)):
        _, mean, rstd = lnlib.layer_norm_forward(x, (64,), weight)
        assert mean.dtype == rstd.dtype == torch.float32
        assert error(mean, numbers(x).mean(-1, keepdims=True)) < 1e-6
    theirs = torch.native_layer_norm(x, (64,), torch.ones(64).to(dtype), None, 1e-5)[1]
    assert theirs.dtype == dtype  # rounded: at a mean of 100 to 0.25 in bfloat16


# ------------------------------------------------------------ it trains


def test_a_network_trains_as_with_torchs_norm():
    d = data.digits()
    losses, scores = [], []
    for norm in (lnlib.nn.LayerNorm, torch.nn.LayerNorm):
        model = training.mlp([64, 64, 10], norm)
        losses.append(training.train(model, d.x_train, d.y_train, steps=150))
        scores.append(training.accuracy(model, d.x_test, d.y_test))
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-9)
    assert scores[0] == scores[1] > 0.9
