"""What the notebooks hold, counted in the notebooks themselves while the site is built.

The site executes nothing, so MyST-NB's own table of execution times is empty. These
directives read the stored notebooks that the pages are made from:

    ```{notebook-status}
    ```

is a table with a row for each notebook of the table of contents,

    ```{not-compared}
    ```

lists the outputs that the tests do not compare, with the assertion that stands for
each, and

    ```{library-facts}
    ```

says how large the library and its tests are.
"""

import ast
import doctest
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from sphinx.util.docutils import SphinxDirective

IGNORED = "nbval-ignore-output"
EXPECTED_ERROR = "raises-exception"
QUESTION = re.compile(r'^<div class="quiz"', re.M)
EXERCISE = re.compile(r"^:::\{exercise\}", re.M)
TITLE = re.compile(r"^# (.+)$", re.M)


@dataclass
class Status:
    """What one notebook holds.

    Attributes:
        title: its heading.
        code: number of code cells.
        in_order: whether all of them were run, once, from top to bottom.
        assertions: number of assertions in them.
        compared: number of code cells with outputs that the tests compare.
        ignored: the cells whose outputs are not compared, each as a pair of the
            cell's id and the first assertion of the code cell after it, or None.
        figures: number of pictures among the outputs.
        questions, exercises: number of each.
        errors: number of cells that ended in an error nobody announced.
    """

    title: str
    code: int = 0
    in_order: bool = True
    assertions: int = 0
    compared: int = 0
    ignored: list = field(default_factory=list)
    figures: int = 0
    questions: int = 0
    exercises: int = 0
    errors: int = 0


def assertions(source):
    """The assertions in a piece of code: `assert`, and NumPy's assert functions.

    Code that is no Python, such as a line of IPython, has none that count.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(node)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name.startswith("assert_"):
                found.append(node)
    return sorted(found, key=lambda node: node.lineno)


def status(notebook):
    """The status of a notebook as it is stored.

    Args:
        notebook: a notebook of format 4, as nbformat reads it.
    """
    texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    prose = "\n\n".join(texts)
    title = TITLE.search(prose)
    found = Status(title.group(1) if title else "without a title")
    found.questions = len(QUESTION.findall(prose))
    found.exercises = len(EXERCISE.findall(prose))
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    found.code = len(cells)
    counts = [cell.execution_count for cell in cells]
    found.in_order = counts == list(range(1, len(cells) + 1))
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        tags = cell.metadata.get("tags", [])
        found.assertions += len(assertions(cell.source))
        for output in cell.outputs:
            kinds = output.get("data", {})
            found.figures += any(kind.startswith("image/") for kind in kinds)
            unannounced = EXPECTED_ERROR not in tags
            found.errors += output.output_type == "error" and unannounced
        if IGNORED in tags:
            vouching = assertions(following.source) if following else []
            first = ast.unparse(vouching[0]) if vouching else None
            found.ignored.append((cell.id, first))
        else:
            found.compared += bool(cell.outputs)
    return found


def library_facts(root):
    """How large the library below a folder is: a dict from what to how many."""
    root = Path(root)
    modules = sorted((root / "lnlib").rglob("*.py"))
    sources = [path.read_text(encoding="utf-8") for path in modules]
    parser, examples, public = doctest.DocTestParser(), 0, 0
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node) or ""
                examples += len(parser.get_examples(text))
        public += sum(
            isinstance(node, (ast.FunctionDef, ast.ClassDef))
            and not node.name.startswith("_")
            for node in ast.parse(source).body
        )
    tests = [
        node
        for path in sorted((root / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    return {
        "modules": len(modules),
        "lines in them": sum(len(source.splitlines()) for source in sources),
        "functions and classes without an underscore": public,
        "examples in docstrings, each of them run": examples,
        "test functions, most of them run over many cases": len(tests),
    }


class Counted(SphinxDirective):
    """The notebooks of the book, in the order of their numbers."""

    def notebooks(self):
        folder = Path(self.env.srcdir)
        for name in sorted(self.env.found_docs):
            path = folder / f"{name}.ipynb"
            if path.exists():
                self.env.note_dependency(str(path))
                notebook = nbformat.read(path, as_version=4)
                yield f"/{name}.ipynb", status(notebook)


class NotebookStatus(Counted):
    def run(self):
        header = (
            "chapter",
            "code cells",
            "run in order",
            "errors",
            "assertions",
            "outputs compared",
            "not compared",
            "figures",
            "questions",
            "exercises",
        )
        lines = [row(header), row(["---", *["--:"] * (len(header) - 1)])]
        for path, s in self.notebooks():
            lines.append(
                row(
                    (
                        f"[{s.title}]({path})",
                        s.code,
                        "all" if s.in_order else "**not all**",
                        s.errors or "none",
                        s.assertions,
                        s.compared,
                        len(s.ignored) or "none",
                        s.figures,
                        s.questions,
                        s.exercises,
                    )
                )
            )
        return self.parse_text_to_nodes("\n".join(lines))


class NotCompared(Counted):
    def run(self):
        lines = []
        for path, s in self.notebooks():
            for name, vouched in s.ignored:
                stands = f"`{vouched}`" if vouched else "nothing"
                lines.append(
                    f"- [{s.title}]({path}), cell `{name}`, tag `{IGNORED}`. "
                    f"The next code cell asserts {stands}."
                )
        return self.parse_text_to_nodes("\n".join(lines) or "There are none.")


class LibraryFacts(SphinxDirective):
    def run(self):
        facts = library_facts(self.env.srcdir).items()
        lines = [row(("counted", "number")), row(("---", "--:"))]
        lines += [row((what, f"{number:,}")) for what, number in facts]
        return self.parse_text_to_nodes("\n".join(lines))


def row(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def setup(app):
    app.add_directive("notebook-status", NotebookStatus)
    app.add_directive("not-compared", NotCompared)
    app.add_directive("library-facts", LibraryFacts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
