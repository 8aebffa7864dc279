"""What pages show: the source as it is, tables that line up, numbers with names."""

import re

import pytest

from lnlib import loops, pages, tables


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
