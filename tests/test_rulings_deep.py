"""The rules on depth, stable training, gain and bias, on tables that are made up."""

import numpy as np
import pytest

from lnlib.lab import rules, rulings_deep
from lnlib.lab.evidence import Evidence
from lnlib.lab.rules import NO, REVERSED, UNCLEAR, YES

three_times = pytest.mark.parametrize("seed", range(3))


def table_of(cells, factors, noise, seed, seeds=12, **fixed):
    """Evidence with rows for each cell: a tuple of levels to a dict of means."""
    rng = np.random.default_rng(seed)
    names = [f for f in factors if f not in fixed]
    rows = [
        {
            **fixed,
            **dict(zip(names, cell, strict=True)),
            "seed": s,
            **{m: mean + rng.normal(0, noise) for m, mean in means.items()},
        }
        for cell, means in cells.items()
        for s in range(seeds)
    ]
    return Evidence.of(rows, list(factors))


# --- all_of -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ((YES, YES), YES),
        ((YES, UNCLEAR), UNCLEAR),
        ((YES, NO), NO),
        ((UNCLEAR, REVERSED), NO),
    ],
)
def test_all_of(given, answer):
    found = rulings_deep.all_of(*(rules.Answer(g, g + "!") for g in given))
    assert found.answer == answer
    assert found.why == f"{given[0]}!, and {given[1]}!"


def test_all_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Expected at least one answer"):
        rulings_deep.all_of()


# --- L-81 -----------------------------------------------------------------------------

PLACES = (("plain", 16), ("plain", 32), ("residual", 16), ("residual", 64))


def depth_tables(layer, he, noise, seed):
    """deep_repeat and deep_longer, from errors in the order of PLACES."""
    cells = {}
    for i, (path, depth) in enumerate(PLACES):
        cells[path, "layer", depth] = {"test_error": layer[i]}
        cells[path, "he", depth] = {"test_error": he[i]}
    # With 200 steps nothing of 32 plain layers has learned.
    short = cells | {
        ("plain", norm, 32): {"test_error": 0.8} for norm in ("layer", "he")
    }
    short["plain", "batch", 16] = {"test_error": 0.01}
    factors = ("stage", "path", "norm", "depth")
    repeat = table_of(short, factors, noise, seed, stage="test")
    longer = {(norm,): cells["plain", norm, 32] for norm in ("layer", "he")}
    return repeat, table_of(longer, ("stage", "norm"), noise, seed + 9, stage="test")


@pytest.mark.parametrize(
    ("layer", "he", "noise", "verdict"),
    [
        ((0.1,) * 4, (0.5,) * 4, 0.01, rules.HOLDS),
        ((0.1,) * 4, (0.1,) * 4, 0.01, rules.DOES_NOT_HOLD),
        ((0.5,) * 4, (0.1,) * 4, 0.01, rules.DOES_NOT_HOLD),
        ((0.2, 0.1, 0.1, 0.1), (0.1,) * 4, 0.01, rules.DOES_NOT_HOLD),
        ((0.1,) * 4, (0.1, 0.5, 0.1, 0.1), 0.01, rules.CONDITIONAL),
        ((0.1,) * 4, (0.2,) * 4, 0.5, rules.OPEN),  # drowned in noise
    ],
)
@three_times
def test_rule_of_l_81(layer, he, noise, verdict, seed):
    repeat, longer = depth_tables(layer, he, noise, seed)
    found = rulings_deep.layer_norm_makes_depth_trainable(repeat, longer)
    assert found.verdict == verdict
    assert "32 layers, 1000 steps" in found.why and "32 layers:" not in found.why


def test_l_81_is_open_without_the_longer_runs(monkeypatch, tmp_path):
    repeat, _ = depth_tables((0.1,) * 4, (0.5,) * 4, 0.01, 0)
    monkeypatch.setattr(rulings_deep.evidence, "folder", lambda: tmp_path)
    found = rulings_deep.layer_norm_makes_depth_trainable(repeat)
    assert found.verdict == rules.OPEN and "deep_longer" in found.why


def test_arms_are_compared_where_both_were_run():
    repeat, _ = depth_tables((0.1,) * 4, (0.1,) * 4, 0.01, 0)
    against_batch = rulings_deep.depth_with_more_seeds(repeat, "layer", "batch")
    assert list(against_batch) == ["plain, 16 layers"]
    assert against_batch["plain, 16 layers"].answer == REVERSED
    cells = {
        ("plain", "he", 16): {"test_error": 0.1},
        ("plain", "layer", 32): {"test_error": 0.1},
    }
    apart = table_of(cells, repeat.factors, 0.01, 0, stage="test")
    with pytest.raises(ValueError, match="Expected networks of both arms"):
        rulings_deep.depth_with_more_seeds(apart)


# --- L-85 and L-51 --------------------------------------------------------------------


