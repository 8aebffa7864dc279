"""A browser, a server on this machine, and one visit to a page with all that it shows.

A visit opens a page once and takes down what the tests ask about, in light, in dark
and at the width of a phone. The questions are asked in checks.py.
"""

import contextlib
import functools
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import TimeoutError

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
# preload fetches the styles again, by addresses of its own making.
AXE_OPTIONS = {"preload": False, "resultTypes": ["violations"]}
CONTRAST = ["color-contrast", "link-in-text-block"]
AXE_ALL = {
    # Both are off by default. Speech control depends on what the first asks, and
    # unsteady hands on the second.
    "rules": {
        "label-content-name-mismatch": {"enabled": True},
        "target-size": {"enabled": True},
    }
}
AXE_CONTRAST = {"runOnly": CONTRAST}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}  # WCAG's reflow: 1280 px at 400 %
DESK = {"width": 1280, "height": 900}

# What stands in the page at a moment, asked in one go.
FORMULAS = """() => {
  const outside = (node) => {
    const up = node.parentElement;
    return up && !up.closest("pre, code, script, style, textarea, mjx-container");
  };
  const raw = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = texts.nextNode()); )
    if (outside(n) && /\\\\[(\\[]|\\$/.test(n.data)) raw.push(n.data.trim());
  const red = 'mjx-container [style*="color: red"], mjx-container [mathcolor="red"]';
  return {
    count: document.querySelectorAll("mjx-container").length,
    raw,
    bare: [...document.querySelectorAll(".math")]
      .filter((e) => !e.querySelector("mjx-container"))
      .map((e) => e.textContent.trim()),
    errors: [...document.querySelectorAll("mjx-merror, [data-mjx-error]")]
      .map((e) => e.getAttribute("data-mjx-error") || e.textContent),
    red: [...document.querySelectorAll(red)].map((e) => e.textContent),
  };
}"""
PICTURES = """() => ({
  // The mark of the book stands beside its name, and has nothing to add.
  images: [...document.images].filter((i) => !i.closest(".navbar-brand"))
    .map((i) => ({src: i.getAttribute("src"), alt: i.alt})),
  drawings: [...document.querySelectorAll(".bd-article svg.figure")].map((s) => ({
    role: s.getAttribute("role"), label: s.getAttribute("aria-label")})),
})"""
# axe-core asks every element many things, and the tab key goes through all that there
# is, which takes minutes on a long page. What comes again and again is thinned out
# first: of what is alike in kind and in place, some stand for the rest. What the checks
# above ask, they have asked of every one.
THIN_OUT = """() => {
  const seen = {};
  const first = (kind, most) => (seen[kind] = (seen[kind] || 0) + 1) <= most;
  const name = (e) => `${e.tagName} ${e.className}`;
  const rest = (what, most) => [...document.querySelectorAll(what)].filter(
    (e) => !first(`${name(e)} in ${name(e.parentElement)}`, most));
  rest("dl.py", 6).forEach((entry) => entry.remove());
  for (const span of document.querySelectorAll("pre span"))
    if (!first(span.className, 1)) span.remove();
  for (const formula of document.querySelectorAll("mjx-container"))
    // A letter stays in its place: a heading of a table must not become empty.
    if (!first(`formula ${formula.getAttribute("display")}`, 3))
      formula.replaceWith("f");
  for (const figure of document.querySelectorAll("svg.figure"))
    if (!first("figure", 1)) figure.replaceChildren();
  rest("button.copybtn", 3).forEach((button) => button.remove());
  rest("a.headerlink", 20).forEach((link) => link.remove());
  // With the entry around it: a script that follows the scrolling looks for that.
  rest("a.nav-link", 20).forEach((link) => (link.closest("li") ?? link).remove());
  // Not in headings of tables, which would be empty.
  rest(".bd-article :is(td, p:not(th p))", 20).forEach((t) => t.replaceChildren());
}"""
# Boxes that hide a part of what is in them and that no key scrolls.
UNREACHED = """() => {
  const scrolls = (e) => {
    const style = getComputedStyle(e);
    const moves = (flow) => flow === "auto" || flow === "scroll";
    return (
      (e.scrollWidth > e.clientWidth + 1 && moves(style.overflowX)) ||
      (e.scrollHeight > e.clientHeight + 1 && moves(style.overflowY))
    );
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.clientWidth && scrolls(e) && e.tabIndex < 0)
    .filter((e) => !e.querySelector("a[href], button, input, summary"))
    .map((e) => e.outerHTML.slice(0, 90));
}"""
CANDIDATES = "a[href], button, input, select, textarea, summary, [tabindex]"
# Takes down each stop of the tab key: what it is, and whether it is seen to have the
# focus. A ring counts, and any other change of its look does.
WATCH_FOCUS = """() => {
  const look = (e) => {
    const s = getComputedStyle(e);
    return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow,
      s.borderColor, s.backgroundColor, s.color, s.textDecoration].join("|");
  };
  const stops = (window.stops = []);
  document.addEventListener("focusin", ({ target }) => {
    const focused = look(target);
    const ring = getComputedStyle(target);
    const ringed = ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) > 0;
    const box = target.getBoundingClientRect();
    const again = stops.some((stop) => stop.target === target);
    stops.push({
      target, again, ringed, focused,
      seen: box.width > 0 && box.height > 0 && target.checkVisibility({
        opacityProperty: true, visibilityProperty: true }),
      html: target.outerHTML.replace(/\\s+/g, " ").slice(0, 110),
    });
  });
  window.seenStops = () => {
    document.activeElement?.blur();
    return stops.map(({ target, again, ringed, focused, seen, html }) => (
      { again, seen, html, shown: ringed || look(target) !== focused }));
  };
  // What a mouse can use, a key should reach; of a group of radio buttons, one.
  window.unreached = () => {
    const reached = new Set(stops.map((stop) => stop.target));
    const group = (e) =>
      e.type === "radio" && [...reached].some((r) => r.name === e.name);
    return [...document.querySelectorAll("CANDIDATES")]
      .filter((e) => e.tabIndex >= 0 && !e.disabled && !e.closest("[inert]"))
      .filter((e) => e.checkVisibility({ visibilityProperty: true }))
      .filter((e) => e.getClientRects().length && !reached.has(e) && !group(e))
      .map((e) => e.outerHTML.replace(/\\s+/g, " ").slice(0, 110));
  };
}""".replace("CANDIDATES", CANDIDATES)
PAPER = """() => {
  const page = document.documentElement;
  const kinds = ".bd-article :is(h1, h2, p, li, td, pre)";
  const shown = [...document.querySelectorAll(kinds)]
    .filter((e) => e.getClientRects().length);
  return { theme: page.dataset.theme ?? null,
    colors: [...new Set(shown.map((e) => getComputedStyle(e).color))] };
}"""
MOTION = """() => [...document.querySelectorAll("*")].filter((e) => {
  const s = getComputedStyle(e);
  return [...s.transitionDuration.split(","), ...s.animationDuration.split(",")]
    .some((t) => parseFloat(t) > 0.01) || s.scrollBehavior === "smooth";
}).map((e) => e.outerHTML.slice(0, 90))"""
INK = """() => {
  const page = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll(".bd-article svg.figure")].map((svg) => {
    const style = getComputedStyle(svg);
    return {
      page, background: style.backgroundColor, filter: style.filter,
      text: [...new Set([...svg.querySelectorAll("text")]
        .map((t) => getComputedStyle(t).fill))],
      fixed: /#1a1a1a|#d0d0d0/i.test(svg.outerHTML),
    };
  });
}"""


