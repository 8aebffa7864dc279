"""The published mistakes: each is the mistake it says it is, on every array library.

Every mistake has a twin here, written straight from its description in NumPy. The
twins share nothing with `lnlib.mistakes`; tests/test_diagnosis.py diagnoses them too.
"""

import inspect
import math

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracle import error
from twins import BACKWARD, FORWARD

import lnlib
from lnlib import functional, mistakes, pages
from lnlib.errors import ShapeError
from lnlib.mistakes import MISTAKES, combined, named

FORWARD_MISTAKES = [m for m in MISTAKES if m.kind == "forward"]
BACKWARD_MISTAKES = [m for m in MISTAKES if m.kind == "backward"]
LIBRARIES = {
    "numpy": np.asarray,
    "torch": torch.asarray,
    "jax": jnp.asarray,
    "strict": array_api_strict.asarray,
}


def names(found):
    return [m.name for m in found]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def jax_float64():
    with jax.enable_x64(True):
        yield


def arguments(rng, shape, row, dtype=np.float64):
    x = (rng.standard_normal(shape) + 1).astype(dtype)
    weight, bias = rng.standard_normal((2, *row)).astype(dtype)
    return x, row, weight, bias


# ------------------------------------------------------------ the collection


def test_the_mistakes_that_were_asked_for_are_there():
    asked = {
        "bessel_correction",
        "eps_outside_root",
        "eps_missing",
        "one_pass_variance",
        "statistics_over_sequence",
        "statistics_over_batch",
        "divide_by_variance",
        "affine_first",
        "scalar_gain",
        "gradient_without_mean_terms",
        "low_precision_accumulation",
        "group_norm_one_group",
    }
    assert asked <= set(names(MISTAKES))
    assert len(set(names(MISTAKES))) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=names(MISTAKES))
def test_each_says_what_where_how_large_and_what_instead(mistake):
    assert getattr(mistakes, mistake.name) is mistake.function
    assert named(mistake.name) is mistake
    assert mistake.kind in ("forward", "backward")
    assert mistake.loses in ("definition", "digits")
    for sentence in (mistake.wrong, mistake.repair):
        assert sentence[0].isupper() and sentence.endswith(".")
    assert mistake.published
    for source in mistake.published:
        assert source.title and source.address.startswith("https://")
    assert ">>>" in mistake.function.__doc__


def test_a_source_of_something_else_than_wrong_code_says_so():
    """A reader who follows the link has to find there what the title promises."""
    titles = {s.address: s.title for m in MISTAKES for s in m.published}
    github = "https://github.com/"
    for address, words in {
        "szymanowiczs/viewset-diffusion/issues/1": "right code",
        "Kyubyong/transformer/issues/40": "right code",
        "google/objax/pull/94": "starting values",
        "pytorch/pytorch/pull/69071": "not merged",
    }.items():
        assert words in titles[github + address]
    corpus = named("elementwise_gradient").published[0]
    assert "no address of its own" in corpus.title
    first = [m.published[0] for m in MISTAKES]  # what a report and the table name
    assert not any("right code" in s.title for s in first)


@pytest.mark.parametrize("mistake", MISTAKES, ids=names(MISTAKES))
def test_the_effect_is_measured_and_not_small(mistake):
    effect = mistake.effect()
    # Of the two that lose digits slowly the effect is far above one rounding.
    assert effect.number > (1e-5 if mistake.loses == "digits" else 0.05)
    assert str(effect) == f"{effect.number:.2g}: {effect.meaning}"


def test_effects_that_follow_from_the_formula():
    def number(name):
        return named(name).effect().number

    assert number("bessel_correction") == pytest.approx(1 - math.sqrt(3 / 4), rel=1e-5)
    # At sigma = 0.001 and eps = 1e-5: sqrt(sigma² + eps) over sigma + eps.
    ratio = math.sqrt(1e-6 + 1e-5) / (1e-3 + 1e-5)
    assert number("eps_outside_root") == pytest.approx(ratio - 1, rel=1e-9)
    assert number("eps_missing") == number("eps_lost_in_half") == 1
    assert number("divide_by_variance") == pytest.approx(
        1 - 1 / math.sqrt(3.5), rel=1e-5
    )
    # 4096 ones in float16 stop at 2048.
    assert number("low_precision_accumulation") == 0.5
    # 1000² is infinite in float16, so every output is 0.
    assert number("low_precision_statistics") == 1


