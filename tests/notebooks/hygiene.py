"""What nbval does not see in a notebook: one function a rule.

nbval runs a notebook again and compares. It passes a notebook that was never run, a
cell without an execution count, and any PNG. These checks read the notebook as it is
stored. Each takes a notebook and returns what is wrong, as a list of strings.
"""

import contextlib
import copy
import getpass
import json
import re
import warnings
from pathlib import Path

import nbformat
import quizzes
import seeds

MAX_LINES = 15  # of a code cell that is shown
MAX_COLUMNS = 79
MAX_DIGITS = 6  # significant ones, of a number in an output
MAX_BYTES = 1_200_000

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
TAGS = HIDDEN | {"hide-output", "raises-exception", "nbval-ignore-output", "full-width"}

PARTS = (
    r"\*\*You will\*\*",
    r"\*\*You will learn\*\*",
    r"\*\*You need\*\*",
    r"\bReading( time)?: (about )?\d+ minutes",
    r"\bRun(ning| time): (about )?\d+ (seconds|minutes)",
    r"\*\*Predict\.\*\*",
    r"^## Check yourself$",
    r"^## Exercises$",
    r"^## What to remember$",
    r"^## Further reading$",
)

ROOT = Path(__file__).resolve().parents[2]
MACHINE = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|var|opt|mnt|private|usr/(?:lib|local))/"
    r"|\bfile://|\b[A-Z]:\\\w|\bipykernel_\d+|<ipython-input|\bat 0x[0-9a-f]{6,}"
)
NUMBER = re.compile(r"(?<![\w.])(\d+\.\d*)(?:e[+-]?\d+)?(?![\w.]|\.\d)")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def texts(cell):
    """The text of a cell's outputs: streams, and values in words."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield data


def images(cell):
    """The kinds of the images that a cell puts out."""
    return [
        kind
        for output in cell.outputs
        for kind in output.get("data", {})
        if kind.startswith("image/")
    ]


def check_format(notebook):
    """A valid notebook of format 4.5 or later, for the python3 kernel, tidy."""
    problems = []
    try:
        # It mends what it can, with a warning; so it gets a copy.
        with warnings.catch_warnings(action="error"):
            nbformat.validate(copy.deepcopy(notebook))
    except (nbformat.ValidationError, Warning) as error:
        problems.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        problems.append(
            "expected nbformat 4.5 or later, with cell ids; "
            f"got {notebook.nbformat}.{notebook.nbformat_minor}"
        )
    wanted = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    if notebook.metadata != wanted:
        problems.append(f"expected metadata {wanted}; got {dict(notebook.metadata)}")
    for cell in notebook.cells:
        if extra := set(cell.metadata) - {"tags", "mystnb"}:
            problems.append(f"{cell.id}: expected no metadata {sorted(extra)}")
        if extra := tags(cell) - TAGS:
            problems.append(
                f"{cell.id}: expected tags among {sorted(TAGS)}; got {sorted(extra)}"
            )
    return problems


def check_ids(notebook):
    """Cell ids are unique, and words that someone chose: they then stay."""
    problems, seen = [], set()
    for cell in notebook.cells:
        name = cell.get("id", "")
        if name in seen:
            problems.append(f"expected unique cell ids; got {name!r} twice")
        seen.add(name)
        made_up = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){0,3}(-[0-9a-f]{12})?", name)
        if made_up or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            problems.append(f"expected a cell id like 'eps-sweep'; got {name!r}")
    return problems


def check_executed(notebook):
    """Every code cell was run, once, from top to bottom."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return [f"expected execution counts 1 to {len(counts)} in order; got {counts}"]


def check_silent(notebook):
    """No warning and no exception that the text does not announce."""
    problems = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                problems.append(f"{cell.id}: expected no stderr; got {output.text!r}")
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                problems.append(
                    f"{cell.id}: expected no error without the tag raises-exception; "
                    f"got {output.ename}: {output.evalue}"
                )
    return problems


def check_seeds(notebook):
    """Every random number comes from a fixed seed."""
    cells = code_cells(notebook)
    found = seeds.unseeded([cell.source for cell in cells])
    return [f"{cells[index].id}: {problem}" for index, problem in found]


def check_figures(notebook):
    """Each figure is one SVG with a caption and an alternative text."""
    problems = []
    for cell in code_cells(notebook):
        about = cell.metadata.get("mystnb", {})
        alt = about.get("image", {}).get("alt", "").strip()
        caption = about.get("figure", {}).get("caption", "").strip()
        kinds = images(cell)
        if not kinds:
            if about:
                problems.append(f"{cell.id}: expected the figure it describes")
            continue
        if kinds != ["image/svg+xml"]:
            problems.append(f"{cell.id}: expected one image/svg+xml; got {kinds}")
        if not alt or alt == caption:
            problems.append(
                f"{cell.id}: expected mystnb.image.alt to say what the figure shows, "
                f"and not with the caption's words; got {alt!r}"
            )
        if not caption:
            problems.append(f"{cell.id}: expected mystnb.figure.caption; got none")
        if not about.get("figure", {}).get("name", "").startswith("fig-"):
            problems.append(f"{cell.id}: expected mystnb.figure.name like 'fig-…'")
        if "<dc:date>" in json.dumps(cell.outputs):
            problems.append(f"{cell.id}: expected a figure without a date")
    return problems


