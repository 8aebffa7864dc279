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
from oracle import channel_norm, error, forward, gradients, labels, running

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


@pytest.mark.parametrize("n", [65_536, 300_007])
def test_the_order_of_memory_costs_no_digits(rng, n):
    wide = (rng.normal(size=(2, n)) + 1e6).astype(np.float32)
    for x in (np.asfortranarray(wide), np.repeat(wide, 2, 1)[:, ::2], wide[:, ::-1]):
        assert error(lnlib.layer_norm(x, n), forward(x)) < 5e-7
    x = wide[:, :65_536].reshape(2, -1, 4).transpose(0, 2, 1)  # channels last
    truth = forward(x.reshape(8, -1)).reshape(x.shape)
    assert error(lnlib.instance_norm(x), truth) < 2.5e-7
    x = np.asfortranarray(wide.T)
    assert error(lnlib.batch_norm(x, training=True), forward(wide).T) < 5e-7


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_row_whose_squares_overflow_is_nan_and_not_zeros(library):
    x = LIBRARIES[library](np.array([[1e20, 2e20], [1.0, 2.0]], np.float32))
    with np.errstate(all="ignore"):
        y = to_numpy(lnlib.layer_norm(x, 2))
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()
    theirs = torch.nn.functional.layer_norm(torch.tensor(to_numpy(x)), (2,))
    np.testing.assert_allclose(y, theirs, atol=1e-4)


def test_eps_may_be_an_array_of_one_number_but_not_a_traced_one():
    import jax

    x = np.array([[1.0, 2.0, 4.0]], np.float32)
    truth = lnlib.layer_norm(x, 3, eps=0.5)
    for eps in (np.array(0.5), jnp.asarray(0.5), torch.tensor(0.5), np.float32(0.5)):
        y = lnlib.layer_norm(x, 3, eps=eps)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, truth)
    with pytest.raises(TypeError, match="known when the function is traced"):
        jax.jit(lambda x, eps: lnlib.layer_norm(x, 3, eps=eps))(jnp.asarray(x), 0.5)


@pytest.mark.parametrize("dtype", [np.complex128, np.int64, np.bool_, object])
@pytest.mark.parametrize("which", ["dy", "mean", "rstd"])
def test_what_the_backward_passes_are_given_is_real(dtype, which):
    x, one = np.ones((2, 4, 3)), np.ones((1, 4, 1))
    groups, length = np.ones((2, 2)), np.ones((2, 1, 1))

    def bad(name, a):
        return a.astype(dtype) if name == which else a

    def given(shape):
        return [
            bad(n, np.ones(s)) for n, s in zip(("mean", "rstd"), shape, strict=True)
        ]

    dy = bad("dy", x)
    calls = [
        lambda: lnlib.layer_norm_backward(dy, x, 3, *given([(2, 4, 1)] * 2)),
        lambda: lnlib.batch_norm_backward(dy, x, *given([one.shape] * 2), True),
        lambda: lnlib.batch_norm_backward(dy, x, *given([one.shape] * 2), False),
        lambda: lnlib.instance_norm_backward(dy, x, *given([(2, 4, 1)] * 2)),
        lambda: lnlib.group_norm_backward(dy, x, 2, *given([groups.shape] * 2)),
    ]
    if which != "mean":
        rstd = bad("rstd", np.ones((2, 4, 1)))
        calls += [
            lambda: lnlib.rms_norm_backward(dy, x, 3, rstd),
            lambda: lnlib.standardize_backward(dy, x, -1, rstd),
            lambda: lnlib.weight_norm_backward(dy, x, length, bad("rstd", length)),
        ]
    if which != "dy":
        calls.append(lambda: lnlib.restandardize(x, -1, *given([(2, 4, 1)] * 2)))
    if which == "mean":
        calls.append(
            lambda: lnlib.updated_running_statistics(
                x, bad("mean", one), *np.ones((2, 4))
            )
        )
    for call in calls:
        with pytest.raises(DtypeError, match="not implemented for"):
            call()


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


# ------------------------------------------------------------ one gain a channel

NORMS = ("batch", "instance", "group")

batches = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.sampled_from([2, 4]), st.integers(2, 5)),
    elements=st.floats(-100, 100, width=32),
)


