"""Put SVG figures into the page itself, so that they belong to it, light or dark.

A picture in a file of its own cannot see the colours of the page around it. What
matplotlib wrote is therefore set into the page, and two of its colours follow the
theme there (book.css): the ink becomes the colour of the text, the grid that of the
borders. The notebook keeps the plain SVG.
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

# The two colours of lnlib.plotting that follow the theme.
COLORS = {"#1a1a1a": "currentColor", "#d0d0d0": "var(--figure-grid)"}

SVG = "http://www.w3.org/2000/svg"
HREF = "{http://www.w3.org/1999/xlink}href"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
# matplotlib names ten families for each text; the page's own takes their place, once.
FAMILY = re.compile(r"\bfont-family: [^;]+;? ?")
FONT = re.compile(r"\bfont: ([^;]*?\d(?:px|pt)) [^;]+")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
COORDINATES = ("d", "points", "x", "y", "x1", "x2", "y1", "y2", "transform")

ElementTree.register_namespace("", SVG)


class Inlined:
    """One SVG, made ready to stand in a page.

    Args:
        svg: the text of the file.
        prefix: set before its ids, which are unique in a file but not in a page.
        alt: what the picture shows, for those who cannot see it.

    Raises:
        ValueError: the text is not an SVG, or there is no alternative text.
    """

    def __init__(self, svg, prefix, alt):
        if not alt.strip():
            raise ValueError(
                "expected an alternative text for the figure, but got none"
            )
        try:
            self.root = ElementTree.fromstring(svg)
        except ElementTree.ParseError as error:
            raise ValueError(f"expected an SVG figure, but got {error}") from None
        if self.root.tag != f"{{{SVG}}}svg":
            raise ValueError(f"expected an SVG figure, but got <{self.root.tag}>")
        self.prefix = prefix
        self.alt = alt
        self._drop("metadata", "style", "title", "desc")
        self._rename()
        for element in self.root.iter():
            self._restyle(element)
        self._flatten(self.root)
        self._describe()

    def __str__(self):
        text = ElementTree.tostring(self.root, encoding="unicode")
        text = re.sub(r">\s+<", "><", text)
        return re.sub(r"<defs ?/>|<defs></defs>|<g ?/>|<g></g>", "", text)

    def _drop(self, *names):
        # matplotlib's <style> speaks of every element: it would style the page, too.
        tags = {f"{{{SVG}}}{name}" for name in names}
        for parent in list(self.root.iter()):
            for child in [c for c in parent if c.tag in tags]:
                parent.remove(child)

    def _rename(self):
        used = set()
        for element in self.root.iter():
            for value in element.attrib.values():
                used.update(REFERENCE.findall(value))
            if element.get(HREF):
                used.add(element.get(HREF).removeprefix("#"))
        for element in self.root.iter():
            identifier = element.attrib.pop("id", None)
            if identifier in used:
                element.set("id", f"{self.prefix}-{identifier}")
            if element.get(HREF):
                target = element.attrib.pop(HREF).removeprefix("#")
                element.set("href", f"#{self.prefix}-{target}")
            for key, value in element.attrib.items():
                element.set(key, REFERENCE.sub(rf"url(#{self.prefix}-\1)", value))

    def _restyle(self, element):
        style = element.get("style", "")
        for key in ("fill", "stroke"):
            # A property of CSS and not an attribute, for which var() is no value.
            if element.get(key, "").lower() in COLORS:
                style = f"{key}: {element.attrib.pop(key)}; {style}"
        for color, themed in COLORS.items():
            style = re.sub(re.escape(color), themed, style, flags=re.IGNORECASE)
        if style:
            style = FONT.sub(r"font: \1 var(--figure-font)", FAMILY.sub("", style))
            element.set(
                "style", style.replace("; ", ";").replace(": ", ":").strip("; ")
            )
        for key in COORDINATES:
            # Hundredths of a point are not seen, and make half of the bytes.
            if key in element.attrib and "scale" not in element.get(key):
                short = LONG_NUMBER.sub(_rounded, element.get(key))
                element.set(key, " ".join(short.split()))

    def _flatten(self, parent):
        # matplotlib puts each thing into several groups; those that say nothing go.
        for child in list(parent):
            self._flatten(child)
            if child.tag == f"{{{SVG}}}g" and not child.attrib:
                at = list(parent).index(child)
                parent.remove(child)
                for offset, grandchild in enumerate(list(child)):
                    parent.insert(at + offset, grandchild)

    def _describe(self):
        width = float(re.match(r"[\d.]+", self.root.get("width", "460.8pt"))[0])
        for key in ("width", "height", "version"):
            self.root.attrib.pop(key, None)
        self.root.set("class", "figure")
        self.root.set("role", "img")
        self.root.set("aria-label", " ".join(self.alt.split()))
        self.root.set("style", f"max-width: {width * 4 / 3:.0f}px")


def _rounded(match):
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


class InlineFigures(SphinxPostTransform):
    """Set the SVG images of a page into it, those of cells and those of prose."""

    default_priority = 150
    formats = ("html",)

    def run(self, **kwargs):
        page = re.sub(r"\W", "-", Path(self.env.docname).name)
        images = [
            node
            for node in self.document.findall(nodes.image)
            if node["uri"].endswith(".svg") and "://" not in node["uri"]
        ]
        for number, image in enumerate(images, 1):
            path = Path(self.app.srcdir) / image["uri"]
            try:
                svg = path.read_text(encoding="utf-8")
                figure = Inlined(svg, f"{page}-{number}", image.get("alt", ""))
            except (OSError, ValueError) as error:
                logger.warning("%s: %s", path.name, error, location=image)
                continue
            # In a box, in which it scrolls where it would be too small to read.
            box = f'<div class="figure-box">{figure}</div>'
            image.replace_self(nodes.raw("", box, format="html"))


def setup(app):
    app.add_post_transform(InlineFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
