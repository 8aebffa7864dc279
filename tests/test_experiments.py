"""Every experiment of the book: its form, its seeds, and rows of its table again."""

import inspect
import itertools
import math
import random

import pytest
import torch

from lnlib.experiments import convergence, covariate_shift, landscape, neurons
from lnlib.lab import controls, data, deep, evidence, verify
from lnlib.lab.experiment import load, names
from lnlib.lab.sweep import measure

OWN_SEED = 10_007

every = pytest.mark.parametrize("name", names())
measured = pytest.mark.parametrize("name", evidence.tables())


def cheapest(experiment, stage, rank=0):
    rows = []
    if experiment.tuning and stage == "test":
        if experiment.name in evidence.tables():
            rows = evidence.load(experiment.name).rows
        else:  # any level will do, where no choice has been made
            by, tune = experiment.tuning.by, experiment.runs("tune")
            rows = [{**r.config, "seed": r.seed, by: 0.0} for r in tune]
    runs = experiment.runs(stage, rows=rows)
    if not runs:
        return None
    configs = {str(run.config): run for run in runs}
    run = sorted(configs.values(), key=lambda run: experiment.cost(run.config))[rank]
    # A seed of its own: networks of the book's seeds are trained side by side.
    return type(run)(run.config, OWN_SEED)


@every
def test_the_question_and_the_bars_are_written_down(name):
    experiment = load(name)
    assert experiment.question.endswith("?")
    text = inspect.getdoc(experiment.module)
    assert "Bars, fixed before looking" in text
    for measurement in experiment.measurements:
        assert f"`{measurement}`" in text, measurement


@every
def test_enough_seeds_count_and_enough_levels_are_tuned(name):
    experiment = load(name)
    assert len(experiment.seeds) >= 5
    if experiment.tuning:
        assert len(experiment.tuning.levels) >= 5
        ratios = [
            b / a
            for a, b in zip(
                experiment.tuning.levels, experiment.tuning.levels[1:], strict=False
            )
        ]
        assert all(2 < r < 5 for r in ratios), (
            "the grid should be even in the logarithm"
        )


@every
@pytest.mark.parametrize("stage", ["tune", "test"])
def test_a_run_measures_what_it_says(name, stage):
    experiment = load(name)
    run = cheapest(experiment, stage)
    if run is None:
        assert stage == "tune" and not experiment.tuning
        return
    done = measure(name, run)
    assert done["error"] is None, done["error"]
    made = [done["row"][m] for m in experiment.measurements]
    if stage == "test":
        assert all(value is not None for value in made)
    assert all(value is None or math.isfinite(value) for value in made)


@every
def test_a_seed_gives_a_row_bit_for_bit_and_another_seed_another(name):
    experiment = load(name)
    # Without a norm a deep network learns nothing, and then all seeds are alike.
    rank = {"deep_rates": 1}.get(name, 0)
    run = cheapest(experiment, "test", rank)
    first, again = measure(name, run), measure(name, run)
    assert repr(first["row"]) == repr(again["row"])
    other = measure(name, type(run)(run.config, run.seed + 1))
    measured = experiment.measurements
    assert [first["row"][m] for m in measured] != [other["row"][m] for m in measured]


@measured
def test_tables_belong_to_their_experiments_and_are_whole(name):
    experiment, table = load(name), evidence.load(name)
    assert table.factors == experiment.factors
    assert table.measurements == tuple(experiment.measurements)
    wrong = [w for w in map(experiment.check_row, table.rows) if w]
    assert not wrong
    assert list(table.rows) == sorted(table.rows, key=experiment.place)
    there = {tuple(r[f] for f in (*table.factors, "seed")) for r in table.rows}
    for stage in ("tune", "test"):
        for run in experiment.runs(stage, rows=table.rows):
            assert (*run.config.values(), run.seed) in there, str(run)
    record = table.provenance
    assert record["complete"] and record["rows"] == len(table)
    assert sum(s["rows"] for s in record["sessions"]) == len(table)


