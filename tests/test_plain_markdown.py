"""MyST as plain Markdown: each construct, and what is refused."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plain_markdown import Book, Plain, UnknownSyntax

SITE = "https://someone.github.io/book/"
FILES = "https://github.com/someone/book/blob/abc/"

FIRST = """# The first

$$ a $$ (eq-first)

```
$$ not math $$ (eq-not)
```

:::{exercise} One
:label: ex-one

Do it.
:::
"""

SECOND = """(sec-more)=
# The second

```{math}
:label: eq-second

b
```"""

REFERENCES = r"""
@misc{one, author = {G{\"o}del, Kurt}, title = {T}, year = {1931},
  url = {https://example.org/1}}
@misc{two, author = {A, B and van der Waals, J. D.}, title = {T}, year = {1873},
  doi = {10.1/2}}
@misc{many, author = {First, A and Second, B and others}, title = {T}, year = {2001}}
@misc{none, title = {Only a Title}, year = {2002}}
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    root = tmp_path_factory.mktemp("book")
    (root / "notebooks").mkdir()
    about = {"figure": {"name": "fig-one", "caption": "It rises."}}
    drawn = new_code_cell("draw()", metadata={"mystnb": about})
    cells = [new_markdown_cell(FIRST), drawn]
    nbformat.write(new_notebook(cells=cells), root / "notebooks" / "01_first.ipynb")
    (root / "book").mkdir()
    (root / "book" / "second.md").write_text(SECOND)
    (root / "file.txt").write_text("A file.")
    (root / "references.bib").write_text(REFERENCES)
    (root / "_config.yml").write_text("bibtex_bibfiles: [references.bib]\n")
    (root / "_toc.yml").write_text(
        "root: notebooks/01_first\nparts:\n  - chapters:\n      - file: book/second\n"
    )
    return Book.read(root, SITE, FILES)


@pytest.fixture
def plain(book):
    return Plain(book, "notebooks/01_first", {"error": "1.25e-07", "word": "'few'"})


def test_numbers_and_titles_are_those_of_the_pages_in_order(book):
    assert book.equations == {"eq-first": 1, "eq-second": 2}
    assert book.figures == {"fig-one": 1}
    assert book.exercises == {"ex-one": 1}
    assert book.titles["notebooks/01_first"] == "The first"
    assert book.titles["sec-more"] == "The second"
    assert book.references["one"] == ("Gödel", "1931", "https://example.org/1")


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("a {term}`row`, {term}`rows <row>`", "a row, rows"),
        ("{eq}`eq-second`", "(2)"),
        ("{numref}`fig-one`", "Fig. 1"),
        ("{numref}`figure {number} <fig-one>`", "figure 1"),
        ("{numref}`ex-one` {ref}`ex-one`", "Exercise 1 Exercise 1"),
        ("{ref}`sec-more`", f"[The second]({SITE}book/second.html#sec-more)"),
        ("{ref}`there <sec-more>`", f"[there]({SITE}book/second.html#sec-more)"),
        ("{doc}`../book/second`", f"[The second]({SITE}book/second.html)"),
        ("{doc}`it </book/second>`", f"[it]({SITE}book/second.html)"),
        ("{cite:p}`one`", "([Gödel 1931](https://example.org/1))"),
        ("{cite:t}`two`", "[A and van der Waals (1873)](https://doi.org/10.1/2)"),
        (
            "{cite}`many,none`",
            f"([First et al. 2001]({SITE}book/bibliography.html); "
            f"[Only a Title 2002]({SITE}book/bibliography.html))",
        ),
        ("{glue:text}`error`, {glue:text}`word`", "1.25e-07, few"),
        ("{glue:text}`error:.0e`", "1e-07"),
        ("{math}`x`, {sub}`2`, {kbd}`Tab`", "$x$, <sub>2</sub>, <kbd>Tab</kbd>"),
        ("{py:func}`~lnlib.f`, {class}`C <a.C>`", "`lnlib.f`, `C`"),
        ("$$ a $$ (eq-first)", "$$\na\n\\tag{1}\n$$"),
        ("$$\na\n$$ (eq-first)\n\nThen.", "$$\na\n\\tag{1}\n$$\n\nThen."),
        ("$$\na\n$$", "$$\na\n$$"),
        (
            "\\begin{align}\na &= b\n\\end{align}",
            "$$\\begin{aligned}\na &= b\n\\end{aligned}$$",
        ),
        ("\\begin{equation*}a\\end{equation*}", "$$a$$"),
        ("[it](01_first.ipynb)", f"[it]({SITE}notebooks/01_first.html)"),
        ("[](../book/second.md)", f"[The second]({SITE}book/second.html)"),
        ("[x](../file.txt)", f"[x]({FILES}file.txt)"),
        ("[here](#sec-more)", f"[here]({SITE}book/second.html#sec-more)"),
        ("[{term}`row`](https://a.org/b_(c))", "[row](https://a.org/b_(c))"),
        ("![A line](https://a.org/b.png)", "![A line](https://a.org/b.png)"),
        ("[a]{.big} b", "[a] b"),
        (
            "A[^x] and[^y].\n\n[^y]: It.",
            "A<sup>[1]</sup> and<sup>[2]</sup>.\n\n<sup>[2]</sup> It.",
        ),
        ("(sec-a)=\n## A\n\n% no\nb\n\n+++\nc", "## A\n\nb\n\nc"),
        ("Term\n: What it is.", "- **Term**: What it is."),
        # What only looks like it stays.
        ("`{eq}` and `$x$` and ``[a](b)``", "`{eq}` and `$x$` and ``[a](b)``"),
        ("```python\nf'{eq}`x`' # $$ a $$ (b)\n```",) * 2,
        ("$x_{[a](b)}$ costs \\$5 and \\$6",) * 2,
        ("| a | b |\n|:--|:--|\n| $x$ | 1 |",) * 2,
        ("<details><summary>1</summary>\n\nYes.\n\n</details>",) * 2,
        (
            ":::{exercise} One {term}`row`\n:label: ex-one\n\nDo {eq}`eq-first`.\n:::",
            "### Exercise 1: One row\n\nDo (1).",
        ),
        (
            ":::{solution-start} ex-one\n:class: dropdown\n:::\n\nIt is 1.",
            "#### Solution\n\nIt is 1.",
        ),
        (":::{solution-end}\n:::", ""),
        (
            ":::{solution} ex-one\nIt is 1.\n:::",
            "<details><summary>Solution</summary>\n\nIt is 1.\n\n</details>",
        ),
        (
            "::::{note}\nOne\n\n:::{tip} Two.\n:::\n::::",
            "> **Note.** One\n>\n> > **Tip.** Two.",
        ),
        (":::{admonition} A title.\n:class: tip\nOne\n:::", "> **A title.** One"),
        (
            "- a\n\n  ```{code-block} python\n  x\n  ```\n- b",
            "- a\n\n  ```python\n  x\n  ```\n- b",
        ),
        ("```{math}\n:label: eq-second\n\nb\n```", "$$\nb\n\\tag{2}\n$$"),
    ],
)
def test_plain(plain, myst, expected):
    assert plain(myst) == expected


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("{unheard}`of`", "the role {unheard}"),
        ("{cite:year}`one`", "the role {cite:year}"),
        (":::{unheard}\n:::", "the directive {unheard}"),
        (":::\n:::", "without a name"),
        (":::{note}\nNo end", "without an end"),
        ("{eq}`eq-gone`", "no equation with the label 'eq-gone'"),
        ("{numref}`fig-gone`", "no figure with the label 'fig-gone'"),
        ("$$ a $$ (eq-gone)", "no equation with the label"),
        (":::{solution-start} ex-gone\n:::", "no exercise with the label 'ex-gone'"),
        ("{ref}`gone`", "no section with the label 'gone'"),
        ("{doc}`gone`", "no page 'notebooks/gone'"),
        ("{cite:p}`gone`", "no reference with the key 'gone'"),
        ("{glue:text}`gone`", "no cell that computes 'gone'"),
        ("[a](gone.ipynb)", "a link to 'gone.ipynb', which is not there"),
        ("![a](../file.txt)", "the picture"),
        ("\\begin{align}\\label{a}x\\end{align}", "the environment align"),
        ("\\begin{matrix}x\\end{matrix}", "the environment matrix"),
    ],
)
def test_what_is_not_known_is_refused(plain, myst, message):
    with pytest.raises(UnknownSyntax, match=message):
        plain(myst)


def test_questions_say_which_answer_is_right(plain):
    feedback = "<details><summary>{0}</summary>\n\nOf {0}.\n\n</details>"
    head = (
        '<div class="quiz" data-answer="{}">\n\n**Question.** Which?\n\n1. a\n2. b\n\n'
    )
    rest = "\n".join(feedback.format(n) for n in (1, 2)) + "\n\n</div>"
    one = plain(head.format("2") + rest)
    assert "Answer 1</summary>\n\n**Not quite.** Of 1." in one
    assert "Answer 2</summary>\n\n**Right.** Of 2." in one
    assert "<div" not in one and "Choose all" not in one
    block = plain(head.format("2") + rest.replace("Of 1.", "- Of 1."))
    assert "**Not quite.**\n\n- Of 1." in block
    both = plain(head.format("1,2") + rest)
    assert both.count("**Right.**") == 2
    assert "*Choose all that are right.*\n\n1. a" in both
