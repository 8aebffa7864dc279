"""The Colab edition: plain Markdown; each chapter alone on a machine like Colab's."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import colab
import colab_machine
import nbformat
import pytest
import yaml
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import DocutilsRenderer
from myst_parser.parsers.mdit import create_md_parser
from nbformat.v4 import new_code_cell, new_notebook
from run_notebooks import CELL_SECONDS

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAME = "someone/book"
PREINSTALLED = ("torch", "numpy", "matplotlib", "scikit-learn")
# The kernel; and pip, with what it builds lnlib with, which it would else download.
MACHINERY = ("ipykernel", "pip", "setuptools")
HASH = "0123456789abcdef0123456789abcdef01234567"

on_every_chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine, and the commits of an older library and of this one."""
    folder = tmp_path_factory.mktemp("colab")
    repository = folder / "repository"
    colab_machine.library_repository(repository)
    module = repository / "lnlib" / "loops.py"
    text = module.read_text("utf-8")
    module.write_text("raise ImportError('of another commit')\n", "utf-8")
    older = colab_machine.commit(repository, "An older library of the same version")
    module.write_text(text, "utf-8")
    newer = colab_machine.commit(repository, "The library")
    made = colab_machine.Machine(
        folder / "machine",
        (*PREINSTALLED, *MACHINERY),
        wheels=["array-api-compat"],
        repository=repository,
        address=f"https://github.com/{NAME}",
    )
    made.commits = older, newer
    return made


def opening(commit):
    """The cell that installs, as it stands in the edition."""
    edition = colab.Edition(NAME, commit)
    return edition.notebook(NOTEBOOKS[0]).cells[1]


@pytest.fixture(scope="module")
def installed(machine):
    """The machine after the first cell has been run, in one kernel, step by step."""
    older, newer = machine.commits
    assert not machine.added()
    before = {n: colab_machine.state(machine.preinstalled[n]) for n in PREINSTALLED}
    allowed = {"tags": ["raises-exception"]}
    cells = [
        new_code_cell("import lnlib", metadata=allowed),
        new_code_cell("import nbformat", metadata=allowed),
        opening(older),
        opening(newer),
        opening(newer),
        new_code_cell(opening("0" * 40).source, metadata=allowed),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"step-{number}"
    notebook = new_notebook(cells=cells)
    machine.run(notebook, machine.folder, CELL_SECONDS)
    machine.steps = notebook.cells
    machine.before = before
    return machine


def said(cell):
    return "".join(o.get("text", "") + o.get("evalue", "") for o in cell.outputs)


def test_the_machine_has_nothing_else(installed):
    # Were it otherwise, the tests below could not fail for a package that is missing.
    for step in installed.steps[:2]:
        assert step.outputs[0].ename == "ModuleNotFoundError"


def test_the_first_cell_installs_the_library_at_the_commit(installed):
    older, newer, again, missing = installed.steps[2:]
    for step in (older, newer, again):
        assert "lnlib is here, at the commit of this page" in said(step)
    # Again there is nothing to install, and pip is not asked.
    assert "restart the kernel" in said(newer)
    assert said(again) == "lnlib is here, at the commit of this page\n"
    assert missing.outputs[-1].ename == "AssertionError"
    assert "lnlib was not installed" in said(missing)


def test_the_first_cell_touches_nothing_else(installed):
    names = {name.partition("-")[0] for name in installed.added()}
    assert names == {"lnlib", "array_api_compat"}
    for name, state in installed.before.items():
        assert colab_machine.state(installed.preinstalled[name]) == state
    for name in ("torch", "numpy"):
        place = installed.output(
            f"from importlib.util import find_spec; print(find_spec('{name}').origin)"
        )
        assert Path(place).is_relative_to(installed.folder / "preinstalled")


@pytest.fixture(scope="module")
def runs(installed, tmp_path_factory):
    """Each chapter of the edition, run alone in an empty folder, two at a time."""
    folder = tmp_path_factory.mktemp("chapters")
    paths = colab.Edition(NAME, installed.commits[1]).write(folder / "edition")

    def run(path):
        alone = folder / path.stem
        alone.mkdir()
        notebook = nbformat.read(path, as_version=4)
        try:
            installed.run(notebook, alone, CELL_SECONDS)
        except Exception as error:  # whatever it is, the test of the chapter says it
            return notebook, error
        return notebook, None

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip((p.stem for p in paths), pool.map(run, paths), strict=True))


