"""Rules that need no training: a statement about the layer, checked in numbers.

Each function returns the `Verdict` that its checks give, with the numbers. The inputs
are made here from a fixed seed, in float64 where nothing else is said. A check of an
equality allows the rounding of a few operations, 1e-12.

Where all checks pass, the derivation stands, and with it the verdict. Where one fails,
the derivation or the library is at fault, and the claim is open.
"""

import math

import numpy as np

import lnlib
from lnlib.lab.rules import CONDITIONAL, DOES_NOT_HOLD, HOLDS, WRONG, checked

CLOSE = 1e-12


def _rows(n=6, d=8, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, (n, d))


def _layer(x, eps=0.0):
    return lnlib.standardize(x, -1, eps)[0]  # (N, d) -> (N, d), over features


def _batch(x, eps=0.0):
    return lnlib.standardize(x, 0, eps)[0]  # (N, d) -> (N, d), over examples


def _gap(a, b):
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


def _same(a, b):
    return _gap(a, b) < CLOSE


# ---------------------------------------------------------------- batch norm


def batch_statistics_are_half():
    """Subtract the mean, divide by the deviation: training's half of batch norm."""
    x = _rows()
    alone = lnlib.standardize(x[:1], 0, 1e-5)[0]
    return checked(
        {
            "(x - mean) / std over the batch is batch norm in training": _same(
                _batch(x), (x - x.mean(0)) / x.std(0)
            ),
            "a batch of one becomes all zeros, so inference needs other statistics": (
                _gap(alone, 0.0) == 0.0
            ),
        },
        CONDITIONAL,
    )


def batch_order_is_not_it():
    """Order within a batch changes nothing; the company an example is in does."""
    x, order = _rows(), np.random.default_rng(1).permutation(6)
    company = np.concatenate([x[:1], _rows(5, 8, seed=2)])
    moved = _gap(_batch(x)[0], _batch(company)[0])
    return checked(
        {
            "batch norm of a permuted batch is the permuted batch norm": _same(
                _batch(x[order]), _batch(x)[order]
            ),
            f"the same example in other company moves by {moved:.2f}": moved > 0.1,
            "layer norm is moved by neither": _same(_layer(company)[0], _layer(x)[0]),
        },
        WRONG,
    )


def batch_norm_folds():
    """At inference batch norm is an affine map, which the layer before can take in."""
    rng = np.random.default_rng(3)
    x, w, b = _rows(), rng.normal(size=(8, 8)), rng.normal(size=8)
    mean, var, gain, bias = rng.normal(size=8), rng.uniform(1, 2, 8), w[0], w[1]
    scale = gain / np.sqrt(var + 1e-5)
    apart = (x @ w.T + b - mean) * scale + bias
    folded = x @ (w * scale[:, None]).T + (b - mean) * scale + bias
    doubled = _layer(2 * (x @ w.T))
    return checked(
        {
            "linear, then batch norm with fixed statistics, is one linear layer": _same(
                apart, folded
            ),
            "no linear map gives the same for a doubled input; layer norm does": _same(
                doubled, _layer(x @ w.T)
            )
            and _gap(doubled, 0.0) > 0.1,
        },
        CONDITIONAL,
    )


# ---------------------------------------------------------------- what it is


def rows_are_independent():
    """The norm of a row depends on that row alone."""
    x = _rows()
    y = x.copy()
    y[3] = 100.0
    others = [0, 1, 2, 4, 5]
    return checked(
        {
            "another row leaves the other outputs the same, bit for bit": bool(
                (_layer(x, 1e-5)[others] == _layer(y, 1e-5)[others]).all()
            ),
            "a batch of one gives what the batch gives, bit for bit": bool(
                (_layer(x[2:3], 1e-5) == _layer(x, 1e-5)[2:3]).all()
            ),
        }
    )


def over_features():
    """Over the features of an example, where batch norm goes over the examples."""
    x = _rows()
    return checked(
        {
            "each row of layer norm has mean 0": _same(_layer(x).mean(1), 0.0),
            "each column of batch norm has mean 0": _same(_batch(x).mean(0), 0.0),
            "the columns of layer norm have not": _gap(_layer(x).mean(0), 0.0) > 0.1,
            "layer norm is batch norm of the transpose": _same(
                _layer(x), _batch(x.T).T
            ),
        }
    )


