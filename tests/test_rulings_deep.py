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


# --- rules of deep_*, on made-up tables -------------------------------------------


def start_table(logs, noise=0.05, seed=0):
    """log_gradient of plain networks of 64 layers with layer norm, by activation."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "path": "plain",
            "activation": activation,
            "norm": "layer",
            "gain": gain,
            "depth": 64,
            "seed": s,
            "log_gradient": log + rng.normal(0, noise),
        }
        for activation, log in logs.items()
        for gain in (0.5, 3.0)
        for s in range(5)
    ]
    return Evidence.of(rows, ["path", "activation", "norm", "gain", "depth"])


@pytest.mark.parametrize(
    ("logs", "noise", "verdict"),
    [
        ({"relu": 0.0, "tanh": 2.0}, 0.05, rules.HOLDS),
        ({"relu": 0.0, "sigmoid": -25.0}, 0.05, rules.CONDITIONAL),
        ({"sigmoid": -25.0}, 0.05, rules.DOES_NOT_HOLD),
        ({"relu": -0.9, "tanh": 2.0}, 1.0, rules.CONDITIONAL),
        ({"relu": -0.9, "tanh": -1.1}, 1.0, rules.OPEN),  # drowned in noise
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_36(logs, noise, verdict, seed):
    made_up = start_table(logs, noise, seed)
    assert rulings_deep.layer_norm_keeps_gradients(made_up).verdict == verdict


@pytest.mark.parametrize(
    ("layer", "after", "noise", "verdict"),
    [
        ((0.0, 2.0), (0.1, 2.0), 0.05, rules.HOLDS),
        ((0.0, 2.0), (5.0, 2.0), 0.05, rules.CONDITIONAL),
        ((0.0, 2.0), (5.0, 7.0), 0.05, rules.DOES_NOT_HOLD),
        ((0.0, 2.0), (0.9, 2.9), 2.0, rules.OPEN),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_18(layer, after, noise, verdict, seed):
    rows = []
    for norm, logs in (("layer", layer), ("after", after)):
        table = start_table(dict(zip(("relu", "tanh"), logs, strict=True)), noise, seed)
        seed += 10
        rows += [{**r, "norm": norm, "gain": 1.0} for r in table.rows if r["gain"] < 1]
    factors = ["path", "activation", "norm", "gain", "depth"]
    made_up = Evidence.of(rows, factors)
    assert rulings_deep.placement_makes_no_difference(made_up).verdict == verdict


def training_table(cells, noise=0.005, seed=0):
    """Rows of deep_training: from (path, norm, depth) to test error and gradient."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "stage": "test",
            "optimizer": "sgd",
            "path": path,
            "norm": norm,
            "depth": depth,
            "lr": 0.1,
            "seed": s,
            "test_error": error + rng.normal(0, noise),
            "gradient": gradient * (1 + rng.normal(0, 0.01)),
        }
        for (path, norm, depth), (error, gradient) in cells.items()
        for s in range(5)
    ]
    return Evidence.of(rows, ["stage", "optimizer", "path", "norm", "depth", "lr"])


