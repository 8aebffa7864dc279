"""The checks of the notebooks can fail: each is shown a fault that it must find."""

import copy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import hygiene
import nbformat
import pytest
import quizzes
import run_notebooks
import seeds
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

QUIZ = """<div class="quiz" data-answer="2">

**Question.** What is the mean of $1$ and $3$?

1. one
2. two

<details><summary>1</summary>

That is the smaller of them.

</details>
<details><summary>2</summary>

Right.

</details>

</div>"""

TITLE = """# A small chapter

- **You will** look. **You will learn** little. **You need** nothing.

Reading: 1 minutes. Running: 1 seconds.

**Predict.** What will it print?"""

EXERCISE = """## Exercises

:::{exercise} Half
:label: ex-half

Halve one.
:::

:::{solution-start} ex-half
:class: dropdown
:::"""

IMPORTS = "import numpy as np\nfrom lnlib import plotting\nplotting.use()"
FIGURE = """import matplotlib.pyplot as plt

plt.plot([0, 1, height], clip_on=False)
plt.show()"""

END = """:::{solution-end}
:::

## What to remember

Little.

## Further reading

None."""


def small_chapter():
    """A chapter that breaks no rule, not yet run."""
    about = {
        "image": {"alt": "A line that rises from 0 to 1 to 2."},
        "figure": {"caption": "It rises.", "name": "fig-small"},
    }
    cells = [
        new_markdown_cell(TITLE, id="title"),
        new_code_cell(IMPORTS, id="imports"),
        new_code_cell("height = 2\nnp.arange(3) / 4", id="number"),
        new_code_cell(FIGURE, id="figure", metadata={"mystnb": about}),
        new_code_cell("import time\nprint(time.perf_counter() < 0)", id="clock"),
        new_code_cell("assert time.perf_counter() > 0", id="clock-check"),
        new_markdown_cell(EXERCISE, id="exercise"),
        new_code_cell("half = 1 / 2\nassert half == 0.5", id="solution"),
        new_markdown_cell(END, id="end"),
        new_markdown_cell(f"## Check yourself\n\n{QUIZ}", id="quiz-one"),
        new_markdown_cell(QUIZ, id="quiz-two"),
    ]
    cells[4].metadata["tags"] = ["nbval-ignore-output"]
    return new_notebook(cells=cells)


def cell(notebook, name):
    return next(c for c in notebook.cells if c.id == name)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    path = tmp_path_factory.mktemp("chapter") / "small.ipynb"
    nbformat.write(small_chapter(), path)
    run_notebooks.run(path)
    return nbformat.read(path, as_version=4)


@pytest.fixture
def notebook(executed):
    return copy.deepcopy(executed)


def problems(notebook):
    """The names of the checks that find something, and what they find."""
    found = {check.__name__: check(notebook) for check in hygiene.CHECKS}
    return {name: said for name, said in found.items() if said}


def test_a_good_notebook_passes(notebook):
    assert problems(notebook) == {}
    assert hygiene.images(cell(notebook, "figure")) == ["image/svg+xml"]


# --- what nbval finds ---------------------------------------------------------------


def stale_figure(notebook):
    """The code draws a figure of another height than the one that is stored."""
    cell(notebook, "number").source = "height = 3\nnp.arange(3) / 4"


def other_figure(notebook):
    """One character of the stored figure is another."""
    data = cell(notebook, "figure").outputs[0].data
    svg = data["image/svg+xml"]
    start = svg.index(' d="M ') + 6
    digit = "1" if svg[start] != "1" else "2"
    data["image/svg+xml"] = svg[:start] + digit + svg[start + 1 :]


def cleared(notebook):
    """The outputs are gone, and the counts say that the cells were run."""
    for c in hygiene.code_cells(notebook):
        c.outputs = []


def changed_number(notebook):
    """The stored result is not what the code gives."""
    data = cell(notebook, "number").outputs[0].data
    assert "0.25" in data["text/plain"]
    data["text/plain"] = data["text/plain"].replace("0.25", "0.26")


