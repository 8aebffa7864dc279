"""What diagnose found, as text, as a table, as dicts."""

import itertools
import math
import textwrap
from dataclasses import dataclass

from lnlib.tables import Markdown, table

_UNIT = {  # half the distance from 1 to the next number: what one rounding costs
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
_WIDTH = 87


@dataclass(frozen=True)
class Check:
    """One property that was checked.

    Attributes:
        name: what was checked.
        kind: "call", "definition" or "digits".
        status: "passed", "fault" or "not checked".
        error: the measured error, a float, NaN where the function returned NaN; None
            where nothing was measured.
        bound: what the error may be at most; None where nothing was measured.
        note: what happened, if it was not a number that was too large.
        reason: why the bound is what it is.
        unit: the unit roundoff of the dtype of the check.
    """

    name: str
    kind: str
    status: str
    error: float | None = None
    bound: float | None = None
    note: str = ""
    reason: str = ""
    unit: float = _UNIT["float64"]

    @property
    def measured(self):
        """The error as text that does not depend on the machine.

        Rounding errors differ between machines, so of them it says only what power
        of ten they stay below or reach. The errors of a wrong definition do not, and
        are written with two digits.
        """
        if self.error is None:
            return ""
        if not math.isfinite(self.error):
            return "NaN" if math.isnan(self.error) else "infinite"
        if self.status == "passed":
            # A few roundings, more or less, are the same on every machine.
            few = (2 if self.unit > 1e-5 else 16) * self.unit
            above = 10.0 ** math.ceil(math.log10(max(self.error, few)))
            return f"< {_one_digit(min(above, self.bound))}"
        if self.kind == "digits":
            return f"> {_one_digit(10.0 ** math.floor(math.log10(self.error)))}"
        return f"{self.error:.2g}".replace("e-0", "e-")


@dataclass(frozen=True)
class Report:
    """What `diagnose` found. It prints as a table.

    Attributes:
        name: the name of the function.
        arrays: "numpy" or "torch", the arrays it was called with.
        dtypes: the names of the dtypes it was checked in.
        checks: a tuple of `Check`.
        mistakes: a tuple of `lnlib.mistakes.Mistake`, those that explain what was
            found; empty where nothing known does.
        alternatives: other sets of mistakes that explain it as well, each a tuple.
        unexplained: the names of the faults that no known mistake explains.
        example: the smallest input on which it is wrong, as text; empty if none is.

    Its truth value is not defined: ask for `ok`.
    """

    name: str
    arrays: str
    dtypes: tuple
    checks: tuple
    mistakes: tuple = ()
    alternatives: tuple = ()
    unexplained: tuple = ()
    example: str = ""
    notes: tuple = ()

    @property
    def faults(self):
        """The checks that found a fault, a tuple of `Check`."""
        return tuple(c for c in self.checks if c.status == "fault")

    @property
    def ok(self):
        """Whether no check found a fault."""
        return not self.faults

    @property
    def verdict(self):
        """In one sentence, whether it is a layer norm or one that loses digits."""
        done = sum(c.status != "not checked" for c in self.checks)
        kinds = [c.kind for c in self.faults]
        if self.ok:
            return f"A layer norm: no fault in {done} checks."
        failed = f"{len(kinds)} of {done} checks"
        if "definition" in kinds:
            return f"Not a layer norm: {failed} fail."
        if "call" in kinds:
            return f"Not usable as a layer norm: {failed} fail."
        return f"A layer norm that loses digits: in {failed}."

    def __bool__(self):
        raise TypeError("The truth value of a Report is not defined; ask for report.ok")

    def __str__(self):
        lines = [*textwrap.wrap(self._title(), _WIDTH), ""]
        headings = {"call": "The call", "definition": "The definition"}
        for kind, group in itertools.groupby(self.checks, lambda c: c.kind):
            heading = headings.get(kind, "The digits")
            lines.append(f"{heading:<42}{'error':>10}{'bound':>9}")
            for check in group:
                lines += _lines(check)
            lines.append("")
        if bounds := self._bounds():
            lines += [*textwrap.wrap(bounds, _WIDTH), ""]
        lines.append(self.verdict)
        for paragraph in self._findings():
            lines += ["", *textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)]
        if self.example:
            lines += ["", self.example]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_markdown_(self):
        rows = [
            (
                check.name,
                check.measured,
                "" if check.bound is None else _one_digit(check.bound),
                _result(check) + (f": {check.note}" if check.note else ""),
            )
            for check in self.checks
        ]
        parts = [
            f"**{self._title()}**",
            table(["check", "error", "bound", "result"], rows, "lrrl"),
            self._bounds(),
            f"**{self.verdict}**",
            *self._findings(markdown=True),
        ]
        if self.example:
            parts.append(f"```text\n{self.example}\n```")
        return Markdown("\n\n".join(part for part in parts if part))

    def as_dict(self):
        """The report as dicts, lists, strings and numbers, for json."""

        def number(value):
            return value if value is None or math.isfinite(value) else str(value)

        return {
            "name": self.name,
            "ok": self.ok,
            "verdict": self.verdict,
            "arrays": self.arrays,
            "dtypes": list(self.dtypes),
            "checks": [
                {
                    "name": c.name,
                    "kind": c.kind,
                    "status": c.status,
                    "error": number(c.error),
                    "bound": number(c.bound),
                    "reason": c.reason,
                    "note": c.note,
                }
                for c in self.checks
            ],
            "mistakes": [m.name for m in self.mistakes],
            "alternatives": [[m.name for m in ms] for ms in self.alternatives],
            "unexplained": list(self.unexplained),
            "example": self.example,
            "notes": list(self.notes),
        }

    def _title(self):
        return f"{self.name}, with {self.arrays} arrays of {', '.join(self.dtypes)}"

    def _bounds(self):
        """What the bounds stand for, in one paragraph."""
        reasons = {}
        for check in self.checks:
            if check.bound is not None:
                bounds = reasons.setdefault(check.reason, [])
                if (text := _one_digit(check.bound)) not in bounds:
                    bounds.append(text)
        if not reasons:
            return ""
        each = [f"{', '.join(bounds)}: {why}" for why, bounds in reasons.items()]
        return f"The bounds. {'; '.join(each)}."

    def _findings(self, markdown=False):
        for mistake in self.mistakes:
            name = f"`{mistake.name}`" if markdown else mistake.name
            source = mistake.published[0]
            where = f"[{source.title}]({source.address})" if markdown else source.title
            yield (
                f"{name}: {mistake.wrong} Published, for one, in {where}. "
                f"Mend it: {mistake.repair}"
            )
        for others in self.alternatives:
            names = " with ".join(m.name for m in others)
            yield f"On what it could be called with, {names} looks the same."
        if self.unexplained:
            yield f"No known mistake explains: {'; '.join(self.unexplained)}."
        yield from self.notes


def _lines(check):
    """A check as lines of text, at most 87 columns wide."""
    name = f"  {check.name:<40}"
    if check.status == "not checked":
        return textwrap.wrap(
            f"not checked: {check.note}",
            _WIDTH,
            initial_indent=f"{name}   ",
            subsequent_indent=" " * 45,
        )
    bound = "" if check.bound is None else _one_digit(check.bound)
    line = f"{name}{check.measured:>10}{bound:>9}  {_result(check)}"
    if not check.note:
        return [line]
    indent = " " * 6
    return [
        line,
        *textwrap.wrap(
            check.note, _WIDTH, initial_indent=indent, subsequent_indent=indent
        ),
    ]


def _result(check):
    if check.status == "passed":
        return "ok"
    if check.status == "not checked":
        return "not checked"
    return {"call": "FAULT", "definition": "WRONG", "digits": "LOSES DIGITS"}[
        check.kind
    ]


def _one_digit(number):
    mantissa, exponent = f"{number:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}" if abs(number) < 0.01 else f"{number:.2g}"
