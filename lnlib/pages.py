"""What the pages of the book need beside their figures: source, tables, the ledger.

Source and tables are Markdown with a plain-text twin, so that they read the same on
the site, in Jupyter and on Colab, and so that tests can compare them.
"""

import ast
import inspect
import re
import textwrap
from collections import Counter

from IPython.display import display

from lnlib.tables import Markdown, table

__all__ = ["Markdown", "entries", "experiments", "glue", "rules", "source", "table"]

# So many answers are written out; of more a summary is, and the rest is folded.
FEW_ANSWERS = 3


def source(*objects, docstring=False):
    """The source of functions or classes of the library, as it is now.

    Args:
        objects: functions or classes.
        docstring: whether to keep their docstrings; the reference shows those.

    Returns:
        The source as a block of Python, a `Markdown`.

    Raises:
        TypeError: something has no Python source.

    >>> from lnlib import loops
    >>> source(loops._reciprocal)
    ```python
    def _reciprocal(number):
        # Python raises where IEEE 754 says infinity. With infinity, a constant row at
        # eps = 0 becomes 0 * inf = NaN, as it does in every array library.
        if number == math.inf:  # squares overflowed: NaN, and not a row of zeros
            return math.nan
        return 1.0 / number if number else math.inf
    ```
    """
    texts = [_source(o, docstring) for o in objects]
    return Markdown("```python\n" + "\n\n\n".join(texts) + "\n```")


def glue(name, value, spec=None):
    """Keep a computed number under a name, for the prose to quote.

    The prose of the same page quotes it with MyST-NB's role, {glue:text}`name`. The
    record is that of `myst_nb.glue`, written without importing it, so that a notebook
    runs where MyST-NB is not installed.

    Args:
        name: a name that is used once on the page.
        value: a number or a string.
        spec: how a number is written, a format specification such as ".2e".

    Raises:
        TypeError: name is not a string.

    >>> glue("largest-error", 1.23456e-7, ".1e")
    {'application/papermill.record/text/plain': '1.2e-07'}
    """
    if not isinstance(name, str):
        raise TypeError(f"Expected name to be a string, but got {type(name).__name__}")
    text = format(value, spec) if spec else str(value)
    prefix = "application/papermill.record/"
    display(
        {prefix + "text/plain": text},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def _source(obj, docstring):
    try:
        text = textwrap.dedent(inspect.getsource(obj)).rstrip()
    except TypeError:
        raise TypeError(
            f"Expected a function or class written in Python, but got {obj!r}"
        ) from None
    if docstring:
        return text
    lines = text.splitlines()
    drop = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            drop.update(range(first.lineno - 1, first.end_lineno))
            if first.end_lineno < len(lines) and not lines[first.end_lineno].strip():
                drop.add(first.end_lineno)  # the blank line after it
    return "\n".join(line for i, line in enumerate(lines) if i not in drop)


def entries(claims, where=None):
    """Claims of the ledger as a page shows them: verdict, words, reasons, evidence.

    Args:
        claims: an iterable of `lnlib.claims.Claim`.
        where: the folder of the tables; by default that of the library.

    Returns:
        A block of Markdown for each, with a place to link to, such as #l-31.

    >>> from lnlib.claims import ledger
    >>> print(entries([ledger()["L-53"]]).splitlines()[-1])
    *Why:* five lines give layer norm.
    """
    return Markdown("\n\n---\n\n".join(_entry(c, c.verdict(where)) for c in claims))


def _entry(claim, verdict):
    head = [f"**{claim.id} · {verdict.verdict}**", claim.kind]
    if claim.chapter:
        head.append(f"[chapter]({claim.chapter}.ipynb)")
    if claim.experiment and verdict.answers:
        head.append(_link("table", claim.experiment))
    if claim.kind == "derived":
        head.append(_link("rule", claim.rule.__name__))
    parts = [f'<span id="{claim.id.lower()}"></span>' + " · ".join(head)]
    quotes = [str(quote) for quote in claim.quotes] or ["(added)"]
    parts.append("> " + "<br>\n> ".join(quotes))
    parts.append(f"*Literally:* {claim.meaning}")
    if len(verdict.answers) > FEW_ANSWERS:
        parts += _folded(verdict.answers)
    else:
        parts.append(f"*Why:* {_cited(verdict.why)}.")
    bars = {answer.margin for answer in verdict.answers.values() if answer.margin}
    if bars:
        parts.append(f"*Bar:* {', '.join(f'{bar:.3g}' for bar in sorted(bars))}.")
    if claim.note:
        parts.append(f"*Note:* {_cited(claim.note)}")
    return "\n\n".join(parts)


def _folded(answers):
    counts = Counter(answer.answer for answer in answers.values())
    parts = ", ".join(f"{answer} in {n}" for answer, n in counts.most_common())
    items = "\n".join(f"- {at}: {a.answer} ({a.why})" for at, a in answers.items())
    return [
        f"*Why:* of {len(answers)} comparisons {parts}.",
        "<details><summary>Each comparison</summary>",
        items,
        "</details>",
    ]


def _place(kind, name):
    return f"{kind}-{name.replace('_', '-')}"


def _link(kind, name):
    # Of HTML, since the place that it leads to is written by another cell.
    return f'<a href="#{_place(kind, name)}">{kind} {name}</a>'


def _cited(text):
    """The keys of the bibliography as names and years that link to it."""

    def link(match):
        return f"([{match[1].title()} {match[2]}](../book/bibliography.md))"

    return re.sub(r"\[([a-z]+)(\d{4})[a-z]*\]", link, text)


def rules(claims):
    """The rules of the derived claims, each once: the source, folded.

    Args:
        claims: an iterable of `lnlib.claims.Claim`; those of another kind are left out.

    Returns:
        A block of Markdown for each rule, with a place to link to, such as
        #rule-is-nonlinear.
    """
    found = {c.rule.__name__: c.rule for c in claims if c.kind == "derived"}
    return Markdown(
        "\n\n".join(
            f'<details id="{_place("rule", name)}"><summary>{name}</summary>\n\n'
            f"{source(rule)}\n\n</details>"
            for name, rule in sorted(found.items())
        )
    )


def experiments(names=None, where=None):
    """The tables of the experiments: what each asks, its size and how to make it again.

    Args:
        names: of experiments of the library; by default all that have a table.
        where: the folder of the tables; by default that of the library.

    Returns:
        A block of Markdown for each, with a place to link to, such as
        #table-weight-norm.

    Raises:
        lnlib.lab.evidence.EvidenceError: a table is missing or broken.

    >>> print(experiments(["weight_norm"]).splitlines()[2])
    Does layer norm together with weight norm do better than layer norm?
    """
    from lnlib.lab import evidence, experiment

    blocks = []
    for name in names or evidence.tables(where):
        found, rows = experiment.load(name), evidence.load(name, where)
        minutes = sum(s["seconds_of_runs"] for s in rows.provenance["sessions"]) / 60
        seeds = f"{len(found.seeds)} seeds"
        if found.tuning:
            others = len(found.tuning.seeds)
            seeds += f", and {others} others to tune {found.tuning.factor}"
        blocks.append(
            f'<span id="{_place("table", name)}"></span>**{name}**\n\n'
            f"{found.question}\n\n"
            f"{len(rows)} rows of {seeds}, made in {minutes:.0f} minutes of one core: "
            f"[{name}.csv](../lnlib/evidence/{name}.csv). "
            f"Once more: `python -m lnlib run {name}`."
        )
    return Markdown("\n\n".join(blocks))
