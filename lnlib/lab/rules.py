"""Rules: from evidence to an answer, and from answers to a verdict.

A comparison answers one question about two arms, and has four answers, since "not
shown" is not "no":

- YES: the effect is there, larger than the margin;
- NO: it is surely not; whatever difference there is is within the margin;
- REVERSED: the opposite is there, larger than the margin;
- UNCLEAR: noise could hide either.

A claim has one of five verdicts, or it is open. One that is made without a condition
has to be shown wherever it was asked. Shown here and not there it is conditional,
whether it was surely not so there or just not shown. Surely not so somewhere, and shown
nowhere, it does not hold. It is open if nothing was shown either way.
"""

import dataclasses

import numpy as np

from lnlib.lab import statistics

YES, NO, REVERSED, UNCLEAR = "yes", "no", "reversed", "unclear"

HOLDS = "holds"
CONDITIONAL = "conditional"
DOES_NOT_HOLD = "does not hold"
WRONG = "wrong as stated"
NOT_TESTABLE = "not testable"
OPEN = "open"
VERDICTS = (HOLDS, CONDITIONAL, DOES_NOT_HOLD, WRONG, NOT_TESTABLE, OPEN)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a comparison says.

    Attributes:
        answer: one of the four.
        why: the numbers, in words.
        effect: the `Interval` that was looked at; None where there is none.
        margin: what it was held against: effects within it do not matter. For a
            comparison with a bar, `effect` is the distance from the bar, and margin 0.
    """

    answer: str
    why: str
    effect: object = dataclasses.field(default=None, compare=False, repr=False)
    margin: float = dataclasses.field(default=0.0, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a rule says of a claim.

    Attributes:
        verdict: one of `VERDICTS`.
        why: the reasons, in words.
        answers: the answers it rests on, a dict from a condition to an `Answer`; empty
            where it rests on something else.
    """

    verdict: str
    why: str
    answers: dict = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(
                f"Expected a verdict, one of {', '.join(VERDICTS)}, but got "
                f"{self.verdict!r}"
            )


def _differences(evidence, metric, arm, than, factor, lower, level):
    ours, theirs = evidence.paired(metric, factor, arm, than)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    gain = (theirs, ours) if lower else (ours, theirs)
    return statistics.paired(*gain, level=level)


def _why(found, arm, than, metric):
    return f"{metric}, {arm} against {than}: better by {found}"


def better(
    evidence, metric, arm, than, factor="norm", margin=0.0, lower=True, level=0.95
):
    """Whether an arm is better than another, by more than a margin.

    Args:
        evidence: `Evidence` with one row a seed and arm.
        metric: the measurement that is compared.
        arm, than: two levels of `factor`.
        factor: what tells the arms apart.
        margin: the smallest difference that matters, at least 0, fixed beforehand.
        lower: whether low is good.
        level: the confidence of the interval that decides.

    Returns:
        An `Answer`: YES if the whole interval of the paired differences lies above
        margin, REVERSED if below -margin, NO if within, UNCLEAR otherwise, and where a
        value is missing or not finite.

    Raises:
        ValueError: as `Evidence.paired`, or margin is below 0.

    >>> from lnlib.lab.evidence import Evidence
    >>> rows = [{"norm": n, "seed": s, "error": e + s / 100}
    ...         for n, e in (("layer", 0.1), ("none", 0.3)) for s in range(5)]
    >>> better(Evidence.of(rows, ["norm"]), "error", "layer", "none", margin=0.1).answer
    'yes'
    """
    if not margin >= 0:
        raise ValueError(f"Expected margin to be at least 0, but got {margin}")
    found = _differences(evidence, metric, arm, than, factor, lower, level)
    if found is None:
        return Answer(UNCLEAR, f"{metric} of {arm} or {than} is not a finite number")
    if found.low > margin:
        answer = YES
    elif found.high < -margin:
        answer = REVERSED
    else:
        within = found.low >= -margin and found.high <= margin
        answer = NO if within else UNCLEAR
    return Answer(answer, _why(found, arm, than, metric), found, margin)


