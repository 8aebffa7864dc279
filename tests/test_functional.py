"""The vectorized norms: equal to the loops, on every array library, and exact."""

import warnings

import array_api_strict
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import error, forward, gradients

import lnlib
from lnlib import functional, loops
from lnlib.errors import DtypeError, ShapeError

EPS64 = np.finfo(np.float64).eps
EPS32 = np.finfo(np.float32).eps

LIBRARIES = {
    "numpy": np.asarray,
    "torch": torch.asarray,
    "jax": jnp.asarray,
    "strict": array_api_strict.asarray,
}

rows = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(2, 16)),
    elements=st.floats(-100, 100, width=32),
)


def to_numpy(a):
    return np.asarray(a if not isinstance(a, torch.Tensor) else a.detach())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ------------------------------------------------------------ properties


@given(rows)
def test_mean_is_zero_and_variance_is_what_eps_leaves(x):
    eps = 1e-5
    xhat, mean, rstd = lnlib.standardize(x, -1, eps)
    variance = x.var(-1)
    np.testing.assert_allclose(xhat.mean(-1), 0, atol=16 * EPS64)
    np.testing.assert_allclose(
        (xhat**2).mean(-1), variance / (variance + eps), rtol=1e-9, atol=1e-20
    )
    np.testing.assert_allclose(mean[:, 0], x.mean(-1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(rstd[:, 0], (variance + eps) ** -0.5, rtol=1e-9)


@given(rows, st.floats(-1e3, 1e3))
def test_a_shift_of_the_row_changes_nothing(x, shift):
    y, shifted = (lnlib.layer_norm(a, x.shape[-1]) for a in (x, x + shift))
    # x + shift is rounded to the last place of 1100; eps lets 1 / sqrt(1e-5) of it in.
    np.testing.assert_allclose(shifted, y, rtol=0, atol=1100 * EPS64 * 320 * 4)


@given(rows, st.floats(1e-3, 1e3))
def test_a_scale_of_the_row_changes_nothing_without_eps(x, scale):
    x = x[x.std(-1) > 1e-3]
    y, scaled = (lnlib.layer_norm(a, a.shape[-1], eps=0) for a in (x, x * scale))
    np.testing.assert_allclose(scaled, y, rtol=0, atol=1e-9)
    flipped = lnlib.layer_norm(-x, x.shape[-1], eps=0)
    np.testing.assert_allclose(flipped, -y, rtol=0, atol=1e-12)


@given(rows)
def test_no_output_exceeds_the_root_of_n_minus_1(x):
    n = x.shape[-1]
    xhat, _, _ = lnlib.standardize(x, -1)
    assert abs(xhat).max() <= np.sqrt(n - 1) * (1 + 8 * EPS64)


@given(rows, st.integers(0, 2**32 - 1), st.sampled_from([1e-5, 1e-1, 10.0]))
def test_dx_sums_to_zero_and_keeps_of_xhat_what_eps_leaves(x, seed, eps):
    dxhat = np.random.default_rng(seed).normal(size=x.shape)
    xhat, _, rstd = lnlib.standardize(x, -1, eps)
    dx = lnlib.standardize_backward(dxhat, xhat, -1, rstd)
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-12 / np.sqrt(eps))
    variance = x.var(-1)
    left = rstd[:, 0] * eps / (variance + eps) * (dxhat * xhat).sum(-1)
    np.testing.assert_allclose((dx * xhat).sum(-1), left, atol=1e-11 / np.sqrt(eps))


@given(rows, st.integers(0, 2**32 - 1))
def test_the_jacobian_is_symmetric(x, seed):
    u, v = np.random.default_rng(seed).normal(size=(2, *x.shape))
    xhat, _, rstd = lnlib.standardize(x, -1)
    jv = lnlib.standardize_backward(v, xhat, -1, rstd)
    ju = lnlib.standardize_backward(u, xhat, -1, rstd)
    np.testing.assert_allclose((u * jv).sum(), (v * ju).sum(), rtol=1e-9, atol=1e-9)


@given(rows, st.booleans())
def test_equal_to_the_loops(x, affine):
    n = x.shape[-1]
    rng = np.random.default_rng(n)
    weight, bias = rng.normal(size=(2, n)) if affine else (None, None)
    lists = [None if a is None else a.tolist() for a in (weight, bias)]
    y = lnlib.layer_norm(x, n, weight, bias)
    z = lnlib.rms_norm(x, n, weight, 1e-5)
    for i, row in enumerate(x.tolist()):
        np.testing.assert_allclose(y[i], loops.layer_norm(row, *lists), atol=1e-10)
        np.testing.assert_allclose(
            z[i], loops.rms_norm(row, lists[0], 1e-5), atol=1e-12
        )


@given(rows)
def test_rms_norm_of_a_centred_row_is_layer_norm(x):
    x = x - x.mean(-1, keepdims=True)
    n = x.shape[-1]
    np.testing.assert_allclose(
        lnlib.rms_norm(x, n, eps=1e-3), lnlib.layer_norm(x, n, eps=1e-3), atol=1e-12
    )


# ------------------------------------------------------------ the gradients


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.3, 0.0])
def test_gradients_are_those_of_the_oracle(rng, affine, eps):
    x, dy = rng.normal(size=(2, 6, 9))
    weight, bias = rng.normal(size=(2, 9)) if affine else (None, None)
    _, mean, rstd = lnlib.layer_norm_forward(x, 9, weight, bias, eps)
    ours = lnlib.layer_norm_backward(dy, x, 9, mean, rstd, weight)
    for a, b in zip(ours, gradients(dy, x, weight, eps), strict=True):
        assert error(a, b) < 16 * EPS64
    _, rstd = lnlib.rms_norm_forward(x, 9, weight, eps)
    ours = lnlib.rms_norm_backward(dy, x, 9, rstd, weight)
    truth = gradients(dy, x, weight, eps, center=False)
    for a, b in zip(ours, truth, strict=False):
        assert error(a, b) < 16 * EPS64