def failed_assertion(notebook):
    """What the text claims does not hold."""
    cell(notebook, "clock-check").source = "assert time.perf_counter() < 0"


def ignored_output(notebook):
    """A timing is another one each time, and says so."""
    cell(notebook, "clock").outputs[0].text = "1.23 ms\n"


FAULTS = {  # and the cells that nbval must fail
    stale_figure: {"figure"},
    other_figure: {"figure"},
    cleared: {"number", "figure"},
    changed_number: {"number"},
    failed_assertion: {"clock-check"},
    ignored_output: set(),
}


@pytest.fixture(scope="module")
def nbval(executed, tmp_path_factory):
    """The cells that nbval fails, for the untouched notebook and for each fault."""
    folder = tmp_path_factory.mktemp("faults")
    for fault in (None, *FAULTS):
        faulty = copy.deepcopy(executed)
        name = fault.__name__ if fault else "untouched"
        if fault:
            fault(faulty)
        nbformat.write(faulty, folder / f"{name}.ipynb")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
            *("-o", "junit_family=xunit1", "--junitxml=report.xml", "."),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    names = [c.id for c in hygiene.code_cells(executed)]
    failed = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        notebook = case.get("file").removesuffix(".ipynb")
        failed.setdefault(notebook, set())
        if case.find("failure") is not None or case.find("error") is not None:
            number = int(case.get("name").rsplit(" ", 1)[-1])
            failed[notebook].add(names[number])
    assert len(failed) == 1 + len(FAULTS), done.stdout + done.stderr
    return failed


def test_nbval_passes_what_is_as_it_was(nbval):
    assert nbval["untouched"] == set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_nbval_finds(fault, nbval):
    assert nbval[fault.__name__] == FAULTS[fault]


# --- what nbval does not find -------------------------------------------------------


def stripped(notebook):
    """Without outputs and without counts: nbval takes it for a notebook to come."""
    for c in hygiene.code_cells(notebook):
        c.outputs, c.execution_count = [], None
    return "check_executed"


def one_cell_not_run(notebook):
    cell(notebook, "imports").execution_count = None
    return "check_executed"


def out_of_order(notebook):
    cell(notebook, "imports").execution_count = 9
    return "check_executed"


def a_warning(notebook):
    text = "DeprecationWarning: soon gone"
    cell(notebook, "number").outputs.append(
        new_output("stream", name="stderr", text=text)
    )
    return "check_silent"


def an_error(notebook):
    cell(notebook, "number").outputs.append(
        new_output("error", ename="ValueError", evalue="no", traceback=[])
    )
    return "check_silent"


def no_alternative_text(notebook):
    del cell(notebook, "figure").metadata["mystnb"]["image"]
    return "check_figures"


def caption_as_alternative_text(notebook):
    about = cell(notebook, "figure").metadata["mystnb"]
    about["image"]["alt"] = about["figure"]["caption"]
    return "check_figures"


def no_caption(notebook):
    cell(notebook, "figure").metadata["mystnb"]["figure"]["caption"] = " "
    return "check_figures"


def no_name_to_refer_to(notebook):
    del cell(notebook, "figure").metadata["mystnb"]["figure"]["name"]
    return "check_figures"


def a_png(notebook):
    data = cell(notebook, "figure").outputs[0].data
    del data["image/svg+xml"]
    data["image/png"] = "iVBORw0KGgo="
    return "check_figures"


def a_date_in_a_figure(notebook):
    data = cell(notebook, "figure").outputs[0].data
    data["image/svg+xml"] += "<dc:date>2026-01-01</dc:date>"
    return "check_figures"


def a_figure_that_is_gone(notebook):
    cell(notebook, "figure").outputs = []
    return "check_figures"


def a_path_in_an_output(notebook):
    where = "/home/" + "ada/book/lnlib/functional.py"
    cell(notebook, "clock").outputs[0].text = f"read {where}\n"
    return "check_places"


