"""Put the figures of notebooks into the page itself, so that they belong to it.

A picture file cannot see the colours of the page around it. The SVG that matplotlib
wrote is therefore set into the page, where two of its colours, the ink and the grid,
follow the theme (book.css), light or dark. In the notebook it stays plain SVG.
"""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

# The two colours of lnlib.plotting that follow the theme.
INK, GRID = "#1a1a1a", "#d0d0d0"

HEAD = re.compile(r"^.*?<svg\b", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
SIZE = re.compile(r'<svg\b([^>]*?)\bwidth="([\d.]+)pt"', re.DOTALL)
HEIGHT = re.compile(r'\bheight="[\d.]+pt"')
IDS = re.compile(r'(\bid="|url\(#|xlink:href="#)')


def inlined(svg, key, alt):
    """The SVG for the page: no header, ids of its own, described, themed."""
    svg = METADATA.sub("", HEAD.sub("<svg", svg, count=1))
    svg = svg.replace("<!-- -->", "")
    svg = IDS.sub(rf"\g<1>{key}-", svg)
    svg = svg.replace(INK, "var(--figure-ink)").replace(GRID, "var(--figure-grid)")
    described = f'<svg class="figure" role="img" aria-label="{html.escape(alt)}"'
    width = SIZE.search(svg)
    points = float(width.group(2)) if width else 460.0
    svg = SIZE.sub(r"<svg\1", svg, count=1)
    svg = HEIGHT.sub("", svg, count=1)
    described += f' style="max-width:{points * 4 / 3:.0f}px"'
    return svg.replace("<svg", described, 1).rstrip()


class InlineFigures(SphinxPostTransform):
    # After the outputs of cells have become images, before these are copied.
    default_priority = 150
    formats = ("html",)

    def run(self, **kwargs):
        docname = re.sub(r"\W", "-", self.env.docname)
        found = [n for n in self.document.findall(nodes.image) if drawn_by_cell(n)]
        for number, image in enumerate(found, 1):
            alt = image.get("alt", "")
            path = Path(self.app.srcdir) / image["uri"]
            if not path.exists():
                path = Path(self.app.outdir).parent / "jupyter_execute" / image["uri"]
            if not path.exists():
                path = Path(image["uri"])
            if not path.exists():
                logger.warning("figure not found: %s", image["uri"], location=image)
                continue
            svg = inlined(path.read_text(encoding="utf-8"), f"{docname}-{number}", alt)
            image.replace_self(nodes.raw("", svg, format="html"))


def drawn_by_cell(image):
    uri = image.get("uri", "")
    return uri.endswith(".svg") and "jupyter_execute" in uri


def setup(app):
    app.add_post_transform(InlineFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