@measured
def test_cheap_rows_are_the_same_when_computed_again(name):
    """As `python -m lnlib verify` does, which takes any rows."""
    experiment, table = load(name), evidence.load(name)
    exact = verify.same_machine(table.provenance)
    seed = random.SystemRandom().randrange(10**6)
    # One row of networks that are trained side by side is that of all of them.
    count = 1 if hasattr(experiment.module, "deep") else 3
    for row in verify.sample(experiment, table, count, seed, cheapest=True):
        assert verify.differences(experiment, row, exact) == []


@measured
def test_the_test_split_was_touched_by_what_counts_alone(name):
    table = evidence.load(name)
    if "stage" in table.factors:
        tuning = table.where(stage="tune")
        for measurement in table.measurements:
            if measurement.startswith("test"):
                assert all(row[measurement] is None for row in tuning.rows)


# --- batch_size ----------------------------------------------------------------------


def batch_size_row(norm, size, stage="test"):
    config = {"stage": stage, "norm": norm, "batch_size": size, "lr": 0.1}
    from lnlib.lab.experiment import Run

    return measure("batch_size", Run(config, 0))["row"]


def test_only_batch_norm_depends_on_companions():
    rows = {norm: batch_size_row(norm, 64) for norm in ("none", "batch", "layer")}
    assert rows["none"]["companions"] == rows["layer"]["companions"] == 0.0
    assert rows["batch"]["companions"] > 1e-4
    for norm in ("none", "layer"):
        assert rows[norm]["test_error_batch"] == rows[norm]["test_error"]


def test_batch_norm_is_not_run_with_single_examples():
    experiment = load("batch_size")
    configs = experiment.configurations()
    assert {"norm": "batch", "batch_size": 1} not in configs
    assert {"norm": "layer", "batch_size": 1} in configs and len(configs) == 23


# --- deep_* --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deep_start", "deep_training", "deep_rescue"])
def test_networks_side_by_side_are_computed_again_bit_for_bit(name):
    """The runs above come from a cache the second time."""
    experiment = load(name)
    run = cheapest(experiment, "test")
    first = measure(name, run)["row"]
    deep._together.cache_clear()
    load("deep_start").module._side_by_side.cache_clear()
    assert repr(measure(name, run)["row"]) == repr(first)


def test_a_seed_of_ones_own_can_be_asked_for():
    run = cheapest(load("deep_training"), "test")
    row = measure("deep_training", type(run)(run.config, 7))["row"]
    assert row["seed"] == 7 and 0 <= row["test_error"] <= 1


def test_which_deep_networks_are_trained():
    experiment = load("deep_training")
    configs = [tuple(c.values()) for c in experiment.configurations()]
    assert ("sgd", "residual", "layer", 64) in configs
    assert ("sgd", "plain", "layer", 64) not in configs
    assert {c[3] for c in configs if c[0] == "adam" or c[2] == "after"} == {16}
    assert all(c[1] == "plain" for c in configs if c[0] == "adam")


def test_deep_start_follows_the_theory():
    from lnlib.lab.experiment import Run

    config = {"path": "plain", "activation": "sigmoid", "norm": "layer", "gain": 3.0}
    row = measure("deep_start", Run({**config, "depth": 32}, 0))["row"]
    assert row["log_gradient"] == pytest.approx(31 / 2 * math.log10(0.153), abs=0.6)
    assert row["cosine"] > 0.999 and row["rank"] < 1.5


def test_a_range_of_rates_is_counted():
    from lnlib.experiments.deep_rates import RATES, summary

    steps = [math.log10(b / a) for a, b in itertools.pairwise(RATES)]
    assert all(0.49 < step < 0.51 for step in steps)
    found = [{"val_error": 0.9, "diverged": 0.0} for _ in RATES]
    assert summary(RATES, found)["width"] == 0
    assert summary(RATES, found)["highest"] == -4.5
    found[2:5] = [{"val_error": 0.1, "diverged": 0.0}] * 3
    found[9] = {"val_error": 0.9, "diverged": 1.0}
    assert summary(RATES, found) == {
        "width": 1.5,
        "highest": -2.0,
        "diverged": 1.0,
        "val_error": 0.1,
    }


