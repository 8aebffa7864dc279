"""Each check finds its fault: small pages, each with one thing wrong."""

import re
import shutil

import checks
import pytest
from browsing import ROOT, opened, served, visit_page

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width">{head}</head>
<body><main class="bd-article"><h1>A page</h1>{body}</main></body></html>
"""


@pytest.fixture(scope="module")
def folder(site, tmp_path_factory):
    """A folder to put pages into, beside what the site serves to its own."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(site / "_static" / "mathjax", folder / "_static" / "mathjax")
    for name in ("quiz.js", "book.js"):
        shutil.copy(ROOT / "book" / "_static" / name, folder / "_static" / name)
    return folder


@pytest.fixture(scope="module")
def visit(browser, folder):
    """Write a page and visit it."""
    with served(folder) as address:

        def visit(body, head="", closer=False):
            (folder / "page.html").write_text(
                PAGE.format(head=head, body=body), "utf-8"
            )
            return visit_page(browser, f"{address}/page.html", closer)

        yield visit


@pytest.fixture(scope="module")
def mathjax(site):
    """MathJax as the pages of the site load it, settings included."""
    html = next(iter(sorted((site / "notebooks").glob("*.html")))).read_text("utf-8")
    settings = re.search(r"<script>window\.MathJax = .*?</script>", html)[0]
    return settings + '<script defer src="_static/mathjax/mathjax.js"></script>'


def formula(tex):
    return rf'<p>So <span class="math">\({tex}\)</span>.</p>'


GOOD = (
    '<p>Plain words, and a <a href="page.html">link</a>.</p>'
    '<svg class="figure" role="img" aria-label="A square" viewBox="0 0 9 9" '
    'style="color: #333"><text style="fill: currentColor">ink</text></svg>'
    '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="A dot">'
)
ALL = (
    checks.requests_elsewhere,
    checks.noise,
    checks.bad_formulas,
    checks.undescribed_pictures,
    checks.barriers,
    checks.sideways,
    checks.stuck_boxes,
    checks.lost_focus,
    checks.motion,
    checks.pale_print,
    checks.overweight,
    checks.unreadable_figures,
    checks.questions_left_plain,
)


def test_a_good_page_passes_every_check(visit, mathjax):
    white = "<style>body{background: #fff}</style>"
    seen = visit(GOOD + formula(r"\frac{a}{b}"), mathjax + white, closer=True)
    assert seen.formulas["count"] == 1
    for check in ALL:
        assert not check(seen), check.__name__


@pytest.mark.parametrize(
    ("tex", "fault"),
    [
        (r"\sigmma^2", "error: Undefined control sequence \\sigmma"),
        (r"\frac{a}", "error: Missing argument for \\frac"),
        (r"\frac{a}{b", "not set: \\(\\frac{a}{b\\)"),
    ],
    ids=["undefined macro", "syntax error", "unbalanced brace"],
)
def test_bad_tex(visit, mathjax, tex, fault):
    assert fault in checks.bad_formulas(visit(formula(tex), mathjax))


def test_tex_that_no_one_sets(visit, mathjax):
    for tex in (r"\[x\]", r"\(x\)", "$$x$$", "The largest $"):
        faults = checks.bad_formulas(visit(f"<p>{tex}</p>"))
        assert faults == [f"raw TeX: {tex}"]
    assert not checks.bad_formulas(visit(r"<pre>\[x\] in code is code</pre>"))


def test_an_undefined_macro_in_red(visit, mathjax):
    """What MathJax does where it is not told that this is an error."""
    lenient = mathjax.replace("noundefined", "none-of-these")
    seen = visit(formula(r"\sigmma"), lenient)
    assert any(f.startswith("undefined") for f in checks.bad_formulas(seen))


def test_a_script_from_elsewhere(visit, folder):
    body = '<script src="https://cdn.example.org/x.js"></script>'
    seen = visit(body)
    assert checks.requests_elsewhere(seen) == ["https://cdn.example.org/x.js"]
    assert checks.noise(seen)
    pages = checks.read_pages(folder)
    assert checks.foreign_parts(folder, pages) == [
        "page.html: <script> https://cdn.example.org/x.js"
    ]


