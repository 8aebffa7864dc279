"""The ledger: whole, sourced, and with no verdict but those that rules return."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lnlib
from lnlib import claims
from lnlib.__main__ import main
from lnlib.lab import derivations, experiment, rules
from lnlib.lab.evidence import Evidence

ROOT = Path(__file__).resolve().parent.parent
LEDGER = claims.ledger()
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text()
KEYS = set(re.findall(r"^@\w+{(\S+),", BIBLIOGRAPHY, re.MULTILINE))

RULES = [
    function
    for name, function in inspect.getmembers(derivations, inspect.isfunction)
    if function.__module__ == derivations.__name__ and not name.startswith("_")
]


# --- the ledger ------------------------------------------------------------------


def test_no_number_is_missing_or_doubled():
    assert list(LEDGER) == [f"L-{i:02}" for i in range(1, len(LEDGER) + 1)]
    assert len(LEDGER) >= 83 and len(claims._CLAIMS) == len(LEDGER)


@pytest.mark.parametrize("claim", LEDGER.values(), ids=LEDGER)
def test_each_claim_has_what_it_needs(claim):
    assert claim.meaning.endswith(".")
    assert claim.kind in ("measured", "derived", "literature", "rhetoric")
    for quote in claim.quotes:
        assert quote.article in ("A", "B") and quote.section
        assert 1 <= len(quote.words.split()) <= 25
    assert set(claim.sources) <= KEYS
    if claim.chapter:
        assert (ROOT / "notebooks" / f"{claim.chapter}.ipynb").exists()
    if claim.kind == "measured":
        assert claim.experiment
        if claim.rule:
            assert claim.experiment in experiment.names()
    else:
        assert claim.rule and claim.experiment is None
    if claim.kind == "derived":
        assert claim.rule in RULES
    verdict = claim.verdict()
    assert verdict.verdict in rules.VERDICTS and verdict.why


def test_sourced_facts_name_their_sources():
    for claim in LEDGER.values():
        if claim.kind == "literature":
            facts = claim.verdict().why.split("; ")
            for fact in facts:
                (key,) = re.findall(r"\[(\w+)\]", fact)
                assert key in claim.sources, claim.id


def test_what_has_no_experiment_yet_is_open():
    waiting = [c for c in LEDGER.values() if c.kind == "measured" and c.rule is None]
    assert waiting
    for claim in waiting:
        assert claim.verdict().verdict == rules.OPEN
        assert "still to come" in claim.verdict().why
        assert claim.experiment not in experiment.names(), (
            f"{claim.id} has an experiment, {claim.experiment}, and needs a rule"
        )


def test_every_derivation_settles_a_claim():
    used = {c.rule for c in LEDGER.values()}
    assert [r.__name__ for r in RULES if r not in used] == []
    for claim in LEDGER.values():
        if claim.kind == "derived":
            assert claim.verdict().verdict != rules.OPEN, claim.verdict().why


def test_no_verdict_of_a_measured_or_derived_claim_is_typed_by_hand():
    """In the entries themselves, verdicts stand in those of the literature alone."""
    tree = ast.parse(inspect.getsource(claims))
    (entries,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_CLAIMS"
    ]
    names = {"HOLDS", "CONDITIONAL", "DOES_NOT_HOLD", "WRONG", "NOT_TESTABLE", "OPEN"}
    for entry in entries.elts:
        kind = entry.args[3].id
        typed = names & {n.id for n in ast.walk(entry) if isinstance(n, ast.Name)}
        assert not typed or kind == "LITERATURE", ast.unparse(entry.args[0])


def test_what_a_rule_needs_is_there_or_the_claim_is_open(tmp_path):
    verdict = LEDGER["L-07"].verdict(tmp_path)
    assert verdict.verdict == rules.OPEN
    assert "python -m lnlib run batch_size" in verdict.why


def test_contradictions_name_different_words():
    for contradiction in claims.CONTRADICTIONS:
        (_, one), (_, other) = contradiction.sides()
        assert one.words != other.words and contradiction.about


def test_every_claim_is_in_one_part():
    listed = [claim.id for name in claims.PARTS for claim in claims.part(name)]
    assert sorted(listed) == sorted(LEDGER)


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="Expected a part, one of History"):
        claims.part("Poetry")


# --- derivations: they fail when the layer is another ----------------------------


def test_derivations_are_the_same_every_time():
    assert [r() for r in RULES] == [r() for r in RULES]


BREAKS = {
    # What a wrong standardize would do, and rules that must then not stand.
    "leaves the mean in": (
        lambda x, axes, eps: lnlib.functional.standardize(x, axes, eps, False),
        ["over_features", "formula_is_right", "zero_mean_unit_variance"],
    ),
    "over the other axis": (
        lambda x, axes, eps=1e-5: lnlib.functional.standardize(
            x, {-1: 0, 0: -1}.get(axes, axes), eps
        ),
        ["rows_are_independent", "not_over_neurons", "moves_nothing_along_a_sequence"],
    ),
    "forgets eps": (
        lambda x, axes, eps: lnlib.functional.standardize(x, axes, 0.0),
        ["eps_1e_8_is_not_safe", "eps_does_nothing_else", "eps_is_for_stability"],
    ),
    "keeps the scale": (
        lambda x, axes, eps: (
            x - x.mean(axes, keepdims=True),
            x.mean(axes, keepdims=True),
            None,
        ),
        ["cannot_be_undone", "magnitude_is_lost", "outputs_are_bounded"],
    ),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_derivation_of_another_layer_does_not_stand(fault, monkeypatch):
    broken, names = BREAKS[fault]
    monkeypatch.setattr(lnlib, "standardize", broken)
    for name in names:
        with np.errstate(all="ignore"):
            verdict = getattr(derivations, name)()
        assert verdict.verdict in (rules.OPEN, rules.DOES_NOT_HOLD), name
        assert verdict.why.startswith("not so: ")


def test_a_layer_that_remembers_would_be_found(monkeypatch):
    seen = []

    def remembers(x, axes, eps):
        seen.append(x)
        y, mean, rstd = lnlib.functional.standardize(x, axes, eps)
        return y * (1 + 0.01 * len(seen)), mean, rstd

    monkeypatch.setattr(lnlib, "standardize", remembers)
    assert derivations.stores_nothing().verdict == rules.OPEN
    assert derivations.rows_are_independent().verdict == rules.OPEN


# --- rules of batch_size, on made-up tables --------------------------------------

SIZES = (2, 8, 128)


def table(errors, noise=0.001, companions=(0.3, 0.1, 0.01), seed=0):
    """Test errors of layer norm and batch norm at three batch sizes."""
    rng = np.random.default_rng(seed)
    rows = []
    for norm, by_size in errors.items():
        for size, error, company in zip(SIZES, by_size, companions, strict=True):
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
                        * company
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
    assert claims.batch_norm_is_sensitive(made_up).verdict == verdict


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
    assert claims.layer_norm_is_not_sensitive(made_up).verdict == verdict


def test_rule_of_l_48_needs_the_layer_too(monkeypatch):
    broken = rules.Verdict(rules.OPEN, "not so")
    monkeypatch.setattr(derivations, "rows_are_independent", lambda: broken)
    made_up = table({"layer": FLAT, "batch": FLAT})
    assert claims.layer_norm_is_not_sensitive(made_up) == broken


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
    assert claims.batch_norm_is_random(made_up).verdict == verdict


def test_rule_of_l_12_in_noise():
    said = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = [dict(r) for r in table({"layer": FLAT, "batch": FLAT}).rows]
        for row in rows:
            row["companions"] = rng.normal(0.05 * (row["norm"] == "batch"), 1.0)
        made_up = Evidence.of(rows, ["stage", "norm", "batch_size", "lr"])
        said.append(claims.batch_norm_is_random(made_up).verdict)
    assert said.count(rules.OPEN) >= 17  # chance may show in one of 20


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
    assert claims.weight_norm_adds(arms(gains, noise, seed)).verdict == verdict


# --- the command -----------------------------------------------------------------


def test_the_ledger_is_printed(capsys):
    assert main(["claims"]) == 0
    said = capsys.readouterr().out
    for claim in LEDGER.values():
        assert f"{claim.id}  {claim.verdict().verdict.upper()}" in said
        assert claim.meaning in said
    tally = claims.tally()
    assert f"{tally['holds']} holds, {tally['conditional']} conditional" in said
    assert sum(tally.values()) == len(LEDGER)


def test_one_claim_or_one_verdict(capsys):
    assert main(["claims", "l-31", "L-16"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("L-31  WRONG AS STATED") and "2 wrong as stated" in said
    assert main(["claims", "--verdict", "not testable", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {c["verdict"] for c in found} == {"not testable"}


def test_as_json_and_markdown(capsys):
    assert main(["claims", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [c["id"] for c in found] == list(LEDGER)
    assert found[30]["quotes"][0]["article"] == "A" and found[30]["why"]
    assert main(["claims", "--format", "md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(LEDGER) + 2
    assert lines[0].replace("|", " ").split() == ["claim", "words", "verdict", "kind"]
    assert all(line.count("|") == 5 for line in lines)


def test_an_unknown_claim_is_refused(capsys):
    assert main(["claims", "L-99"]) == 2
    assert "expected claims from L-01 to L-91, but got L-99" in capsys.readouterr().err


def test_the_ledger_needs_neither_torch_nor_scikit_learn():
    code = "import sys; from lnlib.claims import tally; tally();"
    code += "print([m for m in ('torch', 'sklearn', 'joblib') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


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
    assert claims.layer_norm_keeps_gradients(made_up).verdict == verdict


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
    assert claims.placement_makes_no_difference(made_up).verdict == verdict


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
    answers = claims.depth_needs_layer_norm(made_up)
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
    assert claims.small_gradients_stop_learning(made_up).verdict == verdict


def test_rule_of_l_37_without_small_gradients():
    made_up = training_table({("plain", "none", 8): (0.9, 0.5)})
    assert claims.small_gradients_stop_learning(made_up).verdict == rules.OPEN


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
    assert claims.layer_norm_widens_the_rates(made_up).verdict == verdict
    # In rates_repeat there are batches of 4 as well, which are not looked at.
    more = [{**row, "batch_size": 32} for row in rows]
    more += [{**row, "batch_size": 4, "width": 0.0} for row in rows]
    made_up = Evidence.of(more, ["path", "norm", "batch_size"])
    assert claims.layer_norm_widens_the_rates(made_up).verdict == verdict