@on_every_chapter
def test_chapter_runs_to_its_end(runs, path):
    notebook, error = runs[path.stem]
    assert error is None, error
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    stored = nbformat.read(path, as_version=4)
    assert len(cells) == 1 + sum(c.cell_type == "code" for c in stored.cells)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert said(cells[0]) == "lnlib is here, at the commit of this page\n"


# --- what a reader sees -------------------------------------------------------------


@pytest.fixture(scope="module")
def edition():
    return colab.Edition(NAME, HASH)


def myst(text):
    """What the site's own parser finds in a text that is not plain Markdown."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    extensions = set(config["parse"]["myst_enable_extensions"])
    parser = create_md_parser(
        MdParserConfig(enable_extensions=extensions), DocutilsRenderer
    )
    found = []
    for token in parser.parse(text):
        for inner in [token, *(token.children or [])]:
            directive = inner.type == "fence" and inner.info.startswith("{")
            link = dict(inner.attrs).get("href", "https:")
            if (
                directive
                or inner.type.startswith(("myst_", "footnote", "dl_", "colon_fence"))
                or inner.type in ("math_block_label", "math_block_eqno", "amsmath")
                or inner.type in ("attrs_inline", "span_open")
                or (inner.type == "link_open" and not link.startswith("https:"))
            ):
                found.append(f"{inner.type}: {inner.content or inner.info or link}")
    return found


@pytest.mark.parametrize(
    "text",
    [
        *("{term}`row`", "{eq}`eq-one`", "{cite:p}`ba2016layer`", "{numref}`fig-one`"),
        *(":::{exercise} One\n:label: ex-one\n:::", "```{note}\nHere.\n```"),
        *("$$ x $$ (eq-one)", "$$\nx\n$$ (eq-one)", "\\begin{align}\nx\n\\end{align}"),
        *("(a-label)=\n# A title", "% a comment", "+++", "A note[^1].\n\n[^1]: It."),
        *("Term\n: What it is.", "[a](02_the_formula.ipynb)", "[a]{.b}"),
    ],
)
def test_the_parser_finds_myst(text):
    assert myst(text)


@on_every_chapter
def test_no_myst_is_left(edition, path):
    stored = nbformat.read(path, as_version=4)
    before = [
        m for c in stored.cells if c.cell_type == "markdown" for m in myst(c.source)
    ]
    assert before  # the parser sees it in the chapter, and not in the edition
    made = edition.notebook(path)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert not myst(cell.source), cell.id
            assert 'class="quiz"' not in cell.source
            assert ":::" not in cell.source and ":label:" not in cell.source


@on_every_chapter
def test_the_edition_keeps_code_outputs_and_ids(edition, path):
    stored = nbformat.read(path, as_version=4)
    made = edition.notebook(path)
    nbformat.validate(copy.deepcopy(made))
    cells = {c.id: c for c in made.cells}
    assert [c.id for c in made.cells[:2]] == ["colab-edition", "colab-install"]
    for cell in stored.cells:
        if cell.cell_type == "code":
            twin = cells[cell.id]
            for shown, kept in zip(twin.outputs, cell.outputs, strict=True):
                # A figure gets a ground; nothing else differs from what is stored.
                if svg := kept.get("data", {}).pop("image/svg+xml", None):
                    start, white = svg.split("<svg ", 1)
                    white = f'{start}<svg style="background: white" {white}'
                    assert shown.data.pop("image/svg+xml") == white
            assert twin.outputs == cell.outputs
            assert twin.source.endswith(cell.source)
            tags = set(cell.metadata.get("tags", []))
            assert ("cellView" in twin.metadata) == bool(tags & colab.HIDDEN)
            if caption := colab.figure_of(cell).get("caption"):
                shown = cells[f"{cell.id}-caption"].source
                assert shown.startswith("**Fig. ")
                assert caption[:12] in shown
    assert all(c.metadata["id"] == c.id for c in made.cells)
    assert made.metadata.colab["name"] == path.name
    # Every exercise has its solution, and the page opens with all of them folded.
    folded = made.metadata.colab["collapsed_sections"]
    sources = [c.source for c in made.cells if c.cell_type == "markdown"]
    assert len(folded) == "\n".join(sources).count("### Exercise ") > 0
    assert all(cells[name].source.startswith("#### Solution") for name in folded)
    assert f"at commit [{HASH[:7]}]" in sources[0]


def test_the_edition_is_the_same_each_time(tmp_path):
    for folder in ("one", "two"):
        colab.Edition(NAME, HASH).write(tmp_path / folder)
    one, two = (sorted((tmp_path / n).iterdir()) for n in ("one", "two"))
    assert [p.name for p in one] == sorted(["README.md", *(p.name for p in NOTEBOOKS)])
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