@pytest.mark.parametrize(
    "body",
    [
        "<script>console.error('no')</script>",
        "<script>console.warn('no')</script>",
        "<script>nothing.here()</script>",
        "<script>let twice = 1</script><script>let twice = 2</script>",
        "<img src='missing.png' alt='A thing'>",
    ],
)
def test_noise(visit, body):
    assert checks.noise(visit(body))


@pytest.mark.parametrize(
    "body",
    [
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="_images/1f.svg">',
        '<svg class="figure" viewBox="0 0 9 9"></svg>',
        '<svg class="figure" role="img" aria-label=" " viewBox="0 0 9 9"></svg>',
    ],
)
def test_undescribed_pictures(visit, body):
    assert len(checks.undescribed_pictures(visit(body))) == 1


@pytest.mark.parametrize(
    "style",
    ["color: #eee", "background: white", "filter: brightness(.8)", "fill: #1a1a1a"],
)
def test_unreadable_figures(visit, style):
    page = "<style>body{background: #fff}</style>"
    body = (
        f'<svg class="figure" role="img" aria-label="A word" style="{style}" '
        'viewBox="0 0 9 9"><text style="fill: currentColor">ink</text></svg>'
    )
    assert checks.unreadable_figures(visit(body, page, closer=True))


def test_contrast():
    assert checks.contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == 21
    assert checks.contrast("rgb(9, 9, 9)", "rgb(9, 9, 9)") == 1
    with pytest.raises(ValueError, match="expected a colour"):
        checks.contrast("none", "rgb(0, 0, 0)")


@pytest.mark.parametrize(
    "body",
    [
        "<button></button>",
        '<p style="color: #ccc; background: #fff">Hardly to be seen</p>',
        '<button aria-label="Find">Search</button>',
        '<div role="list"><p>no item</p></div>',
        # Moderate and minor ones count, too.
        "<h2>Two</h2><h4>Four</h4>",
        "<table><tr><th></th><td>1</td></tr></table>",
        '<button style="height: 9px; padding: 0">a</button><button>b</button>',
    ],
)
def test_barriers(visit, body):
    assert checks.barriers(visit(body, closer=True))


def test_barriers_in_the_dark_alone(visit):
    style = "@media (prefers-color-scheme: dark) { body { background: #111 } }"
    found = checks.barriers(
        visit("<p style='color: #222'>a</p>", f"<style>{style}</style>", closer=True)
    )
    assert found and all(fault.startswith("dark") for fault in found)


@pytest.mark.parametrize(
    ("width", "where"),
    [
        ("500px", ["phone", "narrow"]),
        ("360px", ["narrow"]),
        ("50rem", ["phone", "narrow", "text of 200 %"]),
    ],
)
def test_sideways(visit, width, where):
    page = "<style>body { margin: 0 }</style>"
    faults = checks.sideways(
        visit(f'<p style="width: {width}">wide</p>', page, closer=True)
    )
    assert [fault.partition(":")[0] for fault in faults] == where


@pytest.mark.parametrize(
    ("attributes", "faults"),
    [
        ("", 1),  # some browsers make it a stop of the tab key, others do not
        ('tabindex="-1"', 1),
        ('tabindex="0" style="outline: none"', 0),
    ],
)
def test_stuck_boxes(visit, attributes, faults):
    text = "long " * 90
    body = f"<pre {attributes} class='box'>{text}</pre>"
    style = "<style>.box { overflow-x: auto; white-space: pre }</style>"
    assert len(checks.stuck_boxes(visit(body, style, closer=True))) == faults


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<a href="#">a</a><button style="outline: none">b</button>', "not shown"),
        ('<a href="#">a</a><a href="#" style="opacity: 0">b</a>', "not visible"),
        ('<a href="#">a</a><div style="height: 0; overflow: hidden">'
         '<button style="height: 0; padding: 0; border: 0; width: 0"></button></div>',
         "not visible"),
        ('<a href="#">a</a><button id="b">b</button><script>'
         "b.addEventListener('keydown', (e) => e.preventDefault())</script>"
         '<a href="#">c</a>', "never reached"),
    ],
)  # fmt: skip
def test_lost_focus(visit, body, message):
    faults = checks.lost_focus(visit(body, closer=True))
    assert any(message in fault for fault in faults), faults


