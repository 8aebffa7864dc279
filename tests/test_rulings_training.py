"""The rules on training, on tables made up: there, not there, reversed, in noise."""

import numpy as np
import pytest

from lnlib.lab import rulings_training as rulings
from lnlib.lab.evidence import Evidence
from lnlib.lab.rules import (
    CONDITIONAL,
    DOES_NOT_HOLD,
    HOLDS,
    NO,
    OPEN,
    REVERSED,
    UNCLEAR,
    YES,
)


def table(arms, noise=0.001, seed=0, **also):
    """Evidence of arms: a dict from arm to a dict of mean values."""
    rng = np.random.default_rng(seed)
    rows = [
        {"stage": "test", **also, "norm": arm, "lr": 0.1, "seed": s}
        | {name: v + rng.normal(0, noise) for name, v in values.items()}
        for arm, values in arms.items()
        for s in range(12)
    ]
    return Evidence.of(rows, ["stage", *also, "norm", "lr"])


# --- covariate_shift ------------------------------------------------------------------


def shifts(none, layer, unsteady, noise=0.001):
    """Each arm: test error, and decades of how much distributions change."""
    arms = {"none": none, "layer": layer, "unsteady": unsteady}
    return table(
        {a: {"test_error": e, "log_shift": s} for a, (e, s) in arms.items()}, noise
    )


@pytest.mark.parametrize(
    "arms, verdict",
    [
        # It helps, less changes, and where more changes it does not help.
        (((0.08, 0.0), (0.03, -0.5), (0.08, 0.5)), HOLDS),
        (((0.08, 0.0), (0.03, -0.5), (0.12, 0.5)), HOLDS),
        # The noise makes more change, and it helps nevertheless, less or more.
        (((0.08, 0.0), (0.03, -0.5), (0.05, 0.5)), DOES_NOT_HOLD),
        (((0.08, 0.0), (0.03, -0.5), (0.01, 0.5)), DOES_NOT_HOLD),
        # As much changes with the norm as without, or more.
        (((0.08, 0.0), (0.03, 0.0), (0.08, 0.5)), DOES_NOT_HOLD),
        (((0.08, 0.0), (0.03, 0.4), (0.08, 0.5)), DOES_NOT_HOLD),
        # It does not help, or does harm.
        (((0.03, 0.0), (0.03, -0.5), (0.08, 0.5)), DOES_NOT_HOLD),
        (((0.03, 0.0), (0.08, -0.5), (0.08, 0.5)), DOES_NOT_HOLD),
        # The noise does not make more change than there is without a norm.
        (((0.08, 0.0), (0.03, -0.5), (0.03, -0.4)), OPEN),
        (((0.08, 0.0), (0.03, -0.5), (0.08, -0.4)), OPEN),
    ],
)
def test_less_shift_explains_or_does_not(arms, verdict):
    assert rulings.helps_by_less_shift(shifts(*arms)).verdict == verdict


def test_shift_in_noise_settles_nothing():
    arms = (0.08, 0.0), (0.06, -0.2), (0.06, 0.2)
    assert rulings.helps_by_less_shift(shifts(*arms, noise=0.3)).verdict == OPEN


# --- convergence ----------------------------------------------------------------------


def runs(steps, cut=(), noise=0.01, optimizers=("sgd",), budget=600):
    """Steps of arms; those in `cut` do not reach the loss with four of the seeds."""
    rng = np.random.default_rng(0)
    rows = []
    for optimizer in optimizers:
        for norm, mean in steps.items():
            for s in range(12):
                log = min(
                    np.log10(mean) + rng.normal(0, noise), np.log10(budget) - 1e-9
                )
                missed = norm in cut and s < 4
                rows.append(
                    {
                        "stage": "test",
                        "optimizer": optimizer,
                        "norm": norm,
                        "lr": 0.1,
                        "seed": s,
                        "reached": int(not missed),
                        "log_steps": np.log10(budget) if missed else log,
                    }
                )
    return Evidence.of(rows, ["stage", "optimizer", "norm", "lr"])


@pytest.mark.parametrize(
    "none, he, verdict",
    [
        (200, 200, HOLDS),  # four times as many steps: less time, too
        (50, 50, DOES_NOT_HOLD),  # as many steps, or fewer
        (25, 25, DOES_NOT_HOLD),
        (200, 40, CONDITIONAL),
        (75, 75, CONDITIONAL),  # fewer steps; whether less time, is not known
    ],
)
def test_layer_norm_at_fifty_steps(none, he, verdict):
    made = runs({"none": none, "he": he, "layer": 50}, noise=1e-4)
    if (none, he) == (50, 50):
        answers = rulings.convergence_answers(made)
        assert answers["steps, sgd, against none"].answer == NO
    assert rulings.converges_sooner(made).verdict == verdict


def test_one_optimizer_of_two_makes_it_conditional():
    both = ("sgd", "adam")
    made = runs({"none": 200, "he": 200, "layer": 50}, optimizers=both)
    assert rulings.converges_sooner(made).verdict == HOLDS
    rows = [
        row | {"log_steps": 1.0}
        if (row["optimizer"], row["norm"]) == ("adam", "he")
        else row
        for row in made.rows
    ]
    mixed = Evidence.of(rows, ["stage", "optimizer", "norm", "lr"])
    assert rulings.converges_sooner(mixed).verdict == CONDITIONAL


