"""What pages show: the source as it is, tables that line up, numbers with names."""

import re

import pytest

from lnlib import claims, loops, pages, tables
from lnlib.lab import evidence, rules


def test_source_is_the_librarys_own_without_the_docstring():
    shown = pages.source(loops.layer_norm_forward)
    assert shown.startswith("```python\ndef layer_norm_forward(x, weight=None")
    assert "centred = [xi - mean for xi in x]" in shown
    assert '"""' not in shown and "Args:" not in shown
    code = shown.removeprefix("```python\n").removesuffix("\n```")
    compile(code, "shown", "exec")


def test_source_with_the_docstring():
    assert "Args:" in pages.source(loops.layer_norm, docstring=True)


def test_source_of_several():
    shown = pages.source(loops.layer_norm, loops.rms_norm)
    assert shown.count("def ") == 2 and shown.count("```") == 2


def test_source_of_a_class_keeps_its_methods():
    shown = pages.source(pages.Markdown)
    assert "_repr_markdown_" in shown and '"""' not in shown


@pytest.mark.parametrize("bad", [len, 3, "text"])
def test_what_has_no_source_is_refused(bad):
    with pytest.raises(TypeError, match="Expected a function or class"):
        pages.source(bad)


def test_table():
    shown = pages.table(["a", "bb", "c"], [["x", 1, 2.5], ["long", 10, "-"]], "lrc")
    assert str(shown).splitlines() == [
        "| a    |  bb |  c  |",
        "|:-----|----:|:---:|",
        "| x    |   1 | 2.5 |",
        "| long |  10 |  -  |",
    ]
    assert repr(shown) == str(shown) == shown._repr_markdown_()


def test_a_table_that_does_not_line_up_is_refused():
    with pytest.raises(ValueError, match="rows of 2 cells, but got"):
        pages.table(["a", "b"], [[1, 2, 3]])
    with pytest.raises(ValueError, match="one letter of l, r, c"):
        pages.table(["a", "b"], [[1, 2]], "lx")


def test_glue_writes_the_record_that_myst_nb_reads(monkeypatch):
    records = []
    monkeypatch.setattr(pages, "display", lambda *a, **k: records.append((a, k)))
    pages.glue("error", 1.234e-7, ".1e")
    pages.glue("name", "text")
    (first,), options = records[0]
    assert first == {"application/papermill.record/text/plain": "1.2e-07"}
    assert options["raw"] is True
    assert options["metadata"]["scrapbook"] == {
        "name": "error",
        "mime_prefix": "application/papermill.record/",
    }
    assert records[1][0] == ({"application/papermill.record/text/plain": "text"},)


def test_glue_refuses_a_name_that_is_none():
    with pytest.raises(TypeError, match="Expected name to be a string, but got int"):
        pages.glue(3, "text")


def test_cells_keep_to_their_column_and_their_line():
    lines = str(tables.table(["a|b", "c"], [["1\n2", r"3\|4"]])).splitlines()
    assert len(lines) == 3
    assert [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[0])] == [
        *("", r"a\|b", "c", "")
    ]
    assert [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[2])] == [
        *("", "1 2", r"3\|4", "")
    ]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("ab", [["1", "2"]]), TypeError, "header to be a list, but got 'ab'"),
        ((["a"], "1"), TypeError, "rows to be a list, but got '1'"),
        ((["a", "b"], ["12"]), TypeError, "row to be a list of cells, but got '12'"),
        (([], []), ValueError, "at least one column, but got none"),
    ],
)
def test_tables_refuse_text_in_the_place_of_a_list(arguments, kind, words):
    with pytest.raises(kind, match=words):
        tables.table(*arguments)


# --- the ledger ---------------------------------------------------------------------


def made_up(kind="derived", rule=None, **more):
    quotes = (claims.Quote("A", "Conclusion", "it helps"),)
    return claims.Claim("L-99", quotes, "It helps.", kind, rule, **more)


def test_an_entry_has_words_verdict_reason_and_evidence():
    def one_is_one():
        return rules.checked({"1 is 1 [ba2016layer]": True})

    claim = made_up(rule=one_is_one, chapter="02_the_formula", note="Sometimes.")
    lines = [line for line in pages.entries([claim]).splitlines() if line]
    assert lines == [
        '<span id="l-99"></span>**L-99 · holds** · derived · '
        "[chapter](02_the_formula.ipynb) · "
        '<a href="#rule-one-is-one">rule one_is_one</a>',
        "> “it helps” (A, Conclusion)",
        "*Literally:* It helps.",
        "*Why:* 1 is 1 ([Ba 2016](../book/bibliography.md)).",
        "*Note:* Sometimes.",
    ]
    assert '<details id="rule-one-is-one"><summary>one_is_one' in pages.rules([claim])
    assert "return rules.checked" in pages.rules([claim])


def test_what_was_added_and_what_is_open_say_so(tmp_path):
    claim = claims.Claim("L-99", (), "It helps.", "measured", None, "weight_norm")
    shown = pages.entries([claim], tmp_path)
    assert "**L-99 · open**" in shown and "> (added)" in shown
    assert "table-weight-norm" not in shown  # there is none


def test_many_answers_are_folded_and_counted():
    answers = {n: rules.Answer(rules.YES, f"reason {n}") for n in range(3)}

    def rule(table):
        return rules.everywhere(answers)

    claim = made_up("measured", rule, experiment="weight_norm")
    assert "*Why:* 0: yes (reason 0); 1: yes" in pages.entries([claim])
    answers[3] = rules.Answer(rules.NO, "reason 3")
    shown = pages.entries([claim])
    assert "*Why:* of 4 comparisons yes in 3, no in 1." in shown
    assert "- 3: no (reason 3)" in shown and "</details>" in shown
    assert '<a href="#table-weight-norm">table weight_norm</a>' in shown


def test_each_place_that_the_ledger_links_to_is_on_the_page():
    ledger = claims.ledger().values()
    entries = pages.entries(ledger)
    page = "\n".join([entries, pages.rules(ledger), pages.experiments()])
    wanted = set(re.findall(r'href="#([^"]+)"', entries))
    assert wanted and wanted <= set(re.findall(r' id="([^"]+)"', page))


def test_tables_say_their_size_and_their_command():
    rows = len(evidence.load("weight_norm"))
    shown = pages.experiments(["weight_norm"])
    assert f"\n\n{rows} rows of 16 seeds, and 4 others to tune lr, made in" in shown
    assert "`python -m lnlib run weight_norm`" in shown
    assert "(../lnlib/evidence/weight_norm.csv)" in shown


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(evidence.EvidenceError, match="weight_norm"):
        pages.experiments(["weight_norm"], tmp_path)
