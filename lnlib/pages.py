"""What the pages of the book need beside their figures: source, tables, numbers.

Source and tables are Markdown with a plain-text twin, so that they read the same on
the site, in Jupyter and on Colab, and so that tests can compare them.
"""

import ast
import inspect
import textwrap

from IPython.display import display

from lnlib.tables import Markdown, table

__all__ = ["Markdown", "glue", "source", "table"]


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
