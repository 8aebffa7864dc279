"""Rules of the claims on training: from tables to verdicts.

Of covariate shift, convergence, the landscape of the loss, and what a neuron receives.
The bars are those that the experiments say were fixed before looking.
"""

import math

import numpy as np

from lnlib.lab import rules, statistics
from lnlib.lab.rules import (
    DOES_NOT_HOLD,
    HOLDS,
    NO,
    OPEN,
    REVERSED,
    UNCLEAR,
    YES,
    Answer,
    Verdict,
)

ERROR_BAR = 0.01  # of test errors
LOOKS = 3  # at covariate_shift, as it says
SHIFT_BAR = 0.1  # decades of how much distributions change
STEPS_BAR = math.log10(1.1)  # decades of steps
STEP_COST = 2.0  # by which factor a step with layer norm may take longer
CHANGE_BAR = 0.1  # decades of how much a gradient changes
CHANGES = ("log_change", "log_change_rate", "log_change_loss")
SPREAD_BAR = 0.05  # decades of how much a neuron's input varies


def less_shift_explains(answers):
    """What four comparisons say of: a norm helps because less changes.

    Args:
        answers: a dict from each of these to an `Answer`:
            "helps": the norm gives a better result than no norm;
            "less": distributions change less with it than without;
            "more": with noise after the norm they change more than without a norm;
            "keeps": with the noise the result is still better than without a norm.

    Returns:
        A `Verdict`: does not hold if the norm does not help; if it helps and less does
        not change; or if it helps, and helps with the noise, too, while more changes.
        Holds if it helps, less changes, and with the noise more changes and nothing
        helps. Open otherwise.
    """
    why = "; ".join(f"{k}: {a.answer} ({a.why})" for k, a in answers.items())
    helps, less, more, keeps = (
        answers[k].answer for k in ("helps", "less", "more", "keeps")
    )
    not_so = (NO, REVERSED)
    if helps in not_so:
        return Verdict(DOES_NOT_HOLD, why)
    if helps == YES and (less in not_so or more == keeps == YES):
        return Verdict(DOES_NOT_HOLD, why)
    if helps == less == more == YES and keeps in not_so:
        return Verdict(HOLDS, why)
    return Verdict(OPEN, why)


def shift_answers(table, norm="layer", noisy="unsteady"):
    """The four comparisons of covariate_shift, 95 % over all of them and three looks.

    Args:
        table: `Evidence` of covariate_shift.
        norm: the arm with the norm.
        noisy: the arm with noise after it.

    Returns:
        A dict as `less_shift_explains` takes it.
    """
    table = table.where(stage="test")
    level = 1 - 0.05 / (4 * LOOKS)

    def better(metric, arm, than, bar):
        return rules.improves(table, metric, arm, than, margin=bar, level=level)

    return {
        "helps": better("test_error", norm, "none", ERROR_BAR),
        "less": better("log_shift", norm, "none", SHIFT_BAR),
        "more": better("log_shift", "none", noisy, SHIFT_BAR),
        "keeps": better("test_error", noisy, "none", ERROR_BAR),
    }


def helps_by_less_shift(table):
    """L-41: layer norm helps because activations change their distribution less."""
    return less_shift_explains(shift_answers(table))


def fewer_steps(table, than, arm="layer", factor=1.1, level=0.95):
    """Whether an arm reaches the loss in fewer steps than another, by a factor.

    A run that did not reach it counts as one that took all steps. It would have taken
    more, so an answer that more steps could change is unclear.

    Args:
        table: `Evidence` of convergence, of one optimizer and the stage "test".
        than: the other arm.
        arm: the arm that is to be faster.
        factor: by how much, at least 1.
        level: the confidence.

    Returns:
        An `Answer`: YES if surely fewer by that factor, REVERSED if surely more by it,
        NO if surely not fewer by it, UNCLEAR otherwise.
    """
    margin = math.log10(factor)
    ours, theirs = table.paired("log_steps", "norm", arm, than)
    found = statistics.paired(theirs, ours, level)
    if found.low > margin:
        answer = YES
    elif found.high < -margin:
        answer = REVERSED
    else:
        answer = NO if found.high <= margin else UNCLEAR
    ours, theirs = table.paired("reached", "norm", arm, than)
    ours_cut, theirs_cut = int(np.sum(ours == 0)), int(np.sum(theirs == 0))
    # A cut value of ours is too good, one of theirs too bad for them.
    doubtful = {YES: ours_cut, REVERSED: theirs_cut, NO: theirs_cut}
    why = (
        f"decades of steps, {arm} against {than}: fewer by {found}; not reached: "
        f"{arm} {ours_cut}, {than} {theirs_cut} of {len(ours)}"
    )
    return Answer(UNCLEAR if doubtful.get(answer) else answer, why)


