"""The page that is shown for an address that leads nowhere, 404.html.

GitHub Pages shows it at any address, in any folder below the site. So it brings its
own styles, and its links start from where the site is served, as far as that is known.
"""

from html import escape
from pathlib import Path
from urllib.parse import urlsplit

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="description" content="There is no page of {book} at this address.">
<title>No such page — {book}</title>{base}
<link rel="icon" href="_static/logo.svg">
<style>
body {{ background: #fff; color: #222; font: 1.1rem/1.6 sans-serif; }}
main {{ margin: 15vh auto 0; max-width: 34rem; padding: 0 1rem; }}
a {{ color: #0f5ec9; }}
li {{ padding: 0.2rem 0; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #121212; color: #ced6dd; }}
  a {{ color: #8ab4ff; }}
}}
</style>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p>The address may be mistyped, or the page was moved. From here on:</p>
<ul>
{links}
</ul>
</main>
</body>
</html>
"""


def page(book, address, links):
    """The page, for a book that is served at an address, or at one not known ("")."""
    path = urlsplit(address).path
    base = f'\n<base href="{escape(path)}">' if path else ""
    items = "\n".join(f'<li><a href="{href}">{escape(t)}</a></li>' for href, t in links)
    return PAGE.format(book=escape(book), base=base, links=items)


def write(app, exception):
    if exception or app.builder.format != "html":
        return
    root = app.config.root_doc
    links = [(f"{root}.html", "The first page of the book")]
    links.append(("search.html", "Search"))
    links.append(("genindex.html", "Index"))
    html = page(app.config.project, app.config.html_baseurl, links)
    (Path(app.outdir) / "404.html").write_text(html, encoding="utf-8")


def setup(app):
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
