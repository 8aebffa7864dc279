"""python -m lnlib claims: the ledger, each claim with its verdict."""

import json

from lnlib import claims
from lnlib.commands import UsageError, write
from lnlib.lab import rules
from lnlib.tables import table


def arguments(parser):
    """The options of `python -m lnlib claims`."""
    parser.add_argument("ids", nargs="*", metavar="L-NN", help="by default every claim")
    parser.add_argument(
        "--verdict", choices=rules.VERDICTS, help="only those with this verdict"
    )
    parser.add_argument(
        "--format", choices=("text", "md", "json"), default="text", help="text"
    )
    parser.add_argument(
        "--evidence", metavar="FOLDER", help="where the tables are; in the library"
    )


def run(options):
    """Do what the options say; returns the exit code."""
    ledger = claims.ledger()
    ids = [name.upper() for name in options.ids] or list(ledger)
    if unknown := [name for name in ids if name not in ledger]:
        raise UsageError(
            f"expected claims from {min(ledger)} to {max(ledger)}, but got {unknown[0]}"
        )
    found = [(ledger[i], ledger[i].verdict(options.evidence)) for i in ids]
    if options.verdict:
        found = [(c, v) for c, v in found if v.verdict == options.verdict]
    form = {"text": as_text, "md": as_markdown, "json": as_json}[options.format]
    write(form(found))
    return 0


def as_text(found):
    """The claims one after the other, and how many have each verdict."""
    blocks = []
    for claim, verdict in found:
        lines = [f"{claim.id}  {verdict.verdict.upper()}  ({claim.kind})"]
        lines += [f"  {quote}" for quote in claim.quotes] or ["  (added)"]
        lines.append(f"  Literally: {claim.meaning}")
        lines.append(f"  Why: {verdict.why}.")
        lines += [f"  Note: {claim.note}"] if claim.note else []
        lines += [f"  Chapter: {claim.chapter}"] if claim.chapter else []
        blocks.append("\n".join(lines))
    counts = {v: sum(w.verdict == v for _, w in found) for v in rules.VERDICTS}
    blocks.append(", ".join(f"{n} {v}" for v, n in counts.items() if n) or "none")
    sources = [f"{key}: {words}" for key, words in claims.ARTICLES.items()]
    return "\n\n".join([*blocks, "\n".join(sources)])


def as_markdown(found):
    """The claims as a table."""
    rows = [
        [
            claim.id,
            " / ".join(f"“{q.words}” ({q.article})" for q in claim.quotes) or "(added)",
            verdict.verdict,
            claim.kind,
        ]
        for claim, verdict in found
    ]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return table(["claim", "words", "verdict", "kind"], cells, "llll")


def as_json(found):
    """The claims as a list of objects, with everything that is known of them."""
    return json.dumps(
        [
            {
                "id": claim.id,
                "quotes": [vars(quote) for quote in claim.quotes],
                "meaning": claim.meaning,
                "kind": claim.kind,
                "verdict": verdict.verdict,
                "why": verdict.why,
                "experiment": claim.experiment,
                "chapter": claim.chapter,
                "note": claim.note,
                "sources": list(claim.sources),
            }
            for claim, verdict in found
        ],
        indent=1,
        ensure_ascii=False,
    )