def improves(
    evidence, metric, arm, than, factor="norm", margin=0.0, lower=True, level=0.95
):
    """Whether an arm is better by more than a margin, where only that is asked.

    `better` leaves it unclear whether an arm is the same or worse, if an interval
    reaches from the one to the other. For a claim that an arm is better that makes no
    difference: it is surely not.

    Args:
        evidence, metric, arm, than, factor, margin, lower, level: as in `better`.

    Returns:
        An `Answer`: as `better`, but NO in the place of UNCLEAR where the whole
        interval lies at the margin or below.

    Raises:
        ValueError: as `better`.

    >>> from lnlib.lab.evidence import Evidence
    >>> rows = [{"norm": n, "seed": s, "error": e}
    ...         for n, es in (("layer", (0.1, 0.3)), ("none", (0.1, 0.1)))
    ...         for s, e in enumerate(es * 8)]
    >>> table = Evidence.of(rows, ["norm"])
    >>> better(table, "error", "layer", "none", margin=0.05).answer
    'unclear'
    >>> improves(table, "error", "layer", "none", margin=0.05).answer
    'no'
    """
    answer = better(evidence, metric, arm, than, factor, margin, lower, level)
    surely_not = answer.effect is not None and answer.effect.high <= margin
    if answer.answer == UNCLEAR and surely_not:
        return dataclasses.replace(answer, answer=NO)
    return answer


def equivalent(evidence, metric, arm, than, margin, factor="norm", alpha=0.05):
    """Whether two arms are the same within a margin, by two one-sided tests.

    Args:
        evidence, metric, arm, than, factor: as in `better`.
        margin: above 0; the smallest difference that matters, fixed beforehand.
        alpha: how often two arms that differ by the margin may pass for the same.

    Returns:
        An `Answer`: YES if the same, NO if they surely differ by more than the margin,
        UNCLEAR otherwise.

    Raises:
        ValueError: as `Evidence.paired`, or margin is not above 0.

    >>> from lnlib.lab.evidence import Evidence
    >>> rows = [{"norm": n, "seed": s, "error": 0.1 + s / 100}
    ...         for n in ("layer", "rms") for s in range(5)]
    >>> equivalent(Evidence.of(rows, ["norm"]), "error", "layer", "rms", 0.01).answer
    'yes'
    """
    if not margin > 0:
        raise ValueError(f"Expected margin to be above 0, but got {margin}")
    # Both tests pass at alpha just when the interval of 1 - 2 alpha is within.
    found = _differences(evidence, metric, arm, than, factor, True, 1 - 2 * alpha)
    if found is None:
        return Answer(UNCLEAR, f"{metric} of {arm} or {than} is not a finite number")
    p = statistics.tost(*evidence.paired(metric, factor, arm, than), margin)
    if p < alpha:
        answer = YES
    else:
        apart = found.low > margin or found.high < -margin
        answer = NO if apart else UNCLEAR
    return Answer(answer, _why(found, arm, than, metric), found, margin)


def across(evidence, factor, compare, levels=None, confidence=0.95):
    """Make a comparison at each level of a factor.

    The confidence holds for all the answers together: each is made with an error of
    (1 - confidence) / number of levels (Bonferroni).

    Args:
        evidence: `Evidence`.
        factor: the factor to go through.
        compare: called with the evidence of a level and with the confidence to use;
            returns an `Answer`.
        levels: those to go through; by default all.
        confidence: of all together.

    Returns:
        A dict from level to `Answer`.
    """
    levels = evidence.levels(factor) if levels is None else list(levels)
    if not levels:
        raise ValueError("Expected at least one level, but got none")
    each = 1 - (1 - confidence) / len(levels)
    return {v: compare(evidence.where(**{factor: v}), each) for v in levels}


