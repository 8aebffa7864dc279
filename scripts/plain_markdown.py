"""MyST as plain Markdown, for places that do not know MyST.

Jupyter and Colab render Markdown and formulas, and show roles, directives and labels as
raw text. Here they become what the site makes of them, in words: a reference to an
equation becomes its number, a citation its authors and year with a link, a question its
answers with a verdict for each. What is not known here is refused by name, so that
nothing half rendered goes out.
"""

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import yaml


class UnknownSyntax(ValueError):
    """Something of MyST that has no form in plain Markdown here."""


FENCE = re.compile(r"^( *)(`{3,}|~{3,}|:{3,})\s*(.*?)\s*$")
DIRECTIVE = re.compile(r"^\{([\w:.+-]+)\}\s*(.*)$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
EXPLICIT = re.compile(r"(.+?)\s*<([^<>]+)>", re.S)
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.M)
LABELLED_HEADING = re.compile(r"^\(([\w:.-]+)\)=\n+#{1,6} +(.+?)\s*$", re.M)
ENVIRONMENT = r"\\begin\{(?P<env>\w+)(?P<star>\*?)\}"

INLINE = re.compile(
    r"(?<!\\)\{(?P<role>[a-zA-Z][\w:.+-]*)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)(?!`)"
    r"|(?P<code>(?<!`)(?P<t>`+)(?!`).+?(?<!`)(?P=t)(?!`))"
    r"|(?<!\\)\$\$(?P<display>.+?)\$\$(?:[ \t]*\((?P<label>[\w:.-]+)\))?"
    r"|(?P<math>(?<![\\$])\$(?=[^\s$])[^$]*?(?<=[^\s\\])\$)"
    rf"|{ENVIRONMENT}(?P<body>.*?)\\end\{{(?P=env)(?P=star)\}}"
    r"|(?P<image>!)?\[(?P<text>[^\[\]]*)\]\((?P<link>[^()\s]*(?:\([^()\s]*\))?[^()\s]*)\)"
    r"|(?<!\!)\[\^(?P<note>[\w-]+)\](?P<defines>:)?"
    r"|(?<=[\])`])\{[.#][^{}\n]*\}",
    re.S,
)

ADMONITIONS = {
    **{name: name.capitalize() for name in ("note", "tip", "hint", "important")},
    **{name: name.capitalize() for name in ("warning", "caution", "attention")},
    **{name: name.capitalize() for name in ("danger", "error")},
    "seealso": "See also",
}
CODE_ROLES = {
    *("func", "class", "meth", "mod", "attr", "data", "exc", "obj", "const"),
    *("code", "file", "command", "program", "option", "envvar"),
}


@dataclass
class Book:
    """What the pages of the book refer to, and under which numbers the site has it."""

    root: Path
    site: str  # the address of the site, ending in a slash
    source: str  # the address of a file of the repository, up to its path
    equations: dict = field(default_factory=dict)  # label -> number
    figures: dict = field(default_factory=dict)
    exercises: dict = field(default_factory=dict)
    titles: dict = field(default_factory=dict)  # page, or label of a section -> title
    sections: dict = field(default_factory=dict)  # label -> page
    references: dict = field(default_factory=dict)  # key -> (authors, year, address)

    @classmethod
    def read(cls, root, site, source):
        """Read the pages in the order of the contents, which is that of the numbers."""
        book = cls(Path(root), site, source)
        contents = yaml.safe_load((book.root / "_toc.yml").read_text("utf-8"))
        for page in _pages(contents):
            book._add(page)
        config = yaml.safe_load((book.root / "_config.yml").read_text("utf-8"))
        for name in config.get("bibtex_bibfiles", []):
            book.references.update(_references(book.root / name, site))
        return book

    def _add(self, page):
        for figure, text in _parts(self.root / page):
            if figure:
                self.figures[figure] = len(self.figures) + 1
                continue
            prose = _without_code(text)
            if page not in self.titles and (title := HEADING.search(prose)):
                self.titles[page] = title.group(1)
            for label, title in LABELLED_HEADING.findall(prose):
                self.titles[label], self.sections[label] = title, page
            labels = re.findall(
                r"\$\$[ \t]*\(([\w:.-]+)\)|^[:`~]{3,}\{math\}\n:label: (\S+)",
                *(prose, re.M),
            )
            for label in (a or b for a, b in labels):
                self.equations[label] = len(self.equations) + 1
            for label in re.findall(r"^:::+\{exercise\}.*\n:label: (\S+)", prose, re.M):
                self.exercises[label] = len(self.exercises) + 1


