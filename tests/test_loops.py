"""The loops: equal to the definition, to numerical derivatives, and strict."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import channel_norm, error, forward, gradients, labels

from lnlib import loops

numbers = st.floats(-1e3, 1e3)


def rows(*names, least=1):
    """As many lists of floats of one common length as there are names."""
    return st.integers(least, 12).flatmap(
        lambda n: st.tuples(*[st.lists(numbers, min_size=n, max_size=n)] * len(names))
    )


@given(rows("x", "weight", "bias"), st.sampled_from([1e-5, 1e-2, 1.0]))
def test_layer_norm_is_the_definition(lists, eps):
    x, weight, bias = lists
    y = loops.layer_norm(x, weight, bias, eps)
    truth = forward([x], weight, bias, eps)[0]
    scale = 1 + float(abs(truth).max()) + max(map(abs, weight)) * max(map(abs, x))
    assert max(abs(np.subtract(y, truth.astype(float)))) <= 1e-11 * scale / eps


@given(rows("x", "dy", "weight", least=2))
def test_layer_norm_backward_is_the_jacobian(lists):
    x, dy, weight = lists
    eps = 1e-2
    _, mean, rstd = loops.layer_norm_forward(x, weight, None, eps)
    dx, dweight, dbias = loops.layer_norm_backward(dy, x, mean, rstd, weight)
    truth = gradients([dy], [x], weight, eps)
    scale = 1 + np.abs(dy).max() * (1 + np.abs(weight).max()) / eps
    for ours, true in zip((dx, dweight, dbias), (truth[0][0], *truth[1:]), strict=True):
        assert np.abs(np.subtract(ours, true.astype(float))).max() <= 1e-10 * scale


@given(rows("x", "dy", "weight"))
def test_rms_norm_and_its_backward_are_the_definition(lists):
    x, dy, weight = lists
    eps = 1e-2
    y, rstd = loops.rms_norm_forward(x, weight, eps)
    dx, dweight = loops.rms_norm_backward(dy, x, rstd, weight)
    assert loops.rms_norm(x, weight, eps) == y
    truth = gradients([dy], [x], weight, eps, center=False)
    scale = 1 + (1 + np.abs(dy).max()) * (1 + np.abs(weight).max()) / eps
    for ours, true in (
        (y, forward([x], weight, None, eps, center=False)[0]),
        (dx, truth[0][0]),
        (dweight, truth[1]),
    ):
        assert np.abs(np.subtract(ours, true.astype(float))).max() <= 1e-10 * scale


@pytest.mark.parametrize("center", [True, False])
def test_backward_is_the_central_difference(center):
    rng = np.random.default_rng(0)
    x, dy, weight, bias = rng.normal(size=(4, 7)).tolist()

    def loss(x, weight, bias):
        norm = loops.layer_norm if center else loops.rms_norm
        y = norm(x, weight, *([bias] if center else []))
        return sum(a * b for a, b in zip(dy, y, strict=True))

    if center:
        _, *statistics = loops.layer_norm_forward(x, weight, bias)
        gradient = loops.layer_norm_backward(dy, x, *statistics, weight)
    else:
        _, *statistics = loops.rms_norm_forward(x, weight)
        gradient = loops.rms_norm_backward(dy, x, *statistics, weight)
    h = 1e-6
    for k, ours in enumerate(gradient):
        for i in range(7):
            arguments = [list(x), list(weight), list(bias)]
            arguments[k][i] += h
            up = loss(*arguments)
            arguments[k][i] -= 2 * h
            down = loss(*arguments)
            assert ours[i] == pytest.approx((up - down) / (2 * h), abs=1e-8)


@given(st.integers(2, 6), st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_batch_norm_and_its_backward_are_the_definition(m, n, affine, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, m, n))
    weight, bias = rng.normal(size=(2, n)) if affine else (None, None)
    gain, shift = (None if a is None else a.tolist() for a in (weight, bias))
    y, mean, rstd = loops.batch_norm_forward(x.tolist(), gain, shift, 1e-2)
    assert y == loops.batch_norm(x.tolist(), gain, shift, 1e-2)
    ours = (y, *loops.batch_norm_backward(dy.tolist(), x.tolist(), mean, rstd, gain))
    truth = channel_norm(dy, x, labels(x.shape, "batch"), weight, bias, eps=1e-2)
    for a, b in zip(ours, truth, strict=True):
        assert np.abs(np.subtract(a, b.astype(float))).max() < 1e-12


def test_batch_norm_of_columns_is_layer_norm_of_rows():
    x = np.random.default_rng(0).normal(size=(3, 5))
    by_columns = loops.batch_norm(x.T.tolist())
    assert np.transpose(by_columns).tolist() == [
        loops.layer_norm(r) for r in x.tolist()
    ]


def test_batch_norm_of_no_rows_and_of_one():
    assert loops.batch_norm([]) == []
    assert loops.batch_norm([[3.0, 4.0]], bias=[0.5, 1.0]) == [[0.5, 1.0]]
    assert loops.batch_norm_backward([], [], [], []) == ([], [], [])


def test_missing_weight_and_bias_stand_for_ones_and_zeros():
    x = [1.0, 5.0, 2.0]
    assert loops.layer_norm(x) == loops.layer_norm(x, [1.0] * 3, [0.0] * 3)
    assert loops.rms_norm(x) == loops.rms_norm(x, [1.0] * 3)


def test_ints_tuples_and_numpy_numbers_are_numbers():
    assert loops.layer_norm((1, 2, 3)) == loops.layer_norm([1.0, 2.0, 3.0])
    assert loops.layer_norm(list(np.float32([1, 2, 3])))[1] == 0.0


def test_numpy_numbers_are_taken_as_floats():
    x = [200, 100, 250]
    for kind in (np.uint8, np.int16, np.float32):
        row = [kind(xi % 128) for xi in x]
        same = [float(xi) for xi in row]
        assert loops.rms_norm(row, eps=np.float32(0.1)) == loops.rms_norm(
            same, eps=float(np.float32(0.1))
        )
        y, *statistics = loops.layer_norm_forward(row, row, row)
        assert all(type(yi) is float for yi in (*y, *statistics))
        gradients = loops.layer_norm_backward(row, row, *map(np.float32, statistics))
        assert all(type(d) is float for g in gradients for d in g)


def test_a_row_whose_squares_overflow_is_nan_and_not_zeros():
    for y in (loops.layer_norm([1e300, -1e300]), loops.rms_norm([1e300, 1.0])):
        assert all(math.isnan(yi) for yi in y)


def test_no_feature_and_one_feature():
    assert loops.layer_norm([]) == []
    assert loops.rms_norm_backward([], [], 1.0) == ([], [])
    assert loops.layer_norm([3.0], bias=[0.5]) == [0.5]


def test_constant_row():
    assert loops.layer_norm([2.0] * 4) == [0.0] * 4
    assert all(math.isnan(y) for y in loops.layer_norm([2.0] * 4, eps=0.0))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_infinity_and_nan_propagate(bad):
    assert all(math.isnan(y) for y in loops.layer_norm([1.0, bad, 2.0]))


def test_the_default_epsilon_of_rms_norm_is_the_machine_epsilon():
    tiny = [1e-8] * 4
    expected = 1e-8 / math.sqrt(1e-16 + np.finfo(float).eps)
    assert loops.rms_norm(tiny)[0] == pytest.approx(expected, rel=1e-12)


def test_input_is_left_unchanged():
    x, weight, dy = [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]
    _, mean, rstd = loops.layer_norm_forward(x, weight)
    loops.layer_norm_backward(dy, x, mean, rstd, weight)
    assert (x, weight, dy) == ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: loops.layer_norm(np.ones(3)), TypeError, "got ndarray; for arrays"),
        (lambda: loops.layer_norm([[1.0]]), TypeError, "one that holds list"),
        (lambda: loops.layer_norm(["1"]), TypeError, "one that holds str"),
        (lambda: loops.layer_norm([True]), TypeError, "one that holds bool"),
        (lambda: loops.layer_norm([np.True_]), TypeError, "one that holds bool"),
        (lambda: loops.layer_norm([1.0], eps=True), TypeError, "number, but got bool"),
        (lambda: loops.layer_norm([10**400]), ValueError, "an int of 1329 bits"),
        (lambda: loops.layer_norm([1.0], eps=10**400), ValueError, "an int of 1329"),
        (lambda: loops.layer_norm([1.0], [1.0, 2.0]), ValueError, "as x, 1, but got 2"),
        (lambda: loops.layer_norm([1.0], None, []), ValueError, "bias to have as many"),
        (lambda: loops.layer_norm([1.0], eps=-1e-5), ValueError, "got eps = -1e-05"),
        (lambda: loops.rms_norm([1.0], eps=math.nan), ValueError, "got eps = nan"),
        (lambda: loops.layer_norm([1.0], eps="a"), TypeError, "eps to be a number"),
        (
            lambda: loops.layer_norm_backward([1.0], [1.0, 2.0], 0.0, 1.0),
            ValueError,
            "dy to have as many numbers as x, 2, but got 1",
        ),
        (
            lambda: loops.layer_norm_backward([1.0], [1.0], None, 1.0),
            TypeError,
            "mean to be a number, but got NoneType",
        ),
        (
            lambda: loops.rms_norm_backward([1.0], [1.0], [1.0]),
            TypeError,
            "rstd to be a number, but got list",
        ),
        (lambda: loops.batch_norm(np.ones((2, 2))), TypeError, "list of rows, but got"),
        (lambda: loops.batch_norm([1.0]), TypeError, "each row of x to be a list"),
        (lambda: loops.batch_norm([[1.0], []]), ValueError, "got lengths [1, 0]"),
        (lambda: loops.batch_norm([[1.0]], [1.0, 2.0]), ValueError, "1, but got 2"),
        (
            lambda: loops.batch_norm_backward([[1.0]], [[1.0], [2.0]], [0.0], [1.0]),
            ValueError,
            "dy to have as many rows as x, 2, of as many numbers, but got rows of [1]",
        ),
        (
            lambda: loops.batch_norm_backward([[1.0]], [[1.0]], [0.0, 1.0], [1.0]),
            ValueError,
            "mean to have as many numbers as x, 1, but got 2",
        ),
    ],
)
def test_bad_input_is_refused(call, kind, words):
    with pytest.raises(kind) as refusal:
        call()
    assert words in str(refusal.value)


def test_the_oracle_knows_right_from_wrong():
    x = np.random.default_rng(0).normal(size=(3, 5))
    wrong = (x - x.mean(-1, keepdims=True)) / x.std(-1, ddof=1, keepdims=True)
    assert error(wrong, forward(x, eps=0)) > 0.1
    assert error(
        [loops.layer_norm(r, eps=0) for r in x.tolist()], forward(x, eps=0)
    ) < (1e-15)
