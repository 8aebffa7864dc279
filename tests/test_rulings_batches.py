"""Rules of the claims on batches, on made-up tables; and what their experiments do."""

import itertools

import numpy as np
import pytest
import torch

from lnlib.experiments import (
    company,
    convolution,
    generalization,
    shift,
    stream,
    varying_repeat,
)
from lnlib.lab import data, derivations, rules
from lnlib.lab import rulings_batches as batches
from lnlib.lab.evidence import Evidence

seeds = pytest.mark.parametrize("seed", range(3))


def made_up(cells, factors, metric, noise, seed, count=10):
    """One row a seed for each cell, from a tuple of levels to a mean."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "stage": "test",
            **dict(zip(factors, levels, strict=True)),
            "lr": 0.1,
            "seed": s,
            metric: mean + rng.normal(0, noise),
        }
        for levels, mean in cells.items()
        for s in range(count)
    ]
    return Evidence.of(rows, ["stage", *factors, "lr"])


# --- batch_size: spread ------------------------------------------------------------


def spread_table(spreads, seed, common=0.0):
    rng = np.random.default_rng(seed)
    shared = common * rng.normal(size=10)
    rows = [
        {
            "stage": "test",
            "norm": "batch",
            "batch_size": size,
            "lr": 0.1,
            "seed": s,
            "test_error": 0.1 + shared[s] + draws[s],
        }
        for size, spread in spreads.items()
        # Of just this spread, so that the verdict does not hang on a draw.
        for draws in [spread * exactly_spread(rng.normal(size=10))]
        for s in range(10)
    ]
    return Evidence.of(rows, ["stage", "norm", "batch_size", "lr"])


def exactly_spread(draws):
    return (draws - draws.mean()) / draws.std(ddof=1)


@pytest.mark.parametrize(
    ("spreads", "verdict"),
    [
        ({2: 0.1, 128: 0.005}, rules.HOLDS),  # the effect is there
        ({2: 0.1, 8: 0.005, 128: 0.005}, rules.HOLDS),  # at one size
        ({2: 0.002, 128: 0.02}, rules.DOES_NOT_HOLD),  # reversed
        ({2: 0.01, 128: 0.01}, rules.OPEN),  # ten seeds do not rule out a factor
        ({2: 0.02, 128: 0.01}, rules.OPEN),
    ],
)
@seeds
def test_rule_of_l_87(spreads, verdict, seed):
    table = spread_table(spreads, seed)
    assert batches.batch_norm_varies_more(table).verdict == verdict


def test_rule_of_l_87_says_no_where_pairs_rule_it_out():
    # What both sizes share says that they spread alike, as ten seeds alone could not.
    table = spread_table({2: 0.001, 128: 0.001}, seed=0, common=0.05)
    verdict = batches.batch_norm_varies_more(table)
    assert verdict.verdict == rules.DOES_NOT_HOLD


def test_a_spread_that_is_missing_is_unclear():
    table = spread_table({2: 0.1, 128: 0.005}, 0)
    rows = [dict(row) for row in table.rows]
    rows[0]["test_error"] = None
    table = Evidence.of(rows, table.factors)
    assert batches.spread_more(table)[2].answer == rules.UNCLEAR


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for correlated in (0.0, 0.8):
        hits = 0
        for _ in range(1000):
            b, own = rng.normal(size=(2, 10))
            a = 2 * (correlated * b + np.sqrt(1 - correlated**2) * own)
            found = batches.spread_ratio(a, b)
            hits += found.low <= 2 <= found.high
        assert 925 <= hits <= 970  # 950, give or take three standard deviations


def test_ratios_of_what_does_not_vary():
    flat, varied = [1.0] * 4, [1.0, 2.0, 3.0, 5.0]
    assert batches.spread_ratio(flat, flat).estimate == 1.0
    assert batches.spread_ratio(varied, flat).low == np.inf
    assert batches.spread_ratio(flat, varied).high == 0.0
    same = batches.spread_ratio(varied, varied)
    assert same.low == pytest.approx(1) and same.high == pytest.approx(1)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "at least 4 pairs"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0], "at least 4 pairs"),
        ([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0], "Expected finite numbers"),
    ],
)
def test_what_is_no_pair_of_rows_is_refused(a, b, said):
    with pytest.raises(ValueError, match=said):
        batches.spread_ratio(a, b)


# --- stream ------------------------------------------------------------------------


def stream_table(kind, layer, batch, running, noise, seed):
    cells = {(kind, "layer"): layer, (kind, "batch"): batch}
    cells[kind, "running"] = running
    return made_up(cells, ["stream", "norm"], "test_error", noise, seed)


@pytest.mark.parametrize(
    ("errors", "noise", "verdict"),
    [
        ((0.05, 0.10, 0.10), 0.002, rules.HOLDS),  # there, and in the literature
        ((0.05, 0.10, 0.05), 0.002, rules.CONDITIONAL),  # there against one way
        ((0.05, 0.05, 0.10), 0.002, rules.CONDITIONAL),  # and against the other
        ((0.05, 0.05, 0.05), 0.002, rules.CONDITIONAL),  # the other half is left
        ((0.10, 0.05, 0.05), 0.002, rules.CONDITIONAL),  # reversed
        ((0.05, 0.06, 0.06), 0.1, rules.CONDITIONAL),  # drowned in noise
    ],
)
@seeds
def test_rule_of_l_13(errors, noise, verdict, seed):
    found = batches.batch_norm_is_worse_online(
        stream_table("single", *errors, noise, seed)
    )
    assert found.verdict == verdict
    given = {at: answer.answer for at, answer in found.answers.items()}
    assert given.pop("recurrent networks") == rules.YES and len(given) == 2
    assert "ba2016layer" in found.why and "cooijmans2017recurrent" in found.why
    # Without the other half, the claim hangs on the table alone.
    shown = batches.single_examples(stream_table("single", *errors, noise, seed))
    assert given == {f"single examples, {w}": a.answer for w, a in shown.items()}


def varying_table(batch, layer):
    """varying_repeat, from the test errors of the runs."""
    rows = [
        {"stage": "test", "stream": "varying", "norm": norm, "lr": 0.1, "seed": s}
        | {"test_error": error}
        for norm, errors in (("batch", batch), ("layer", layer))
        for s, error in enumerate(errors)
    ]
    return Evidence.of(rows, ["stage", "stream", "norm", "lr"])


GOOD, FAIR, FAR = 0.10, 0.12, 0.60  # FAR has gone wrong


@pytest.mark.parametrize(
    ("batch", "layer", "often", "seldom", "verdict"),
    [
        ([FAR] * 40, [GOOD] * 40, rules.YES, rules.YES, rules.HOLDS),
        ([FAIR] * 40, [GOOD] * 40, rules.YES, rules.UNCLEAR, rules.CONDITIONAL),
        (
            [GOOD] * 30 + [FAR] * 10,
            [GOOD] * 40,
            rules.NO,
            rules.YES,
            rules.CONDITIONAL,
        ),
        (
            [GOOD] * 40,
            [GOOD] * 30 + [FAR] * 10,
            rules.NO,
            rules.REVERSED,
            rules.DOES_NOT_HOLD,
        ),
        # Where both go wrong, neither has an advantage.
        ([FAR] * 40, [FAR] * 40, rules.NO, rules.UNCLEAR, rules.DOES_NOT_HOLD),
        # Too small to matter.
        (
            [GOOD] * 40,
            [GOOD - 0.009] * 40,
            rules.NO,
            rules.UNCLEAR,
            rules.DOES_NOT_HOLD,
        ),
        # As often better as not.
        (
            [FAIR, GOOD] * 20,
            [GOOD, FAIR] * 20,
            rules.UNCLEAR,
            rules.UNCLEAR,
            rules.OPEN,
        ),
        # Once is not now and then.
        (
            [FAR] + [FAIR, GOOD] * 20,
            [GOOD] + [GOOD, FAIR] * 20,
            rules.UNCLEAR,
            rules.UNCLEAR,
            rules.OPEN,
        ),
        ([FAIR, np.nan], [GOOD] * 2, rules.UNCLEAR, rules.UNCLEAR, rules.OPEN),
    ],
)
def test_rule_of_l_49(batch, layer, often, seldom, verdict):
    found = batches.better_when_batches_vary(varying_table(batch, layer))
    assert found.verdict == verdict
    given = {sense: answer.answer for sense, answer in found.answers.items()}
    assert given == {"as a rule": often, "now and then": seldom}


def test_a_run_has_gone_wrong_where_the_experiment_says():
    assert f"above {batches.WRONG}" in varying_repeat.__doc__


def test_a_share_is_held_against_one_half():
    # 5 of 5 by chance: 1 in 32. So 90 % is enough, and 95 % is not.
    assert batches.share_above_half(5, 5, 0.9).answer == rules.YES
    assert batches.share_above_half(5, 5, 0.95).answer == rules.UNCLEAR
    assert batches.share_above_half(0, 5, 0.9).answer == rules.NO
    assert batches.share_above_half(0, 0, 0.9).answer == rules.UNCLEAR
    for count in (-1, 6):
        with pytest.raises(ValueError, match=f"from 0 to 5, but got {count}"):
            batches.share_above_half(count, 5, 0.9)


# --- shift -------------------------------------------------------------------------


def shift_table(names, layer, none, noise, seed):
    """The harm of each change: to layer norm by turns what it says, to no norm."""
    rng = np.random.default_rng(seed)
    rows = []
    for arm in ("none", "layer"):
        for s in range(10):
            row = {"stage": "test", "arm": arm, "lr": 0.1, "seed": s}
            for name, harm in zip(names, itertools.cycle(layer), strict=False):
                harm = none if arm == "none" else harm
                row[name] = harm + rng.normal(0, noise)
            rows.append(row)
    return Evidence.of(rows, ["stage", "arm", "lr"])


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (batches.shifts_do_less_harm, batches.SHIFTS),
        (batches.drifts_do_less_harm, batches.DRIFTS),
    ],
)
@pytest.mark.parametrize(
    ("layer", "none", "noise", "verdict"),
    [
        ([0.1], 0.3, 0.005, rules.HOLDS),  # the effect is there
        ([0.1, 0.3], 0.3, 0.005, rules.CONDITIONAL),  # for some
        ([0.3], 0.3, 0.005, rules.DOES_NOT_HOLD),  # it is not
        ([0.5], 0.3, 0.005, rules.DOES_NOT_HOLD),  # it is reversed
        ([0.32], 0.3, 0.01, rules.DOES_NOT_HOLD),  # not there, or reversed
        ([0.25], 0.3, 0.3, rules.OPEN),  # drowned in noise
    ],
)
@seeds
def test_rules_of_l_44_and_l_45(rule, names, layer, none, noise, verdict, seed):
    assert rule(shift_table(names, layer, none, noise, seed)).verdict == verdict


def test_the_rules_know_all_shifts_and_drifts():
    assert batches.SHIFTS == shift.SHIFTS and batches.DRIFTS == shift.DRIFTS


# --- generalization ----------------------------------------------------------------

SETS = ("digits", "few", "noisy", "cancer")


@pytest.mark.parametrize(
    ("rule", "metric", "unit"),
    [
        (batches.generalizes_better, "error_at", 1.0),
        (batches.ends_more_accurate, "test_error", 1.0),
        (batches.overfits_less, "gap", 5.0),
    ],
)
@pytest.mark.parametrize(
    ("gains", "noise", "verdict"),
    [
        ((0.03, 0.03, 0.03, 0.03), 0.001, rules.HOLDS),
        ((0.03, 0.0, 0.0, -0.03), 0.001, rules.CONDITIONAL),
        ((0.0, 0.0, 0.0, 0.0), 0.001, rules.DOES_NOT_HOLD),
        ((-0.03, -0.03, -0.03, -0.03), 0.001, rules.DOES_NOT_HOLD),
        ((0.01, 0.01, 0.01, 0.01), 0.1, rules.OPEN),
    ],
)
@seeds
def test_rules_of_l_43_l_52_and_l_54(rule, metric, unit, gains, noise, verdict, seed):
    cells = {}
    for name, gain in zip(SETS, gains, strict=True):
        cells[name, "none"], cells[name, "layer"] = 0.5, 0.5 - unit * gain
    noise *= unit
    table = made_up(cells, ["data", "norm"], metric, noise, seed, count=12)
    assert rule(table).verdict == verdict


def test_a_loss_that_is_never_reached_is_unclear_and_no_other_answer_changes():
    cells = {(name, norm): 0.1 for name in SETS for norm in ("none", "layer")}
    table = made_up(cells, ["data", "norm"], "error_at", 0.001, 0)
    rows = [dict(row) for row in table.rows]
    rows[0]["error_at"] = None
    table = Evidence.of(rows, table.factors)
    given = [a.answer for a in batches.generalizes_better(table).answers.values()]
    assert given.count(rules.UNCLEAR) == 1 and given.count(rules.NO) == len(SETS) - 1


# --- convolution -------------------------------------------------------------------


def convolution_table(errors, noise, seed):
    cells = {
        (size, norm): error
        for size in (2, 32)
        for norm, error in zip(convolution.NORMS, errors, strict=True)
    }
    return made_up(cells, ["batch_size", "norm"], "test_error", noise, seed)


@pytest.mark.parametrize(
    # none, batch, instance, group, layer
    ("errors", "noise", "verdict"),
    [
        ((0.20, 0.05, 0.20, 0.20, 0.20), 0.002, rules.HOLDS),
        ((0.20, 0.05, 0.05, 0.20, 0.20), 0.002, rules.DOES_NOT_HOLD),  # one does it
        ((0.20, 0.05, 0.20, 0.20, 0.02), 0.002, rules.DOES_NOT_HOLD),  # better still
        ((0.20, 0.20, 0.20, 0.20, 0.20), 0.002, rules.DOES_NOT_HOLD),  # no help
        ((0.05, 0.20, 0.20, 0.20, 0.20), 0.002, rules.DOES_NOT_HOLD),  # harm
        ((0.20, 0.19, 0.20, 0.20, 0.20), 0.1, rules.OPEN),  # does it help?
        ((0.90, 0.20, 0.21, 0.21, 0.21), 0.05, rules.OPEN),  # more than others?
    ],
)
@seeds
def test_rule_of_l_11(errors, noise, verdict, seed):
    table = convolution_table(errors, noise, seed)
    assert batches.helps_by_dependence(table, table).verdict == verdict


def test_l_11_takes_the_sixty_seeds_for_the_comparison_they_made_again():
    unclear = convolution_table((0.90, 0.20, 0.21, 0.21, 0.21), 0.05, 0)
    same = convolution_table((0.90, 0.20, 0.20, 0.50, 0.50), 0.002, 0)
    assert batches.helps_by_dependence(unclear, unclear).verdict == rules.OPEN
    assert batches.helps_by_dependence(unclear, same).verdict == rules.DOES_NOT_HOLD


@seeds
def test_l_11_stays_open_while_nobody_knows_whether_batch_norm_helps(seed):
    errors = (0.20, 0.19, 0.19, 0.19, 0.19)
    clean, noisy = (convolution_table(errors, n, seed) for n in (0.002, 0.1))
    rows = noisy.where(norm="none").rows + tuple(
        row for row in clean.rows if row["norm"] != "none"
    )
    table = Evidence.of(rows, clean.factors)
    assert batches.helps_by_dependence(table, table).verdict == rules.OPEN


@pytest.mark.parametrize(
    ("errors", "noise", "verdict"),
    [
        ((0.20, 0.2, 0.2, 0.2, 0.05), 0.002, rules.CONDITIONAL),
        ((0.20, 0.2, 0.2, 0.2, 0.20), 0.002, rules.DOES_NOT_HOLD),
        ((0.05, 0.2, 0.2, 0.2, 0.20), 0.002, rules.DOES_NOT_HOLD),
        ((0.20, 0.2, 0.2, 0.2, 0.19), 0.1, rules.OPEN),
    ],
)
@seeds
def test_rule_of_l_55(errors, noise, verdict, seed):
    table = convolution_table(errors, noise, seed)
    assert batches.improves_convolutions(table).verdict == verdict


# --- what the experiments do -------------------------------------------------------

SPLIT = data.digits(0)


def test_batches_of_one_class_hold_one_class_and_every_image():
    y, generator = SPLIT.y_test, torch.Generator().manual_seed(0)
    for size in (2, 32, 128):
        found = company.one_class(y, size, generator)
        assert all(len(b) == size and len(y[b].unique()) == 1 for b in found)
        assert set(torch.cat(found).tolist()) == set(range(len(y)))
        found = company.mixed(len(y), size, generator)
        assert all(len(b) == size for b in found)
        assert set(torch.cat(found).tolist()) == set(range(len(y)))


def test_the_orders_for_running_statistics_hold_the_same_images():
    y, generator = SPLIT.y_train, torch.Generator().manual_seed(0)
    found = company.orders(y, 32, generator)
    assert found["reversed"] == found["sorted"][::-1]
    assert min(map(len, found.values())) >= company.BATCHES_AGAIN
    counted = [len(torch.cat(found[k]).unique()) for k in ("mixed", "sorted")]
    assert counted == [len(y), len(y)]


def test_in_company_the_layer_norm_answers_alike_and_the_batch_norm_does_not():
    rows = {
        norm: company.run({"norm": norm, "trained": 128, "size": 2}, 0)
        for norm in company.NORMS
    }
    assert rows["layer"].pop("flips") == 0
    assert len(set(rows["layer"].values())) == 1
    assert rows["batch"]["flips"] > 0.3 and rows["batch"]["sorted"] > 0.7
    assert rows["batch"]["running"] < 0.06


def test_running_statistics_are_estimated_from_these_batches_alone():
    model = company.network("batch", 128, 0, SPLIT)
    before = model.norm1.running_mean.clone()
    again = company.estimated_again(model, SPLIT.x_train, [torch.arange(50)])
    batch = model.linear1(SPLIT.x_train[:50])
    torch.testing.assert_close(again.norm1.running_mean, 0.1 * batch.mean(0))
    assert torch.equal(model.norm1.running_mean, before)


@pytest.mark.parametrize("kind", stream.GRID["stream"])
def test_streams_are_as_long_as_they_say(kind):
    y = SPLIT.y_train
    found = stream.stream(kind, y, 0)
    assert len(torch.cat(found)) == stream.EXAMPLES
    sizes = {len(batch) for batch in found}
    if kind == "single":
        assert sizes == {1}
        waits = stream.stream(kind, y, 0, wait=True)
        assert {len(batch) for batch in waits} == {stream.SIZE}
        assert torch.equal(torch.cat(waits), torch.cat(found))
    elif kind == "varying":
        assert set(stream.VARYING) <= sizes and 1 not in sizes
    else:
        assert sizes == {stream.SIZE}
    classes = [y[batch].unique().tolist() for batch in found]
    if kind == "cycle":
        assert classes[:12] == [[k % 10] for k in range(12)]
    if kind == "blocks":
        assert classes == sorted(classes) and classes[0] == [0] and len(classes[0]) == 1


@pytest.mark.parametrize("seed", range(40))
def test_a_stream_of_varying_batches_never_ends_in_a_single_example(seed):
    found = stream.stream("varying", SPLIT.y_train, seed)
    assert min(len(batch) for batch in found) >= 2


def test_running_norm_is_batch_norm_in_evaluation_and_moves_before_it_is_used():
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    norm = stream.RunningNorm(3).double()
    y = norm(x[:1])
    assert y.shape == (1, 3)  # a single example
    assert torch.allclose(norm.running_mean, 0.01 * x[0])
    assert torch.allclose(norm.running_var, 0.99 + 0.01 * x[0] ** 2)
    twin = torch.nn.BatchNorm1d(3).double().eval()
    twin.load_state_dict(norm.state_dict())
    torch.testing.assert_close(y, twin(x[:1]))
    norm.eval()
    torch.testing.assert_close(norm(x), twin(x))
    kept = norm.running_mean.clone()
    norm(x)
    assert torch.equal(norm.running_mean, kept)


def test_what_a_stream_got_wrong_is_counted_before_the_step():
    model = torch.nn.Sequential(torch.nn.Linear(64, 10)).double()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.eye(10, dtype=torch.float64)[3])
    y = torch.full((stream.LAST,), 3)
    x = SPLIT.x_train[: stream.LAST]
    assert stream.learn(model, x, y, torch.arange(len(y)).split(64), 0.0) == 0.0
    assert stream.learn(model, x, y - 1, torch.arange(len(y)).split(64), 0.0) == 1.0


def test_shifts_do_what_their_names_say():
    x = SPLIT.x_test
    made = {name: shift.change(name, x, 0) for name in shift.SHIFTS}
    assert torch.equal(made["contrast"], 0.25 * x)
    assert torch.equal(made["offset"], x + 0.5)
    assert torch.equal(made["inverted"], 1 - x)
    assert made["noise"].sub(x).std().item() == pytest.approx(0.3, rel=0.02)
    inked = (x > 0).any(0)
    factors = (made["gains"] / x)[:, inked].nan_to_num(0).amax(0)
    assert torch.allclose(made["gains"][:, inked], factors * x[:, inked])
    assert ((made["outlier"] - x).sum(1) - 10).abs().max() < 1e-12
    images = made["moved"].reshape(-1, 8, 8)
    assert torch.equal(images[..., 1:], x.reshape(-1, 8, 8)[..., :-1])
    assert images[..., 0].abs().max() == 0
    centre = x.reshape(-1, 8, 8)[:, :3, :3].mean((1, 2))
    torch.testing.assert_close(made["blurred"].reshape(-1, 8, 8)[:, 1, 1], centre)
    assert made["classes"] is x
    for name in ("contrast", "offset", "gains"):
        assert torch.equal(shift.change(name, x, 0, 0.0), x)
    assert torch.equal(shift.change("noise", x, 0), made["noise"])


def test_only_the_adapted_network_uses_the_statistics_of_what_comes():
    x = SPLIT.x_train
    model = shift.network("adapted", 0, x)
    kept = model.norm1.running_mean.clone()
    model.eval()
    plain = model(x[:50]).argmax(-1)
    wrong = shift.wrong_of(model, x[:50], plain, adapts=False)
    assert wrong == 0 and torch.equal(model.norm1.running_mean, kept)
    assert shift.wrong_of(model, x[:50], plain, adapts=True) > 0
    assert torch.equal(model.norm1.running_mean, kept)


def test_an_input_norm_makes_contrast_and_offset_harmless():
    harm = shift.run({"stage": "test", "arm": "layer_input", "lr": 0.1}, 0)
    # Not 0: a quarter of the contrast is nearer to the eps of the norm.
    assert abs(harm["contrast"]) <= 0.01 and abs(harm["offset"]) <= 0.01
    assert abs(harm["contrast_drift"]) <= 0.01


def test_standardizing_leaves_constant_pixels_alone():
    x = SPLIT.x_train
    y = shift.Standardize(x)(x)
    constant = x.std(0) == 0
    assert constant.any() and y[:, constant].abs().max() == 0
    assert y[:, ~constant].std(0, correction=0).sub(1).abs().max() < 1e-12


def test_labels_are_replaced_in_a_fifth_and_by_other_classes():
    y = SPLIT.y_train
    noisy = generalization.split_of("noisy", 0)
    differ = (noisy.y_train != y).double().mean().item()
    assert differ == pytest.approx(0.2, abs=0.001)
    assert noisy.y_train.min() >= 0 and noisy.y_train.max() <= 9
    assert torch.equal(noisy.y_test, SPLIT.y_test)
    assert torch.equal(noisy.y_val, SPLIT.y_val)


def test_the_small_and_the_other_data_set():
    assert generalization.split_of("few", 0).x_train.shape == (100, 64)
    cancer = generalization.split_of("cancer", 0)
    shapes = [tuple(x.shape) for x in cancer[::2]]
    assert shapes == [(341, 30), (114, 30), (114, 30)]
    assert cancer.x_train.mean(0).abs().max() < 1e-12
    assert cancer.x_train.std(0, correction=0).sub(1).abs().max() < 1e-12
    assert 0.01 < cancer.x_test.mean(0).abs().max() < 0.5


def test_norms_of_convolutions_see_what_they_say():
    x = SPLIT.x_train[:6].float()
    for norm in convolution.NORMS:
        model = convolution.network(norm, 0).train()
        full, alone = model(x), model(x[:1])
        depends = (full[:1] - alone).abs().max().item() > 1e-3
        assert depends == (norm == "batch"), norm
    # Batch norm of one image is instance norm.
    one = [convolution.network(n, 0).train()(x[:1]) for n in ("batch", "instance")]
    torch.testing.assert_close(*one)


# --- rules of batch_size, on made-up tables --------------------------------------

SIZES = (2, 8, 128)


def table(errors, noise=0.001, companions=(0.3, 0.1, 0.01), seed=0):
    """Test errors of layer norm and batch norm at three batch sizes."""
    rng = np.random.default_rng(seed)
    rows = []
    for norm, by_size in errors.items():
        for size, error, noise_share in zip(SIZES, by_size, companions, strict=True):
            for s in range(10):
                rows.append(
                    {
                        "stage": "test",
                        "norm": norm,
                        "batch_size": size,
                        "lr": 0.1,
                        "seed": s,
                        "test_error": error + rng.normal(0, noise),
                        "companions": (norm == "batch")
                        * noise_share
                        * (1 + rng.normal(0, 0.1)),
                    }
                )
    return Evidence.of(rows, ["stage", "norm", "batch_size", "lr"])


FLAT = (0.05, 0.05, 0.05)


@pytest.mark.parametrize(
    ("errors", "noise", "verdict"),
    [
        ((0.30, 0.05, 0.05), 0.001, rules.HOLDS),  # the effect is there
        (FLAT, 0.001, rules.DOES_NOT_HOLD),  # it is not
        ((0.02, 0.03, 0.05), 0.001, rules.DOES_NOT_HOLD),  # it is reversed
        ((0.053, 0.05, 0.05), 0.001, rules.DOES_NOT_HOLD),  # too small to matter
        ((0.06, 0.05, 0.05), 0.1, rules.OPEN),  # drowned in noise
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_07(errors, noise, verdict, seed):
    made_up = table({"layer": FLAT, "batch": errors}, noise, seed=seed)
    assert batches.batch_norm_is_sensitive(made_up).verdict == verdict


@pytest.mark.parametrize(
    ("errors", "noise", "verdict"),
    [
        (FLAT, 0.001, rules.HOLDS),
        ((0.02, 0.03, 0.05), 0.001, rules.HOLDS),
        ((0.30, 0.05, 0.05), 0.001, rules.CONDITIONAL),
        ((0.30, 0.02, 0.05), 0.001, rules.CONDITIONAL),  # worse here and better there
        ((0.035, 0.05, 0.05), 0.006, rules.HOLDS),  # better or the same: not worse
        ((0.06, 0.05, 0.05), 0.1, rules.OPEN),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_rule_of_l_48(errors, noise, verdict, seed):
    made_up = table({"layer": errors, "batch": FLAT}, noise, seed=seed)
    assert batches.layer_norm_is_not_sensitive(made_up).verdict == verdict


def test_rule_of_l_48_needs_the_layer_too(monkeypatch):
    broken = rules.Verdict(rules.OPEN, "not so")
    monkeypatch.setattr(derivations, "rows_are_independent", lambda: broken)
    made_up = table({"layer": FLAT, "batch": FLAT})
    assert batches.layer_norm_is_not_sensitive(made_up) == broken


@pytest.mark.parametrize(
    ("companions", "verdict"),
    [
        ((0.3, 0.1, 0.05), rules.HOLDS),
        ((0.3, 0.0, 0.0), rules.HOLDS),
        ((0.0, 0.0, 0.0), rules.DOES_NOT_HOLD),
        ((0.001, 0.001, 0.001), rules.DOES_NOT_HOLD),
        ((-0.3, -0.1, -0.05), rules.DOES_NOT_HOLD),
    ],
)
def test_rule_of_l_12(companions, verdict):
    made_up = table({"layer": FLAT, "batch": FLAT}, companions=companions)
    assert batches.batch_norm_is_random(made_up).verdict == verdict


def test_rule_of_l_12_in_noise():
    said = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = [dict(r) for r in table({"layer": FLAT, "batch": FLAT}).rows]
        for row in rows:
            row["companions"] = rng.normal(0.05 * (row["norm"] == "batch"), 1.0)
        made_up = Evidence.of(rows, ["stage", "norm", "batch_size", "lr"])
        said.append(batches.batch_norm_is_random(made_up).verdict)
    assert said.count(rules.OPEN) >= 17  # chance may show in one of 20