def everywhere(answers, otherwise=DOES_NOT_HOLD):
    """The verdict on a claim that is said without a condition.

    Args:
        answers: a dict from a condition to an `Answer`, or a single `Answer`.
        otherwise: the verdict where it is YES nowhere and surely not so somewhere.

    Returns:
        A `Verdict`: holds if YES everywhere; conditional if YES here and anything else
        there; `otherwise` if YES nowhere and NO or REVERSED somewhere; open if UNCLEAR
        everywhere.

    >>> print(everywhere({2: Answer(YES, "a"), 128: Answer(NO, "b")}).verdict)
    conditional
    """
    if isinstance(answers, Answer):
        answers = {"": answers}
    given = [answer.answer for answer in answers.values()]
    why = "; ".join(
        f"{f'{at}: ' if at != '' else ''}{a.answer} ({a.why})"
        for at, a in answers.items()
    )
    if YES in given:
        verdict = HOLDS if set(given) == {YES} else CONDITIONAL
    else:
        verdict = OPEN if set(given) <= {UNCLEAR} else otherwise
    return Verdict(verdict, why, dict(answers))


def somewhere(answers, otherwise=DOES_NOT_HOLD):
    """The verdict on a claim that something can happen: one case shows it.

    Args:
        answers, otherwise: as in `everywhere`.

    Returns:
        A `Verdict`: holds if YES anywhere; open if not, and an answer is UNCLEAR;
        `otherwise` if NO or REVERSED everywhere.
    """
    verdict = everywhere(answers, otherwise)
    given = [a.answer for a in answers.values()]
    if YES in given:
        return dataclasses.replace(verdict, verdict=HOLDS)
    if UNCLEAR in given:  # it may be so there
        return dataclasses.replace(verdict, verdict=OPEN)
    return verdict


def checked(truths, verdict=HOLDS, otherwise=OPEN):
    """The verdict of a derivation whose steps are checked in numbers.

    Args:
        truths: a dict from what is checked, a phrase with its numbers, to whether it
            came true.
        verdict: what follows if all did.
        otherwise: what follows if one did not. By default the claim is then open: the
            derivation, or the library, is wrong.

    Returns:
        A `Verdict`.

    Raises:
        ValueError: there is nothing to check.

    >>> checked({"1 + 1 is 2": 1 + 1 == 2}).verdict
    'holds'
    >>> checked({"1 + 1 is 3": 1 + 1 == 3})
    Verdict(verdict='open', why='not so: 1 + 1 is 3')
    """
    if not truths:
        raise ValueError("Expected at least one check, but got none")
    failed = [what for what, true in truths.items() if not true]
    if failed:
        return Verdict(otherwise, "not so: " + "; ".join(failed))
    return Verdict(verdict, "; ".join(truths))


def above(evidence, metric, bar, level=0.95):
    """Whether the mean of a measurement is above a bar.

    Args:
        evidence: `Evidence` with one row a seed.
        metric: the measurement.
        bar: a number, fixed beforehand.
        level: the confidence of Student's interval, which decides.

    Returns:
        An `Answer`: YES if the whole interval lies above the bar, NO if below, UNCLEAR
        otherwise, and where a value is missing or not finite.

    Raises:
        ValueError: there is no such measurement, or fewer than two rows.

    >>> from lnlib.lab.evidence import Evidence
    >>> rows = [{"norm": "layer", "seed": s, "error": 0.1 + s / 100} for s in range(5)]
    >>> above(Evidence.of(rows, ["norm"]), "error", 0.05).answer
    'yes'
    """
    values = evidence.values(metric)
    if not np.isfinite(values).all():
        return Answer(UNCLEAR, f"{metric} is not a finite number")
    found = statistics.paired(values, np.zeros_like(values), level)
    why = f"{metric} {found}"
    over = statistics.paired(values, np.full_like(values, bar), level)
    if found.low > bar:
        return Answer(YES, why, over)
    if found.high < bar:
        return Answer(NO, why, over)
    return Answer(UNCLEAR, why, over)