def test_every_arm_of_the_rescue_is_a_network():
    from lnlib.experiments.deep_rescue import ARMS

    outputs = set()
    for change in ARMS.values():
        arm = {k: v for k, v in change.items() if k not in ("steps", "optimizer")}
        x = deep.digits((0,), arm.pop("whiten", False)).x_train[:, :8]
        network = deep.Deep(3, [0], **{"norm": "layer", **arm})
        outputs.add(round(network(x).sum().item(), 5))
    assert len(outputs) == len(ARMS) - 2  # longer and adam start as layer does


def test_the_leaky_arms_keep_gradients_and_slow_the_collapse_down():
    """What the experiment rests on, in networks wider than its own."""
    from lnlib.experiments.deep_leaky import ARMS

    x = deep.digits((0,)).x_train[:, :32].double()
    x = x @ torch.eye(64, 256, dtype=torch.float64)
    cosines = []
    for arm in ARMS.values():
        network = deep.Deep(
            16,
            [0],
            norm="layer",
            **arm,
            width=256,
            classes=0,
            gain=1.0,
            dtype=torch.float64,
        )
        found = deep.start(network, x, (16,))[16]
        assert abs(found["log_gradient"].item()) < 0.2
        cosines.append(found["cosine"].item())
    assert all(b < a - 0.01 for a, b in itertools.pairwise(cosines))


# --- what was asked again ------------------------------------------------------------


def test_what_is_asked_again_has_seeds_of_its_own():
    first = {name: load(name) for name in ("deep_training", "deep_rates")}
    seen = {s for e in first.values() for s in e.seeds}
    seen |= set(first["deep_training"].tuning.seeds) | set(load("learning_rate").seeds)
    for name in (
        "deep_repeat",
        "deep_causes",
        "deep_longer",
        "deep_leaky",
        "rates_repeat",
    ):
        again = load(name)
        assert not seen & set(again.seeds), name
        if again.tuning:
            assert not (seen | set(again.seeds)) & set(again.tuning.seeds), name
    assert not set(load("deep_longer").seeds) & set(load("deep_repeat").seeds)
    leaky = {*load("deep_leaky").seeds, *load("deep_leaky").tuning.seeds}
    for name in ("deep_repeat", "deep_longer", "rates_repeat"):
        tuning = load(name).tuning
        assert not leaky & {*load(name).seeds, *(tuning.seeds if tuning else ())}


@pytest.mark.parametrize(
    ("first", "name"), [("batch_size", "batch_repeat"), ("stream", "varying_repeat")]
)
def test_batches_are_asked_again_with_seeds_of_their_own(first, name):
    first, again = load(first), load(name)
    seen = {*first.seeds, *first.tuning.seeds}
    assert not seen & {*again.seeds, *again.tuning.seeds}
    assert not set(again.seeds) & set(again.tuning.seeds)
    assert set(again.tuning.levels) <= set(first.tuning.levels)
    assert set(again.measurements) <= set(first.measurements)


def test_which_networks_are_asked_of_again():
    configs = [tuple(c.values()) for c in load("deep_repeat").configurations()]
    assert {c[0::2] for c in configs if c[1] == "layer"} == {
        ("plain", 16),
        ("plain", 32),
        ("residual", 16),
        ("residual", 64),
    }
    assert [c for c in configs if c[1] == "batch"] == [("plain", "batch", 16)]
    rates = [tuple(c.values()) for c in load("rates_repeat").configurations()]
    assert ("plain", "he", 4) in rates and ("residual", "he", 4) not in rates