def less_time(table, than, arm="layer", cost=STEP_COST, level=0.95):
    """Whether an arm needs less time, if a step takes up to a factor longer.

    Args:
        table, than, arm, level: as in `fewer_steps`.
        cost: the factor, at least 1.

    Returns:
        An `Answer`: YES if the steps are fewer by more than that factor, REVERSED if
        they are not fewer at all, since no step is shorter for a norm; else UNCLEAR.
    """
    by_cost = fewer_steps(table, than, arm, cost, level)
    if by_cost.answer in (YES, REVERSED):
        return by_cost
    at_all = fewer_steps(table, than, arm, 1.0, level)
    return Answer(REVERSED if at_all.answer == REVERSED else UNCLEAR, at_all.why)


def convergence_answers(table, against=("none", "he")):
    """Steps and time of layer norm, for both optimizers and against other arms.

    Args:
        table: `Evidence` of convergence.
        against: the arms without a norm.

    Returns:
        A dict from "steps, sgd, against none" and so on to `Answer`, 95 % over all.
    """
    table = table.where(stage="test")
    cells = [(o, than) for o in table.levels("optimizer") for than in against]
    level = 1 - 0.05 / (2 * len(cells))
    answers = {}
    for what, ask in (("steps", fewer_steps), ("time", less_time)):
        for optimizer, than in cells:
            part = table.where(optimizer=optimizer)
            name = f"{what}, {optimizer}, against {than}"
            answers[name] = ask(part, than, level=level)
    return answers


def converges_sooner(table):
    """L-40: with layer norm a loss is reached in fewer steps and in less time."""
    return rules.everywhere(convergence_answers(table))


def landscape_answers(table, metrics, against, arm="layer"):
    """Whether an arm's gradients are more stable than those of others.

    Args:
        table: `Evidence` of landscape.
        metrics: measurements of it, of which low is stable.
        against: the other arms.
        arm: the arm that is looked at.

    Returns:
        A dict from "log_change, against none" and so on to `Answer`, 95 % over all.
    """
    table = table.where(stage="test")
    level = 1 - 0.05 / (len(metrics) * len(against))
    return {
        f"{metric}, against {than}": rules.improves(
            table, metric, arm, than, margin=CHANGE_BAR, level=level
        )
        for metric in metrics
        for than in against
    }


def gradients_hold(table):
    """L-39: with layer norm a gradient holds for longer, in each of three readings."""
    return rules.everywhere(landscape_answers(table, CHANGES, ("none", "he")))


def stable_because_apart(table):
    """L-88: gradients are more stable because examples do not depend on each other.

    Asked for each meaning of stable: after a step, and from batch to batch. It is so
    if layer norm is more stable than no norm and than the control, in which examples
    depend on each other. It is not so if layer norm is no more stable than no norm, or
    if the control is as stable. 95 % over all four comparisons.
    """
    metrics = ("log_change", "log_noise")
    found = landscape_answers(table, metrics, ("none", "shared"))
    answers = {}
    for metric in metrics:
        first, control = (found[f"{metric}, against {a}"] for a in ("none", "shared"))
        why = f"{first.answer} ({first.why}); {control.answer} ({control.why})"
        given = {first.answer, control.answer}
        if given & {NO, REVERSED}:
            answers[metric] = Answer(NO, why)
        else:
            answers[metric] = Answer(YES if given == {YES} else UNCLEAR, why)
    return rules.everywhere(answers)


def neuron_answers(table, than="none", arm="layer"):
    """Whether a neuron's input varies less, in four readings, 95 % over all."""
    table = table.where(stage="test")
    metrics = [f"log_{w}_{at}" for w in ("spread", "share") for at in ("start", "end")]
    return {
        metric: rules.improves(
            table, metric, arm, than, margin=SPREAD_BAR, level=1 - 0.05 / len(metrics)
        )
        for metric in metrics
    }


def neurons_vary_less(table):
    """L-17: with layer norm a neuron's input varies less from example to example."""
    return rules.everywhere(neuron_answers(table))