def not_over_neurons():
    """One mean for each neuron is batch norm; layer norm has one for each example."""
    x = _rows(3, 4)
    mean = lnlib.standardize(x, -1)[1]
    each_neuron = (x - x.mean(0)) / x.std(0)
    return checked(
        {
            "three examples of four neurons have three means, not four": mean.size == 3,
            "statistics of each neuron give batch norm": _same(each_neuron, _batch(x)),
            f"which is off layer norm by {_gap(each_neuron, _layer(x)):.2f}": _gap(
                each_neuron, _layer(x)
            )
            > 0.1,
        },
        WRONG,
    )


def zero_mean_unit_variance():
    """Exactly so without eps and gain and bias; and the shape stays what it was."""
    x = np.random.default_rng(4).lognormal(size=(5, 64))
    z = _layer(x)
    small = 1e-3 * (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    share = _layer(small, 1e-5).var(1)
    gained = lnlib.layer_norm(x, (64,), np.linspace(1, 2, 64), np.ones(64), 0.0)
    return checked(
        {
            "mean 0 and variance 1 at eps = 0": _same(z.mean(1), 0.0)
            and _same(z.var(1), 1.0),
            "with eps the variance is var / (var + eps), 0.091 at std 1e-3": _same(
                share, 1e-6 / (1e-6 + 1e-5)
            ),
            "after gain and bias it is neither": _gap(gained.mean(1), 0.0) > 0.1
            and _gap(gained.var(1), 1.0) > 0.1,
            "the skewness of a row is what it was": _same(
                (z**3).mean(1),
                ((x - x.mean(1, keepdims=True)) ** 3).mean(1) / x.std(1) ** 3,
            ),
        },
        CONDITIONAL,
    )


def formula_is_right():
    """mu, sigma squared and y as printed are what the library computes."""
    x, eps = _rows(), 1e-5
    d = x.shape[1]
    y = []
    for row in x.tolist():
        mu = sum(row) / d
        var = sum((v - mu) ** 2 for v in row) / d
        y.append([(v - mu) / math.sqrt(var + eps) for v in row])
    ratio = _layer(x) * x.std(1, keepdims=True) / x.std(1, ddof=1, keepdims=True)
    return checked(
        {
            "the formula, number by number, is layer norm": _same(y, _layer(x, eps)),
            "dividing by d - 1 instead shrinks it by sqrt((d - 1) / d)": _same(
                ratio, _layer(x) * math.sqrt((d - 1) / d)
            ),
        },
        HOLDS,
        DOES_NOT_HOLD,
    )


def gain_is_per_feature():
    """One gamma and beta for all features is less than the layer has."""
    x, gain = _rows(), np.linspace(0.5, 2.0, 8)
    y = lnlib.layer_norm(x, (8,), gain, None, 0.0)
    z = _layer(x)
    best = float((y * z).sum() / (z * z).sum())  # least squares
    return checked(
        {
            "with one number for gamma and beta the formula is right": _same(
                lnlib.layer_norm(x, (8,), np.full(8, 2.0), np.full(8, 3.0), 0.0),
                2 * z + 3,
            ),
            "no one number does what eight do": _gap(y, best * z) > 0.1,
        },
        CONDITIONAL,
    )


def final_formula_is_right():
    """y = gamma (x - mu) / sqrt(var + eps) + beta, and its gradient."""
    rng = np.random.default_rng(5)
    x, gain, bias, dy = (rng.normal(size=s) for s in ((3, 8), 8, 8, (3, 8)))
    y, mean, rstd = lnlib.layer_norm_forward(x, (8,), gain, bias)
    dx = lnlib.layer_norm_backward(dy, x, (8,), mean, rstd, gain)[0]
    by_hand = (
        gain * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    )
    h = 1e-6
    numeric = np.empty_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = h
        up, down = (lnlib.layer_norm(x + s, (8,), gain, bias) for s in (step, -step))
        numeric[at] = ((up - down) * dy).sum() / (2 * h)
    return checked(
        {
            "the formula is what the library computes": _same(y, by_hand + bias),
            "its gradient is that of central differences, to 1e-8": _gap(dx, numeric)
            < 1e-8,
        },
        HOLDS,
        DOES_NOT_HOLD,
    )


def neurons_are_weighted_sums():
    """A layer computed neuron by neuron is the layer."""
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=5), rng.normal(size=(3, 5))
    one = [max(0.0, sum(a * b for a, b in zip(x, row, strict=True))) for row in w]
    return checked(
        {"weighted sum, then activation": _same(one, np.maximum(w @ x, 0.0))}
    )