def test_a_trap_for_the_focus(visit):
    """A field that makes a new one of itself whenever it is left, with no end."""
    script = (
        "<script>addEventListener('focusin', (e) => "
        "e.target.after(e.target.cloneNode()))</script>"
    )
    faults = checks.lost_focus(visit(f"<input aria-label='a'>{script}", closer=True))
    assert any("a trap" in fault for fault in faults)


@pytest.mark.parametrize(
    "style",
    [
        "transition: color 1s",
        "animation: turn 2s infinite",
        "scroll-behavior: smooth; overflow: auto",
    ],
)
def test_motion(visit, style):
    assert checks.motion(visit(f'<p style="{style}">a</p>', closer=True))


def test_pale_print(visit):
    dark = (
        "<script>const dark = matchMedia('(prefers-color-scheme: dark)');"
        "(dark.onchange = () => { document.documentElement.dataset.theme ="
        "dark.matches ? 'dark' : 'light' })()</script>"
        "<style>[data-theme=dark] { color: #ddd; background: #111 }</style>"
    )
    assert checks.pale_print(visit("<p>a</p>", dark, closer=True)) == [
        "printed in rgb(221, 221, 221)"
    ]
    mended = dark + '<script src="_static/book.js"></script>'
    assert not checks.pale_print(visit("<p>a</p>", mended, closer=True))


def test_overweight(visit, monkeypatch):
    seen = visit("<p>light</p>" + '<script src="_static/book.js"></script>')
    assert len(seen.requests) == 2 and 0 < seen.gzipped < seen.bytes
    assert not checks.overweight(seen)
    for limit, least in (("MAX_BYTES", 999), ("MAX_GZIPPED", 99), ("MAX_REQUESTS", 1)):
        with monkeypatch.context() as changed:
            changed.setattr(checks, limit, least)
            (fault,) = checks.overweight(seen)
            assert f"expected at most {least}" in fault


def test_links(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">1</a><a href="b.html#gone">2</a>'
        '<a href="c.html">3</a><img src="no.svg"><a href="#top">4</a>'
        '<a href="https://example.org/x">5</a>',
        "utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="there">B</p><p id="there">B</p>', "utf-8")
    pages = checks.read_pages(tmp_path)
    assert checks.broken_links(tmp_path, pages) == [
        "a.html: b.html#gone: no such anchor",
        "a.html: c.html: no such file",
        "a.html: no.svg: no such file",
    ]
    assert checks.repeated_ids(tmp_path, pages) == ["b.html: there"]


def site_of(folder, **pages):
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, "utf-8")
    return checks.read_pages(folder)


HEAD = '<html lang="en"><title>{0}</title><meta name="description" content="Of {0}">'


def test_named_pages(tmp_path):
    pages = site_of(
        tmp_path,
        a=HEAD.format("A"),
        b="<html><title> </title>",
        c='<html lang="en"><title>A</title><meta name="description" content="$x$">',
        d='<html><meta http-equiv="refresh" content="0; url=a.html">',
        e=HEAD.format(r"\\(x\\)"),
    )
    assert checks.unnamed_pages(tmp_path, pages) == [
        "b.html: lang is ''",
        "b.html: no title",
        "b.html: no description",
        "c.html: title as in a.html",
        "c.html: description with TeX: $x$",
        r"e.html: title with TeX: \\(x\\)",
        r"e.html: description with TeX: Of \\(x\\)",
    ]


def test_tables_have_headers(tmp_path):
    pages = site_of(
        tmp_path,
        good='<table><tr><th scope="col">a</th></tr><tr><td>1</td></tr></table>',
        layout='<table role="presentation"><tr><td>1</td></tr></table>',
        none="<table><tr><td>1</td></tr></table>",
        vague='<table><tr><th>a</th><th scope="col">b</th></tr></table>',
    )
    assert checks.headless_tables(tmp_path, pages) == [
        "none.html: a table with no header cells",
        "vague.html: a table with ['th without scope', 'th']",
    ]


