"""Rules of the claims on batches, streams, shifts, generalization and convolutions.

Each takes the table of an experiment and returns a `Verdict`. The bars are those that
the experiments state; `SPREAD_BAR` alone was set when the table's means were known.
"""

import dataclasses
import math

import numpy as np

from lnlib.lab import derivations, evidence, rules
from lnlib.lab.rules import (
    CONDITIONAL,
    DOES_NOT_HOLD,
    HOLDS,
    NO,
    OPEN,
    REVERSED,
    UNCLEAR,
    YES,
    Verdict,
)
from lnlib.lab.statistics import Interval

ERROR_BAR = 0.01  # a difference of test errors
COMPANIONS_BAR = 0.01  # a dependence on companions
HARM_BAR = 0.02  # a difference of the harm that a shift does
GAP_BAR = 0.05  # a difference of losses, in nats
SPREAD_BAR = 1.5  # a ratio of standard deviations
WRONG = 0.3  # a test error: above it a run of varying_repeat has gone wrong

RECURRENT = (
    "of the literature: with layer norm an attentive reader ended better than with two "
    "forms of recurrent batch norm [ba2016layer]; that batch norm makes an LSTM better "
    "than none [cooijmans2017recurrent] does not speak against it"
)

SHIFTS = (
    "contrast",
    "offset",
    "inverted",
    "noise",
    "gains",
    "outlier",
    "moved",
    "blurred",
    "classes",
)
DRIFTS = ("contrast_drift", "offset_drift", "gains_drift")
INDEPENDENT = ("instance", "group", "layer")  # norms of one example each


# ---------------------------------------------------------------- batch_size


def worse_when_smaller(table, norm, bar=ERROR_BAR):
    """At which batch sizes the test error is higher than at the largest.

    Args:
        table: `Evidence` with the factors norm and batch_size.
        norm: the arm that is looked at.
        bar: how much higher matters.

    Returns:
        A dict from batch size to `Answer`, with a confidence of 95 % over all.
    """
    arm = table.where(stage="test", norm=norm)
    largest = max(arm.levels("batch_size"))
    sizes = [size for size in arm.levels("batch_size") if size != largest]
    level = 1 - 0.05 / len(sizes)
    return {
        size: rules.improves(
            arm, "test_error", largest, size, "batch_size", bar, level=level
        )
        for size in sizes
    }


def batch_norm_is_sensitive(table):
    """L-07: with batch norm a smaller batch gives a higher error, somewhere."""
    return rules.somewhere(worse_when_smaller(table, "batch"))


def layer_norm_is_not_sensitive(table):
    """L-48: the layer does not see the batch, and no smaller one gives a worse result.

    Conditional if some size surely does by more than the bar, and open while it is not
    sure of each that it does not.
    """
    layer = derivations.rows_are_independent()
    if layer.verdict != HOLDS:
        return layer
    answers = worse_when_smaller(table, "layer")
    given = {answer.answer for answer in answers.values()}
    why = f"the layer: {layer.why}; test errors, smaller against largest batch: " + (
        rules.everywhere(answers).why
    )
    if rules.YES in given:
        return Verdict(CONDITIONAL, why)
    return Verdict(OPEN if rules.UNCLEAR in given else HOLDS, why)


def batch_norm_is_random(table):
    """L-12: with batch norm an output depends on chance companions, somewhere."""
    return rules.somewhere(
        rules.across(
            table.where(stage="test", norm=["batch", "layer"]),
            "batch_size",
            lambda part, level: rules.better(
                part, "companions", "layer", "batch", margin=COMPANIONS_BAR, level=level
            ),
            [
                size
                for size in table.levels("batch_size")
                if size in table.where(norm="batch").levels("batch_size")
            ],
        )
    )


def spread_ratio(a, b, level=0.95):
    """By what factor pairs of values spread more on one side than on the other.

    Args:
        a, b: finite numbers, at least 4 each; a[i] and b[i] belong together.
        level: the confidence.

    Returns:
        An `Interval` of the ratio of the standard deviations, of a over that of b. It
        is exact for pairs from a normal distribution, correlated or not. Where b does
        not vary at all it is infinite, and where neither does it is 1.

    Raises:
        ValueError: there are fewer numbers, not as many of one as of the other, or one
            is not finite.

    Source: Pitman 1939, "A Note on Normal Correlation", and Morgan 1939, both in
    Biometrika 31.

    >>> print(spread_ratio([0.0, 4.0, 2.0, 8.0, 6.0], [2.0, 1.0, 3.0, 2.0, 1.0]))
    3.78 [1.029, 13.89] (95 %, n = 5)
    """
    from scipy import stats

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 4:
        raise ValueError(
            f"Expected at least 4 pairs, but got shapes {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Expected finite numbers, but got some that are not")
    n = len(a)
    spread_a, spread_b = a.std(ddof=1), b.std(ddof=1)
    if not spread_b:
        ratio = math.inf if spread_a else 1.0
        return Interval(ratio, ratio, ratio, level, n)
    if not spread_a:
        return Interval(0.0, 0.0, 0.0, level, n)
    r = np.corrcoef(a, b)[0, 1]
    t = stats.t.ppf((1 + level) / 2, n - 2)
    k = 1 + 2 * (1 - r**2) * t**2 / (n - 2)
    reach = math.sqrt(k + math.sqrt(max(k**2 - 1, 0.0)))
    ratio = float(spread_a / spread_b)
    return Interval(ratio, ratio / reach, ratio * reach, level, n)