@pytest.mark.parametrize(
    ("layer", "he", "noise", "verdict"),
    [
        ((0.1, 0.1), (0.9, 0.9), 0.005, rules.HOLDS),  # the effect is there
        ((0.1, 0.1), (0.1, 0.1), 0.005, rules.DOES_NOT_HOLD),  # it is not
        ((0.9, 0.9), (0.1, 0.1), 0.005, rules.DOES_NOT_HOLD),  # it is reversed
        ((0.1, 0.2), (0.9, 0.1), 0.005, rules.CONDITIONAL),
        ((0.1, 0.1), (0.12, 0.12), 0.5, rules.OPEN),  # drowned in noise
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_how_deep_training_asks_for_l_81(layer, he, noise, verdict, seed):
    cells = {("plain", "layer", 4): (0.5, 1.0), ("plain", "he", 4): (0.1, 1.0)}
    for i, place in enumerate((("plain", 16), ("residual", 64))):
        cells[place[0], "layer", place[1]] = (layer[i], 1.0)
        cells[place[0], "he", place[1]] = (he[i], 1.0)
    made_up = training_table(cells, noise, seed)
    answers = rulings_deep.depth_needs_layer_norm(made_up)
    assert rules.everywhere(answers).verdict == verdict


@pytest.mark.parametrize(
    ("errors", "noise", "verdict"),
    [
        ((0.9, 0.9), 0.005, rules.HOLDS),
        ((0.1, 0.9), 0.005, rules.CONDITIONAL),
        ((0.1, 0.1), 0.005, rules.DOES_NOT_HOLD),
        ((0.25, 0.2), 0.5, rules.OPEN),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_37(errors, noise, verdict, seed):
    made_up = training_table(
        {
            ("plain", "none", 8): (errors[0], 1e-4),
            ("plain", "none", 32): (errors[1], 1e-12),
            ("plain", "layer", 8): (0.05, 0.5),  # its gradient is not small
            ("residual", "none", 8): (0.05, 1e-4),  # not looked at
        },
        noise,
        seed,
    )
    assert rulings_deep.small_gradients_stop_learning(made_up).verdict == verdict


def test_rule_of_l_37_without_small_gradients():
    made_up = training_table({("plain", "none", 8): (0.9, 0.5)})
    assert rulings_deep.small_gradients_stop_learning(made_up).verdict == rules.OPEN


@pytest.mark.parametrize(
    ("widths", "noise", "verdict"),
    [
        ({"layer": 2.5, "none": 1.0, "he": 1.5}, 0.1, rules.HOLDS),
        ({"layer": 1.5, "none": 1.5, "he": 1.5}, 0.02, rules.DOES_NOT_HOLD),
        ({"layer": 1.0, "none": 2.0, "he": 2.5}, 0.1, rules.DOES_NOT_HOLD),
        ({"layer": 1.5, "none": 0.0, "he": 2.0}, 0.1, rules.CONDITIONAL),
        ({"layer": 1.5, "none": 1.0, "he": 1.2}, 3.0, rules.OPEN),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_38(widths, noise, verdict, seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"path": p, "norm": n, "seed": s, "width": w + rng.normal(0, noise)}
        for p in ("plain", "residual")
        for n, w in widths.items()
        for s in range(5)
    ]
    made_up = Evidence.of(rows, ["path", "norm"])
    assert rulings_deep.layer_norm_widens_the_rates(made_up).verdict == verdict
    # In rates_repeat there are batches of 4 as well, which are not looked at.
    more = [{**row, "batch_size": 32} for row in rows]
    more += [{**row, "batch_size": 4, "width": 0.0} for row in rows]
    made_up = Evidence.of(more, ["path", "norm", "batch_size"])
    assert rulings_deep.layer_norm_widens_the_rates(made_up).verdict == verdict


# --- the rule of weight_norm -----------------------------------------------------


def arms(gains, noise=0.001, seed=0):
    """Test errors of layer norm, and of both, lower by a gain for each optimizer."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "stage": "test",
            "norm": norm,
            "optimizer": optimizer,
            "lr": 0.1,
            "seed": s,
            "test_error": 0.05 - gain * (norm == "both") + rng.normal(0, noise),
        }
        for optimizer, gain in zip(("sgd", "adam"), gains, strict=True)
        for norm in ("layer", "both")
        for s in range(10)
    ]
    return Evidence.of(rows, ["stage", "norm", "optimizer", "lr"])


@pytest.mark.parametrize(
    ("gains", "noise", "verdict"),
    [
        ((0.03, 0.03), 0.001, rules.HOLDS),  # the effect is there
        ((0.0, 0.0), 0.001, rules.DOES_NOT_HOLD),  # it is not
        ((-0.03, -0.03), 0.001, rules.DOES_NOT_HOLD),  # it is reversed
        ((0.005, 0.005), 0.001, rules.DOES_NOT_HOLD),  # too small to matter
        ((0.03, 0.0), 0.001, rules.CONDITIONAL),  # with one optimizer alone
        ((0.01, 0.01), 0.1, rules.OPEN),  # drowned in noise
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_66(gains, noise, verdict, seed):
    assert rulings_deep.weight_norm_adds(arms(gains, noise, seed)).verdict == verdict