def check_places(notebook):
    """No path, no user and no memory address of anybody's machine."""
    own = _own_names()
    problems = []
    for cell in notebook.cells:
        stored = {"source": cell.source}
        if cell.cell_type == "code":
            stored["outputs"] = "\n".join(_strings(cell.outputs))
        for where, text in stored.items():
            found = [m.group() for m in MACHINE.finditer(text)]
            found += [
                name for name in own if re.search(rf"(?<!\w){re.escape(name)}\b", text)
            ]
            if found:
                problems.append(
                    f"{cell.id}: expected no place on a machine in its {where}; "
                    f"got {sorted(set(found))}"
                )
    return problems


def _own_names():
    """What names this machine: where the book lies, the home folder, the user."""
    names = [str(ROOT)]
    # Some machines have no name for their user, or no home.
    with contextlib.suppress(KeyError, OSError, RuntimeError):
        names += [str(Path.home()), getpass.getuser()]
    # Names too common to mean anything are left to the paths around them.
    common = {"admin", "root", "runner", "ubuntu", "user"}
    return [n for n in names if len(n) > 4 and n not in common]


def _strings(value):
    """All strings in a nest of lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def check_lines(notebook):
    """Shown code is short, and no line of code is long."""
    problems = []
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        if not tags(cell) & HIDDEN and len(lines) > MAX_LINES:
            problems.append(
                f"{cell.id}: expected at most {MAX_LINES} lines; got {len(lines)}"
            )
        problems += [
            f"{cell.id}: expected at most {MAX_COLUMNS} columns; got {line!r}"
            for line in lines
            if len(line) > MAX_COLUMNS
        ]
    return problems


def check_numbers(notebook):
    """No number in an output has digits that differ between processors."""
    problems = []
    for cell in code_cells(notebook):
        for text in texts(cell):
            for match in NUMBER.finditer(text):
                digits = match.group(1).replace(".", "").lstrip("0")
                if len(digits) > MAX_DIGITS:
                    problems.append(
                        f"{cell.id}: expected at most {MAX_DIGITS} significant "
                        f"digits; got {match.group()}"
                    )
    return problems


def check_ignored(notebook):
    """An output that nbval ignores is vouched for by an assertion after it."""
    problems = []
    cells = code_cells(notebook)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if re.search(r"^\s*#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source, re.M):
            problems.append(f"{cell.id}: expected a tag; got a comment for nbval")
        if "nbval-ignore-output" in tags(cell) and (
            following is None or not re.search(r"^\s*assert\b", following.source, re.M)
        ):
            problems.append(
                f"{cell.id}: expected the code cell after an ignored output to assert "
                f"what is claimed of it; got {following and following.id}"
            )
    return problems


def check_quizzes(notebook):
    """Every question has answers, feedback for each, and a right one."""
    return [
        f"{cell.id}: {problem}"
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for problem in quizzes.problems(cell.source)
    ]


def check_chapter(notebook):
    """The parts that every chapter has."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    first = notebook.cells[0] if notebook.cells else None
    problems = []
    if not first or first.cell_type != "markdown" or not first.source.startswith("# "):
        problems.append("expected the first cell to open with '# Title'")
    if len(re.findall(r"^# ", text, re.M)) != 1:
        problems.append("expected one title; sections start with ##")
    problems += [
        f"expected {part!r} somewhere in the chapter"
        for part in PARTS
        if not re.search(part, text, re.M)
    ]
    if len(quizzes.OPENING.findall(text)) < 2:
        problems.append("expected two questions or more under 'Check yourself'")
    exercises = re.findall(r"^:::\{exercise\}.*\n:label: (\S+)", text, re.M)
    solutions = re.findall(
        r"^:::\{solution-start\} (\S+)\n:class: dropdown", text, re.M
    )
    if not exercises or exercises != solutions:
        problems.append(
            "expected exercises, each with a solution in a dropdown; "
            f"got exercises {exercises} and solutions {solutions}"
        )
    return problems + _unchecked_solutions(notebook)


def _unchecked_solutions(notebook):
    problems, label, code = [], None, ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code += cell.source + "\n"
            continue
        if start := re.search(r"^:::\{solution-start\} (\S+)", cell.source, re.M):
            label, code = start.group(1), ""
        if re.search(r"^:::\{solution-end\}", cell.source, re.M):
            if label and not re.search(r"^\s*assert\b", code, re.M):
                problems.append(f"{label}: expected the solution to assert its result")
            label = None
    if label:
        problems.append(f"{label}: expected a :::{{solution-end}} after the solution")
    return problems


def check_size(path):
    """What a reader downloads stays small."""
    size = Path(path).stat().st_size
    if size <= MAX_BYTES:
        return []
    return [f"expected at most {MAX_BYTES} bytes; got {size}"]


CHECKS = (
    check_format,
    check_ids,
    check_executed,
    check_silent,
    check_seeds,
    check_figures,
    check_places,
    check_lines,
    check_numbers,
    check_ignored,
    check_quizzes,
    check_chapter,
)
