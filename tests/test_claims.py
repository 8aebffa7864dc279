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