def widths_table(layer, batch, noise, seed):
    """learning_rate, with two networks; `layer` and `batch` by batch size."""
    cells = {
        (network, norm, size): {"width": width}
        for network in ("shallow", "deep")
        for norm, widths in (("layer", layer), ("batch", batch))
        for size, width in widths.items()
    }
    return table_of(cells, ("network", "norm", "batch_size"), noise, seed, seeds=10)


@pytest.mark.parametrize(
    ("layer", "batch", "noise", "verdict"),
    [
        ({4: 2.0, 32: 2.0}, {4: 1.0, 32: 1.0}, 0.1, rules.HOLDS),
        ({4: 2.0, 32: 2.0}, {4: 2.0, 32: 2.0}, 0.1, rules.DOES_NOT_HOLD),
        ({4: 1.0, 32: 1.0}, {4: 2.0, 32: 2.0}, 0.1, rules.DOES_NOT_HOLD),
        ({4: 2.0, 32: 2.0}, {4: 1.0, 32: 3.0}, 0.1, rules.CONDITIONAL),
        ({4: 2.0, 32: 2.0}, {4: 1.5, 32: 1.5}, 3.0, rules.OPEN),
    ],
)
@three_times
def test_rule_of_l_85(layer, batch, noise, verdict, seed):
    made_up = widths_table(layer, batch, noise, seed)
    found = rulings_deep.layer_norm_is_stabler_than_batch_norm(made_up)
    assert found.verdict == verdict


def stable_table(widths, errors, noise, seed):
    """rates_repeat, from width and error by norm; in batches of 32 all is reversed."""
    cells = {}
    for norm in widths:
        one = {"width": widths[norm], "test_error": errors[norm]}
        cells["plain", norm, 4] = one
        cells["plain", norm, 32] = {"width": 5 - one["width"], "test_error": 0.5}
    return table_of(cells, ("path", "norm", "batch_size"), noise, seed, seeds=32)


WIDE, NARROW = (
    {"none": 0.0, "he": 1.0, "layer": 2.0},
    dict.fromkeys(("none", "he", "layer"), 1.0),
)
GOOD, SAME = (
    {"none": 0.9, "he": 0.3, "layer": 0.1},
    dict.fromkeys(("none", "he", "layer"), 0.1),
)


@pytest.mark.parametrize(
    ("widths", "errors", "noise", "verdict"),
    [
        (WIDE, GOOD, 0.01, rules.HOLDS),
        (WIDE, SAME, 0.001, rules.OPEN),  # more stable, not better
        (NARROW, GOOD, 0.01, rules.OPEN),  # better, not more stable
        (WIDE, GOOD | {"layer": 0.5}, 0.01, rules.CONDITIONAL),  # worse than He's
        (WIDE, GOOD, 2.0, rules.OPEN),
    ],
)
@three_times
def test_rule_of_l_51(widths, errors, noise, verdict, seed):
    made_up = stable_table(widths, errors, noise, seed)
    assert rulings_deep.layer_norm_stabilizes_somewhere(made_up).verdict == verdict


def test_where_it_is_more_stable_and_better():
    cells = {}
    for network, better in (("shallow", False), ("deep", True)):
        for norm in WIDE:
            error = GOOD[norm] if better else 0.1
            cells[network, norm, 4] = {"width": WIDE[norm], "test_error": error}
    factors = ("network", "norm", "batch_size")
    made_up = table_of(cells, factors, 0.001, 0, seeds=10)
    found = rulings_deep.stabler_and_better(made_up)
    assert found["shallow, batches of 4"].answer == NO
    assert found["deep, batches of 4"].answer == YES
    assert found["deep, batches of 4"].why.count("better by") == 4


# --- L-27 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("both", "neither", "noise", "verdict"),
    [
        ((0.02, 0.02), (0.06, 0.06), 0.005, rules.HOLDS),
        ((0.02, 0.02), (0.02, 0.02), 0.005, rules.DOES_NOT_HOLD),
        ((0.06, 0.06), (0.02, 0.02), 0.005, rules.DOES_NOT_HOLD),
        ((0.02, 0.02), (0.02, 0.06), 0.005, rules.CONDITIONAL),
        ((0.02, 0.02), (0.03, 0.03), 0.1, rules.OPEN),
    ],
)
@three_times
def test_rule_of_l_27(both, neither, noise, verdict, seed):
    cells = {}
    for i, network in enumerate(("perceptron", "residual")):
        for arm, errors in (("both", both), ("gain", both), ("neither", neither)):
            cells[network, arm] = {"test_error": errors[i]}
    factors = ("stage", "network", "affine")
    made_up = table_of(cells, factors, noise, seed, seeds=16, stage="test")
    assert rulings_deep.gain_and_bias_help(made_up).verdict == verdict
