"""The notebooks as they are stored: what nbval does not see."""

import json
from pathlib import Path

import hygiene
import nbformat
import pytest
import quizzes
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted((ROOT / "book").glob("**/*.md"))


def named(path):
    return path.stem


def test_there_are_notebooks_and_pages():
    assert NOTEBOOKS and PAGES


@pytest.mark.parametrize("check", hygiene.CHECKS, ids=lambda c: c.__name__[6:])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_notebook(path, check):
    # Not nbformat.read: it mends what it reads, such as a missing id.
    notebook = nbformat.from_dict(json.loads(path.read_text(encoding="utf-8")))
    for cell in notebook.cells:
        _join_lines(cell)
    assert not check(notebook)


def _join_lines(cell):
    """In a file, a text may be a list of lines."""

    def joined(value):
        return "".join(value) if isinstance(value, list) else value

    cell.source = joined(cell.source)
    for output in cell.get("outputs", []):
        if "text" in output:
            output.text = joined(output.text)
        for kind, data in output.get("data", {}).items():
            output.data[kind] = joined(data)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_size(path):
    assert not hygiene.check_size(path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_is_a_page_of_the_book(path):
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = list(_files(contents))
    assert f"notebooks/{path.stem}" in files


def _files(node):
    if isinstance(node, dict):
        if "file" in node:
            yield node["file"].removesuffix(".ipynb")
        for value in node.values():
            yield from _files(value)
    elif isinstance(node, list):
        for value in node:
            yield from _files(value)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_quizzes_of_a_page(path):
    assert not quizzes.problems(path.read_text(encoding="utf-8"))