def spread_more(table, norm="batch", bar=SPREAD_BAR):
    """At which batch sizes test errors vary more over the seeds than at the largest.

    Args:
        table: `Evidence` of batch_size.
        norm: the arm that is looked at.
        bar: the ratio of standard deviations that matters.

    Returns:
        A dict from batch size to `Answer`: YES where the whole interval of the ratio is
        above the bar, NO where it is below. 95 % over all.
    """
    arm = table.where(stage="test", norm=norm)
    *sizes, largest = sorted(arm.levels("batch_size"))
    answers = {}
    for size in sizes:
        pair = arm.paired("test_error", "batch_size", size, largest)
        if not np.isfinite(pair).all():
            answers[size] = rules.Answer(rules.UNCLEAR, "a test error is not finite")
            continue
        found = spread_ratio(*pair, level=1 - 0.05 / len(sizes))
        answer = rules.UNCLEAR
        if found.low > bar:
            answer = rules.YES
        elif found.high < bar:
            answer = rules.NO
        why = f"standard deviation of test_error against {largest}: times {found}"
        answers[size] = rules.Answer(answer, why)
    return answers


def batch_norm_varies_more(table):
    """L-87: with batch norm errors vary more from seed to seed at some small size."""
    return rules.somewhere(spread_more(table))


# ---------------------------------------------------------------- stream


def single_examples(table):
    """Whether layer norm is better than both ways of batch norm with single examples.

    Returns:
        A dict from the way to `Answer`, 95 % over both.
    """
    arms = table.where(stage="test", stream="single")
    ways = {"waits for a batch": "batch", "running statistics": "running"}
    return {
        way: rules.improves(
            arms, "test_error", "layer", than, margin=ERROR_BAR, level=0.975
        )
        for way, than in ways.items()
    }


def batch_norm_is_worse_online(table):
    """L-13: worse with single examples, and in recurrent networks.

    The table has the first half. Of the second there is a published comparison; batch
    norm can be made to help there too, but nobody says that it was better.

    Source: Ba et al. 2016, section 6.2; Cooijmans et al. 2017.
    """
    answers = {f"single examples, {w}": a for w, a in single_examples(table).items()}
    answers["recurrent networks"] = rules.Answer(YES, RECURRENT)
    return rules.everywhere(answers)


def share_above_half(count, total, level):
    """Whether something is so in more than half of all cases, from how often it was.

    Args:
        count: in how many cases it was so.
        total: how many there were, at least 0.
        level: the confidence of the interval of Clopper and Pearson, which decides.

    Returns:
        An `Answer`: YES if the whole interval of the share is above one half, NO if
        below, UNCLEAR otherwise, and where there were no cases.

    Raises:
        ValueError: count is not from 0 to total.

    >>> share_above_half(9, 60, 0.95)
    Answer(answer='no', why='9 of 60, 0.07 to 0.27 (95 %)')
    """
    from scipy import stats

    if not 0 <= count <= total:
        raise ValueError(f"Expected count to be from 0 to {total}, but got {count}")
    if not total:
        return rules.Answer(UNCLEAR, "none of 0")
    low, high = stats.binomtest(int(count), int(total)).proportion_ci(level, "exact")
    why = f"{count} of {total}, {low:.2f} to {high:.2f} ({100 * level:g} %)"
    if low > 0.5:
        return rules.Answer(YES, why)
    return rules.Answer(NO if high < 0.5 else UNCLEAR, why)


def advantage_when_batches_vary(table):
    """Whether layer norm has an advantage in batches of varying size, in two senses.

    Args:
        table: `Evidence` of varying_repeat.

    Returns:
        A dict to `Answer`, 95 % over both. `as a rule`: layer norm is better by more
        than the bar in more than half of the runs. `now and then`: of the seeds of
        which one run alone went wrong, it was batch norm's in more than half; REVERSED
        where it was layer norm's.
    """
    arms = table.where(stage="test", stream="varying")
    batch, layer = arms.paired("test_error", "norm", "batch", "layer")
    if not np.isfinite([batch, layer]).all():
        missing = rules.Answer(UNCLEAR, "a test error is not finite")
        return {"as a rule": missing, "now and then": missing}
    often = share_above_half((batch - layer > ERROR_BAR).sum(), len(batch), 0.975)
    wrong = batch > WRONG, layer > WRONG
    alone = (wrong[0] & ~wrong[1]).sum(), (wrong[1] & ~wrong[0]).sum()
    seldom = share_above_half(alone[0], sum(alone), 0.975)
    why = (
        f"runs above {WRONG}: {wrong[0].sum()} with batch norm, {wrong[1].sum()} with "
        f"layer norm; batch norm's alone in {seldom.why}"
    )
    answer = REVERSED if seldom.answer == NO else seldom.answer
    return {
        "as a rule": dataclasses.replace(
            often, why=f"layer norm better in {often.why}"
        ),
        "now and then": rules.Answer(answer, why),
    }