def _pages(node):
    """The pages that a table of contents names, from top to bottom."""
    if isinstance(node, list):
        for inner in node:
            yield from _pages(inner)
    elif isinstance(node, dict):
        for key in ("root", "file"):
            if key in node:
                yield node[key].removesuffix(".ipynb").removesuffix(".md")
        for key in ("parts", "chapters", "sections", "entries"):
            yield from _pages(node.get(key, []))


def _parts(path):
    """The prose of a page and the names of its figures, in order: (name, prose)."""
    notebook = path.with_name(path.name + ".ipynb")
    if not notebook.exists():
        yield None, path.with_name(path.name + ".md").read_text("utf-8")
        return
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield None, cell.source
        elif name := figure_of(cell).get("name"):
            yield name, ""


def figure_of(cell):
    """Caption and name of the figure that a cell draws; empty if it draws none."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


def _without_code(text):
    return re.sub(r"^(```+|~~~+)(?!\{).*?^\1\s*$", "", text, flags=re.M | re.S)


def _references(path, site):
    # Only here, since it takes a while.
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    found = {}
    for key, entry in parse_file(str(path)).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [
            str(Text.from_latex(" ".join([*p.prelast_names, *p.last_names])))
            for p in people
        ]
        if len(names) > 2 or names[1:] == ["others"]:
            names = [f"{names[0]} et al."]
        address = entry.fields.get("url")
        if not address and (doi := entry.fields.get("doi")):
            address = f"https://doi.org/{doi}"
        authors = " and ".join(names) or str(Text.from_latex(entry.fields["title"]))
        address = address or f"{site}book/bibliography.html"
        found[key] = (authors, entry.fields.get("year", "undated"), address)
    return found


@dataclass
class Plain:
    """Turns the texts of one page into plain Markdown.

    Args:
        book: the `Book` that the page belongs to.
        page: its path without suffix, below the root of the book.
        glued: the numbers that the page's cells computed for its prose, by name.
    """

    book: Book
    page: str
    glued: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    def __call__(self, text):
        """A text as plain Markdown.

        Raises:
            UnknownSyntax: a role, a directive or a reference is not known.
        """
        # Prose is taken together, since formulas and links go over several lines.
        out, prose = [], []

        def flush():
            if prose:
                out.append(self._prose("\n".join(prose)))
                prose.clear()

        lines = iter(text.split("\n"))
        for line in lines:
            fence = FENCE.match(line)
            if not fence:
                prose.append(line)
                continue
            flush()
            indent, marks, info = fence.groups()
            body = _until(lines, marks, indent)
            directive = DIRECTIVE.match(info)
            if directive:
                written = self._directive(*directive.groups(), body)
                out.append("\n".join(indent + w if w else w for w in written))
            elif marks[0] == ":":
                raise UnknownSyntax(f"a block ::: without a name: {line!r}")
            else:
                out.append(
                    "\n".join([line, *(indent + b for b in body), indent + marks])
                )
        flush()
        plain = re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")
        return _questions(plain)

    # --- blocks ---------------------------------------------------------------------

    def _directive(self, name, argument, body):
        options, body = _options(body)
        if name == "exercise":
            number = self._number("exercises", options.get("label", ""))
            title = f"### Exercise {number}" + (f": {argument}" if argument else "")
            return [self(title), "", *self(_joined(body)).split("\n")]
        if name == "solution-start":
            self._number("exercises", argument)
            return ["#### Solution", *self(_joined(body)).split("\n")]
        if name == "solution-end":
            return []
        if name in ("solution", "dropdown"):
            title = "Solution" if name == "solution" else self(argument)
            return _folded(title, self(_joined(body)))
        if name in ADMONITIONS or name == "admonition":
            title = self(argument) if name == "admonition" else ADMONITIONS[name]
            if name != "admonition" and argument:  # its first words
                body = [argument, *body]
            text = f"**{title.rstrip('.')}.** {self(_joined(body))}"
            return [f"> {line}".rstrip() for line in text.split("\n")]
        if name == "math":
            return self._display(_joined(body), options.get("label")).split("\n")
        if name in ("code", "code-block"):
            return [f"```{argument}", *body, "```"]
        raise UnknownSyntax(f"the directive {{{name}}}")

    def _display(self, formula, label):
        if not label:
            return f"$${formula}$$"
        number = self._number("equations", label)
        return f"$$\n{formula.strip()}\n\\tag{{{number}}}\n$$"

    def _prose(self, text):
        text = re.sub(r"^(%.*|\([\w:.-]+\)=|\+\+\+.*)\n?", "", text, flags=re.M)
        text = re.sub(
            r"^(?! |[-*|>#])(\S.*)\n: +(?=\S)", r"- **\1**: ", text, flags=re.M
        )
        return INLINE.sub(self._inline, text)

    # --- within a line --------------------------------------------------------------

    def _inline(self, found):
        if found["role"]:
            return self._role(found["role"], found["content"].strip())
        if found["code"] or found["math"]:
            return found[0]
        if found["display"]:
            return self._display(found["display"], found["label"])
        if found["env"]:
            return self._environment(found["env"], found["body"])
        if found["link"] is not None:
            return self._link(found["image"], found["text"], found["link"])
        if found["note"]:
            if found["note"] not in self.notes:
                self.notes.append(found["note"])
            number = self.notes.index(found["note"]) + 1
            return f"<sup>[{number}]</sup>"
        return ""  # attributes

    def _environment(self, name, body):
        inner = {"align": "aligned", "gather": "gathered"}
        if "\\label" in body or name not in (*inner, "equation"):
            raise UnknownSyntax(
                f"the environment {name}; $$ … $$ (label) is the form for formulas"
            )
        if name in inner:
            body = rf"\begin{{{inner[name]}}}{body}\end{{{inner[name]}}}"
        return f"$${body}$$"

    def _role(self, role, content):
        explicit = EXPLICIT.fullmatch(content)
        text, target = explicit.groups() if explicit else (None, content)
        if role == "term":
            return self(text or target)
        if role == "eq":
            return f"({self._number('equations', target)})"
        if role == "numref":
            return self._numbered(text, target)
        if role in ("ref", "doc"):
            return self._reference(role, text, target)
        if role == "cite" or role.startswith("cite:"):
            return self._citation(role, content)
        if role == "glue" or role in ("glue:text", "glue:"):
            return self._glued(content)
        if role == "math":
            return f"${content}$"
        if role in ("sub", "sup"):
            return f"<{role}>{content}</{role}>"
        if role == "kbd":
            return f"<kbd>{content}</kbd>"
        if role.removeprefix("py:") in CODE_ROLES:
            return f"`{(text or target).removeprefix('~')}`"
        raise UnknownSyntax(f"the role {{{role}}}")

    def _number(self, kind, label):
        try:
            return getattr(self.book, kind)[label]
        except KeyError:
            raise UnknownSyntax(f"no {kind[:-1]} with the label {label!r}") from None

    def _numbered(self, text, label):
        if label in self.book.exercises:
            form, number = "Exercise %s", self.book.exercises[label]
        else:
            form, number = "Fig. %s", self._number("figures", label)
        form = (text or form).replace("{number}", "%s")
        return form.replace("%s", str(number))

    def _reference(self, role, text, target):
        if role == "doc":
            page = self._resolved(target)
            return self._to_page(page, "", text)
        if target in self.book.exercises or target in self.book.figures:
            return text or self._numbered(None, target)
        if target not in self.book.sections:
            raise UnknownSyntax(f"no section with the label {target!r}")
        return self._to_page(
            self.book.sections[target], f"#{target}", text or self.book.titles[target]
        )

    def _citation(self, role, content):
        kind = role.partition(":")[2] or "p"
        if kind not in ("p", "t", "ps", "ts"):
            raise UnknownSyntax(f"the role {{{role}}}")
        links = []
        for key in (k.strip() for k in content.split(",")):
            if key not in self.book.references:
                raise UnknownSyntax(f"no reference with the key {key!r}")
            authors, year, address = self.book.references[key]
            named = f"{authors} ({year})" if kind[0] == "t" else f"{authors} {year}"
            links.append(f"[{named}]({address})")
        return ", ".join(links) if kind[0] == "t" else f"({'; '.join(links)})"

    def _glued(self, content):
        name, _, spec = content.partition(":")
        if name not in self.glued:
            raise UnknownSyntax(f"no cell that computes {name!r}")
        value = self.glued[name].strip("'\"")
        return format(float(value), spec) if spec else value

    def _link(self, image, text, address):
        if re.match(r"[a-z][a-z+.-]*:", address):
            return f"{image or ''}[{self._prose(text)}]({address})"
        if image:
            raise UnknownSyntax(f"the picture {address!r}; draw it in a code cell")
        path, hash_, anchor = address.partition("#")
        text = self._prose(text)
        if not path:
            page = self.book.sections.get(anchor, self.page)
            text = text or self.book.titles.get(anchor, "")
            return self._to_page(page, hash_ + anchor, text)
        if path.endswith((".ipynb", ".md")):
            page = self._resolved(re.sub(r"\.(ipynb|md)$", "", path))
            if page in self.book.titles:
                return self._to_page(page, hash_ + anchor, text)
        file = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), path))
        if not (self.book.root / file).exists():
            raise UnknownSyntax(f"a link to {address!r}, which is not there")
        return f"[{text or file}]({self.book.source}{file}{hash_}{anchor})"

    def _resolved(self, target):
        folder = "" if target.startswith("/") else posixpath.dirname(self.page)
        return posixpath.normpath(posixpath.join(folder, target.lstrip("/")))

    def _to_page(self, page, anchor, text):
        if page not in self.book.titles:
            raise UnknownSyntax(f"no page {page!r} in the contents")
        text = text or self.book.titles[page]
        return f"[{text}]({self.book.site}{page}.html{anchor})"


def _joined(lines):
    return "\n".join(lines).strip("\n")


def _until(lines, marks, indent):
    """The lines up to the end of a fence, without its indentation."""
    body = []
    for line in lines:
        end = FENCE.match(line)
        if end and not end[3] and end[2][0] == marks[0] and len(end[2]) >= len(marks):
            return body
        body.append(line.removeprefix(indent))
    raise UnknownSyntax(f"a block {marks} without an end")


def _options(body):
    """The options at the head of a directive, and what comes after them."""
    options = {}
    for i, line in enumerate(body):
        option = OPTION.match(line)
        if not option:
            return options, body[i:]
        options[option[1]] = option[2]
    return options, []


def _folded(title, text):
    """Text that opens on a click."""
    return [
        f"<details><summary>{title}</summary>",
        *("", *text.split("\n"), ""),
        "</details>",
    ]


def _questions(text):
    """Questions without the site's script: all feedback opens with a verdict."""

    def question(found):
        right = set(found[1].split(","))
        body = re.sub(
            # The feedback goes on after the verdict, unless it opens with a block.
            r"^<details><summary>(\d+)</summary>\n+(\$\$|```|[-*|>] |\d+\. )?",
            lambda m: (
                f"<details><summary>Answer {m[1]}</summary>\n\n"
                f"**{'Right.' if m[1] in right else 'Not quite.'}**"
                + (f"\n\n{m[2]}" if m[2] else " ")
            ),
            *(found[2],),
            flags=re.M,
        )
        if len(right) > 1:
            head, answers = body.split("\n\n1. ", 1)
            body = f"{head}\n\n*Choose all that are right.*\n\n1. {answers}"
        return body

    return re.sub(
        r'^<div class="quiz" data-answer="([\d,]+)">\n\n(.*?)\n\n</div>$',
        *(question, text),
        flags=re.M | re.S,
    )
