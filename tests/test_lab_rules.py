"""Rules: on evidence made up so that the right answer is known."""

import math

import numpy as np
import pytest

from lnlib.lab import rules
from lnlib.lab.evidence import Evidence
from lnlib.lab.rules import NO, REVERSED, UNCLEAR, YES, Answer

SEEDS = 10


def made_up(gain, noise, seed=0, sizes=(1,)):
    """Errors of two norms: layer is better by `gain`, a number or one for each size."""
    rng = np.random.default_rng(seed)
    gains = gain if isinstance(gain, dict) else dict.fromkeys(sizes, gain)
    rows = []
    for size, by in gains.items():
        shared = rng.normal(0.5, 1.0, SEEDS)  # which pairs remove
        for norm, shift in (("layer", -by), ("none", 0.0)):
            for s in range(SEEDS):
                error = shared[s] + shift + rng.normal(0, noise)
                rows.append({"norm": norm, "size": size, "seed": s, "error": error})
    return Evidence.of(rows, ["norm", "size"])


# The effect is there, is not there, is reversed, or is drowned in noise.
CASES = {
    "there": (0.2, 0.01, YES),
    "not there": (0.0, 0.01, NO),
    "there but too small to matter": (0.03, 0.01, NO),
    "reversed": (-0.2, 0.01, REVERSED),
    "drowned": (0.2, 2.0, UNCLEAR),
    "nothing but noise": (0.0, 2.0, UNCLEAR),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_better(case, seed):
    gain, noise, answer = CASES[case]
    found = rules.better(
        made_up(gain, noise, seed), "error", "layer", "none", margin=0.1
    )
    assert found.answer == answer, found.why


def test_better_where_high_is_good():
    table = made_up(0.2, 0.01)
    options = {"margin": 0.1, "lower": False}
    assert rules.better(table, "error", "layer", "none", **options).answer == REVERSED
    assert rules.better(table, "error", "none", "layer", **options).answer == YES


def test_better_is_rarely_wrong_where_there_is_nothing():
    said = [
        rules.better(made_up(0.0, 0.1, seed), "error", "layer", "none").answer
        for seed in range(300)
    ]
    assert 2 <= said.count(YES) + said.count(REVERSED) <= 30  # 15 of 300 expected
    assert said.count(UNCLEAR) > 260


@pytest.mark.parametrize(
    ("gain", "noise", "answer"),
    [(0.0, 0.01, YES), (0.2, 0.01, NO), (-0.2, 0.01, NO), (0.0, 2.0, UNCLEAR)],
)
@pytest.mark.parametrize("seed", range(3))
def test_equivalent(gain, noise, answer, seed):
    found = rules.equivalent(made_up(gain, noise, seed), "error", "layer", "none", 0.1)
    assert found.answer == answer, found.why


def test_equivalent_is_rarely_wrong_at_the_margin():
    said = [
        rules.equivalent(made_up(0.1, 0.05, seed), "error", "layer", "none", 0.1).answer
        for seed in range(300)
    ]
    assert 2 <= said.count(YES) <= 30


def test_runs_that_diverged_are_unclear_and_not_good():
    rows = [dict(r) for r in made_up(0.2, 0.01).rows]
    rows[3]["error"] = math.nan
    table = Evidence.of(rows, ["norm", "size"])
    assert rules.better(table, "error", "layer", "none").answer == UNCLEAR
    assert rules.equivalent(table, "error", "layer", "none", 0.1).answer == UNCLEAR


def compare(part, level):
    return rules.better(part, "error", "layer", "none", margin=0.1, level=level)


@pytest.mark.parametrize(
    ("gains", "noise", "said_everywhere", "said_somewhere"),
    [
        ({1: 0.3, 8: 0.3}, 0.01, rules.HOLDS, rules.HOLDS),
        ({1: 0.3, 8: 0.0}, 0.01, rules.CONDITIONAL, rules.HOLDS),
        ({1: 0.3, 8: -0.3}, 0.01, rules.CONDITIONAL, rules.HOLDS),
        ({1: 0.0, 8: -0.3}, 0.01, rules.DOES_NOT_HOLD, rules.DOES_NOT_HOLD),
        ({1: 0.0, 8: 0.0}, 3.0, rules.OPEN, rules.OPEN),
    ],
)
def test_from_answers_to_a_verdict(gains, noise, said_everywhere, said_somewhere):
    answers = rules.across(made_up(gains, noise), "size", compare)
    assert list(answers) == [1, 8]
    assert rules.everywhere(answers).verdict == said_everywhere
    assert rules.somewhere(answers).verdict == said_somewhere
    assert "8: " in rules.everywhere(answers).why


def test_what_is_shown_here_and_not_there_is_conditional_and_nowhere_open():
    yes, no, dunno = (Answer(a, "") for a in (YES, NO, UNCLEAR))
    assert rules.everywhere({1: yes, 2: dunno}).verdict == rules.CONDITIONAL
    assert rules.everywhere({1: no, 2: dunno}).verdict == rules.DOES_NOT_HOLD
    assert rules.everywhere({1: dunno, 2: dunno}).verdict == rules.OPEN
    assert rules.everywhere({1: yes, 2: no, 3: dunno}).verdict == rules.CONDITIONAL
    assert rules.somewhere({1: yes, 2: dunno}).verdict == rules.HOLDS
    assert rules.somewhere({1: no, 2: dunno}).verdict == rules.OPEN
    assert rules.everywhere(yes).verdict == rules.HOLDS
    assert rules.everywhere(no, rules.WRONG).verdict == rules.WRONG
    assert rules.everywhere({}).verdict == rules.OPEN


def test_confidence_is_shared_among_levels():
    levels = []

    def keep(part, level):
        levels.append(level)
        return Answer(YES, "")

    rules.across(made_up({1: 0, 2: 0, 4: 0, 8: 0}, 1), "size", keep)
    assert levels == [1 - 0.05 / 4] * 4
    rules.across(made_up({1: 0, 2: 0}, 1), "size", keep, [2])
    assert levels[-1] == pytest.approx(0.95)
    with pytest.raises(ValueError, match="at least one level"):
        rules.across(made_up({1: 0}, 1), "size", keep, [])


def test_a_derivation_stands_when_all_its_checks_do():
    assert rules.checked({"a": True, "b": True}, rules.WRONG).verdict == rules.WRONG
    failed = rules.checked({"a": True, "b": False}, rules.WRONG)
    assert failed.verdict == rules.OPEN and failed.why == "not so: b"
    assert rules.checked({"a": False}, otherwise=rules.WRONG).verdict == rules.WRONG
    with pytest.raises(ValueError, match="at least one check"):
        rules.checked({})


def test_bad_options_are_refused():
    table = made_up(0.1, 0.1)
    with pytest.raises(ValueError, match="margin to be at least 0, but got -1"):
        rules.better(table, "error", "layer", "none", margin=-1)
    with pytest.raises(ValueError, match="margin to be above 0, but got 0"):
        rules.equivalent(table, "error", "layer", "none", 0)
    with pytest.raises(ValueError, match=r"norm to be among .*, but got 'batch'"):
        rules.better(table, "error", "layer", "batch")
    with pytest.raises(ValueError, match="Expected a verdict, one of holds"):
        rules.Verdict("true", "")


@pytest.mark.parametrize(
    ("mean", "noise", "answer"),
    [
        (0.3, 0.01, YES),
        (0.1, 0.01, NO),
        (0.21, 0.5, UNCLEAR),
        (math.nan, 0.01, UNCLEAR),
    ],
)
def test_above_a_bar(mean, noise, answer):
    rng = np.random.default_rng(0)
    rows = [
        {"norm": "layer", "seed": s, "error": mean + rng.normal(0, noise)}
        for s in range(6)
    ]
    found = rules.above(Evidence.of(rows, ["norm"]), "error", 0.2)
    assert found.answer == answer and found.why.startswith("error ")


def test_above_decides_by_the_interval_of_the_level():
    rows = [{"norm": "layer", "seed": s, "error": 0.2 + s} for s in range(4)]
    table = Evidence.of(rows, ["norm"])
    assert rules.above(table, "error", 0.2, level=0.5).answer == YES
    assert rules.above(table, "error", 0.2, level=0.99).answer == UNCLEAR
    assert "99 %" in rules.above(table, "error", 0.2, level=0.99).why


# --- surely not better --------------------------------------------------------------


def pair(gains, base=1.0):
    """Two arms whose errors differ by these gains, seed by seed."""
    rows = [
        {"norm": norm, "seed": s, "error": base - (g if norm == "layer" else 0.0)}
        for norm in ("layer", "none")
        for s, g in enumerate(gains)
    ]
    return Evidence.of(rows, ["norm"])


@pytest.mark.parametrize(
    ("gains", "plainly", "answer"),
    [
        ((0.3, 0.31, 0.29, 0.3), YES, YES),
        ((0.0, 0.01, -0.01, 0.0), NO, NO),
        ((-0.3, -0.31, -0.29, -0.3), REVERSED, REVERSED),
        ((-0.2, -0.1, 0.0, -0.1), UNCLEAR, NO),  # the same or worse: surely not better
        ((0.0, 0.1, 0.2, 0.1), UNCLEAR, UNCLEAR),  # better or the same
        ((-0.5, 0.5, -0.5, 0.5), UNCLEAR, UNCLEAR),  # anything
        ((math.nan, 0.0, 0.0, 0.0), UNCLEAR, UNCLEAR),
    ],
)
def test_surely_not_better_is_no(gains, plainly, answer):
    for ask, expected in (
        (rules.better, plainly),
        (rules.improves, answer),
    ):
        found = ask(pair(gains), "error", "layer", "none", margin=0.05)
        assert found.answer == expected, ask
    # The same where high is good.
    swapped = pair([-g for g in gains])
    found = rules.improves(swapped, "error", "layer", "none", margin=0.05, lower=False)
    assert found.answer == answer


def test_a_margin_below_zero_is_refused():
    with pytest.raises(ValueError, match="Expected margin to be at least 0"):
        rules.improves(pair((0, 1)), "error", "layer", "none", margin=-1)


# --- what an answer and a verdict keep for figures ----------------------------------


def test_an_answer_keeps_its_effect_and_a_verdict_its_answers():
    rows = [
        {"norm": norm, "seed": seed, "error": error + slope * seed}
        for norm, error, slope in (("layer", 0.1, 0.01), ("none", 0.3, 0.0))
        for seed in range(5)
    ]
    table = Evidence.of(rows, ["norm"])
    answer = rules.better(table, "error", "layer", "none", margin=0.1)
    assert answer.effect.estimate == pytest.approx(0.18) and answer.margin == 0.1
    same = rules.equivalent(table, "error", "layer", "none", 0.1)
    assert same.effect.estimate == pytest.approx(0.18) and same.margin == 0.1
    over = rules.above(table.where(norm="layer"), "error", 0.05)
    assert over.effect.estimate == pytest.approx(0.07)  # 0.12 less the bar
    assert over.effect.low < 0.07 < over.effect.high and over.margin == 0.0
    for combine in (rules.everywhere, rules.somewhere):
        assert combine({"here": answer}).answers == {"here": answer}