def better_when_batches_vary(table):
    """L-49: with batches of varying size layer norm has an advantage."""
    return rules.everywhere(advantage_when_batches_vary(table))


# ---------------------------------------------------------------- shift


def less_harm(table, changes, arm="layer", than="none", bar=HARM_BAR):
    """For which changes of the inputs an arm is harmed less than another.

    Args:
        table: `Evidence` of shift.
        changes: names of the harms that are looked at.
        arm, than: the two arms.
        bar: the difference of harms that matters.

    Returns:
        A dict from change to `Answer`, 95 % over all.
    """
    table = table.where(stage="test", arm=[arm, than])
    level = 1 - 0.05 / len(changes)
    return {
        name: rules.improves(table, name, arm, than, "arm", bar, level=level)
        for name in changes
    }


def shifts_do_less_harm(table):
    """L-44: whatever shifts the inputs does less harm with layer norm than without."""
    return rules.everywhere(less_harm(table, SHIFTS))


def drifts_do_less_harm(table):
    """L-45: whatever drift there is does less harm with layer norm than without."""
    return rules.everywhere(less_harm(table, DRIFTS))


# ---------------------------------------------------------------- generalization


def better_on_each(table, metric, bar, than="none"):
    """On which data sets layer norm has a lower measurement than another arm.

    Args:
        table: `Evidence` of generalization.
        metric: the measurement.
        bar: the difference that matters.
        than: the other arm.

    Returns:
        A dict from data set to `Answer`, 95 % over all.
    """
    return rules.across(
        table.where(stage="test"),
        "data",
        lambda part, level: rules.improves(
            part, metric, "layer", than, margin=bar, level=level
        ),
    )


def generalizes_better(table):
    """L-43: at the same training loss the test error is lower with layer norm."""
    return rules.everywhere(better_on_each(table, "error_at", ERROR_BAR))


def ends_more_accurate(table):
    """L-52: at the end of the training the test error is lower with layer norm."""
    return rules.everywhere(better_on_each(table, "test_error", ERROR_BAR))


def overfits_less(table):
    """L-54: the test loss is less far above the training loss with layer norm."""
    return rules.everywhere(better_on_each(table, "gap", GAP_BAR))


# ---------------------------------------------------------------- convolution


def against(table, arm, than):
    """Whether an arm of convolution is better than another, for each batch size.

    Returns:
        A dict from batch size to `Answer`, 95 % over all.
    """
    return rules.across(
        table.where(stage="test"),
        "batch_size",
        lambda part, level: rules.improves(
            part, "test_error", arm, than, margin=ERROR_BAR, level=level
        ),
    )


def better_than_independent(table):
    """Whether batch norm is better than each norm of single examples.

    Returns:
        A dict from "instance, batches of 2" and so on to `Answer`, 95 % over all.
    """
    table = table.where(stage="test")
    sizes = table.levels("batch_size")
    level = 1 - 0.05 / (len(sizes) * len(INDEPENDENT))
    return {
        f"{than}, batches of {size}": rules.improves(
            table.where(batch_size=size),
            "test_error",
            "batch",
            than,
            margin=ERROR_BAR,
            level=level,
        )
        for size in sizes
        for than in INDEPENDENT
    }


def helps_by_dependence(table, again=None):
    """L-11: batch norm helps, and norms without dependence between examples do not.

    It does not hold where batch norm does not help, or where a norm of single examples
    is surely not worse than it: what does without the dependence is not due to it.

    Args:
        table: `Evidence` of convolution.
        again: that of convolution_repeat, which takes the place of the comparison with
            instance norm in batches of 32; by default the library's.
    """
    helps = rules.everywhere(against(table, "batch", "none"))
    why = f"batch against none: {helps.why}"
    if helps.verdict not in (HOLDS, CONDITIONAL):
        return Verdict(helps.verdict, why)
    answers = better_than_independent(table)
    try:
        again = evidence.load("convolution_repeat") if again is None else again
    except evidence.EvidenceError as error:
        return Verdict(OPEN, str(error))
    answers["instance, batches of 32"] = rules.improves(
        again.where(stage="test", batch_size=32),
        "test_error",
        "batch",
        "instance",
        margin=ERROR_BAR,
        level=1 - 0.05 / len(answers),
    )
    given = {answer.answer for answer in answers.values()}
    why += f"; batch against norms of one image: {rules.everywhere(answers).why}"
    if rules.NO in given or rules.REVERSED in given:
        return Verdict(DOES_NOT_HOLD, why)
    return Verdict(OPEN if rules.UNCLEAR in given else helps.verdict, why)


def improves_convolutions(table):
    """L-55: with layer norm after each convolution the test error is lower.

    The claim is above all on very deep networks, which the table has none of.
    """
    answers = against(table, "layer", "none")
    answers["very deep networks"] = rules.Answer(rules.UNCLEAR, "not in this table")
    return rules.everywhere(answers)