def test_gradients_are_central_differences(rng):
    x, dy = rng.normal(size=(2, 3, 4, 5))
    weight, bias = rng.normal(size=(2, 4, 5))
    shape, h = (4, 5), 1e-6
    _, mean, rstd = lnlib.layer_norm_forward(x, shape, weight, bias)
    ours = lnlib.layer_norm_backward(dy, x, shape, mean, rstd, weight)
    for k, gradient in enumerate(ours):
        arguments = [x, weight, bias]
        for i in np.ndindex(gradient.shape):
            step = np.zeros_like(gradient)
            step[i] = h
            up, down = (
                (dy * lnlib.layer_norm(v[0], shape, *v[1:])).sum()
                for v in (
                    [*arguments[:k], arguments[k] + sign * step, *arguments[k + 1 :]]
                    for sign in (1, -1)
                )
            )
            assert gradient[i] == pytest.approx((up - down) / (2 * h), abs=2e-8)


def test_output_mask_leaves_out_what_is_not_wanted(rng):
    x, dy = rng.normal(size=(2, 3, 4))
    _, mean, rstd = lnlib.layer_norm_forward(x, 4)
    whole = lnlib.layer_norm_backward(dy, x, 4, mean, rstd)
    for k in range(3):
        mask = tuple(i == k for i in range(3))
        part = lnlib.layer_norm_backward(dy, x, 4, mean, rstd, output_mask=mask)
        assert [p is not None for p in part] == list(mask)
        np.testing.assert_array_equal(part[k], whole[k])


def test_restandardize_gives_xhat_again(rng):
    x = rng.normal(size=(5, 6)) + 3
    for center in (True, False):
        xhat, mean, rstd = lnlib.standardize(x, -1, center=center)
        again = lnlib.restandardize(x, -1, mean, rstd)
        np.testing.assert_allclose(again, xhat, rtol=0, atol=4 * EPS64)


