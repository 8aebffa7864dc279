"""The built site: complete, offline, readable and usable by everybody."""

import functools
import json
import re

import checks
import pytest
import yaml
from browsing import DESK, INK, PHONE, ROOT, SITE, Visit, opened, visit_page
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
    "check",
    [
        checks.broken_links,
        checks.foreign_parts,
        checks.repeated_ids,
        checks.unnamed_pages,
        checks.headless_tables,
    ],
    ids=lambda check: check.__name__,
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
        checks.stuck_boxes,
        checks.lost_focus,
        checks.motion,
        checks.pale_print,
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


def test_the_first_stop_skips_to_the_text(browser, address):
    with opened(browser, f"{address}/{CHAPTERS[0]}") as page:
        page.keyboard.press("Tab")
        link = page.locator("#pst-skip-link a")
        assert link.evaluate("e => e === document.activeElement")
        assert link.is_visible()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        # The next stop is below the sidebar and the header.
        assert page.evaluate("() => !!document.activeElement.closest('#main-content')")


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_sidebars_on_a_phone_by_keyboard(browser, address, side):
    with opened(browser, f"{address}/{CHAPTERS[0]}") as page:
        page.set_viewport_size(PHONE)
        bar = page.locator(f".bd-sidebar-{side}")
        link = bar.locator("a[href]").last
        toggle = page.locator(f"button.{side}-toggle").first
        assert not shows(link)
        toggle.focus()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "side => document.activeElement.closest(`.bd-sidebar-${side}`)", arg=side
        )
        page.wait_for_timeout(400)  # it slides in
        link.scroll_into_view_if_needed()
        assert shows(link)
        page.keyboard.press("Escape")
        page.wait_for_timeout(400)
        assert not shows(link)
        assert toggle.evaluate("e => e === document.activeElement")


def shows(link):
    """Whether something is within the width of the screen, and visible."""
    box = link.bounding_box()
    return link.is_visible() and box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_search_opens_and_closes_by_keyboard(browser, address):
    with opened(browser, f"{address}/{CHAPTERS[0]}") as page:
        field = page.locator(".search-button__search-container input[type=search]")
        button = page.locator("button.search-button-field").first
        button.focus()
        assert not field.is_visible()
        page.keyboard.press("Enter")
        field.wait_for(state="visible")
        assert field.evaluate("e => e === document.activeElement")
        page.keyboard.press("Escape")
        field.wait_for(state="hidden")
        page.keyboard.press("Tab")  # goes on, and is caught in nothing
        assert not page.evaluate("() => document.activeElement === document.body")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_switched_by_keyboard(browser, address, system):
    """Dark on a light system and the other way round; the figures follow."""
    other = {"light": "dark", "dark": "light"}[system]
    with opened(browser, f"{address}/{CHAPTERS[0]}", color_scheme=system) as page:
        theme = "() => document.documentElement.dataset.theme"
        assert page.evaluate(theme) == system
        page.locator("button.theme-switch-button").first.focus()
        for _ in range(3):  # auto, light, dark
            page.keyboard.press("Enter")
            if page.evaluate(theme) == other:
                break
        assert page.evaluate(theme) == other
        page.add_style_tag(content="* { transition: none !important; }")
        visit = Visit(page.url)
        visit.ink[other] = page.evaluate(INK)
        assert len(visit.ink[other]) >= 2
        assert not checks.unreadable_figures(visit)
        page.reload()
        assert page.evaluate(theme) == other  # it is remembered


@on_every_chapter
def test_chapter_reads_without_scripts(browser, address, path):
    """Questions, their feedback and the solutions are there, and can be opened."""
    context = browser.new_context(java_script_enabled=False, viewport=DESK)
    page = context.new_page()
    page.goto(f"{address}/{path}")
    quizzes = page.locator("div.quiz")
    for i in range(quizzes.count()):
        quiz = quizzes.nth(i)
        answers = quiz.locator("ol > li")
        assert answers.count() == quiz.locator("details").count() >= 2
        assert answers.first.is_visible()
    first = quizzes.first.locator("details").first
    assert not first.locator("p").first.is_visible()
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert first.locator("p").first.is_visible()
    solutions = page.locator(".solution-content")
    assert solutions.count() >= 1
    for i in range(solutions.count()):
        assert solutions.nth(i).is_visible()
    context.close()


def test_a_lost_address_leads_back(browser, address):
    with opened(browser, f"{address}/404.html") as page:
        assert "no such page" in page.locator("h1").inner_text().lower()
        page.get_by_role("link").first.click()
        page.wait_for_url("**/book/index.html")


PAPER_SIZES = {"A4": (210, 297), "Letter": (215.9, 279.4)}


@pytest.mark.parametrize("paper", PAPER_SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_formula_sheet_prints_on_one_page(browser, address, paper, scheme):
    url = f"{address}/book/formula_sheet.html"
    with opened(browser, url, color_scheme=scheme) as page:
        printed = page.pdf(format=paper, print_background=True)
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
        # The same on a screen of the size of the paper between its margins: nothing
        # reaches over the edge of its card, and no card over that of the paper.
        width, height = ((side - 2 * 9) * 96 / 25.4 for side in PAPER_SIZES[paper])
        page.emulate_media(media="print")
        page.set_viewport_size({"width": int(width), "height": int(height)})
        page.wait_for_timeout(100)
        cut = page.evaluate(
            """() => [...document.querySelectorAll(".formula, .formula *")]
              .filter((e) => e.getClientRects().length)
              .filter((e) => !e.closest("mjx-assistive-mml"))
              // Of a formula the box around all of it: parts overhang by design.
              .filter((e) => !e.parentElement.closest("mjx-math"))
              .filter((e) => {
                const card = e.closest(".formula").getBoundingClientRect();
                const box = e.getBoundingClientRect();
                const page = document.documentElement;
                return box.right > card.right + 1 || box.left < card.left - 1 ||
                  box.bottom > card.bottom + 1 || card.right > page.clientWidth + 1 ||
                  card.bottom > page.clientHeight;
              }).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert not cut
        # All cards are there, and can be read.
        cards = page.locator(".formula")
        assert cards.count() > 15 and cards.last.is_visible()
        smallest = page.evaluate(
            """() => Math.min(...[...document.querySelectorAll(".formula :is(p, td)")]
              .map((e) => parseFloat(getComputedStyle(e).fontSize)))"""
        )
        assert smallest >= 6.4 * 96 / 72


def test_the_counted_page_counts_every_notebook(site):
    """The table is made while the site is built; here it is counted again."""
    html = (site / "book" / "checking.html").read_text("utf-8")
    table = html.split('class="notebook-status')[1].split("</table>")[0]
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        row = re.search(rf'href="[^"]*{notebook.stem}\.html.*?</tr>', table, re.S)[0]
        shown = [re.sub("<.*?>", "", cell) for cell in re.findall("<td.*?</td>", row)]
        images = sum("image/" in json.dumps(cell["outputs"]) for cell in code)
        quizzes = sum('<div class="quiz"' in "".join(c["source"]) for c in cells)
        assert [shown[0], shown[1], shown[2]] == [str(len(code)), "all", "none"]
        assert shown[6:8] == [str(images), str(quizzes)]