def test_the_test_error_is_that_of_the_rate_validation_chose(monkeypatch):
    from lnlib.experiments import deep_rates, learning_rate, rates_repeat

    found = [
        {"val_error": v, "test_error": t, "diverged": 0.0}
        for v, t in ((0.3, 0.01), (0.1, 0.12), (0.1, 0.02), (0.5, 0.03))
    ]
    for module, config in (
        (learning_rate, {"network": "deep", "norm": "he", "batch_size": 4}),
        (rates_repeat, {"path": "plain", "norm": "he", "batch_size": 4}),
    ):
        monkeypatch.setattr(deep_rates, "RATES", (0.001, 0.00316, 0.01, 0.0316))
        monkeypatch.setattr(deep, "learn", lambda *a, **k: found)
        row = module.run(config, module.SEEDS[0])
        assert row["test_error"] == 0.12 and row["width"] == 1.0


# --- experiments on training, on cases with a known answer ----------------------------

SPLIT = data.digits(0)
X, Y = SPLIT.x_train, SPLIT.y_train


def state(model):
    return [t.detach().clone() for t in model.state_dict().values()]


def same(model, before):
    return all(torch.equal(a, b) for a, b in zip(state(model), before, strict=True))


# --- covariate_shift ------------------------------------------------------------------


def test_shift_is_in_deviations():
    mean, spread = torch.zeros(3), torch.tensor([2.0, 2.0, 2.0])
    at = [(mean, spread)]
    assert covariate_shift.shift(at, at) == 0
    moved = [(mean + 2, spread)]
    assert covariate_shift.shift(at, moved) == 1
    wider = [(mean, 2 * spread)]
    assert covariate_shift.shift(at, wider) == 1
    both = [(mean + 3, spread + 4)]
    assert covariate_shift.shift(at, both) == 2.5
    assert covariate_shift.shift(at + at, at + moved) == 0.5  # mean over layers
    # The scale of all numbers does not matter.
    assert (
        covariate_shift.shift([(5 * mean, 5 * spread)], [(5 * mean + 10, 5 * spread)])
        == 1
    )


def test_moments_are_those_of_what_the_relus_receive():
    model = controls.network("batch", 0)
    before = state(model)
    found = covariate_shift.moments(model, X[:50])
    assert len(found) == covariate_shift.HIDDEN and same(model, before)
    for mean, spread in found:  # batch norm in training: standardized over examples
        assert (
            abs(mean).max() < 1e-12 and ((spread - 1).abs() < 0.05).float().mean() > 0.8
        )


def test_layers_below_that_stay_shift_nothing():
    model = controls.network("unsteady", 0)
    before = [p.detach().clone() for p in model.parameters()]
    kept = state(model)
    found = covariate_shift.covariate_shift(model, before, X[:50], Y[:50])
    assert found == [0.0] * 4 and same(model, kept)


@pytest.mark.parametrize("name, moved", [("linear1", [1, 1, 1, 1]),
                                         ("norm2", [0, 1, 1, 1]),
                                         ("linear4", [0, 0, 0, 1])])  # fmt: skip
def test_a_layer_shifts_those_above_and_no_others(name, moved):
    torch.manual_seed(0)
    model = controls.network("layer", 0)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        getattr(model, name).weight += 0.1 * torch.rand_like(
            getattr(model, name).weight
        )
    found = covariate_shift.covariate_shift(model, before, X[:50], Y[:50])
    assert [int(v > 0) for v in found] == moved


def test_logarithms_of_what_is_no_number_are_none():
    assert covariate_shift.log_mean([10.0, 1000.0 - 10]) == pytest.approx(
        math.log10(500)
    )
    for values in ([], [math.nan], [0.0], [math.inf]):
        assert covariate_shift.log_mean(values) is None
    assert (
        covariate_shift.finite(math.inf) is None and covariate_shift.finite(1.0) == 1.0
    )


# --- convergence ----------------------------------------------------------------------