def test_axes_make_the_family(rng):
    x = rng.normal(size=(4, 3, 5))
    over_batch, _, _ = lnlib.standardize(x, (0, 2))
    batch_norm = torch.nn.functional.batch_norm(
        torch.tensor(x), None, None, training=True
    )
    np.testing.assert_allclose(over_batch, batch_norm, atol=1e-14)
    over_position, _, _ = lnlib.standardize(x, 2)
    instance_norm = torch.nn.functional.instance_norm(torch.tensor(x))
    np.testing.assert_allclose(over_position, instance_norm, atol=1e-14)


# ------------------------------------------------------------ one source, any library


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("affine", [True, False])
def test_every_library_gives_the_same(rng, library, affine):
    to = LIBRARIES[library]
    x, dy = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
    weight, bias = rng.normal(size=(2, 3, 4)).astype(np.float32)
    w, b = (to(weight), to(bias)) if affine else (None, None)
    y, mean, rstd = lnlib.layer_norm_forward(to(x), (3, 4), w, b)
    ours = (y, *lnlib.layer_norm_backward(to(dy), to(x), (3, 4), mean, rstd, w))
    z, rms_rstd = lnlib.rms_norm_forward(to(x), (3, 4), w, 1e-5)
    ours += (z, *lnlib.rms_norm_backward(to(dy), to(x), (3, 4), rms_rstd, w))
    assert all(type(a) is type(to(x)) for a in ours)

    flat = [a.reshape(-1, 12) for a in (x, dy)]
    gain, shift = (weight.ravel(), bias.ravel()) if affine else (None, None)
    truth = (forward(flat[0], gain, shift), *gradients(flat[1], flat[0], gain))
    truth += (forward(flat[0], gain, eps=1e-5, center=False),)
    truth += gradients(flat[1], flat[0], gain, center=False)[:2]
    for a, b in zip(ours, truth, strict=True):
        assert a.dtype == y.dtype
        assert error(to_numpy(a).reshape(b.shape), b) < 8 * EPS32


@pytest.mark.parametrize("library", LIBRARIES)
def test_float64_stays_float64(rng, library):
    if library == "jax":
        import jax

        context = jax.enable_x64(True)
    else:
        from contextlib import nullcontext

        context = nullcontext()
    with context:
        x = LIBRARIES[library](rng.normal(size=(3, 5)))
        y, mean, rstd = lnlib.layer_norm_forward(x, 5)
        assert str(y.dtype).endswith("float64")
        assert mean.dtype == rstd.dtype == y.dtype
        assert error(to_numpy(y), forward(to_numpy(x))) < 8 * EPS64


@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        ("numpy", np.float16),
        ("torch", torch.float16),
        ("torch", torch.bfloat16),
        ("jax", jnp.float16),
        ("jax", jnp.bfloat16),
        ("numpy", jnp.bfloat16),  # the bfloat16 of ml_dtypes, in a NumPy array
    ],
)
def test_half_precision_is_computed_in_float32(rng, library, dtype):
    to = LIBRARIES[library]
    x, dy = (to(a, dtype=dtype) for a in rng.normal(size=(2, 64, 96)) * 30)
    weight = to(rng.normal(size=96), dtype=dtype)
    y, mean, rstd = lnlib.layer_norm_forward(x, 96, weight)
    dx, dweight, dbias = lnlib.layer_norm_backward(dy, x, 96, mean, rstd, weight)
    assert y.dtype == dx.dtype == x.dtype
    float32 = to(np.zeros(1, np.float32)).dtype
    assert {a.dtype for a in (mean, rstd, dweight, dbias)} == {float32}

    wide = [
        a.float().numpy() if library == "torch" else np.asarray(a, np.float32)
        for a in (x, dy, weight, y, dx, dweight, dbias)
    ]
    truth = (forward(wide[0], wide[2]), *gradients(wide[1], wide[0], wide[2]))
    unit = 2.0**-8 if "bfloat16" in str(x.dtype) else 2.0**-11  # half an ulp at 1
    for a, b, bound in zip(
        wide[3:], truth, [unit, unit, 8 * EPS32, 8 * EPS32], strict=True
    ):
        assert error(a, b) <= bound