def find_browser():
    """The path of a Chromium or Chrome, or None."""
    named = os.environ.get("LNLIB_BROWSER")
    if named:
        return shutil.which(named)
    finder = ROOT / "scripts" / "browser.py"
    if finder.exists():
        done = subprocess.run(
            [sys.executable, str(finder), "--no-install"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or None
    return shutil.which("chromium") or shutil.which("google-chrome")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """The address under which a folder is served on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(repr=False)
class Visit:
    """What a page did and showed."""

    url: str
    requests: list = field(default_factory=list)
    responses: list = field(default_factory=list)
    console: list = field(default_factory=list)
    bytes: int = 0
    gzipped: int = 0
    formulas: dict = field(default_factory=dict)
    pictures: dict = field(default_factory=dict)
    ink: dict = field(default_factory=dict)
    axe: dict = field(default_factory=dict)
    widths: dict = field(default_factory=dict)
    unreached: list = field(default_factory=list)
    stops: list = field(default_factory=list)
    missed: list = field(default_factory=list)
    paper: dict = field(default_factory=dict)
    motion: list = field(default_factory=list)
    quizzes: tuple = (0, 0)

    def __repr__(self):
        return f"<visit to {self.url}>"


@contextlib.contextmanager
def opened(browser, url, visit=None, **context):
    """A page in a context of its own, settled: formulas are set, scripts have run."""
    context = browser.new_context(viewport=DESK, **context)
    page = context.new_page()
    # Nothing of a test depends on it, so a click that finds nothing fails soon.
    page.set_default_timeout(15_000)
    page.set_default_navigation_timeout(60_000)  # a busy machine is no fault
    if visit is not None:
        page.on("request", lambda r: visit.requests.append(r.url))
        page.on("requestfailed", lambda r: visit.console.append(f"failed: {r.url}"))
        page.on("response", lambda r: visit.responses.append(r))
        page.on("console", lambda m: _said(m, visit))
        page.on("pageerror", lambda e: visit.console.append(f"error: {e}"))
    try:
        page.goto(url, wait_until="load")
        settle(page)
        yield page
    finally:
        context.close()


def settle(page):
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.evaluate("() => document.fonts.ready.then(() => null)")
    page.wait_for_timeout(100)


def _said(message, visit):
    if message.type in ("error", "warning"):
        visit.console.append(f"{message.type}: {message.text}")


def visit_page(browser, url, closer=True):
    """Visit a page; and `closer`, with axe, in the dark and on a phone."""
    visit = Visit(url)
    with opened(browser, url, visit, color_scheme="light") as page:
        for response in visit.responses:
            _weigh(response, visit)
        visit.formulas = page.evaluate(FORMULAS)
        visit.pictures = page.evaluate(PICTURES)
        visit.quizzes = (
            page.locator("div.quiz").count(),
            page.locator("div.quiz.quiz-ready").count(),
        )
        if closer:
            _look_closer(page, visit)
    return visit


def _look_closer(page, visit):
    # Looks are asked for right after a change, and not while they fade over.
    style = "*, ::before, ::after { transition: none !important; }"
    still = page.add_style_tag(content=style)
    for scheme in ("light", "dark"):
        _change_colors(page, scheme)
        visit.ink[scheme] = page.evaluate(INK)
    visit.paper = _on_paper(page)
    _measure(page, visit)
    page.evaluate(THIN_OUT)
    _walk(page, visit)
    still.evaluate("style => style.remove()")
    visit.motion = _with_less_motion(page)
    page.add_style_tag(content=style)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    _change_colors(page, "light")
    visit.axe["light"] = _axe(page, AXE_ALL)
    _change_colors(page, "dark")
    visit.axe["dark"] = _axe(page, AXE_CONTRAST)


def _walk(page, visit):
    """Go through the page with the tab key, from the top until it begins again."""
    # Steps in which nothing new is reached end it, and so does a trap that makes new
    # stops for ever, at twice as many as the page has.
    most = 2 * page.evaluate(f"() => document.querySelectorAll(`{CANDIDATES}`).length")
    page.evaluate(WATCH_FOCUS)
    came, before = 0, -1
    while before < came <= most:
        for _ in range(20):
            page.keyboard.press("Tab")
        before, came = came, page.evaluate("() => stops.length")
        if page.evaluate("() => stops.some((stop) => stop.again)"):
            break
    visit.missed = page.evaluate("() => unreached()")
    visit.stops = page.evaluate("() => seenStops()")


def _on_paper(page):
    """How the page is printed, while it is in the dark."""
    theme = page.evaluate("() => document.documentElement.dataset.theme ?? null")
    page.emulate_media(media="print")
    # The script that lightens it, and darkens it again, is told a moment later.
    _wait_for_theme(page, "light")
    paper = page.evaluate(PAPER)
    page.emulate_media(media="screen")
    _wait_for_theme(page, theme)
    return paper


def _wait_for_theme(page, theme):
    """Wait for a theme; a page that has none, or keeps to its own, is left at it."""
    here = "t => [t, undefined].includes(document.documentElement.dataset.theme)"
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(here, arg=theme, timeout=5000)


def _with_less_motion(page):
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(MOTION)
    page.emulate_media(reduced_motion="no-preference")
    return moving


def _measure(page, visit):
    """How wide the page is on narrow screens, and with text of twice the size."""
    wide = "() => document.documentElement.scrollWidth"
    for name, size in (("phone", PHONE), ("narrow", NARROW)):
        page.set_viewport_size(size)
        visit.widths[name] = (page.evaluate(wide), size["width"])
    # The theme makes boxes stops of the tab key a moment after they became narrow.
    page.wait_for_timeout(400)
    visit.unreached = page.evaluate(UNREACHED)
    page.set_viewport_size(DESK)
    page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    visit.widths["text of 200 %"] = (page.evaluate(wide), DESK["width"])
    page.evaluate("() => { document.documentElement.style.fontSize = ''; }")


def _axe(page, options):
    return page.evaluate("o => axe.run(o)", {**AXE_OPTIONS, **options})["violations"]


def _change_colors(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "s => document.documentElement.dataset.theme === s "
        "|| !('theme' in document.documentElement.dataset)",
        arg=scheme,
    )


def _weigh(response, visit):
    if response.status >= 400:
        visit.console.append(f"{response.status}: {response.url}")
        return
    body = response.body()
    visit.bytes += len(body)
    packed = response.url.split("?")[0].endswith((".woff", ".woff2", ".png"))
    visit.gzipped += len(body) if packed else len(gzip.compress(body))
