"""Every experiment of the book: its form, its seeds, and rows of its table again."""

import inspect
import math
import random

import pytest

from lnlib.lab import evidence, verify
from lnlib.lab.experiment import load, names
from lnlib.lab.sweep import measure

every = pytest.mark.parametrize("name", names())
measured = pytest.mark.parametrize("name", evidence.tables())


def cheapest(experiment, stage):
    rows = []
    if experiment.tuning and stage == "test":
        # Any level will do, where no choice has been made.
        by = experiment.tuning.by
        rows = [{**r.config, "seed": r.seed, by: 0.0} for r in experiment.runs("tune")]
    runs = experiment.runs(stage, rows=rows)
    return min(runs, key=lambda run: experiment.cost(run.config)) if runs else None


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
def test_the_same_seed_gives_the_same_row_bit_for_bit(name, stage):
    experiment = load(name)
    run = cheapest(experiment, stage)
    if run is None:
        assert stage == "tune" and not experiment.tuning
        return
    first, again = (measure(name, run) for _ in range(2))
    assert first["error"] is None, first["error"]
    assert repr(first["row"]) == repr(again["row"])
    made = [first["row"][m] for m in experiment.measurements]
    if stage == "test":
        assert all(value is not None for value in made)
    assert all(value is None or math.isfinite(value) for value in made)


@every
def test_another_seed_gives_another_row(name):
    run = cheapest(load(name), "test")
    other = type(run)(run.config, run.seed + 1)
    assert measure(name, run)["row"] != measure(name, other)["row"]


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
    for row in verify.sample(experiment, table, 3, seed, cheapest=True):
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
