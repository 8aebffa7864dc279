"""Few runs, honest intervals: bootstrap, paired differences, equivalence.

SciPy does the mathematics; what is added is a plain answer where its answer would be
NaN, as for values that are all equal.
"""

import dataclasses
import math
import warnings

import numpy as np


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        estimate, low, high: floats.
        level: the confidence, from 0 to 1.
        n: how many values it is made of.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int

    def __str__(self):
        return (
            f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"
            f" ({100 * self.level:.4g} %, n = {self.n})"
        )


@dataclasses.dataclass(frozen=True)
class Paired(Interval):
    """A mean difference of pairs and its interval.

    Attributes:
        dz: Cohen's d of pairs, the mean difference over the standard deviation of the
            differences; infinite if they are all equal and not 0.
        wins: in how many pairs the difference is above 0.
    """

    dz: float
    wins: int


def _finite(values, least=2, name="values"):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"Expected {name} to be at least {least} numbers in one row, but got "
            f"shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"Expected {name} to be finite, but got {values}")
    return values


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"Expected level to be between 0 and 1, but got {level}")


def iqm(values):
    """The interquartile mean: the mean of the middle half.

    Between mean and median: as little moved by one bad run as the one, and using more
    of the runs than the other.

    Args:
        values: at least 2 finite numbers.

    Raises:
        ValueError: there are fewer, or one is not finite.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
    Statistical Precipice", arXiv:2108.13264, section 4.3; there over runs and tasks.

    >>> iqm([1.0, 2.0, 3.0, 100.0])
    2.5
    """
    from scipy import stats

    return float(stats.trim_mean(_finite(values), 0.25))


def geometric_mean(values):
    """The mean of magnitudes that differ by orders, such as norms of gradients.

    Args:
        values: at least 1 number, each finite and above 0.

    Raises:
        ValueError: there is none, or one is not finite or not above 0.

    >>> round(geometric_mean([1e-4, 1e4]), 12)
    1.0
    """
    values = _finite(values, least=1)
    if (values <= 0).any():
        raise ValueError(f"Expected values above 0, but got {values.min()}")
    return float(np.exp(np.log(values).mean()))


def interval(values, statistic=np.mean, level=0.95, seed=0, resamples=9999):
    """A bootstrap interval, bias-corrected and accelerated.

    Made for drawing. With ten values it is a little narrow: it covers the mean of a
    normal distribution in some 90 of 100 cases and not in 95. So rules decide by
    `paired`, which is exact there; the tests measure both.

    Args:
        values: at least 2 finite numbers, one a run.
        statistic: called with an array and `axis`, such as `numpy.mean`, or with an
            array alone, such as `iqm`.
        level: the confidence.
        seed: of the resampling.
        resamples: how many.

    Returns:
        An `Interval`. Of values that are all equal it is that value alone.

    Raises:
        ValueError: there are fewer values, one is not finite, or level is not between
            0 and 1.

    Source: Efron 1987, "Better Bootstrap Confidence Intervals".

    >>> print(interval([0.9, 1.0, 1.1, 1.0, 1.2, 0.8]))
    1 [0.8833, 1.1] (95 %, n = 6)
    """
    from scipy import stats

    values = _finite(values)
    _check_level(level)
    estimate = float(statistic(values))
    if (values == values[0]).all():
        return Interval(estimate, estimate, estimate, level, len(values))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # It warns where its answer is NaN, which is seen below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (values,),
            statistic,
            confidence_level=level,
            n_resamples=resamples,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if math.isnan(low) or math.isnan(high):  # a statistic that no single value moves
        low = high = estimate
    return Interval(estimate, low, high, level, len(values))


def paired(a, b, level=0.95):
    """The mean of a - b over pairs, with Student's interval.

    A pair is two runs of one seed: the same data, the same initial weights, the same
    order. What the seed does to both cancels.

    Args:
        a, b: finite numbers, at least 2 each, as many of one as of the other.
        level: the confidence.

    Returns:
        A `Paired`. Of differences that are all equal the interval is that one number.

    Raises:
        ValueError: lengths differ, there are fewer, one is not finite, or level is not
            between 0 and 1.

    >>> print(paired([1.0, 2.0, 3.0], [0.9, 1.8, 2.7]))
    0.2 [-0.04841, 0.4484] (95 %, n = 3)
    """
    from scipy import stats

    a, b = _finite(a, name="a"), _finite(b, name="b")
    _check_level(level)
    if len(a) != len(b):
        raise ValueError(f"Expected pairs, but got {len(a)} and {len(b)} numbers")
    d = a - b
    mean, spread, n = float(d.mean()), float(d.std(ddof=1)), len(d)
    if (d == d[0]).all():
        spread = 0.0
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * spread / math.sqrt(n)
    dz = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    return Paired(mean, mean - reach, mean + reach, level, n, dz, int((d > 0).sum()))


def tost(a, b, margin):
    """How surely two arms are the same within a margin: two one-sided tests of pairs.

    Args:
        a, b: as in `paired`.
        margin: above 0; how large a difference would matter, fixed before looking.

    Returns:
        The p-value: how likely pairs like these are if the true mean difference is
        margin or more, in the less favourable direction.

    Raises:
        ValueError: as `paired`, or margin is not above 0.

    Source: Schuirmann 1987, "A Comparison of the Two One-Sided Tests Procedure and the
    Power Approach for Assessing the Equivalence of Average Bioavailability".

    >>> tost([1.0, 1.1, 0.9, 1.0], [1.01, 1.08, 0.9, 1.0], margin=0.1) < 0.01
    True
    """
    from scipy import stats

    if not margin > 0:
        raise ValueError(f"Expected margin to be above 0, but got {margin}")
    difference = paired(a, b)
    if difference.low == difference.high:
        return 0.0 if abs(difference.estimate) < margin else 1.0
    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    above = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(d, margin, alternative="less").pvalue
    return float(max(above, below))
