"""What must hold of a page. Each check returns the faults it found, as texts.

They take a `Visit`, or files, so that test_of_the_checks.py can show for each of them
a page on which it finds its fault.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# The theme's own field for a search, in the page of results and above every page.
REPEATED = ("search-input",)
MAX_BYTES = 2_000_000
MAX_GZIPPED = 700_000
MAX_REQUESTS = 40
LEAST_CONTRAST = 3.0  # what WCAG asks of graphics
LEAST_TEXT_CONTRAST = 4.5  # and of text


def requests_elsewhere(visit):
    """Requests that leave this machine."""
    scheme = urlsplit(visit.url).scheme
    here = {"http": "http://127.0.0.1", "file": "file://"}[scheme]
    return [u for u in visit.requests if not u.startswith((here, "data:", "blob:"))]


def noise(visit):
    """Errors and warnings on the console, and what could not be loaded."""
    return visit.console


def bad_formulas(visit):
    """Formulas that do not show: undefined macros, errors, TeX left as text."""
    found = visit.formulas
    return [
        *(f"error: {text}" for text in found["errors"]),
        *(f"undefined: {text}" for text in found["red"]),
        *(f"not set: {text}" for text in found["bare"]),
        *(f"raw TeX: {text}" for text in found["raw"]),
    ]


def undescribed_pictures(visit):
    """Pictures without an alternative text, or with the name of a file as one."""
    faults = [
        f"image {i['src']}: alt is {i['alt']!r}"
        for i in visit.pictures["images"]
        if not i["alt"].strip() or re.search(r"\.\w{3,4}$", i["alt"].strip())
    ]
    for drawing in visit.pictures["drawings"]:
        if drawing["role"] != "img" or not (drawing["label"] or "").strip():
            faults.append(f"figure: role {drawing['role']}, label {drawing['label']!r}")
    return faults


def unreadable_figures(visit):
    """Figures with a panel, a filter, a fixed ink, or text that is hard to see."""
    faults = []
    for scheme, figures in visit.ink.items():
        for number, figure in enumerate(figures, 1):
            where = f"figure {number}, {scheme}"
            if figure["fixed"]:
                faults.append(f"{where}: ink or grid does not follow the theme")
            if figure["filter"] != "none":
                faults.append(f"{where}: filter {figure['filter']}")
            if figure["background"] != "rgba(0, 0, 0, 0)":
                faults.append(f"{where}: background {figure['background']}")
            for color in figure["text"]:
                if contrast(color, figure["page"]) < LEAST_CONTRAST:
                    faults.append(f"{where}: text {color} on {figure['page']}")
    return faults


def contrast(color, other):
    """The contrast of two CSS colours, from 1 to 21, as WCAG 2 defines it."""
    bright, dark = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color):
    channels = [float(c) / 255 for c in re.findall(r"[\d.]+", color)[:3]]
    if len(channels) != 3:
        raise ValueError(f"expected a colour like rgb(1, 2, 3), but got {color!r}")
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def barriers(visit):
    """What axe-core finds, at any level: everything in the light, contrast in the dark.

    Serious and critical findings shut readers out; moderate and minor ones there are
    none of either, and so it may stay.
    """
    return [
        f"{part}, {found['impact']}: {found['id']}: {node['html'][:160]}"
        for part, findings in visit.axe.items()
        for found in findings
        for node in found["nodes"]
    ]


def sideways(visit):
    """A page wider than a narrow screen, or than any screen when text is enlarged."""
    return [
        f"{where}: {width} px wide on a screen of {screen} px"
        for where, (width, screen) in visit.widths.items()
        if width > screen
    ]


def stuck_boxes(visit):
    """Boxes that scroll under a finger or a mouse, and not with the keyboard."""
    return [f"cannot be scrolled by key: {box}" for box in visit.unreached]


def lost_focus(visit):
    """What the tab key does not reach, or reaches without its being seen."""
    faults = [f"never reached: {html}" for html in visit.missed]
    if not any(stop["again"] for stop in visit.stops):
        faults.append("the tab key does not come back to where it began: a trap")
    for stop in visit.stops:
        if not stop["seen"]:
            faults.append(f"focus on what is not visible: {stop['html']}")
        elif not stop["shown"]:
            faults.append(f"focus is not shown: {stop['html']}")
    return faults


def motion(visit):
    """What moves although the reader asked for less motion."""
    return [f"moves: {html}" for html in visit.motion]


def pale_print(visit):
    """Text that is printed in the colours of the dark, on white paper."""
    return [
        f"printed in {color}"
        for color in visit.paper.get("colors", ())
        if contrast(color, "rgb(255, 255, 255)") < LEAST_TEXT_CONTRAST
    ]


def overweight(visit):
    """A first load of more bytes or requests than readers should wait for."""
    faults = []
    if visit.bytes > MAX_BYTES:
        faults.append(f"{visit.bytes:,} bytes, expected at most {MAX_BYTES:,}")
    if visit.gzipped > MAX_GZIPPED:
        faults.append(f"{visit.gzipped:,} gzipped, expected at most {MAX_GZIPPED:,}")
    count = len(set(visit.requests))
    if count > MAX_REQUESTS:
        faults.append(f"{count} requests, expected at most {MAX_REQUESTS}")
    return faults


def questions_left_plain(visit):
    """Questions that the script did not make a group of choices of."""
    there, ready = visit.quizzes
    return [] if there == ready else [f"{there - ready} of {there} questions"]


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.anchors, self.links, self.repeated = set(), [], []
        self.language = self.description = ""
        self.title, self.tables = None, []
        self._titled = False
        self._open = []  # tables that are not closed yet, each by its headers

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        identifier = attrs.get("id")
        if identifier in self.anchors:
            self.repeated.append(identifier)
        self.anchors.update(v for k in ("id", "name") if (v := attrs.get(k)))
        for key in ("href", "src", "poster", "action"):
            if attrs.get(key) and tag != "base":
                self.links.append((tag, attrs.get("rel", ""), attrs[key]))
        if tag == "meta" and attrs.get("http-equiv", "").lower() == "refresh":
            self.links.append(("meta", "", attrs["content"].partition("url=")[2]))
        if tag == "meta" and attrs.get("name") == "description":
            self.description = attrs.get("content") or ""
        if tag == "html":
            self.language = attrs.get("lang") or ""
        if tag == "title" and self.title is None:  # figures may have titles, too
            self.title, self._titled = "", True
        if tag == "table":
            # A table for layout says so, and has no headers.
            laid_out = attrs.get("role") == "presentation"
            self._open.append(["layout"] if laid_out else [])
        if tag == "th" and self._open:
            self._open[-1].append("th" if attrs.get("scope") else "th without scope")

    def handle_endtag(self, tag):
        self._titled = self._titled and tag != "title"
        if tag == "table" and self._open:
            self.tables.append(self._open.pop())

    def handle_data(self, data):
        if self._titled:
            self.title += data


def read_pages(site):
    """The pages of a site: path below it -> what is in it."""
    pages = {}
    for path in sorted(Path(site).rglob("*.html")):
        if "_static" not in path.relative_to(site).parts:
            pages[path] = _Page()
            pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def unnamed_pages(site, pages):
    """Pages without a language, a title and a description of their own, in words."""
    faults, seen = [], {}
    for path, page in pages.items():
        name = str(path.relative_to(site))
        if any(tag == "meta" for tag, _, _ in page.links):
            continue  # leads on to another at once
        if page.language != "en":
            faults.append(f"{name}: lang is {page.language!r}")
        for what, text in (("title", page.title), ("description", page.description)):
            text = " ".join((text or "").split())
            if not text:
                faults.append(f"{name}: no {what}")
            elif re.search(r"[\\$]|\{\w*\}", text):
                faults.append(f"{name}: {what} with TeX: {text}")
            elif text in seen:
                faults.append(f"{name}: {what} as in {seen[text]}")
            seen.setdefault(text, name)
    return faults


def headless_tables(site, pages):
    """Tables of data without header cells, or with ones that do not say of what."""
    return [
        f"{path.relative_to(site)}: a table with {table or 'no header cells'}"
        for path, page in pages.items()
        for table in page.tables
        if not table or "th without scope" in table
    ]


def broken_links(site, pages):
    """Links to a file or an anchor that is not there."""
    faults = []
    for path, page in pages.items():
        for _, _, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (
                (path.parent / unquote(parts.path)).resolve() if parts.path else path
            )
            if target.is_dir():
                target /= "index.html"
            where = f"{path.relative_to(site)}: {link}"
            if not target.exists():
                faults.append(f"{where}: no such file")
                continue
            anchor = unquote(parts.fragment)
            if anchor and target in pages and anchor not in pages[target].anchors:
                faults.append(f"{where}: no such anchor")
    return faults


def foreign_parts(site, pages):
    """Scripts, styles, pictures and frames that another host would have to send."""
    parts = ("script", "img", "iframe", "source", "svg", "image", "video", "audio")
    return [
        f"{path.relative_to(site)}: <{tag}> {link}"
        for path, page in pages.items()
        for tag, rel, link in page.links
        if re.match(r"(https?:)?//", link)
        and (tag in parts or (tag == "link" and rel != "canonical"))
    ]


def repeated_ids(site, pages):
    """Ids that stand twice in a page; a link to one finds only the first."""
    return [
        f"{path.relative_to(site)}: {identifier}"
        for path, page in pages.items()
        for identifier in page.repeated
        if identifier not in REPEATED
    ]
