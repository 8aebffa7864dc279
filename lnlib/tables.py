"""Tables of text that a notebook shows as tables and a terminal as they are."""

import re


class Markdown(str):
    """Text that a notebook renders as Markdown, and a terminal prints as it is."""

    def __repr__(self):
        return str(self)

    def _repr_markdown_(self):
        return str(self)


def table(header, rows, align=None):
    """Rows of cells as a table.

    Args:
        header: the names of the columns, a list of str.
        rows: the rows, each with one cell a column; cells are written with str(), with
            `|` escaped and a space for a line break.
        align: one letter a column, l, r or c; by default l for the first and r for
            the others.

    Returns:
        The table, a `Markdown`.

    Raises:
        TypeError: the header, the rows or a row is a str.
        ValueError: there is no column, a row has not one cell a column, or align not
            one letter a column.

    >>> table(["dtype", "error"], [["float32", "1.2e-07"], ["float64", "3.1e-16"]])
    | dtype   |   error |
    |:--------|--------:|
    | float32 | 1.2e-07 |
    | float64 | 3.1e-16 |
    """
    for name, given in (("header", header), ("rows", rows)):
        if isinstance(given, str):
            raise TypeError(f"Expected {name} to be a list, but got {given!r}")
    rows = list(rows)
    for row in rows:
        if isinstance(row, str):
            raise TypeError(f"Expected each row to be a list of cells, but got {row!r}")
    cells = [[_cell(c) for c in row] for row in [header, *rows]]
    if not cells[0]:
        raise ValueError("Expected a header of at least one column, but got none")
    columns = len(header)
    align = align or "l" + "r" * (columns - 1)
    if len(align) != columns or set(align) - set("lrc"):
        raise ValueError(
            f"Expected align to have one letter of l, r, c for each of {columns} "
            f"columns, but got {align!r}"
        )
    for row in cells[1:]:
        if len(row) != columns:
            raise ValueError(f"Expected rows of {columns} cells, but got {row}")
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(columns)]
    lines = [
        "| " + " | ".join(map(_padded, row, widths, align)) + " |" for row in cells
    ]
    rule = {"l": (":", "-"), "r": ("-", ":"), "c": (":", ":")}
    rules = [
        rule[a][0] + "-" * w + rule[a][1] for a, w in zip(align, widths, strict=True)
    ]
    lines.insert(1, "|" + "|".join(rules) + "|")
    return Markdown("\n".join(lines))


def _cell(value):
    text = " ".join(str(value).splitlines())
    return re.sub(r"(?<!\\)\|", r"\|", text)  # one that is escaped stays as it is


def _padded(text, width, align):
    return {"l": text.ljust, "r": text.rjust, "c": text.center}[align](width)