def test_steps_in_noise_settle_nothing():
    made = runs({"none": 60, "he": 60, "layer": 50}, noise=0.4)
    assert rulings.converges_sooner(made).verdict == OPEN


@pytest.mark.parametrize(
    "steps, cut, answer",
    [
        # It took at least so many: what cannot turn stays, what could is unclear.
        ({"none": 500, "layer": 50}, ["none"], YES),
        ({"none": 500, "layer": 50}, ["layer"], UNCLEAR),
        ({"none": 50, "layer": 500}, ["layer"], REVERSED),
        ({"none": 50, "layer": 500}, ["none"], UNCLEAR),
        ({"none": 590, "layer": 590}, [], NO),
        ({"none": 590, "layer": 590}, ["none"], UNCLEAR),
        ({"none": 590, "layer": 590}, ["layer"], NO),
    ],
)
def test_runs_that_did_not_arrive_settle_only_what_they_can(steps, cut, answer):
    made = runs(steps, cut, noise=1e-4)
    found = rulings.fewer_steps(made, "none")
    assert found.answer == answer
    assert "not reached" in found.why


def test_surely_not_fewer_is_no_also_where_it_may_be_more():
    made = runs({"none": 46, "layer": 50}, noise=0.03)
    found = rulings.fewer_steps(made, "none", factor=1.1)
    assert found.answer == NO
    assert rulings.fewer_steps(made, "layer", arm="none", factor=1.1).answer == UNCLEAR


@pytest.mark.parametrize(
    "none, answer", [(110, YES), (90, UNCLEAR), (51, UNCLEAR), (45, REVERSED)]
)
def test_time_asks_for_more_than_steps(none, answer):
    made = runs({"none": none, "layer": 50}, noise=1e-4)
    assert rulings.less_time(made, "none").answer == answer


# --- landscape ------------------------------------------------------------------------

METRICS = ("log_change", "log_change_rate", "log_noise", "log_change_loss")


def changes(noise=0.01, **arms):
    """Decades of the four measurements, for each arm."""
    return table(
        {a: dict(zip(METRICS, v, strict=True)) for a, v in arms.items()}, noise
    )


@pytest.mark.parametrize(
    "none, he, verdict",
    [
        ((1, 1, 0, 1), (1, 1, 0, 1), HOLDS),
        ((0, 0, 0, 0), (0, 0, 0, 0), DOES_NOT_HOLD),
        ((-1, -1, 0, -1), (-1, -1, 0, -1), DOES_NOT_HOLD),
        ((1, 1, 0, 1), (0, 0, 0, 0), CONDITIONAL),
        ((1, -1, 0, 1), (1, -1, 0, 1), CONDITIONAL),
        ((1, 1, 0, 0), (1, 1, 0, 0), CONDITIONAL),
    ],
)
def test_a_gradient_holds_for_longer(none, he, verdict):
    made = changes(none=none, he=he, layer=(0, 0, 0, 0))
    assert rulings.gradients_hold(made).verdict == verdict


def test_gradients_in_noise_settle_nothing():
    made = changes(noise=1.0, none=(0.2,) * 4, he=(0.2,) * 4, layer=(0, 0, 0, 0))
    assert rulings.gradients_hold(made).verdict == OPEN
    made = changes(noise=1.0, none=(0.2,) * 4, shared=(0.2,) * 4, layer=(0, 0, 0, 0))
    assert rulings.stable_because_apart(made).verdict == OPEN


@pytest.mark.parametrize(
    "none, shared, verdict",
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), HOLDS),
        ((1, 1, 1, 1), (0, 0, 0, 0), DOES_NOT_HOLD),  # the control is as stable
        ((1, 1, 1, 1), (-1, -1, -1, -1), DOES_NOT_HOLD),
        ((0, 0, 0, 0), (1, 1, 1, 1), DOES_NOT_HOLD),  # nothing to explain
        ((1, 1, 1, 1), (1, 1, 0, 1), CONDITIONAL),
    ],
)
def test_stable_because_apart(none, shared, verdict):
    made = changes(none=none, shared=shared, layer=(0, 0, 0, 0))
    assert rulings.stable_because_apart(made).verdict == verdict


def test_stable_because_apart_holds_over_four_comparisons():
    made = changes(none=(1,) * 4, shared=(1,) * 4, layer=(0,) * 4)
    assert rulings.stable_because_apart(made).why.count("(98.75 %,") == 4


# --- neurons --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "none, noise, verdict",
    [
        ((0.5, 0.5, 0.5, 0.5), 0.01, HOLDS),
        ((0.0, 0.0, 0.0, 0.0), 0.01, DOES_NOT_HOLD),
        ((-0.5, -0.5, -0.5, -0.5), 0.01, DOES_NOT_HOLD),
        ((-0.5, 0.5, -0.5, -0.5), 0.01, CONDITIONAL),
        ((-0.5, -0.5, -0.5, 0.5), 0.01, CONDITIONAL),
        ((-0.5, -0.5, 0.5, -0.5), 0.01, CONDITIONAL),
        ((0.1, 0.1, 0.1, 0.1), 1.0, OPEN),
    ],
)
def test_neurons_vary_less(none, noise, verdict):
    names = [f"log_{w}_{at}" for w in ("spread", "share") for at in ("start", "end")]
    arms = {
        "none": dict(zip(names, none, strict=True)),
        "layer": dict.fromkeys(names, 0),
    }
    assert rulings.neurons_vary_less(table(arms, noise)).verdict == verdict