def test_long_double_is_kept(rng):
    x = rng.normal(size=(3, 5)).astype(np.longdouble)
    assert lnlib.layer_norm(x, 5).dtype == np.longdouble


def test_jax_traces_it(rng):
    import jax

    x = jnp.asarray(rng.normal(size=(3, 5)), dtype=jnp.float32)
    f = jax.jit(lambda x: lnlib.layer_norm(x, 5))
    np.testing.assert_allclose(f(x), lnlib.layer_norm(x, 5), atol=1e-6)
    by_jax = jax.grad(lambda x: (lnlib.layer_norm(x, 5) ** 3).sum())(x)
    y, mean, rstd = lnlib.layer_norm_forward(x, 5)
    by_hand = lnlib.layer_norm_backward(3 * y**2, x, 5, mean, rstd)[0]
    np.testing.assert_allclose(by_jax, by_hand, atol=1e-5)


def test_torch_differentiates_it_where_rstd_cubed_underflows():
    x = (torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * 1e18).double()
    dy = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    narrow = x.float().requires_grad_()
    (dx,) = torch.autograd.grad(lnlib.layer_norm(narrow, 64), narrow, dy)
    assert error(dx, gradients(dy, narrow.detach())[0]) < 8 * EPS32


def test_a_numpy_eps_does_not_change_the_dtype():
    x = np.ones((2, 4), np.float32)
    y, mean, rstd = lnlib.layer_norm_forward(x, 4, eps=np.float64(1e-5))
    assert y.dtype == mean.dtype == rstd.dtype == np.float32


# ------------------------------------------------------------ exactness


@pytest.mark.parametrize("mean", [0, 1e2, 1e3, 1e4, 1e5, 1e6])
def test_a_row_mean_costs_no_digits(rng, mean):
    x = (rng.normal(size=(16, 768)) + mean).astype(np.float32)
    dy = rng.normal(size=(16, 768)).astype(np.float32)
    y, mu, rstd = lnlib.layer_norm_forward(x, 768)
    dx, dweight, _ = lnlib.layer_norm_backward(dy, x, 768, mu, rstd)
    truth = gradients(dy, x)
    assert error(y, forward(x)) < 5e-7
    assert error(dx, truth[0]) < 5e-7
    assert error(dweight, truth[1]) < 5e-7


def test_sums_over_many_rows_keep_their_digits(rng):
    m = 100_003  # a prime: the groups of rows do not come out even
    dy = (rng.random((m, 2)) + 1).astype(np.float32)
    x = rng.normal(size=(m, 2)).astype(np.float32)
    _, mean, rstd = lnlib.layer_norm_forward(x, 2)
    _, _, dbias = lnlib.layer_norm_backward(dy, x, 2, mean, rstd)
    truth = dy.astype(np.float64).sum(0)
    assert error(dbias, truth) < 4 * EPS32
    assert error(dy.sum(0), truth) > 2e-6  # what NumPy's own sum makes of it


@pytest.mark.parametrize("m", [0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17])
def test_sums_over_rows_of_any_number(m):
    dy = np.arange(2.0 * m).reshape(m, 2)
    _, mean, rstd = lnlib.layer_norm_forward(dy, 2)
    dbias = lnlib.layer_norm_backward(dy, dy, 2, mean, rstd)[2]
    np.testing.assert_array_equal(dbias, dy.sum(0))


def test_a_constant_row_is_exactly_zero():
    for value in (0.1, 1e6 + 0.3, 3e38 / 8):
        y = lnlib.layer_norm(np.full((1, 7), value, np.float32), 7)
        np.testing.assert_array_equal(y, 0)


# ------------------------------------------------------------ edges


