"""Expectations over normal numbers: against closed forms and against sampling."""

import math

import numpy as np
import pytest

from lnlib.lab import meanfield


def relu(z):
    return np.maximum(z, 0)


def step(z):
    return 1.0 * (z > 0)


def test_means_are_the_closed_forms():
    assert meanfield.mean(lambda z: np.ones_like(z)) == pytest.approx(1, abs=1e-13)
    assert meanfield.mean(relu) == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-13)
    assert meanfield.mean(lambda z: z**4) == pytest.approx(3, abs=1e-12)
    # E cos(z) is the characteristic function at 1.
    assert meanfield.mean(np.cos) == pytest.approx(math.exp(-0.5), abs=1e-13)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_gain_of_a_relu_does_not_depend_on_the_scale(scale):
    assert meanfield.gradient_gain(relu, step, scale) == pytest.approx(1)
    centred = meanfield.gradient_gain(relu, step, scale, centred=True)
    assert centred == pytest.approx(math.pi / (math.pi - 1))


def test_gain_of_a_saturating_activation_depends_on_it():
    def slope(z):
        return 1 / np.cosh(z) ** 2

    small, large = (meanfield.gradient_gain(np.tanh, slope, s) for s in (0.1, 3.0))
    assert small == pytest.approx(1, abs=0.01)  # almost linear
    assert large > 1.5
    sampled = np.random.default_rng(0).normal(size=200_000) * 3.0
    by_hand = 9 * (slope(sampled) ** 2).mean() / (np.tanh(sampled) ** 2).mean()
    assert large == pytest.approx(by_hand, rel=0.02)


def test_cosine_of_a_relu_is_the_arc_cosine_kernel():
    c = np.array([[-1.0, -0.7, 0.0], [0.3, 0.99, 1.0]])
    closed = (np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi
    found = meanfield.next_cosine(relu, c)
    assert found.shape == c.shape
    np.testing.assert_allclose(found, closed, atol=1e-9)


def test_cosine_of_an_odd_activation_and_of_a_centred_one_keeps_zero():
    assert float(meanfield.next_cosine(np.tanh, 0.0)) == pytest.approx(0, abs=1e-12)
    assert float(meanfield.next_cosine(np.tanh, -1.0)) == pytest.approx(-1)
    assert float(meanfield.next_cosine(relu, 0.0, centred=True)) == pytest.approx(
        0, abs=1e-12
    )
    assert float(meanfield.next_cosine(relu, 1.0, centred=True)) == pytest.approx(1)


def test_cosine_against_sampling():
    rng = np.random.default_rng(0)
    u, w = rng.normal(size=(2, 400_000))
    f, c = (lambda z: z / (1 + np.exp(-z))), 0.6
    sampled = (f(u) * f(c * u + 0.8 * w)).mean() / (f(u) ** 2).mean()
    assert float(meanfield.next_cosine(f, c)) == pytest.approx(sampled, abs=0.01)


def test_what_is_refused():
    with pytest.raises(ValueError, match="Expected scale to be above 0, but got 0"):
        meanfield.gradient_gain(relu, step, 0)
    with pytest.raises(ValueError, match="Expected cosines from -1 to 1, but got"):
        meanfield.next_cosine(relu, 1.5)