def this_folder_in_the_source(notebook):
    cell(notebook, "title").source += f"\n\nIt is in {hygiene.ROOT}."
    return "check_places"


def an_address_in_an_output(notebook):
    data = cell(notebook, "number").outputs[0].data
    data["text/plain"] = "<function f at 0x7f0123456789>"
    return "check_places"


def a_long_cell(notebook):
    cell(notebook, "number").source += "\nheight" * hygiene.MAX_LINES
    return "check_lines"


def a_long_line(notebook):
    cell(notebook, "number").source += "  # " + "x" * hygiene.MAX_COLUMNS
    return "check_lines"


def too_many_digits(notebook):
    cell(notebook, "number").outputs[0].data["text/plain"] = "0.30000000000000004"
    return "check_numbers"


def nothing_vouches_for_what_is_ignored(notebook):
    cell(notebook, "clock-check").source = "time.perf_counter() > 0"
    return "check_ignored"


def a_comment_for_nbval(notebook):
    cell(notebook, "number").source = "# NBVAL_SKIP\n" + "np.arange(3) / 4"
    return "check_ignored"


def a_skipped_cell(notebook):
    cell(notebook, "number").metadata["tags"] = ["nbval-skip"]
    return "check_format"


def a_misspelt_tag(notebook):
    cell(notebook, "number").metadata["tags"] = ["hide_input"]
    return "check_format"


def another_kernel(notebook):
    notebook.metadata.kernelspec["name"] = "book"
    return "check_format"


def a_time_of_execution(notebook):
    cell(notebook, "number").metadata["execution"] = {"iopub.status.busy": "2026"}
    return "check_format"


def an_unknown_kind_of_cell(notebook):
    cell(notebook, "number")["cell_type"] = "sum"
    return "check_format"


def the_same_id_twice(notebook):
    cell(notebook, "number")["id"] = "imports"
    return "check_ids"


def an_id_that_a_program_made_up(notebook):
    cell(notebook, "number")["id"] = "0fb94e05"
    return "check_ids"


def no_seed(notebook):
    cell(notebook, "number").source = "height = np.random.default_rng().random()"
    return "check_seeds"


def a_broken_quiz(notebook):
    cell(notebook, "quiz-two").source = QUIZ.replace('"2"', '"3"')
    return "check_quizzes"


def one_quiz_only(notebook):
    cell(notebook, "quiz-two").source = ""
    return "check_chapter"


def no_prediction(notebook):
    cell(notebook, "title").source = TITLE.replace("**Predict.**", "")
    return "check_chapter"


def a_second_title(notebook):
    cell(notebook, "end").source += "\n\n# Another"
    return "check_chapter"


def an_exercise_without_a_solution(notebook):
    source = EXERCISE.split(":::{solution")[0]
    cell(notebook, "exercise").source = source
    return "check_chapter"


def a_solution_that_checks_nothing(notebook):
    cell(notebook, "solution").source = "half = 1 / 2"
    return "check_chapter"


@pytest.mark.parametrize(
    "fault",
    [
        *(stripped, one_cell_not_run, out_of_order, a_warning, an_error),
        *(no_alternative_text, caption_as_alternative_text, no_caption),
        *(no_name_to_refer_to, a_png, a_date_in_a_figure, a_figure_that_is_gone),
        *(a_path_in_an_output, this_folder_in_the_source, an_address_in_an_output),
        *(a_long_cell, a_long_line, too_many_digits),
        *(nothing_vouches_for_what_is_ignored, a_comment_for_nbval, a_skipped_cell),
        *(a_misspelt_tag, another_kernel, a_time_of_execution),
        *(an_unknown_kind_of_cell, the_same_id_twice, an_id_that_a_program_made_up),
        *(no_seed, a_broken_quiz, one_quiz_only, no_prediction, a_second_title),
        *(an_exercise_without_a_solution, a_solution_that_checks_nothing),
    ],
    ids=lambda f: f.__name__,
)
def test_the_checks_find(fault, notebook):
    check = fault(notebook)
    found = problems(notebook)
    assert check in found
    # A fault is found by the rule it breaks; a broken rule may break others with it.
    several = {stripped, an_unknown_kind_of_cell, the_same_id_twice}
    assert fault in several or len(found) == 1