def test_no_rows_no_features_one_feature():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape, row in [((0, 4), 4), ((3, 0), 0), ((0, 0), 0), ((3, 1), 1)]:
            x = np.ones(shape)
            y, mean, rstd = lnlib.layer_norm_forward(x, row)
            dx, dweight, dbias = lnlib.layer_norm_backward(x, x, row, mean, rstd)
            assert y.shape == dx.shape == shape
            assert dweight.shape == dbias.shape == (row,)
            assert not y.any() and not dx.any() and not dweight.any()
    np.testing.assert_array_equal(lnlib.layer_norm(np.full((3, 1), 7.0), 1), 0)


def test_two_features_give_plus_and_minus_one():
    y = lnlib.layer_norm(np.array([[3.0, 8.0], [2.0, -9.0]]), 2, eps=0.0)
    np.testing.assert_allclose(y, [[-1, 1], [1, -1]])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_infinity_and_nan_stay_in_their_row(bad):
    x = np.array([[1.0, bad, 2.0], [1.0, 2.0, 4.0]])
    with np.errstate(invalid="ignore"):
        y = lnlib.layer_norm(x, 3)
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


def test_a_vector_alone_is_a_row(rng):
    x = rng.normal(size=5)
    y, mean, rstd = lnlib.layer_norm_forward(x, 5)
    assert mean.shape == rstd.shape == (1,)
    np.testing.assert_array_equal(y, lnlib.layer_norm(x[None], 5)[0])
    dbias = lnlib.layer_norm_backward(x, x, 5, mean, rstd)[2]
    np.testing.assert_array_equal(dbias, x)


def test_views_are_read_and_left_unchanged(rng):
    base = rng.normal(size=(6, 4, 8))
    for x in (base[::2], base.transpose(2, 0, 1), np.broadcast_to(base[0], (3, 4, 8))):
        before = x.copy()
        row = x.shape[-1]
        y, mean, rstd = lnlib.layer_norm_forward(x, row)
        lnlib.layer_norm_backward(y, x, row, mean, rstd)
        np.testing.assert_array_equal(x, before)
        np.testing.assert_allclose(y, lnlib.layer_norm(before, row), atol=1e-15)


def test_the_default_epsilon_of_rms_norm():
    assert functional.machine_epsilon(np.ones(2)) == EPS64
    for dtype in (np.float16, np.float32):
        assert functional.machine_epsilon(np.ones(2, dtype)) == EPS32
    x = np.full((1, 4), 1e-4, np.float32)
    expected = 1e-4 / np.sqrt(1e-8 + EPS32)
    np.testing.assert_allclose(lnlib.rms_norm(x, 4), expected, rtol=1e-6)


# ------------------------------------------------------------ refusals

