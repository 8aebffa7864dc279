"""What stands in the head of each page: a title and a description of its own.

The description is made of the first sentences of the page. Search engines show it,
and so do those who share a link; formulas are put into plain characters for it, and a
sentence whose formula cannot be, is left out.
"""

import re
from html import escape

from docutils import nodes

MOST = 200  # characters, about what is shown of a description

SIGNS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "varepsilon": "ε", "mu": "μ",
    "sigma": "σ", "cdot": "·", "times": "×", "ge": "≥", "le": "≤", "approx": "≈",
    "infty": "∞", "to": "→", "dots": "…", "mathbf 1": "1",
}  # fmt: skip
RAISED = str.maketrans("0123456789-+n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ")

# Pages that Sphinx makes, which have no text of their own.
MADE = {
    "genindex": "An index of every term and function of {book}.",
    "py-modindex": "The modules of the library of {book}.",
    "search": "Search the pages of {book}.",
}


def plain(tex):
    """A formula in plain characters, or None where that cannot be done."""
    text = re.sub(r"\\sqrt\{([^{}\\]*)\}", r"√(\1)", tex)
    text = re.sub(r"\\sqrt\s*(\w)", r"√\1", text)
    for name, sign in SIGNS.items():
        text = re.sub(rf"\\{name}(?![a-zA-Z])\s*", sign, text)
    text = re.sub(r"\\hat\s*(?:\{(\w)\}|(\w))", lambda m: (m[1] or m[2]) + "̂", text)
    text = re.sub(
        r"\^(?:\{([0-9n+-]+)\}|([0-9n]))",
        lambda m: (m[1] or m[2]).translate(RAISED),
        text,
    )
    text = re.sub(r"\\[,;! ]", " ", text)
    return None if re.search(r"[\\{}^_$]", text) else text.replace("-", "−").strip()


def describe(doctree):
    """The first sentences of a page, as many as a description has room for."""
    text = ""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, (nodes.section, nodes.document)):
            for sentence in _sentences(paragraph):
                if text and len(text) + 1 + len(sentence) > MOST:
                    return text
                text = f"{text} {sentence}".strip()
            if len(text) >= MOST / 2:
                return text
    return text


def _sentences(paragraph):
    words = []
    for leaf in paragraph.findall(lambda n: isinstance(n, (nodes.Text, nodes.math))):
        if isinstance(leaf, nodes.math):
            words.append(plain(leaf.astext()) or "\0")
        elif not isinstance(leaf.parent, nodes.math):
            words.append(leaf.astext())
    text = " ".join("".join(words).split())
    sentences = re.split(r"(?<=[.?!:])\s+(?=[A-Z“])", text)
    return [s for s in sentences if "\0" not in s]


def name(app, pagename, templatename, context, doctree):
    book = app.config.project
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # its title is that of the book
    if doctree is not None:
        description = describe(doctree)
    else:
        description = MADE.get(pagename, "").format(book=book)
    if description:
        tag = f'<meta name="description" content="{escape(description)}" />'
        context["metatags"] = context.get("metatags", "") + tag


def setup(app):
    app.connect("html-page-context", name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