QUIZ = """
<a href="#">before</a>
<div class="quiz" data-answer="{answer}">
<p><strong>Question.</strong> Which of <span class="math">\\(a\\)</span>?</p>
<p>A second paragraph.</p>
<ol><li><p>First</p></li><li><p>Second <span class="math">\\(b\\)</span></p></li>
<li><p>Third</p></li></ol>
<details><summary>1</summary><p>On the first.</p></details>
<details><summary>2</summary>
<p>On the second, <span class="math">\\(c\\)</span>.</p></details>
<details><summary>3</summary><p>On the third.</p></details>
</div>
"""
SCRIPT = '<script defer src="_static/quiz.js"></script>'


@pytest.fixture
def question(browser, folder, mathjax):
    """A page with one question, opened; closed again after the test."""
    with served(folder) as address:
        stack = []

        def question(answer):
            html = PAGE.format(head=mathjax + SCRIPT, body=QUIZ.format(answer=answer))
            (folder / "quiz.html").write_text(html, "utf-8")
            stack.append(opened(browser, f"{address}/quiz.html"))
            return stack[-1].__enter__()

        yield question
        for page in stack:
            page.__exit__(None, None, None)


def test_one_right_answer(question):
    page = question("2")
    assert page.locator("fieldset legend").inner_text().startswith("Question. Which of")
    assert page.locator("input[type=radio]").count() == 3
    assert page.locator("mjx-container").count() == 3
    assert [t.split()[0] for t in page.locator("label").all_inner_texts()] == [
        "A.",
        "B.",
        "C.",
    ]
    page.get_by_label("A. First").check()
    said = page.locator(".quiz-feedback:visible")
    assert said.inner_text().split() == ["Not", "quite.", "On", "the", "first."]
    page.keyboard.press("ArrowDown")
    assert said.inner_text().startswith("Right.")
    assert said.locator("mjx-container").count() == 1


def test_several_right_answers_by_keyboard(question):
    page = question("1, 3")
    summary = page.locator(".quiz-summary")
    assert page.locator("input[type=checkbox]").count() == 3
    page.get_by_text("before").focus()
    for key in ("Tab", "Tab", "Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert summary.inner_text() == "Choose at least one answer first."
    # B alone: wrong, and both others missed.
    page.get_by_label("B. Second").focus()
    for key in ("Space", "Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert summary.inner_text() == "Not quite. B does not belong. A and C were missed."
    assert page.locator(".quiz-feedback:visible").count() == 1
    page.get_by_label("B. Second").uncheck()
    assert summary.inner_text() == ""
    assert page.locator(".quiz-feedback:visible").count() == 0
    page.get_by_label("A. First").check()
    page.get_by_role("button", name="Check").press("Enter")
    assert summary.inner_text() == "Not quite. C was missed."
    page.get_by_label("C. Third").check()
    page.get_by_role("button", name="Check").press("Enter")
    assert summary.inner_text() == "Right: A and C, and no other."
    assert page.locator(".quiz-feedback:visible .quiz-verdict").all_inner_texts() == [
        "Right.",
        "Right.",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('data-answer="2"', 'data-answer="4"'), "expected data-answer among"),
        (("<summary>3</summary>", "<summary>7</summary>"), "feedback to answer 3"),
        (("<ol>", "<ul>"), "expected a numbered list"),
    ],
)
def test_a_malformed_question_says_so(visit, change, message):
    seen = visit(QUIZ.format(answer="2").replace(*change), SCRIPT)
    assert checks.questions_left_plain(seen)
    assert any(message in text for text in checks.noise(seen))


def test_wide_formulas_are_reached_by_keyboard(browser, folder, mathjax):
    wide = rf'<div class="math">\[{"x + " * 90}x\]</div>' + formula("x")
    style = '<style>mjx-container[display="true"]{overflow-x: auto}</style>'
    script = '<script defer src="_static/book.js"></script>'
    html = PAGE.format(head=mathjax + style + script, body=wide)
    (folder / "wide.html").write_text(html, "utf-8")
    with served(folder) as address, opened(browser, f"{address}/wide.html") as page:
        box = page.locator('mjx-container[display="true"]')
        page.wait_for_selector('mjx-container[display="true"][tabindex="0"]')
        page.set_viewport_size({"width": 9000, "height": 900})
        page.wait_for_selector('mjx-container[display="true"]:not([tabindex])')
        assert box.count() == 1