def cannot_be_undone():
    """Inputs that differ in offset and scale come out the same."""
    x = _rows()
    y = 3.0 * x + 7.0
    rng = np.random.default_rng(7)
    gain, bias = rng.normal(size=8), rng.normal(size=8)
    out = [lnlib.layer_norm(v, (8,), gain, bias, 0.0) for v in (x, y)]
    restored = _batch(x) * x.std(0) + x.mean(0)
    return checked(
        {
            "x and 3 x + 7 give the same output, with any gain and bias": _same(*out),
            "though they differ, so nothing after it can tell them apart": _gap(x, y)
            > 1,
            "batch norm with fixed statistics can be undone by gain and bias": _same(
                restored, x
            ),
        },
        WRONG,
    )


def magnitude_is_lost():
    """What is carried in the size of a vector does not come through."""
    x = _rows()
    return checked(
        {"2 x gives the output of x": _same(_layer(2 * x), _layer(x))}, HOLDS
    )


def is_no_reparameterization():
    """No weights without the norm do what weights with it do."""
    rng = np.random.default_rng(8)
    w, x, y = rng.normal(size=(8, 8)), _rows(1), _rows(1, 8, 1)

    def f(v):
        return _layer(v @ w.T)

    return checked(
        {
            "a linear map of 2 x is twice that of x; here it is the same": _same(
                f(2 * x), f(x)
            ),
            f"f(x + y) is off f(x) + f(y) by {_gap(f(x + y), f(x) + f(y)):.2f}": _gap(
                f(x + y), f(x) + f(y)
            )
            > 0.1,
        }
    )


def is_nonlinear():
    """A linear layer with layer norm separates what a linear layer cannot: XOR."""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([-1.0, 1.0, 1.0, -1.0])
    # Features s, -s and 1/2 with s = x1 + x2 - 1: where s is 0, the third stands alone.
    s = x.sum(1) - 1.0
    z = _layer(np.stack([s, -s, np.full(4, 0.5)], 1))
    linear = np.linalg.lstsq(np.c_[x, np.ones(4)], y, rcond=None)[0]
    best = np.c_[x, np.ones(4)] @ linear
    return checked(
        {
            "the best linear map of XOR is 0 everywhere": _same(best, 0.0),
            "linear, layer norm, linear gets all four right": bool(
                (np.sign(z[:, 2] - 0.9) == y).all()
            ),
        }
    )


def family_identities():
    """The members of the family that are one another."""
    x = np.random.default_rng(9).normal(size=(3, 4, 2, 2))  # N C H W

    def norm(v, axes):
        return lnlib.standardize(v, axes, 1e-5)[0]

    one_group = norm(x.reshape(3, 1, 4, 2, 2), (2, 3, 4)).reshape(x.shape)
    c_groups = norm(x.reshape(3, 4, 1, 2, 2), (2, 3, 4)).reshape(x.shape)
    return checked(
        {
            "one group: group norm is layer norm over C, H, W": _same(
                one_group, norm(x, (1, 2, 3))
            ),
            "C groups: group norm is instance norm": _same(c_groups, norm(x, (2, 3))),
            "one example: batch norm is instance norm": _same(
                norm(x[:1], (0, 2, 3)), norm(x[:1], (2, 3))
            ),
            "layer norm over C alone is none of them": _gap(
                norm(x, (1,)), norm(x, (1, 2, 3))
            )
            > 0.1,
        }
    )


def one_scale_for_all_features():
    """All features of an example are scaled by the same number."""
    x = _rows()
    ratio = _layer(x) / (x - x.mean(1, keepdims=True))
    return checked({"the scale is the same along a row": _same(ratio, ratio[:, :1])})


def simple_to_write():
    """Five lines are the whole forward pass."""

    def five_lines(x, weight, bias, eps):
        mean = x.mean(-1, keepdims=True)
        centred = x - mean
        variance = (centred * centred).mean(-1, keepdims=True)
        xhat = centred / np.sqrt(variance + eps)
        return xhat * weight + bias

    x, w, b = _rows(), np.linspace(1, 2, 8), np.ones(8)
    there = lnlib.layer_norm(x, (8,), w, b)
    return checked(
        {"five lines give layer norm": _same(five_lines(x, w, b, 1e-5), there)}
    )


# ---------------------------------------------------------------- epsilon