def channels(norm, x, weight=None, bias=None, dy=None, eps=1e-5):
    """y, and dx, dweight, dbias if there is a dy, of one of the three; two groups."""
    if norm == "batch":
        y, *statistics = lnlib.batch_norm_forward(
            x, None, None, weight, bias, True, eps
        )
        backward = (dy, x, *statistics, True, weight)
    elif norm == "instance":
        y, *statistics = lnlib.instance_norm_forward(
            x, None, None, weight, bias, eps=eps
        )
        backward = (dy, x, *statistics, weight)
    else:
        y, *statistics = lnlib.group_norm_forward(x, 2, weight, bias, eps)
        backward = (dy, x, 2, *statistics, weight)
    if dy is None:
        return y
    return (y, *getattr(lnlib, f"{norm}_norm_backward")(*backward))


@given(batches)
def test_group_norm_of_one_group_is_layer_norm(x):
    y = lnlib.group_norm(x, 1)
    np.testing.assert_allclose(y, lnlib.layer_norm(x, x.shape[1:]), atol=1e-12)


@given(batches)
def test_group_norm_of_as_many_groups_as_channels_is_instance_norm(x):
    y = lnlib.group_norm(x, x.shape[1])
    np.testing.assert_allclose(y, lnlib.instance_norm(x), atol=1e-12)


@given(batches)
def test_batch_norm_of_one_example_is_instance_norm(x):
    y = lnlib.batch_norm(x[:1], training=True)
    np.testing.assert_allclose(y, lnlib.instance_norm(x[:1]), atol=1e-12)


@given(rows)
def test_batch_norm_of_the_transposed_matrix_is_layer_norm(x):
    y = lnlib.batch_norm(x.T, training=True)
    np.testing.assert_allclose(y.T, lnlib.layer_norm(x, x.shape[1]), atol=1e-10)


