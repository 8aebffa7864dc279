"""Repair what the theme and its parts get wrong for readers with assistive technology.

Each repair is a piece of markup and what takes its place, applied to the pages when
they are written. tests/site runs axe-core over the result, so a repair that no longer
fits after an update of the theme is found there.
"""

import re
from pathlib import Path

REPAIRS = (
    # A name that hides the visible text: speech control could not find the button.
    (
        re.compile(
            r'(<button class="btn [^>]*search-button-field[^>]*) aria-label="[^"]*"'
        ),
        r"\1",
    ),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # A list has list items; the role of a bibliography entry was withdrawn from ARIA.
    (
        re.compile(r'(<div class="citation"[^>]*) role="doc-biblioentry"'),
        r'\1 role="listitem"',
    ),
    # One id for every exercise of a page, and one for every solution.
    (
        re.compile(r'<section id="(exercise|solution)-content">'),
        r'<section class="\1-content">',
    ),
    # Nothing is the name of a column: an empty corner is no header.
    (re.compile(r"<th( class=\"head[^>]*>)\s*<p></p>\s*</th>"), r"<td\1</td>"),
    (re.compile(r"<th class=\"head"), r'<th scope="col" class="head'),
    # Columns of the index are no table of data.
    (
        re.compile(r'<table (?!role)([^>]*class="indextable)'),
        r'<table role="presentation" \1',
    ),
    # Content outside of every landmark.
    (
        re.compile(r'<div class="bd-sidebar-primary bd-sidebar([^"]*)"'),
        r'<div role="region" aria-label="Contents of the book" '
        r'class="bd-sidebar-primary bd-sidebar\1"',
    ),
)


def repair(app, exception):
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        html = repaired = page.read_text(encoding="utf-8")
        for pattern, replacement in REPAIRS:
            repaired = pattern.sub(replacement, repaired)
        if repaired != html:
            page.write_text(repaired, encoding="utf-8")


def setup(app):
    app.connect("build-finished", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
