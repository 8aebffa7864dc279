"""The Sphinx extensions of the book: what they make of a page, and their errors."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from browsing import ROOT
from docutils import nodes
from nbformat.v4 import new_markdown_cell, new_notebook
from sphinx.errors import ExtensionError

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import accessible
import figures
import not_found
import offline_site
import page_heads
import repository
import status
import timeline

SVG = """<?xml version="1.0" encoding="utf-8"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="460.8pt" height="244.8pt"
 viewBox="0 0 460.8 244.8" xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata>a date</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1"><g id="axes_1">
  <path id="m1" d="M 0.123456 7.5" style="stroke: #1A1A1A"/>
  <use xlink:href="#m1" x="57.600001" style="fill: #2a7fc1" clip-path="url(#p2)"/>
  <line stroke="#d0d0d0"/>
  <text style="font: 10px 'DejaVu Sans', sans-serif; fill: #1a1a1a">a &lt; b</text>
  <clipPath id="p2"><rect x="0" width="9"/></clipPath></g></g>
</svg>
"""


def inlined(svg=SVG, prefix="page-1", alt="A line & a mark"):
    return str(figures.Inlined(svg, prefix, alt))


def test_figure_belongs_to_the_page():
    svg = inlined()
    assert svg.startswith("<svg ")
    for gone in ("metadata", "<style", "figure_1", "#1a1a1a", "#1A1A1A", "#d0d0d0"):
        assert gone not in svg
    assert 'aria-label="A line &amp; a mark"' in svg and 'role="img"' in svg
    assert "stroke:currentColor" in svg and "stroke:var(--figure-grid)" in svg
    assert "fill:#2a7fc1" in svg  # the colours of data stay
    assert "DejaVu" not in svg and "a &lt; b" in svg
    assert 'd="M 0.12 7.5"' in svg and 'x="57.6"' in svg
    assert "max-width: 614px" in svg
    assert "<g" not in svg  # groups that say nothing


def test_figures_of_one_page_do_not_share_ids():
    svg = inlined()
    assert 'id="page-1-m1"' in svg and 'href="#page-1-m1"' in svg
    assert 'id="page-1-p2"' in svg and "url(#page-1-p2)" in svg
    assert "page-2-m1" in inlined(prefix="page-2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alt": " "}, "alternative text"),
        ({"svg": "not xml"}, "expected an SVG"),
        ({"svg": "<html/>"}, "expected an SVG figure, but got <html>"),
    ],
)
def test_figure_errors(change, message):
    with pytest.raises(ValueError, match=message):
        inlined(**change)


def test_a_missing_mathjax_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtensionError, match=r"sphinx-mathjax-offline.*not installed"):
        offline_site.mathjax_source()


def test_a_changed_mathjax_is_named(monkeypatch):
    monkeypatch.setattr(offline_site, "COMPONENTS", ("startup", "gone"))
    with pytest.raises(ExtensionError, match=r"gone\.js"):
        offline_site.mathjax_source()


def test_trim_drops_what_is_not_used():
    page = (
        '<link rel="preload" as="font" href="fa.woff2" />'
        '<link rel="stylesheet" href="_static/sphinx-design.min.css?v=1" />'
        '<script src="_static/design-tabs.js?v=2"></script>'
        '<script src="vendor/fontawesome/6/js/all.min.js?digest=3"></script><p>x</p>'
    )
    assert offline_site.trim(page) == "<p>x</p>"
    code = (
        '<pre><span class="n">x</span><span class="p">.</span><span class="k">if</span>'
    )
    assert offline_site.trim(code) == '<pre>x.<span class="k">if</span>'
    with_tabs = page + '<div class="sd-tab-set docutils">'
    assert "sphinx-design.min.css" in offline_site.trim(with_tabs)


def test_trim_icons_keeps_those_in_use():
    kept = '.fa{a:b}.fa-moon:before,.fa-night:before{content:"\\f1"}'
    css = kept + '.fa-ant:before{content:"\\f2"}'
    assert offline_site.trim_icons(css, {"fa-night"}) == kept


def test_every_repair_has_something_to_repair():
    """A repair that fits nothing is noticed in the pages; here, that each can fit."""
    broken = (
        '<button class="btn search-button-field search-button__button" '
        'title="Search" aria-label="Search">'
        '<summary aria-label="Toggle hidden content">'
        '<div class="citation" id="id1" role="doc-biblioentry">'
        '<section id="exercise-content"><section id="solution-content">'
        '<div class="bd-sidebar-primary bd-sidebar hide-on-wide">'
        '<th class="head text-right"><p></p></th><th class="head"><p>a</p></th>'
        '<table style="width: 100%" class="indextable genindextable">'
    )
    for pattern, replacement in accessible.REPAIRS:
        assert pattern.search(broken), pattern.pattern
        assert not pattern.search(pattern.sub(replacement, broken)), pattern.pattern


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/someone/book.git", "someone/book"),
        ("git@github.com:someone/the.book.git", "someone/the.book"),
        ("ssh://git@github.com/someone/book/", "someone/book"),
        ("https://example.org/someone/book.git", None),
        ("https://notgithub.com/someone/book", None),
        (None, None),
    ],
)
def test_repository_from_the_remote(tmp_path, monkeypatch, remote, expected):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if remote:
        command = ["git", "-C", tmp_path, "remote", "add", "origin", remote]
        subprocess.run(command, check=True)
    assert repository.find(tmp_path) == expected


def test_repository_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "forker/book")
    assert repository.find(tmp_path) == "forker/book"
    for name in ("not a repository", "owner/..", "own.er/book", "a/b/c"):
        monkeypatch.setenv("GITHUB_REPOSITORY", name)
        assert repository.find(tmp_path) is None
    monkeypatch.setenv("GITHUB_REPOSITORY", "not a repository")
    monkeypatch.setenv("PATH", str(tmp_path))  # no git here
    assert repository.find(tmp_path) is None


def test_pages_address():
    assert repository.pages_address("Some/Book") == "https://some.github.io/book/"
    assert repository.pages_address("some/some.github.io") == "https://some.github.io/"


class Config:
    def __init__(self):
        self.html_theme_options = {"launch_buttons": {"colab_url": ""}, "kept": 1}
        self.html_baseurl = ""


class App:
    def __init__(self, folder):
        self.confdir = folder


def test_buttons_only_where_the_repository_is_known(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    config = Config()
    repository.configure(App(tmp_path), config)
    assert config.html_theme_options == {
        "kept": 1,
        "use_repository_button": False,
        "use_issues_button": False,
        "use_edit_page_button": False,
    }
    assert config.html_baseurl == ""

    monkeypatch.setenv("GITHUB_REPOSITORY", "forker/book")
    config = Config()
    repository.configure(App(tmp_path), config)
    options = config.html_theme_options
    assert options["repository_url"] == "https://github.com/forker/book"
    assert options["launch_buttons"]["colab_url"].endswith("research.google.com")
    assert options["use_repository_button"] and options["use_edit_page_button"]
    assert config.html_baseurl == "https://forker.github.io/book/"


def code(source, outputs=(), count=1, tags=()):
    cell = nbformat.v4.new_code_cell(source, execution_count=count)
    cell.outputs = list(outputs)
    cell.metadata["tags"] = list(tags)
    return cell


def test_status_counts_what_a_notebook_holds():
    text = nbformat.v4.new_output("stream", text="1\n")
    figure = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    markdown = (
        '# A chapter\n\n<div class="quiz" data-answer="1">\n\n:::{exercise} One\n'
    )
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(markdown),
            code("x = 1", [text], 1),
            code("draw()\nassert x == 1", [figure], 2),
            code("time()", [text], 3, ["nbval-ignore-output"]),
            code("np.testing.assert_allclose(x, 1)\nassert x", [], 4),
            code("1 / 0", [error], 5, ["raises-exception"]),
            code("%magic", [error], 6),
        ]
    )
    notebook.cells[3].id = "timing"
    found = status.status(notebook)
    vouched = "np.testing.assert_allclose(x, 1)"
    assert found == status.Status(
        title="A chapter",
        code=6,
        in_order=True,
        assertions=3,
        compared=4,
        ignored=[("timing", vouched)],
        figures=1,
        questions=1,
        exercises=1,
        errors=1,
    )
    notebook.cells[1].execution_count = None
    del notebook.cells[4]
    found = status.status(notebook)
    assert not found.in_order and found.ignored == [("timing", None)]


def test_library_facts(tmp_path):
    for folder, name, text in (
        ("lnlib", "a.py", '"""Does.\n\n>>> 1\n1\n"""\n\n\ndef f():\n    pass\n'),
        ("lnlib/nn", "_b.py", "class _C:\n    pass\n"),
        ("tests", "test_a.py", "def test_f():\n    pass\n\n\ndef other(): ...\n"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    assert list(status.library_facts(tmp_path).values()) == [2, 11, 1, 1, 1]


ENTRY = {"date": "2016-07", "name": "a", "kind": "k", "cite": "c", "text": "t"}


def entries(tmp_path, *changes):
    path = tmp_path / "history.yml"
    data = {"kinds": {"k": "A kind"}, "entries": [{**ENTRY, **c} for c in changes]}
    path.write_text(json.dumps(data))  # JSON is YAML
    return timeline.read(path)


def test_timeline_reads_entries(tmp_path):
    kinds, found = entries(tmp_path, {"date": 1992}, {}, {})
    assert kinds == {"k": "A kind"} and len(found) == 3
    assert [timeline.year(entry) for entry in found] == [1992, 2016.5, 2016.5]
    assert timeline.spoken("2016-07") == "July 2016" and timeline.spoken(1992) == "1992"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"more": 1}], "expected the fields"),
        ([{"kind": "x"}], "expected a kind among k, but got 'x'"),
        ([{"date": "July"}], "expected a date like"),
        ([{"date": "2016-13"}], "expected a date like"),
        ([{}, {"date": "2016-06"}], "in the order of their dates"),
    ],
)
def test_timeline_errors(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        entries(tmp_path, *changes)


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\sqrt{N-1}", "√(N−1)"),
        (r"10^{-5}", "10⁻⁵"),
        (r"\varepsilon", "ε"),
        (r"\hat x", "x̂"),
        (r"\frac{a}{b}", None),
        ("x_i", None),
    ],
)
def test_formulas_in_descriptions(tex, text):
    assert page_heads.plain(tex) == text


def test_description_is_of_the_first_sentences():
    def page(*paragraphs):
        section = nodes.section("", nodes.title("", "T"))
        for parts in paragraphs:
            section += nodes.paragraph("", "", *parts)
        return section

    def text(words):
        return nodes.Text(words)

    start = [text("A row has "), nodes.math("N", "N"), text(" numbers. ")]
    odd = [text("It is "), nodes.math("", r"\frac1N"), text(". Last.")]
    assert page_heads.describe(page(start + odd)) == "A row has N numbers. Last."
    long = page([text("Short. W" + "ord " * 50 + "end. More.")])
    assert page_heads.describe(long) == "Short."
    assert page_heads.describe(page()) == ""


def test_lost_addresses_lead_back_from_any_folder():
    links = [("book/index.html", "First <page>")]
    html = not_found.page("A & B", "https://some.github.io/book/", links)
    assert '<base href="/book/">' in html and "A &amp; B" in html
    assert '<a href="book/index.html">First &lt;page&gt;</a>' in html
    assert "<base" not in not_found.page("A", "", links)


def build(folder, page, chapter=None):
    """Build a book of one page, or of a page and a notebook, as this one is built."""
    config = (ROOT / "_config.yml").read_text("utf-8")
    config = config.replace("book/_ext", str(ROOT / "book" / "_ext"))
    config = config.replace("book/_static", str(ROOT / "book" / "_static"))
    config = config.replace("book/references", str(ROOT / "book" / "references"))
    (folder / "_config.yml").write_text(config, "utf-8")
    contents = "format: jb-book\nroot: page\n"
    if chapter:
        contents += "chapters:\n  - file: notebooks/01_small\n"
        (folder / "notebooks").mkdir()
        nbformat.write(chapter, folder / "notebooks" / "01_small.ipynb")
    (folder / "_toc.yml").write_text(contents, "utf-8")
    (folder / "page.md").write_text(page, "utf-8")
    jupyter_book = Path(sys.executable).parent / "jupyter-book"
    command = [jupyter_book, "build", folder, "-W", "-n", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "remote", "expected"),
    [
        ("forker/book", "https://github.com/someone/book.git", "forker/book"),
        (None, "https://github.com/someone/book.git", "someone/book"),
        (None, "git@github.com:forker/the.book.git", "forker/the.book"),
        (None, None, None),
    ],
)
def test_the_button_leads_to_the_edition_of_this_repository(
    tmp_path, monkeypatch, environment, remote, expected
):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    if environment:
        monkeypatch.setenv("GITHUB_REPOSITORY", environment)
    if remote:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        command = ["git", "-C", tmp_path, "remote", "add", "origin", remote]
        subprocess.run(command, check=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A chapter", id="title")]
    chapter = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    status, said = build(tmp_path, "# A page\n\nWith words.\n", chapter)
    assert status == 0, said
    html = tmp_path / "_build" / "html"
    links = re.findall(
        r'href="(https://colab[^"]*)"', (html / "notebooks/01_small.html").read_text()
    )
    where = f"https://colab.research.google.com/github/{expected}/blob/colab/"
    assert links == ([f"{where}01_small.ipynb"] if expected else [])
    # A page that is no notebook has no edition, and without a repository nothing has.
    page = (html / "page.html").read_text()
    assert "colab.research" not in page and "fa-rocket" not in page
    if not expected:
        assert "fa-rocket" not in (html / "notebooks/01_small.html").read_text()


def test_the_workflow_publishes_what_the_button_leads_to():
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    test = [step.get("run", "") for step in jobs["test"]["steps"]]
    # Building the site clears _build, so the edition is written after it.
    assert test.index("make test") < test.index("make colab")
    kept = [s["with"] for s in jobs["test"]["steps"] if "upload-artifact@" in str(s)]
    assert kept[0]["name"] == "colab" and kept[0]["path"] == "_build/colab"
    publish = jobs["publish"]
    assert publish["permissions"]["contents"] == "write"
    fetch, push, deploy = publish["steps"]
    assert fetch["with"]["name"] == "colab"
    assert fetch["with"]["path"] == push["working-directory"]
    # What is pushed to is the branch that the button names, and before the site.
    assert push["run"].split()[-1] == repository.EDITION
    assert f"--initial-branch {repository.EDITION}\n" in push["run"]
    assert "deploy-pages" in deploy["uses"]


def test_the_build_fails_for_a_number_that_no_cell_computed(tmp_path):
    status, said = build(tmp_path, "# A page\n\nIt is {glue:text}`never-computed`.\n")
    assert status != 0
    assert "never-computed" in said


def test_the_build_fails_for_a_figure_without_a_description(tmp_path):
    (tmp_path / "line.svg").write_text(SVG, "utf-8")
    status, said = build(tmp_path, "# A page\n\n![](line.svg)\n")
    assert status != 0
    assert "expected an alternative text" in said


def test_the_build_inlines_a_figure(tmp_path):
    (tmp_path / "line.svg").write_text(SVG, "utf-8")
    status, said = build(tmp_path, "# A page\n\n![A line](line.svg)\n")
    assert status == 0, said
    html = (tmp_path / "_build" / "html" / "page.html").read_text("utf-8")
    assert 'aria-label="A line"' in html and "<img" not in html.split("<article")[1]