@given(batches, st.integers(0, 2**32 - 1))
def test_batch_norm_does_not_know_the_order_of_the_examples(x, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    y = lnlib.batch_norm(x, training=True)
    permuted = lnlib.batch_norm(x[order], training=True)
    np.testing.assert_allclose(permuted, y[order], atol=1e-9)


@given(rows)
def test_batch_norm_is_that_of_the_loops(x):
    x = np.concatenate([x, x[:1] + 1])
    weight, bias, dy = x[0], x[-1], x[::-1] + 1
    y, mean, rstd = loops.batch_norm_forward(x.tolist(), weight.tolist(), bias.tolist())
    slow = (
        y,
        *loops.batch_norm_backward(
            dy.tolist(), x.tolist(), mean, rstd, weight.tolist()
        ),
    )
    fast = channels("batch", x, weight, bias, dy)
    for a, b in zip(fast, slow, strict=True):
        scale = 1 + abs(np.asarray(b)).max() + abs(dy).max() * abs(weight).max() * 400
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(5, 8), (3, 4, 6), (2, 4, 3, 5), (1, 4, 6)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_channel_norms_are_those_of_the_oracle(rng, norm, shape, affine, eps):
    if norm == "instance":
        shape = (*shape, 4)
    x, dy = rng.normal(size=(2, *shape))
    weight, bias = rng.normal(size=(2, shape[1])) if affine else (None, None)
    ours = channels(norm, x, weight, bias, dy, eps)
    truth = channel_norm(dy, x, labels(shape, norm, 2), weight, bias, eps)
    for a, b in zip(ours, truth, strict=True):
        assert error(a, b) < 16 * EPS64


@pytest.mark.parametrize("norm", [*NORMS, "evaluation", "weight"])
def test_channel_gradients_are_central_differences(rng, norm):
    h = 1e-6
    x, dy = rng.normal(size=(2, 2, 4, 3))
    arguments = [x, *rng.normal(size=(2, 4))]
    fixed = rng.normal(size=4), rng.random(4) + 0.5
    if norm == "weight":
        arguments = [x, rng.normal(size=(1, 4, 1))]
        _, norms = lnlib.weight_norm_forward(*arguments, 1)
        ours = lnlib.weight_norm_backward(dy, *arguments, norms, 1)
    elif norm == "evaluation":
        _, mean, rstd = lnlib.batch_norm_forward(x, *fixed, *arguments[1:])
        ours = lnlib.batch_norm_backward(dy, x, mean, rstd, False, arguments[1])
        again = lnlib.instance_norm_backward(dy, x, mean, rstd, arguments[1], False)
        for a, b in zip(ours, again, strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        ours = channels(norm, *arguments, dy)[1:]

    def loss(*arguments):
        if norm == "weight":
            return (dy * lnlib.weight_norm(*arguments, 1)).sum()
        if norm == "evaluation":
            return (dy * lnlib.batch_norm(arguments[0], *fixed, *arguments[1:])).sum()
        return (dy * channels(norm, *arguments)).sum()

    for k, gradient in enumerate(ours):
        assert gradient.shape == arguments[k].shape
        for i in np.ndindex(gradient.shape):
            step = np.zeros_like(gradient)
            step[i] = h
            up, down = (
                loss(
                    *[a + sign * step if j == k else a for j, a in enumerate(arguments)]
                )
                for sign in (1, -1)
            )
            assert gradient[i] == pytest.approx((up - down) / (2 * h), abs=2e-8)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("affine", [True, False])
def test_channel_norms_are_the_same_in_every_library(rng, library, norm, affine):
    to = LIBRARIES[library]
    x, dy = rng.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    weight, bias = rng.normal(size=(2, 4)).astype(np.float32) if affine else (None,) * 2
    w, b = (to(weight), to(bias)) if affine else (None, None)
    ours = channels(norm, to(x), w, b, to(dy))
    assert all(type(a) is type(to(x)) for a in ours)
    truth = channel_norm(dy, x, labels(x.shape, norm, 2), weight, bias)
    for a, t in zip(ours, truth, strict=True):
        assert a.dtype == ours[0].dtype
        assert error(to_numpy(a), t) < 8 * EPS32


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("norm", NORMS)
def test_channel_norms_compute_half_precision_in_float32(rng, library, norm):
    to = LIBRARIES[library]
    float16 = {"numpy": np.float16, "torch": torch.float16, "jax": jnp.float16}[library]
    x, dy = (to(a, dtype=float16) for a in rng.normal(size=(2, 4, 4, 30)) * 30)
    weight, bias = (to(a, dtype=float16) for a in rng.normal(size=(2, 4)))
    ours = channels(norm, x, weight, bias, dy)
    assert ours[0].dtype == ours[1].dtype == x.dtype
    float32 = to(np.zeros(1, np.float32)).dtype
    assert ours[2].dtype == ours[3].dtype == float32
    wide = [to_numpy(a).astype(np.float64) for a in (dy, x, weight, bias)]
    truth = channel_norm(*wide[:2], labels((4, 4, 30), norm, 2), *wide[2:])
    for a, t, bound in zip(ours, truth, [2**-11] * 2 + [8 * EPS32] * 2, strict=True):
        assert error(to_numpy(a), t) <= bound


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mean", [0, 1e3, 1e6])
def test_a_mean_costs_channel_norms_no_digits(rng, norm, mean):
    x = (rng.normal(size=(16, 4, 30)) + mean).astype(np.float32)
    dy = rng.normal(size=(16, 4, 30)).astype(np.float32)
    ours = channels(norm, x, None, None, dy)
    for a, t in zip(ours, channel_norm(dy, x, labels(x.shape, norm, 2)), strict=True):
        assert error(a, t) < 5e-7


def test_statistics_over_many_examples_keep_their_digits(rng):
    x = (rng.random((100_003, 2)) + 1).astype(np.float32)
    y, mean, rstd = lnlib.batch_norm_forward(x, training=True)
    assert error(mean[0], x.astype(np.float64).mean(0)) < 2 * EPS32
    assert error(rstd[0], (x.astype(np.float64).var(0) + 1e-5) ** -0.5) < 4 * EPS32
    assert error(x.mean(0), x.astype(np.float64).mean(0)) > 1e-6  # NumPy's own
    _, dweight, dbias = lnlib.batch_norm_backward(x, x, mean, rstd, True)
    assert error(dbias, x.astype(np.float64).sum(0)) < 4 * EPS32
    assert error(dweight, (x.astype(np.float64) * y).sum(0)) < 16 * EPS32


def test_sums_over_any_axes(rng):
    x = rng.integers(-9, 9, size=(3, 40, 2, 18)).astype(float)
    for axes in [(0,), (1,), (3,), (0, 2), (1, 3), (0, 1, 2), (0, 2, 3), (-3, 3), ()]:
        total = functional._sum(functional._namespace(x=x), x, axes)
        np.testing.assert_array_equal(total, x.sum(axes, keepdims=True))


@pytest.mark.parametrize("norm", NORMS)
def test_channel_norms_of_nothing(norm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in [(0, 4, 3), (3, 4, 0), (3, 0, 2), (0, 4, 0)]:
            x = np.ones(shape)
            y, dx, dweight, dbias = channels(norm, x, dy=x)
            assert y.shape == dx.shape == shape
            assert dweight.shape == dbias.shape == shape[1:2]
            assert not dweight.any() and not dbias.any()


def test_groups_of_one_number_are_zero():
    x = np.array([[3.0, 8.0], [2.0, -9.0]])
    np.testing.assert_array_equal(lnlib.group_norm(x, 2, bias=np.ones(2)), 1)


def test_channel_norms_read_views_and_leave_them_unchanged(rng):
    base = rng.normal(size=(4, 4, 6, 5))
    for x in (
        base[::2],
        base.transpose(1, 0, 3, 2),
        base[:, :, ::-1],
        np.broadcast_to(base[0], (3, 4, 6, 5)),
    ):
        before = x.copy()
        for norm in NORMS:
            ours = channels(norm, x, dy=x)
            for a, b in zip(ours, channels(norm, before, dy=before), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-12)
        np.testing.assert_array_equal(x, before)


def test_output_mask_of_channel_norms(rng):
    x, dy = rng.normal(size=(2, 3, 4, 5))
    _, *batch = lnlib.batch_norm_forward(x, training=True)
    _, *fixed = lnlib.batch_norm_forward(x, np.zeros(4), np.ones(4))
    _, *group = lnlib.group_norm_forward(x, 2)
    for backward in (
        lambda mask: lnlib.batch_norm_backward(dy, x, *batch, True, None, mask),
        lambda mask: lnlib.batch_norm_backward(dy, x, *fixed, False, None, mask),
        lambda mask: lnlib.group_norm_backward(dy, x, 2, *group, None, mask),
    ):
        whole = backward((True, True, True))
        for k in range(3):
            mask = tuple(i == k for i in range(3))
            part = backward(mask)
            assert [p is not None for p in part] == list(mask)
            np.testing.assert_array_equal(part[k], whole[k])


# ------------------------------------------------------------ running statistics


@pytest.mark.parametrize("library", ["numpy", "torch", "strict"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_running_statistics_are_updated_in_place(rng, library, norm):
    to = LIBRARIES[library]
    x = rng.normal(size=(3, 4, 5)) + 2
    old = rng.normal(size=4), rng.random(4)
    truth = running(x, norm, *old, 0.3)
    mean, variance = (to(a.copy()) for a in old)
    if norm == "batch":
        y = lnlib.batch_norm(to(x), mean, variance, training=True, momentum=0.3)
        pure, mu, _ = lnlib.batch_norm_forward(to(x), training=True)
    else:
        y = lnlib.instance_norm(to(x), mean, variance, momentum=0.3)
        pure, mu, _ = lnlib.instance_norm_forward(to(x))
    np.testing.assert_array_equal(to_numpy(y), to_numpy(pure))
    again = lnlib.updated_running_statistics(to(x), mu, to(old[0]), to(old[1]), 0.3)
    for a, b, t in zip((mean, variance), again, truth, strict=True):
        assert error(to_numpy(a), t) < 4 * EPS64
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_running_statistics_are_used_in_evaluation(rng):
    x = rng.normal(size=(3, 4, 5))
    mean, variance = rng.normal(size=4), rng.random(4)
    truth = (x - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None]
    for y in (
        lnlib.batch_norm(x, mean, variance),
        lnlib.instance_norm(x, mean, variance, use_input_stats=False),
    ):
        np.testing.assert_allclose(y, truth, rtol=1e-12)
    theirs = torch.nn.functional.batch_norm(
        *(torch.tensor(a) for a in (x, mean, variance))
    )
    np.testing.assert_allclose(lnlib.batch_norm(x, mean, variance), theirs, rtol=1e-12)


def test_arrays_that_cannot_be_written_to_are_refused_and_the_pure_way_is_open(rng):
    import jax

    x = rng.normal(size=(3, 4)).astype(np.float32)
    locked = np.zeros(4, np.float32)
    locked.flags.writeable = False
    for to, zeros in ((np.asarray, locked), (jnp.asarray, jnp.zeros(4))):
        for norm in (
            lambda to, z: lnlib.batch_norm(to(x), z, to(z) + 1, training=True),
            lambda to, z: lnlib.instance_norm(
                to(x)[:, :, None].repeat(2, 2), z, to(z) + 1
            ),
        ):
            with pytest.raises(TypeError, match="and then updated_running_statistics"):
                norm(to, zeros)

    @jax.jit
    def step(x, running_mean, running_var):
        y, mean, _ = lnlib.batch_norm_forward(x, training=True)
        return y, lnlib.updated_running_statistics(x, mean, running_mean, running_var)

    y, statistics = step(x, jnp.zeros(4), jnp.ones(4))
    mean, variance = np.zeros(4, np.float32), np.ones(4, np.float32)
    np.testing.assert_allclose(
        y, lnlib.batch_norm(x, mean, variance, training=True), atol=1e-6
    )
    np.testing.assert_allclose(statistics, (mean, variance), atol=1e-6)


def test_running_statistics_without_numbers_or_gradient(rng):
    old = np.arange(4.0), np.ones(4)
    for shape in ((0, 4), (2, 4, 0)):
        x = np.ones(shape)
        _, mean, _ = lnlib.batch_norm_forward(x, training=True)
        new = lnlib.updated_running_statistics(x, mean, *old)
        for a, b in zip(new, old, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a is not b
    x = torch.randn(3, 4, requires_grad=True)
    mean, variance = torch.zeros(4), torch.ones(4)
    lnlib.batch_norm(x, mean, variance, training=True).sum().backward()
    assert not mean.requires_grad and not variance.requires_grad and x.grad is not None


# ------------------------------------------------------------ weight norm


@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("library", LIBRARIES)
def test_weight_norm_is_its_definition(rng, dim, library):
    to = LIBRARIES[library]
    v, dw = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    axes = tuple(i for i in range(3) if i != dim)
    length = np.sqrt((v.astype(np.longdouble) ** 2).sum(axes, keepdims=dim is not None))
    g = rng.normal(size=length.shape).astype(np.float32)
    w, norm = lnlib.weight_norm_forward(to(v), to(g), dim)
    dv, dg = lnlib.weight_norm_backward(to(dw), to(v), to(g), norm, dim)
    true_dg = (dw * v / length).sum(axes, keepdims=dim is not None)
    true_dv = g / length * dw - g * true_dg / length**2 * v
    for a, t in (
        (w, g * v / length),
        (norm, length),
        (dv, true_dv),
        (dg, true_dg),
    ):
        assert type(a) is type(to(v))
        assert error(to_numpy(a), t) < 8 * EPS32


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_that_of_torch(dim):
    layer = torch.nn.utils.parametrizations.weight_norm(
        torch.nn.Conv1d(3, 4, 5, dtype=torch.float64), dim=dim
    )
    g, v = (p.detach() for p in layer.parametrizations.weight.parameters())
    torch.testing.assert_close(lnlib.weight_norm(v, g, dim), layer.weight.detach())
    dw = torch.randn_like(v)
    layer.weight.backward(dw)
    _, norm = lnlib.weight_norm_forward(v, g, dim)
    dv, dg = lnlib.weight_norm_backward(dw, v, g, norm, dim)
    torch.testing.assert_close(dg, layer.parametrizations.weight.original0.grad)
    torch.testing.assert_close(dv, layer.parametrizations.weight.original1.grad)


@given(rows, st.integers(0, 2**32 - 1))
def test_the_gradient_of_a_direction_is_perpendicular_to_it(v, seed):
    v = v[abs(v).max(-1) > 1e-3]
    dw = np.random.default_rng(seed).normal(size=v.shape)
    g = np.full((len(v), 1), 2.0)
    w, norm = lnlib.weight_norm_forward(v, g)
    np.testing.assert_allclose((w * w).sum(-1), 4, rtol=1e-12)
    dv, _ = lnlib.weight_norm_backward(dw, v, g, norm)
    np.testing.assert_allclose((dv * v).sum(-1), 0, atol=1e-12)


def test_weight_norm_in_half_precision_with_a_mask_and_of_zeros(rng):
    v, dw = rng.normal(size=(2, 6, 300)).astype(np.float16)
    g = np.ones((6, 1), np.float32)
    w, norm = lnlib.weight_norm_forward(v, g)
    assert w.dtype == np.float16 and norm.dtype == np.float32
    dv, dg = lnlib.weight_norm_backward(dw, v, g, norm)
    assert dv.dtype == np.float16 and dg.dtype == np.float32
    wide = v.astype(float)
    length = np.sqrt((wide**2).sum(-1, keepdims=True))
    assert error(w, wide / length) <= 2**-11
    assert error(dg, (dw * wide / length).sum(-1, keepdims=True)) < 8 * EPS32
    for mask in ((True, False), (False, True)):
        part = lnlib.weight_norm_backward(dw, v, g, norm, output_mask=mask)
        assert [p is not None for p in part] == list(mask)
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(lnlib.weight_norm(np.zeros((1, 3)), np.ones((1, 1)))).all()


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
            "Expected parameters of the dtype of input, but got parameters of float32",
        ),
        (
            lambda: lnlib.layer_norm(torch.ones(4, 8).double(), 8, torch.ones(8)),
            DtypeError,
            "mixed dtype (CPU): all inputs must share same datatype",
        ),
        (
            lambda: lnlib.layer_norm(X.astype("f4"), 8, X[0]),
            DtypeError,
            "Expected parameters of the dtype of input or of float32, but got",
        ),
        (
            lambda: lnlib.layer_norm(X, 8, torch.ones(8, dtype=torch.float64)),
            TypeError,
            "one library, but got input of numpy, weight of torch",
        ),
        (lambda: lnlib.layer_norm(X, {8}), TypeError, "a list of ints, but got {8}"),
        (lambda: lnlib.layer_norm(X, b"\x08"), TypeError, "a list of ints, but got b"),
        (lambda: lnlib.layer_norm(X[:, :1], True), TypeError, "ints, but got True"),
        (lambda: lnlib.layer_norm(X[:, :1], [True]), TypeError, "ints, but got [True]"),
        (
            lambda: lnlib.layer_norm(np.ma.masked_array(X, X > 2), 8),
            TypeError,
            "input to be an array without a mask, but got MaskedArray",
        ),
        (
            lambda: lnlib.layer_norm(np.matrix(X), 8),
            TypeError,
            "input to be an array (of",
        ),
        (
            lambda: lnlib.layer_norm(X, 8, eps=10**400),
            ValueError,
            "an int of 1329 bits",
        ),
        (
            lambda: lnlib.layer_norm(X, 8, eps=np.array([1e-5])),
            TypeError,
            "got ndarray",
        ),
        (lambda: lnlib.layer_norm(X, 8, eps=np.array(1j)), TypeError, "got ndarray"),
        (lambda: functional.machine_epsilon(None), TypeError, "x to be an array, but"),
        (
            lambda: lnlib.standardize(X, -1, center="no"),
            TypeError,
            "bool, but got 'no'",
        ),
        (
            lambda: lnlib.standardize_backward(X, X, -1, X[:, :1], center=None),
            TypeError,
            "center to be a bool, but got None",
        ),
        (lambda: lnlib.standardize(X, True), TypeError, "ints, but got True"),
        (
            lambda: lnlib.standardize(np.array(1.0), -1),
            ShapeError,
            "axes (-1,) for an array of shape []",
        ),
        (
            lambda: lnlib.rms_norm_backward(X, X, 8, X[:, :1], output_mask=(1, "no")),
            TypeError,
            "output_mask to be 2 bools",
        ),
        (lambda: lnlib.group_norm(X, True), TypeError, "num_groups to be an int, but"),
        (lambda: lnlib.weight_norm(X, X[:, :1], False), TypeError, "dim to be an int"),
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
        (lambda: lnlib.batch_norm(X[0], training=True), ShapeError, "at least 2 dim"),
        (
            lambda: lnlib.batch_norm(X[:1], training=True),
            ShapeError,
            "more than 1 value per channel when training, got input size [1, 8]",
        ),
        (
            lambda: lnlib.batch_norm(X),
            ShapeError,
            "running_mean must be defined in eval",
        ),
        (lambda: lnlib.batch_norm(X, X[0]), ShapeError, "either both be None"),
        (
            lambda: lnlib.batch_norm(X, X[0], X[0, :7], training=True),
            ShapeError,
            "running_var should contain 8 elements not 7",
        ),
        (
            lambda: lnlib.batch_norm(X, weight=X[:1], training=True),
            ShapeError,
            "weight should contain 8 elements not 8: expected shape [8], one number",
        ),
        (
            lambda: lnlib.batch_norm(X, training=True, eps=0),
            ValueError,
            "eps must be positive during training, but got 0",
        ),
        (
            lambda: lnlib.batch_norm(X, X[0], X[0], eps=-1),
            ValueError,
            "eps must be non-negative, but got -1",
        ),
        (lambda: lnlib.batch_norm(X, X[0], X[0], eps="a"), TypeError, "got str"),
        (
            lambda: lnlib.batch_norm(X, X[0], X[0], momentum=None),
            TypeError,
            "Expected momentum to be a number, but got NoneType",
        ),
        (
            lambda: lnlib.batch_norm(X, X[0].astype("f4"), X[0].astype("f4")),
            DtypeError,
            "parameters of the dtype of input, but got",
        ),
        (lambda: lnlib.batch_norm(X.astype(int), training=True), DtypeError, "'int64'"),
        (
            lambda: lnlib.batch_norm(X, X[0].astype(int), X[0].astype(int)),
            DtypeError,
            "'int64'",
        ),
        (
            lambda: lnlib.batch_norm([1.0], training=True),
            TypeError,
            "input to be an arr",
        ),
        (
            lambda: lnlib.batch_norm_backward(X, X, X[0], X[:1], True),
            ShapeError,
            "mean to be of shape [1, 8]",
        ),
        (
            lambda: lnlib.batch_norm_backward(X[:2], X, X[:1], X[:1], True),
            ShapeError,
            "dy to be of the shape of input",
        ),
        (
            lambda: lnlib.batch_norm_backward(X, X, None, X[:1], True),
            TypeError,
            "mean to be an array, but got None",
        ),
        (
            lambda: lnlib.updated_running_statistics(X[:1], X[:1], X[0], X[0]),
            ShapeError,
            "more than 1 value per channel",
        ),
        (
            lambda: lnlib.updated_running_statistics(X, X[0], X[0], X[0]),
            ShapeError,
            "mean to be of shape",
        ),
        (
            lambda: lnlib.updated_running_statistics(X, X[:1], X[0], None),
            TypeError,
            "running_var to be an array, but got None",
        ),
        (lambda: lnlib.instance_norm(X), ShapeError, "more than 1 spatial element"),
        (
            lambda: lnlib.instance_norm(X, use_input_stats=False),
            ShapeError,
            "to be defined when use_input_stats is false",
        ),
        (lambda: lnlib.instance_norm(X[None], eps=-1), ValueError, "eps = -1"),
        (
            lambda: lnlib.group_norm(X, 3),
            ShapeError,
            "divisible by num_groups, but got",
        ),
        (lambda: lnlib.group_norm(X, 0), ShapeError, "greater than 0, got 0"),
        (lambda: lnlib.group_norm(X, 2.0), TypeError, "num_groups to be an int, but"),
        (lambda: lnlib.group_norm(X[0], 2), ShapeError, "at least 2 dimensions"),
        (
            lambda: lnlib.group_norm(X[:1], 8),
            ShapeError,
            "more than 1 value per channel",
        ),
        (
            lambda: lnlib.group_norm(X, 2, X[:1]),
            ShapeError,
            "weight to be a vector of size equal to the number of channels",
        ),
        (
            lambda: lnlib.group_norm_backward(X, X, 2, X[:, :1], X[:, :2]),
            ShapeError,
            "mean to be of shape [4, 2], one number a group, but got [4, 1]",
        ),
        (lambda: lnlib.weight_norm(X, X[:, 0]), ShapeError, "g to be of shape [4, 1]"),
        (
            lambda: lnlib.weight_norm(X, X[:, :1], -2),
            ShapeError,
            "dim to be from 0 to 1",
        ),
        (lambda: lnlib.weight_norm(X, X[:, :1], 0.0), TypeError, "dim to be an int or"),
        (lambda: lnlib.weight_norm(X.astype(int), X[:, :1]), DtypeError, "'int64'"),
        (
            lambda: lnlib.weight_norm(X, X[:, :1].astype("f4")),
            DtypeError,
            "parameters of the dtype of input, but got",
        ),
        (
            lambda: lnlib.weight_norm_backward(X, X, X[:, :1], X),
            ShapeError,
            "norm to be of the shape of g",
        ),
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
    with pytest.raises(DtypeError, match="of the dtype of input or of float32"):
        lnlib.layer_norm(x, 8, np.ones(8, np.float32), np.ones(8, np.float16))