def test_unknown_name():
    with pytest.raises(KeyError, match=r"one of bessel_correction, .* but got 'typo'"):
        named("typo")


def test_signatures_are_those_of_the_right_functions():
    for mistake in MISTAKES:
        right = lnlib.layer_norm
        if mistake.kind == "backward":
            right = lnlib.layer_norm_backward
        assert inspect.signature(mistake.function) == inspect.signature(right)


def test_the_source_shows_the_part_that_is_wrong():
    shown = pages.source(mistakes.bessel_correction)
    assert "n - 1" in shown and '@_instead_of("variance")' in shown
    assert len(shown.splitlines()) < 8


# ------------------------------------------------------------ what they compute


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_a_mistake_it_is_layer_norm(rng, library, dtype, jax_float64):
    x, row, weight, bias = arguments(rng, (2, 3, 4), (3, 4), dtype)
    x, weight, bias = map(LIBRARIES[library], (x, weight, bias))
    for given in ((weight, bias), (weight, None), (None, bias), (None, None)):
        y = combined()(x, row, *given)
        assert y.dtype == x.dtype
        # The library multiplies by rstd where the parts divide: a rounding apart.
        tight = {"rtol": 4 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}
        np.testing.assert_allclose(
            np.asarray(y), np.asarray(lnlib.layer_norm(x, row, *given)), **tight
        )


