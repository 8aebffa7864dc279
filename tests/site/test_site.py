"""The built site: complete, offline, readable and usable by everybody."""

import functools
import re

import checks
import pytest
import yaml
from browsing import ROOT, SITE, opened, visit_page
from plain_markdown import Book

PAGES = sorted(
    p.relative_to(SITE).as_posix()
    for p in SITE.rglob("*.html")
    # index.html only leads on to the landing page.
    if p.relative_to(SITE).parts[0] not in ("_static", "index.html")
)
CHAPTERS = [p for p in PAGES if p.startswith("notebooks/")]

on_every_page = pytest.mark.parametrize("path", PAGES)
on_every_chapter = pytest.mark.parametrize("path", CHAPTERS)


def test_the_site_is_built(site):
    # With no pages to look at, the tests below would pass by being none.
    assert PAGES and CHAPTERS


@functools.cache
def pages():
    return checks.read_pages(SITE)


@pytest.mark.parametrize(
    "check", [checks.broken_links, checks.foreign_parts, checks.repeated_ids]
)
def test_files(site, check):
    assert not check(site, pages())


def test_every_notebook_is_a_chapter(site):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = {c["file"] for part in toc["parts"] for c in part["chapters"]}
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        name = notebook.relative_to(ROOT).with_suffix("").as_posix()
        assert name in listed, f"{name} is missing from _toc.yml"
        assert f"{name}.html" in PAGES


NUMBERED = {  # how the site writes the number of what has this label
    "equations": r'id="equation-{}"[^>]*>\s*<span class="eqno">\((\d+)\)',
    "figures": r'id="{}">.*?caption-number">Fig\. (\d+) ',
    "exercises": r'id="{}">.*?caption-number">Exercise (\d+) ',
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_the_colab_edition_has_the_numbers_of_the_site(site, kind):
    book = Book.read(ROOT, "https://example.org/", "https://example.org/")
    html = "\n".join((site / path).read_text("utf-8") for path in CHAPTERS)
    numbers = getattr(book, kind)
    assert numbers
    for label, number in numbers.items():
        form = NUMBERED[kind].format(re.escape(label))
        assert re.search(form, html, re.S)[1] == str(number), label


@pytest.mark.parametrize(
    "check",
    [
        checks.requests_elsewhere,
        checks.noise,
        checks.bad_formulas,
        checks.undescribed_pictures,
        checks.unreadable_figures,
        checks.questions_left_plain,
        checks.barriers,
        checks.sideways,
        checks.overweight,
    ],
    ids=lambda check: check.__name__,
)
@on_every_page
def test_page(visits, path, check):
    assert not check(visits(path))


@on_every_page
def test_page_from_a_folder(browser, site, visits, path):
    """Without a server: nothing is fetched, and the formulas are all there."""
    visit = visit_page(browser, (site / path).as_uri(), closer=False)
    assert not checks.requests_elsewhere(visit)
    assert not checks.noise(visit)
    assert not checks.bad_formulas(visit)
    assert visit.formulas["count"] == visits(path).formulas["count"]


@on_every_chapter
def test_chapter_has_formulas_figures_and_questions(visits, path):
    visit = visits(path)
    assert visit.formulas["count"] > 10
    assert visit.pictures["drawings"]
    assert visit.quizzes[0] >= 2


def test_the_root_leads_to_the_landing_page(browser, address):
    with opened(browser, f"{address}/search.html") as page:
        page.goto(f"{address}/index.html", wait_until="commit")
        page.wait_for_url("**/book/index.html")
        assert page.locator("article h1").inner_text().startswith("Layer Normalization")


def test_search_finds_a_word(browser, address):
    with opened(browser, f"{address}/book/index.html") as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("variance")
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-results li a")
        titles = page.locator("#search-results li > a").all_inner_texts()
        assert any("formula" in title.lower() for title in titles), titles


@on_every_chapter
def test_questions_by_keyboard(browser, address, path):
    """Tab to a question, choose, and get feedback, in words that are read out."""
    with opened(browser, f"{address}/{path}") as page:
        quiz = page.locator("div.quiz-ready:has(input[type=radio])").first
        first = quiz.locator("input").first
        first.scroll_into_view_if_needed()
        # From the link before the question on, with the key that readers use.
        page.evaluate(
            """() => {
              const kind = "div.quiz-ready:has(input[type=radio])";
              const quiz = document.querySelector(kind);
              const start = document.createElement("a");
              start.href = "#";
              quiz.before(start);
              start.focus();
            }"""
        )
        page.keyboard.press("Tab")
        assert first.evaluate("e => e === document.activeElement")
        page.keyboard.press("Space")
        said = quiz.locator("[role=status] .quiz-feedback:visible")
        assert said.count() == 1
        right = quiz.get_attribute("data-answer")
        for number in range(1, quiz.locator("input").count() + 1):
            assert quiz.locator("input").nth(number - 1).is_checked()
            verdict = "Right." if str(number) == right else "Not quite."
            assert said.count() == 1
            assert said.locator(".quiz-verdict").inner_text() == verdict
            assert len(said.inner_text()) > len(verdict) + 10
            page.keyboard.press("ArrowDown")


@on_every_chapter
def test_questions_keep_formulas_that_were_set_before(browser, address, path):
    """The script may come after MathJax: what is set then moves and stays."""
    context = browser.new_context()
    page = context.new_page()
    page.route("**/quiz.js*", lambda route: route.abort())
    page.goto(f"{address}/{path}")
    page.evaluate("() => MathJax.startup.promise")
    counted = "() => document.querySelectorAll('div.quiz mjx-container').length"
    before = page.evaluate(counted)
    assert page.locator("div.quiz-ready").count() == 0
    page.unroute("**/quiz.js*")
    page.add_script_tag(url=f"{address}/_static/quiz.js")
    assert page.locator("div.quiz").count() == page.locator("div.quiz-ready").count()
    assert page.evaluate(counted) == before
    context.close()


@on_every_chapter
def test_solutions_open_by_keyboard(browser, address, path):
    with opened(browser, f"{address}/{path}") as page:
        solutions = page.locator("div.solution.dropdown")
        assert solutions.count() >= 1
        for i in range(solutions.count()):
            solution = solutions.nth(i)
            button = solution.locator("button.toggle-button")
            inside = solution.locator(".solution-content")
            assert not inside.is_visible()
            button.focus()
            page.keyboard.press("Enter")
            inside.wait_for(state="visible")
            assert button.get_attribute("aria-expanded") == "true"


def test_print_shows_the_answers(browser, address):
    with opened(browser, f"{address}/{CHAPTERS[0]}") as page:
        feedback = page.locator("div.quiz-ready .quiz-feedback")
        assert not feedback.first.is_visible()
        page.emulate_media(media="print")
        for i in range(feedback.count()):
            assert feedback.nth(i).is_visible()
