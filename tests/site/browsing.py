"""A browser, a server on this machine, and one visit to a page with all that it shows.

A visit opens a page once and takes down what the tests ask about, in light, in dark
and at the width of a phone. The questions are asked in checks.py.
"""

import functools
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import axe_playwright_python

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
AXE_STRUCTURE = {
    # The last is off by default; speech control depends on what it asks.
    "rules": {
        **{rule: {"enabled": False} for rule in CONTRAST},
        "label-content-name-mismatch": {"enabled": True},
    }
}
AXE_CONTRAST = {"runOnly": CONTRAST}
PHONE = {"width": 390, "height": 844}
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
# Contrast is asked of every bit of text, which takes long on a long page. Code has a
# few colours that come again and again: the first of each kind stand for the rest.
THIN_OUT = """() => {
  const seen = new Set();
  for (const span of document.querySelectorAll("pre span")) {
    if (seen.has(span.className)) span.remove();
    seen.add(span.className);
  }
  for (const drawn of document.querySelectorAll("mjx-container, svg.figure"))
    drawn.remove();
}"""
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


@contextmanager
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
    width_on_phone: int = 0
    quizzes: tuple = (0, 0)

    def __repr__(self):
        return f"<visit to {self.url}>"


@contextmanager
def opened(browser, url, visit=None, **context):
    """A page in a context of its own, settled: formulas are set, scripts have run."""
    context = browser.new_context(viewport=DESK, **context)
    page = context.new_page()
    # Nothing of a test depends on it, so a click that finds nothing fails soon.
    page.set_default_timeout(15_000)
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
    # Colours are asked for right after a change, and not while they fade over.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important; }")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    visit.axe["structure"] = _axe(page, AXE_STRUCTURE)
    for scheme in ("light", "dark"):
        _change_colors(page, scheme)
        visit.ink[scheme] = page.evaluate(INK)
    page.set_viewport_size(PHONE)
    visit.width_on_phone = page.evaluate("() => document.documentElement.scrollWidth")
    page.set_viewport_size(DESK)
    page.evaluate(THIN_OUT)
    for scheme in ("light", "dark"):
        _change_colors(page, scheme)
        visit.axe[scheme] = _axe(page, AXE_CONTRAST)


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