X = np.ones((4, 8))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: lnlib.layer_norm(X, 7), ShapeError, "shape [*, 7], but got input of"),
        (lambda: lnlib.layer_norm(X, (2, 4, 8)), ShapeError, "size[4, 8]"),
        (lambda: lnlib.layer_norm(X, ()), ShapeError, "at least 1-dimensional"),
        (lambda: lnlib.layer_norm(X, "8"), TypeError, "got '8'"),
        (lambda: lnlib.layer_norm(X, 8.0), TypeError, "got 8.0"),
        (
            lambda: lnlib.layer_norm(X, 8, X[0, :7]),
            ShapeError,
            "got weight of shape [7",
        ),
        (
            lambda: lnlib.layer_norm(X, 8, None, X),
            ShapeError,
            "got bias of shape [4, 8",
        ),
        (lambda: lnlib.layer_norm(X, 8, [1.0] * 8), TypeError, "Expected weight to be"),
        (lambda: lnlib.layer_norm([1.0], 1), TypeError, "use lnlib.loops"),
        (lambda: lnlib.layer_norm(X.astype(int), 8), DtypeError, "for 'int64'"),
        (lambda: lnlib.layer_norm(X.astype(complex), 8), DtypeError, "'complex128'"),
        (lambda: lnlib.layer_norm(X > 0, 8), DtypeError, "for 'bool'"),
        (lambda: lnlib.rms_norm(X.astype(int), 8), DtypeError, '"rms_norm" not'),
        (lambda: lnlib.rms_norm(X, 8, X[0].astype(int)), DtypeError, "'int64'"),
        (lambda: lnlib.rms_norm(X, 8, eps=-1), ValueError, "eps = -1"),
        (lambda: lnlib.layer_norm(X, 8, eps=np.nan), ValueError, "eps = nan"),
        (lambda: lnlib.layer_norm(X, 8, eps=None), TypeError, "got NoneType"),
        (
            lambda: lnlib.layer_norm(X, 8, X[0].astype("f4")),
            DtypeError,
            "all inputs must share same datatype; got parameters of float32",
        ),
        (
            lambda: lnlib.layer_norm(X.astype("f4"), 8, X[0]),
            DtypeError,
            "expect parameter to have scalar type of Float",
        ),
        (
            lambda: lnlib.layer_norm(X, 8, torch.ones(8, dtype=torch.float64)),
            TypeError,
            "one library, but got input of numpy, weight of torch",
        ),
        (lambda: lnlib.standardize(X, 2), ShapeError, "from -2 to 1"),
        (lambda: lnlib.standardize(X, (0, -2)), ShapeError, "each axis once"),
        (lambda: lnlib.standardize(X, None), TypeError, "axes to be an int or ints"),
        (lambda: lnlib.standardize(X, (0.5,)), TypeError, "but got (0.5,)"),
        (lambda: lnlib.restandardize(X, -1, X, X), ShapeError, "mean to be of shape"),
        (
            lambda: lnlib.standardize_backward(X[:2], X, -1, X[:, :1]),
            ShapeError,
            "dxhat to be of the shape of xhat, [4, 8], but got [2, 8]",
        ),
        (
            lambda: lnlib.layer_norm_backward(X[:2], X, 8, X[:, :1], X[:, :1]),
            ShapeError,
            "dy to be of the shape of input, [4, 8], but got [2, 8]",
        ),
        (
            lambda: lnlib.layer_norm_backward(X, X, 8, X[:, :1], X[0]),
            ShapeError,
            "rstd to be of shape [4, 1], one number a row, but got [8]",
        ),
        (
            lambda: lnlib.rms_norm_backward(X, X, 8, X),
            ShapeError,
            "rstd to be of shape [4, 1]",
        ),
        (
            lambda: lnlib.layer_norm_backward([1.0], X, 8, X[:, :1], X[:, :1]),
            TypeError,
            "Expected dy to be an array",
        ),
        (
            lambda: lnlib.layer_norm_backward(X, X, 8, None, X[:, :1]),
            TypeError,
            "Expected mean to be an array, but got None",
        ),
        (
            lambda: lnlib.rms_norm_backward(X, X, 8, None),
            TypeError,
            "Expected rstd to be an array, but got None",
        ),
        (
            lambda: lnlib.rms_norm_backward(X, X, 8, X[:, :1], output_mask=(True,)),
            TypeError,
            "Expected output_mask to be 2 bools, one for each gradient",
        ),
        (lambda: lnlib.layer_norm(None, 8), TypeError, "input to be an array, but got"),
    ],
)
def test_bad_input_is_refused(call, kind, words):
    with pytest.raises(kind) as refusal:
        call()
    assert words in str(refusal.value)


def test_shape_errors_are_what_torch_users_and_numpy_users_catch():
    for kind in (RuntimeError, ValueError):
        with pytest.raises(kind):
            lnlib.layer_norm(X, 7)
    for kind in (RuntimeError, NotImplementedError, TypeError):
        with pytest.raises(kind):
            lnlib.layer_norm(X.astype(int), 8)


def test_half_precision_takes_float32_parameters():
    x = X.astype(np.float16)
    y = lnlib.layer_norm(x, 8, np.ones(8, np.float32), np.ones(8, np.float32))
    assert y.dtype == np.float16
    with pytest.raises(DtypeError, match="expect parameter"):
        lnlib.layer_norm(x, 8, np.ones(8, np.float32), np.ones(8, np.float16))