def test_the_loss_is_reached_on_average_over_twenty_batches():
    assert not convergence.is_reached([0.0] * 19)
    assert convergence.is_reached([9.0] + [0.29] * 20)
    assert not convergence.is_reached([0.31] * 20)
    assert not convergence.is_reached([0.0] * 19 + [math.nan])


def test_a_run_that_does_not_arrive_counts_as_the_whole_budget():
    config = {"stage": "test", "optimizer": "sgd", "norm": "he", "lr": 1e200}
    found = convergence.run(config, 0)
    assert found == {"steps": 600, "reached": 0, "log_steps": math.log10(600)}


# --- landscape ------------------------------------------------------------------------


class Line(torch.nn.Sequential):
    """One linear layer: a loss whose gradient changes slowly."""

    def __init__(self):
        super().__init__(torch.nn.Linear(64, 10).double())


def test_gradients_are_looked_at_and_nothing_is_moved():
    for arm in ("layer", "batch"):
        model = controls.network(arm, 0)
        before = state(model)
        found = landscape.gradients(model, X, Y, 0.01)
        assert same(model, before) and model.training
        assert set(found) == set(landscape.MEASUREMENTS) - {
            "val_error",
            "log_change_loss",
        }


def test_a_smooth_loss_keeps_its_gradient():
    torch.manual_seed(0)
    found = landscape.gradients(Line(), X, Y, 1e-6)
    assert found["log_change"] < -2 and found["cosine"] > 0.9999
    # Ten times the rate is ten times the step: 10 lr |g|, in weights.
    torch.manual_seed(0)
    again = landscape.gradients(Line(), X, Y, 1e-5)
    assert again["log_change_rate"] - found["log_change_rate"] == pytest.approx(
        1, abs=0.01
    )
    # Of a gradient that changes in proportion, the ratio is that of one step.
    assert found["log_roughness"] == pytest.approx(found["log_change"] + 3, abs=0.05)


def test_batches_that_are_all_alike_differ_in_nothing():
    torch.manual_seed(0)
    x, y = X[:1].expand(512, 64), Y[:1].expand(512)
    assert landscape.gradients(Line(), x, y, 0.01)["log_noise"] < -12


def test_the_logarithm_of_zero_is_no_number():
    assert math.isnan(landscape.log10(0.0)) and landscape.log10(100.0) == 2


# --- neurons --------------------------------------------------------------------------


def test_a_layer_described():
    # Two neurons over two examples: 1 and -1, 3 and -3. Size: the root of 5.
    found = neurons.describe(torch.tensor([[1.0, 3.0], [-1.0, -3.0]]).double())
    assert found["log_spread"] == pytest.approx(math.log10(5**0.5))
    assert found["log_share"] == pytest.approx(0)
    assert found["log_unlike"] == pytest.approx(math.log10(2.8 / 1.2))
    assert found["example_spread"] == pytest.approx(0)


def test_what_is_the_same_for_all_examples_does_not_count_as_spread():
    found = neurons.describe(torch.tensor([[11.0, 3.0], [9.0, -3.0]]).double())
    assert found["log_spread"] == pytest.approx(math.log10(5**0.5))
    assert found["log_share"] == pytest.approx(math.log10((5 / 55) ** 0.5))


def test_examples_of_other_sizes_are_unlike():
    found = neurons.describe(torch.tensor([[1.0, 3.0], [10.0, 30.0]]).double())
    assert found["example_spread"] == pytest.approx(0.5)


def test_a_neuron_that_never_varies_is_as_unlike_as_can_be():
    a = torch.tensor([[1.0, 3.0], [1.0, -3.0]]).double().repeat(1, 10)
    assert neurons.describe(a)["log_unlike"] == neurons.LARGEST


def test_a_look_at_neurons_leaves_the_network_as_it_was():
    model = controls.network("batch", 0)
    before = state(model)
    found = neurons.look(model, X[:50], "start")
    assert same(model, before)
    assert found["log_spread_start"] == pytest.approx(0, abs=0.05)  # batch norm