def test_a_large_file_is_found(tmp_path):
    path = tmp_path / "large.ipynb"
    path.write_bytes(b" " * hygiene.MAX_BYTES)
    assert not hygiene.check_size(path)
    path.write_bytes(b" " * (hygiene.MAX_BYTES + 1))
    assert hygiene.check_size(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('data-answer="2"', 'data-answer="3"', "right answers among"),
        ('data-answer="2"', 'data-answer=""', "expected data-answer"),
        ('data-answer="2"', 'data-answer="1 2"', "expected data-answer"),
        (' data-answer="2"', "", "quizzes of the form"),
        ("**Question.** ", "", "**Question.**"),
        ("2. two\n", "", "two or more answers"),
        ("2. two\n", "3. two\n", "numbered 1, 2"),
        ("<summary>1</summary>", "<summary>one</summary>", "feedback for the answers"),
        ("<summary>1</summary>\n", "<summary>1</summary>", "between blank lines"),
        ("Right.\n", "", "between blank lines"),
        ("</details>\n<details>", "</details><details>", "feedback for the answers"),
        ("\n\n</div>", "\n</div>", "quizzes of the form"),
        ('"quiz" data-answer="2">\n', '"quiz" data-answer="2">', "of the form"),
    ],
)
def test_a_broken_quiz_is_found(old, new, said):
    assert quizzes.problems(QUIZ) == []
    assert old in QUIZ
    assert said in "; ".join(quizzes.problems(QUIZ.replace(old, new, 1)))


def test_several_answers_may_be_right_and_a_fence_is_no_quiz():
    assert quizzes.problems(QUIZ.replace('"2"', '"1,2"')) == []
    assert quizzes.problems('```html\n<div class="quiz">\n```\n') == []


IMPORTED = """import random
import numpy as np
import torch
from torch import nn
from numpy.random import default_rng as rng_of
"""


@pytest.mark.parametrize(
    "source",
    [
        *("np.random.default_rng()", "np.random.default_rng(None)", "rng_of()"),
        *("np.random.randn(3)", "np.random.seed(0)", "np.random.PCG64()"),
        *("torch.randn(3)", "torch.zeros(3).normal_()", "nn.Linear(2, 3)"),
        *("nn.init.normal_(torch.zeros(3))", "nn.functional.dropout(x)"),
        *("torch.seed()", "torch.randn(3, generator=None)"),
        *("random.random()", "random.seed()\nrandom.random()", "random.Random()"),
    ],
)
def test_missing_seeds_are_found(source):
    assert seeds.unseeded([IMPORTED, source])


@pytest.mark.parametrize(
    "source",
    [
        *("np.random.default_rng(0)", "rng_of(seed=1)", "rng_of(0).normal(size=3)"),
        *("torch.manual_seed(0)\ntorch.randn(3)\nnn.Linear(2, 3)", "torch.ones(3)"),
        *("torch.randn(3, generator=g)", "torch.zeros(3).normal_(generator=g)"),
        "options = {'generator': g}\ntorch.randn(3, **options)",
        *("random.seed(0)\nrandom.random()", "random.Random(0).random()"),
        *("nn.LayerNorm(3)", "%matplotlib inline", "nn.functional.layer_norm(x)"),
    ],
)
def test_seeds_that_are_there_are_seen(source):
    assert seeds.unseeded([IMPORTED, source]) == []


def test_a_seed_counts_only_for_what_comes_after_it():
    draw, seed = "torch.randn(3)", "torch.manual_seed(0)"
    assert [i for i, _ in seeds.unseeded([IMPORTED, draw, seed])] == [1]
    assert seeds.unseeded([IMPORTED, seed, draw]) == []