def eps_is_for_stability():
    """A constant row is 0 / 0 without eps, and 0 with it."""
    x = np.full((1, 4), 3.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = _layer(x, 0.0)
    return checked(
        {
            "a constant row is NaN at eps = 0": bool(np.isnan(without).all()),
            "and 0 at eps = 1e-5": _gap(_layer(x, 1e-5), 0.0) == 0.0,
            "eps changes the function: at std 1e-3 it shrinks outputs 3.3 times": 3.2
            < 1 / float(_layer(1e-3 * _layer(_rows()), 1e-5).std())
            < 3.4,
        }
    )


def eps_guards_the_division():
    """It is the division that fails at 0, not the computation of the deviation."""
    x = np.random.default_rng(10).normal(1e4, 1.0, 1024).astype(np.float32)
    one_pass = float(np.mean(x * x) - np.mean(x) ** 2)
    two_pass = float(np.mean((x - np.mean(x)) ** 2))
    constant = np.full(4, 3.0)
    return checked(
        {
            "the deviation of a constant row is 0, computed in two passes": (
                constant.std() == 0.0
            ),
            f"what loses it is one pass: {one_pass:.3g} for {two_pass:.3g} in float32 "
            "at mean 1e4": abs(one_pass - two_pass) > 0.5,
            "and 1e-8 does not mend that": abs(one_pass + 1e-8 - two_pass) > 0.5,
        },
        CONDITIONAL,
    )


def _largest(d, scale, eps=0.0):
    x = np.zeros((1, d))
    x[0, 0] = scale
    return float(np.abs(_layer(x, eps)).max())


def outputs_are_bounded():
    """However small the deviation, no output exceeds sqrt(d - 1): Samuelson."""
    many = np.random.default_rng(11).standard_t(1, (1000, 16))  # outliers all over
    largest = float(np.abs(_layer(many)).max())
    bound = math.sqrt(15)
    return checked(
        {
            f"of 1000 heavy-tailed rows none exceeds sqrt(15) = {bound:.3f}": largest
            <= bound + CLOSE,
            "a row with one number apart attains it": _same(_largest(16, 1.0), bound),
            "as well at a deviation of 1e-100": _same(_largest(16, 4e-100), bound),
        },
        WRONG,
    )


def overflow_where():
    """Small deviations do not overflow; 0 / 0 and squares in half precision do."""
    x = np.float16(300.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        square = x * x
        constant = _layer(np.zeros((1, 4)), 0.0)
    tiny = lnlib.standardize(np.array([[0, 0, 0, 1e-18]], dtype=np.float32), -1, 0.0)[0]
    return checked(
        {
            "float32 at a deviation of 1e-18 is finite": bool(np.isfinite(tiny).all()),
            "a constant row is NaN": bool(np.isnan(constant).all()),
            "the square of 300 is infinite in float16": bool(np.isinf(square)),
        },
        CONDITIONAL,
    )


def eps_does_not_limit_the_size():
    """The size is bounded without it; what eps bounds is the gradient."""
    verdict = outputs_are_bounded()

    def slope(eps):
        # Central differences at a constant row: dy = (I - 11'/d) dx / sqrt(eps).
        h = 1e-9
        step = np.array([[h, -h, 0.0, 0.0]])
        return float(_layer(step, eps)[0, 0] - _layer(-step, eps)[0, 0]) / (2 * h)

    return checked(
        {
            "the size is bounded by sqrt(d - 1) at eps = 0": verdict.verdict == WRONG,
            "with eps under the root the gradient is 1 / sqrt(eps)": math.isclose(
                slope(1e-5), 1e5**0.5, rel_tol=1e-6
            ),
            "outside the root it would be 1 / eps, another layer": math.isclose(
                (1e-9 / (math.sqrt(0.5) * 1e-9 + 1e-5)) / 1e-9, 1e5, rel_tol=1e-3
            ),
        },
        WRONG,
    )


def eps_1e_8_is_not_safe():
    """1e-8 is 0 in half precision, does nothing in single, and changes small inputs."""
    zeros = np.zeros(4, dtype=np.float16)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = zeros / np.sqrt(zeros.var(dtype=np.float16) + np.float16(1e-8))
    small = 1e-4 * _layer(_rows())
    return checked(
        {
            "1e-8 is 0 in float16": float(np.float16(1e-8)) == 0.0,
            "layer norm of zeros, computed in float16, is NaN with it": bool(
                np.isnan(half).all()
            ),
            "1 + 1e-8 is 1 in float32": float(np.float32(1) + np.float32(1e-8)) == 1.0,
            "at std 1e-4 it shrinks outputs by 0.707": _same(
                _layer(small, 1e-8).std(1), math.sqrt(0.5)
            ),
        },
        DOES_NOT_HOLD,
    )


def eps_does_nothing_else():
    """It shrinks a row by one number: no sign changes, no parameter is added."""
    x = _rows()
    y, z = _layer(x, 0.1), _layer(x)
    factor = x.std(1, keepdims=True) / np.sqrt(x.var(1, keepdims=True) + 0.1)
    return checked(
        {
            "eps multiplies a row by sigma / sqrt(sigma^2 + eps)": _same(y, z * factor),
            "each row has outputs below 0": bool((y.min(1) < 0).all()),
            "its outputs span what they spanned": np.linalg.matrix_rank(y)
            == np.linalg.matrix_rank(z),
        }
    )


# ---------------------------------------------------------------- uses and limits


def outliers():
    """An outlying example does not reach others; an outlying feature does."""
    d = 64
    unit = _layer(np.random.default_rng(12).normal(size=(64, d)))
    seen = {}
    for k in (10.0, 100.0):
        feature, example = unit.copy(), unit.copy()
        # A feature that is 0 apart from the outlier, so that the formula is exact.
        feature = np.concatenate([np.zeros((64, 1)), unit[:, 1:]], 1)
        spread = feature[:, 1:] - feature[:, 1:].mean(1, keepdims=True)
        feature[:, 1:] = spread
        before = feature.var(1)
        feature[:, 0] = k
        after = _layer(feature)[:, 1:].std(1)
        theory = np.sqrt((spread**2).mean(1) / (before + k * k * (d - 1) / d**2))
        seen[f"a feature of {k:.0f} shrinks the others to {after.mean():.3f}"] = _same(
            after, theory
        ) and bool((after < 0.7).all())
        example[0] += k * unit[1]
        seen[f"an example {k:.0f} times as large changes no other, layer norm"] = bool(
            (_layer(example)[1:] == _layer(unit)[1:]).all()
        )
        others = float(_batch(example)[1:].std())
        seen[f"and shrinks the others to {others:.2f} in batch norm"] = others < 0.8
    return checked(seen, CONDITIONAL)


def moves_nothing_along_a_sequence():
    """Pointwise in the position: what happens at one is not seen at another."""
    x = _rows(10)  # ten positions of one sequence
    order = np.random.default_rng(13).permutation(10)
    y = x.copy()
    y[7] += np.arange(8)
    others = np.arange(10) != 7
    return checked(
        {
            "layer norm of a reordered sequence is the reordered layer norm": bool(
                (_layer(x[order], 1e-5) == _layer(x, 1e-5)[order]).all()
            ),
            "a change at one position changes no other": bool(
                (_layer(y, 1e-5)[others] == _layer(x, 1e-5)[others]).all()
            ),
        },
        WRONG,
    )


def stores_nothing():
    """What it has seen before makes no difference."""
    x = _rows()
    before = _layer(x, 1e-5)
    for seed in range(20):
        _layer(100 * _rows(seed=seed), 1e-5)
    return checked(
        {
            "after twenty other batches the output is the same": bool(
                (_layer(x, 1e-5) == before).all()
            )
        },
        WRONG,
    )


def not_on_the_logits():
    """Without gain, layer norm of the logits bounds how sure a classifier can be."""
    k = 10
    logits = np.zeros((1, k))
    logits[0, 0] = 1e6  # as sure as can be
    z = _layer(logits)[0]
    p = float(np.exp(z[0]) / np.exp(z).sum())
    top = math.sqrt(k - 1)
    bound = math.exp(top) / (math.exp(top) + (k - 1) * math.exp(-1 / top))
    return checked(
        {
            f"of {k} classes none can have more than {bound:.3f}": _same(p, bound),
            f"so the loss stays above {-math.log(bound):.3f}": -math.log(p) > 0.27,
        },
        CONDITIONAL,
    )


def common_scale_is_per_feature():
    """Scaling a data set goes over examples; layer norm of the input does not do it."""
    x = _rows(50, 4) * np.array([1.0, 1.0, 1.0, 1000.0])
    scaled, normed = _batch(x).std(0), _layer(x).std(0)
    return checked(
        {
            "each feature over the data set: all have spread 1": _same(scaled, 1.0),
            "layer norm of each example: one feature still has "
            f"{normed.max() / normed.min():.0f} times the spread of another": (
                normed.max() > 2 * normed.min()
            ),
        }
    )


def gradients_update_weights():
    """Gradient descent subtracts the gradient, times a rate."""
    w, x, y, rate = np.array([1.0, -2.0]), np.array([3.0, 1.0]), 2.0, 0.01

    def loss(v):
        return float((v @ x - y) ** 2)

    gradient = 2 * (w @ x - y) * x
    return checked(
        {
            "a step against the gradient lowers the loss": loss(w - rate * gradient)
            < loss(w)
        }
    )
