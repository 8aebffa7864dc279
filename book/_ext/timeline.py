"""A list of dated entries out of a data file, which the drawn timeline reads as well.

    ```{timeline} history.yml
    :from: 2015
    :to: 2017
    ```

lists the entries of some years, or all, each with its date, name, text and citation.
"""

import re
from pathlib import Path
from typing import ClassVar

import yaml
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
FIELDS = {"date", "name", "kind", "cite", "text"}
DATE = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2]))?")


def read(path):
    """The kinds and the entries of a data file, checked.

    Returns:
        `(kinds, entries)`: a dict from kind to title, and a list of dicts in the
        order of their dates.

    Raises:
        ValueError: an entry lacks a field, has an unknown kind or no proper date, or
            the entries are not in the order of their dates.
    """
    data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    kinds, entries = data["kinds"], data["entries"]
    for entry in entries:
        if set(entry) != FIELDS:
            raise ValueError(f"expected the fields {sorted(FIELDS)}, but got {entry}")
        if entry["kind"] not in kinds:
            raise ValueError(
                f"expected a kind among {', '.join(kinds)}, but got {entry['kind']!r} "
                f"in {entry['name']!r}"
            )
        if not DATE.fullmatch(str(entry["date"])):
            raise ValueError(
                f"expected a date like 2016 or 2016-07, but got {entry['date']!r} in "
                f"{entry['name']!r}"
            )
    years = [year(entry) for entry in entries]
    for before, after, entry in zip(years, years[1:], entries[1:], strict=False):
        if after < before:
            raise ValueError(
                f"expected entries in the order of their dates, but got "
                f"{entry['name']!r} after a later one"
            )
    return kinds, entries


def year(entry):
    """The date of an entry as a number of years; one without a month is its start."""
    number, month = DATE.fullmatch(str(entry["date"])).groups()
    return int(number) + (int(month or 1) - 1) / 12


def spoken(date):
    """A date in words: `2016-07` is July 2016."""
    number, month = DATE.fullmatch(str(date)).groups()
    return f"{MONTHS[int(month) - 1]} {number}" if month else number


class Timeline(SphinxDirective):
    required_arguments = 1
    option_spec: ClassVar = {
        "from": directives.nonnegative_int,
        "to": directives.nonnegative_int,
    }

    def run(self):
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        try:
            _, entries = read(path)
        except ValueError as error:
            raise ExtensionError(f"{self.arguments[0]}: {error}") from None
        first, last = self.options.get("from", 0), self.options.get("to", 9999)
        lines = [
            f"- **{spoken(entry['date'])}: {entry['name']}.** {entry['text']} "
            f"{{cite:p}}`{entry['cite']}`"
            for entry in entries
            if first <= int(year(entry)) <= last
        ]
        if not lines:
            raise self.error(f"expected entries from {first} to {last}, but got none")
        text = "\n".join(lines)
        return self.parse_text_to_nodes(text)


def setup(app):
    app.add_directive("timeline", Timeline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