@pytest.mark.parametrize("mistake", FORWARD_MISTAKES, ids=names(FORWARD_MISTAKES))
@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5), (2, 3, 4, 5), (5,)])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_equal_to_its_twin(rng, mistake, shape, eps):
    x, row, weight, bias = arguments(rng, shape, (5,))
    for given in ((weight, bias), (None, None)):
        y = mistake.function(x, row, *given, eps)
        with np.errstate(all="ignore"):
            twin = FORWARD[mistake.name](x, row, *given, eps)
        np.testing.assert_allclose(y, twin, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mistake", FORWARD_MISTAKES, ids=names(FORWARD_MISTAKES))
def test_equal_to_its_twin_on_rows_of_two_axes(rng, mistake):
    given = arguments(rng, (2, 5, 3, 4), (3, 4))
    with np.errstate(all="ignore"):
        twin = FORWARD[mistake.name](*given, 1e-5)
    np.testing.assert_allclose(mistake.function(*given), twin, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mistake", FORWARD_MISTAKES, ids=names(FORWARD_MISTAKES))
def test_a_definition_is_another_and_digits_are_lost(rng, mistake):
    given = arguments(rng, (2, 3, 4, 5), (4, 5))
    same = error(mistake.function(*given), lnlib.layer_norm(*given)) < 1e-12
    assert same == (mistake.loses == "digits")


@pytest.mark.parametrize("mistake", BACKWARD_MISTAKES, ids=names(BACKWARD_MISTAKES))
@pytest.mark.parametrize("affine", [True, False])
def test_gradient_equal_to_its_twin(rng, mistake, affine):
    x, row, weight, _ = arguments(rng, (3, 4, 5), (5,))
    weight = weight if affine else None
    dy = rng.standard_normal(x.shape)
    _, mean, rstd = lnlib.layer_norm_forward(x, row, weight)
    found = mistake.function(dy, x, row, mean, rstd, weight)
    twin = BACKWARD[mistake.name](dy, x, row, mean, rstd, weight)
    right = lnlib.layer_norm_backward(dy, x, row, mean, rstd, weight)
    for a, b in zip(found, twin, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    same = all(np.allclose(a, b, rtol=1e-9) for a, b in zip(found, right, strict=True))
    assert same == (mistake.loses == "digits")


@pytest.mark.parametrize("mistake", BACKWARD_MISTAKES, ids=names(BACKWARD_MISTAKES))
def test_gradients_that_are_not_wanted_are_none(rng, mistake):
    x, row, weight, _ = arguments(rng, (3, 5), (5,))
    _, mean, rstd = lnlib.layer_norm_forward(x, row, weight)
    for i in range(3):
        mask = tuple(i == j for j in range(3))
        found = mistake.function(x, x, row, mean, rstd, weight, mask)
        assert tuple(d is not None for d in found) == mask


@pytest.mark.parametrize("library", ["torch", "jax", "strict"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=names(MISTAKES))
def test_the_same_on_every_library(rng, library, mistake):
    x, row, weight, bias = arguments(rng, (3, 4, 5), (5,), np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    to = LIBRARIES[library]

    def run(to):
        if mistake.kind == "forward":
            return [mistake.function(to(x), row, to(weight), to(bias))]
        _, mean, rstd = lnlib.layer_norm_forward(to(x), row)
        return mistake.function(to(dy), to(x), row, mean, rstd, to(weight))

    for a, b in zip(run(to), run(np.asarray), strict=True):
        assert type(a) is type(to(x)) and a.dtype == to(x).dtype
        np.testing.assert_allclose(np.asarray(a), b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mistake", FORWARD_MISTAKES, ids=names(FORWARD_MISTAKES))
def test_half_precision_comes_back(mistake, dtype):
    torch.manual_seed(0)
    x = torch.randn(3, 5, dtype=dtype)
    y = mistake.function(x, (5,), torch.ones(5, dtype=dtype))
    assert y.dtype == dtype and y.shape == x.shape


@pytest.mark.parametrize("mistake", FORWARD_MISTAKES, ids=names(FORWARD_MISTAKES))
def test_bad_input_is_refused_as_layer_norm_refuses_it(mistake):
    with pytest.raises(ShapeError, match="expected input with shape"):
        mistake.function(np.ones((2, 3)), (4,))
    with pytest.raises(TypeError, match="Expected input to be an array"):
        mistake.function([1.0, 2.0], (2,))
    with pytest.raises(ValueError, match="Expected eps to be at least 0"):
        mistake.function(np.ones((2, 3)), 3, eps=-1.0)


def test_no_warning_of_numpy_comes_out(rng, recwarn):
    for mistake in FORWARD_MISTAKES:
        mistake.function(np.zeros((2, 4), np.float16), 4, eps=0.0)
    assert not recwarn.list


# ------------------------------------------------------------ together


def test_two_at_once_are_the_annotated_transformer(rng):
    x, row, weight, bias = arguments(rng, (3, 5), (5,))
    norm = combined(mistakes.bessel_correction, mistakes.eps_outside_root)
    x_ = torch.asarray(x)
    theirs = weight * (x_ - x_.mean(-1, keepdim=True)).numpy()
    theirs = theirs / (x_.std(-1, keepdim=True).numpy() + 1e-6) + bias
    np.testing.assert_allclose(norm(x, row, weight, bias, 1e-6), theirs, rtol=1e-12)
    assert norm.__name__ == "bessel_correction + eps_outside_root"


def test_what_cannot_be_combined():
    with pytest.raises(ValueError, match="got two in 'rescale'"):
        combined(mistakes.eps_missing, mistakes.eps_outside_root)
    with pytest.raises(TypeError, match="but got 'layer_norm'"):
        combined(functional.layer_norm)
    with pytest.raises(TypeError, match="Expected forward mistakes"):
        combined(mistakes.uncentred_gradient)


def test_a_gain_of_the_mean_is_a_scalar_gain_too(rng):
    x, row, weight, bias = arguments(rng, (3, 5), (5,))
    (variant,) = named("scalar_gain").variants
    expected = lnlib.layer_norm(x, row) * weight.mean() + bias.mean()
    np.testing.assert_allclose(variant(x, row, weight, bias), expected, rtol=1e-12)
    np.testing.assert_allclose(variant(x, row), lnlib.layer_norm(x, row), rtol=1e-12)
