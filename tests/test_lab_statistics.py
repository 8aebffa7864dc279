"""Statistics: against SciPy, by hand, and by how often an interval covers the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from lnlib.lab import statistics


def draws(n, seed=0, **options):
    return np.random.default_rng(seed).normal(size=n, **options)


def test_iqm_is_the_mean_of_the_middle_half():
    values = draws(40)
    assert statistics.iqm(values) == pytest.approx(np.sort(values)[10:30].mean())
    assert statistics.iqm([0.0, 1.0, 2.0, 1e9]) == 1.5


def test_geometric_mean_is_that_of_logarithms():
    values = np.exp(draws(10) * 20)
    assert statistics.geometric_mean(values) == pytest.approx(stats.gmean(values))
    assert statistics.geometric_mean([2.0]) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="Expected values above 0, but got 0"):
        statistics.geometric_mean([1.0, 0.0])


def test_the_interval_is_that_of_scipy():
    values = draws(12)
    found = statistics.interval(values, level=0.9, seed=5, resamples=500)
    wanted = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=0.9,
        n_resamples=500,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert (found.low, found.high) == (wanted.low, wanted.high)
    assert found.estimate == values.mean() and found.n == 12 and found.level == 0.9
    again = statistics.interval(values, level=0.9, seed=5, resamples=500)
    assert again == found


def test_other_statistics_have_intervals_too():
    values = draws(30)
    found = statistics.interval(values, statistics.iqm, resamples=300)
    assert found.low < found.estimate == statistics.iqm(values) < found.high


def test_equal_values_have_no_spread():
    found = statistics.interval([0.25] * 10)
    assert (found.low, found.estimate, found.high) == (0.25, 0.25, 0.25)
    almost = statistics.interval([1.0, 1.0, 1.0, 2.0], np.median, resamples=99)
    assert almost.low <= almost.estimate <= almost.high


def test_paired_is_the_t_test_of_differences():
    a, b = draws(9), draws(9, seed=1)
    found = statistics.paired(a, b, level=0.99)
    wanted = stats.ttest_rel(a, b).confidence_interval(0.99)
    assert found.low == pytest.approx(wanted.low)
    assert found.high == pytest.approx(wanted.high)
    assert found.dz == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert found.wins == (a > b).sum()


def test_pairs_remove_what_both_share():
    shared = 100 * draws(10)
    found = statistics.paired(shared + 1 + 0.01 * draws(10, 1), shared)
    assert 0.9 < found.low < found.high < 1.1 and found.wins == 10


def test_equal_differences_are_that_number():
    found = statistics.paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert (found.low, found.high, found.dz) == (0.5, 0.5, math.inf)
    assert statistics.paired([1.0, 2.0], [1.0, 2.0]).dz == 0.0
    assert statistics.paired([1.0, 2.0], [2.0, 3.0]).dz == -math.inf


def test_tost_says_how_surely_two_are_the_same():
    a = draws(20)
    b = a + 0.05 * draws(20, seed=1)
    assert statistics.tost(a, b, 0.1) < 0.001 < 0.5 < statistics.tost(a, b + 0.2, 0.1)
    # At the margin itself chance decides: half of the time p is above one half.
    d = statistics.paired(a, b).estimate
    assert statistics.tost(a - d + 0.1, b, 0.1) == pytest.approx(0.5)
    assert statistics.tost([1.0, 2.0], [1.0, 2.0], 0.1) == 0.0
    assert statistics.tost([1.0, 2.0], [2.0, 3.0], 0.1) == 1.0


def test_how_often_intervals_cover_the_truth():
    """What the docstrings say of ten values; 600 draws know it within 0.03."""
    bootstrap = student = 0
    for seed in range(600):
        values = draws(10, seed)
        found = statistics.interval(values, resamples=199)
        bootstrap += found.low <= 0 <= found.high
        found = statistics.paired(values, np.zeros(10))
        student += found.low <= 0 <= found.high
    assert 0.86 < bootstrap / 600 < 0.94
    assert 0.92 < student / 600 < 0.98


@pytest.mark.parametrize(
    "bad", [[1.0], [], [1.0, math.nan], [[1.0, 2.0]], [1.0, math.inf]]
)
def test_values_that_say_nothing_are_refused(bad):
    for call in (statistics.interval, statistics.iqm):
        with pytest.raises(ValueError, match="Expected values"):
            call(bad)
    with pytest.raises(ValueError, match="Expected a"):
        statistics.paired(bad, bad)


def test_bad_options_are_refused():
    for level in (0, 1, 95, math.nan):
        with pytest.raises(ValueError, match="level to be between 0 and 1, but got"):
            statistics.interval([1.0, 2.0], level=level)
        with pytest.raises(ValueError, match="level to be between 0 and 1, but got"):
            statistics.paired([1.0, 2.0], [1.0, 2.0], level=level)
    with pytest.raises(ValueError, match="Expected pairs, but got 2 and 3 numbers"):
        statistics.paired([1.0, 2.0], [1.0, 2.0, 3.0])
    for margin in (0, -1, math.nan):
        with pytest.raises(ValueError, match="margin to be above 0"):
            statistics.tost([1.0, 2.0], [1.0, 2.0], margin)


def test_an_interval_is_written_for_a_reader():
    found = statistics.Interval(0.12345, 0.1, 0.15, 0.95, 10)
    assert str(found) == "0.1235 [0.1, 0.15] (95 %, n = 10)"
